"""What determines the surrogate, and when it is as good as the loss (Eqs. 4, 5; claims 4 to 6)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.theory.paths import richardson
from pysi.theory.quadratic import Quadratic, random_hessian
from pysi.theory.surrogate import (
    DiagonalQuadratic,
    hessian_approximation,
    joint_minima,
    same_total,
    surrogate,
)
from strategies import seeds

sizes = st.integers(1, 8)
EPS = np.finfo(float).eps


def trained(seed, size):
    """Return a start, an end that differs from it in every synapse, and some positive ω."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(size)
    change = rng.uniform(0.1, 2, size) * rng.choice([-1, 1], size)
    return start, start + change, rng.uniform(0.1, 3, size)


def old_and_new(seed, eigenvalues, basis):
    """Return a quadratic with this spectrum, a well-conditioned second one, and a start."""
    rng = np.random.default_rng(seed)
    size = len(eigenvalues)
    old = Quadratic(random_hessian(eigenvalues, rng, basis), rng.standard_normal(size))
    new = Quadratic(random_hessian(rng.uniform(0.5, 2, size), rng), rng.standard_normal(size))
    return old, new, rng.standard_normal(size)


@given(seeds, sizes, st.floats(-3, 3))
def test_the_three_conditions_hold(seed, size, loss_end):
    start, end, omega = trained(seed, size)
    loss = surrogate(start, end, omega, loss_end=loss_end)
    # the drop of every synapse, and so the total drop
    assert np.allclose(loss.drops(start), omega, rtol=1e-12)
    assert np.isclose(loss.value(start) - loss.value(end), omega.sum(), rtol=1e-9, atol=1e-12)
    assert loss.value(end) == loss_end
    # the minimum
    assert (loss.gradient(end) == 0).all()
    # the displacement: after t every mode is down to e^(-2Ωt), here at most e^-40
    flow = Quadratic(np.diag(2 * loss.Omega), loss.theta_ref)
    assert np.allclose(flow.flow(start, 20 / loss.Omega.min()), end, rtol=0, atol=1e-12)


@given(seeds, sizes)
def test_it_is_the_only_diagonal_quadratic_that_meets_them(seed, size):
    """Curvatures are recovered from the drops of an arbitrary diagonal quadratic."""
    start, end, _ = trained(seed, size)
    any_Omega = np.random.default_rng(seed).uniform(0.1, 5, size)
    other = DiagonalQuadratic(end, any_Omega, 0.5)
    found = surrogate(start, end, other.drops(start), loss_end=other.value(end))
    assert np.allclose(found.Omega, any_Omega, rtol=1e-12)
    points = np.random.default_rng(seed).standard_normal((5, size))
    assert np.allclose(found.value(points), other.value(points), rtol=1e-12)


@given(seeds, st.integers(2, 8))
def test_the_total_drop_alone_leaves_a_family(seed, size):
    start, end, omega = trained(seed, size)
    total = omega.sum()
    paper = same_total(start, end, total, omega / total)
    assert np.allclose(paper.Omega, surrogate(start, end, omega).Omega, rtol=1e-12)
    shares = np.random.default_rng(seed).dirichlet(np.ones(size))
    other = same_total(start, end, total, shares)
    assert np.isclose(other.value(start), total, rtol=1e-12)  # the same drop,
    assert (other.gradient(end) == 0).all()  # the same minimum, hence the same displacement,
    assert np.allclose(other.drops(start), total * shares, rtol=1e-12)
    assert not np.allclose(other.Omega, paper.Omega)  # and another loss
    halfway = np.where(np.arange(size) == 0, start, end)
    assert np.isclose(other.value(halfway) - paper.value(halfway), total * shares[0] - omega[0])


@given(seeds, sizes)
def test_gradient_is_the_derivative_of_the_value(seed, size):
    start, end, omega = trained(seed, size)
    loss = surrogate(start, end, omega)
    theta, v = np.random.default_rng(seed + 1).standard_normal((2, size))
    # a quadratic: central differences are exact up to rounding
    along = (loss.value(theta + v) - loss.value(theta - v)) / 2
    assert np.isclose(along, loss.gradient(theta) @ v, rtol=1e-9, atol=1e-9)


@given(seeds, sizes, st.sampled_from([0.25, 4.0]))
def test_importance_is_loss_over_weight_squared(seed, size, b):
    """Claim 6: in units bθ it is Ω/b²; the loss itself does not change."""
    start, end, omega = trained(seed, size)
    one, scaled = surrogate(start, end, omega), surrogate(b * start, b * end, omega)
    assert np.allclose(scaled.Omega, one.Omega / b**2, rtol=1e-12)
    assert np.isclose(scaled.value(0 * start), one.value(0 * start), rtol=1e-12)
    assert np.allclose(surrogate(start, end, b * omega).Omega, b * one.Omega, rtol=1e-12)


@given(seeds, sizes, st.floats(1e-6, 10), st.floats(1e-12, 10))
def test_damping_bounds_importance_when_synapses_hardly_move(seed, size, xi, scale):
    start, end, omega = trained(seed, size)
    end = start + scale * (end - start)
    change = end - start
    damped = surrogate(start, end, omega, xi=xi)
    assert (damped.Omega <= omega / xi * (1 + 1e-12)).all()
    # the drop that is left is ω Δ²/(Δ² + ξ)
    left = omega * change**2 / (change**2 + xi)
    assert np.allclose(damped.drops(start), left, rtol=1e-9, atol=0)


