"""Learning without forgetting: its law, an oracle in PyTorch, and known mistakes."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.losses import softmax, softmax_cross_entropy, squared_error
from pysi.rules.distillation import distillation
from pysi.rules.functional import old_weights, readout
from pysi.rules.lwf import AMONG, WEIGHTINGS, LwF
from pysi.rules.rule import FineTuning
from pysi.scenarios import SCENARIOS, in_scenario
from pysi.storage.checkpoint import Checkpoint
from pysi.training import shuffled, training_step
from strategies import (
    Stopped,
    seeds,
    stops_after,
    toy_cnn,
    toy_image_tasks,
    toy_net,
    toy_run,
    toy_tasks,
)

TASKS = toy_tasks(n=12)
LR = 0.3


def run(rule, net=None, tasks=TASKS, **options):
    """Train with plain gradient descent, whose steps an oracle can follow."""
    options = {"epochs": 2, "batch_size": 7} | options
    return toy_run(rule, net=net or toy_net(), tasks=tasks, optimizer=pysi.SGD(LR), **options)


# The groups of classes


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("task", [[1, 1, 0, 0, 0, 0], [1, 1, 2, 2, 0, 0], [1, 1, 2, 2, 3, 3]]),
        ("domain", [[1, 1], [1, 1], [1, 1]]),
        ("class", [[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]),
    ],
)
def test_groups_of_classes_in_the_three_scenarios(scenario, expected):
    tasks, rule = in_scenario(TASKS, scenario), LwF()
    net = toy_net(sizes=(12, 9, len(expected[0])))
    for task, groups in zip(tasks, expected, strict=True):
        run(rule, net, [task], epochs=1)
        assert rule.groups.tolist() == groups
    assert rule.learned == 3


@given(seeds, st.floats(0.5, 5), st.integers(1, 4))
def test_only_active_classes_are_distilled(seed, T, batch):
    rng = np.random.default_rng(seed)
    z, old = 2 * rng.standard_normal((2, batch, 6))
    active = np.array([True, False, True, True, False, False])
    loss, dz = distillation(z, old, T, active)
    expected, d = distillation(z[:, active], old[:, active], T)
    assert np.isclose(loss, expected, rtol=1e-12)
    assert np.allclose(dz[:, active], d, rtol=1e-12)
    assert (dz[:, ~active] == 0).all()


@given(seeds, st.integers(1, 5))
def test_for_a_large_temperature_it_compares_centred_logits(seed, batch):
    r"""In a group of K classes the gradient tends to ((z - z̄) - (v - v̄)) / (K T² B).

    z̄ and v̄ are the means over the group; Hinton et al. assume that they are zero.
    """
    rng = np.random.default_rng(seed)
    z, v = 3 + rng.standard_normal((2, batch, 5))
    v += 7  # the mean of the old logits must not matter
    active, T = np.array([True, True, True, False, False]), 1e5
    _, dz = distillation(z, v, T, active)
    z, v = z[:, active], v[:, active]
    law = (z - z.mean(axis=-1, keepdims=True)) - (v - v.mean(axis=-1, keepdims=True))
    # the next order is smaller by (differences of logits) / T, and rounding is 1e-16 / (T B)
    assert np.allclose(3 * T**2 * batch * dz[:, active], law, rtol=0, atol=1e-3)


# The whole step, in PyTorch


def oracle(tasks, net, epochs, batch_size, c, T, weighting, scenario, among):
    """Return θ after each step of LwF, by PyTorch's autograd; `net` gives initial weights."""
    torch = pytest.importorskip("torch")
    groups = [net.synapses.group(name) for name in net.synapses.shapes]
    layers = [torch.tensor(group.theta.copy(), requires_grad=True) for group in groups]

    def forward(weights, x):
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            x = torch.relu(x) if i < len(weights) - 2 else x
        return x

    def soft(z, units):
        return torch.log_softmax(z[:, units] / T, dim=1)

    trace, heads = [], []
    for number, task in enumerate(tasks, start=1):
        x, y = torch.tensor(task.x_train / 255), torch.tensor(task.y_train)
        own = torch.tensor(np.flatnonzero(task.active))
        old = forward([w.detach().clone() for w in layers], x)
        for epoch in range(1, epochs + 1):
            order = torch.tensor(shuffled(net, len(y), number - 1, epoch))
            for start in range(0, len(y), batch_size):
                rows = order[start : start + batch_size]
                z = forward(layers, x[rows])
                log_p = torch.log_softmax(z[:, own], dim=1)
                label = (own[None] == y[rows][:, None]).double()
                loss = -(label * log_p).sum(dim=1).mean()
                distilled = 0
                for head in heads:
                    chosen = head
                    if scenario == "class" and among == "all":
                        chosen = torch.cat([head, own[~torch.isin(own, head)]])
                    probability = torch.zeros(len(rows), len(chosen), dtype=torch.double)
                    probability[:, : len(head)] = soft(old[rows], head).exp()
                    distilled = distilled - (probability * soft(z, chosen)).sum(dim=1).mean()
                if weighting == "tasks":
                    loss = loss / number + (1 - 1 / number) * c * distilled
                else:
                    loss = loss + c * distilled
                gradients = torch.autograd.grad(loss, layers)
                with torch.no_grad():
                    for w, g in zip(layers, gradients, strict=True):
                        w -= LR * g
                trace.append(np.concatenate([w.detach().numpy().ravel() for w in layers]))
        if scenario == "class":
            heads = [own]
        elif not any(torch.equal(head, own) for head in heads):
            heads.append(own)
    return np.array(trace)


