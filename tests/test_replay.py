"""Replay: which examples are kept, what they add to a step, and known mistakes."""

from dataclasses import replace

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import stream, to_host
from pysi.losses import squared_error
from pysi.rules.replay import Replay
from pysi.scenarios import in_scenario
from pysi.storage.checkpoint import Checkpoint
from pysi.training import training_step
from strategies import (
    Stopped,
    stops_after,
    toy_cnn,
    toy_dataset,
    toy_image_tasks,
    toy_net,
    toy_run,
)
from test_checkpoint import same

DATA = toy_dataset()
TASKS = pysi.split_tasks(DATA, 3)
KINDS = {
    "per class": lambda **options: Replay(4, **options),
    "capacity": lambda **options: Replay(capacity=20, **options),
    "weighted": lambda **options: Replay(4, weighting="tasks", batch_size=5, **options),
}


def net_for(tasks, seed):
    """Return a smooth network with one output per class."""
    return toy_net(seed, sizes=(12, 9, 7, len(tasks[0].active)), activation="tanh")


def filled(rule, tasks, net):
    """Return a rule that has seen these tasks, without any training."""
    rule.check(net, tasks)
    rule.start(net.synapses)
    for task in tasks:
        rule.end_task(net, task)
        net.learned += 1
    return rule


def held(rule):
    """Return the examples that a rule holds, on the host: inputs, targets and masks."""
    arrays = (rule.inputs, rule.targets, rule.masks)
    axes = rule.keys.ndim - 1
    return [to_host(a)[(*(slice(None),) * axes, slice(rule.filled))] for a in arrays]


# Which examples are kept


@pytest.mark.parametrize("seed", [3, [3, 4, 5]])
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("per_class", [1, 4, 1000])
def test_n_of_each_class_of_each_task_are_kept(seed, scenario, per_class):
    tasks = in_scenario(TASKS, scenario)
    rule = filled(Replay(per_class), tasks, net_for(tasks, seed))
    n = min(per_class, 40)
    assert rule.filled == 6 * n  # also where all tasks have the labels 0 and 1
    shapes = {np.shape(getattr(rule, name))[: rule.keys.ndim] for name in rule.kept[:4]}
    assert shapes == {(*rule.synapses.lead, 6 * per_class)}
    assert rule.inputs.dtype == np.uint8
    for x, y, masks in zip(*(np.atleast_2d(a) if rule.synapses.lead else a[None]
                             for a in held(rule)), strict=True):  # fmt: skip
        for i, task in enumerate(tasks):
            own = slice(2 * n * i, 2 * n * (i + 1))
            assert sorted(y[own]) == sorted(np.repeat(np.unique(task.y_train), n))
            assert (masks[own] == task.active).all()
            rows = [x_i.tobytes() for x_i in x[own]]
            given = {x_i.tobytes(): y_i for x_i, y_i in
                     zip(task.x_train, task.y_train, strict=True)}  # fmt: skip
            assert len(set(rows)) == len(rows)  # each at most once
            assert [given[row] for row in rows] == y[own].tolist()


def test_permuted_examples_are_kept_as_they_are_shown():
    tasks = pysi.permuted_tasks(replace(DATA, x_train=DATA.x_train.reshape(-1, 4, 3),
                                        x_test=DATA.x_test.reshape(-1, 4, 3)), 2)  # fmt: skip
    tasks = [replace(t, x_train=t.x_train.reshape(-1, 12), x_test=t.x_test.reshape(-1, 12))
             for t in tasks]  # fmt: skip
    rule = filled(Replay(2), tasks, toy_net())
    shown = {row.tobytes() for row in tasks[1].part("train")[0]}
    assert all(row.tobytes() in shown for row in held(rule)[0][12:])
    assert not any(row.tobytes() in shown for row in held(rule)[0][:12])


NUMBERED = [
    replace(
        task,
        x_train=np.arange(first, first + n, dtype=np.float64)[:, None] * np.ones(12),
        y_train=np.resize(np.flatnonzero(task.active), n),
    )
    for task, first, n in zip(TASKS, (0, 30, 70), (30, 40, 30), strict=True)
]
"""Three tasks of 30, 40 and 30 examples, whose inputs are their numbers from 0 to 99."""


def counts(kind, M=20, networks=500):
    """Return for each network which of 100 numbered examples a reservoir holds, (R, 100)."""
    net = toy_net(range(networks), sizes=(12, 6))
    rule = filled(kind(capacity=M), NUMBERED, net)
    assert rule.filled == M
    x, y, _ = held(rule)
    numbers, labels = x[..., 0].astype(int), np.concatenate([t.y_train for t in NUMBERED])
    assert np.array_equal(labels[numbers], y)
    found = np.zeros((networks, 100), bool)
    found[np.arange(networks)[:, None], numbers] = True
    assert (found.sum(axis=1) == M).all()
    return found


