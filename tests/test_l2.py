"""L2: a plain loop, and mistakes that it rejects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from penalties import CHECKS, a_stopped_run_goes_on_within_a_task
from pysi.rules.l2 import L2
from pysi.training import update
from strategies import seeds, shape_tables
from test_si import STEPS, TASKS, problem


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_penalty(check):
    check(L2)


def test_a_stopped_run_goes_on(tmp_path):
    a_stopped_run_goes_on_within_a_task(L2, tmp_path)


def run_table(rule, seed, shapes):
    """Return θ after every step of gradient descent."""
    s, optimizer, trace = pysi.Synapses(shapes, dtype=np.float64), pysi.SGD(0.05), []
    start, gradient = problem(seed, len(s))
    s.theta[...] = start
    rule.start(s)
    optimizer.start(s)
    for task in range(TASKS):
        for step in range(STEPS):
            s.grad[...] = gradient(task, step, s.theta)
            update(s, optimizer, rule)
            trace.append(s.theta.copy())
        rule.end_task()
        rule.refresh()
    return np.array(trace)


def run_loop(c, seed, size):
    """Do the same for one number after the other: the loss and, from task 2 on, c (θ - θ̃)²."""
    start, gradient = problem(seed, size)
    theta, trace = start.tolist(), []
    for task in range(TASKS):
        reference = list(theta)
        for step in range(STEPS):
            g = gradient(task, step, np.array(theta)).tolist()
            for k in range(size):
                pull = 2 * c * (theta[k] - reference[k]) if task else 0.0
                theta[k] -= 0.05 * (g[k] + pull)
            trace.append(list(theta))
    return np.array(trace)


def check_against_loop(make, c, seed, shapes):
    table = run_table(make(c), seed, shapes)
    # 21 steps of numbers of order 1
    assert np.allclose(table, run_loop(c, seed, table.shape[-1]), rtol=1e-10, atol=1e-12)


@given(st.sampled_from([0.0, 0.3, 2.0]), seeds, shape_tables())
def test_it_equals_a_loop_over_synapses(c, seed, shapes):
    check_against_loop(L2, c, seed, shapes)


class InTask1Too(L2):
    """It pulls to the initial weights during task 1."""

    def start(self, synapses):
        synapses.Omega[...] = 1
        super().start(synapses)


class OnePerTask(L2):
    """Ω grows with every task."""

    def end_task(self, net=None, task=None):
        old = self.synapses.Omega.copy()
        super().end_task()
        self.synapses.Omega[...] += old


class AroundTheStart(L2):
    """θ̃ stays at the initial weights."""

    def end_task(self, net=None, task=None):
        old = self.synapses.theta_ref.copy()
        super().end_task()
        self.synapses.theta_ref[...] = old


class HalfThePenalty(L2):
    """The penalty is c/2 Σ (θ - θ̃)²."""

    def refresh(self):
        super().refresh()
        self._pull /= 2


@pytest.mark.parametrize("mistake", [InTask1Too, OnePerTask, AroundTheStart, HalfThePenalty])
def test_known_mistakes_fail(mistake):
    check_against_loop(L2, 0.3, 0, {"a": (20,)})
    with pytest.raises(AssertionError):
        check_against_loop(mistake, 0.3, 0, {"a": (20,)})
