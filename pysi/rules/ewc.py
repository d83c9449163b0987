r"""Elastic weight consolidation (Kirkpatrick et al., 2017).

When a task ends, the diagonal Fisher information F at its optimum θ* says how much each synapse
matters, and from then on one quadratic penalty per task pulls the synapses back:

.. math:: \sum_μ \frac{λ}{2} \sum_k F_k^μ (θ_k - θ_k^{*μ})^2 .

A sum of parabolas is a parabola. With :math:`Ω = \sum_μ F^μ` and the weighted mean
:math:`\tilde θ = \sum_μ F^μ θ^{*μ} / Ω` the sum over tasks is, for every synapse,

.. math:: \sum_μ F^μ (θ - θ^{*μ})^2 = Ω (θ - \tilde θ)^2 + \text{const},

so that two rows remember all tasks, and the step is that of Synaptic Intelligence: the two rules
differ only in how they compute Ω and θ̃. When task μ is added, Ω becomes Ω + F, θ̃ moves by
F / (Ω + F) of the way to θ*, and the constant grows by Ω F / (Ω + F) (θ* - θ̃)².

The strength is c, as in Eq. 4 of the Synaptic Intelligence paper: c = λ/2.
"""

import numpy as np

from pysi.errors import ConfigError
from pysi.network import Network
from pysi.rules.fisher import check_layers, diagonal_fisher, empirical_fisher
from pysi.rules.quadratic import QuadraticPenalty
from pysi.synapses import Synapses
from pysi.tasks import Task
from pysi.typing import Array, Strengths

FISHERS = ("exact", "empirical")


class EWC(QuadraticPenalty):
    """Elastic weight consolidation, one penalty per task.

    Parameters
    ----------
    c : float or sequence of float
        Strength, c = λ/2 of Kirkpatrick et al.; in nats, since F is in 1 / weight².
    fisher : {"exact", "empirical"}
        "exact": the expectation over the labels that the model itself would give, as published; it
        takes one backward pass over the task's training data per class. "empirical": the true
        labels only, in one pass.

    Raises
    ------
    ConfigError
        c is negative, or `fisher` is unknown.

    References
    ----------
    Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, PNAS.
    Huszár (2018), Note on the quadratic penalties in elastic weight consolidation, PNAS.
    """

    name = "ewc"
    kept = ("constant",)
    separate = False  # it learns nothing from `grad`

    def __init__(self, c: Strengths, *, fisher: str = "exact") -> None:
        super().__init__(c)
        if fisher not in FISHERS:
            raise ConfigError(f"fisher: expected one of {FISHERS}, found {fisher!r}")
        self.fisher = fisher

    def check(self, net: Network, tasks: list[Task]) -> None:
        super().check(net, tasks)
        check_layers(net)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.constant = synapses.xp.zeros(synapses.lead, synapses.dtype)

    def estimate(self, net: Network | None, task: Task | None) -> Array:
        """Return the diagonal Fisher information of the task at the present weights, (..., P)."""
        if net is None or task is None:
            raise ConfigError(f"end_task: {self.name} needs the network and the task, found none")
        x, labels = task.part("train")
        if self.fisher == "exact":
            return diagonal_fisher(net, x, task.active)
        return empirical_fisher(net, x, labels, task.active)

    def end_task(self, net: Network | None = None, task: Task | None = None) -> None:
        s, F = self.synapses, self.estimate(net, task)
        xp = s.xp
        total = s.Omega + F
        share = F / xp.where(total > 0, total, 1)  # 0/0 = 0: without importance there is no pull
        change = s.theta - s.theta_ref
        self.constant += (s.Omega * share * change**2).sum(axis=-1)
        s.theta_ref[...] += share * change
        s.Omega[...] = total
        s.omega[...] = 0  # another rule may have used it before this one took over
        self.refresh()

    def penalty(self) -> Array:
        return super().penalty() + self._c.reshape(self.c.shape) * self.constant


class OnlineEWC(EWC):
    """Elastic weight consolidation with one running penalty, around the last optimum.

    Ω ← γ Ω + F and θ̃ ← θ: of old tasks, only their Fisher information is remembered.

    Parameters
    ----------
    c, fisher
        As for `EWC`.
    gamma : float
        The share of the old importance that stays, 0 ≤ γ ≤ 1.

    References
    ----------
    Schwarz et al. (2018), Progress & Compress, ICML.
    """

    name = "online-ewc"

    def __init__(self, c: Strengths, *, gamma: float = 1.0, fisher: str = "exact") -> None:
        super().__init__(c, fisher=fisher)
        if np.ndim(gamma) or np.asarray(gamma).dtype.kind not in "iuf" or not 0 <= gamma <= 1:
            raise ConfigError(f"gamma: expected 0 ≤ γ ≤ 1, found {gamma!r}")
        self.gamma = float(gamma)

    def end_task(self, net: Network | None = None, task: Task | None = None) -> None:
        s, F = self.synapses, self.estimate(net, task)
        s.Omega[...] *= self.gamma
        s.Omega[...] += F
        s.theta_ref[...] = s.theta
        s.omega[...] = 0
        self.refresh()