def check_against_torch(
    kind, c=1.3, T=2.0, weighting="sum", scenario="task", among="old", separate=None
):
    tasks = in_scenario(TASKS, scenario)
    sizes = (12, 9, 7, len(tasks[0].active))
    rule, trace, net = kind(c, T=T, weighting=weighting, among=among), [], toy_net(sizes=sizes)
    if separate is not None:
        rule.separate = separate

    def note(event):
        if type(event).__name__ == "Step":
            trace.append(event.run.net.synapses.theta.copy())

    expected = oracle(tasks, toy_net(sizes=sizes), 2, 7, c, T, weighting, scenario, among)
    run(rule, net, tasks, listeners=[note])
    # 1e-16 of rounding, which a hundred steps amplify
    assert np.allclose(trace, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("scenario", "among"), [("task", "all"), ("domain", "old"), ("class", "old"), ("class", "all")]
)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("separate", [False, True])
def test_every_step_is_that_of_pytorch(scenario, weighting, among, separate):
    check_against_torch(LwF, 1.3, 2.0, weighting, scenario, among, separate)


def test_another_temperature_and_strength():
    check_against_torch(LwF, c=0.4, T=3.5)


class PresentNetwork(LwF):
    """Compares with what the present network gives, and not with the old one."""

    def output_gradient(self, net, x, logits):
        if self.recorded is not None:
            self.recorded[self.examples] = logits
        return super().output_gradient(net, x, logits)


class TimesTSquared(LwF):
    """Multiplies the distillation by T², as Hinton et al. do."""

    def output_gradient(self, net, x, logits):
        pull = super().output_gradient(net, x, logits)
        return pull and (self.T**2 * pull[0], None)


class OneSoftmax(LwF):
    """Distils all old classes in one softmax in place of one per task."""

    def start_task(self, net, task):
        super().start_task(net, task)
        if self.recorded is not None:
            self._masks = [self.groups > 0]


class WrongExamples(LwF):
    """Reads the recorded outputs in the order of the data, although the examples are shuffled."""

    def output_gradient(self, net, x, logits):
        self.examples = np.arange(len(self.examples))
        return super().output_gradient(net, x, logits)


class AllClasses(LwF):
    """Distils the new task's units too."""

    def start_task(self, net, task):
        super().start_task(net, task)
        if self.recorded is not None:
            self._masks = [*self._masks, task.active]


