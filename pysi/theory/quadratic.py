r"""A quadratic loss and gradient descent on it (Section 4, Eqs. 6 to 9).

.. math:: E(θ) = ½ (θ - θ^*)^⊤ H (θ - θ^*) \qquad \text{(Eq. 6)}

In the eigenbasis of H every coordinate (a *mode*) has a one-dimensional loss of its own and decays
independently, at the rate of its eigenvalue. All of Section 4 follows from that.
"""

import numpy as np
from numpy.typing import ArrayLike

from pysi.arguments import is_whole
from pysi.errors import ConfigError
from pysi.typing import Array


def random_hessian(
    eigenvalues: ArrayLike, rng: np.random.Generator, basis: str = "random"
) -> Array:
    """Return a symmetric matrix with these eigenvalues, up to rounding.

    Parameters
    ----------
    eigenvalues : array_like, (P,)
        λ ≥ 0, in any order; equal values and zeros make degenerate and low-rank matrices.
    rng : numpy.random.Generator
    basis : {"random", "axes"}
        The eigenvectors: uniformly random and orthogonal, or the coordinate axes (a diagonal H).

    Returns
    -------
    ndarray, (P, P)
        H, in units of loss / weight².

    Raises
    ------
    ConfigError
        The eigenvalues are not a list of finite numbers ≥ 0, or the basis is unknown.
    """
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    good = np.isfinite(eigenvalues) & (eigenvalues >= 0)
    if eigenvalues.ndim != 1 or not eigenvalues.size or not good.all():
        raise ConfigError(f"eigenvalues: expected finite numbers λ ≥ 0, found {eigenvalues}")
    if basis == "axes":
        return np.diag(eigenvalues)
    if basis != "random":
        raise ConfigError(f'basis: expected "random" or "axes", found {basis!r}')
    # QR leaves the sign of each column of U to convention; UΛUᵀ does not depend on it
    U = np.linalg.qr(rng.standard_normal((eigenvalues.size, eigenvalues.size))).Q
    H = (U * eigenvalues) @ U.T
    return (H + H.T) / 2


def modes(H: ArrayLike) -> tuple[Array, Array]:
    """Return eigenvalues λ and eigenvectors u of a Hessian, without rounding errors in λ = 0.

    Eigenvalues up to 16 P ε λ_max, with ε = 2.2e-16, cannot be told from 0 in float64. They are set
    to exactly 0, so that nothing moves in the null space of H.

    Parameters
    ----------
    H : array_like, (P, P)
        A symmetric matrix without negative eigenvalues.

    Returns
    -------
    eigenvalues : ndarray, (P,)
        λ_α, ascending, in units of loss / weight².
    eigenvectors : ndarray, (P, P)
        Column α is u^α, of length 1.

    Raises
    ------
    ConfigError
        The matrix is not finite, square and symmetric, or it has a negative eigenvalue.
    """
    H = np.asarray(H, dtype=float)
    if H.ndim != 2 or H.shape[0] != H.shape[1] or not H.size or not np.isfinite(H).all():
        raise ConfigError(f"H: expected a finite matrix of shape (P, P), found shape {H.shape}")
    rounding = 16 * len(H) * np.finfo(float).eps
    asymmetry = abs(H - H.T).max()
    if asymmetry > rounding * abs(H).max():
        raise ConfigError(f"H: expected a symmetric matrix, found H - Hᵀ up to {asymmetry}")
    eigenvalues, eigenvectors = np.linalg.eigh(H)
    zero = rounding * abs(eigenvalues).max()
    if eigenvalues[0] < -zero:
        raise ConfigError(f"H: expected eigenvalues λ ≥ 0, found {eigenvalues[0]}")
    return np.where(eigenvalues > zero, eigenvalues, 0.0), eigenvectors


