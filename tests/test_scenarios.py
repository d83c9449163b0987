"""The three scenarios: what is trained, what is chosen from, and what is new."""

import numpy as np
import pytest

import pysi
from pysi.evaluation import score
from pysi.losses import softmax_cross_entropy
from pysi.scenarios import SCENARIOS, TaskwiseCrossEntropy, chance_level, in_scenario, joint_task
from strategies import toy_dataset, toy_net, toy_tasks

UNEQUAL = (1, 2, 3)


def learned(tasks, rule=None, net=None, **options):
    net = net or toy_net(zero_readout=True)
    options = {"epochs": 2, "batch_size": 16} | options
    history = pysi.train(net, pysi.Adam(0.01), rule or pysi.FineTuning(), tasks, **options)
    return net, history


def test_the_scenario_task_leaves_the_tasks_as_they_are():
    tasks = toy_tasks()
    assert in_scenario(tasks, "task") == tasks


def test_labels_are_places_in_the_scenario_domain():
    tasks = pysi.split_tasks(toy_dataset(), UNEQUAL)
    placed = in_scenario(tasks, "domain")
    for old, new in zip(tasks, placed, strict=True):
        classes = old.active.nonzero()[0].tolist()
        for part in ("train", "test"):
            assert new.part(part)[1].tolist() == [classes.index(y) for y in old.part(part)[1]]
            assert np.array_equal(new.part(part)[0], old.part(part)[0])
    assert [task.active.tolist() for task in placed] == [
        [True, False, False], [True, True, False], [True, True, True]
    ]  # fmt: skip


def test_classes_add_up_in_the_scenario_class():
    tasks = in_scenario(pysi.split_tasks(toy_dataset(), UNEQUAL), "class")
    assert [task.active.sum() for task in tasks] == [1, 3, 6]
    assert all(task.cumulative for task in tasks)


@pytest.mark.parametrize(
    ("scenario", "chance"), [("task", (1 + 1 / 2 + 1 / 3) / 3), ("class", 1 / 6)]
)
def test_the_chance_level_is_that_of_guessing_after_the_last_task(scenario, chance):
    tasks = in_scenario(pysi.split_tasks(toy_dataset(), UNEQUAL), scenario)
    assert chance_level(tasks) == pytest.approx(chance)


def test_a_class_is_chosen_among_all_that_were_learned_so_far():
    tasks = in_scenario(toy_tasks(), "class")
    seen = {}

    def watch(event):
        if isinstance(event, pysi.history.TaskEnded):
            for j, task in enumerate(event.run.tested):
                among = tasks[event.task - 1].active
                logits = np.where(among, event.run.net.logits(task.x_test), -np.inf)
                right = logits.argmax(axis=-1) == task.y_test
                seen[event.task - 1, j] = right.mean()

    _, history = learned(tasks, listeners=[watch])
    for (i, j), accuracy in seen.items():
        assert history.test_accuracy[i, j] == pytest.approx(accuracy)
    assert (history.test_accuracy[np.triu_indices(3, 1)] == 0).all()  # not to be chosen yet


