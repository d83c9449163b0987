r"""The matrix Q, whose diagonal is the importance ω (Section 4, Eqs. 10 to 14).

.. math:: Q = τ ∫_0^∞ \frac{dθ}{dt} \frac{dθ}{dt}^⊤ dt \qquad \text{(Eq. 10)}, \qquad
          Q_{ij} = \sum_{αβ} u_i^α d_α \frac{λ_α λ_β}{λ_α + λ_β} d_β u_j^β \qquad \text{(Eq. 11)}

on a quadratic loss with Hessian H, from a start at d = θ(0) - θ*. The trace of Q is the loss drop.

Gradient *descent* with step η sums where gradient flow integrates. The sum is known as well: its
denominator is λ_α + λ_β - η λ_α λ_β, which is Eq. 11 with every λ replaced by λ / (1 - ηλ/2).
So descent on H measures the importances of flow on the slightly sharper H (1 - ηH/2)⁻¹.

The printed Eq. 13 has two slips (see `Q_diagonal`). What Q says about Ω is in `normalization`.
"""

import numpy as np
from numpy.typing import ArrayLike

from pysi.arguments import is_whole
from pysi.errors import ConfigError
from pysi.theory.quadratic import modes
from pysi.typing import Array


def Q_sum(path: ArrayLike, gradients: ArrayLike) -> Array:
    """Return Q along a path of real steps: -Σ_t g_i Δθ_j, Eq. 10 as a sum.

    Its diagonal is the ω that the table of synapses accumulates (Eq. 3).

    Parameters
    ----------
    path : array_like, (..., T + 1, P)
        θ before the first step and after each.
    gradients : array_like, (..., T, P)
        g before each step.

    Returns
    -------
    ndarray, (..., P, P)
        In units of the loss. Symmetric for gradient descent, where it is η Σ g gᵀ.

    Raises
    ------
    ConfigError
        There is not one gradient per step.
    """
    steps, gradients = np.diff(path, axis=-2), np.asarray(gradients, dtype=float)
    if gradients.shape != steps.shape:
        raise ConfigError(f"gradients: expected shape {steps.shape}, found {gradients.shape}")
    return -np.swapaxes(gradients, -1, -2) @ steps


def checked(H: ArrayLike, d: ArrayLike) -> tuple[Array, Array, Array]:
    """Return λ, u and d as arrays; raise a ConfigError if d does not fit H."""
    eigenvalues, eigenvectors = modes(H)
    d = np.asarray(d, dtype=float)
    if d.shape[-1:] != eigenvalues.shape:
        raise ConfigError(f"d: expected shape (..., {eigenvalues.size}), found {d.shape}")
    return eigenvalues, eigenvectors, d


def check_lr(lr: float, largest: float) -> None:
    """Raise a ConfigError unless descent with step η converges for curvatures up to `largest`."""
    if not (lr > 0 and lr * largest < 2):
        raise ConfigError(f"lr: expected η > 0 with ηλ < 2 for λ up to {largest}, found {lr}")


def check_steps(steps: int | None) -> None:
    """Raise a ConfigError unless this is a number of steps, or None for infinitely many."""
    if steps is not None and not is_whole(steps):
        raise ConfigError(f"steps: expected a whole number from 1, or None, found {steps!r}")


def divide(a: Array, b: Array) -> Array:
    """Return the ratio a / b, with 0/0 = 0: a synapse that never moved has no importance."""
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def _coupling(a: Array) -> Array:
    """Return λ_α λ_β / (λ_α + λ_β) for all pairs of modes, 0 where both are 0."""
    return divide(a[:, None] * a, a[:, None] + a)


def _from_modes(u: Array, coupling: Array, d: Array) -> Array:
    """Return Σ_αβ u_i^α d_α coupling_αβ d_β u_j^β."""
    d = d @ u
    return u @ (d[..., :, None] * coupling * d[..., None, :]) @ u.T


def Q_flow(H: ArrayLike, d: ArrayLike) -> Array:
    """Return Q of gradient flow, Eq. 11: it depends on the path's shape, not on the constant τ.

    Parameters
    ----------
    H : array_like, (P, P)
        Hessian, symmetric, without negative eigenvalues (loss / weight²).
    d : array_like, (..., P)
        θ(0) - θ*, in the coordinates of the parameters.

    Returns
    -------
    ndarray, (..., P, P)
        In units of the loss.
    """
    eigenvalues, u, d = checked(H, d)
    return _from_modes(u, _coupling(eigenvalues), d)


def one_minus_power(x: Array, n: int) -> Array:
    """Return 1 - (1 - x)ⁿ for 0 ≤ x < 2, to full relative precision for small x."""
    small = np.minimum(x, 0.5)
    return np.where(x < 0.5, -np.expm1(n * np.log1p(-small)), 1 - (1 - x) ** n)


