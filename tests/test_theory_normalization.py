"""From Q to Ω: what dividing by the movement gives, and the golden closed form of descent."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysi import ConfigError
from pysi.theory import normalization as theory
from pysi.theory.importance import Q_flow
from pysi.theory.quadratic import Quadratic, modes, random_hessian
from strategies import seeds
from test_theory_importance import train
from test_theory_quadratic import EPS, problems, rounding, stable

FULL_RANK = ("generic", "wide", "degenerate")
powers = st.floats(-14, 0.25)  # of ten, for the step ηh, from hardly any to 1.8


@given(problems())
def test_the_movement_is_where_the_flow_ends(p):
    end = p.loss.flow(p.start, 1e13)  # the smallest λ ≥ 1e-10 has decayed by e^-1000
    assert abs(theory.movement(p.H, p.d) - (end - p.start)).max() <= rounding(p.P) * p.size


@given(problems(("generic", "wide", "degenerate", "low rank", "rank one")))
def test_importance_over_squared_movement(p):
    """Each Ω_k times its own Δ_k² is ω_k, so ΣΩΔ² is the loss drop wherever every Δ_k ≠ 0."""
    change, omega = theory.movement(p.H, p.d), np.diagonal(Q_flow(p.H, p.d))
    Omega = theory.Omega_per_parameter(p.H, p.d)
    moved = change != 0
    assert np.allclose(Omega[moved] * change[moved] ** 2, omega[moved], rtol=1e-12, atol=0)
    assert (Omega[~moved] == 0).all()
    atol = rounding(p.P) * p.P * p.top * (p.d @ p.d)
    assert abs((Omega * change**2).sum() - p.drop) <= atol
    whole = theory.Omega_whole_movement(p.H, p.d) * (change @ change)
    assert np.allclose(whole, omega, rtol=1e-12, atol=atol)


@given(st.integers(2, 8), seeds, st.floats(0.1, 10), st.booleans())
def test_rank_one_gives_every_synapse_the_same_importance(P, seed, top, sparse):
    """Ω_k = ½λ₁ if u_k ≠ 0, else 0; with division by the whole movement it is ½H_kk."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0.1, 1, P) * rng.choice([-1, 1], P)
    if sparse:
        u[1:][rng.random(P - 1) < 0.5] = 0
    u /= np.linalg.norm(u)
    H, d = top * np.outer(u, u), rng.standard_normal((3, P))
    d += u * np.where(d @ u < 0, -1, 1)[:, None]  # so that |u · d| ≥ 1
    # Q_kk and Δ_k err by P ε |d|² λ₁ and P ε |d|; they are at least ½u_k² λ₁ and |u_k|
    Omega = theory.Omega_per_parameter(H, d)
    rtol = 4 * rounding(P) * (d**2).sum(axis=-1).max() / (u[u != 0] ** 2).min()
    assert np.allclose(Omega, 0.5 * top * (u != 0), rtol=rtol, atol=0)
    whole = theory.Omega_whole_movement(H, d)
    assert np.allclose(whole, 0.5 * np.diagonal(H), rtol=rtol, atol=rounding(P) * top)
    # as a penalty, the latter accounts for Σ u_k⁴ of the loss drop only
    change = theory.movement(H, d)
    drop = Quadratic(H, np.zeros(P)).value(d)
    assert np.allclose((whole * change**2).sum(axis=-1), drop * (u**4).sum(), rtol=rtol)
    assert np.allclose((Omega * change**2).sum(axis=-1), drop, rtol=rtol)


@given(problems(), st.floats(0.1, 10), st.floats(0.1, 10))
def test_importance_has_the_units_of_loss_over_weight_squared(p, a, b):
    change = theory.movement(p.H, p.d)
    # where a synapse hardly moves, Ω is a quotient of rounding errors
    safe = abs(change) > 1e-3 * np.linalg.norm(p.d)
    atol = 1e6 * rounding(p.P) * p.top
    for function in (theory.Omega_per_parameter, theory.Omega_whole_movement):
        Omega = function(p.H, p.d)[safe]
        scaled = function(a / b**2 * p.H, b * p.d)[safe]
        assert np.allclose(scaled, a / b**2 * Omega, rtol=0, atol=a / b**2 * atol)


@given(problems(FULL_RANK))
def test_for_full_rank_the_ratio_of_means_is_half_the_curvature(p):
    atol = rounding(p.P) * p.top
    assert np.allclose(theory.ratio_of_means(p.H), 0.5 * np.diagonal(p.H), rtol=0, atol=atol)


@given(st.integers(2, 8), seeds, st.integers(1, 7))
def test_for_low_rank_the_movement_is_projected(P, seed, rank):
    """⟨Δ_k²⟩ = σ²Π_kk < σ². Both means over an orthonormal set of starts, where ⟨d dᵀ⟩ = 1/P."""
    rng = np.random.default_rng(seed)
    eigenvalues = rng.uniform(0.5, 2, P) * (np.arange(P) < rank)
    H = random_hessian(eigenvalues, rng)
    starts = np.eye(P)
    importance = np.diagonal(Q_flow(H, starts).mean(axis=0))
    squares = (theory.movement(H, starts) ** 2).mean(axis=0)
    _, u = modes(H)
    projector = u[:, max(P - rank, 0) :] @ u[:, max(P - rank, 0) :].T
    assert np.allclose(P * squares, np.diagonal(projector), rtol=0, atol=rounding(P))
    expected = importance / squares
    rtol = rounding(P) * 4 / squares.min()  # a row of Π can be small
    assert np.allclose(theory.ratio_of_means(H), expected, rtol=rtol, atol=0)
    if rank < P:
        assert (theory.ratio_of_means(H) > 0.5 * np.diagonal(H)).all()


