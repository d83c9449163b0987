"""The paper's sequences of tasks: CIFAR-10, then CIFAR-100; and all tasks at once, as one."""

from collections.abc import Sequence

import numpy as np

from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.tasks import Task, consecutive_tasks


def cifar_tasks(dataset: Dataset, n_tasks: int = 6, *, examples: int | None = None) -> list[Task]:
    """Return CIFAR-10, then ten classes of CIFAR-100 at a time, in the order of their fine labels.

    Parameters
    ----------
    dataset : pysi.data.Dataset
        CIFAR-10 and CIFAR-100 as one data set.
    n_tasks : int
        From 1 to 11.
    examples : int, optional
        The most training examples of a task: the first ones. By default, all.

    Returns
    -------
    list of Task

    Raises
    ------
    ConfigError
        There are not enough classes for that number of tasks.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.3.
    """
    names = ["CIFAR-10"] + [f"CIFAR-100, {k} to {k + 9}" for k in range(0, 100, 10)]
    if n_tasks != int(n_tasks) or not 1 <= n_tasks <= len(names):
        raise ConfigError(f"tasks: expected a number from 1 to {len(names)}, found {n_tasks}")
    return consecutive_tasks(dataset, names[:n_tasks], [10] * n_tasks, examples=examples)


def joint_task(tasks: Sequence[Task]) -> Task:
    """Return all tasks as one, to be learned at once: what sequential learning is compared with.

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
        Tasks with different active classes: one softmax cannot serve them together.
    """
    active = tasks[0].active
    for task in tasks:
        if (task.active != active).any().item():
            raise ConfigError(
                f"tasks: expected tasks with the same active classes to be learned jointly, found "
                f"others in {tasks[0].name!r} and {task.name!r}"
            )
    (x_train, y_train), (x_test, y_test) = (
        map(np.concatenate, zip(*(task.part(name) for task in tasks), strict=True))
        for name in ("train", "test")
    )
    return Task("all tasks", x_train, y_train, x_test, y_test, active, loss=tasks[0].loss)
