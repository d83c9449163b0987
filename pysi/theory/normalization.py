r"""From Q to Ω: importance divided by movement (Section 4, the normalisation of Eq. 5).

.. math:: Ω_k = \frac{Q_{kk}}{Δ_k^2}, \qquad Δ = θ(∞) - θ(0)

on a quadratic loss, at ξ = 0 and with 0/0 = 0. For a diagonal H this is ½H_kk. The paper claims it
for other H too; `Omega_per_parameter` and `ratio_of_means` say what holds in general.
"""

import numpy as np
from numpy.typing import ArrayLike

from pysi.errors import ConfigError
from pysi.theory.importance import (
    Q_flow,
    check_lr,
    check_steps,
    checked,
    divide,
    one_minus_power,
)
from pysi.typing import Array


def movement(H: ArrayLike, d: ArrayLike) -> Array:
    """Return Δ = θ(∞) - θ(0) = -Π d of flow, with Π the projector on the range of H: (..., P).

    It is a weight. An entry within rounding of 0, relative to the length of d, is set to 0, so that
    a synapse that does not move can be recognised.
    """
    eigenvalues, u, d = checked(H, d)
    change = -(d @ u * (eigenvalues > 0)) @ u.T
    rounding = 16 * len(u) * np.finfo(float).eps * np.linalg.norm(d, axis=-1, keepdims=True)
    return np.where(abs(change) > rounding, change, 0.0)


def Omega_per_parameter(H: ArrayLike, d: ArrayLike) -> Array:
    """Return Ω_k = Q_kk / Δ_k² of flow, Eq. 5 at ξ = 0, with 0/0 = 0: (..., P), in loss / weight².

    For H of rank one this is ½λ₁ for *every* synapse that moves, not ½H_kk as the text after Eq. 14
    says: Q_kk and Δ_k² both contain u_k². `Omega_whole_movement` gives ½H_kk.
    """
    return divide(np.diagonal(Q_flow(H, d), axis1=-2, axis2=-1), movement(H, d) ** 2)


def Omega_whole_movement(H: ArrayLike, d: ArrayLike) -> Array:
    """Return Q_kk / Σ Δ² of flow: importance over the movement of all synapses together, (..., P).

    For H of rank one this is ½H_kk. Multiplied by Σ Δ² it sums to the loss drop; multiplied by
    Δ_k², as in Eq. 4, to less than that: for rank one by the factor Σ u_k⁴.
    """
    whole = (movement(H, d) ** 2).sum(axis=-1, keepdims=True)
    return divide(np.diagonal(Q_flow(H, d), axis1=-2, axis2=-1), whole)


def ratio_of_means(H: ArrayLike) -> Array:
    """Return ⟨Q_kk⟩ / ⟨Δ_k²⟩ over random starts as in Eq. 12: ½H_kk / Π_kk, an array (P,).

    The paper says that the denominator of Eq. 5 averages to σ². That is true for H of full rank,
    where this ratio is ½H_kk. In general the denominator averages to σ²Π_kk, with Π the projector
    on the range of H. The mean of the *ratio* Q_kk / Δ_k² is another thing; see `mean_of_ratios`.
    """
    H = np.asarray(H, dtype=float)
    projector = -movement(H, np.eye(len(H)))
    return divide(0.5 * np.diagonal(H), np.diagonal(projector))


def mean_of_ratios(H: ArrayLike, n: int, rng: np.random.Generator) -> Array:
    """Return the running mean of Ω_k = Q_kk / Δ_k² over n Gaussian starts, (n, P).

    It does not converge. Unless e_k is an eigenvector or H has rank one, Q_kk stays positive where
    Δ_k passes through 0. The ratio exceeds r with a probability ∝ r^-½, so its mean is infinite.
    """
    H = np.asarray(H, dtype=float)
    ratios = Omega_per_parameter(H, rng.standard_normal((n, len(H))))
    return np.cumsum(ratios, axis=0) / np.arange(1, n + 1)[:, None]


def Omega_descent(h: ArrayLike, lr: float, steps: int | None = None) -> Array:
    r"""Return Ω of one synapse after descent on ½ h (θ - θ*)², at ξ = 0; h may have any shape.

    .. math:: Ω_n = \frac{h/2}{1 - ηh/2} \, \frac{1 + ρ^n}{1 - ρ^n}, \qquad ρ = 1 - ηh,

    for n steps, and only the first factor for infinitely many; 0 for h = 0, where nothing moves.

    Raises
    ------
    ConfigError
        A curvature h is negative, a step is outside 0 < ηh < 2, or `steps` is not a valid number.
    """
    h = np.asarray(h, dtype=float)
    if np.any(h < 0):
        raise ConfigError(f"h: expected curvatures h ≥ 0, found {h.min()}")
    check_lr(lr, h.max())
    check_steps(steps)
    limit = (h / 2) / (1 - lr * h / 2)
    if steps is None:
        return limit
    missing = one_minus_power(lr * h, steps)  # 1 - ρⁿ
    return divide(limit * (2 - missing), missing)
