"""Training: the step, the epoch, the sequence of tasks.

`Run.learn` is a generator: it trains, and yields an event for whatever has happened. Listeners (a
history, a checkpoint, a log of single steps) receive these events. `train` is its short form.
"""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

import numpy as np

from pysi.arguments import several
from pysi.backend import stream, to_host
from pysi.evaluation import score
from pysi.guards import check_arguments, check_finite, check_listeners, check_options
from pysi.history import Epoch, Event, History, Step, TaskEnded, TaskLearned
from pysi.network import Network
from pysi.optim import Optimizer
from pysi.resets import reset, reset_mode
from pysi.rules.pulls import pulled
from pysi.rules.rule import Rule
from pysi.synapses import Synapses
from pysi.tasks import Task
from pysi.threads import computing
from pysi.typing import Array


def update(synapses: Synapses, optimizer: Optimizer, rule: Rule, *extras: Array | None) -> None:
    """One step of every synapse, once g is in the table; extras are gradients of the rule's own."""
    optimizer.next_step()
    with synapses.update() as rows:
        total = rule.total_gradient(rows)  # g + 2c Ω (θ - θ̃)
        for extra in extras:
            total = total if extra is None else total + rows.part(extra)
        delta = rule.modulate(optimizer.delta(total, rows), rows)  # Δθ
        rows.advance(delta)  # θ ← θ + Δθ
        rule.after_step(rows, delta)  # ω ← ω - g Δθ


def training_step(
    net: Network, optimizer: Optimizer, rule: Rule, x: Array, targets: Array, task: Task
) -> Array:
    """Forward, loss, backward, update: one minibatch. Return the task's loss before it, (...)."""
    before = rule.before_step(net)
    logits = net.forward(x, train=True)
    loss, dlogits = task.loss(logits, targets, task.active)
    after, dlogits, dfeatures = pulled(net, rule, x, logits, dlogits)
    net.backward(dlogits, dfeatures)  # g: the gradient of the task's loss alone
    update(net.synapses, optimizer, rule, before, after)
    return loss


def shuffled(net: Network, n: int, *key: Any) -> Array:
    """Return an order of n examples for each network, (..., n), on the network's device."""
    orders = np.stack([stream(s, "shuffle", *key).permutation(n) for s in net.seeds])
    return net.synapses.xp.asarray(orders.reshape(*net.synapses.lead, n))


