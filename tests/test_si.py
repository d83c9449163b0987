"""Synaptic Intelligence against its specification, its invariants, and known mistakes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from oracle import Synapse
from pysi.losses import softmax_cross_entropy
from pysi.rules.mistakes import MISTAKES
from pysi.rules.si import CLAMPS
from pysi.training import update
from strategies import seeds, shape_tables, toy_net, toy_run, toy_tasks

cs = st.sampled_from([0.0, 0.1, 1.0, 3.0])
xis = st.sampled_from([0.0, 1e-3, 0.1])
clamps = st.sampled_from(CLAMPS)
names = st.sampled_from(["sgd", "momentum", "adam"])

TASKS, STEPS = 3, 7
MAKE = {
    "sgd": lambda: pysi.SGD(0.05),
    "momentum": lambda: pysi.Momentum(0.05, 0.7),
    "adam": lambda: pysi.Adam(0.05),
}
SCALAR_STEP = {
    "sgd": lambda k, g, c: k.step_sgd(g, c, 0.05),
    "momentum": lambda k, g, c: k.step_momentum(g, c, 0.05, 0.7),
    "adam": lambda k, g, c: k.step_adam(g, c, 0.05),
}


def problem(seed, size):
    """Return θ and noisy gradients; each task's loss is ½ h (θ - θ*)² per synapse."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(size)
    h, best = rng.uniform(0.1, 3, (TASKS, size)), rng.standard_normal((TASKS, size))
    noise = 0.3 * rng.standard_normal((TASKS, STEPS, size))
    return start, lambda task, step, theta: h[task] * (theta - best[task]) + noise[task, step]


def run_table(rule, optimizer, seed, shapes, block_size=None):
    """Run the package on the whole table; return (θ, ω, Ω, θ̃) after every task and step."""
    s = pysi.Synapses(shapes, dtype=np.float64, block_size=block_size)
    start, gradient = problem(seed, len(s))
    s.theta[...] = start
    rule.examples = np.arange(4)
    rule.start(s)
    trace = []
    for task in range(TASKS):
        optimizer.start(s)
        for step in range(STEPS):
            s.grad[...] = gradient(task, step, s.theta)
            update(s, optimizer, rule)
            trace.append([s.theta.copy(), s.omega.copy(), s.Omega.copy(), s.theta_ref.copy()])
        rule.end_task()
        trace.append([s.theta.copy(), s.omega.copy(), s.Omega.copy(), s.theta_ref.copy()])
    return np.array(trace)


def total_gradient(rule):
    """Return the gradient that a rule gives to the optimizer, as a row."""
    total = rule.synapses.zeros()
    with rule.synapses.update() as rows:
        rows.part(total)[...] = rule.total_gradient(rows)
    return total


def run_oracle(name, seed, size, c, xi, clamp):
    """Run the specification, one scalar synapse after the other."""
    start, gradient = problem(seed, size)
    synapses = [Synapse(theta) for theta in start.tolist()]
    trace = []

    def record():
        trace.append([[getattr(k, q) for k in synapses] for q in
                      ("theta", "omega", "Omega", "theta_ref")])  # fmt: skip

    for task in range(TASKS):
        for k in synapses:
            k.reset_optimizer()
        for step in range(STEPS):
            g = gradient(task, step, np.array([k.theta for k in synapses]))
            for k, g_k in zip(synapses, g.tolist(), strict=True):
                SCALAR_STEP[name](k, g_k, c)
            record()
        for k in synapses:
            k.end_task(xi, clamp)
        record()
    return np.array(trace)


def check_against_oracle(make_rule, name, seed, shapes, c, xi, clamp, block_size=None):
    table = run_table(make_rule(c, xi=xi, clamp=clamp), MAKE[name](), seed, shapes, block_size)
    oracle = run_oracle(name, seed, table.shape[-1], c, xi, clamp)
    # ω is a sum of 7 terms that may cancel, and ξ = 0 divides it by a small Δ²: both amplify
    # rounding (2e-16) by far less than the six digits that are left here
    scale = abs(oracle).max(axis=(0, 2))[:, None]
    assert np.allclose(table / scale, oracle / scale, rtol=1e-7, atol=1e-9)


@given(names, seeds, shape_tables(), cs, xis, clamps, st.integers(1, 300))
def test_the_table_equals_the_scalar_specification(name, seed, shapes, c, xi, clamp, block_size):
    check_against_oracle(pysi.SynapticIntelligence, name, seed, shapes, c, xi, clamp, block_size)


