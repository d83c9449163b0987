"""Tasks: what is learned one after the other.

A task is a set of labelled examples and the classes that it is about. The readout has one unit per
class of the whole sequence; only those of the task's own (active) classes take part in the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pysi.arguments import instance, whole
from pysi.backend import stream, to_device
from pysi.errors import ConfigError
from pysi.inputs import as_labels, check_task, classes_of
from pysi.losses import Loss, softmax_cross_entropy
from pysi.typing import Array, Device


@dataclass(frozen=True)
class Task:
    """One task. Inputs and targets that do not fit each other, or the loss, are a ConfigError.

    Attributes
    ----------
    name : str
        For tables and figures, such as "0 or 1".
    x_train, x_test : array, (N, ...)
        Inputs. Unsigned bytes are pixels: the network divides them by 255.
    y_train, y_test : array, (N, ...)
        Targets. For the default loss they are labels: numbers of readout units.
    active : array of bool, (classes of the whole sequence,)
        True for the classes of this task.
    pixels : array of int, optional
        Order in which the features, or the pixels of an image, are shown. Thus permuted tasks can
        share their data.
    loss : Loss
        What is minimised, and how a task is scored.
    cumulative : bool
        Whether it is tested among the active classes of the task that was learned last, instead of
        its own; see `pysi.scenarios`.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    active: Array
    pixels: Array | None = None
    loss: Loss = softmax_cross_entropy
    cumulative: bool = False

    def __post_init__(self) -> None:
        instance(f"task {self.name!r}: loss", self.loss, Loss)
        check_task(self)
        for part in ("train", "test"):
            self.loss.check(f"task {self.name!r}: {part}", getattr(self, f"y_{part}"), self.active)

    def __repr__(self):
        return f"Task({self.name!r}, {len(self.y_train)} + {len(self.y_test)} examples)"

    @property
    def chance(self) -> float:
        """Accuracy of guessing: one over the number of active classes."""
        return 1 / self.active.sum().item()

    def part(self, name: str) -> tuple[Array, Array]:
        """Return the inputs as the network sees them, and the targets, of "train" or "test"."""
        x, y = getattr(self, f"x_{name}"), getattr(self, f"y_{name}")
        if self.pixels is None:
            return x, y
        flat = x if x.ndim == 2 else x.reshape(len(x), -1, *x.shape[3:])
        return flat.take(self.pixels, axis=1).reshape(x.shape), y  # each example in one piece

    def to(self, xp: Device, moved: dict[int, Any] | None = None) -> "Task":
        """Return the task on the device of `xp`. Tasks moved with one dict still share arrays."""
        names = ("x_train", "y_train", "x_test", "y_test", "active", "pixels")
        arrays = {name: getattr(self, name) for name in names}
        arrays |= {name: as_labels(arrays[name]) for name in ("y_train", "y_test")}
        return replace(self, **{name: to_device(a, xp, moved) for name, a in arrays.items()})


def split_tasks(dataset: Any, n_tasks: int | Sequence[int] = 5) -> list[Task]:
    """Split a data set into tasks of consecutive classes: for MNIST 0|1, 2|3, 4|5, 6|7, 8|9.

    Parameters
    ----------
    dataset : pysi.data.Dataset
    n_tasks : int or sequence of int
        The number of tasks, which must divide the number of classes; or the number of classes of
        each task, such as (2, 3, 5), in total at most all. Anything else is a ConfigError.

    Source: Zenke, Poole & Ganguli (2017), Section 5.1.
    """
    n_classes, sizes = classes_of(dataset), n_tasks
    if not isinstance(sizes, Sequence | np.ndarray) or isinstance(sizes, str):
        if n_classes % (count := whole("tasks", sizes)):
            classes = f"the {n_classes} classes of {dataset.name!r}"
            raise ConfigError(f"tasks: expected a number that divides {classes}, found {count}")
        sizes = [n_classes // count] * count
    ends = np.cumsum([0, *sizes]).tolist()
    names = [" or ".join(map(str, range(*map(int, ends[i : i + 2])))) for i in range(len(sizes))]
    return consecutive_tasks(dataset, names, sizes)


def consecutive_tasks(
    dataset: Any, names: Sequence[str], sizes: Sequence[int], *, examples: int | None = None
) -> list[Task]:
    """Return one task per name, with the next sizes[i] classes and at most `examples` to learn."""
    if examples is not None:
        whole("examples", examples)
    if not 1 <= sum(whole("tasks", n) for n in sizes) <= dataset.n_classes:
        most = f"together at most the {dataset.n_classes} of {dataset.name!r}"
        raise ConfigError(f"tasks: expected at least one class per task, {most}, found {sizes}")
    tasks, of_task = [], np.repeat(np.arange(len(sizes)), sizes)
    for i, name in enumerate(names):
        first, last = np.flatnonzero(of_task == i)[[0, -1]]
        data: dict[str, Any] = {}
        for part in ("train", "test"):
            x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
            own = np.flatnonzero((first <= y) & (y <= last))
            own = own[:examples] if part == "train" else own
            data |= {f"x_{part}": x[own], f"y_{part}": y[own]}
        tasks.append(Task(name, **data, active=of_task == i))
    return tasks


def permuted_tasks(dataset: Any, n_tasks: int = 10, *, seed: int = 0) -> list[Task]:
    """Return tasks with the same images and classes, each with the pixels in another order.

    Parameters
    ----------
    dataset : pysi.data.Dataset
    n_tasks, seed : int
        The first task shows the pixels as they are, every other one in a random order that depends
        on the seed. The channels of a pixel stay together.

    Source: Goodfellow et al. (2013); Zenke, Poole & Ganguli (2017), Section 5.2.
    """
    active, n_tasks = np.ones(classes_of(dataset), bool), whole("tasks", n_tasks)
    n_pixels = int(np.prod(dataset.x_train.shape[1:3]))
    data = (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
    tasks = [Task("original", *data, active)]
    for i in range(1, n_tasks):
        order = stream(seed, "pixels", i).permutation(n_pixels)
        tasks.append(Task(f"permutation {i}", *data, active, order))
    return tasks
