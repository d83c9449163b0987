"""The state of a run: everything that must be kept so that the run can stop and go on later.

Random numbers are not part of it: they are functions of (seed, purpose, task, epoch).
"""

from typing import Any

import numpy as np

from pysi.backend import to_host
from pysi.errors import ConfigError, DataError
from pysi.storage.tables import SAVED
from pysi.typing import Array

ACCURACIES = ("test_accuracy", "train_accuracy")


def state(run: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the state of a `pysi.training.Run`: arrays on the host, and its progress.

    The arrays have names; the progress is a dict of plain values.
    """
    s, history = run.net.synapses, run.history
    arrays = {f"synapses.{row}": getattr(s, row) for row in SAVED}
    for kind, owner in owners(run):
        arrays[kind] = np.array(type(owner).__name__)
        arrays |= {f"{kind}.{name}": getattr(owner, name) for name in owner.kept}
    arrays |= {part: getattr(history, part) for part in ACCURACIES}
    task, epoch = run.position
    progress = {
        "task": task - 1,
        "epoch": epoch - 1,
        "learned": run.net.learned,
        "epochs": history.epochs,
        "consolidation": history.consolidation,
    }
    return {name: to_host(value) for name, value in arrays.items()}, progress


def owners(run: Any) -> tuple[tuple[str, Any], ...]:
    """Return the objects that remember something beside the table, with a name for each."""
    return ("optimizer", run.optimizer), ("rule", run.rule)


def restore(
    arrays: dict[str, Array], progress: dict[str, Any], run: Any, source: str = "checkpoint"
) -> None:
    """Put a `state` into a run of the same kind that has not begun.

    Nothing is changed unless all of it fits. `source` names the state in messages.

    Raises
    ------
    ConfigError
        The state was made by another optimizer, or lacks what this one remembers. (The rule may be
        another one: several runs go on from the same first task.)
    DataError
        An array or a number does not fit the run.
    """
    net, history = run.net, run.history
    xp = net.synapses.xp
    expected = {f"synapses.{row}": getattr(net.synapses, row) for row in SAVED}
    remembered = []
    for kind, owner in owners(run):
        made = str(arrays.get(kind, "none"))
        same = made == type(owner).__name__
        missing = [name for name in owner.kept if f"{kind}.{name}" not in arrays]
        if (kind == "optimizer" and not same) or (same and missing):
            raise ConfigError(
                f"{source}: expected the state of {kind} {type(owner).__name__} "
                f"({', '.join(owner.kept) or 'none'}), found that of {made}, without {missing}"
            )
        if same:
            remembered += [(owner, name, f"{kind}.{name}") for name in owner.kept]
    expected |= {key: getattr(owner, name) for owner, name, key in remembered}
    for key, held in expected.items():
        shape = np.shape(arrays.get(key, ())), np.shape(held)
        if key not in arrays or shape[0] != shape[1] or arrays[key].dtype.kind not in "fiub":
            raise DataError(f"{source}: expected {key} of shape {shape[1]}, found {shape[0]}")
    check_progress(arrays, progress, run, source)
    for key, held in expected.items():
        if hasattr(held, "shape"):
            held[...] = xp.asarray(arrays[key])
    for owner, name, key in remembered:
        if not hasattr(getattr(owner, name), "shape"):
            setattr(owner, name, arrays[key].item())
    for part in ACCURACIES:
        saved = arrays[part]  # it has fewer tasks if several runs go on from one task 1
        getattr(history, part)[..., : saved.shape[-2], : saved.shape[-1]] = saved
    history.epochs += progress["epochs"]
    history.consolidation += progress["consolidation"]
    net.learned, run.position = progress["learned"], (progress["task"] + 1, progress["epoch"] + 1)
    run.rule.refresh()


def check_progress(
    arrays: dict[str, Array], progress: dict[str, Any], run: Any, source: str
) -> None:
    """Raise a DataError if the progress is not one that this run can have."""
    whole = [progress.get(name) for name in ("task", "epoch", "learned")]
    lists = [progress.get(name) for name in ("epochs", "consolidation")]
    shapes = [np.shape(arrays.get(part, ())) for part in ACCURACIES]
    largest = run.history.test_accuracy.shape
    if (
        not all(type(n) is int and n >= 0 for n in whole)
        or not all(isinstance(one, list) for one in lists)
        or not all(len(s) == len(largest) and np.less_equal(s, largest).all() for s in shapes)
    ):
        raise DataError(f"{source}: expected the progress of this run, found {whole}, {shapes}")