class NoTemperature(LwF):
    """Forgets the temperature."""

    def start(self, synapses):
        super().start(synapses)
        self.T = 1.0


MISTAKES = [PresentNetwork, TimesTSquared, OneSoftmax, WrongExamples, AllClasses, NoTemperature]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_known_mistakes_fail_the_oracle(mistake):
    with pytest.raises(AssertionError):
        check_against_torch(mistake)


class OnlyTheSum(LwF):
    """Does not divide the task's own loss by the number of tasks."""

    def total_gradient(self, rows):
        return rows.grad


class DividedTwice(LwF):
    """Divides the distillation too, although it is not separate."""

    def output_gradient(self, net, x, logits):
        self.separate = True
        pull = super().output_gradient(net, x, logits)
        self.separate = False
        return pull


@pytest.mark.parametrize("mistake", [OnlyTheSum, DividedTwice], ids=lambda m: m.__name__)
def test_known_mistakes_of_the_weighting_fail_the_oracle(mistake):
    with pytest.raises(AssertionError):
        check_against_torch(mistake, weighting="tasks")


class SumOfBoth(LwF):
    """Lets the old network choose among all classes too: new ones get what it happens to give."""

    def start_task(self, net, task):
        super().start_task(net, task)
        if self.recorded is not None:
            self._masks = [self._among]


class OldAlone(LwF):
    """Chooses among the old classes, whatever it is asked for."""

    def start_task(self, net, task):
        super().start_task(net, task)
        self._among = None


@pytest.mark.parametrize("mistake", [OldAlone, SumOfBoth], ids=lambda m: m.__name__)
def test_known_mistakes_of_choosing_among_all_fail_the_oracle(mistake):
    with pytest.raises(AssertionError):
        check_against_torch(mistake, scenario="class", among="all")


@pytest.mark.parametrize("among", AMONG)
@pytest.mark.parametrize("seed", [0, [0, 3]])
def test_the_gradient_is_that_of_the_penalty(seed, among):
    """Central differences of the rule's own value, over θ."""
    net, rule, tasks = toy_net(seed), LwF(0.8, among=among), in_scenario(TASKS, "class")
    run(rule, net, tasks[:2])
    s, task = net.synapses, tasks[2]
    rule.start_task(net, task)
    rng = np.random.default_rng(0)
    rule.examples = rng.integers(0, len(task.y_train), (*s.lead, 6))
    x = task.x_train[rule.examples]
    s.theta[...] += 0.05 * rng.standard_normal(s.theta.shape)
    v, h, theta, values = rng.standard_normal(s.theta.shape), 1e-6, s.theta.copy(), []
    for step in (h, -h):
        s.theta[...] = theta + step * v
        rule.output_gradient(net, x, net.forward(x))
        values.append(rule.penalty())
    s.theta[...] = theta
    net.backward(*rule.output_gradient(net, x, net.forward(x)))
    slope = (values[0] - values[1]) / (2 * h)
    assert slope.shape == s.lead
    assert np.allclose(slope, (s.grad * v).sum(axis=-1), rtol=1e-6)


def test_the_penalty_is_that_of_the_last_minibatch():
    rule = LwF(3.0)
    net, history = run(rule, tasks=TASKS[:1])
    assert all(epoch["penalty"] == 0 for epoch in history.epochs)
    _, history = run(rule, net, TASKS[1:2], batch_size=10_000, epochs=1)
    rows = shuffled(net, len(TASKS[1].y_train), 1, 1)
    first, _ = run(LwF(), tasks=TASKS[:1])
    z = first.logits(TASKS[1].x_train[rows])  # the old network, which the first step starts from
    p = softmax(z / 2, TASKS[0].active)
    entropy = -(p * np.log(p + 1e-300)).sum(axis=-1).mean()
    assert np.isclose(history.epochs[0]["penalty"], 3 * entropy, rtol=1e-12)


