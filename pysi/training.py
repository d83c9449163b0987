"""Training: the step, the epoch, the task, the sequence of tasks."""

from time import perf_counter

import numpy as np

from pysi.backend import stream, to_host
from pysi.errors import ConfigError, DivergenceError
from pysi.history import History
from pysi.nn.losses import predict, softmax_cross_entropy
from pysi.state import restore, state

EVALUATION_BATCH = 1000


def update(synapses, optimizer, rule):
    """One step in the life of every synapse, once its gradient g is in the table.

    Runs over the table in blocks of columns: what a block needs stays in the cache.
    """
    optimizer.next_step()
    for block in synapses.blocks():
        total = rule.total_gradient(block)  # g + 2c Ω (θ - θ̃)
        delta = optimizer.delta(total, block)  # Δθ
        block.advance(delta)  # θ ← θ + Δθ
        rule.after_step(block, delta)  # ω ← ω - g Δθ


def training_step(net, optimizer, rule, x, labels, active):
    """One minibatch: forward, loss, backward, update.

    Returns
    -------
    loss : array, (...)
        Of the task alone, before the step.
    """
    logits = net.forward(x, train=True)
    loss, dlogits = softmax_cross_entropy(logits, labels, active)
    net.backward(dlogits)  # g: the gradient of the task's loss alone
    update(net.synapses, optimizer, rule)
    return loss


def shuffled(net, n, *key):
    """An order of n examples for each network, (..., n), on the network's device."""
    orders = np.stack([stream(s, "shuffle", *key).permutation(n) for s in net.seeds])
    return net.synapses.xp.asarray(orders.reshape(*net.synapses.lead, n))


def train_epoch(net, optimizer, rule, task, batch_size, key):
    """One pass over a task's training examples in a new order. Returns the loss of every step."""
    inputs, labels = task.part("train")
    n = len(labels)
    order = shuffled(net, n, *key)
    net.restart(*key)
    starts = range(0, n, batch_size)
    losses = net.synapses.xp.empty((*net.synapses.lead, len(starts)), net.synapses.dtype)
    for step, start in enumerate(starts):
        batch = order[..., start : start + batch_size]
        x, y = inputs[batch], labels[batch]
        losses[..., step] = training_step(net, optimizer, rule, x, y, task.active)
    return losses


