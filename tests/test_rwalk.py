"""Riemannian walk: a loop over synapses, closed forms, and mistakes that the loop rejects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from oracle import Synapse
from penalties import CHECKS, a_stopped_run_goes_on_within_a_task
from pysi.rules.rwalk import RWalk
from pysi.training import update
from strategies import seeds, shape_tables, toy_net, toy_run, toy_tasks
from test_si import MAKE, SCALAR_STEP, STEPS, TASKS, names, problem

ROWS = ("theta", "fisher", "mean_score", "Omega", "theta_ref")


def make(c):
    return RWalk(c, interval=3)  # an epoch of the toy tasks has five steps


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_penalty(check):
    check(make)


def test_a_stopped_run_goes_on(tmp_path):
    a_stopped_run_goes_on_within_a_task(make, tmp_path)


class Walker(Synapse):
    """One scalar synapse, with what it needs beside that of Synaptic Intelligence."""

    fisher = score = mean_score = 0.0

    def after_step(self, g, alpha):
        self.fisher = alpha * g**2 + (1 - alpha) * self.fisher

    def end_interval(self, eps):
        if self.omega > 0:
            distance = 0.5 * self.fisher * (self.theta - self.anchor) ** 2
            self.score += self.omega / (distance + eps)
        self.omega, self.anchor = 0.0, self.theta


def scaled(numbers):
    low, high = min(numbers), max(numbers)
    return [(a - low) / (high - low) if high > low else 0.0 for a in numbers]


def run_loop(name, seed, size, c, alpha, interval, eps):
    """Return the rows of scalar synapses after each task."""
    start, gradient = problem(seed, size)
    walkers, trace = [Walker(theta) for theta in start.tolist()], []
    for task in range(TASKS):
        for k in walkers:
            k.reset_optimizer()
            k.anchor, k.score = k.theta, 0.0
        for step in range(STEPS):
            g = gradient(task, step, np.array([k.theta for k in walkers])).tolist()
            for k, g_k in zip(walkers, g, strict=True):
                SCALAR_STEP[name](k, g_k, c)
                k.after_step(g_k, alpha)
                if (step + 1) % interval == 0 or step == STEPS - 1:
                    k.end_interval(eps)
        for k in walkers:
            k.mean_score = k.score if task == 0 else (k.mean_score + k.score) / 2
            k.theta_ref = k.theta
        F, s = (scaled([getattr(k, row) for k in walkers]) for row in ("fisher", "mean_score"))
        for k, F_k, s_k in zip(walkers, F, s, strict=True):
            k.Omega = F_k + s_k
        trace.append([[getattr(k, row) for k in walkers] for row in ROWS])
    return np.array(trace)


def run_table(rule, optimizer, seed, shapes, block_size=None, unit=1.0):
    """Return the rows of the package after each task; the loss is in other units."""
    s = pysi.Synapses(shapes, dtype=np.float64, block_size=block_size)
    start, gradient = problem(seed, len(s))
    s.theta[...], trace = start, []
    rule.start(s)
    for task in range(TASKS):
        optimizer.start(s)
        for step in range(STEPS):
            rule.before_step(None)
            s.grad[...] = unit * gradient(task, step, s.theta)
            update(s, optimizer, rule)
        rule.end_task()
        rule.refresh()
        trace.append([getattr(s if hasattr(s, row) else rule, row).copy() for row in ROWS])
    return np.array(trace)


def check_against_loop(kind, name, seed, shapes, c, block_size=None, **options):
    options = {"alpha": 0.9, "interval": 3, "eps": 1e-3} | options
    table = run_table(kind(c, **options), MAKE[name](), seed, shapes, block_size)
    loop = run_loop(name, seed, table.shape[-1], c, **options)
    # sums of seven terms, of which ΔL may cancel
    scale = abs(loop).max(axis=(0, 2))[:, None] + 1e-300
    assert np.allclose(table / scale, loop / scale, rtol=1e-7, atol=1e-9)


@given(
    names, seeds, shape_tables(), st.sampled_from([0.0, 0.5, 3.0]), st.integers(1, 300),
    st.sampled_from([0.3, 0.9, 1.0]), st.sampled_from([1, 3, 7, 10]), st.sampled_from([1e-6, 0.1]),
)  # fmt: skip
def test_it_equals_a_loop_over_synapses(name, seed, shapes, c, block, alpha, interval, eps):
    check_against_loop(RWalk, name, seed, shapes, c, block, alpha=alpha, interval=interval, eps=eps)


class WithoutTheHalf(RWalk):
    """The distance is F Δθ²."""

    def end_interval(self):
        self.fisher *= 2
        super().end_interval()
        self.fisher /= 2


class TotalGradient(RWalk):
    """ΔL takes the gradient that includes the penalty."""

    def total_gradient(self, rows):
        self.total = super().total_gradient(rows)
        return self.total

    def after_step(self, rows, delta):
        gain = rows.omega - self.total * delta
        super().after_step(rows, delta)
        rows.omega[...] = gain


class NotClipped(RWalk):
    """Where the loss rises, the score falls."""

    def end_interval(self):
        s = self.synapses
        loss = np.minimum(s.omega, 0)
        self.score += loss / (0.5 * self.fisher * (s.theta - self.anchor) ** 2 + self.eps)
        super().end_interval()


class OneInterval(RWalk):
    """The whole task is one interval, as in Synaptic Intelligence."""

    def before_step(self, net):
        pass


class LastIntervalLost(RWalk):
    """Steps after the last whole interval do not count."""

    def end_task(self, net=None, task=None):
        if self.steps < self.interval:
            self.synapses.omega[...] = 0
        super().end_task()


class NotAveraged(RWalk):
    """Scores of all tasks are added up."""

    def end_task(self, net=None, task=None):
        old = self.mean_score.copy()
        super().end_task()
        self.mean_score *= 2 if self.tasks > 1 else 1
        assert (self.mean_score >= old).all()


class NotNormalised(RWalk):
    """Ω = F + s̄."""

    def end_task(self, net=None, task=None):
        super().end_task()
        self.synapses.Omega[...] = self.fisher + self.mean_score


class FisherForgotten(RWalk):
    """F begins anew with every task."""

    def end_task(self, net=None, task=None):
        super().end_task()
        self.fisher[...] = 0


class ImportanceAdded(RWalk):
    """Ω is added up over tasks."""

    def end_task(self, net=None, task=None):
        old = self.synapses.Omega.copy()
        super().end_task()
        self.synapses.Omega[...] += old


MISTAKES = [
    WithoutTheHalf, TotalGradient, NotClipped, OneInterval, LastIntervalLost, NotAveraged,
    NotNormalised, FisherForgotten, ImportanceAdded,
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_known_mistakes_fail(mistake, name):
    check_against_loop(RWalk, name, 0, {"a": (20,)}, 1.0)
    with pytest.raises(AssertionError):
        check_against_loop(mistake, name, 0, {"a": (20,)}, 1.0)


@given(st.floats(0.1, 1.0), st.integers(1, 5), st.integers(1, 40), st.floats(0.3, 3))
def test_golden_closed_form_for_a_constant_gradient(alpha, interval, n, g):
    """Every interval of k steps has Δθ = -k η g and ΔL = k η g², and F = g² (1 - (1 - α)^t)."""
    s, optimizer = pysi.Synapses({"a": (2,)}, dtype=np.float64), pysi.SGD(0.1)
    rule = RWalk(1.0, alpha=alpha, interval=interval, eps=1e-2)
    rule.start(s)
    optimizer.start(s)
    for _ in range(n):
        rule.before_step(None)
        s.grad[...] = [g, 0.0]
        update(s, optimizer, rule)
    rule.end_task()
    expected, left = 0.0, n
    while left:
        k = min(interval, left)
        left -= k
        F = g**2 * (1 - (1 - alpha) ** (n - left))
        expected += k * 0.1 * g**2 / (0.5 * F * (k * 0.1 * g) ** 2 + 1e-2)
    assert np.allclose(rule.fisher, [g**2 * (1 - (1 - alpha) ** n), 0], rtol=1e-10)
    assert np.allclose(rule.mean_score, [expected, 0], rtol=1e-9)
    assert np.array_equal(s.Omega, [2, 0])  # the largest F̃ and s̃ are 1, the smallest 0


@given(seeds, st.sampled_from([0.25, 2.0, 8.0]))
def test_the_unit_of_the_loss_does_not_matter(seed, a):
    """With a L, F is a² F and ΔL is a ΔL: with ε a², all scores are divided by a."""
    one, other = (
        run_table(RWalk(0.0, interval=3, eps=1e-3 * unit**2), pysi.SGD(0.05 / unit), seed,
                  {"a": (9,)}, unit=unit)
        for unit in (1.0, a)
    )  # fmt: skip
    for row, factor in zip(ROWS, (1, a**2, 1 / a, 1, 1), strict=True):
        i = ROWS.index(row)
        assert np.allclose(other[:, i], factor * one[:, i], rtol=1e-7, atol=1e-12), row


def test_importance_is_between_0_and_2_in_each_network():
    net, _ = toy_run(make(0.5), [1, 2], toy_tasks())
    Omega = net.synapses.Omega
    assert (Omega.min(axis=-1) == 0).all()
    assert ((Omega.max(axis=-1) >= 1) & (Omega.max(axis=-1) <= 2)).all()
    assert not np.allclose(Omega[0], Omega[1])


def test_synapses_that_never_had_a_gradient_have_no_importance():
    s = pysi.Synapses({"a": (3,)})
    rule = RWalk(1.0)
    rule.start(s)
    rule.end_task()
    assert (s.Omega == 0).all()  # and not 0/0


def test_a_bad_argument_is_a_config_error():
    for options, message in [
        ({"alpha": 0.0}, "alpha: expected 0 < α ≤ 1"),
        ({"alpha": 1.1}, "alpha"),
        ({"alpha": "1"}, "alpha"),
        ({"interval": 0}, "interval: expected a whole number from 1"),
        ({"interval": 2.5}, "interval"),
        ({"eps": 0.0}, "eps: expected a positive number"),
        ({"eps": float("nan")}, "eps"),
    ]:
        with pytest.raises(pysi.ConfigError, match=message):
            RWalk(1.0, **options)


def test_its_intervals_are_those_of_training():
    """Five steps per epoch and three per interval: the score sees (3, 3, 3, 1) steps."""
    lengths = []

    class Counting(RWalk):
        def end_interval(self):
            lengths.append(self.steps)
            super().end_interval()

    toy_run(Counting(0.5, interval=3), net=toy_net(), tasks=toy_tasks()[:2])
    assert lengths == [3, 3, 3, 1] * 2