# What it changes, and what not


@given(seeds, st.sampled_from([0.0, 0.5]))
def test_c_zero_is_bit_identical_to_no_rule(seed, dropout):
    with_rule, a = toy_run(LwF(0.0), net=toy_net(seed, dropout=dropout), tasks=TASKS)
    without, b = toy_run(FineTuning(), net=toy_net(seed, dropout=dropout), tasks=TASKS)
    assert np.array_equal(with_rule.synapses.theta, without.synapses.theta)
    assert np.array_equal(a.test_accuracy, b.test_accuracy)


def test_the_first_task_is_learned_as_without_it():
    for options in ({}, {"warm_up": 3}, {"weighting": "tasks"}):
        with_rule, _ = run(LwF(5.0, **options), tasks=TASKS[:1])
        without, _ = run(FineTuning(), tasks=TASKS[:1])
        assert np.array_equal(with_rule.synapses.theta, without.synapses.theta)


@pytest.mark.smoke
def test_it_keeps_what_fine_tuning_forgets():
    tasks, moved = in_scenario(TASKS, "task"), {}
    for name, rule in {"lwf": LwF(10.0), "none": FineTuning()}.items():
        net = toy_net()
        toy_run(rule, net=net, tasks=tasks[:1])
        before = softmax(net.logits(tasks[1].x_train), tasks[0].active)
        toy_run(rule, net=net, tasks=tasks[1:2], epochs=10)
        after = softmax(net.logits(tasks[1].x_train), tasks[0].active)
        moved[name] = abs(after - before).mean()
    assert moved["lwf"] < 0.6 * moved["none"]


