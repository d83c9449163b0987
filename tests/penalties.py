"""What holds for every rule with the penalty c Σ Ω (θ - θ̃)², whatever its Ω.

A check takes `make`, a function from a strength c to a new rule. The test of a rule runs all of
them: ``@pytest.mark.parametrize("check", CHECKS)``.
"""

from copy import deepcopy

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import to_host
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.tables import SAVED
from strategies import every_epoch, toy_net, toy_run, toy_tasks

TASKS = toy_tasks()


def total_gradient(rule):
    """Return the gradient that a rule gives to the optimizer, as a row."""
    total = rule.synapses.zeros()
    with rule.synapses.update() as rows:
        rows.part(total)[...] = rule.total_gradient(rows)
    return total


def saved(net):
    return [to_host(getattr(net.synapses, row)) for row in SAVED]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(saved(one), saved(other), strict=True))


def strength_zero_is_fine_tuning(make):
    for dtype in (np.float32, np.float64):
        nets = [toy_net(3, dropout=0.2, dtype=dtype) for _ in range(2)]
        rules = make(0.0), pysi.FineTuning()
        histories = [toy_run(rule, net=net)[1] for rule, net in zip(rules, nets, strict=True)]
        assert np.array_equal(*(net.synapses.theta for net in nets))
        assert np.array_equal(*(history.test_accuracy for history in histories))
        assert (nets[0].synapses.Omega > 0).any()


def strength_changes_nothing_in_task_1(make):
    for n, equal in ((1, True), (2, False)):
        nets = [toy_run(make(c), 1, TASKS[:n])[0] for c in (0.0, 2.0)]
        assert np.array_equal(*(net.synapses.theta for net in nets)) == equal


def nothing_pulls_when_a_task_has_ended(make):
    net, rule, optimizer = toy_net([4, 5]), make([0.5, 2.0]), pysi.Adam(0.01)
    s = net.synapses
    for task in TASKS:
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer)
        assert (s.Omega > 0).any() and (s.Omega >= 0).all()
        assert (rule.penalty() == 0).all()
        assert np.array_equal(total_gradient(rule), s.grad)
        assert np.array_equal(s.theta_ref, s.theta)
        assert (s.omega == 0).all()


def the_pull_is_the_gradient_of_the_penalty(make):
    net, rule = toy_net(2), make(0.7)
    toy_run(rule, net=net, tasks=TASKS[:2])
    s, rng = net.synapses, np.random.default_rng(0)
    theta = s.theta + rng.standard_normal(len(s))
    v, h, values = rng.standard_normal(len(s)), 1e-4, []
    for sign in (1, -1):
        s.theta[...] = theta + sign * h * v
        values.append(rule.penalty())
    s.theta[...] = theta
    pull = total_gradient(rule) - s.grad
    # the penalty is quadratic, so central differences are exact up to rounding
    assert np.isclose((values[0] - values[1]) / (2 * h), (pull * v).sum(), rtol=1e-6)
    assert np.isclose(rule.penalty(), 0.7 * (s.Omega * (theta - s.theta_ref) ** 2).sum())


def networks_side_by_side_are_single_networks(make):
    many, history = toy_run(make([0.0, 1.0]), [3, 4], optimizer=pysi.SGD(0.05))
    for r, (seed, c) in enumerate([(3, 0.0), (4, 1.0)]):
        one, alone = toy_run(make(c), seed, optimizer=pysi.SGD(0.05))
        for side_by_side, single in zip(saved(many), saved(one), strict=True):
            assert np.allclose(side_by_side[r], single, rtol=1e-8, atol=1e-11)
        assert np.isclose(history.epochs[-1]["penalty"][r], alone.epochs[-1]["penalty"])


def a_device_gives_numpy_s_numbers(make):
    host, device = (toy_run(make(0.5), net=toy_net([1, 2], xp=xp))[0] for xp in (np, strict_array))
    assert same(host, device)


def task_by_task_is_all_at_once(make):
    whole, _ = toy_run(make(0.5), 1)
    net, rule, optimizer = toy_net(1), make(0.5), pysi.Adam(0.01)
    for task in TASKS:
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer)
    assert same(whole, net)


def a_copy_goes_on_like_the_original(make):
    net, rule, optimizer = toy_net(1), make(0.5), pysi.Adam(0.01)
    toy_run(rule, net=net, tasks=TASKS[:1], optimizer=optimizer)
    other, its_rule, its_optimizer = deepcopy((net, rule, optimizer))
    for a, b, c in ((rule, net, optimizer), (its_rule, other, its_optimizer)):
        toy_run(a, net=b, tasks=TASKS[1:], optimizer=c)
    assert same(net, other)


def a_stopped_run_goes_on_within_a_task(make, folder):
    def run(name, stop=None):
        def interrupt(task, epoch):
            if (task, epoch) == stop:
                raise KeyboardInterrupt

        listeners = Checkpoint(folder / name, {}), every_epoch(interrupt)
        return toy_run(make([0.5, 2.0]), net=toy_net([1, 2], dropout=0.2), listeners=listeners)[0]

    for stop in ((1, 1), (2, 1), (2, 2), (3, 1)):
        with pytest.raises(KeyboardInterrupt):
            run("stopped.npz", stop)
    assert same(run("stopped.npz"), run("whole.npz"))


def everything_has_the_network_s_dtype(make):
    for dtype in (np.float32, np.float64):
        tables = []
        for number in (float, np.float64, np.array):  # a scalar of NumPy must not lift anything
            net, rule = toy_net([1, 2], dtype=dtype), make(number(0.3))
            toy_run(rule, net=net, tasks=TASKS[:2])
            arrays = [net.synapses.table, rule.penalty()]
            arrays += [row for name in rule.kept if hasattr(row := getattr(rule, name), "shape")]
            assert {array.dtype for array in arrays} == {np.dtype(dtype)}
            tables.append(net.synapses.table)
        assert np.array_equal(tables[0], tables[1]) and np.array_equal(tables[0], tables[2])


def a_wrong_strength_is_refused_before_any_work(make):
    for c in (-1, np.inf, np.nan, "1", [1.0, -1.0]):
        with pytest.raises(pysi.ConfigError, match="c: expected a finite strength"):
            make(c)
    net = toy_net([1, 2])
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="one value, or one per network, found 3"):
        toy_run(make([1.0, 2.0, 3.0]), net=net)
    assert np.array_equal(net.synapses.table, before)


CHECKS = [
    strength_zero_is_fine_tuning,
    strength_changes_nothing_in_task_1,
    nothing_pulls_when_a_task_has_ended,
    the_pull_is_the_gradient_of_the_penalty,
    networks_side_by_side_are_single_networks,
    a_device_gives_numpy_s_numbers,
    task_by_task_is_all_at_once,
    a_copy_goes_on_like_the_original,
    everything_has_the_network_s_dtype,
    a_wrong_strength_is_refused_before_any_work,
]