class Quadratic:
    """The loss E(θ) = ½ (θ - θ*)ᵀ H (θ - θ*) of Eq. 6, and descent on it.

    Weights θ have the shape (..., P); leading axes are independent starts.

    Parameters
    ----------
    H : array_like, (P, P)
        Hessian, symmetric, without negative eigenvalues (loss / weight²).
    minimum : array_like, (P,)
        θ*; if H has a null space, one of the minima.

    Raises
    ------
    ConfigError
        H is not such a matrix, or `minimum` does not fit it.

    Examples
    --------
    >>> E = Quadratic([[2.0, 0.0], [0.0, 0.0]], minimum=[1.0, 0.0])
    >>> float(E.value([4.0, 7.0]))
    9.0
    >>> E.descend([4.0, 7.0], lr=0.25, steps=2)
    array([[4.  , 7.  ],
           [2.5 , 7.  ],
           [1.75, 7.  ]])
    """

    def __init__(self, H: ArrayLike, minimum: ArrayLike) -> None:
        self.H, self.minimum = np.asarray(H, dtype=float), np.asarray(minimum, dtype=float)
        self.eigenvalues, self.eigenvectors = modes(H)
        if self.minimum.shape != (len(self.H),):
            raise ConfigError(
                f"minimum: expected shape {(len(self.H),)}, found {self.minimum.shape}"
            )

    def _in_modes(self, theta: ArrayLike) -> Array:
        """Return d_α = u^α · (θ - θ*)."""
        return (np.asarray(theta, dtype=float) - self.minimum) @ self.eigenvectors

    def value(self, theta: ArrayLike) -> Array:
        """Return the loss E(θ), Eq. 6: (..., P) → (...), in units of the loss."""
        return (self.eigenvalues * self._in_modes(theta) ** 2).sum(axis=-1) / 2

    def gradient(self, theta: ArrayLike) -> Array:
        """Return the gradient H (θ - θ*): (..., P) → (..., P), in loss / weight."""
        return (self.eigenvalues * self._in_modes(theta)) @ self.eigenvectors.T

    def flow(self, theta0: ArrayLike, t: ArrayLike, tau: float = 1.0) -> Array:
        """Return θ(t) of gradient flow, τ dθ/dt = -g (Eq. 7).

        This is Eq. 8, θ(t) = θ* + exp(-Ht/τ)(θ(0) - θ*), written as θ(0) plus the change since: a
        mode with λ = 0 then stays exactly where it is.

        Parameters
        ----------
        theta0 : array_like, (..., P)
            θ(0).
        t : float or array_like, (T,)
            Time or times, in units of τ · weight² / loss.
        tau : float
            τ > 0.

        Returns
        -------
        ndarray, (..., P) or (..., T, P)

        Raises
        ------
        ConfigError
            τ is not positive.
        """
        start, rates = self._prepare(theta0, t, tau)
        return start + (np.expm1(-rates) * self._in_modes(start)) @ self.eigenvectors.T

    def velocity(self, theta0: ArrayLike, t: ArrayLike, tau: float = 1.0) -> Array:
        """Return dθ/dt = -(1/τ) H exp(-Ht/τ)(θ(0) - θ*), Eq. 9, for arguments as in `flow`."""
        start, rates = self._prepare(theta0, t, tau)
        decayed = np.exp(-rates) * self._in_modes(start)
        return -(self.eigenvalues / tau * decayed) @ self.eigenvectors.T

    def _prepare(self, theta0: ArrayLike, t: ArrayLike, tau: float) -> tuple[Array, Array]:
        """Return θ(0) and λt/τ, with an axis for the times if there are several."""
        if not (np.isfinite(tau) and tau > 0):
            raise ConfigError(f"tau: expected a positive time constant, found {tau}")
        start, t = np.asarray(theta0, dtype=float), np.asarray(t, dtype=float)
        if t.ndim:
            start = start[..., None, :]
        return start, self.eigenvalues * t[..., None] / tau

    def descend(self, theta0: ArrayLike, lr: float, steps: int) -> Array:
        """Return the path of gradient descent, θ ← θ - η g, step by step.

        Parameters
        ----------
        theta0 : array_like, (..., P)
            θ(0).
        lr : float
            Learning rate η > 0; it converges for η λ_max < 2.
        steps : int
            Number of steps ≥ 0.

        Returns
        -------
        ndarray, (..., steps + 1, P)
            The start, and θ after each step.

        Raises
        ------
        ConfigError
            η is not positive, or `steps` is not a whole number ≥ 0.
        """
        if not (np.isfinite(lr) and lr > 0):
            raise ConfigError(f"lr: expected a positive learning rate, found {lr}")
        if steps != 0 and not is_whole(steps):
            raise ConfigError(f"steps: expected a whole number from 0, found {steps!r}")
        theta = np.asarray(theta0, dtype=float)
        path = [theta]
        for _ in range(steps):
            theta = theta - lr * self.gradient(theta)
            path.append(theta)
        return np.stack(path, axis=-2)