def test_c_per_network_and_several_networks_equal_separate_runs():
    cs, own = (0.0, 1.0, 2.5), []
    side_by_side, _ = run(LwF(cs, weighting="tasks", warm_up=2), toy_net([0, 1, 2]))
    for seed, c in enumerate(cs):
        net, _ = run(LwF(c, weighting="tasks", warm_up=2), toy_net(seed))
        own.append(net.synapses.theta)
    assert np.allclose(side_by_side.synapses.theta, own, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_it_computes_in_float32(weighting):
    net, rule = toy_net(dtype=np.float32), LwF(1.0, weighting=weighting, warm_up=1, among="all")
    tasks = in_scenario(TASKS, "class")
    run(rule, net, tasks)
    assert net.synapses.table.dtype == np.float32
    rule.start_task(net, tasks[0])
    rule.examples = np.arange(5)
    x = TASKS[0].x_train[:5]
    dlogits, _ = rule.output_gradient(net, x, net.forward(x))
    assert rule.recorded.dtype == dlogits.dtype == rule.penalty().dtype == np.float32


def test_images_are_recorded_in_the_same_way():
    rule = LwF(1.0)
    net, _ = toy_run(rule, net=toy_cnn(dropout=(0.2, 0.5)), tasks=toy_image_tasks(n=3), epochs=1)
    task = toy_image_tasks(n=3)[0]
    rule.start_task(net, task)
    assert np.array_equal(rule.recorded, net.logits(task.x_train))


# The warm-up


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_the_warm_up_only_the_new_units_move(scenario):
    tasks = in_scenario(TASKS, scenario)
    net, rule = toy_net(sizes=(12, 9, len(tasks[0].active))), LwF(1.0, warm_up=3)
    run(rule, net, tasks[:1])
    s, task = net.synapses, tasks[1]
    new = task.active & (rule.groups == 0) if scenario != "domain" else task.active
    before, steps = s.theta.copy(), []

    def note(event):
        if type(event).__name__ == "Step":
            steps.append(s.theta != before)

    toy_run(rule, net=net, tasks=[task], optimizer=pysi.Adam(0.01), batch_size=6, epochs=1,
            listeners=[note])  # fmt: skip
    W, b = (group.columns for group in readout(s))
    for number, moved in enumerate(steps, start=1):
        units = moved[W].reshape(9, -1)[:, new], moved[b][new]
        assert units[0].any() and units[1].any()
        if number <= 3:
            assert moved[: W.start].sum() == 0
            assert moved.sum() == sum(part.sum() for part in units)
        else:
            assert moved[: W.start].any()
    assert len(steps) == 4


def test_the_warm_up_counts_again_in_every_task():
    rule, hidden = LwF(1.0, warm_up=2), []
    net = toy_net()
    columns = slice(0, readout(net.synapses)[0].columns.start)
    last = [net.synapses.theta[columns].copy()]

    def note(event):
        if type(event).__name__ == "Step":
            now = event.run.net.synapses.theta[columns].copy()
            hidden.append(not np.array_equal(now, last[0]))
            last[0] = now

    run(rule, net, batch_size=6, epochs=1, listeners=[note])
    assert hidden == [True] * 4 + [False, False, True, True] * 2


# Stopping, copying, other devices


def stopped(folder, rule, stop=None, seed=0, xp=np, net=toy_net, tasks=TASKS):
    """Train with a checkpoint, and stop after so many epochs."""
    return toy_run(
        rule, net=net(seed, dropout=0.2, xp=xp), tasks=tasks, epochs=3, batch_size=8,
        listeners=[Checkpoint(Path(folder) / "run.npz", {}), stops_after(stop)],
    )  # fmt: skip


def check_resumed(make, tmp_path, stops=(5, 2), **options):
    whole, _ = stopped(tmp_path / "whole", make(), **options)
    for stop in stops:  # the first is in task 2, the other in task 3
        with pytest.raises(Stopped):
            stopped(tmp_path / "parts", make(), stop, **options)
    net, _ = stopped(tmp_path / "parts", make(), **options)
    assert np.array_equal(to_host(net.synapses.theta), to_host(whole.synapses.theta))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("seed", [1, [1, 2]])
@pytest.mark.parametrize("xp", [np, strict_array], ids=["host", "device"])
def test_a_run_goes_on_in_the_middle_of_a_task(weighting, seed, xp, tmp_path):
    check_resumed(lambda: LwF(2.0, weighting=weighting, warm_up=5), tmp_path, seed=seed, xp=xp)


class RecordedTooLate(LwF):
    """Records with the network that it finds, which has moved if a run goes on within a task."""

    def record(self, net, task):
        self.recorded = net.logits(task.x_train).copy()


class CountsFromZero(LwF):
    """Begins the warm-up anew when a run goes on."""

    def start_task(self, net, task):
        self.steps = 0
        super().start_task(net, task)


@pytest.mark.parametrize("mistake", [RecordedTooLate, CountsFromZero], ids=lambda m: m.__name__)
def test_known_mistakes_when_a_run_goes_on(mistake, tmp_path):
    with pytest.raises(AssertionError):
        check_resumed(lambda: mistake(2.0, warm_up=5), tmp_path)


def test_task_by_task_equals_one_call_and_copies_go_on():
    whole, _ = run(LwF(2.0, weighting="tasks", warm_up=3))
    net, rule, optimizer = toy_net(), LwF(2.0, weighting="tasks", warm_up=3), pysi.SGD(LR)
    for task in TASKS:
        net, rule, optimizer = deepcopy((net, rule, optimizer))
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer, batch_size=7)
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)


