"""Replay: keep a few examples of every task, and go on learning them beside the next ones.

This simple method works where penalties on weights fail, because the softmax then sees examples of
all tasks. It costs what the penalties avoid: old data are stored, and every step has a second pass.

When a task ends, each of its examples gets a random number, and those with the smallest are kept:
the n smallest of each class, or the M smallest of all so far. The second is a reservoir: after any
number of tasks, each set of M of the N examples seen is kept with the same probability.

Sources: Robins (1995), Catastrophic forgetting, rehearsal and pseudorehearsal; Vitter (1985),
Random sampling with a reservoir; for the weighting "tasks", van de Ven & Tolias (2019), Three
scenarios for continual learning, and their released code.
"""

from typing import Any

import numpy as np

from pysi.arguments import choice, refuse, whole
from pysi.backend import stream, to_host
from pysi.errors import ConfigError
from pysi.inputs import as_labels
from pysi.network import Network
from pysi.rules.rule import Rule
from pysi.synapses import Synapses, Update
from pysi.tasks import Task
from pysi.typing import Array

WEIGHTINGS = ("sum", "tasks")


class Replay(Rule):
    """Add the loss of examples of earlier tasks to the loss of every minibatch.

    Each example is classified among the classes of its own task or, if the present task is
    `cumulative`, among those of the present task. Each of several networks keeps its own examples.

    Parameters
    ----------
    per_class : int, optional
        How many examples are kept of each class of each task. Two tasks may share their labels, as
        in the scenario *domain*: they are different classes here, so no task is forgotten.
    capacity : int, optional
        How many examples are kept altogether. Give either `per_class` or `capacity`.
    batch_size : int, optional
        How many of them are replayed in a step, drawn with replacement; by default, as many as the
        minibatch has.
    weighting : {"sum", "tasks"}
        "sum": both losses count fully. "tasks": in the n-th task, the task's own loss counts 1/n,
        and that of the replayed examples 1 - 1/n.

    Raises
    ------
    ConfigError
        Both or none of `per_class` and `capacity`; numbers below 1; an unknown weighting.
    """

    name = "replay"
    kept = ("inputs", "targets", "masks", "keys", "filled", "steps")
    separate = False  # it learns nothing from `grad`
    share = 1.0
    """The weight of the present task's loss."""
    kind: tuple
    """What all examples have in common; see `kind_of`."""
    inputs: Array
    targets: Array
    masks: Array
    """The classes among which each example is classified."""
    keys: Array
    """The random number of each example."""

    def __init__(
        self,
        per_class: int | None = None,
        *,
        capacity: int | None = None,
        batch_size: int | None = None,
        weighting: str = "sum",
    ) -> None:
        if (per_class is None) == (capacity is None):
            found = f"per_class={per_class!r} and capacity={capacity!r}"
            raise ConfigError(f"Replay: expected either per_class or capacity, found {found}")
        self.per_class = None if per_class is None else whole("per_class", per_class)
        self.capacity = None if capacity is None else whole("capacity", capacity)
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size)
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        self.filled, self.room = 0, 0

    def check(self, net: Network, tasks: list[Task]) -> None:
        going_on = self.synapses is net.synapses and net.learned > 0
        kinds = {kind_of(task) for task in tasks} | ({self.kind} if going_on else set())
        if len(kinds) > 1:
            raise ConfigError(
                f"tasks: expected inputs and targets of one dtype and shape, and one loss, to be "
                f"replayed together, found {sorted(map(str, kinds))}"
            )
        if self.per_class and any(task.y_train.dtype.kind not in "iu" for task in tasks):
            raise refuse("per_class", "labels", tasks[0].y_train, "use capacity for regression")
        (self.kind,), self.outputs = kinds, net.output_shape
        if self.per_class:
            classes = sum(len(np.unique(to_host(task.y_train))) for task in tasks)
            self.room = self.per_class * classes + (self.filled if going_on else 0)
        else:
            self.room = self.capacity or 0
        if going_on:
            self.make_room(net.synapses)

    def make_room(self, synapses: Synapses) -> None:
        """Make arrays for all examples to come, and copy those that are held into them."""
        (x_dtype, x_shape, y_dtype, y_shape, _), lead = self.kind, (*synapses.lead, self.room)
        xp, n, n_axes = synapses.xp, self.filled, len(synapses.lead)
        for name, shape, dtype in (
            ("inputs", x_shape, x_dtype), ("targets", y_shape, y_dtype),
            ("masks", self.outputs, np.bool_), ("keys", (), np.float64),
        ):  # fmt: skip
            new = xp.zeros((*lead, *shape), dtype)
            if n:
                held: tuple = (*(slice(None),) * n_axes, slice(n))
                new[held] = getattr(self, name)[held]
            setattr(self, name, new)

    def start(self, synapses: Synapses) -> None:
        if not self.room:
            raise ConfigError("start: Replay needs check(net, tasks) first, found none")
        super().start(synapses)
        self.filled, self.steps = 0, 0
        self.make_room(synapses)
        self.replayed = synapses.zeros()

    def start_task(self, net: Network, task: Task) -> None:
        self.task = task
        learned = net.learned + 1
        self.share = 1 / learned if self.weighting == "tasks" and self.filled else 1.0

    def before_step(self, net: Network) -> Array | None:
        if not self.filled:
            return None
        x, targets, masks = self.draw(net)
        logits = net.forward(x, train=True)
        active = self.task.active if self.task.cumulative else masks
        _, dlogits = self.task.loss(logits, targets, active)
        net.backward(dlogits)
        self.replayed[...] = net.synapses.grad
        if self.share < 1:
            self.replayed *= 1 - self.share
        return self.replayed

    def draw(self, net: Network) -> tuple[Array, Array, Array]:
        """Return inputs, targets and masks of examples that are replayed in the present step."""
        s, size = net.synapses, self.batch_size or self.examples.shape[-1]
        drawn = [
            stream(seed, "replayed", self.steps).integers(self.filled, size=size)
            for seed in net.seeds
        ]
        self.steps += 1
        which = s.xp.asarray(np.reshape(drawn, (*s.lead, size)))
        at: tuple = (s.xp.arange(len(drawn))[:, None], which) if s.lead else (which,)
        return self.inputs[at], self.targets[at], self.masks[at]

    def total_gradient(self, rows: Update) -> Any:
        return rows.grad if self.share == 1 else rows.grad * self.share

    def end_task(self, net: Network | None = None, task: Task | None = None) -> None:
        if net is None or task is None:
            raise ConfigError("end_task: Replay needs the network and the task, found none")
        inputs, targets = task.part("train")
        xp, labels, before = net.synapses.xp, to_host(targets), self.filled
        for r, seed in enumerate(net.seeds):
            at = (r,) if net.synapses.lead else ()
            keys = self.numbers(seed, net.learned, len(labels))
            stay, enter = self.choose(to_host(self.keys[at])[:before], keys, labels)
            self.filled, n = len(stay) + len(enter), len(stay)
            stay, enter, first = xp.asarray(stay), xp.asarray(enter), self.filled
            for held, new in (
                (self.inputs, inputs[enter]), (self.targets, targets[enter]),
                (self.masks, task.active), (self.keys, xp.asarray(keys)[enter]),
            ):  # fmt: skip
                held[at][:n] = held[at][stay]
                held[at][n:first] = new

    def numbers(self, seed: int, learned: int, n: int) -> np.ndarray:
        """Return the random numbers of a task's n examples, (n,)."""
        return stream(seed, "replay", learned).random(n)

    def choose(
        self, held: np.ndarray, keys: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the held examples stay, and which of the task's examples enter.

        Parameters
        ----------
        held, keys : array, (filled,) and (N,)
            Random numbers of the examples that are held, and of the task's.
        labels : array, (N, ...)
            Labels of the task's examples.
        """
        if self.per_class:
            classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
            enter = [own[keys[own].argsort()[: self.per_class]] for own in classes]
            return np.arange(len(held)), np.concatenate(enter)
        smallest = np.concatenate([held, keys]).argsort()[: self.capacity]
        smallest.sort()
        return smallest[smallest < len(held)], smallest[smallest >= len(held)] - len(held)


def kind_of(task: Task) -> tuple:
    """Return what the examples of tasks must share: dtypes and shapes, and the loss in words."""
    x, y = task.x_train, as_labels(task.y_train[:1])
    return np.dtype(x.dtype), x.shape[1:], np.dtype(y.dtype), y.shape[1:], repr(task.loss)