def Q_descent(H: ArrayLike, d: ArrayLike, lr: float, steps: int | None = None) -> Array:
    """Return Q of gradient descent with step η, exactly: η Σ_t g gᵀ with g = H (1 - ηH)^t d.

    Each pair of modes is a geometric series with the factor ρ_α ρ_β, ρ = 1 - ηλ. Its sum is Eq. 11
    with the denominator λ_α + λ_β - η λ_α λ_β, times 1 - (ρ_α ρ_β)ⁿ after n steps.

    Parameters
    ----------
    H, d : array_like
        As in `Q_flow`.
    lr : float
        Learning rate η, 0 < ηλ < 2.
    steps : int, optional
        Number of steps n ≥ 1; by default infinitely many.

    Returns
    -------
    ndarray, (..., P, P)
        In units of the loss; it differs from `Q_flow` by O(η).

    Raises
    ------
    ConfigError
        Descent does not converge with this step, or `steps` is not a valid number.
    """
    eigenvalues, u, d = checked(H, d)
    check_lr(lr, eigenvalues[-1])
    check_steps(steps)
    coupling = _coupling(eigenvalues / (1 - lr * eigenvalues / 2))
    if steps is not None:
        x = lr * eigenvalues
        coupling = coupling * one_minus_power(x[:, None] + x - x[:, None] * x, steps)
    return _from_modes(u, coupling, d)


def Q_lyapunov(H: ArrayLike, d: ArrayLike, lr: float = 0.0) -> Array:
    """Return Q as the solution of HQ + QH - ηHQH = H d dᵀ H: no eigenmodes, no path.

    With B = (1 - ηH/2)⁻¹ H the equation is BQ + QB = B d dᵀ B, for flow (η = 0) and descent alike.
    It determines Q on the range of H only; outside it nothing moves and Q is zero. Rounding errors
    are of the order ε λ_max / λ_min (the smallest λ > 0); those of Eq. 11 are not.

    Parameters
    ----------
    H, d, lr
        As in `Q_descent`, with one d of shape (P,); lr = 0 is gradient flow.

    Returns
    -------
    ndarray, (P, P)
    """
    from scipy.linalg import solve_continuous_lyapunov

    eigenvalues, u, d = checked(H, d)
    if lr:
        check_lr(lr, eigenvalues[-1])
    basis = u[:, eigenvalues > 0]
    if not basis.size:
        return np.zeros_like(u)
    h = basis.T @ H @ basis
    B = np.linalg.solve(np.eye(len(h)) - lr * h / 2, h)
    v = B @ (basis.T @ d)
    return basis @ solve_continuous_lyapunov(B, np.outer(v, v)) @ basis.T


def Q_mean(H: ArrayLike, sigma: float) -> Array:
    """Return ⟨Q⟩ = ½ σ² H, Eq. 12: flow from uncorrelated d_k of mean 0 and variance σ²."""
    return 0.5 * sigma**2 * np.asarray(H, dtype=float)


def Q_variance(H: ArrayLike, sigma: float) -> Array:
    """Return the variance of every Q_ij of flow over Gaussian starts, d ~ N(0, σ²).

    Q_ij = Σ_αβ K_αβ d_α d_β with K_αβ = u_i^α u_j^β λ_α λ_β / (λ_α + λ_β), a quadratic form. Wick's
    theorem gives its variance σ⁴ Σ_αβ K_αβ (K_αβ + K_βα): an array (P, P), in loss².
    """
    eigenvalues, u = modes(H)
    squared = _coupling(eigenvalues) ** 2
    pairs = u[:, None, :] * u  # u_i^α u_j^α
    return sigma**4 * (u**2 @ squared @ u.T**2 + ((pairs @ squared) * pairs).sum(axis=-1))


def Q_monte_carlo(H: ArrayLike, sigma: float, n: int, rng: np.random.Generator) -> Array:
    """Return the mean of Q over n random starts, d ~ N(0, σ²): an estimate of Eq. 12, (P, P).

    Q is linear in d dᵀ, so its mean follows from the mean of d dᵀ, without a loop.
    """
    eigenvalues, u = modes(H)
    d = sigma * rng.standard_normal((n, len(u))) @ u
    return u @ (_coupling(eigenvalues) * (d.T @ d / n)) @ u.T


def Q_diagonal(H: ArrayLike, d: ArrayLike) -> Array:
    """Return the diagonal of Q of flow for a diagonal H: Q_kk = ½ d_k² H_kk, an array (..., P).

    The printed Eq. 13 lacks the ½ that Eq. 11 gives, λ²/(λ + λ). So ω / Δ² is ½H, and the penalty
    Σ Ω Δ² with c = 1 is the old loss itself. The δ_ij of Eq. 13 says that Q is diagonal, but only
    its mean over starts is: Eq. 11 gives Q_ij = d_i d_j λ_i λ_j / (λ_i + λ_j). Synapses use only
    the diagonal. Raises a ConfigError if H is not diagonal.
    """
    eigenvalues = np.diagonal(H)
    if not np.array_equal(H, np.diag(eigenvalues)):
        raise ConfigError("H: expected a diagonal matrix, found entries off the diagonal")
    return 0.5 * np.square(d) * eigenvalues


def Q_rank_one(H: ArrayLike, d: ArrayLike) -> Array:
    """Return Q of flow for H = λ₁ u uᵀ: ½ (u · d)² H, Eq. 14, an array (..., P, P).

    Raises a ConfigError if H has another rank.
    """
    eigenvalues, u, d = checked(H, d)
    if np.count_nonzero(eigenvalues) != 1:
        raise ConfigError(f"H: expected rank 1, found rank {np.count_nonzero(eigenvalues)}")
    return 0.5 * np.square(d @ u[:, -1])[..., None, None] * np.asarray(H, dtype=float)