def test_a_fully_masked_task_is_easier_than_an_open_one():
    (_, told), (_, untold) = (learned(in_scenario(toy_tasks(), s)) for s in ("task", "class"))
    assert untold.test_accuracy[-1, 0] < told.test_accuracy[-1, 0]


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_a_new_readout_has_no_importance_and_is_tied_to_its_initial_weights(scenario):
    tasks, net = in_scenario(toy_tasks(), scenario), toy_net()
    rule, initial = pysi.SynapticIntelligence(1.0), net.synapses.theta.copy()
    net, _ = learned(tasks[:1], rule, net, tested=tasks)
    W, b = (net.synapses.group(f"dense3.{name}") for name in "Wb")
    new = ~tasks[0].active
    assert (W.Omega[:, ~new] > 0).any()
    for group in (W, b):
        first = initial[group.columns].reshape(group.shape)
        assert (group.Omega[..., new] == 0).all()
        assert (group.omega[..., new] == 0).all()
        assert np.array_equal(group.theta_ref[..., new], first[..., new])
        assert np.array_equal(group.theta[..., new], first[..., new])


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("rule", [pysi.SynapticIntelligence, pysi.EWC, pysi.OnlineEWC])
def test_task_by_task_equals_one_call(scenario, rule):
    tasks = in_scenario(pysi.split_tasks(toy_dataset(), UNEQUAL), scenario)
    n = len(tasks[0].active)
    nets = [toy_net(sizes=(12, 9, n)) for _ in range(2)]
    _, whole = learned(tasks, rule(1.0), nets[0])
    one, optimizer = rule(1.0), pysi.Adam(0.01)
    for i, task in enumerate(tasks):
        part = pysi.train(
            nets[1], optimizer, one, [task], epochs=2, batch_size=16, tested=tasks
        )  # fmt: skip
        assert np.array_equal(part.test_accuracy[0], whole.test_accuracy[i])
    assert np.array_equal(nets[0].synapses.table, nets[1].synapses.table)


def test_the_joint_task_tells_each_example_from_the_classes_of_its_task():
    tasks = toy_tasks()
    joint = joint_task(tasks)
    assert joint.active.all()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(joint.y_train), 6))
    loss, slope = joint.loss(logits, joint.y_train, joint.active)
    parts = [
        softmax_cross_entropy(z, task.y_train, task.active)
        for z, task in zip(np.split(logits, 3), tasks, strict=True)
    ]
    assert loss == pytest.approx(np.mean([value for value, _ in parts]))
    assert np.allclose(slope, np.concatenate([dz for _, dz in parts]) / 3, atol=1e-15)
    right = joint.loss.score(logits, joint.y_train, joint.active)
    expected = [
        softmax_cross_entropy.score(z, task.y_train, task.active)
        for z, task in zip(np.split(logits, 3), tasks, strict=True)
    ]
    assert np.array_equal(right, np.concatenate(expected))
    # among all classes, as a mistake would have it
    assert loss < softmax_cross_entropy(logits, joint.y_train, joint.active)[0]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("sizes", [3, UNEQUAL])
def test_all_tasks_at_once_are_learned_in_every_scenario(scenario, sizes):
    tasks = in_scenario(pysi.split_tasks(toy_dataset(), sizes), scenario)
    joint = joint_task(tasks)
    net = toy_net(sizes=(12, 30, len(joint.active)))
    _, history = learned([joint], net=net, tested=tasks, epochs=30)
    assert history.test_accuracy.mean() > 0.9
    assert np.allclose(
        history.test_accuracy[0], [score(net, task, "test", joint) for task in tasks]
    )


def test_examples_of_several_tasks_have_gradients_in_their_own_classes_only():
    loss = TaskwiseCrossEntropy([0, 0, 1, 1, 1])
    z = np.random.default_rng(1).normal(size=(2, 4, 5))  # two networks
    labels = np.array([[0, 1, 2, 4], [4, 3, 1, 0]])
    _, slope = loss(z, labels, np.ones(5, bool))
    groups = np.array(loss.groups)
    other = groups != groups[labels][..., None]
    assert (slope[other] == 0).all() and (slope[~other] != 0).all()
    assert np.allclose(slope.sum(axis=-1), 0)


@pytest.mark.parametrize(
    ("tasks", "scenario", "message"),
    [
        (toy_tasks(), "klass", "scenario: expected one of"),
        (pysi.permuted_tasks(toy_dataset(), 2), "class", "class 0 in several"),
        ([], "task", "tasks"),
        ("tasks", "task", "tasks"),
    ],
)
def test_what_is_no_such_sequence_is_refused(tasks, scenario, message):
    with pytest.raises(pysi.ConfigError, match=message):
        in_scenario(tasks, scenario)
