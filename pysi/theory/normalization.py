r"""From Q to Ω: importance divided by movement (Section 4, the normalisation of Eq. 5).

.. math:: Ω_k = \frac{Q_{kk}}{Δ_k^2}, \qquad Δ = θ(∞) - θ(0)

on a quadratic loss, at ξ = 0 and with 0/0 = 0. For a diagonal H this is ½H_kk. The paper says more
than that about it; what holds in general is in `Omega_per_parameter` and `ratio_of_means`.
"""

import numpy as np

from pysi.errors import ConfigError
from pysi.theory.importance import (
    Q_flow,
    check_lr,
    check_steps,
    checked,
    divide,
    one_minus_power,
)


def movement(H, d):
    """Δ = θ(∞) - θ(0) = -Π d of flow, Π the projector on the range of H; (..., P), a weight.

    What is within rounding of 0, relative to the longest d, is set to 0, so that a synapse which
    does not move can be told.
    """
    eigenvalues, u, d = checked(H, d)
    change = -(d @ u * (eigenvalues > 0)) @ u.T
    rounding = 16 * len(u) * np.finfo(float).eps * np.linalg.norm(d, axis=-1, keepdims=True)
    return np.where(abs(change) > rounding, change, 0.0)


def Omega_per_parameter(H, d):
    """Ω_k = Q_kk / Δ_k² of flow, Eq. 5 at ξ = 0, with 0/0 = 0: (..., P), in loss / weight².

    For H of rank one this is ½λ₁ for *every* synapse that moves, not the ½H_kk that the text after
    Eq. 14 has: Q_kk and Δ_k² both contain u_k². `Omega_whole_movement` gives ½H_kk.
    """
    return divide(np.diagonal(Q_flow(H, d), axis1=-2, axis2=-1), movement(H, d) ** 2)


def Omega_whole_movement(H, d):
    """Q_kk / Σ Δ² of flow: importance over the movement of all synapses together, (..., P).

    ½H_kk for H of rank one. Times Σ Δ² it sums to the loss drop, times Δ_k² (as in Eq. 4) it falls
    short of it: for rank one by the factor Σ u_k⁴.
    """
    whole = (movement(H, d) ** 2).sum(axis=-1, keepdims=True)
    return divide(np.diagonal(Q_flow(H, d), axis1=-2, axis2=-1), whole)


def ratio_of_means(H):
    """⟨Q_kk⟩ / ⟨Δ_k²⟩ over random starts as in Eq. 12: ½H_kk / Π_kk, an array (P,).

    The paper says that the denominator of Eq. 5 averages to σ²; that is true for H of full rank,
    where this is ½H_kk. In general it averages to σ²Π_kk, Π the projector on the range of H. The
    mean of the *ratio* Q_kk / Δ_k² is another thing; see `mean_of_ratios`.
    """
    projector = -movement(H, np.eye(len(H)))
    return divide(0.5 * np.diagonal(H), np.diagonal(projector))


def mean_of_ratios(H, n, rng):
    """The running mean of Ω_k = Q_kk / Δ_k² over n Gaussian starts, (n, P): it does not converge.

    Unless e_k is an eigenvector or H has rank one, Q_kk stays positive where Δ_k passes through 0.
    The ratio exceeds r with a probability ∝ r^-½, so its mean is infinite.
    """
    ratios = Omega_per_parameter(H, rng.standard_normal((n, len(H))))
    return np.cumsum(ratios, axis=0) / np.arange(1, n + 1)[:, None]


def Omega_descent(h, lr, steps=None):
    r"""Ω of one synapse after descent on ½ h (θ - θ*)², ξ = 0: h and result of any shape.

    .. math:: Ω_n = \frac{h/2}{1 - ηh/2} \, \frac{1 + ρ^n}{1 - ρ^n}, \qquad ρ = 1 - ηh,

    for n steps, and only the first factor for infinitely many; 0 for h = 0, where nothing moves.

    Raises
    ------
    ConfigError
        For h < 0, a step outside 0 < ηh < 2, or a bad number of steps.
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
