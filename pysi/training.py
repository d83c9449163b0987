"""Training: the step, the epoch, the sequence of tasks.

`learn` is a generator of events: it trains, and says what has happened. Whoever wants to know (a
history, a checkpoint, a progress bar, a log of single steps) listens. `train` is its short form.
"""

from time import perf_counter

import numpy as np

from pysi.backend import stream, to_host
from pysi.errors import ConfigError, DivergenceError
from pysi.history import Epoch, History, Step, TaskEnded, TaskLearned

EVALUATION_BATCH = 1000


def update(synapses, optimizer, rule, extra=None):
    """One step in the life of every synapse, once its gradient g is in the table.

    `extra` is a row that is added to the total gradient.
    """
    optimizer.next_step()
    with synapses.update() as rows:
        total = rule.total_gradient(rows)  # g + 2c Ω (θ - θ̃)
        if extra is not None:
            total = total + rows.part(extra)
        delta = rule.modulate(optimizer.delta(total, rows), rows)  # Δθ
        rows.advance(delta)  # θ ← θ + Δθ
        rule.after_step(rows, delta)  # ω ← ω - g Δθ


def training_step(net, optimizer, rule, x, targets, task):
    """One minibatch: forward, loss, backward, update.

    Returns
    -------
    loss : array, (...)
        Of the task alone, before the step.
    """
    logits = net.forward(x, train=True)
    loss, dlogits = task.loss(logits, targets, task.active)
    more = rule.output_gradient(net, x, logits)
    net.backward(dlogits)  # g: the gradient of the task's loss alone
    update(net.synapses, optimizer, rule, more and gradient_of(net, dlogits, *more))
    return loss


def gradient_of(net, dlogits, other, dfeatures):
    """A row with what a rule adds at the outputs, taken back to all synapses; `grad` is kept."""
    s = net.synapses
    task = s.grad.copy()
    net.backward(0 * dlogits if other is None else other, dfeatures)
    extra = s.grad.copy()
    s.grad[...] = task
    return extra


def shuffled(net, n, *key):
    """An order of n examples for each network, (..., n), on the network's device."""
    orders = np.stack([stream(s, "shuffle", *key).permutation(n) for s in net.seeds])
    return net.synapses.xp.asarray(orders.reshape(*net.synapses.lead, n))


