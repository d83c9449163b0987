"""The quadratic penalty of Eq. 4, which Synaptic Intelligence shares with its relatives."""

import numpy as np

from pysi.consolidation.rule import Rule
from pysi.errors import ConfigError


class QuadraticPenalty(Rule):
    """Pull every synapse back to its reference weight: c Σ Ω (θ - θ̃)², gradient 2cΩ(θ - θ̃) (Eq. 4).

    Subclasses differ in how they estimate Ω, and must call `refresh` whenever they changed it.

    Parameters
    ----------
    c : float or sequence of float
        Strength, c ≥ 0. With R networks, one value for all or one each.
    """

    def __init__(self, c):
        values = np.asarray(c, dtype=float)
        if values.ndim > 1 or not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ConfigError(f"c: expected a finite strength c ≥ 0, or one a network, found {c}")
        self.c = values

    def start(self, synapses):
        super().start(synapses)
        if self.c.ndim and self.c.shape != synapses.lead:
            raise ConfigError(
                f"c: expected one value, or one for each network of the table (leading axes "
                f"{synapses.lead}), found {self.c.shape[0]} values"
            )
        c = self.c[..., None] if self.c.ndim else self.c
        synapses.theta_ref[...] = synapses.theta
        synapses.omega[...] = 0
        self._c = synapses.xp.asarray(c, dtype=synapses.dtype)
        self._pull = synapses.zeros()
        self.refresh()

    def refresh(self):
        """Recompute 2cΩ, which the step reads; without any, the step skips the penalty."""
        xp = self.synapses.xp
        xp.multiply(self.synapses.Omega, 2 * self._c, out=self._pull)
        self._consolidated = bool(xp.any(self._pull != 0).item())

    def total_gradient(self, block):
        if not self._consolidated:
            return block.grad
        total = block.xp.subtract(block.theta, block.theta_ref, out=block.scratch("total"))
        total *= block.part(self._pull)
        total += block.grad
        return total

    def penalty(self):
        s = self.synapses
        change = s.theta - s.theta_ref
        change *= change
        change *= self._pull
        return change.sum(axis=-1) / 2