@given(names, seeds, cs, st.integers(1, 60), st.integers(1, 60))
def test_layers_and_blocks_do_not_matter(name, seed, c, cut, block_size):
    whole = run_table(pysi.SynapticIntelligence(c), MAKE[name](), seed, {"a": (60,)})
    shapes = {"a": (cut,), "b": (60 - cut,)} if cut < 60 else {"a": (5, 12)}
    parts = run_table(pysi.SynapticIntelligence(c), MAKE[name](), seed, shapes, block_size)
    assert np.array_equal(whole, parts)


# Slips that a rule can have besides those of pysi.rules.mistakes.


class LastTaskForgotten(pysi.SynapticIntelligence):
    """The importance of the last task is never computed."""

    ended = 0

    def end_task(self, net=None, task=None):
        self.ended += 1
        if self.ended < TASKS:
            super().end_task()


class DecayLeaksIn(pysi.SynapticIntelligence):
    """Weight decay becomes part of the step."""

    def after_step(self, rows, delta):
        super().after_step(rows, delta - 1e-2 * rows.theta)


class HalfThePenalty(pysi.SynapticIntelligence):
    """The penalty has c/2 instead of c."""

    def refresh(self):
        super().refresh()
        self._pull /= 2


SLIPS = [*MISTAKES.values(), LastTaskForgotten, DecayLeaksIn, HalfThePenalty]
VARIANTS = {"per-task-clamp": "per_task", "no-clamp": "none"}


# with plain descent no importance is negative here, so that the variants are right
CASES = [("adam", m) for m in SLIPS] + [("sgd", m) for m in SLIPS if m.name not in VARIANTS]


@pytest.mark.parametrize(("name", "mistake"), CASES)
def test_known_mistakes_fail_the_specification(name, mistake):
    arguments = (name, 0, {"a.W": (20,)}, 3.0, 1e-3, "cumulative")
    check_against_oracle(pysi.SynapticIntelligence, *arguments)
    with pytest.raises(AssertionError):
        check_against_oracle(lambda c, xi, clamp: mistake(c, xi=xi), *arguments)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variants_are_those_of_the_specification(variant):
    arguments = ("adam", 0, {"a": (20,)}, 1.0, 1e-3, VARIANTS[variant])
    check_against_oracle(lambda c, xi, clamp: MISTAKES[variant](c, xi=xi), *arguments)


@pytest.mark.smoke
def test_unused_readout_units_do_not_move_when_adam_is_reset():
    """Old moments would move the readouts of old tasks while another task is trained."""
    task1, task2, _ = toy_tasks()
    old, later = np.flatnonzero(task1.active), np.flatnonzero(~task1.active & ~task2.active)

    def heads_after(tasks, **options):
        net, _ = toy_run(pysi.SynapticIntelligence(1.0), tasks=tasks, **options)
        return net.synapses.group("dense3.W").theta

    one, two = heads_after([task1]), heads_after([task1, task2])
    assert np.array_equal(one[:, old], two[:, old])
    assert np.array_equal(toy_net(0).synapses.group("dense3.W").theta[:, later], two[:, later])
    # the test can fail: if Adam's state is kept, they do move
    stale = heads_after([task1, task2], reset_optimizer=False)
    assert not np.array_equal(one[:, old], stale[:, old])


@given(seeds, st.sampled_from([0.0, 0.5]))
def test_c_zero_is_bit_identical_to_no_rule(seed, dropout):
    with_rule, a = toy_run(pysi.SynapticIntelligence(0.0), net=toy_net(seed, dropout=dropout))
    without, b = toy_run(pysi.FineTuning(), net=toy_net(seed, dropout=dropout))
    assert np.array_equal(with_rule.synapses.theta, without.synapses.theta)
    assert np.array_equal(a.test_accuracy, b.test_accuracy)
    assert (with_rule.synapses.Omega > 0).any()  # ω is computed all the same


def test_it_starts_from_the_weights_that_it_finds():
    net = toy_net(0)
    s = net.synapses
    s.theta_ref[...], s.omega[...] = 7, 7
    pysi.SynapticIntelligence(1.0).start(s)
    assert np.array_equal(s.theta_ref, toy_net(0).synapses.theta)
    assert (s.omega == 0).all()


@given(seeds)
def test_c_changes_nothing_in_task_1_and_something_in_task_2(seed):
    tasks = toy_tasks()

    def theta(c, n):
        return toy_run(pysi.SynapticIntelligence(c), seed, tasks[:n])[0].synapses.theta

    assert np.array_equal(theta(0.0, 1), theta(2.0, 1))
    assert not np.array_equal(theta(0.0, 2), theta(2.0, 2))


