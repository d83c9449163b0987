"""Tasks: what is learned one after the other.

A task is a set of labelled examples and the classes that it is about. The readout has one unit per
class of the whole sequence; while a task is trained or tested, only its own (active) classes take
part in the softmax.
"""

from dataclasses import dataclass, replace

import numpy as np

from pysi.backend import stream
from pysi.errors import ConfigError
from pysi.losses import Loss, softmax_cross_entropy


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name : str
        For tables and figures, such as "0 or 1".
    x_train, x_test : array, (N, ...)
        Inputs. Unsigned bytes are pixels: the network divides them by 255.
    y_train, y_test : array, (N, ...)
        Targets: for the default loss labels, numbers of readout units.
    active : array of bool, (classes of the whole sequence,)
        True for the classes of this task.
    pixels : array of int, optional
        Order in which the features, or the pixels of an image, are shown, for permuted tasks: the
        data are stored only once.
    loss : Loss
        What is minimised, and how a task is scored.

    Raises
    ------
    ConfigError
        Inputs and targets that are not equally many, or targets that the loss cannot take.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    active: np.ndarray
    pixels: np.ndarray | None = None
    loss: Loss = softmax_cross_entropy

    def __post_init__(self):
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            where = f"task {self.name!r}: {part}"
            if len(x) != len(y) or len(y) == 0:
                raise ConfigError(
                    f"{where}: expected as many labels as inputs, and at least one, "
                    f"found {len(x)} inputs and {len(y)} labels"
                )
            self.loss.check(where, y, self.active)

    def __repr__(self):
        return f"Task({self.name!r}, {len(self.y_train)} + {len(self.y_test)} examples)"

    @property
    def chance(self):
        """Accuracy of guessing: one over the number of active classes."""
        return 1 / self.active.sum().item()

    def part(self, name):
        """Inputs as they are shown to the network, and targets, of the part "train" or "test"."""
        x, y = getattr(self, f"x_{name}"), getattr(self, f"y_{name}")
        if self.pixels is None:
            return x, y
        flat = x if x.ndim == 2 else x.reshape(len(x), -1, *x.shape[3:])
        return flat[:, self.pixels].reshape(x.shape), y

    def to(self, xp, moved=None):
        """The same task with its arrays on the device of `xp`.

        `moved` is a dict that remembers what has been copied: tasks that are moved with the same
        one go on sharing what they share.
        """
        if xp is np:
            return self
        moved, found = {} if moved is None else moved, {}
        for name in ("x_train", "y_train", "x_test", "y_test", "active", "pixels"):
            array = getattr(self, name)
            if array is not None and id(array) not in moved:
                moved[id(array)] = array, xp.asarray(array)  # held, so that its id stays its own
            found[name] = None if array is None else moved[id(array)][1]
        return replace(self, **found)


