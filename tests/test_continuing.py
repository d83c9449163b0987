"""Learning task by task, with every rule and optimizer; and what a run tells while it learns."""

from dataclasses import replace

import numpy as np
import pytest

import pysi
from pysi.history import Epoch, Step, TaskEnded, TaskLearned
from pysi.training import Run
from strategies import toy_cnn, toy_dataset, toy_image_tasks, toy_net, toy_run, toy_tasks
from test_checkpoint import OPTIMIZERS, RULES

ROWS = ("theta", "omega", "Omega", "theta_ref")
TASKS = toy_tasks()


def compare(one, other):
    """The same bits in all rows but the gradient, which every step overwrites."""
    for row in ROWS:
        assert np.array_equal(getattr(one.synapses, row), getattr(other.synapses, row)), row
    assert one.learned == other.learned


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reset_optimizer", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_task_by_task_equals_one_call(rule, optimizer, reset_optimizer, dtype):
    options = {"reset_optimizer": reset_optimizer}
    whole, history = toy_run(
        RULES[rule](), net=toy_net(dropout=0.2, dtype=dtype), tasks=TASKS,
        optimizer=OPTIMIZERS[optimizer](), **options,
    )  # fmt: skip
    net, penalties = toy_net(dropout=0.2, dtype=dtype), []
    one_rule, one_optimizer = RULES[rule](), OPTIMIZERS[optimizer]()
    for i, task in enumerate(TASKS):
        _, found = toy_run(one_rule, net=net, tasks=[task], optimizer=one_optimizer, tested=TASKS,
                           **options)  # fmt: skip
        assert np.array_equal(found.test_accuracy[0], history.test_accuracy[i])
        penalties += [epoch["penalty"] for epoch in found.epochs]
        net.logits(TASKS[0].x_test[:7])  # a look in between
    compare(net, whole)
    assert net.learned == 3
    assert penalties == [epoch["penalty"] for epoch in history.epochs]
    for name in one_optimizer.kept:  # its state is the same too
        assert np.any(getattr(one_optimizer, name))


@pytest.mark.parametrize("cut", [1, 2])
def test_a_cnn_with_dropout_goes_on_too(cut):
    tasks = toy_image_tasks(n=9)
    whole, _ = toy_run(pysi.SynapticIntelligence(1.0), net=toy_cnn(dropout=(0.2, 0.5)), tasks=tasks)
    net, rule, optimizer = (
        toy_cnn(dropout=(0.2, 0.5)),
        pysi.SynapticIntelligence(1.0),
        pysi.Adam(0.01),
    )
    for part in (tasks[:cut], tasks[cut:]):
        toy_run(rule, net=net, tasks=part, optimizer=optimizer)
    compare(net, whole)


def test_the_optimizer_s_state_matters_where_it_is_kept():
    """The comparison above can fail: a new optimizer for every task is another run."""
    whole, _ = toy_run(pysi.FineTuning(), tasks=TASKS, reset_optimizer=False)
    net = toy_net()
    for task in TASKS:
        toy_run(pysi.FineTuning(), net=net, tasks=[task], reset_optimizer=False)
    assert not np.array_equal(net.synapses.theta, whole.synapses.theta)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_a_network_that_is_reset_learns_each_task_as_if_alone(rule, optimizer, at_once):
    alone, accuracy = [], []
    for task in TASKS:
        net, history = toy_run(
            RULES[rule](), net=toy_net(dropout=0.2), tasks=[task], tested=TASKS,
            optimizer=OPTIMIZERS[optimizer](),
        )  # fmt: skip
        alone.append(net)
        accuracy.append((history.test_accuracy[0], [e["loss"] for e in history.epochs]))
    net, used, rule = toy_net(dropout=0.2), OPTIMIZERS[optimizer](), RULES[rule]()
    seen, rows = [], []

    def listen(event):
        if isinstance(event, TaskEnded):
            rows.append({row: getattr(net.synapses, row).copy() for row in ROWS})

    for tasks in [TASKS] if at_once else [[task] for task in TASKS]:
        _, history = toy_run(rule, net=net, tasks=tasks, tested=TASKS, optimizer=used,
                             reset_network=True, listeners=[listen])  # fmt: skip
        losses = [e["loss"] for e in history.epochs]
        for i, test in enumerate(history.test_accuracy):
            seen.append((test, losses[2 * i : 2 * i + 2]))
    for i, one in enumerate(alone):
        for row in ROWS:
            assert np.array_equal(rows[i][row], getattr(one.synapses, row)), (i, row)
        assert np.array_equal(seen[i][0], accuracy[i][0])
        assert seen[i][1] == accuracy[i][1]