@given(names, seeds, cs, xis, clamps)
def test_after_end_task_penalty_and_its_gradient_are_zero(name, seed, c, xi, clamp):
    rule = pysi.SynapticIntelligence(c, xi=xi, clamp=clamp)
    s = pysi.Synapses({"a": (9,)}, dtype=np.float64)
    start, gradient = problem(seed, 9)
    s.theta[...] = start
    rule.start(s)
    optimizer = MAKE[name]()
    optimizer.start(s)
    for task in range(TASKS):
        for step in range(STEPS):
            s.grad[...] = gradient(task, step, s.theta)
            update(s, optimizer, rule)
        rule.end_task()
        assert rule.penalty() == 0
        assert np.array_equal(total_gradient(rule), s.grad)
        assert (s.omega == 0).all()
        assert np.array_equal(s.theta_ref, s.theta)


@given(seeds, cs)
def test_the_pull_is_the_gradient_of_the_penalty(seed, c):
    rng = np.random.default_rng(seed)
    s = pysi.Synapses({"a": (6,)}, dtype=np.float64)
    rule = pysi.SynapticIntelligence(c)
    rule.start(s)
    s.Omega[...] = rng.uniform(0, 2, 6)
    rule.refresh()
    s.theta_ref[...], s.theta[...] = rng.standard_normal((2, 6))
    v, h = rng.standard_normal(6), 1e-4
    pull = total_gradient(rule) - s.grad
    theta = s.theta.copy()
    s.theta[...] = theta + h * v
    up = rule.penalty()
    s.theta[...] = theta - h * v
    down = rule.penalty()
    # the penalty is quadratic, so central differences are exact up to rounding
    assert np.isclose((up - down) / (2 * h), (pull * v).sum(), rtol=1e-8, atol=1e-9)
    s.theta[...] = theta
    assert np.isclose(rule.penalty(), c * (s.Omega * (theta - s.theta_ref) ** 2).sum())


@given(seeds, st.sampled_from([0.25, 2.0, 8.0]), xis, st.sampled_from(["sgd", "adam"]))
def test_loss_times_a_gives_importance_times_a(seed, a, xi, name):
    """Gradient descent with η/a, or Adam with ε a, makes the same steps on a L as on L."""

    def Omega(factor):
        s = pysi.Synapses({"a": (8,)}, dtype=np.float64)
        start, gradient = problem(seed, 8)
        s.theta[...] = start
        rule = pysi.SynapticIntelligence(1.0, xi=xi)
        rule.start(s)
        eps = 1e-8 * factor
        optimizer = pysi.SGD(0.05 / factor) if name == "sgd" else pysi.Adam(0.05, eps=eps)
        for task in range(2):
            optimizer.start(s)
            for step in range(STEPS):
                s.grad[...] = factor * gradient(task, step, s.theta)
                update(s, optimizer, rule)
            rule.end_task()
        return s.Omega.copy()

    assert np.allclose(Omega(a), a * Omega(1.0), rtol=1e-6, atol=1e-9)


@given(seeds, st.sampled_from([0.25, 2.0, 8.0]))
def test_theta_times_b_gives_importance_over_b_squared(seed, b):
    """In units θ' = bθ the gradient is g/b; descent with η b² makes the same steps, times b."""

    def Omega(unit):
        s = pysi.Synapses({"a": (8,)}, dtype=np.float64)
        start, gradient = problem(seed, 8)
        s.theta[...] = unit * start
        rule = pysi.SynapticIntelligence(1.0, xi=0.0)
        rule.start(s)
        optimizer = pysi.SGD(0.05 * unit**2)
        for task in range(2):
            optimizer.start(s)
            for step in range(STEPS):
                s.grad[...] = gradient(task, step, s.theta / unit) / unit
                update(s, optimizer, rule)
            rule.end_task()
        return s.Omega.copy()

    assert np.allclose(Omega(b), Omega(1.0) / b**2, rtol=1e-6)


def path(lr, steps, trapezoid=False, seed=0):
    """(Σω, loss drop) of full-batch descent; lr · steps is the training time.

    Softmax regression, which is smooth: where a ReLU switches, the gradient jumps, and descent can
    slide along such an edge with an error that no step size removes.
    """
    task = toy_tasks()[0]
    net = toy_net(seed, sizes=(12, 6))
    s, rule, optimizer = net.synapses, pysi.SynapticIntelligence(1.0), pysi.SGD(lr)
    rule.start(s)

    def loss_and_gradient():
        loss, dlogits = softmax_cross_entropy(net.forward(task.x_train), task.y_train, task.active)
        net.backward(dlogits)
        return loss

    first, total, before = loss_and_gradient(), 0.0, s.grad.copy()
    for _ in range(steps):
        theta = s.theta.copy()
        update(s, optimizer, rule)
        last = loss_and_gradient()
        total -= (0.5 * (before + s.grad) * (s.theta - theta)).sum()
        before = s.grad.copy()
    return (total if trapezoid else s.omega.sum()), first - last


