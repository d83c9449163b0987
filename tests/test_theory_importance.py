"""The matrix Q: three forms that must agree, its averages, and the package's own ω (Eqs. 10 to 14).

Tolerances as in test_theory_quadratic. λ_α λ_β / (λ_α + λ_β) grows at most as fast as either λ, so
errors in Q are a multiple of P ε λ_max |d|², whatever the condition number.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec

import pysi
from pysi import ConfigError
from pysi.theory import importance as theory
from pysi.theory.quadratic import modes
from pysi.training import update
from strategies import seeds
from test_theory_quadratic import Problem, problems, rounding, stable

steps = st.integers(1, 60)


def tiny(p, step=0.0):
    """Return rounding errors of Q; descent's Q is up to 1/(1 - ηλ_max/2) times the flow's."""
    return rounding(p.P) * p.top * (p.d @ p.d) / (1 - step / 2)


def spectral_Q(eigenvalues, d, coupling):
    """Return Q of Eq. 11 for a diagonal H, by loops; `coupling` takes two eigenvalues."""
    P = len(d)
    Q = np.zeros((P, P))
    for i, j in product(range(P), repeat=2):
        a, b = float(eigenvalues[i]), float(eigenvalues[j])
        Q[i, j] = d[i] * d[j] * coupling(a, b) if a + b > 0 else 0.0
    return Q


@given(problems(bases=st.just("axes")))
def test_eq_11_as_it_is_printed(p):
    expected = spectral_Q(p.eigenvalues, p.d, lambda a, b: a * b / (a + b))
    assert abs(theory.Q_flow(p.H, p.d) - expected).max() <= tiny(p)


@given(problems(bases=st.just("axes")), stable)
def test_eq_11_for_descent(p, step):
    lr = p.lr(step)
    expected = spectral_Q(p.eigenvalues, p.d, lambda a, b: a * b / (a + b - lr * a * b))
    assert abs(theory.Q_descent(p.H, p.d, lr) - expected).max() <= tiny(p, step)


@settings(max_examples=15)
@given(
    problems(("generic", "degenerate", "low rank", "rank one", "zero"), st.integers(1, 4)),
    st.floats(0.1, 10),
)
def test_eq_10_integrated_is_eq_11_for_every_tau(p, tau):
    """Integrate τ ∫ θ' θ'ᵀ dt up to the estimated error; λ lies between 0.1 and 10."""

    def rate(t):
        v = p.loss.velocity(p.start, t, tau)
        return tau * np.outer(v, v)

    # the rest beyond t = 200 τ is below e^-40
    integral, error = quad_vec(rate, 0, 200 * tau, epsabs=1e-10, epsrel=1e-10, limit=2000)
    assert error < 1e-6 * (1 + p.top * (p.d @ p.d))
    assert abs(integral - theory.Q_flow(p.H, p.d)).max() <= error + tiny(p)


@given(problems(), st.sampled_from([0.0, 0.01, 0.5, 1.0, 1.9]))
def test_Q_solves_its_lyapunov_equation(p, step):
    """HQ + QH - ηHQH = H d dᵀ H, for any spectrum; and Q vanishes outside the range of H."""
    lr, H = p.lr(step) if step else 0.0, p.H
    Q = theory.Q_descent(H, p.d, lr) if step else theory.Q_flow(H, p.d)
    force = H @ p.d
    residual = H @ Q + Q @ H - lr * H @ Q @ H - np.outer(force, force)
    assert abs(residual).max() <= 4 * p.top * tiny(p, step)
    free = modes(H)[1][:, : np.count_nonzero(p.eigenvalues == 0)]
    assert abs(Q @ free).max(initial=0) <= tiny(p, step)


@given(problems(), st.sampled_from([0.0, 0.01, 0.5, 1.0, 1.9]))
def test_the_lyapunov_solver_agrees(p, step):
    lr = p.lr(step) if step else 0.0
    Q = theory.Q_descent(p.H, p.d, lr) if step else theory.Q_flow(p.H, p.d)
    positive = p.eigenvalues[p.eigenvalues > 0]
    # the equation's condition number: B has eigenvalues from λ_min up to λ_max / (1 - ηλ_max/2)
    condition = p.top / positive.min() / (1 - step / 2) if positive.size else 1.0
    assert abs(theory.Q_lyapunov(p.H, p.d, lr) - Q).max() <= condition * tiny(p, step)


@given(problems(), stable, steps)
def test_the_sum_along_a_real_path(p, step, n):
    """Q_sum of n steps of descent is Q_descent(steps=n), and is symmetric."""
    path = p.loss.descend(p.start, p.lr(step), n)
    Q = theory.Q_sum(path, p.loss.gradient(path[:-1]))
    error = Q - theory.Q_descent(p.H, p.d, p.lr(step), n)
    # each Δθ is a difference of two θ, known to ε |θ|, and meets a gradient of at most λ_max |d|
    noise = rounding(p.P) * n * p.top * np.linalg.norm(p.d) * p.size
    assert abs(error).max() <= noise + tiny(p, step)
    assert abs(Q - Q.T).max() <= noise


@given(problems(("generic", "degenerate", "low rank", "rank one")), stable, steps)
def test_a_long_path_tends_to_the_infinite_sum(p, step, n):
    """Pair αβ misses (ρ_α ρ_β)ⁿ of its sum: ‖Q_∞ - Q_n‖ ≤ max |ρ|²ⁿ ‖Q_∞‖ (Frobenius)."""
    lr = p.lr(step)
    Q = theory.Q_descent(p.H, p.d, lr)
    rho = abs(1 - lr * p.eigenvalues[p.eigenvalues > 0])
    error = np.linalg.norm(Q - theory.Q_descent(p.H, p.d, lr, n))
    assert error <= rho.max() ** (2 * n) * np.linalg.norm(Q) + tiny(p, step)


@given(problems(), st.floats(1e-3, 1.0))
def test_descent_differs_from_flow_at_first_order_in_the_step(p, step):
    """With f = λ_α λ_β / (λ_α + λ_β), descent has f / (1 - ηf) = f + η f² + η² f³ / (1 - ηf).

    f ≤ λ_max / 2. The rest, in the Frobenius norm, is at most η² f³ / (1 - ηf) |d|² at that f.
    """
    lr = p.lr(step)
    Q, eigenvalues = theory.Q_flow(p.H, p.d), np.linalg.eigvalsh(p.H)
    difference = theory.Q_descent(p.H, p.d, lr) - Q
    u = np.linalg.eigh(p.H).eigenvectors
    first = spectral_Q(eigenvalues.clip(0), p.d @ u, lambda a, b: lr * (a * b / (a + b)) ** 2)
    f = p.top / 2
    rest = lr**2 * f**3 / (1 - lr * f) * (p.d @ p.d)
    assert np.linalg.norm(difference - u @ first @ u.T) <= rest + tiny(p, step)


@given(problems())
def test_the_trace_of_Q_is_the_loss_drop(p):
    """Eq. 3: Σω = E(θ(0)) - E(θ*)."""
    assert abs(np.trace(theory.Q_flow(p.H, p.d)) - p.drop) <= p.P * tiny(p)


@given(problems(), stable)
def test_descent_measures_more_than_the_loss_drop(p, step):
    """Each step errs by ½ΔᵀHΔ of the drop: Σω - drop = ½η² Σ gᵀHg = ½ tr(ηH Q)."""
    lr = p.lr(step)
    Q = theory.Q_descent(p.H, p.d, lr)
    excess = np.trace(Q) - p.drop
    assert abs(excess - 0.5 * lr * np.trace(p.H @ Q)) <= 4 * p.P * tiny(p, step)


@given(problems(), st.floats(0.1, 10), st.floats(0.1, 10))
def test_units(p, a, b):
    """Loss times a gives Q times a; θ times b leaves Q, so Ω = Q/Δ² has units of loss / θ²."""
    Q = theory.Q_flow(p.H, p.d)
    assert abs(theory.Q_flow(a * p.H, p.d) - a * Q).max() <= a * tiny(p)
    assert abs(theory.Q_flow(p.H / b**2, b * p.d) - Q).max() <= tiny(p)


@given(problems(), stable, steps)
def test_leading_axes_are_independent_starts(p, step, n):
    d, lr = p.rng.standard_normal((2, 3, p.P)), p.lr(step)
    start = p.minimum + d
    paths = p.loss.descend(start, lr, n)
    pairs = [
        (theory.Q_flow(p.H, d), lambda v: theory.Q_flow(p.H, v)),
        (theory.Q_descent(p.H, d, lr, n), lambda v: theory.Q_descent(p.H, v, lr, n)),
        (theory.Q_descent(p.H, d, lr), lambda v: theory.Q_descent(p.H, v, lr)),
    ]
    scale = rounding(p.P) * p.top / (1 - step / 2) * np.linalg.norm(d) ** 2
    for i in np.ndindex(2, 3):
        for many, one in pairs:
            assert abs(many[i] - one(d[i])).max() <= scale
        g = p.loss.gradient(paths[:, :, :-1])
        assert np.allclose(
            theory.Q_sum(paths, g)[i], theory.Q_sum(paths[i], g[i]), rtol=0, atol=scale
        )


# Averages over random starts.


@given(problems(), st.floats(0.1, 10))
def test_the_mean_over_an_orthonormal_set_of_starts_is_eq_12(p, sigma):
    """Q is quadratic in d and ⟨d dᵀ⟩ = σ², so σ² Σ_k Q(e_k) is the mean, without any sampling."""
    mean = sigma**2 * theory.Q_flow(p.H, np.eye(p.P)).sum(axis=0)
    atol = rounding(p.P) * p.P * p.top * sigma**2
    assert np.allclose(theory.Q_mean(p.H, sigma), mean, rtol=0, atol=atol)
    assert np.allclose(theory.Q_mean(p.H, sigma), 0.5 * sigma**2 * p.H, rtol=1e-15, atol=0)


@settings(max_examples=15)
@given(problems(sizes=st.integers(1, 4)), st.floats(0.1, 10))
def test_the_variance_by_explicit_fourth_moments(p, sigma):
    """Var Q_ij = Σ A_ab A_cd (⟨d_a d_b d_c d_d⟩ - ⟨d_a d_b⟩⟨d_c d_d⟩), with A read off Q by
    polarisation, A_ab = ¼ (Q(e_a + e_b) - Q(e_a - e_b)), and Isserlis' theorem for the moments."""
    P, e = p.P, np.eye(p.P)
    same = np.equal.outer(range(P), range(P)).astype(float)
    expected = np.zeros((P, P))
    plus = theory.Q_flow(p.H, e[:, None] + e)
    A = (plus - theory.Q_flow(p.H, e[:, None] - e)) / 4  # [a, b, i, j]
    for a, b, c, d in product(range(P), repeat=4):
        fourth = same[a, b] * same[c, d] + same[a, c] * same[b, d] + same[a, d] * same[b, c]
        expected += sigma**4 * A[a, b] * A[c, d] * (fourth - same[a, b] * same[c, d])
    atol = P**4 * rounding(P) * p.top**2 * sigma**4
    assert np.allclose(theory.Q_variance(p.H, sigma), expected, rtol=0, atol=atol)