def test_an_iterator_of_tasks_trains():
    whole, history = toy_run(pysi.SynapticIntelligence(1.0), tasks=TASKS)
    net, found = toy_run(pysi.SynapticIntelligence(1.0), tasks=iter(TASKS))
    compare(net, whole)
    assert np.array_equal(found.test_accuracy, history.test_accuracy)
    net, found = toy_run(pysi.SynapticIntelligence(1.0), tasks=(t for t in TASKS),
                         tested=(t for t in TASKS))  # fmt: skip
    assert np.array_equal(found.train_accuracy, history.train_accuracy)


def test_a_rule_that_moves_to_another_network_begins_anew():
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.Adam(0.01)
    toy_run(rule, tasks=TASKS[:2], optimizer=optimizer, seed=3)
    net, _ = toy_run(rule, tasks=TASKS, optimizer=optimizer, reset_optimizer=False)
    fresh, _ = toy_run(pysi.SynapticIntelligence(1.0), tasks=TASKS, reset_optimizer=False)
    compare(net, fresh)


# Events


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_events_come_in_order_and_say_what_the_history_says(seed, dtype):
    events, net = [], toy_net(seed, dtype=dtype)
    _, history = toy_run(pysi.SynapticIntelligence(1.0), net=net, tasks=TASKS, batch_size=30,
                         listeners=[events.append])  # fmt: skip
    steps = -(-len(TASKS[0].y_train) // 30)
    expected = []
    for task in (1, 2, 3):
        for epoch in (1, 2):
            expected += [(Step, task, epoch, step) for step in range(1, steps + 1)]
            expected.append((Epoch, task, epoch))
        expected += [(TaskLearned, task), (TaskEnded, task)]
    numbers = [
        (type(e), *(getattr(e, name) for name in ("task", "epoch", "step") if hasattr(e, name)))
        for e in events
    ]
    assert numbers == expected
    assert len({id(event.run) for event in events}) == 1
    assert events[0].run.net is net
    epochs = [e for e in events if isinstance(e, Epoch)]
    for event, entry in zip(epochs, history.epochs, strict=True):
        assert (event.loss.tolist(), event.penalty.tolist()) == (entry["loss"], entry["penalty"])
        losses = [e.loss for e in events if isinstance(e, Step)
                  and (e.task, e.epoch) == (event.task, event.epoch)]  # fmt: skip
        losses = np.stack(losses, axis=-1)
        assert losses.dtype == dtype
        assert losses.shape == (*net.synapses.lead, steps)
        assert np.array_equal(losses.mean(axis=-1), event.loss)
        assert entry["seconds"] == event.seconds > 0
    for event in (e for e in events if isinstance(e, TaskEnded)):
        assert np.array_equal(event.test_accuracy, history.test_accuracy[..., event.task - 1, :])
        assert np.array_equal(event.train_accuracy, history.train_accuracy[..., event.task - 1, :])
        assert history.consolidation[event.task - 1] == event.seconds


def test_a_step_s_loss_is_that_before_the_step():
    seen, net = [], toy_net()
    task = TASKS[0]
    n = len(task.y_train)
    toy_run(pysi.FineTuning(), net=net, tasks=[task], batch_size=n, epochs=3,
            listeners=[lambda e: seen.append((e, net.synapses.theta.copy()))])  # fmt: skip
    steps = [(e, theta) for e, theta in seen if isinstance(e, Step)]
    fresh = toy_net()
    for event, theta in steps:
        loss, _ = task.loss(fresh.logits(task.x_train), task.y_train, task.active)
        assert np.isclose(event.loss, loss, rtol=1e-12)
        fresh.synapses.theta[...] = theta


def test_the_generator_says_the_same_without_listeners():
    run = Run(toy_net(), pysi.Adam(0.01), pysi.SynapticIntelligence(1.0), TASKS, epochs=2,
              batch_size=16)  # fmt: skip
    count = sum(isinstance(event, Step) for event in run.learn())
    assert count == 3 * 2 * 5
    trained, _ = toy_run(pysi.SynapticIntelligence(1.0), tasks=TASKS)
    compare(run.net, trained)


def test_a_listener_that_begins_is_called_before_anything_else():
    class Listener:
        called = []

        def begin(self, run):
            self.called.append(("begin", run.position, run.net.synapses.theta.copy()))

        def __call__(self, event):
            self.called.append((type(event), event.run.position, None))

    listener = Listener()
    toy_run(pysi.FineTuning(), tasks=TASKS[:1], epochs=1, listeners=[listener])
    assert listener.called[0][:2] == ("begin", (1, 1))
    assert np.array_equal(listener.called[0][2], toy_net().synapses.theta)
    assert [kind for kind, *_ in listener.called[-3:]] == [Epoch, TaskLearned, TaskEnded]
    assert [position for _, position, _ in listener.called[-3:]] == [(1, 2), (2, 1), (2, 1)]


def test_listeners_hear_the_events_after_the_history_and_in_their_order():
    heard = []
    toy_run(pysi.FineTuning(), tasks=TASKS[:1], epochs=1, listeners=[
        lambda e: heard.append(("a", len(e.run.history.epochs))),
        lambda e: heard.append(("b", len(e.run.history.epochs))),
    ])  # fmt: skip
    assert [name for name, _ in heard] == ["a", "b"] * (len(heard) // 2)
    assert heard[-1] == ("b", 1)


def test_a_listener_of_three_lines():
    class Norms(list):
        def __call__(self, event):
            if isinstance(event, Step):
                self.append(np.linalg.norm(event.run.net.synapses.grad))

    norms = Norms()
    quiet, _ = toy_run(pysi.SynapticIntelligence(1.0))
    net, _ = toy_run(pysi.SynapticIntelligence(1.0), listeners=[norms])
    assert len(norms) == 3 * 2 * 5
    assert min(norms) > 0
    compare(net, quiet)  # who listens changes nothing


def test_a_listener_may_consolidate_every_few_steps():
    """Without tasks: Ω and θ̃ follow from every ten steps, and so from the events alone."""
    N, seen = 10, []

    class Every:
        count = 0

        def __call__(self, event):
            if isinstance(event, Step):
                self.count += 1
                if self.count % N == 0:
                    seen.append(event.run.net.synapses.omega.copy())
                    event.run.rule.end_task()

    task = TASKS[0]
    net, _ = toy_run(pysi.SynapticIntelligence(2.0), tasks=[task], epochs=6, listeners=[Every()])
    assert len(seen) == 6 * 5 // N
    assert all((omega != 0).any() for omega in seen)
    # the same as tasks of so many steps: here two epochs are ten steps
    whole = toy_net()
    rule, optimizer, orders = pysi.SynapticIntelligence(2.0), pysi.Adam(0.01), iter(range(100))
    from pysi.training import shuffled, training_step

    rule.start(whole.synapses)
    optimizer.start(whole.synapses)
    for epoch in range(1, 7):
        order = shuffled(whole, len(task.y_train), 0, epoch)
        for start in range(0, len(order), 16):
            batch = order[start : start + 16]
            training_step(whole, optimizer, rule, task.x_train[batch], task.y_train[batch], task)
            if (next(orders) + 1) % N == 0:
                rule.end_task()
    for row in ("theta", "Omega"):
        assert np.array_equal(getattr(net.synapses, row), getattr(whole.synapses, row)), row
    free, _ = toy_run(pysi.SynapticIntelligence(2.0), tasks=[task], epochs=6)
    assert not np.array_equal(free.synapses.theta, net.synapses.theta)  # the penalty is in force


def test_a_listener_may_evaluate_at_every_step():
    quiet, expected = toy_run(pysi.SynapticIntelligence(1.0), net=toy_net(dropout=0.4))
    net = toy_net(dropout=0.4)

    def evaluate(event):
        net.logits(TASKS[0].x_test)
        net.forward(TASKS[1].x_test[:3])

    _, found = toy_run(pysi.SynapticIntelligence(1.0), net=net, listeners=[evaluate])
    compare(net, quiet)
    assert np.array_equal(found.test_accuracy, expected.test_accuracy)


def test_an_error_in_a_listener_comes_out_and_the_run_can_be_begun_again():
    def fail(event):
        if isinstance(event, Epoch):
            raise RuntimeError("enough")

    net, rule = toy_net(), pysi.SynapticIntelligence(1.0)
    with pytest.raises(RuntimeError, match="enough"):
        toy_run(rule, net=net, listeners=[fail])
    assert net.learned == 0
    net.initialise()
    toy_run(rule, net=net)
    compare(net, toy_run(pysi.SynapticIntelligence(1.0))[0])


# Arguments


@pytest.mark.parametrize("option", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_numbers_that_are_not_whole_are_refused_before_any_work(option, value):
    net = toy_net()
    theta = net.synapses.theta.copy()
    with pytest.raises(pysi.ConfigError, match=f"{option}: expected a whole number from 1"):
        toy_run(pysi.FineTuning(), net=net, **{option: value})
    assert np.array_equal(net.synapses.theta, theta)


def test_a_rule_checks_before_any_work():
    class Strict(pysi.FineTuning):
        def check(self, net, tasks):
            assert len(tasks) == 3
            raise pysi.ConfigError("strict: expected less")

    net, optimizer, events = toy_net(), pysi.Adam(0.01), []
    toy_run(pysi.FineTuning(), net=net, optimizer=optimizer, reset_optimizer=False)
    before, M, learned = net.synapses.table.copy(), optimizer.M.copy(), net.learned
    for options in ({}, {"reset_network": True}):
        with pytest.raises(pysi.ConfigError, match="strict: expected less"):
            toy_run(Strict(), net=net, optimizer=optimizer, listeners=[events.append], **options)
    assert not events
    assert np.array_equal(net.synapses.table, before)
    assert np.array_equal(optimizer.M, M)
    assert net.learned == learned


def test_a_rule_that_does_not_fit_the_networks_is_refused_before_any_work():
    net, rule = toy_net([0, 1]), pysi.SynapticIntelligence([1.0, 2.0, 3.0])
    toy_run(pysi.FineTuning(), net=net)
    before, learned = net.synapses.table.copy(), net.learned
    with pytest.raises(pysi.ConfigError, match="c: expected one value"):
        toy_run(rule, net=net, reset_network=True)
    assert np.array_equal(net.synapses.table, before)
    assert net.learned == learned


def test_a_task_keeps_its_data_as_they_are():
    tasks = toy_tasks()
    before = [[a.copy() for a in (*t.part("train"), *t.part("test"), t.active)] for t in tasks]
    toy_run(pysi.EWC(1.0), tasks=tasks)
    for task, arrays in zip(tasks, before, strict=True):
        now = (*task.part("train"), *task.part("test"), task.active)
        assert all(map(np.array_equal, now, arrays))
    assert replace(tasks[0]).name == tasks[0].name
    assert toy_dataset().x_train.flags.writeable is False