@given(seeds, st.floats(0.001, 0.2))
def test_omega_sums_to_the_loss_drop(seed, lr):
    """Eq. 3 to first order, with a bound: |Σω - drop| ≤ ½ K η Σω.

    K bounds the curvature: a step Δ = -ηg misses the drop g·Δ by at most ½ K |Δ|², and those add
    up to ½ K η Σω. For softmax regression K = ½ λ_max(⟨x xᵀ⟩), x with a 1 for the bias.
    """
    x = toy_tasks()[0].x_train / 255
    x = np.c_[x, np.ones(len(x))]
    K = np.linalg.eigvalsh(x.T @ x / len(x))[-1] / 2
    total, drop = path(lr, 20, seed=seed)
    assert total > 0
    assert abs(total - drop) <= K * lr / 2 * total * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_trapezoid_rule_makes_it_second_order(seed):
    pairs = [path(0.4 / n, 10 * n, trapezoid=True, seed=seed) for n in (4, 8, 16)]
    errors = np.array([abs(total - drop) / drop for total, drop in pairs])
    # half the step h leaves a quarter of the error, up to a factor 1 + O(h)
    assert np.allclose(errors[:-1] / errors[1:], 4, rtol=0.25)


@given(st.floats(0.05, 1.9), st.integers(1, 60), st.floats(0.1, 5))
def test_golden_closed_form_for_gradient_descent(step, n, h):
    """Ω after n steps of size η = step/h on ½ h (θ - θ*)², ξ = 0: known exactly."""
    s = pysi.Synapses({"a": (1,)}, dtype=np.float64)
    s.theta[...] = 2.0
    rule, optimizer = pysi.SynapticIntelligence(1.0, xi=0.0), pysi.SGD(step / h)
    rule.start(s)
    for _ in range(n):
        s.grad[...] = h * (s.theta - 0.5)
        update(s, optimizer, rule)
    rule.end_task()
    rho = 1 - step
    expected = (h / 2) / (1 - step / 2) * (1 + rho**n) / (1 - rho**n)
    assert np.isclose(s.Omega[0], expected, rtol=1e-9)


@pytest.mark.smoke
def test_a_synapse_that_never_moved_gets_zero_at_xi_zero():
    s = pysi.Synapses({"a": (3,)})
    rule, optimizer = pysi.SynapticIntelligence(1.0, xi=0.0), pysi.Adam(0.1)
    rule.start(s)
    optimizer.start(s)
    s.grad[...] = [0.0, 1.0, 0.0]
    update(s, optimizer, rule)
    rule.end_task()
    assert s.Omega[0] == s.Omega[2] == 0
    assert np.isfinite(s.Omega[1])
    assert s.Omega[1] > 0


@pytest.mark.parametrize(
    ("clamp", "expected"), [("cumulative", 0.5), ("per_task", 1.5), ("none", -0.5)]
)
def test_where_negative_importance_is_cut_off(clamp, expected):
    """Contributions 1, -2, 0.5 are summed as they are, cut off one by one, or cumulatively."""
    s = pysi.Synapses({"a": (1,)}, dtype=np.float64)
    rule = pysi.SynapticIntelligence(1.0, xi=0.0, clamp=clamp)
    rule.start(s)
    for contribution in (1.0, -2.0, 0.5):
        s.theta[...] += 1.0
        s.omega[...] = contribution
        rule.end_task()
    assert s.Omega[0] == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: pysi.SynapticIntelligence(-1),
        lambda: pysi.SynapticIntelligence(float("inf")),
        lambda: pysi.SynapticIntelligence([1.0, -0.5]),
        lambda: pysi.SynapticIntelligence(1, xi=-1e-3),
        lambda: pysi.SynapticIntelligence(1, xi=float("nan")),
        lambda: pysi.SynapticIntelligence(1, clamp="sometimes"),
        lambda: pysi.SynapticIntelligence([0, 1]).start(pysi.Synapses({"a": (2,)}, lead=(3,))),
        lambda: pysi.SynapticIntelligence([0, 1]).start(pysi.Synapses({"a": (2,)})),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError):
        make()
