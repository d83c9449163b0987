"""Rules that keep what a network computes, where others keep its weights.

When a task begins, the network is compared with the old one: with itself as it was when the last
task ended. The old network needs no memory of its own between tasks, since its weights are the row
θ̃ of the table. This also holds when a run goes on in the middle of a task, where θ has moved.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pysi.arguments import strengths
from pysi.errors import ConfigError
from pysi.rules.rule import Rule
from pysi.synapses import SynapseGroup, Synapses
from pysi.typing import Array, Strengths


class Functional(Rule):
    """Add c times a distance from the old network's function to the loss.

    Subclasses set `value` in `output_gradient`, and say what they learn from a task in `end_task`.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0, finite. With R networks, one value for all or one per network.
    """

    kept: tuple[str, ...] = ("learned",)
    separate = False
    learned = 0
    """How many tasks it has learned."""
    value: Any = None
    """What it has added to the loss of the last minibatch; None if nothing."""

    def __init__(self, c: Strengths) -> None:
        self.c = strengths("c", c)

    def check(self, net: Any, tasks: list[Any]) -> None:
        if self.c.ndim and self.c.shape != net.synapses.lead:
            found = f"{len(self.c)} for networks of leading axes {net.synapses.lead}"
            raise ConfigError(f"c: expected one value, or one per network, found {found}")

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        synapses.theta_ref[...] = synapses.theta
        self.learned, self.value = 0, None
        self._c = synapses.xp.asarray(self.c, dtype=synapses.dtype)

    def start_task(self, net: Any, task: Any) -> None:
        self.value = None

    def end_task(self, net: Any = None, task: Any = None) -> None:
        if task is None:
            raise ConfigError(f"end_task: {self.name} needs the task, found none")
        self.synapses.theta_ref[...] = self.synapses.theta
        self.learned += 1

    def penalty(self) -> Array:
        return super().penalty() if self.value is None else self.value


@contextmanager
def old_weights(synapses: Synapses) -> Iterator[None]:
    """Return a context in which θ is θ̃, so that the network is the old one."""
    now = synapses.theta.copy()
    synapses.theta[...] = synapses.theta_ref
    try:
        yield
    finally:
        synapses.theta[...] = now


def readout(synapses: Synapses) -> list[SynapseGroup]:
    """Return the weights of the last layer."""
    last = list(synapses.shapes)[-1].rpartition(".")[0]
    return [synapses.group(n) for n in synapses.shapes if n.rpartition(".")[0] == last]
