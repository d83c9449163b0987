"""Checks of data: inputs, targets, masks and accuracies."""

import warnings
from typing import Any

import numpy as np

from pysi.arguments import refuse
from pysi.errors import ConfigError

DARK = 64
"""If all bytes are below this number, they are probably not pixels, which go up to 255."""


def is_array(value: Any) -> bool:
    """Return whether this is an array of NumPy or a device; tables of other libraries are not."""
    return all(hasattr(value, name) for name in ("dtype", "shape", "strides"))


def check_array(where: str, x: Any, expected: str, kinds: str) -> None:
    """Raise a ConfigError unless x is an array whose dtype is of one of NumPy's `kinds`."""
    if not is_array(x):
        found = f"found {type(x).__module__.partition('.')[0]}.{type(x).__name__}"
        raise ConfigError(f"{where}: expected an array of {expected}, {found}; use numpy.asarray")
    if x.dtype.kind not in kinds or (x.dtype.kind == "u" and "i" not in kinds and x.itemsize > 1):
        raise ConfigError(f"{where}: expected an array of {expected}, found one of {x.dtype}")


def check_inputs(where: str, x: Any) -> None:
    """Raise a ConfigError unless x is an array of floats, or of pixels as bytes."""
    check_array(where, x, "floats, or unsigned bytes (pixels from 0 to 255)", "fu")


def check_values(where: str, x: Any, dtype: Any) -> int:
    """Return the highest byte, or 0 for floats; raise a ConfigError if some are not finite."""
    if x.dtype.kind == "f":
        wider = x.dtype.itemsize > dtype.itemsize  # too large for the network's type
        finite = abs(x) <= np.finfo(dtype).max if wider else np.isfinite(x)
        bad = ~finite.reshape(len(x), -1).all(axis=-1)
        if bad.any():
            first = int(bad.argmax())
            count = f"{int(bad.sum())} of {len(x)} examples"
            raise ConfigError(f"{where}: expected finite numbers, found others in {count}, "
                              f"the first in example {first}; leave them out")  # fmt: skip
    return int(x.max()) if x.dtype.kind == "u" else 0


def check_pixels(highest: int) -> None:
    """Warn if the highest byte that a network is given is too low for pixels."""
    if 1 < highest < DARK:
        warnings.warn(
            "inputs: unsigned bytes are pixels from 0 to 255, which a network divides by 255; the "
            f"highest here is {highest}. If yours go up to {highest}, give floats: x / {highest}",
            stacklevel=5,
        )


def check_task(task: Any) -> None:
    """Raise a ConfigError unless the inputs and targets of a `pysi.Task` fit each other."""
    check_active(f"task {task.name!r}: active", task.active, np.shape(task.active)[:1])
    for part in ("train", "test"):
        x, y = getattr(task, f"x_{part}"), getattr(task, f"y_{part}")
        where = f"task {task.name!r}: {part}"
        check_inputs(f"{where} inputs", x)
        if is_array(y) and y.ndim and not len(x) == len(y) != 0:
            found = f"found {len(x)} inputs and {len(y)} labels"
            raise ConfigError(f"{where}: expected as many labels as inputs, at least one, {found}")


def check_active(where: str, active: Any, shape: tuple[int, ...]) -> None:
    """Raise a ConfigError unless this is a mask: one bool per class, at least one of them True."""
    if active is True:
        return
    check_array(where, active, "bool, one per class", "b")
    if active.shape != shape or not shape or not active.any():
        found = f"found shape {active.shape} with {int(active.sum())} True"
        raise ConfigError(f"{where}: expected a mask of shape {shape}, at least one True, {found}")


def check_labels(where: str, labels: Any, active: Any) -> None:
    """Raise a ConfigError unless these are numbers of active classes, one per example."""
    check_array(where, labels, "whole numbers as labels (N,)", "iu")
    if labels.ndim != 1:
        columns = labels.shape[-1] > 1
        remedy = "y.argmax(axis=1) makes labels of one-hot rows" if columns else "use y[:, 0]"
        found = f"found shape {labels.shape}; {remedy}"
        raise ConfigError(f"{where}: expected whole numbers as labels (N,), {found}")
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= len(active) or not active[labels].all().item():
        units = [i for i in range(len(active)) if active[i].item()]
        task, found = f"the task's readout units {units}", f"labels from {low} to {high}"
        raise ConfigError(f"{where}: expected labels in {task} of {len(active)}, found {found}")


def as_labels(targets: Any) -> Any:
    """Return whole numbers as int64, the only integer type that formulas on a device know."""
    return targets.astype(np.int64, copy=False) if targets.dtype.kind in "iu" else targets


def check_targets(where: str, targets: Any, active: Any) -> None:
    """Raise a ConfigError unless these are floats, one per example and output."""
    check_array(where, targets, f"floats (N, {len(active)})", "f")
    if targets.shape[1:] != active.shape:
        found = f"found shape {targets.shape}"
        raise ConfigError(f"{where}: expected floats (N, {len(active)}), {found}")


def square(accuracy: Any) -> Any:
    """Return an accuracy matrix as an array; raise a ConfigError if it is not square."""
    accuracy = np.asarray(accuracy, dtype=float)
    if accuracy.ndim < 2 or accuracy.shape[-1] != accuracy.shape[-2] or not accuracy.shape[-1]:
        found = f"found shape {accuracy.shape}; test the tasks that were learned"
        raise ConfigError(f"accuracy: expected a square matrix [after task, on task], {found}")
    return accuracy


def classes_of(dataset: Any) -> int:
    """Return the number of classes of a data set."""
    if not hasattr(dataset, "n_classes"):
        raise refuse("dataset", "a data set, as load_dataset returns it", dataset)
    return int(dataset.n_classes)
