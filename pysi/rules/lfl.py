r"""Less-forgetting learning (Jung et al., 2016).

All tasks share one readout, and with it the boundaries between its classes. So from the second task
on the readout is frozen, and what it receives, the last hidden layer f(x), must stay close to what
the old network computed for the same new examples:

.. math:: L = \text{CE} + λ_e\, \tfrac12 \sum_n \lVert f(x_n) - \bar f(x_n) \rVert^2 .
"""

from copy import deepcopy
from typing import Any

from pysi.arguments import choice
from pysi.backend import to_host
from pysi.errors import ConfigError
from pysi.rules.functional import Functional, readout
from pysi.synapses import Synapses, Update
from pysi.typing import Array, Strengths

REDUCTIONS = ("sum", "mean")


class LFL(Functional):
    """Less-forgetting learning: a frozen readout, and features that stay where they were.

    Parameters
    ----------
    c : float or sequence of float
        Strength λ_e ≥ 0; published for MNIST, according to a secondary source: 1.6e-3.
    reduction : {"sum", "mean"}
        "sum": ½ Σ (f - f̄)² over the units and the examples of a minibatch, as published. "mean":
        the mean of (f - f̄)² over both, as in libraries. For B examples and d units, λ_e with
        "mean" is the same as λ_e · 2 / (B d) with "sum": the two differ by a factor of B d / 2.

    Raises
    ------
    ConfigError
        c is negative, or the reduction is unknown.

    References
    ----------
    Jung, Ju, Jung & Kim (2016), Less-forgetting learning in deep neural networks, arXiv:1607.00122.
    """

    name = "lfl"
    old: Any = None
    """The old network; None in the first task."""
    active: Any = None
    """The classes of the tasks that it has learned."""

    def __init__(self, c: Strengths, *, reduction: str = "sum") -> None:
        super().__init__(c)
        self.reduction = choice("reduction", reduction, REDUCTIONS)

    def check(self, net: Any, tasks: list[Any]) -> None:
        super().check(net, tasks)
        if not any(layer.parameters for layer in net.layers[:-1]):
            raise ConfigError(
                f"layers: {self.name} expected layers with weights before the last one, which is "
                "frozen after the first task, found none"
            )
        goes_on = self.synapses is net.synapses and net.learned and self.active is not None
        active = self.active if goes_on else to_host(tasks[0].active)
        for task in tasks:
            other = (to_host(task.active) != active).any()
            if other or task.cumulative:
                found = "other classes than before" if other else "one whose classes accumulate"
                raise ConfigError(
                    f"task {task.name!r}: {self.name} expected tasks that share one readout, with "
                    f"the same active classes in all, because the readout is frozen after the "
                    f"first task, found {found}; use the scenario 'domain' or permuted tasks"
                )

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.old, self.active = None, None
        self._free = synapses.zeros() + 1
        for group in readout(synapses):
            self._free[..., group.columns] = 0

    def start_task(self, net: Any, task: Any) -> None:
        super().start_task(net, task)
        if self.learned:
            self.old = deepcopy(net)
            self.old.synapses.theta[...] = net.synapses.theta_ref

    def output_gradient(self, net: Any, x: Array, logits: Array) -> tuple[Any, Any] | None:
        if self.old is None or not self.c.any():
            return None
        self.old.forward(x)
        error = net.features - self.old.features
        weight = 1.0 if self.reduction == "sum" else 2 / (error.shape[-2] * error.shape[-1])
        self.value = self._c * ((error * error).sum(axis=(-2, -1)) * (weight / 2))
        return None, self._c[..., None, None] * (error * weight)

    def modulate(self, delta: Any, rows: Update) -> Any:
        return delta * rows.part(self._free) if self.learned else delta

    def end_task(self, net: Any = None, task: Any = None) -> None:
        super().end_task(net, task)
        self.old, self.active = None, to_host(task.active)