def check_law(found):
    """Each set of M of the N examples is equally likely: check means and variances.

    Over R networks an example is held about R M/N times, with variance R p (1 - p); and how many
    of a task's n examples are held is hypergeometric.
    """
    R, N = found.shape
    p = found[0].sum() / N
    z = (found.sum(axis=0) - R * p) / np.sqrt(R * p * (1 - p))
    assert abs(z).max() < 4.5
    assert 0.6 < (z**2).mean() * (N - 1) / N < 1.5  # its deviation is √(2/N) = 0.14
    for first, n in ((0, 30), (30, 40), (70, 30)):
        of_task = found[:, first : first + n].sum(axis=1)
        mean, variance = n * p, n * p * (1 - p) * (N - n) / (N - 1)
        assert abs(of_task.mean() - mean) < 4.5 * np.sqrt(variance / R)
        assert abs(of_task.var() / variance - 1) < 4.5 * np.sqrt(2 / R)


class FirstStay(Replay):
    """What is held stays, and nothing enters a full memory."""

    def choose(self, held, keys, labels):
        return super().choose(np.zeros(len(held)), keys, labels)


class DrawnAnew(Replay):
    """What is held gets new numbers at the end of each task, so old examples fade away."""

    def choose(self, held, keys, labels):
        numbers = np.random.default_rng(keys[:1].view(np.uint64)).random(len(held))
        return super().choose(numbers, keys, labels)


class SameNumbers(Replay):
    """All tasks have the same random numbers."""

    def numbers(self, seed, learned, n):
        return super().numbers(seed, 0, n)


class EqualShares(Replay):
    """Each new task pushes out as many as it needs for an equal share, whatever its size."""

    def choose(self, held, keys, labels):
        share = self.capacity // 3 if len(held) else self.capacity
        stay, enter = np.arange(len(held))[: self.capacity - share], keys.argsort()[:share]
        return stay, enter


def test_a_capacity_has_the_law_of_a_reservoir():
    check_law(counts(Replay))


@pytest.mark.parametrize("mistake", [FirstStay, DrawnAnew, SameNumbers, EqualShares])
def test_other_memories_do_not_have_this_law(mistake):
    with pytest.raises(AssertionError):
        check_law(counts(mistake))


def test_a_capacity_larger_than_all_tasks_keeps_everything():
    rule = filled(Replay(capacity=1000), NUMBERED, toy_net())
    assert rule.filled == 100
    assert sorted(held(rule)[0][:, 0]) == list(range(100))


# What they add to a step


def loss_of(net, x, targets, masks):
    """Return the mean cross-entropy by a plain loop; each example has a mask of classes."""
    total, logits = 0.0, net.logits(x)
    for z, y, mask in zip(logits, targets, masks, strict=True):
        total -= z[y] - np.log(np.exp(z[mask]).sum())
    return total / len(x)


def check_step(kind, scenario="task", **options):
    """One step against finite differences of the whole loss, in a random direction."""
    tasks = in_scenario(TASKS, scenario)
    net = net_for(tasks, 5)
    rule, optimizer = filled(kind(3, **options), tasks[:2], net), pysi.SGD(0.5)
    optimizer.start(net.synapses)
    task, s, v = tasks[2], net.synapses, np.random.default_rng(0).standard_normal(len(net.synapses))
    rule.start_task(net, task)
    for step in range(2):
        rule.examples = np.arange(9) + step
        x, y = task.x_train[rule.examples], task.y_train[rule.examples]
        which = stream(5, "replayed", step).integers(12, size=options.get("batch_size") or 9)
        old_x, old_y, masks = (a[which] for a in held(rule))
        masks = np.broadcast_to(task.active, masks.shape) if scenario == "class" else masks
        share = 1 / 3 if options.get("weighting") == "tasks" else None
        weights = (1, 1) if share is None else (share, 1 - share)
        theta, losses, h = s.theta.copy(), [], 1e-5
        for sign in (1, -1):
            s.theta[...] = theta + sign * h * v
            own = loss_of(net, x, y, np.broadcast_to(task.active, (9, len(task.active))))
            losses.append(weights[0] * own + weights[1] * loss_of(net, old_x, old_y, masks))
        s.theta[...] = theta
        training_step(net, optimizer, rule, x, y, task)
        made = (s.theta - theta) @ v / -0.5
        slope = (losses[0] - losses[1]) / (2 * h)
        assert np.isclose(made, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"weighting": "tasks"}], ids=str)
def test_a_step_follows_the_loss_of_the_task_and_of_the_replayed(scenario, options):
    check_step(Replay, scenario, **options)


