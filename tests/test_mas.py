"""Memory aware synapses: finite differences, loops over examples, and mistakes they reject."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

import pysi
import strict_array
from penalties import CHECKS, a_stopped_run_goes_on_within_a_task
from pysi.losses import softmax_cross_entropy
from pysi.rules.mas import MAS, sensitivity
from pysi.scenarios import in_scenario
from strategies import leads, seeds, toy_cnn, toy_image_tasks, toy_net, toy_run, toy_tasks


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_penalty(check):
    check(MAS)


def test_a_stopped_run_goes_on(tmp_path):
    a_stopped_run_goes_on_within_a_task(MAS, tmp_path)


def problem(seed, lead=(), sizes=(2, 3, 3), n=4):
    """Return a smooth network with random weights, inputs, and active units."""
    rng = np.random.default_rng(seed)
    options = {"seed": list(range(*lead)) if lead else 0, "activation": "tanh"}
    net = pysi.MLP(sizes, dtype=np.float64, **options)
    net.synapses.theta[...] = rng.standard_normal(net.synapses.theta.shape)
    return net, rng.standard_normal((n, sizes[0])), np.arange(sizes[-1]) != 1


@settings(max_examples=10)
@given(seeds, leads)
def test_it_is_the_mean_absolute_derivative_of_the_squared_norm(seed, lead):
    """Central differences, for each example and each synapse."""
    net, x, active = problem(seed, lead)
    theta, h = net.synapses.theta, 1e-5

    def squared_norms():
        return (net.logits(x)[..., active] ** 2).sum(axis=-1)

    expected = net.synapses.zeros()
    for k in range(len(net.synapses)):
        before, values = theta[..., k].copy(), []
        for sign in (1, -1):
            theta[..., k] = before + sign * h
            values.append(squared_norms())
        theta[..., k] = before
        expected[..., k] = abs(values[0] - values[1]).mean(axis=-1) / (2 * h)
    # the error of central differences is about h² times third derivatives of order 10
    assert np.allclose(sensitivity(net, x, active), expected, rtol=1e-6, atol=1e-7)


def test_a_single_layer_by_hand():
    """With z = x W + b, the derivatives of ‖z‖² are 2 z_j x_i and 2 z_j."""
    net = pysi.MLP([2, 2], dtype=np.float64)
    net.synapses.theta[...] = [1.0, -1.0, 2.0, 0.5, 0.0, 1.0]  # W by rows, then b
    x = np.array([[1.0, 0.0], [-1.0, 2.0]])
    z = np.array([[1.0, 0.0], [3.0, 3.0]])
    W = [np.abs(2 * z[:, j] * x[:, i]).mean() for i in range(2) for j in range(2)]
    b = np.abs(2 * z).mean(axis=0)
    assert np.allclose(sensitivity(net, x, np.ones(2, bool)), [*W, *b], rtol=1e-14)


def of_one_example(net, x, active):
    """Return ∂‖z‖²/∂θ for one example, by the ordinary backward pass."""
    z = net.forward(x[None])
    net.backward(2 * z * active)
    return net.synapses.grad.copy()


def loop(net, x, active):
    return np.mean([abs(of_one_example(net, xn, active)) for xn in x], axis=0)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_convolutions_equal_a_loop_over_examples(fast, lead):
    net = toy_cnn(seed=list(range(2)) if lead else 0, fast=fast)
    task, rng = toy_image_tasks()[0], np.random.default_rng(0)
    net.synapses.theta[...] += 0.1 * rng.standard_normal(net.synapses.theta.shape)
    x = task.x_train[::9][:7]
    expected = loop(net, x, task.active)
    found = sensitivity(net, x, task.active)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-13 * expected.max())
    assert (found[..., net.synapses.group("conv1.W").columns] > 0).mean() > 0.9


@given(seeds, leads)
def test_batches_do_not_change_the_result(seed, lead):
    net, x, active = problem(seed, lead, n=7)
    whole = sensitivity(net, x, active)
    for batch in (1, 3, 7):
        assert np.allclose(sensitivity(net, x, active, batch=batch), whole, rtol=1e-12, atol=1e-15)


def test_the_table_is_left_alone_on_any_device():
    net, x, active = problem(0, (2,))
    net.synapses.grad[...] = 3.0
    before = net.synapses.table.copy()
    found = sensitivity(net, x, active)
    assert np.array_equal(net.synapses.table, before)
    device = pysi.MLP([2, 3, 3], seed=[0, 1], activation="tanh", dtype=np.float64, xp=strict_array)
    device.synapses.theta[...] = strict_array.asarray(net.synapses.theta)
    there = sensitivity(device, *map(strict_array.asarray, (x, active)))
    assert np.array_equal(there.get(), found)


def test_labels_are_not_used():
    net, rule, task = toy_net(), MAS(1.0), toy_tasks()[0]
    rule.start(net.synapses)
    rule.end_task(net, task)
    once = net.synapses.Omega.copy()
    rule.end_task(net, replace(task, y_train=task.y_train[::-1]))
    assert np.array_equal(net.synapses.Omega, 2 * once)


# The whole rule, over tasks


def check_against_loop(kind, tasks):
    """Compare Ω with the sum of loops over each task's examples, at its final weights."""
    net, rule = toy_net(2, sizes=(12, 9, 7, len(tasks[0].active))), kind(0.1)
    optimizer, expected = pysi.Adam(0.01), 0
    for task in tasks:
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer)
        expected = expected + loop(net.copy(), task.part("train")[0], task.active)
    assert np.allclose(net.synapses.Omega, expected, rtol=1e-9, atol=1e-12 * expected.max())