def accuracy(net, x, labels, active):
    """Share of the examples whose most probable active class is their label, (...) on the host."""
    correct = 0
    for start in range(0, len(labels), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        predicted = predict(net.forward(x[batch]), active)
        correct = correct + (predicted == labels[batch]).sum(axis=-1)
    return to_host(correct) / len(labels)


def check_finite(net, losses, task, epoch):
    """Raise a DivergenceError if a loss of this epoch, or a weight at its end, is not finite."""
    finite = np.isfinite(to_host(losses)).reshape(len(net.seeds), -1)
    weights = np.atleast_1d(to_host(net.synapses.xp.isfinite(net.synapses.theta).all(axis=-1)))
    for r, (seed, steps) in enumerate(zip(net.seeds, finite, strict=True)):
        if not (steps.all() and weights[r]):
            what = "a weight" if steps.all() else "the loss"
            step = len(steps) if steps.all() else np.argmin(steps) + 1
            found = DivergenceError(
                f"{what} is not finite: seed {seed}, task {task}, epoch {epoch}, step {step} of "
                f"{len(steps)}. Lower the learning rate or c."
            )
            found.replica = r
            raise found


def check_arguments(net, tasks, tested, epochs, batch_size):
    """Raise a ConfigError for what cannot be trained, before any work is done."""
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if int(value) != value or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1, found {value}")
    if not tasks:
        raise ConfigError("tasks: expected at least one task, found none")
    n_out = net.layers[-1].parameters["W"][1]
    for task in [*tasks, *tested]:
        train, test = task.x_train.shape[1:], task.x_test.shape[1:]
        if not train == test == net.input_shape:
            raise ConfigError(
                f"task {task.name!r}: expected inputs of shape {net.input_shape}, as the network "
                f"has, found {train} for training, {test} for testing"
            )
        if len(task.active) != n_out:
            raise ConfigError(
                f"task {task.name!r}: expected {n_out} classes, as the network's readout has "
                f"units, found {len(task.active)}"
            )


def train(
    net,
    optimizer,
    rule,
    tasks,
    *,
    epochs,
    batch_size,
    tested=None,
    reset_optimizer=True,
    reset_network=False,
    on_epoch=None,
    on_task=None,
    checkpoint=None,
):
    """Learn a sequence of tasks, and test all of them after each.

    Parameters
    ----------
    net : Network
        Its seeds also fix the order of the examples and dropout.
    optimizer : Optimizer
    rule : Rule
        How synapses are consolidated.
    tasks : sequence of Task
    epochs : int
        Passes over the training examples, a task.
    batch_size : int
        Examples in a minibatch; the last one of an epoch holds what is left.
    tested : sequence of Task, optional
        What is tested after each task; by default, the tasks that are learned.
    reset_optimizer : bool
        Whether the optimizer forgets its state between tasks (split MNIST) or not (permuted MNIST).
    reset_network : bool
        Whether the network forgets everything between tasks: each is learned from scratch.
    on_epoch : callable, optional
        Called as on_epoch(task, epoch), both from 1, after every epoch.
    on_task : callable, optional
        Called as on_task(task), from 1, after a task's last epoch, while ω is still the task's own.
    checkpoint : pysi.experiments.checkpoint.Checkpoint, optional
        Where the state is saved after every epoch. If it holds one, training goes on from there,
        and ends with the same bits as a run that was never stopped.

    Returns
    -------
    History

    Raises
    ------
    ConfigError
        Arguments that do not fit each other; before any work.
    DivergenceError
        A loss or weight that is not finite; at the end of the epoch in which it appeared.
    """
    tested = tasks if tested is None else tested
    check_arguments(net, tasks, tested, epochs, batch_size)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    moved = {}  # tasks may share their data
    tasks = [task.to(net.synapses.xp, moved) for task in tasks]
    tested = [task.to(net.synapses.xp, moved) for task in tested]
    shape = (*net.synapses.lead, len(tasks), len(tested))
    history = History(np.full(shape, np.nan), np.full(shape, np.nan))
    first_task, first_epoch = 0, 1
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        arrays, progress = saved
        restore(arrays, net, optimizer, rule, history)
        history.epochs += progress["epochs"]
        history.consolidation += progress["consolidation"]
        first_task, first_epoch = progress["task"], progress["epoch"] + 1
    for i, task in enumerate(tasks):
        if i < first_task:
            continue
        if i and first_epoch == 1:
            if reset_optimizer:
                optimizer.start(net.synapses)
            if reset_network:
                net.initialise()
        for epoch in range(first_epoch, epochs + 1):
            began = perf_counter()
            with np.errstate(all="ignore"):  # what overflows is found, and named, right below
                losses = train_epoch(net, optimizer, rule, task, batch_size, (i, epoch))
            check_finite(net, losses, i + 1, epoch)
            history.epochs.append(
                {
                    "task": i + 1,
                    "epoch": epoch,
                    "loss": to_host(losses.mean(axis=-1)).tolist(),
                    "penalty": to_host(rule.penalty()).tolist(),
                    "seconds": perf_counter() - began,
                }
            )
            if checkpoint is not None:
                progress = {
                    "task": i,
                    "epoch": epoch,
                    "epochs": history.epochs,
                    "consolidation": history.consolidation,
                }
                checkpoint.save(state(net, optimizer, rule, history), progress, due=epoch == epochs)
            if on_epoch is not None:
                on_epoch(i + 1, epoch)
        first_epoch = 1
        if on_task is not None:
            on_task(i + 1)
        began = perf_counter()
        rule.end_task(net, task)
        history.consolidation.append(perf_counter() - began)
        for j, other in enumerate(tested):
            history.test_accuracy[..., i, j] = accuracy(net, *other.part("test"), other.active)
            history.train_accuracy[..., i, j] = accuracy(net, *other.part("train"), other.active)
    return history