def test_a_synapse_that_never_moved_has_no_importance_at_xi_zero():
    loss = surrogate(np.zeros(3), np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    assert np.array_equal(loss.Omega, [0, 0.25, 0])


spectra = st.lists(
    st.one_of(st.just(0.0), st.just(1.0), st.floats(1e-6, 1e6)), min_size=1, max_size=8
)


@given(seeds, spectra, st.sampled_from([0.1, 1.0, 4.0]))
def test_for_a_diagonal_old_loss_two_tasks_are_exact(seed, eigenvalues, c):
    """At c it is the minimum of c · old + new; at c = 1 the joint one, also in flat directions."""
    old, new, start = old_and_new(seed, eigenvalues, "axes")
    joint, consolidated = joint_minima(old, new, start, c=c)
    assert np.allclose(old.gradient(joint) + new.gradient(joint), 0, atol=1e-8 * (1 + old.H.max()))
    weighted = np.linalg.solve(c * old.H + new.H, c * old.H @ old.minimum + new.H @ new.minimum)
    # solving loses the condition number of c·old + new in relative precision, Ω a few ε more
    lost = np.linalg.cond(c * old.H + new.H) * EPS * 100
    size = abs(weighted).max() + abs(old.minimum).max() + abs(start).max()
    assert np.allclose(consolidated, weighted, rtol=0, atol=lost * size + 1e-12)
    if c == 1:
        assert np.allclose(consolidated, joint, rtol=0, atol=lost * size + 1e-12)


@given(seeds, st.integers(2, 6))
def test_for_a_general_old_loss_there_is_a_gap(seed, size):
    """The surrogate still has the drop, the displacement and the minimum, but no interactions."""
    old, new, start = old_and_new(seed, np.random.default_rng(seed).uniform(1, 4, size), "random")
    joint, consolidated = joint_minima(old, new, start)
    assert np.allclose(old.gradient(joint) + new.gradient(joint), 0, atol=1e-9)

    def omega(steps):
        path = old.descend(start, 15 / steps, steps)
        return -(old.gradient(path[:-1]) * np.diff(path, axis=0)).sum(axis=0)

    flow = richardson([omega(200 * 2**level) for level in range(5)])
    change = consolidated - old.minimum
    moved = (old.minimum - start) ** 2
    # Eq. 4 is stationary: 2Ω change + gradient = 0, times Δ². The flow is cut at e^-15 of its way,
    # and the extrapolation leaves (ηλ)⁵ / 2¹⁰ < 3e-6 of a drop
    slack = 1e-5 * (1 + old.value(start)) * (1 + abs(change).max())
    assert np.allclose(2 * flow * change, -moved * new.gradient(consolidated), rtol=0, atol=slack)
    if abs(old.H - np.diag(old.H.diagonal())).max() > 0.1:
        assert abs(consolidated - joint).max() > 1e-4


def test_the_gap_of_a_rank_one_old_loss_by_hand():
    """Claim 9b: Ω = ½ λ₁ for every synapse, so both are held, though only their sum mattered."""
    old = Quadratic(np.ones((2, 2)), np.zeros(2))  # ½ (θ₁ + θ₂)², λ₁ = 2
    new = Quadratic(np.eye(2), np.array([1.0, -1.0]))  # its minimum has θ₁ + θ₂ = 0: free
    joint, consolidated = joint_minima(old, new, np.array([2.0, 1.0]))
    assert np.allclose(joint, [1, -1])
    # ends at (½, -½) with 2Ω = 2: minimise (θ - end)² + ½(θ - new)², so θ = (2 end + new) / 3
    assert np.allclose(consolidated, [2 / 3, -2 / 3])


@given(st.floats(0.01, 4))
def test_figure_two_the_surrogate_is_not_the_hessian_approximation(a):
    """L = log cosh θ, from a to its minimum 0: flat far away, curvature 1 at the minimum."""
    start, end = np.array([a]), np.array([0.0])
    drop = np.log(np.cosh(a))  # in one dimension ω is the drop
    remembered = surrogate(start, end, np.array([drop]))
    local = hessian_approximation(np.array([1.0]), end)
    assert np.isclose(remembered.value(start), drop, rtol=1e-12)
    assert np.isclose(local.value(start), a**2 / 2)
    # log cosh a = a²/2 - a⁴/12 + a⁶/45 - …, alternating: between its partial sums for small a
    ratio = remembered.Omega[0] / local.Omega[0]
    assert ratio < 1
    if 0.1 < a < 1:
        assert 1 - a**2 / 6 < ratio < 1 - a**2 / 6 + 2 * a**4 / 45


@given(seeds, sizes)
def test_on_a_diagonal_quadratic_both_approximations_are_the_loss(seed, size):
    start, end, omega = trained(seed, size)
    h = 2 * omega / (end - start) ** 2  # then ω is ½ h Δ²
    remembered, local = surrogate(start, end, omega), hessian_approximation(h, end)
    theta = np.random.default_rng(seed).standard_normal(size)
    loss = Quadratic(np.diag(h), end).value(theta)
    assert np.isclose(remembered.value(theta), loss, rtol=1e-10)
    assert np.isclose(local.value(theta), loss, rtol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: surrogate(np.zeros(2), np.ones(2), np.ones(2), xi=-1.0),
        lambda: surrogate(np.zeros(2), np.ones(2), np.ones(2), xi=np.nan),
        lambda: same_total(np.zeros(2), np.ones(2), 1.0, [0.5, 0.4]),
        lambda: same_total(np.zeros(2), np.array([1.0, 0.0]), 1.0, [0.5, 0.5]),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError):
        make()
