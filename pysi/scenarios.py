"""Three scenarios: what a network is told of the task (van de Ven & Tolias, 2019).

The same examples make three problems. Take five pairs of digits, 0|1 to 8|9:

- *task*: the network is told which pair a digit comes from, and chooses between the two. There is a
  readout for each task; units of other tasks take no part.
- *domain*: it is not told, and need not know: it says whether a digit is the first or the second of
  its pair. All tasks share one readout.
- *class*: it is not told, and must find out: it chooses among all digits learned so far.

A unit of the readout that belongs to a later task has no gradient and stays at its initial weights.
So it has ω = 0 when a task ends, and begins its own task with Ω = 0 and θ̃ as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pysi.arguments import choice, several
from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.losses import SoftmaxCrossEntropy
from pysi.tasks import Task
from pysi.typing import Array

SCENARIOS = {
    "task": "task-incremental: the network is told the task, and chooses among the task's classes",
    "domain": "domain-incremental: it is not told the task; all tasks share one readout",
    "class": "class-incremental: it chooses among the classes of all tasks learned so far",
}
"""What the accuracy means, by the name of the scenario."""


def in_scenario(tasks: Sequence[Task], scenario: str) -> list[Task]:
    """Return tasks that have classes of their own, such as split MNIST, in a scenario.

    Parameters
    ----------
    tasks : sequence of Task
        As `pysi.split_tasks` returns them. They may have different numbers of classes.
    scenario : {"task", "domain", "class"}
        See the head of this file.

    Raises
    ------
    ConfigError
        The scenario is unknown, or two tasks share a class.

    Examples
    --------
    >>> import pysi
    >>> tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))
    >>> [len(task.active) for task in in_scenario(tasks, "domain")]
    [2, 2, 2, 2, 2]
    >>> [int(task.active.sum()) for task in in_scenario(tasks, "class")]
    [2, 4, 6, 8, 10]
    """
    tasks = several("tasks", tasks, Task)
    choice("scenario", scenario, SCENARIOS)
    seen = np.cumsum([task.active for task in tasks], axis=0)
    if seen.max() > 1:
        raise ConfigError(
            f"tasks: expected tasks with classes of their own, found class "
            f"{seen[-1].argmax()} in several"
        )
    if scenario == "class":
        return [
            replace(task, active=among > 0, cumulative=True)
            for task, among in zip(tasks, seen, strict=True)
        ]
    if scenario == "domain":
        units = np.arange(max(task.active.sum() for task in tasks))
        return [
            replace(
                task,
                y_train=place(task, task.y_train),
                y_test=place(task, task.y_test),
                active=units < task.active.sum(),
            )
            for task in tasks
        ]
    return tasks


def chance_level(tasks: Sequence[Task]) -> float:
    """Return the mean accuracy of guessing on all tasks, after the last one."""
    if tasks[-1].cumulative:
        return tasks[-1].chance
    return round(float(np.mean([task.chance for task in tasks])), 12)


def place(task: Task, labels: Array) -> Array:
    """Return the place of each label among the classes of its task, from 0."""
    return (np.cumsum(task.active) - 1)[labels]


class TaskwiseCrossEntropy(SoftmaxCrossEntropy):
    """Cross-entropy of examples of several tasks, each among the classes of its own task.

    With it, tasks that have classes of their own are learned at once in the scenario *task*.

    Parameters
    ----------
    groups : sequence of int
        Which task each class belongs to.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        self.groups = tuple(int(group) for group in groups)

    def own(self, labels: Array, active: Array) -> Array:
        """Return a mask of the classes among which each example is classified, (..., B, K)."""
        groups = namespace(labels).asarray(self.groups)
        return active & (groups == groups[labels][..., None])

    def __call__(self, logits: Array, labels: Array, active: Array) -> tuple[Array, Array]:
        return super().__call__(logits, labels, self.own(labels, active))

    def score(self, logits: Array, labels: Array, active: Array) -> Array:
        return super().score(logits, labels, self.own(labels, active))


def joint_task(tasks: Sequence[Task]) -> Task:
    """Return all tasks as one, to be learned at once: what sequential learning is compared with.

    Where tasks have classes of their own, each example is classified among the classes of its task;
    in the scenario *class*, among all.

    Parameters
    ----------
    tasks : sequence of Task

    Returns
    -------
    Task
        It holds a copy of every task's examples.

    Raises
    ------
    ConfigError
        The tasks share some of their classes, but not all: one softmax cannot serve them together.
    """
    tasks = several("tasks", tasks, Task)
    masks = np.stack([task.active for task in tasks])
    active: Any = masks.any(axis=0)
    loss = tasks[0].loss
    if not (masks == active).all(axis=1).any():  # no task has all classes
        if masks.sum(axis=0).max() > 1:
            shared = int(masks.sum(axis=0).argmax())
            first, second = [tasks[i].name for i in np.flatnonzero(masks[:, shared])[:2]]
            raise ConfigError(
                "tasks: expected tasks with the same active classes, or with classes of their own, "
                f"to be learned jointly, found class {shared} in both {first!r} and {second!r}, "
                "and tasks with other classes"
            )
        loss = TaskwiseCrossEntropy(masks.argmax(axis=0))
    (x_train, y_train), (x_test, y_test) = (
        map(np.concatenate, zip(*(task.part(name) for task in tasks), strict=True))
        for name in ("train", "test")
    )
    return Task(
        "all tasks", x_train, y_train, x_test, y_test, active, loss=loss,
        cumulative=tasks[-1].cumulative,
    )  # fmt: skip
