"""Tasks: what is learned one after the other.

A task is a set of labelled examples and the classes that it is about. The readout has one unit a
class of the whole sequence; while a task is trained or tested, only its own (active) classes take
part in the softmax.
"""

from dataclasses import dataclass, replace

import numpy as np

from pysi.backend import stream, to_host
from pysi.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name : str
        For tables and figures, such as "0 or 1".
    x_train, x_test : array, (N, ...)
        Inputs. Unsigned bytes are pixels: the network divides them by 255.
    y_train, y_test : array of int, (N,)
        Labels: numbers of readout units.
    active : array of bool, (classes of the whole sequence,)
        True for the classes of this task.
    pixels : array of int, (features,), optional
        Order in which the features are shown, for permuted tasks: the data are stored only once.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    active: np.ndarray
    pixels: np.ndarray | None = None

    def __post_init__(self):
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            where = f"task {self.name!r}: {part}"
            if len(x) != len(y) or len(y) == 0:
                raise ConfigError(
                    f"{where}: expected as many labels as inputs, and at least one, "
                    f"found {len(x)} inputs and {len(y)} labels"
                )
            if y.dtype.kind not in "iu":
                raise ConfigError(f"{where}: expected whole numbers as labels, found {y.dtype}")
            low, high = y.min().item(), y.max().item()
            if low < 0 or high >= len(self.active) or not self.active[y].all().item():
                units = to_host(self.active).nonzero()[0].tolist()
                raise ConfigError(
                    f"{where}: expected labels among the task's readout units {units} "
                    f"of {len(self.active)}, found labels from {low} to {high}"
                )

    @property
    def chance(self):
        """Accuracy of guessing: one over the number of active classes."""
        return 1 / self.active.sum().item()

    def part(self, name):
        """Inputs as they are shown to the network, and labels, of the part "train" or "test"."""
        x, y = getattr(self, f"x_{name}"), getattr(self, f"y_{name}")
        return (x if self.pixels is None else x[:, self.pixels]), y

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
    n_tasks : int
        Must divide the number of classes.

    Returns
    -------
    list of Task

    Raises
    ------
    ConfigError
        More tasks than classes, or classes that cannot be shared out evenly.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.1.
    """
    n_classes = dataset.n_classes
    if not 1 <= n_tasks <= n_classes or n_classes % n_tasks:
        raise ConfigError(
            f"tasks: expected a number that divides the {n_classes} classes of "
            f"{dataset.name!r}, found {n_tasks}"
        )
    size = n_classes // n_tasks
    names = [
        " or ".join(map(str, range(start, start + size))) for start in range(0, n_classes, size)
    ]
    return consecutive_tasks(dataset, names, size)


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
    if not 1 <= n_tasks <= len(names):
        raise ConfigError(f"tasks: expected a number from 1 to {len(names)}, found {n_tasks}")
    return consecutive_tasks(dataset, names[:n_tasks], 10, examples=examples)


def consecutive_tasks(dataset, names, size, *, examples=None):
    """A task of the next `size` classes for each name; the readout has a unit for each of them."""
    tasks, units = [], np.arange(size * len(names))
    for i, name in enumerate(names):
        active = units // size == i
        train, test = (
            np.flatnonzero(labels // size == i) for labels in (dataset.y_train, dataset.y_test)
        )
        train = train[:examples]
        data = (dataset.x_train[train], dataset.y_train[train])
        tasks.append(Task(name, *data, dataset.x_test[test], dataset.y_test[test], active))
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
    n_pixels = dataset.x_train.shape[1]
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
    return Task("all tasks", *map(np.concatenate, (*train, *test)), active)