def test_the_variance_needs_little_memory():
    p = Problem(40, "generic", 0, "random")
    variance = theory.Q_variance(p.H, 1.0)
    assert variance.shape == (40, 40)
    assert (variance > 0).all()


@given(problems(), st.floats(0.1, 10), seeds)
def test_monte_carlo_finds_eq_12_within_its_standard_error(p, sigma, seed):
    """All of at most 64 entries × 40 examples, 2560 normal deviates, lie within 6.5 standard errors
    but for a chance of 2560 · 8e-11 = 2e-7. Seeds are fixed, so the test does not flicker."""
    n = 4000
    mean = theory.Q_monte_carlo(p.H, sigma, n, np.random.default_rng(seed))
    error = 6.5 * np.sqrt(theory.Q_variance(p.H, sigma) / n)
    slack = rounding(p.P) * p.top * sigma**2
    assert (abs(mean - theory.Q_mean(p.H, sigma)) <= error + slack).all()
    d = sigma * np.random.default_rng(seed).standard_normal((n, p.P))
    direct = theory.Q_flow(p.H, d[:50]).mean(axis=0)
    few = theory.Q_monte_carlo(p.H, sigma, 50, np.random.default_rng(seed))
    assert abs(few - direct).max() <= p.P * slack * 10


# The two special cases.