def test_synapses_outside_the_range_have_no_ratio():
    assert np.array_equal(theory.ratio_of_means(np.diag([2.0, 0.0])), [1.0, 0.0])
    assert np.array_equal(theory.Omega_per_parameter(np.diag([2.0, 0.0]), [1.0, 5.0]), [1.0, 0.0])


def test_the_mean_of_ratios_does_not_exist():
    """P(ratio > r) ∝ r^-½: a hundred times the threshold leaves a tenth. A mean needs a tail that
    falls faster than 1/r."""
    n, H = 200_000, np.array([[2.0, 1.0], [1.0, 1.0]])
    means = theory.mean_of_ratios(H, n, np.random.default_rng(0))
    assert means.shape == (n, 2)
    ratios = theory.Omega_per_parameter(H, np.random.default_rng(0).standard_normal((n, 2)))
    assert np.allclose(means[-1], ratios.mean(axis=0), rtol=1e-9)
    assert np.allclose(means[9], ratios[:10].mean(axis=0), rtol=1e-9)
    far = (ratios > 100).sum(axis=0)
    farther = (ratios > 10_000).sum(axis=0)
    # binomial: of `far` draws a tenth is farther, five standard errors; corrections to the power
    # law are of relative order (Q/r)^½ · Δ ~ 1/r and do not count
    assert (far > 1000).all()
    assert (abs(farther - far / 10) < 5 * np.sqrt(far * 0.1 * 0.9)).all()


def test_with_rank_one_the_mean_of_ratios_does_exist():
    """All ratios are ½λ₁, here 1; the smallest of 100 movements amplifies rounding errors."""
    means = theory.mean_of_ratios(np.ones((2, 2)), 100, np.random.default_rng(0))
    assert np.allclose(means, 1.0, rtol=1e-9)


# The golden closed form.


def exact(h, lr, n):
    """Σ η g² / (Σ η g)² over n steps of descent from d = 1, in rational arithmetic."""
    h, lr, d = Fraction(h), Fraction(lr), Fraction(1)
    omega = moved = Fraction(0)
    for _ in range(n):
        step = lr * h * d
        omega, moved, d = omega + h * d * step, moved + step, d - step
    return float(omega / moved**2)


@given(st.floats(-6, 3), powers, st.integers(1, 40))
def test_the_closed_form_is_exact(power_h, power, n):
    h = 10.0**power_h
    lr = 10.0**power / h
    # ρ is known to ε, ρⁿ to ε n |ρ|ⁿ⁻¹ ≤ 5 ε for |ρ| ≤ 0.8, and 1 ± ρⁿ ≥ 0.2; `expm1` and `log1p`
    # leave no more than that for small steps
    assert np.isclose(theory.Omega_descent(h, lr, n), exact(h, lr, n), rtol=200 * EPS, atol=0)


@given(st.floats(-6, 3), powers)
def test_infinitely_many_steps_are_the_limit(power_h, power):
    h = 10.0**power_h
    lr = 10.0**power / h
    n = int(40 / (lr * h)) if lr * h < 1 else 200  # |ρ|ⁿ < e^-40
    limit = theory.Omega_descent(h, lr)
    assert np.isclose(theory.Omega_descent(h, lr, n), limit, rtol=10 * EPS, atol=0)
    assert np.isclose(limit, 0.5 * h / (1 - 0.5 * lr * h), rtol=10 * EPS, atol=0)


def test_the_closed_form_in_numbers():
    """After one step Ω is 1/η, whatever the curvature; for a small step it becomes ½h."""
    assert np.allclose(theory.Omega_descent([1e-9, 1.0, 3.0], 0.5, 1), 2.0, rtol=4 * EPS, atol=0)
    assert np.isclose(theory.Omega_descent(3.0, 1e-12), 1.5)
    assert np.array_equal(theory.Omega_descent([0.0, 2.0], 0.5, 7), [0.0, 2.0])
    assert theory.Omega_descent(0.0, 0.5) == 0
    # at ηhn = 1e-9 the ratio (1 + ρⁿ)/(1 - ρⁿ) is 2e9 to nine digits
    assert np.isclose(theory.Omega_descent(1.0, 1e-12, 1000), 1e9, rtol=1e-8)


@given(st.integers(1, 8), seeds, stable, st.integers(1, 60), st.sampled_from([0.0, 1e-3, 0.1]))
def test_the_package_gives_the_closed_form(P, seed, step, n, xi):
    """Table, SGD and Synaptic Intelligence on ½ Σ h (θ - θ*)², with h over eight decades.

    At ξ > 0 importance is smaller by Δ² / (Δ² + ξ), which keeps it below ω/ξ.
    """
    rng = np.random.default_rng(seed)
    h = 10 ** rng.uniform(-4, 4, P)
    lr = step / h.max()
    minimum = rng.standard_normal(P)
    start = minimum + rng.uniform(0.5, 2, P) * rng.choice([-1, 1], P)
    path, _, omega, Omega = train(Quadratic(np.diag(h), minimum), start, lr, n, xi)
    change = path[-1] - path[0]
    expected = theory.Omega_descent(h, lr, n) * change**2 / (change**2 + xi)
    # n rounded values of θ, each to ε |θ|, enter both the movement and the steps it is made of
    rtol = rounding(P) * n * (1 + abs(path).max()) / abs(change)
    assert (abs(Omega - expected) <= rtol * expected).all()
    if xi:
        assert (Omega <= omega / xi).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 0.1), "h:"),
        ((1.0, 2.0), "lr"),
        ((1.0, 0.0), "lr"),
        ((1.0, 0.5, 0), "steps"),
        ((1.0, 0.5, 1.5), "steps"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        theory.Omega_descent(*arguments)