class AmongAll(Replay):
    """Old examples are told from all classes, also where a task has its own."""

    def draw(self, net):
        x, targets, masks = super().draw(net)
        return x, targets, masks | True


class AmongPresent(Replay):
    """Old examples are told from the classes of the present task."""

    def draw(self, net):
        x, targets, masks = super().draw(net)
        return x, targets, masks & self.task.active | (np.arange(6) == targets[:, None])


class NotCopied(Replay):
    """The row that is returned is `grad` itself, which the task's pass overwrites."""

    def before_step(self, net):
        super().before_step(net)
        return net.synapses.grad


class Summed(Replay):
    """The loss of the replayed is their sum, not their mean."""

    def before_step(self, net):
        return super().before_step(net) * self.examples.shape[-1]


class SameBatch(Replay):
    """Every step replays the same examples."""

    def draw(self, net):
        self.steps = 0
        return super().draw(net)


class WeightedTwice(Replay):
    """The weight 1/n is applied to the sum of both."""

    def before_step(self, net):
        row = super().before_step(net)
        row *= 1 / 3
        return row


@pytest.mark.parametrize(
    ("mistake", "options"),
    [(AmongAll, {}), (AmongPresent, {}), (Summed, {}), (SameBatch, {}), (NotCopied, {}),
     (WeightedTwice, {"weighting": "tasks"})],
)  # fmt: skip
def test_known_mistakes_make_other_steps(mistake, options):
    with pytest.raises(AssertionError):
        check_step(mistake, **options)


class Both(pysi.SynapticIntelligence):
    """Synaptic Intelligence beside replay, as two rules that are used together."""

    def __init__(self, replay):
        super().__init__(0.5)
        self.replay = replay

    def check(self, net, tasks):
        super().check(net, tasks)
        self.replay.check(net, tasks)

    def start(self, synapses):
        super().start(synapses)
        self.replay.start(synapses)

    def start_task(self, net, task):
        self.replay.start_task(net, task)

    def before_step(self, net):
        self.replay.examples = self.examples
        return self.replay.before_step(net)

    def end_task(self, net=None, task=None):
        super().end_task(net, task)
        self.replay.end_task(net, task)


def test_omega_learns_from_the_task_alone():
    net, rule, optimizer = toy_net(1), Both(Replay(3)), pysi.Adam(0.01)
    filled(rule, TASKS[:2], net)
    optimizer.start(net.synapses)
    s, task = net.synapses, TASKS[2]
    rule.start_task(net, task)
    rule.examples = np.arange(0, 80, 8)
    x, y = task.x_train[rule.examples], task.y_train[rule.examples]
    other = net.copy()
    _, dlogits = task.loss(other.forward(x, train=True), y, task.active)
    other.backward(dlogits)
    theta, omega = s.theta.copy(), s.omega.copy()
    training_step(net, optimizer, rule, x, y, task)
    assert np.array_equal(s.grad, other.synapses.grad)
    assert np.allclose(s.omega, omega - s.grad * (s.theta - theta), rtol=1e-9, atol=1e-15)
    assert abs(rule.replay.replayed).max() > 0.1  # a difference would show


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_task_is_as_without_replay(kind):
    plain, _ = toy_run(pysi.FineTuning(), tasks=TASKS[:1])
    net, _ = toy_run(KINDS[kind](), tasks=TASKS[:1])
    assert np.array_equal(plain.synapses.table, net.synapses.table)


@pytest.mark.smoke
def test_it_works_where_classes_of_different_tasks_must_be_told_apart():
    tasks = in_scenario(TASKS, "class")
    _, plain = toy_run(pysi.SynapticIntelligence(1.0), tasks=tasks, epochs=10)
    _, history = toy_run(Replay(20), tasks=tasks, epochs=10)
    assert plain.test_accuracy[-1].mean() < 0.5
    assert history.test_accuracy[-1].mean() > 0.75


# Runs


@pytest.mark.parametrize("kind", KINDS)
def test_networks_side_by_side_end_where_each_ends_alone(kind):
    net, history = toy_run(KINDS[kind](), net=toy_net([2, 7], dropout=0.2))
    for r, seed in enumerate((2, 7)):
        alone, own = toy_run(KINDS[kind](), net=toy_net(seed, dropout=0.2))
        assert np.allclose(net.synapses.theta[r], alone.synapses.theta, rtol=1e-9, atol=1e-12)
        assert np.array_equal(history.test_accuracy[r], own.test_accuracy)


