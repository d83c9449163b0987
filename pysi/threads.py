"""Threads: as many as save time for a network, unless the user has said how many.

A product of small matrices takes longer with two threads than with one. On a machine that others
use as well it takes much longer, because BLAS threads wait for each other by spinning.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from pysi.backend import arrays
from pysi.errors import ConfigError

VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""Environment variables by which users set the number of threads of a BLAS library."""
WORTHWHILE = 2**28
"""Multiplications and additions per step from which on a second BLAS thread saves time."""

_held = False


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wanted() -> int | None:
    """Return how many threads the environment asks for; None if it does not."""
    for name in VARIABLES:
        value = os.environ.get(name, "").partition(",")[0].strip()
        if value:
            if not value.isdigit() or value == "0":
                raise ConfigError(f"{name}: expected a whole number from 1, found {value!r}")
            return int(value)
    return None


def worthwhile(net: Any, batch_size: int) -> int:
    """Return how many threads save time in a step of this network."""
    operations = 2 * batch_size * net.synapses.size * len(net.seeds)
    return cores() if takes_images(net) or operations >= WORTHWHILE else 1


def takes_images(net: Any) -> bool:
    """Return whether a network's examples are divided among threads, instead of its products."""
    return len(net.input_shape) > 1


def limited(count: int) -> Any:
    """Return a context in which the BLAS library uses this many threads.

    That needs threadpoolctl, which the extra ``demo`` brings; without it nothing changes.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(count, user_api="blas")


@contextmanager
def using(count: int, *, images: bool = False) -> Iterator[None]:
    """Use this many threads: of the BLAS library or, with one BLAS thread each, for images."""
    global _held
    before, _held = _held, True
    try:
        with limited(1 if images else count), arrays.threads(count if images else 1):
            yield
    finally:
        _held = before


def stay(count: int) -> None:
    """Let the BLAS library use this many threads from now on, whatever is trained."""
    global _held
    _held = True
    limited(count)


def computing(net: Any, batch_size: int, count: int | None = None) -> Any:
    """Return the context in which a network is trained, with `count` threads.

    Without a count, the number that `using` or `stay` has set is kept. If there is none, the
    environment's variables decide, and else `worthwhile`.
    """
    if (count is None and _held) or net.synapses.xp is not np:
        return nullcontext()
    count = count or wanted() or worthwhile(net, batch_size)
    return using(count, images=takes_images(net))