@given(problems(bases=st.just("axes")))
def test_a_diagonal_hessian_gives_half_of_the_printed_eq_13(p):
    Q = theory.Q_diagonal(p.H, p.d)
    assert abs(np.diagonal(theory.Q_flow(p.H, p.d)) - Q).max() <= tiny(p)
    # with Ω = ω/Δ² and c = 1, the penalty Σ Ω Δ² at the start is the old loss itself
    assert abs(Q.sum() - p.drop) <= tiny(p)


def test_eq_13_in_numbers():
    """½ · 3² · 2 = 9, where Eq. 13 as printed gives 18."""
    assert theory.Q_diagonal([[2.0]], [3.0]) == theory.Q_flow([[2.0]], [3.0]) == 9.0


def test_eq_13_holds_on_the_diagonal_only():
    """Off the diagonal a diagonal H has Q_ij = d_i d_j λ_i λ_j / (λ_i + λ_j), not 0."""
    H, d = np.diag([1.0, 3.0]), np.array([1.0, 1.0])
    assert np.allclose(theory.Q_flow(H, d), [[0.5, 0.75], [0.75, 1.5]])


@given(problems(("rank one",)))
def test_rank_one_gives_eq_14(p):
    assert abs(theory.Q_flow(p.H, p.d) - theory.Q_rank_one(p.H, p.d)).max() <= tiny(p)


