"""What an optimizer forgets between two tasks: everything, its moments alone, or nothing."""

from typing import Any

from pysi.arguments import refuse
from pysi.optim import Optimizer
from pysi.synapses import Synapses

RESETS = ("full", "moments", "none")


def reset_mode(value: Any) -> str:
    """Return a mode for a mode, or for True ("full") or False ("none"); a ConfigError otherwise."""
    mode = {True: "full", False: "none"}.get(value, value) if isinstance(value, bool) else value
    if mode not in RESETS:
        raise refuse("reset_optimizer", f"True, False or one of {RESETS}", value)
    return mode


def reset(optimizer: Optimizer, synapses: Synapses, mode: str) -> None:
    """Let an optimizer forget its state, before a task other than the first.

    With "full" it begins anew. With "moments" the rows of its state become zero, while its numbers
    run on. Adam's t is such a number: without the correction of its bias, the first steps of the
    next task are up to 6.6 times as long as after a full reset. With "none" it keeps everything.
    """
    if mode == "full" or optimizer.synapses is not synapses:
        optimizer.start(synapses)
    elif mode == "moments":
        for name in optimizer.kept:
            if hasattr(row := getattr(optimizer, name), "shape"):
                row[...] = 0
