"""Quadratic losses: random Hessians, gradient flow (Eqs. 7 to 9) and gradient descent.

Tolerances are multiples of `rounding(P)`: products of a few P × P orthogonal matrices have relative
errors of a few P ε, and `eigh` is exact for a matrix within a few P ε λ_max of H.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from pysi import ConfigError
from pysi.theory.quadratic import Quadratic, modes, random_hessian
from strategies import seeds

EPS = np.finfo(float).eps
sizes = st.integers(1, 8)
bases = st.sampled_from(["random", "axes"])
SPECTRA = {
    "generic": lambda rng, P: 10 ** rng.uniform(-1, 1, P),
    "wide": lambda rng, P: 10 ** rng.uniform(-3, 3, P),
    "degenerate": lambda rng, P: rng.choice(10 ** rng.uniform(-1, 1, 2), P),
    "low rank": lambda rng, P: 10 ** rng.uniform(-1, 1, P) * (np.arange(P) < (P + 1) // 2),
    "rank one": lambda rng, P: 10 ** rng.uniform(-1, 1) * (np.arange(P) == 0),
    "ill-conditioned": lambda rng, P: 10 ** rng.uniform(-10, 2, P),
    "zero": lambda rng, P: np.zeros(P),
}


def rounding(P):
    return 100 * P * EPS


class Problem:
    """A random Hessian, a minimum, and a start θ(0) = θ* + d."""

    def __init__(self, P, spectrum, seed, basis):
        self.rng = np.random.default_rng(seed)
        self.P = P
        self.eigenvalues = SPECTRA[spectrum](self.rng, P)
        self.H = random_hessian(self.eigenvalues, self.rng, basis)
        self.minimum, self.d = self.rng.standard_normal((2, P))
        self.start = self.minimum + self.d
        self.top = self.eigenvalues.max()
        self.size = np.linalg.norm(self.d) + np.linalg.norm(self.minimum)
        self.loss = Quadratic(self.H, self.minimum)
        self.drop = 0.5 * self.d @ self.H @ self.d  # E(θ(0)) - E(θ*)

    def __repr__(self):
        return f"Problem(H={self.H!r}, minimum={self.minimum!r}, d={self.d!r})"

    def lr(self, step):
        """The learning rate with η λ_max = step."""
        return step / self.top if self.top else step


def problems(spectra=tuple(SPECTRA), sizes=sizes, bases=bases):
    return st.builds(Problem, sizes, st.sampled_from(spectra), seeds, bases)


stable = st.floats(0.01, 1.9)


@given(problems())
def test_a_random_hessian_has_the_eigenvalues_that_were_asked_for(p):
    assert np.array_equal(p.H, p.H.T)
    error = np.linalg.eigvalsh(p.H) - np.sort(p.eigenvalues)
    assert abs(error).max() <= rounding(p.P) * p.top


@given(sizes, seeds)
def test_the_axes_keep_the_order_of_the_eigenvalues(P, seed):
    rng = np.random.default_rng(seed)
    eigenvalues = rng.uniform(0, 1, P)
    assert np.array_equal(random_hessian(eigenvalues, rng, "axes"), np.diag(eigenvalues))


def test_no_direction_is_special():
    """For Haar-distributed eigenvectors (u_1^α)² is Dirichlet(½, …, ½) over α.

    So H_11 has the mean λ̄ and the variance 2/(P+2) · mean (λ - λ̄)². Likewise for each H_kk.
    """
    rng, P, n = np.random.default_rng(0), 5, 4000
    eigenvalues = np.array([7.0, 0.0, 0.0, 1.0, 2.0])
    diagonals = np.array([np.diag(random_hessian(eigenvalues, rng)) for _ in range(n)])
    variance = 2 / (P + 2) * eigenvalues.var()
    # five standard errors. That of a variance is at most √(⟨x⁴⟩/n) ≤ √(r² variance / n), where
    # r = 5 is as far as H_11 can be from its mean, 2
    assert abs(diagonals.mean(axis=0) - eigenvalues.mean()).max() < 5 * np.sqrt(variance / n)
    assert abs(diagonals.var(axis=0) - variance).max() < 5 * np.sqrt(25 * variance / n)


@given(problems())
def test_modes_restore_the_hessian_and_find_its_rank(p):
    eigenvalues, u = modes(p.H)
    assert abs((u * eigenvalues) @ u.T - p.H).max() <= rounding(p.P) * p.top
    assert np.count_nonzero(eigenvalues) == np.count_nonzero(p.eigenvalues)


@given(problems())
def test_value_and_gradient_are_those_of_eq_6(p):
    theta = p.minimum + p.rng.standard_normal((3, 2, p.P))
    d = theta - p.minimum
    value = 0.5 * np.einsum("...i,ij,...j", d, p.H, d)
    length = np.linalg.norm(d, axis=-1)
    assert np.all(abs(p.loss.value(theta) - value) <= rounding(p.P) * p.top * length**2)
    error = p.loss.gradient(theta) - d @ p.H
    assert np.all(abs(error).max(axis=-1) <= rounding(p.P) * p.top * length)
    assert p.loss.value(theta).shape == (3, 2)


@given(problems(), st.floats(0, 5), st.floats(0, 5), st.floats(0.1, 10))
def test_flow_is_a_semigroup(p, s, t, tau):
    """The flow for s and then for t is the flow for s + t; also for extreme spectra."""
    halfway = p.loss.flow(p.start, s, tau)
    error = p.loss.flow(halfway, t, tau) - p.loss.flow(p.start, s + t, tau)
    # y exp(-y) ≤ 1: rounding of the exponent λ(s+t)/τ costs no more than ε
    assert abs(error).max() <= rounding(p.P) * p.size
    assert np.array_equal(p.loss.flow(p.start, 0.0, tau), p.start)


@settings(max_examples=10)
@given(problems(("generic", "degenerate", "low rank", "rank one")), st.floats(0.5, 2))
def test_flow_solves_eq_7(p, tau):
    """An integrator that gets only dθ/dt = -H (θ - θ*) / τ agrees."""
    times = np.array([0.1, 0.5, 2.0])
    solution = solve_ivp(
        lambda t, theta: -p.H @ (theta - p.minimum) / tau,
        (0, 2.0), p.start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    # each step errs by at most rtol |θ| + atol, and the flow never amplifies an error: below a
    # thousand steps, 1e-8
    assert solution.nfev < 12 * 1000
    assert abs(p.loss.flow(p.start, times, tau) - solution.y.T).max() <= 1e-8 * (1 + p.size)


@given(problems(), st.floats(0, 5), st.floats(0.1, 10))
def test_velocity_obeys_eq_7(p, t, tau):
    """θ' = -g(θ(t)) / τ; rounding of θ(t), which is ε |θ|, enters g times λ_max."""
    expected = -p.loss.gradient(p.loss.flow(p.start, t, tau)) / tau
    error = p.loss.velocity(p.start, t, tau) - expected
    assert abs(error).max() <= rounding(p.P) * p.top / tau * p.size