# The package itself.


def train(loss, start, lr, n, xi):
    """Make n steps of SGD on a quadratic loss through the table; return (path, g, ω, Ω)."""
    s = pysi.Synapses({"a": (len(start),)}, dtype=np.float64)
    s.theta[...] = start
    rule, optimizer = pysi.SynapticIntelligence(xi=xi), pysi.SGD(lr)
    rule.start(s)
    path, gradients = [s.theta.copy()], []
    for _ in range(n):
        s.grad[...] = loss.gradient(s.theta)
        gradients.append(s.grad.copy())
        update(s, optimizer, rule)
        path.append(s.theta.copy())
    omega = s.omega.copy()
    rule.end_task()
    return np.array(path), np.array(gradients), omega, s.Omega.copy()


@given(problems(), stable, steps)
def test_the_table_of_synapses_accumulates_the_diagonal_of_Q(p, step, n):
    path, g, omega, _ = train(p.loss, p.start, p.lr(step), n, 0.0)
    noise = rounding(p.P) * n * p.top * np.linalg.norm(p.d) * p.size
    assert abs(omega - np.diagonal(theory.Q_sum(path, g))).max() <= noise
    expected = np.diagonal(theory.Q_descent(p.H, p.d, p.lr(step), n))
    assert abs(omega - expected).max() <= noise + tiny(p, step)


def test_what_is_wrong_is_named():
    H, d = np.diag([2.0, 1.0]), np.ones(2)
    for call, message in [
        (lambda: theory.Q_sum(np.zeros((3, 2)), np.zeros((3, 2))), "gradients"),
        (lambda: theory.Q_flow(H, np.ones(3)), "d:"),
        (lambda: theory.Q_flow(-H, d), "λ ≥ 0"),
        (lambda: theory.Q_descent(H, d, 1.0), "lr"),
        (lambda: theory.Q_descent(H, d, 0.0), "lr"),
        (lambda: theory.Q_descent(H, d, np.nan), "lr"),
        (lambda: theory.Q_descent(H, d, 0.1, 0), "steps"),
        (lambda: theory.Q_descent(H, d, 0.1, 2.5), "steps"),
        (lambda: theory.Q_lyapunov(H, d, 1.0), "lr"),
        (lambda: theory.Q_lyapunov(H, d, -0.1), "lr"),
        (lambda: theory.Q_diagonal(H + 0.1, d), "diagonal"),
        (lambda: theory.Q_rank_one(H, d), "rank"),
    ]:
        with pytest.raises(ConfigError, match=message):
            call()