class Run:
    """A sequence of tasks to learn, from `position` (task, epoch) on; for arguments see `train`."""

    def __init__(
        self, net: Network, optimizer: Optimizer, rule: Rule, tasks: Iterable[Task], *,
        epochs: int, batch_size: int, tested: Iterable[Task] | None = None,
        reset_optimizer: bool | str = True, reset_network: bool = False,
    ) -> None:  # fmt: skip
        tasks = several("tasks", tasks, Task)
        tested = tasks if tested is None else several("tested", tested, Task)
        check_arguments(net, optimizer, rule, tasks, tested, epochs, batch_size, reset_network)
        mode = reset_mode(reset_optimizer)
        rule.check(net, tasks)
        self.net, self.optimizer, self.rule = net, optimizer, rule
        self.epochs, self.batch_size = int(epochs), int(batch_size)
        self.reset_optimizer, self.reset_network = mode, reset_network
        moved: dict[int, Any] = {}  # tasks may share their data
        self.tasks = [task.to(net.synapses.xp, moved) for task in tasks]
        self.tested = [task.to(net.synapses.xp, moved) for task in tested]
        self.history, self.position = History.empty(self), (1, 1)
        if reset_network and net.learned:
            net.initialise()
        s = net.synapses  # a rule that has already learned on this table goes on
        if rule.synapses is not s or not net.learned:
            rule.start(s)
        reset(optimizer, s, mode if net.learned else "full")

    def learn(self) -> Iterator[Event]:
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
                mode = "full" if self.reset_network else self.reset_optimizer
                reset(self.optimizer, net.synapses, mode)
            self.task, self.examples = task, task.part("train")
            rule.start_task(net, task)
            for epoch in range(first_epoch, self.epochs + 1):
                yield from self.learn_epoch(task, i, epoch)
            self.position = i + 1, 1
            yield TaskLearned(self, i)
            began = perf_counter()
            rule.end_task(net, task)
            rule.refresh()
            net.learned += 1
            seconds = perf_counter() - began
            test, train = (self.scores(part) for part in ("test", "train"))
            yield TaskEnded(self, i, test, train, seconds)

    def scores(self, part: str) -> np.ndarray:
        """Return the mean score on every tested task, (..., tasks)."""
        found = [score(self.net, task, part, self.task) for task in self.tested]
        return np.stack(found, axis=-1)

    def learn_epoch(self, task: Task, i: int, epoch: int) -> Iterator[Event]:
        """Make one pass over a task's training examples, in a new order; yield its events."""
        net, rule, began = self.net, self.rule, perf_counter()
        inputs, targets = self.examples
        n, key = len(targets), (net.learned, epoch)
        order = shuffled(net, n, *key)
        net.restart(*key)
        starts = range(0, n, self.batch_size)
        losses = net.synapses.xp.empty((*net.synapses.lead, len(starts)), net.synapses.dtype)
        for step, start in enumerate(starts):
            batch = rule.examples = order[..., start : start + self.batch_size]
            with np.errstate(all="ignore"):  # check_finite, below, reports an overflow
                x, y = inputs[batch], targets[batch]
                loss = training_step(net, self.optimizer, rule, x, y, task)
            losses[..., step] = loss
            yield Step(self, i, epoch, step + 1, loss)
        check_finite(net, losses, i, epoch)
        self.position = i, epoch + 1
        mean, penalty = to_host(losses.mean(axis=-1)), to_host(rule.penalty())
        yield Epoch(self, i, epoch, mean, penalty, perf_counter() - began)


def train(
    net: Network, optimizer: Optimizer, rule: Rule, tasks: Iterable[Task], *,
    epochs: int, batch_size: int, listeners: Iterable[Callable[[Event], Any]] = (),
    threads: int | None = None, **options: Any,
) -> History:  # fmt: skip
    """Learn a sequence of tasks, and test all of them after each.

    Called again with the same network, it goes on where it stopped: learning task by task gives the
    same bits as learning the whole sequence in one call.

    Parameters
    ----------
    net, optimizer, rule, tasks : Network, Optimizer, Rule, iterable of Task
        The network's seeds also fix the order of the examples and dropout.
    epochs, batch_size : int
        Passes over each task's examples; examples in a minibatch (the last may be smaller).
    listeners : sequence of callable
        Each is called with every event. If it has a method `begin`, begin(run) is called first.
    threads : int, optional
        Threads of the CPU; by default what the environment says, else as many as save time.
    tested : iterable of Task, optional
        Tasks that are tested after each task; by default, those that are learned.
    reset_optimizer : bool or {"full", "moments", "none"}
        What the optimizer forgets between tasks: True is "full" (split MNIST), False is "none"
        (permuted MNIST); see `pysi.resets.reset`.
    reset_network : bool
        Whether the network forgets everything: each task is then learned as if it were the first.

    Returns
    -------
    History

    Raises
    ------
    ConfigError, DivergenceError
        For arguments that do not fit, before any work; for a loss that is not finite, after the
        epoch.
    """
    check_options(options, Run, threads)
    listeners = check_listeners(listeners)
    run = Run(net, optimizer, rule, tasks, epochs=epochs, batch_size=batch_size, **options)
    listeners = [run.history, *listeners]
    with computing(net, run.batch_size, threads):
        for listener in listeners:
            if hasattr(listener, "begin"):
                listener.begin(run)
        for event in run.learn():
            for listener in listeners:
                listener(event)
    return run.history
