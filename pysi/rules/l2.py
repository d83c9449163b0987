"""The plainest penalty: every synapse is equally important."""

from typing import Any

from pysi.rules.quadratic import QuadraticPenalty


class L2(QuadraticPenalty):
    """Pull every synapse back to where the last task left it: c Σ (θ - θ̃)².

    Ω is 0 during the first task and 1 from its end on; θ̃ is θ at the end of the last task. So there
    is one penalty, around the last optimum, however many tasks there were.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0, in nats per weight².

    References
    ----------
    Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, PNAS, compare
    with it. Hsu et al. (2018), Re-evaluating continual learning scenarios, have it in this form.
    """

    name = "l2"
    separate = False

    def end_task(self, net: Any = None, task: Any = None) -> None:
        s = self.synapses
        s.Omega[...] = 1
        s.theta_ref[...] = s.theta
        s.omega[...] = 0  # another rule may have used it before this one took over
        self.refresh()