@given(problems(), st.floats(0.1, 3), st.floats(0.1, 10))
def test_velocity_is_the_derivative_of_the_flow(p, t, tau):
    """Central differences err by h²/6 |θ'''| ≤ h²/6 (λ_max/τ)³ |d|, and by rounding of θ over h."""
    h = 1e-4 * tau / max(p.top, 1e-12)
    slope = (p.loss.flow(p.start, t + h, tau) - p.loss.flow(p.start, t - h, tau)) / (2 * h)
    # t ± h is known only to ε t, which moves θ by ε t |θ'|
    fast = np.linalg.norm(p.loss.velocity(p.start, t, tau)) * (1 + t * EPS / h)
    rate = p.top / tau
    bound = h**2 / 6 * rate**3 * np.linalg.norm(p.d) + rounding(p.P) * (p.size / h + fast)
    assert abs(p.loss.velocity(p.start, t, tau) - slope).max() <= bound


@given(problems(), stable, st.integers(0, 40))
def test_descent_is_a_power_of_one_minus_lr_H(p, step, n):
    """θ_n = θ* + (1 - ηH)ⁿ d, for every n on the way."""
    path, d = p.loss.descend(p.start, p.lr(step), n), p.d
    assert path.shape == (n + 1, p.P)
    for theta in path:
        # |1 - ηλ| ≤ 1, so each of n steps adds its own rounding errors and no more
        assert abs(theta - p.minimum - d).max() <= rounding(p.P) * (n + 1) * p.size
        d = d - p.lr(step) * p.H @ d


@given(problems(), st.floats(0.1, 30), st.sampled_from([20, 100]))
def test_descent_becomes_flow(p, time, n):
    """Claim of Eq. 7, with a bound: per mode |(1-x)ⁿ - e^{-nx}| ≤ n x²/2 e^{-(n-1)x}, x = ηλ ≤ 1.

    For |aⁿ - bⁿ| ≤ n |a - b| max(a, b)ⁿ⁻¹, and e^{-x} lies between 1 - x and 1 - x + x²/2.
    """
    time = min(time, n)
    lr = p.lr(time / n)
    error = p.loss.descend(p.start, lr, n)[-1] - p.loss.flow(p.start, n * lr)
    x = lr * p.eigenvalues
    bound = (n * x**2 / 2 * np.exp(-(n - 1) * x)).max() * np.linalg.norm(p.d)
    assert np.linalg.norm(error) <= bound + rounding(p.P) * (n + 1) * p.size