@pytest.mark.parametrize(("seed", "dtype"), [(1, np.float32), ([1, 2], np.float64)])
@pytest.mark.parametrize("kind", KINDS)
def test_task_by_task_equals_one_call(kind, seed, dtype):
    rule = KINDS[kind]()
    whole, history = toy_run(rule, net=toy_net(seed, dtype=dtype))
    net, one, optimizer = toy_net(seed, dtype=dtype), KINDS[kind](), pysi.Adam(0.01)
    for i, task in enumerate(TASKS):
        _, found = toy_run(one, net=net, tasks=[task], tested=TASKS, optimizer=optimizer)
        assert np.array_equal(found.test_accuracy[..., 0, :], history.test_accuracy[..., i, :])
    assert net.synapses.theta.dtype == rule.replayed.dtype == dtype
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)
    for a, b in zip(held(rule), held(one), strict=True):
        assert np.array_equal(a, b)
    assert rule.steps == one.steps > 0


@pytest.mark.parametrize(("kind", "xp"), [("capacity", np), ("weighted", strict_array)])
def test_a_run_that_was_stopped_ends_with_the_same_bits(kind, xp, tmp_path):
    def run(folder, stop=None):
        return toy_run(
            KINDS[kind](), net=toy_net([1, 2], xp=xp, dropout=0.2), tasks=TASKS,
            listeners=[Checkpoint(tmp_path / folder / "run.npz", {}), stops_after(stop)],
        )  # fmt: skip

    whole = run("a")
    for stop in (3, 2):  # in the middle of task 2, and of task 3
        with pytest.raises(Stopped):
            run("b", stop)
    same(whole, run("b"))


def test_a_device_computes_what_numpy_computes():
    thetas = [
        to_host(toy_run(Replay(4), net=toy_net([1, 2], xp=xp), optimizer=pysi.SGD(0.1))[0]
                .synapses.theta) for xp in (np, strict_array)
    ]  # fmt: skip
    assert np.allclose(*thetas, rtol=1e-10, atol=1e-12)


def test_a_network_that_is_reset_replays_nothing():
    net, _ = toy_run(Replay(4), reset_network=True)
    plain, _ = toy_run(pysi.FineTuning(), reset_network=True)
    assert np.array_equal(net.synapses.theta, plain.synapses.theta)
    by_task, rule = toy_net(), Replay(4)
    for task in TASKS:
        toy_run(rule, net=by_task, tasks=[task], reset_network=True)
    assert np.array_equal(by_task.synapses.theta, plain.synapses.theta)


def test_images_and_regression_are_replayed_too():
    tasks = toy_image_tasks(n=9)
    net, _ = toy_run(rule := Replay(2), net=toy_cnn(dropout=(0.2, 0.5)), tasks=tasks)
    assert rule.inputs.shape == (12, 11, 10, 3)
    rng = np.random.default_rng(0)
    tasks = [
        replace(t, loss=squared_error, y_train=rng.standard_normal((80, 6)),
                y_test=rng.standard_normal((80, 6))) for t in TASKS
    ]  # fmt: skip
    net, _ = toy_run(rule := Replay(capacity=7), tasks=tasks)
    assert rule.targets.shape == (7, 6)
    with pytest.raises(pysi.ConfigError, match="per_class: expected labels"):
        toy_run(Replay(2), tasks=tasks)


# Bad input


@pytest.mark.parametrize(
    "make",
    [
        Replay,
        lambda: Replay(0),
        lambda: Replay(2.5),
        lambda: Replay(-1),
        lambda: Replay(True),
        lambda: Replay("all"),
        lambda: Replay(3, capacity=5),
        lambda: Replay(capacity=0),
        lambda: Replay(3, batch_size=0),
        lambda: Replay(3, weighting="half"),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError, match="expected"):
        make()


def test_tasks_that_cannot_be_replayed_together_are_refused_before_any_work():
    floats = [TASKS[0], replace(TASKS[1], x_train=TASKS[1].x_train / 255)]
    net, rule = toy_net(), Replay(3)
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="tasks: expected inputs and targets of one dtype"):
        toy_run(rule, net=net, tasks=floats)
    assert np.array_equal(net.synapses.table, before)
    toy_run(rule, net=net, tasks=floats[:1])
    theta = net.synapses.theta.copy()
    with pytest.raises(pysi.ConfigError, match="tasks: expected inputs and targets of one dtype"):
        toy_run(rule, net=net, tasks=floats[1:])
    assert np.array_equal(net.synapses.theta, theta)
    assert rule.filled == 6


def test_hooks_out_of_order_are_refused():
    net = toy_net()
    with pytest.raises(pysi.ConfigError, match="start: Replay needs check"):
        Replay(3).start(net.synapses)
    with pytest.raises(pysi.ConfigError, match="end_task: Replay needs the network"):
        Replay(3).end_task()


def test_it_says_what_it_was_made_with():
    assert repr(Replay(3)) == "Replay(per_class=3)"
    assert repr(Replay(capacity=3, batch_size=2)) == (
        "Replay(per_class=None, capacity=3, batch_size=2)"
    )
