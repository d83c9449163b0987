"""The state of a run: everything that must be kept so that it can be stopped and go on.

Random numbers are not part of it: they are functions of (seed, purpose, task, epoch).
"""

from pysi.backend import to_host
from pysi.synapses import SAVED


def state(net, optimizer, rule, history):
    """All that a run consists of, as arrays on the host by name."""
    s = net.synapses
    found = {f"synapses.{row}": getattr(s, row) for row in SAVED}
    found |= {f"optimizer.{name}": getattr(optimizer, name) for name in optimizer.kept}
    found |= {f"rule.{name}": getattr(rule, name) for name in rule.kept}
    found |= {"test_accuracy": history.test_accuracy, "train_accuracy": history.train_accuracy}
    return {name: to_host(value) for name, value in found.items()}


def restore(arrays, net, optimizer, rule, history):
    """Put a `state` back in place; everything must have been started on the same kind of table."""
    xp = net.synapses.xp
    for row in SAVED:
        getattr(net.synapses, row)[...] = xp.asarray(arrays[f"synapses.{row}"])
    for kind, owner in (("optimizer", optimizer), ("rule", rule)):
        for name in owner.kept:
            if f"{kind}.{name}" not in arrays:  # task 1 was trained with another rule
                continue
            value, held = arrays[f"{kind}.{name}"], getattr(owner, name)
            if hasattr(held, "shape"):
                held[...] = xp.asarray(value)
            else:
                setattr(owner, name, value.item())
    for part in ("test_accuracy", "train_accuracy"):
        saved = arrays[part]  # of fewer tasks, where several runs go on from the same task 1
        getattr(history, part)[..., : saved.shape[-2], : saved.shape[-1]] = saved
    rule.refresh()