@given(problems(("generic", "degenerate")), st.floats(0.5, 2), st.floats(0.5, 2))
def test_descent_misses_flow_at_first_order_in_the_step(p, time, tau):
    """(1 - y/n)ⁿ = e^{-y} (1 - y²/2n + O(1/n²)): n times the error tends to -½ y² e^{-y} d.

    The next term is y³(3y - 8)/(24 n²), so n = 2000 leaves at most y³(3y + 8)/(24 n), y ≤ 2.
    """
    n, t = 2000, time / p.top  # y = λt/τ ≤ 2 for τ = 1; flow at time τt has the same y
    flow = p.loss.flow(p.start, t * tau, tau)
    error = n * (p.loss.descend(p.start, t / n, n)[-1] - flow)
    coefficient = -0.5 * t**2 * p.H @ p.H @ (flow - p.minimum)
    rest = 1.01 * time**3 * (3 * time + 8) / (24 * n) * np.linalg.norm(p.d)
    assert abs(error - coefficient).max() <= rest + n**2 * rounding(p.P) * p.size


@given(problems(("low rank", "rank one", "zero")), stable, st.sampled_from([1.0, 1e9]))
def test_what_the_loss_leaves_free_never_moves(p, step, time):
    _, u = modes(p.H)
    free = u[:, : p.P - np.count_nonzero(p.eigenvalues)]
    for theta in (p.loss.flow(p.start, time), p.loss.descend(p.start, p.lr(step), 50)[-1]):
        assert abs((theta - p.start) @ free).max(initial=0) <= rounding(p.P) * p.size
        if not p.top:
            assert np.array_equal(theta, p.start)
    # the rest goes to the minimum
    end = p.loss.flow(p.start, 1e9) - p.minimum
    assert abs(end - free @ free.T @ p.d).max() <= rounding(p.P) * p.size


@given(problems(), stable, st.floats(0.1, 2))
def test_leading_axes_are_independent_starts(p, step, tau):
    starts, times, lr = p.rng.standard_normal((2, 3, p.P)), np.array([0.0, 0.3, 1.0]), p.lr(step)
    flow, velocity = p.loss.flow(starts, times, tau), p.loss.velocity(starts, times, tau)
    path = p.loss.descend(starts, lr, 4)
    assert flow.shape == velocity.shape == (2, 3, 3, p.P)
    assert path.shape == (2, 3, 5, p.P)
    tiny = rounding(p.P) * (p.size + np.linalg.norm(starts)) * (1 + p.top / tau)
    for i, j in np.ndindex(2, 3):
        assert abs(path[i, j] - p.loss.descend(starts[i, j], lr, 4)).max() <= tiny
        for k, t in enumerate(times):
            assert abs(flow[i, j, k] - p.loss.flow(starts[i, j], t, tau)).max() <= tiny
            assert abs(velocity[i, j, k] - p.loss.velocity(starts[i, j], t, tau)).max() <= tiny


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_hessian([1.0, -1.0], None), "eigenvalues"),
        (lambda: random_hessian([np.nan], None), "eigenvalues"),
        (lambda: random_hessian([], None), "eigenvalues"),
        (lambda: random_hessian([[1.0]], None), "eigenvalues"),
        (lambda: random_hessian([1.0], None, "other"), "basis"),
        (lambda: modes([[1.0, 2.0]]), "shape"),
        (lambda: modes([[np.inf]]), "finite"),
        (lambda: modes([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (lambda: modes([[1.0, 0.0], [0.0, -1e-6]]), "λ ≥ 0"),
        (lambda: Quadratic([[1.0]], [0.0, 0.0]), "minimum"),
        (lambda: Quadratic([[1.0]], [0.0]).flow([1.0], 1.0, tau=0), "tau"),
        (lambda: Quadratic([[1.0]], [0.0]).velocity([1.0], 1.0, tau=-1), "tau"),
        (lambda: Quadratic([[1.0]], [0.0]).descend([1.0], 0.0, 3), "lr"),
        (lambda: Quadratic([[1.0]], [0.0]).descend([1.0], 0.1, -1), "steps"),
        (lambda: Quadratic([[1.0]], [0.0]).descend([1.0], 0.1, 1.5), "steps"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