def test_from_scratch_it_learns_each_task_alone():
    net, _ = run(LwF(9.0), reset_network=True)
    alone, _ = run(FineTuning(), tasks=TASKS[2:])
    assert np.array_equal(net.synapses.theta, alone.synapses.theta)


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_device_gives_the_same_numbers_and_does_not_wait_in_a_step(seed, scenario):
    tasks, thetas = in_scenario(TASKS, scenario), []
    for xp in (np, strict_array):
        net = toy_net(seed, sizes=(12, 9, len(tasks[0].active)), xp=xp)
        rule = LwF(1.5, weighting="tasks", warm_up=3, among="all")
        run(rule, net, tasks)
        thetas.append(to_host(net.synapses.theta))
    assert np.allclose(*thetas, rtol=1e-10, atol=1e-12)
    task, optimizer, lead = tasks[0].to(strict_array), pysi.SGD(LR), net.synapses.lead
    optimizer.start(net.synapses)
    rule.start_task(net, task)
    rule.examples = strict_array.asarray(np.broadcast_to(np.arange(5), (*lead, 5)).copy())
    x, y = task.x_train[rule.examples], task.y_train[rule.examples]
    training_step(net, optimizer, rule, x, y, task)
    before = strict_array.syncs, strict_array.transfers
    training_step(net, optimizer, rule, x, y, task)
    assert (strict_array.syncs, strict_array.transfers) == before


def test_the_old_network_is_put_away_again_after_an_error():
    s = toy_net().synapses
    s.theta_ref[...], theta = 3, s.theta.copy()
    with pytest.raises(Stopped), old_weights(s):
        assert (s.theta == 3).all()
        raise Stopped
    assert np.array_equal(s.theta, theta)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"c": -1.0}, "c: expected a finite strength"),
        ({"c": np.inf}, "c: expected a finite strength"),
        ({"T": 0}, "T: expected a positive temperature, found 0"),
        ({"T": -2.0}, "T: expected a positive temperature"),
        ({"T": np.nan}, "T: expected a positive temperature"),
        ({"T": "2"}, "T: expected a positive temperature"),
        ({"warm_up": -1}, "warm_up: expected a whole number from 0"),
        ({"warm_up": 1.5}, "warm_up: expected a whole number from 0"),
        ({"weighting": "mean"}, "weighting: expected one of"),
        ({"among": "new"}, "among: expected one of"),
    ],
)
def test_bad_arguments_are_config_errors(arguments, message):
    with pytest.raises(pysi.ConfigError, match=message):
        LwF(**arguments)


class Transposed(pysi.layers.Dense):
    """Weights whose first axis is that of the units."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.parameters = {"W": (n_out, n_in), "b": (n_out,)}

    def initial(self, rng):
        return {}


def test_what_does_not_fit_is_refused_before_any_work():
    net = toy_net()
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="c: expected one value, or one per network"):
        run(LwF((1.0, 2.0)), net)
    u = np.random.default_rng(0).uniform(size=(8, 12))
    active = np.ones(6, bool)
    task = pysi.Task("wave", u, u[:, :6], u, u[:, :6], active, loss=squared_error)
    with pytest.raises(pysi.ConfigError, match="'wave': lwf expected softmax cross-entropy"):
        run(LwF(), net, [TASKS[0], task])
    assert np.array_equal(net.synapses.table, before)
    odd = pysi.Network([pysi.layers.Dense(12, 5), Transposed(5, 6)])
    with pytest.raises(pysi.ConfigError, match="layers: lwf expected a last layer such as Dense"):
        run(LwF(), odd)


def test_by_hand_it_says_what_it_needs():
    net, rule, task, optimizer = toy_net(), LwF(), TASKS[1], pysi.SGD(LR)
    rule.start(net.synapses)
    with pytest.raises(pysi.ConfigError, match="end_task: lwf needs the task, found none"):
        rule.end_task()
    rule.start_task(net, TASKS[0])
    rule.end_task(net, TASKS[0])
    rule.start_task(net, task)
    with pytest.raises(pysi.ConfigError, match="examples: lwf expected the indices"):
        training_step(net, optimizer, rule, task.x_train, task.y_train, task)
    rule.examples = np.arange(len(task.y_train))
    loss = training_step(net, optimizer, rule, task.x_train, task.y_train, task)
    assert np.isclose(loss, softmax_cross_entropy(
        toy_net().logits(task.x_train), task.y_train, task.active)[0])  # fmt: skip


def test_it_is_written_with_its_arguments():
    assert repr(LwF(0.5, warm_up=3)) == "LwF(c=0.5, warm_up=3)"
