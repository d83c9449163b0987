r"""What an optimizer forgets between two tasks: everything, its moments alone, or nothing.

With "moments" Adam's m and v become 0, while its number of steps t runs on. The correction of their
bias then divides by nearly 1, and no longer makes up for averages that began at 0. For a constant
gradient g, k steps after a reset at t, m is :math:`(1-β_1^k) g` and v is :math:`(1-β_2^k) g^2`, so
the step is longer than after a full reset, where it is η, by the factor

.. math:: \frac{1-β_1^k}{\sqrt{1-β_2^k}} \cdot \frac{\sqrt{1-β_2^{t+k}}}{1-β_1^{t+k}} .

For β = (0.9, 0.999) and large t this is 3.2 at k = 1, at most 6.6 (at k = 12), and 3.2 at k = 100.
"""

from typing import Any

from pysi.arguments import item, refuse
from pysi.optim import Optimizer
from pysi.synapses import Synapses

RESETS = ("full", "moments", "none")


def reset_mode(value: Any) -> str:
    """Return a mode of `RESETS`, given by name or as True ("full") or False ("none")."""
    value = item(value)
    if isinstance(value, bool):
        return "full" if value else "none"
    if not isinstance(value, str) or value not in RESETS:
        raise refuse("reset_optimizer", f"True, False or one of {RESETS}", value)
    return value


def reset(optimizer: Optimizer, synapses: Synapses, mode: str) -> None:
    """Let an optimizer forget, before a task, what `mode` says.

    With "full" it begins anew. With "moments" the rows of its state become zero, while its numbers,
    such as Adam's t, run on. With "none" it keeps everything. An optimizer that was not started on
    this table begins anew in any case.
    """
    if mode == "full" or optimizer.synapses is not synapses:
        optimizer.start(synapses)
    elif mode == "moments":
        for name in optimizer.kept:
            if getattr(row := getattr(optimizer, name), "ndim", 0):
                row[...] = 0