def score(net, task, part):
    """Mean score of a task's "train" or "test" examples, (...), on the host: their accuracy."""
    x, targets = task.part(part)
    total = 0
    for start in range(0, len(targets), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        total = total + task.loss.score(
            net.logits(x[batch]), targets[batch], task.active
        ).sum(axis=-1)  # fmt: skip
    return to_host(total) / len(targets)


class Run:
    """A sequence of tasks to be learned; arguments and errors as for `train`.

    Attributes
    ----------
    position : (int, int)
        Task and epoch, from 1, with which `learn` goes on: (1, 1), or where a checkpoint was made.
    """

    def __init__(
        self, net, optimizer, rule, tasks, *, epochs, batch_size, tested=None,
        reset_optimizer=True, reset_network=False,
    ):  # fmt: skip
        tasks = list(tasks)
        tested = tasks if tested is None else list(tested)
        check_arguments(net, tasks, tested, epochs, batch_size)
        rule.check(net, tasks)
        self.net, self.optimizer, self.rule = net, optimizer, rule
        self.epochs, self.batch_size = int(epochs), int(batch_size)
        self.reset_optimizer, self.reset_network = reset_optimizer, reset_network
        moved = {}  # tasks may share their data
        self.tasks = [task.to(net.synapses.xp, moved) for task in tasks]
        self.tested = [task.to(net.synapses.xp, moved) for task in tested]
        self.history, self.position = History.empty(self), (1, 1)
        if reset_network and net.learned:
            net.initialise()
        s = net.synapses  # who has learned on this table already goes on
        if rule.synapses is not s or not net.learned:
            rule.start(s)
        if optimizer.synapses is not s or not net.learned or reset_optimizer:
            optimizer.start(s)

    def learn(self):
        """Train, and yield what has happened: `Step`, `Epoch`, `TaskLearned` and `TaskEnded`."""
        net, rule = self.net, self.rule
        for i, task in enumerate(self.tasks, start=1):
            first_task, first_epoch = self.position
            if i < first_task:
                continue
            if i > 1 and first_epoch == 1:
                if self.reset_network:
                    net.initialise()
                    rule.start(net.synapses)
                if self.reset_optimizer or self.reset_network:
                    self.optimizer.start(net.synapses)
            rule.start_task(net, task)
            for epoch in range(first_epoch, self.epochs + 1):
                yield from self.learn_epoch(task, i, epoch)
            self.position = i + 1, 1
            yield TaskLearned(self, i)
            began = perf_counter()
            rule.end_task(net, task)
            net.learned += 1
            seconds = perf_counter() - began
            test, train = (
                np.stack([score(net, other, part) for other in self.tested], axis=-1)
                for part in ("test", "train")
            )
            yield TaskEnded(self, i, test, train, seconds)

    def learn_epoch(self, task, i, epoch):
        """One pass over a task's training examples in a new order."""
        net, rule, began = self.net, self.rule, perf_counter()
        inputs, targets = task.part("train")
        n, key = len(targets), (net.learned, epoch)
        order = shuffled(net, n, *key)
        net.restart(*key)
        starts = range(0, n, self.batch_size)
        losses = net.synapses.xp.empty((*net.synapses.lead, len(starts)), net.synapses.dtype)
        for step, start in enumerate(starts):
            batch = order[..., start : start + self.batch_size]
            with np.errstate(all="ignore"):  # what overflows is found, and named, right below
                loss = training_step(
                    net, self.optimizer, rule, inputs[batch], targets[batch], task
                )  # fmt: skip
            losses[..., step] = loss
            yield Step(self, i, epoch, step + 1, loss)
        check_finite(net, losses, i, epoch)
        self.position = i, epoch + 1
        mean, penalty = to_host(losses.mean(axis=-1)), to_host(rule.penalty())
        yield Epoch(self, i, epoch, mean, penalty, perf_counter() - began)


def train(net, optimizer, rule, tasks, *, epochs, batch_size, listeners=(), **options):
    """Learn a sequence of tasks, and test all of them after each.

    Called again with the same network, it goes on: learning task by task gives what learning the
    whole sequence in one call gives, to the bit.

    Parameters
    ----------
    net : Network
        Its seeds also fix the order of the examples and dropout.
    optimizer : Optimizer
    rule : Rule
        How synapses are consolidated.
    tasks : iterable of Task
    epochs : int
        Passes over the training examples of each task.
    batch_size : int
        Examples in a minibatch; the last one of an epoch holds what is left.
    listeners : sequence of callable
        Each is called with every event that `Run.learn` yields. One with a method `begin` has it
        called as begin(run) before the first.
    tested : iterable of Task, optional
        What is tested after each task; by default, the tasks that are learned.
    reset_optimizer : bool
        Whether the optimizer forgets its state between tasks (split MNIST) or not (permuted MNIST).
    reset_network : bool
        Whether the network forgets everything between tasks: each is learned from scratch, and just
        as if it were the first.

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
    run = Run(net, optimizer, rule, tasks, epochs=epochs, batch_size=batch_size, **options)
    listeners = (run.history, *listeners)
    for listener in listeners:
        if hasattr(listener, "begin"):
            listener.begin(run)
    for event in run.learn():
        for listener in listeners:
            listener(event)
    return run.history


def check_finite(net, losses, task, epoch):
    """Raise a DivergenceError if a loss of this epoch, or a weight at its end, is not finite."""
    finite = np.isfinite(to_host(losses)).reshape(len(net.seeds), -1)
    weights = np.atleast_1d(to_host(net.synapses.xp.isfinite(net.synapses.theta).all(axis=-1)))
    for r, (seed, steps) in enumerate(zip(net.seeds, finite, strict=True)):
        if not (steps.all() and weights[r]):
            what = "a weight" if steps.all() else "the loss"
            step = len(steps) if steps.all() else np.argmin(steps) + 1
            error = DivergenceError(
                f"{what} is not finite: seed {seed}, task {task}, epoch {epoch}, step {step} of "
                f"{len(steps)}. Lower the learning rate or c."
            )
            error.replica = r
            raise error


def check_arguments(net, tasks, tested, epochs, batch_size):
    """Raise a ConfigError for what cannot be trained, before any work is done."""
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if int(value) != value or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1, found {value}")
    if not tasks:
        raise ConfigError("tasks: expected at least one task, found none")
    for task in [*tasks, *tested]:
        train, test = task.x_train.shape[1:], task.x_test.shape[1:]
        if not train == test == net.input_shape:
            raise ConfigError(
                f"task {task.name!r}: expected inputs of shape {net.input_shape}, as the network "
                f"has, found {train} for training, {test} for testing"
            )
        if (len(task.active),) != net.output_shape:
            raise ConfigError(
                f"task {task.name!r}: expected {net.output_shape} classes, as the network's "
                f"readout has units, found {len(task.active)}"
            )
