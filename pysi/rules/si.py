r"""Synaptic Intelligence (Zenke, Poole & Ganguli, 2017).

While a task is learned, each synapse adds up how much its own movement has lowered the loss,

.. math:: ω_k ← ω_k - g_k Δθ_k \qquad \text{(Eq. 3)},

and when the task ends, it divides this by the square of its movement, which gives a curvature,

.. math:: Ω_k ← \max\Bigl(0,\; Ω_k + \frac{ω_k}{Δ_k^2 + ξ}\Bigr), \quad Δ_k = θ_k - \tilde θ_k
          \qquad \text{(Eq. 5)}.

Three things are easy to get wrong. g is the gradient of the task's loss *alone*. Δθ is the step
that was *really made*, by the optimizer that follows the loss with its penalty. And Ω is *added up*
over tasks.
"""

from typing import Any

from pysi.arguments import choice, number
from pysi.backend import elementwise
from pysi.rules.quadratic import QuadraticPenalty
from pysi.synapses import Update
from pysi.typing import Strengths

CLAMPS = ("cumulative", "per_task", "none")


@elementwise
def path_integral(omega, g, delta):
    """Return the new path integral, ω - g Δθ (Eq. 3)."""
    return omega - g * delta


class SynapticIntelligence(QuadraticPenalty):
    """Synaptic Intelligence, Eqs. 3 to 5.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0 of the penalty c Σ Ω (θ - θ̃)²; dimensionless.
    xi : float
        Damping ξ ≥ 0 of Eq. 5, in units of θ². With ξ = 0, a synapse that never moved gets 0/0 = 0.
    clamp : {"cumulative", "per_task", "none"}
        Where negative importance is cut off: from the sum over tasks, as in the authors' code; from
        each task's contribution; or nowhere, as Eq. 5 is printed.
    """

    name = "si"

    def __init__(self, c: Strengths = 1.0, *, xi: float = 1e-3, clamp: str = "cumulative") -> None:
        super().__init__(c)
        self.xi = number("xi", xi, "a finite damping ξ ≥ 0", lambda xi: xi >= 0)
        self.clamp = choice("clamp", clamp, CLAMPS)

    def after_step(self, rows: Update, delta: Any) -> None:
        rows.omega[...] = path_integral(rows.omega, rows.grad, delta)

    def end_task(self, net: Any = None, task: Any = None) -> None:
        s = self.synapses
        xp = s.xp
        change = s.theta - s.theta_ref
        denominator = change * change + self.xi
        moved = denominator > 0  # false only for 0/0 at ξ = 0
        contribution = xp.where(moved, s.omega / xp.where(moved, denominator, 1), 0)
        if self.clamp == "per_task":
            xp.maximum(contribution, 0, out=contribution)
        s.Omega[...] += contribution
        if self.clamp == "cumulative":
            xp.maximum(s.Omega, 0, out=s.Omega)
        s.theta_ref[...] = s.theta
        s.omega[...] = 0
        self.refresh()
