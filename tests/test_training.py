"""Training: replicas, determinism, divergence, arguments, events, and forgetting itself."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.history import Step
from pysi.training import score, shuffled
from strategies import every_task, seeds, toy_dataset, toy_net, toy_run, toy_tasks


@given(seeds, st.sampled_from([0.0, 0.5]), st.sampled_from(["adam", "sgd"]))
def test_a_table_of_networks_equals_separate_runs(seed, dropout, name):
    """In a table (R, P) each network trains as it would alone, with its own seed and c."""
    pairs = [(seed, 0.0), (seed, 1.0), (seed + 1, 1.0)]

    def run(seed, c):
        optimizer = pysi.Adam(0.01) if name == "adam" else pysi.SGD(0.1)
        net = toy_net(seed, dropout=dropout)
        return toy_run(pysi.SynapticIntelligence(c), net=net, optimizer=optimizer)

    many, history = run([s for s, _ in pairs], [c for _, c in pairs])
    for r, (s, c) in enumerate(pairs):
        one, alone = run(s, c)
        # float64, 48 steps: a batched product may sum in another order, nothing else differs
        assert np.allclose(many.synapses.table[:, r], one.synapses.table, rtol=1e-7, atol=1e-10)
        assert np.allclose(history.test_accuracy[r], alone.test_accuracy)
        assert np.allclose(history.train_accuracy[r], alone.train_accuracy)
        for a, b in zip(history.epochs, alone.epochs, strict=True):
            assert np.isclose(a["loss"][r], b["loss"])
            assert np.isclose(a["penalty"][r], b["penalty"])


@given(seeds, st.sampled_from([np.float32, np.float64]))
def test_the_same_seed_gives_the_same_bits(seed, dtype):
    runs = [
        toy_run(pysi.SynapticIntelligence(1.0), net=toy_net(seed, dtype=dtype, dropout=0.3))
        for _ in range(2)
    ]
    assert np.array_equal(runs[0][0].synapses.table, runs[1][0].synapses.table)
    assert runs[0][0].synapses.theta.dtype == dtype
    losses = [[epoch["loss"] for epoch in history.epochs] for _, history in runs]
    assert losses[0] == losses[1]


def test_other_seeds_give_other_numbers():
    a, b = (toy_run(pysi.FineTuning(), seed)[0].synapses.theta for seed in (0, 1))
    assert not np.array_equal(a, b)


@given(seeds, st.integers(1, 50))
def test_an_epoch_visits_every_example_once_in_a_new_order(seed, n):
    net = toy_net([seed, seed + 1])
    first, again, next_epoch = (shuffled(net, n, *key) for key in ((0, 1), (0, 1), (0, 2)))
    assert np.array_equal(first, again)
    assert (np.sort(first) == np.arange(n)).all()
    if n > 20:
        assert not np.array_equal(first, next_epoch)
        assert not np.array_equal(first[0], first[1])


@pytest.mark.smoke
def test_the_last_smaller_batch_is_used():
    task, steps = toy_tasks()[0], []
    n = len(task.y_train)
    toy_run(pysi.FineTuning(), tasks=[task], batch_size=n - 1, epochs=1, listeners=[steps.append])
    assert sum(isinstance(event, Step) for event in steps) == 2


@pytest.mark.smoke
def test_accuracy_counts_every_example(monkeypatch):
    task, net = toy_tasks()[0], toy_net()
    logits = net.forward(task.x_test)
    right = (np.where(task.active, logits, -np.inf).argmax(-1) == task.y_test).mean()
    monkeypatch.setattr("pysi.evaluation.EVALUATION_BATCH", 7)
    assert score(net, task, "test") == right


def test_test_accuracy_is_not_train_accuracy():
    """Scrambled test labels bring the test to chance, and leave the training set solved."""
    rng = np.random.default_rng(0)
    tasks = [replace(t, y_test=rng.permutation(t.y_test)) for t in toy_tasks(n=400)]
    _, history = toy_run(pysi.FineTuning(), tasks=tasks)
    learned = np.diagonal(history.train_accuracy), np.diagonal(history.test_accuracy)
    assert (learned[0] > 0.95).all()
    # 800 coin flips: five standard errors
    assert (abs(learned[1] - 0.5) < 5 * np.sqrt(0.25 / 800)).all()


MAGIC = 12345.0


class Fragile(pysi.layers.Layer):
    """Makes a number that is not finite of one input, in training."""

    def forward(self, x, memory):
        return np.where((x == MAGIC) & memory.train, np.nan, x).astype(x.dtype), None

    def backward(self, dy, kept, memory):
        return dy


@pytest.mark.parametrize("replicas", [False, True])
def test_divergence_names_seed_task_epoch_and_step(replicas):
    tasks = toy_tasks()
    poisoned = tasks[1].x_train.astype(float)
    poisoned[17] = MAGIC
    tasks[1] = replace(tasks[1], x_train=poisoned, x_test=tasks[1].x_test.astype(float))
    layers = [Fragile(), *toy_net().layers]
    net = pysi.Network(layers, seed=[5, 6] if replicas else 5, input_shape=(12,))
    order = shuffled(net, len(poisoned), 1, 1).reshape(-1, len(poisoned))[0]
    step = int(np.flatnonzero(order == 17)[0]) // 16 + 1
    with pytest.raises(pysi.DivergenceError, match=f"seed 5, task 2, epoch 1, step {step} of 5"):
        toy_run(pysi.FineTuning(), net=net, tasks=tasks)


class Exploding(pysi.SGD):
    def delta(self, gradient, rows):
        return super().delta(gradient, rows) * np.inf


def test_a_weight_that_is_not_finite_is_found_though_every_loss_was():
    options = {"optimizer": Exploding(0.1), "batch_size": 1000, "epochs": 1}
    with pytest.raises(pysi.DivergenceError, match="weight is not finite: seed 0, task 1, epoch 1"):
        toy_run(pysi.FineTuning(), **options)


def one(**changes):
    return [replace(toy_tasks()[0], **changes)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"tasks": []}, "tasks"),
        ({"net": toy_net(sizes=(11, 4, 6))}, "12|11 features"),
        ({"net": toy_net(sizes=(12, 4, 5))}, "classes"),
        ({"tested": toy_tasks(features=11)}, "task '0 or 1': train inputs: .* found .11,."),
        ({"tested": toy_tasks(n_classes=9)}, "readout, found 9"),
    ],
)
def test_bad_arguments_are_config_errors_before_any_work(options, named):
    called = []
    arguments = {"net": toy_net(), "tasks": toy_tasks(), "epochs": 1, "batch_size": 4} | options
    with pytest.raises(pysi.ConfigError, match=named):
        pysi.train(
            optimizer=pysi.Adam(), rule=pysi.FineTuning(), listeners=[called.append], **arguments
        )
    assert not called


@pytest.mark.parametrize(
    "make",
    [
        lambda: one(y_train=np.array([0, 1])),
        lambda: one(x_test=np.zeros((0, 12)), y_test=np.zeros(0, int)),
        lambda: one(y_train=np.zeros(80)),
        lambda: one(y_train=np.full(80, 6)),
        lambda: one(y_test=np.full(80, 2)),
        lambda: one(y_test=np.full(80, -1)),
        lambda: pysi.split_tasks(toy_dataset(), 7),
        lambda: pysi.split_tasks(toy_dataset(), 0),
        lambda: pysi.split_tasks(toy_dataset(), 4),
        lambda: pysi.split_tasks(toy_dataset(), 1.5),
        lambda: pysi.split_tasks(toy_dataset(), (2, 5)),
        lambda: pysi.split_tasks(toy_dataset(), (2, 0, 1)),
        lambda: pysi.split_tasks(toy_dataset(), ()),
    ],
)
def test_impossible_tasks_are_config_errors(make):
    with pytest.raises(pysi.ConfigError):
        make()


@given(st.sampled_from([1, 2, 3, 6]))
def test_tasks_partition_the_data_set(n_tasks):
    dataset = toy_dataset()
    tasks = pysi.split_tasks(dataset, n_tasks)
    assert sum(len(t.y_train) for t in tasks) == len(dataset.y_train)
    assert sum(len(t.y_test) for t in tasks) == len(dataset.y_test)
    assert (np.sum([t.active for t in tasks], axis=0) == 1).all()
    for task in tasks:
        assert task.active[task.y_train].all()
        assert task.chance == n_tasks / 6


@pytest.mark.slow
def test_consolidation_keeps_what_fine_tuning_loses(mnist_5k):
    """Split MNIST in small: real digits, all five tasks, eight seeds at once."""
    n = 8
    net = pysi.MLP((784, 100, 10), zero_readout=True, seed=[*range(n), *range(n)])
    rule = pysi.SynapticIntelligence([0.0] * n + [1.0] * n)
    tasks = pysi.split_tasks(mnist_5k, 5)
    history = pysi.train(net, pysi.Adam(), rule, tasks, epochs=12, batch_size=32)
    final = pysi.average_accuracy(history.test_accuracy)[:, -1]
    without, with_si = final[:n], final[n:]
    difference = with_si - without
    # a one-sided paired t test at 0.5 %: t(7) = 3.50
    assert difference.mean() > 3.5 * pysi.sem(difference)
    assert with_si.mean() > 0.96
    assert without.mean() < 0.95
    learned = np.diagonal(history.test_accuracy, axis1=-2, axis2=-1)
    assert (learned > 0.9).all()  # both solve every new task
    forgot = pysi.forgetting(history.test_accuracy)
    assert forgot[:n].mean() > 3 * forgot[n:].mean()


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_other_tasks_can_be_tested_than_are_learned(seed):
    tasks = toy_tasks()
    net, history = toy_run(pysi.FineTuning(), seed, tasks[:2], tested=tasks[1:] + tasks[:1])
    _, usual = toy_run(pysi.FineTuning(), seed, tasks)
    for part in ("test", "train"):
        found, expected = (getattr(h, f"{part}_accuracy") for h in (history, usual))
        assert found.shape == (*net.synapses.lead, 2, 3)
        assert np.array_equal(found, expected[..., :2, [1, 2, 0]])
        assert (found[..., 1, 0] > found[..., 1, 1]).all()  # the task that was learned


def test_a_task_s_end_is_told_while_omega_is_its_own():
    net, told = toy_net(), []
    rule = pysi.SynapticIntelligence(1.0)

    def on_task(task):
        told.append((task, net.synapses.omega.copy(), net.synapses.Omega.copy()))

    _, history = toy_run(rule, net=net, listeners=[every_task(on_task)])
    assert [task for task, *_ in told] == [1, 2, 3]
    assert all((omega != 0).any() for _, omega, _ in told)
    assert (told[0][2] == 0).all()  # Ω is updated after it
    one_task, _ = toy_run(rule, tasks=toy_tasks()[:1])
    assert np.array_equal(told[1][2], one_task.synapses.Omega)


class Slow(pysi.FineTuning):
    def end_task(self, net=None, task=None):
        time.sleep(0.1)


def test_the_end_of_every_task_is_timed():
    _, history = toy_run(Slow())
    assert len(history.consolidation) == 3
    assert min(history.consolidation) >= 0.1
    _, history = toy_run(pysi.FineTuning())
    assert min(history.consolidation) < 0.1


def test_a_history_is_ready_for_json():
    for seed in (0, [0, 1]):
        _, history = toy_run(pysi.SynapticIntelligence(1.0), seed)
        json.dumps([history.epochs, history.consolidation], allow_nan=False)
        assert len(history.epochs) == 6
        assert not np.isnan(history.test_accuracy).any()
