r"""Memory aware synapses (Aljundi et al., 2018).

A synapse is important if a small change of it changes the network's output, whatever the labels
are. When a task ends, Ω grows by the mean over the task's training examples of

.. math:: \Bigl|\frac{∂ \|z(x)\|^2}{∂θ}\Bigr|

where z are the logits of the task's active units. The absolute value is that of *each example's*
gradient: where some examples raise the output and others lower it, the gradient of the mean is
about 0, though the synapse matters to all of them.
"""

from pysi.errors import ConfigError
from pysi.network import Network
from pysi.rules.fisher import batches, check_layers, sum_over_examples
from pysi.rules.quadratic import QuadraticPenalty
from pysi.tasks import Task
from pysi.typing import Array


def sensitivity(net: Network, x: Array, active: Array, *, batch: int = 1000) -> Array:
    """Return the mean over examples of ``|∂‖z‖²/∂θ|``, with z the active logits.

    It takes one backward pass, and does not change the table.

    Parameters
    ----------
    net : Network
    x : array, ``(..., N, *input_shape)``
        Inputs of the data set to average over.
    active : array of bool, (K,)
        The units of the readout that take part.
    batch : int
        How many examples are taken at a time: this bounds the memory, and changes nothing else.

    Returns
    -------
    array, (..., P)
        In units of logit² / weight.
    """
    total, n = net.synapses.zeros(), x.shape[-1 - len(net.input_shape)]
    for _, shown in batches(net, x, batch):
        z = net.forward(shown)
        total += sum_over_examples(net, abs, 2 * z * active)
    return total / n


class MAS(QuadraticPenalty):
    """Memory aware synapses: Ω is how much a synapse moves the output, added up over tasks.

    In task-incremental learning the output is that of the task's own units, since units of other
    tasks take no part. In class-incremental learning, or with a shared readout, it is that of all
    active units. The labels are not used.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0 of the penalty c Σ Ω (θ - θ̃)², λ of Aljundi et al.

    References
    ----------
    Aljundi, Babiloni, Elhoseiny, Rohrbach & Tuytelaars (2018), Memory aware synapses: Learning what
    (not) to forget, ECCV.
    """

    name = "mas"
    separate = False

    def check(self, net: Network, tasks: list[Task]) -> None:
        super().check(net, tasks)
        check_layers(net, abs)

    def end_task(self, net: Network | None = None, task: Task | None = None) -> None:
        if net is None or task is None:
            raise ConfigError(f"end_task: {self.name} needs the network and the task, found none")
        s, (x, _) = self.synapses, task.part("train")
        s.Omega[...] += sensitivity(net, x, task.active)
        s.theta_ref[...] = s.theta
        s.omega[...] = 0  # another rule may have used it before this one took over
        self.refresh()
