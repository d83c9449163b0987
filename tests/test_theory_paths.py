"""Eqs. 1 to 3 on real networks: what is exact, what is of first order, what noise adds."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.losses import softmax_cross_entropy
from pysi.theory.curvature import hessian
from pysi.theory.paths import covariance_diagonal, gradient_flow, record, richardson
from strategies import seeds

N, CLASSES = 12, 3
ACTIVE = np.ones(CLASSES, bool)


def problem(seed, hidden=(3,), lead=()):
    """Return a smooth network of 21 synapses, equal in all replicas, and twelve examples."""
    rng = np.random.default_rng(seed)
    sizes = (2, *hidden, CLASSES)
    replicas = list(range(*lead)) if lead else 0
    net = pysi.MLP(sizes, seed=replicas, dtype=np.float64, activation="tanh")
    net.synapses.theta[...] = 0.5 * rng.standard_normal(net.synapses.theta.shape[-1])
    return net, rng.standard_normal((N, 2)), rng.integers(0, CLASSES, N)


def loss_and_gradient(net, x, labels):
    loss, dlogits = softmax_cross_entropy(net.forward(x), labels, ACTIVE)
    net.backward(dlogits)
    return loss, dlogits


def full_batch(seed, optimizer, steps, **options):
    net, x, labels = problem(seed, **options)
    return record(net, optimizer, x, labels, ACTIVE, steps)


def watched(optimizer_class, *args):
    """Return an optimizer of this class that remembers its steps."""

    class Watched(optimizer_class):
        def delta(self, gradient, rows):
            delta = super().delta(gradient, rows)
            self.steps.append(self.synapses.zeros())
            rows.part(self.steps[-1])[...] = delta
            return delta

    optimizer = Watched(*args)
    optimizer.steps = []
    return optimizer


OPTIMIZERS = {"sgd": (pysi.SGD, 1.0), "momentum": (pysi.Momentum, 0.3), "adam": (pysi.Adam, 0.1)}


def taylor(net, x, labels, delta):
    """Make the step δ; return ½ δᵀHδ and the third order, δᵀ(H' - H)δ / 6, with H' after it."""
    before = hessian(net, x, labels, ACTIVE)
    net.synapses.theta[...] += delta
    after = hessian(net, x, labels, ACTIVE)
    return delta @ before @ delta / 2, delta @ (after - before) @ delta / 6


@given(seeds)
def test_one_small_step_changes_the_loss_by_g_delta(seed):
    """Eq. 1: L(θ + δ) - L(θ) = g·δ up to the second order, which is known too."""
    net, x, labels = problem(seed)
    before, _ = loss_and_gradient(net, x, labels)
    g = net.synapses.grad.copy()
    delta = 1e-4 * np.random.default_rng(seed).standard_normal(len(g))
    second, third = taylor(net, x, labels, delta)
    after, _ = loss_and_gradient(net, x, labels)
    # |δ| is about 5e-4: orders two, three and four are some 1e-7, 1e-11 and 1e-14
    assert np.isclose(after - before - g @ delta, second + third, rtol=0, atol=1e-12)


@given(seeds, st.sampled_from(sorted(OPTIMIZERS)), st.floats(0.01, 0.3))
def test_omega_sums_to_the_drop_within_what_the_steps_allow(seed, name, size):
    """Eqs. 2 and 3 for softmax regression, whose second and third derivatives have known bounds.

    Along a step Δ of weights, an example's logits move by u_n = Δᵀ(x_n, 1). The second derivative
    of its loss is the variance of u_n under p, at most r²/4 for a range r of u_n over the classes;
    the third is the third central moment, at most r³/(6√3). The sum with the gradient at the start
    misses half the former, and the trapezoid rule a twelfth of the latter.
    """
    net, x, labels = problem(seed, hidden=())
    kind, scale = OPTIMIZERS[name]
    optimizer = watched(kind, scale * size)
    path = record(net, optimizer, x, labels, ACTIVE, 20)
    delta = np.array(optimizer.steps)
    u = np.c_[x, np.ones(N)] @ delta.reshape(20, 3, CLASSES)
    ranges = np.ptp(u, axis=-1)
    rounding = 1e-13
    first, second = path.omega_full.sum() - path.drop, path.omega_trapezoid.sum() - path.drop
    assert -rounding <= first <= (ranges**2 / 8).mean(axis=1).sum() + rounding  # convex
    bound = (ranges**3).mean(axis=1).sum() / (12 * 6 * np.sqrt(3))
    assert abs(second) <= bound + rounding
    # without minibatches they are equal, up to the rounding of Δθ as asked for and as made
    assert np.allclose(path.omega, path.omega_full, rtol=1e-12, atol=1e-14)


@given(seeds)
def test_left_sums_err_by_half_the_curvature_of_every_step(seed):
    """The discretisation term ½ Σ ΔᵀHΔ, with the exact Hessian, and its order in the step."""
    net, x, labels = problem(seed)
    lr, steps, start = 0.05, 8, net.synapses.theta.copy()
    path = record(net, pysi.SGD(lr), x, labels, ACTIVE, steps)
    net.synapses.theta[...] = start
    second = third = 0.0
    for _ in range(steps):
        loss_and_gradient(net, x, labels)
        terms = taylor(net, x, labels, -lr * net.synapses.grad)
        second, third = second + terms[0], third + terms[1]
    left = path.omega_full.sum() - path.drop
    # the fourth order is |ηg|² / 12, below 1e-3, of the second, times a ratio of derivatives
    assert np.isclose(left, second + third, rtol=3e-3, atol=1e-12)
    # a trapezoid is D³L / 12 of a step above the integral, half the third order, here with a minus
    trapezoid = path.omega_trapezoid.sum() - path.drop
    assert np.isclose(trapezoid, -third / 2, rtol=0.1, atol=3e-3 * abs(second))


@pytest.mark.parametrize("seed", range(6))
def test_first_order_in_the_step_second_with_the_trapezoid_rule(seed):
    paths = [full_batch(seed, pysi.SGD(0.4 / n), 4 * n) for n in (4, 8, 16, 32)]
    left = np.array([path.omega_full.sum() - path.drop for path in paths])
    trapezoid = np.array([path.omega_trapezoid.sum() - path.drop for path in paths])
    # half the step: half and a quarter of the error, up to a factor 1 + O(h)
    assert np.allclose(left[:-1] / left[1:], 2, rtol=0.15)
    assert np.allclose(trapezoid[1:-1] / trapezoid[2:], 4, rtol=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_full_batch_adam_sums_to_the_drop_as_steps_shrink(seed):
    paths = [full_batch(seed, pysi.Adam(0.2 / n), 4 * n) for n in (8, 32, 128)]
    left = np.array([abs(path.omega_full.sum() / path.drop - 1) for path in paths])
    trapezoid = np.array([abs(path.omega_trapezoid.sum() / path.drop - 1) for path in paths])
    # steps a quarter as long; Adam's path depends on their number, so only the trend is tested
    assert (left[:-1] > 2 * left[1:]).all()
    assert left[-1] < 0.02
    assert (trapezoid < left / 5).all()
    assert paths[0].bias is None


@given(seeds)
def test_the_extrapolated_flow_is_exact(seed):
    """Eq. 3 in the limit: Σω equals the drop far below the first-order error of any single run."""
    net, x, labels = problem(seed)
    omega, drop = gradient_flow(net, x, labels, ACTIVE, time=1.0, steps=8)
    # four levels leave (1/8)(1/16)(1/32)(1/64) times a fifth derivative: 4e-6 times some units
    assert abs(omega.sum() - drop) < 1e-5
    assert (omega > -1e-5).all()  # under the flow ω_k is ∫ g_k² dt


@pytest.mark.parametrize("seed", range(3))
def test_the_extrapolated_flow_is_the_integrated_flow(seed):
    """Every ω_k against dω/dt = g², integrated by an adaptive Runge-Kutta method."""
    from scipy.integrate import solve_ivp

    net, x, labels = problem(seed)
    start = net.synapses.theta.copy()

    def rates(_, state):
        net.synapses.theta[...] = state[: len(start)]
        loss_and_gradient(net, x, labels)
        g = net.synapses.grad
        return np.concatenate([-g, g * g])

    ends = solve_ivp(rates, (0, 2), np.r_[start, 0 * start], rtol=1e-11, atol=1e-13).y[:, -1]
    net.synapses.theta[...] = start
    omega, _ = gradient_flow(net, x, labels, ACTIVE, time=2.0, steps=32)
    # h = 1/16: h⁴ / 2⁶ = 2e-7 times a derivative of some units
    assert np.allclose(omega, ends[len(start) :], rtol=0, atol=1e-6)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6), st.floats(0.1, 1))
def test_richardson_removes_one_power_per_level(coefficients, h):
    """n values determine a polynomial of degree n - 1 at zero, up to rounding."""
    steps = h / 2 ** np.arange(len(coefficients))
    values = np.polynomial.polynomial.polyval(steps, coefficients)
    assert np.isclose(richardson(values), coefficients[0], atol=1e-12 * 50)
    rows = [np.array([value, -value]) for value in values]
    assert np.allclose(richardson(rows)[0], -richardson(rows)[1])
    assert richardson(values[:1]) == values[0]


@given(seeds, st.integers(1, 5))
def test_covariance_is_that_of_all_possible_minibatches(seed, batch_size):
    """Exactly: every subset of five examples, each equally likely, averaged by hand."""
    net, x, labels = problem(seed)
    x, labels, lr = x[:5], labels[:5], 0.1
    noisy = []
    for batch in map(list, combinations(range(5), batch_size)):
        loss_and_gradient(net, x[batch], labels[batch])
        noisy.append(net.synapses.grad.copy())
    _, dlogits = loss_and_gradient(net, x, labels)
    g = net.synapses.grad.copy()
    C = covariance_diagonal(net, dlogits, batch_size)
    assert np.allclose(C, np.var(noisy, axis=0), rtol=1e-9, atol=1e-14)
    # and so η C is what the minibatch adds to ω, on average, in one step Δθ = -η ĝ
    excess = np.mean([lr * b * b - lr * g * b for b in noisy], axis=0)
    path = record(net, pysi.SGD(lr), x, labels, ACTIVE, 1, batch_size=batch_size)
    assert np.allclose(path.bias, excess, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("batch_size", "lr"), [(1, 0.05), (3, 0.2), (8, 0.2)])
def test_minibatches_overestimate_by_the_predicted_amount(batch_size, lr):
    net, x, labels = problem(1, lead=(300,))
    path = record(net, pysi.SGD(lr), x, labels, ACTIVE, 25, batch_size=batch_size)
    excess, predicted = (path.omega - path.omega_full).sum(axis=-1), path.bias.sum(axis=-1)
    # the difference is a sum of steps that are each zero on average, so it is zero on average over
    # the 300 runs, within five standard errors of the mean
    sem = (excess - predicted).std(ddof=1) / np.sqrt(len(excess))
    assert abs((excess - predicted).mean()) < 5 * sem
    # and the bias is large enough: it differs clearly from zero, from half and from twice as much
    assert predicted.mean() > 15 * sem
    assert path.omega.sum(axis=-1).mean() > path.drop.mean() + 0.8 * predicted.mean()
    # the same for every synapse on its own (21 at six standard errors)
    each = path.omega - path.omega_full - path.bias
    assert (abs(each.mean(axis=0)) < 6 * each.std(axis=0, ddof=1) / np.sqrt(300)).all()


def test_a_smaller_learning_rate_does_not_remove_the_bias():
    """At fixed training time η · steps it tends to ∫ tr C dt; the discretisation error does not."""
    found = []
    for n in (10, 40):
        net, x, labels = problem(1, lead=(200,))
        path = record(net, pysi.SGD(2 / n), x, labels, ACTIVE, n, batch_size=2)
        excess = (path.omega - path.omega_full).sum(axis=-1)
        sem = excess.std(ddof=1) / np.sqrt(200)
        left = (path.omega_full.sum(axis=-1) - path.drop).mean()
        found.append((excess.mean(), sem, path.bias.sum(axis=-1).mean(), left))
    (coarse, sem, bias, left), (fine, fine_sem, fine_bias, fine_left) = found
    # a quarter of η: the same bias, up to its noise and O(η); a quarter of the other error
    assert abs(coarse - bias) < 5 * sem
    assert abs(fine - fine_bias) < 5 * fine_sem
    assert 0.7 < fine_bias / bias < 1.4
    assert 0.15 < fine_left / left < 0.4


def test_a_minibatch_of_everything_has_no_noise():
    net, x, labels = problem(0)
    whole = record(net, pysi.SGD(0.1), x, labels, ACTIVE, 5, batch_size=N)
    assert (whole.bias == 0).all()
    assert np.allclose(whole.omega, whole.omega_full, rtol=1e-10, atol=1e-15)
    plain = full_batch(0, pysi.SGD(0.1), 5)
    assert (plain.bias == 0).all()
    assert np.allclose(whole.omega, plain.omega, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_networks_side_by_side_are_networks_on_their_own(batch_size):
    net, x, labels = problem(2, lead=(3,))
    both = record(net, pysi.SGD(0.1), x, labels, ACTIVE, 6, batch_size=batch_size)
    for r in range(3):
        one, *_ = problem(2)
        one.seeds = (r,)
        alone = record(one, pysi.SGD(0.1), x, labels, ACTIVE, 6, batch_size=batch_size)
        for name in ("omega", "omega_full", "omega_trapezoid", "bias", "drop"):
            # BLAS may add up in another order
            assert np.allclose(getattr(both, name)[r], getattr(alone, name), rtol=1e-9, atol=1e-13)


def test_no_steps_contribute_nothing():
    path = full_batch(0, pysi.SGD(0.1), 0)
    assert path.drop == 0
    assert (path.omega == 0).all()
    assert (path.omega_trapezoid == 0).all()


@pytest.mark.parametrize("batch_size", [0, N + 1])
def test_impossible_batches_are_config_errors(batch_size):
    net, x, labels = problem(0)
    with pytest.raises(pysi.ConfigError, match="batch_size"):
        record(net, pysi.SGD(0.1), x, labels, ACTIVE, 1, batch_size=batch_size)
