"""The state of a run: everything that must be kept so that it can be stopped and go on.

Random numbers are not part of it: they are functions of (seed, purpose, task, epoch).
"""

import numpy as np

from pysi.backend import to_host
from pysi.errors import ConfigError
from pysi.storage.tables import SAVED


def state(run):
    """All that a run consists of, as arrays on the host by name, and its progress: plain values."""
    s, history = run.net.synapses, run.history
    arrays = {f"synapses.{row}": getattr(s, row) for row in SAVED}
    for kind, owner in owners(run):
        arrays[kind] = np.array(type(owner).__name__)
        arrays |= {f"{kind}.{name}": getattr(owner, name) for name in owner.kept}
    arrays |= {"test_accuracy": history.test_accuracy, "train_accuracy": history.train_accuracy}
    task, epoch = run.position
    progress = {
        "task": task - 1,
        "epoch": epoch - 1,
        "learned": run.net.learned,
        "epochs": history.epochs,
        "consolidation": history.consolidation,
    }
    return {name: to_host(value) for name, value in arrays.items()}, progress


def owners(run):
    """Who, beside the table, remembers something."""
    return ("optimizer", run.optimizer), ("rule", run.rule)


def restore(arrays, progress, run):
    """Put a `state` back in place, in a run of the same kind that has not begun.

    Raises
    ------
    ConfigError
        The state was made by another optimizer, or lacks what this one remembers. (The rule may be
        another one: several runs go on from the same first task.)
    """
    net, history = run.net, run.history
    xp = net.synapses.xp
    for kind, owner in owners(run):
        made = str(arrays.get(kind, "none"))
        same = made == type(owner).__name__
        missing = [name for name in owner.kept if f"{kind}.{name}" not in arrays]
        if (kind == "optimizer" and not same) or (same and missing):
            raise ConfigError(
                f"checkpoint: expected the state of {kind} {type(owner).__name__} "
                f"({', '.join(owner.kept) or 'none'}), found that of {made}, without {missing}"
            )
    for row in SAVED:
        getattr(net.synapses, row)[...] = xp.asarray(arrays[f"synapses.{row}"])
    for kind, owner in owners(run):
        if str(arrays[kind]) != type(owner).__name__:
            continue
        for name in owner.kept:
            value, held = arrays[f"{kind}.{name}"], getattr(owner, name)
            if hasattr(held, "shape"):
                held[...] = xp.asarray(value)
            else:
                setattr(owner, name, value.item())
    for part in ("test_accuracy", "train_accuracy"):
        saved = arrays[part]  # of fewer tasks, where several runs go on from the same task 1
        getattr(history, part)[..., : saved.shape[-2], : saved.shape[-1]] = saved
    history.epochs += progress["epochs"]
    history.consolidation += progress["consolidation"]
    net.learned, run.position = progress["learned"], (progress["task"] + 1, progress["epoch"] + 1)
    run.rule.refresh()