def split_tasks(dataset, n_tasks=5):
    """Split a data set into tasks of consecutive classes: for MNIST 0|1, 2|3, 4|5, 6|7, 8|9.

    Parameters
    ----------
    dataset : pysi.data.Dataset
    n_tasks : int or sequence of int
        How many tasks, a number that divides that of the classes; or how many classes each task
        has, such as (2, 3, 5), at most all of them.

    Returns
    -------
    list of Task

    Raises
    ------
    ConfigError
        More tasks than classes, or classes that cannot be divided in this way.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.1.
    """
    n_classes, sizes = dataset.n_classes, n_tasks
    if np.ndim(n_tasks) == 0:
        if n_tasks != int(n_tasks) or not 1 <= n_tasks <= n_classes or n_classes % n_tasks:
            raise ConfigError(
                f"tasks: expected a number that divides the {n_classes} classes of "
                f"{dataset.name!r}, found {n_tasks}"
            )
        sizes = [n_classes // int(n_tasks)] * int(n_tasks)
    elif any(n != int(n) or n < 1 for n in sizes) or not 1 <= sum(sizes) <= n_classes:
        raise ConfigError(
            f"tasks: expected numbers of classes from 1, together at most the {n_classes} of "
            f"{dataset.name!r}, found {sizes}"
        )
    starts = np.cumsum([0, *sizes]).tolist()
    names = [
        " or ".join(map(str, range(*ends))) for ends in zip(starts[:-1], starts[1:], strict=True)
    ]
    return consecutive_tasks(dataset, names, sizes)


def cifar_tasks(dataset, n_tasks=6, *, examples=None):
    """CIFAR-10, then ten classes of CIFAR-100 at a time, in the order of their fine labels.

    Parameters
    ----------
    dataset : pysi.data.Dataset
        CIFAR-10 and CIFAR-100 as one data set.
    n_tasks : int
        From 1 to 11.
    examples : int, optional
        Training examples of a task at most: the first ones. By default, all.

    Returns
    -------
    list of Task

    Raises
    ------
    ConfigError
        A number of tasks that the classes do not suffice for.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.3.
    """
    names = ["CIFAR-10"] + [f"CIFAR-100, {k} to {k + 9}" for k in range(0, 100, 10)]
    if n_tasks != int(n_tasks) or not 1 <= n_tasks <= len(names):
        raise ConfigError(f"tasks: expected a number from 1 to {len(names)}, found {n_tasks}")
    return consecutive_tasks(dataset, names[:n_tasks], [10] * n_tasks, examples=examples)


def consecutive_tasks(dataset, names, sizes, *, examples=None):
    """For each name a task of the next few classes; the readout has a unit for each class."""
    if examples is not None and (examples != int(examples) or examples < 1):
        raise ConfigError(f"examples: expected a whole number from 1, found {examples}")
    task_of = np.repeat(np.arange(len(sizes)), sizes)  # of each class
    if dataset.n_classes < len(task_of):
        raise ConfigError(
            f"tasks: expected at most the {dataset.n_classes} classes of {dataset.name!r}, "
            f"found {len(task_of)}"
        )
    tasks, last = [], np.cumsum(sizes)
    for i, name in enumerate(names):
        first = last[i] - sizes[i]
        train, test = (
            np.flatnonzero((first <= labels) & (labels < last[i]))
            for labels in (dataset.y_train, dataset.y_test)
        )
        train = train[:examples]
        data = (dataset.x_train[train], dataset.y_train[train])
        tasks.append(Task(name, *data, dataset.x_test[test], dataset.y_test[test], task_of == i))
    return tasks


def permuted_tasks(dataset, n_tasks=10, *, seed=0):
    """The same classes again and again, each time with the pixels in another order.

    Parameters
    ----------
    dataset : pysi.data.Dataset
    n_tasks : int
        The first task shows the pixels as they are, every other one in a random order.
    seed : int
        Of the orders.

    Returns
    -------
    list of Task
        All classes are active in each.

    Raises
    ------
    ConfigError
        Fewer than one task.

    References
    ----------
    Goodfellow et al. (2013); Zenke, Poole & Ganguli (2017), Section 5.2.
    """
    if int(n_tasks) != n_tasks or n_tasks < 1:
        raise ConfigError(f"tasks: expected a whole number from 1, found {n_tasks}")
    n_pixels = int(np.prod(dataset.x_train.shape[1:3]))  # of an image; its channels stay together
    data = (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
    active = np.ones(dataset.n_classes, bool)
    orders = [None] + [
        stream(seed, "pixels", task).permutation(n_pixels) for task in range(1, n_tasks)
    ]
    return [
        Task(f"permutation {i}" if i else "original", *data, active, order)
        for i, order in enumerate(orders)
    ]


def joint_task(tasks):
    """All tasks at once, their examples mixed: what sequential learning is measured against.

    Parameters
    ----------
    tasks : sequence of Task

    Returns
    -------
    Task
        Holds a copy of every task's examples.

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
    train, test = (list(zip(*(task.part(name) for task in tasks), strict=True))
                   for name in ("train", "test"))  # fmt: skip
    return Task("all tasks", *map(np.concatenate, (*train, *test)), active, loss=tasks[0].loss)
