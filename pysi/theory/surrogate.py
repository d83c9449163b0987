r"""The surrogate loss: all that a synapse remembers of a task (Eqs. 4 and 5, Figure 2).

After a task, the paper replaces the task's loss by a diagonal quadratic around its last weights,

.. math:: L_\mathrm{end} + \sum_k Ω_k (θ_k - \tilde θ_k)^2, \qquad
          Ω_k = \frac{ω_k}{Δ_k^2 + ξ}, \quad Δ_k = \tilde θ_k - θ_k(0).

At ξ = 0 three conditions determine it:

- its *minimum* is where training ended;
- its *displacement* is the same: descent on it from θ(0) ends there too (if every Ω_k > 0);
- its *drop* is the same, synapse by synapse: :math:`Ω_k Δ_k^2 = ω_k`.

Among diagonal quadratics it is the only one, if every Δ_k ≠ 0. The total drop :math:`\sum_k ω_k`
alone would not be enough: any other division of it among the synapses gives another diagonal
quadratic with the same minimum, displacement and total (`same_total`).

Take two tasks, and let the old loss *be* a diagonal quadratic that was learned to its minimum. Then
new loss plus surrogate, at c = 1, has the same minimiser as new loss plus old loss. For a general
quadratic the two minimisers differ (`joint_minima` gives both).
"""

from dataclasses import dataclass

import numpy as np

from pysi.errors import ConfigError
from pysi.theory.importance import divide
from pysi.theory.normalization import Omega_per_parameter, movement
from pysi.theory.quadratic import Quadratic
from pysi.typing import Array


@dataclass(frozen=True)
class DiagonalQuadratic:
    """A loss without interactions between synapses: value L_end + Σ Ω (θ - θ̃)².

    Attributes
    ----------
    theta_ref : ndarray, (P,)
        Its minimum θ̃.
    Omega : ndarray, (P,)
        Half its curvature, in units of loss / weight².
    loss_end : float
        Its value at the minimum.
    """

    theta_ref: Array
    Omega: Array
    loss_end: float = 0.0

    def value(self, theta: Array) -> Array:
        """Return the loss, (...), at weights theta (..., P)."""
        return self.loss_end + (self.Omega * (theta - self.theta_ref) ** 2).sum(axis=-1)

    def gradient(self, theta: Array) -> Array:
        """Return the derivative 2Ω(θ - θ̃), (..., P), at weights theta (..., P)."""
        return 2 * self.Omega * (theta - self.theta_ref)

    def drops(self, theta_start: Array) -> Array:
        """Return by how much each synapse lowers the loss from theta_start to the minimum."""
        return self.Omega * (self.theta_ref - theta_start) ** 2


def surrogate(
    theta_start: Array, theta_end: Array, omega: Array, *, loss_end: float = 0.0, xi: float = 0.0
) -> DiagonalQuadratic:
    """Return the paper's surrogate of a loss, after descent from theta_start to theta_end.

    Parameters
    ----------
    theta_start, theta_end : ndarray, (P,)
        Weights before and after the task.
    omega : ndarray, (P,)
        Path integral of every synapse, Eq. 3 (loss).
    loss_end : float
        The task's loss at theta_end.
    xi : float
        Damping ξ ≥ 0 of Eq. 5 (weight²). With ξ = 0, a synapse that did not move gets 0/0 = 0.

    Returns
    -------
    DiagonalQuadratic
    """
    if not (np.isfinite(xi) and xi >= 0):
        raise ConfigError(f"xi: expected a finite damping ξ ≥ 0, found {xi}")
    Omega = divide(omega, (theta_end - theta_start) ** 2 + xi)  # Eq. 5, with 0/0 = 0
    return DiagonalQuadratic(theta_end, Omega, loss_end)


def same_total(
    theta_start: Array, theta_end: Array, drop: float, shares: Array, *, loss_end: float = 0.0
) -> DiagonalQuadratic:
    """Return a diagonal quadratic with this minimum, displacement and *total* drop.

    There is one for every choice of the shares.

    Parameters
    ----------
    theta_start, theta_end : ndarray, (P,)
        Weights before and after the task, different in every synapse.
    drop : float
        The loss at theta_start minus the loss at theta_end.
    shares : ndarray, (P,)
        Part of the drop that is credited to each synapse; they sum to 1. The shares ω / Σω give the
        paper's surrogate.

    Returns
    -------
    DiagonalQuadratic

    Raises
    ------
    ConfigError
        The shares do not sum to 1, or a synapse did not move.
    """
    if not np.isclose(np.sum(shares), 1):
        raise ConfigError(f"shares: expected a sum of 1, found {np.sum(shares)}")
    if np.any(theta_end == theta_start):
        raise ConfigError("theta_end: expected every synapse to have moved, found one that did not")
    return surrogate(theta_start, theta_end, drop * np.asarray(shares), loss_end=loss_end)


def hessian_approximation(
    curvature: Array, theta_end: Array, *, loss_end: float = 0.0
) -> DiagonalQuadratic:
    """Return the other quadratic of Figure 2: second order at the minimum, Ω = ½ ∂²L/∂θ².

    Parameters
    ----------
    curvature : ndarray, (P,)
        Diagonal of the Hessian at theta_end.
    theta_end : ndarray, (P,)
    loss_end : float

    Returns
    -------
    DiagonalQuadratic
        It depends on the end of the path alone, not on the way there.
    """
    return DiagonalQuadratic(theta_end, np.asarray(curvature) / 2, loss_end)


def joint_minima(
    old: Quadratic, new: Quadratic, theta_start: Array, *, c: float = 1.0
) -> tuple[Array, Array]:
    r"""Return where two tasks are best solved together, and where Eq. 4 leads instead.

    The old task is learned from theta_start by gradient flow until it stops, which gives ω (Eq. 11)
    and the surrogate. Sums of quadratics are minimised by a linear system:
    :math:`(A + B) θ = A θ_A^* + B θ_B^*`.

    Parameters
    ----------
    old, new : pysi.theory.quadratic.Quadratic
        The sum of both losses must have a single minimum, and so must new loss plus surrogate.
    theta_start : ndarray, (P,)
        The weights at which training on the old task begins.
    c : float
        Strength of the surrogate in Eq. 4.

    Returns
    -------
    joint, consolidated : ndarray, (P,)
        Minimiser of old + new loss, and of new loss + c · surrogate. They are equal at c = 1 if the
        old Hessian is diagonal.
    """
    d = theta_start - old.minimum
    theta_end = theta_start + movement(old.H, d)
    S = 2 * c * np.diag(Omega_per_parameter(old.H, d))
    joint = np.linalg.solve(old.H + new.H, old.H @ old.minimum + new.H @ new.minimum)
    consolidated = np.linalg.solve(S + new.H, S @ theta_end + new.H @ new.minimum)
    return joint, consolidated
