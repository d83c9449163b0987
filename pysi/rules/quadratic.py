"""The quadratic penalty of Eq. 4, which Synaptic Intelligence shares with its relatives."""

from typing import Any

from pysi.arguments import strengths
from pysi.backend import elementwise
from pysi.errors import ConfigError
from pysi.rules.rule import Rule
from pysi.synapses import Synapses, Update
from pysi.typing import Array, Strengths


@elementwise
def penalised(g, theta, theta_ref, pull):
    """Return g + 2c Ω (θ - θ̃), with pull = 2c Ω."""
    return (theta - theta_ref) * pull + g


class QuadraticPenalty(Rule):
    """Pull every synapse back to its reference weight: c Σ Ω (θ - θ̃)², gradient 2cΩ(θ - θ̃) (Eq. 4).

    Subclasses differ in how they find Ω and θ̃: `end_task` sets both in the table. The step reads
    2cΩ, which `pysi.train` then recomputes by `refresh`; call it after changing Ω by hand.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0, finite. With R networks, one value for all or one per network.
    """

    def __init__(self, c: Strengths) -> None:
        self.c = strengths("c", c)

    def check(self, net: Any, tasks: list[Any]) -> None:
        self.fit(net.synapses)

    def fit(self, synapses: Synapses) -> None:
        """Raise a ConfigError unless there is one strength, or one per network."""
        if self.c.ndim and self.c.shape != synapses.lead:
            found = f"{len(self.c)} for networks of leading axes {synapses.lead}"
            raise ConfigError(f"c: expected one value, or one per network, found {found}")

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.fit(synapses)
        c = self.c[..., None] if self.c.ndim else self.c
        synapses.theta_ref[...] = synapses.theta
        synapses.omega[...] = 0
        self._c = synapses.xp.asarray(c, dtype=synapses.dtype)
        self._pull = synapses.zeros()
        self.refresh()

    def refresh(self) -> None:
        """Recompute 2cΩ, which the step reads; if it is all zero, the step skips the penalty."""
        xp = self.synapses.xp
        xp.multiply(self.synapses.Omega, 2 * self._c, out=self._pull)
        self._consolidated = bool(xp.any(self._pull != 0).item())

    def total_gradient(self, rows: Update) -> Any:
        if not self._consolidated:
            return rows.grad
        return penalised(rows.grad, rows.theta, rows.theta_ref, rows.part(self._pull))

    def penalty(self) -> Array:
        s = self.synapses
        change = s.theta - s.theta_ref
        change *= change
        change *= self._pull
        return change.sum(axis=-1) / 2