class WithGradient(MAS):
    """Ω from something else than each example's gradient."""

    def end_task(self, net=None, task=None):
        old = self.synapses.Omega.copy()
        super().end_task(net, task)
        self.synapses.Omega[...] = old + self.importance(net.copy(), task)


class OfTheMean(WithGradient):
    """|mean| in place of mean |·|."""

    def importance(self, net, task):
        x = task.part("train")[0]
        return abs(np.mean([of_one_example(net, xn, task.active) for xn in x], axis=0))


class OfAllLogits(WithGradient):
    """Units of other tasks take part."""

    def importance(self, net, task):
        return loop(net, task.part("train")[0], np.ones_like(task.active))


class OfTheNorm(WithGradient):
    """‖z‖ in place of ‖z‖²."""

    def importance(self, net, task):
        total, x = 0, task.part("train")[0]
        for xn in x:
            norm = np.linalg.norm(net.logits(xn[None]) * task.active)
            total = total + abs(of_one_example(net, xn, task.active)) / (2 * norm)
        return total / len(x)


class OfTheLoss(WithGradient):
    """The gradient is that of the loss."""

    def importance(self, net, task):
        total, (x, y) = 0, task.part("train")
        for n in range(len(y)):
            logits = net.forward(x[n : n + 1])
            net.backward(softmax_cross_entropy(logits, y[n : n + 1], task.active)[1])
            total = total + abs(net.synapses.grad)
        return total / len(y)


class ImportanceReplaced(MAS):
    """Ω is set instead of added to."""

    def end_task(self, net=None, task=None):
        self.synapses.Omega[...] = 0
        super().end_task(net, task)


class OfTestData(MAS):
    """Ω is computed on other examples."""

    def end_task(self, net=None, task=None):
        super().end_task(net, replace(task, x_train=task.x_test, y_train=task.y_test))


MISTAKES = [OfTheMean, OfAllLogits, OfTheNorm, OfTheLoss, ImportanceReplaced, OfTestData]
TASKS = {scenario: in_scenario(toy_tasks(n=12)[:2], scenario)
         for scenario in ("task", "domain", "class")}  # fmt: skip


@pytest.mark.parametrize("scenario", TASKS)
def test_importance_is_added_up_over_tasks_in_every_scenario(scenario):
    check_against_loop(MAS, TASKS[scenario])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_known_mistakes_fail(mistake):
    with pytest.raises(AssertionError):
        check_against_loop(mistake, TASKS["task"])


def test_it_asks_for_the_data_that_it_needs():
    rule = MAS(1.0)
    rule.start(toy_net().synapses)
    with pytest.raises(pysi.ConfigError, match="mas needs the network and the task"):
        rule.end_task()


RULES = {
    "si": (pysi.SynapticIntelligence, 100.0),
    "ewc": (pysi.EWC, 1e4),
    "mas": (MAS, 0.01),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_hold_what_matters_in_a_cnn(name):
    kind, strong = RULES[name]
    tasks, moved, kept, options = toy_image_tasks(2, n=20), [], [], {"epochs": 8}
    one, _ = toy_run(kind(0.0), net=toy_cnn(1, hidden=20), tasks=tasks[:1], **options)
    s = one.synapses
    assert (s.Omega[s.group("conv1.W").columns] > 0).mean() > 0.5
    for c in (0.0, strong):
        net, history = toy_run(kind(c), net=toy_cnn(1, hidden=20), tasks=tasks, **options)
        moved.append((s.Omega * (net.synapses.theta - s.theta) ** 2).sum())
        kept.append(history.test_accuracy[1, 0])
        assert (np.diagonal(history.test_accuracy) > 0.8).all()
    assert moved[1] < 0.2 * moved[0]
    assert kept[1] > kept[0] + 0.2
