"""NumPy or CuPy: one code path for both, which follows from the arrays themselves.

Every function of the package that computes asks `namespace(array)` for the module that the array
belongs to and calls that module's functions. What must be done in another way on a GPU is in
`elementwise` (a formula in one go) and `matmul` (products without copies).
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from typing import Any

import numpy as np

from pysi.arguments import is_whole
from pysi.errors import ConfigError, install
from pysi.typing import Array, Device

CPU_BLOCK = 131_072
"""Synapses per block on a CPU: an update of one block touches 5 MB, which stays in the cache."""

CPU_IMAGES = 4
"""Images that a CPU takes through all convolutions at once: one layer's output for them fits in
the cache."""

MODULES: dict[type, Device] = {}
"""The array module of every type of array that has been seen."""


def namespace(array: Array) -> Device:
    """Return the module whose functions work on `array`: `numpy`, `cupy`, or one like them."""
    cls = type(array)
    module = MODULES.get(cls)
    if module is None:
        module = MODULES[cls] = sys.modules[cls.__module__.partition(".")[0]]
    return module


def overlap(one: Array, other: Array) -> bool:
    """Return whether two arrays may share memory, as an array does with itself."""
    if one is other:
        return True
    first, second = one.base, other.base
    if first is None and second is None:
        return False
    if (one if first is None else first) is not (other if second is None else second):
        return False
    return namespace(one).may_share_memory(one, other)


def device_namespace(device: str) -> Device:
    """Return the array module of a device named on the command line.

    Parameters
    ----------
    device : {"numpy", "cupy"}

    Raises
    ------
    ConfigError
        The name is unknown, CuPy is not installed, or there is no usable GPU.
    """
    if device == "numpy":
        return np
    if device != "cupy":
        raise ConfigError(f"device: expected 'numpy' or 'cupy', found {device!r}")
    try:
        xp = importlib.import_module("cupy")
    except ImportError as err:
        raise ConfigError(
            f"device 'cupy' needs CuPy, which is not installed: {install('gpu-cuda13')} "
            "(or gpu-cuda12, depending on your driver's CUDA version)"
        ) from err
    try:
        xp.cuda.runtime.getDeviceCount()
    except xp.cuda.runtime.CUDARuntimeError as err:
        raise ConfigError(
            f"device 'cupy' found no usable GPU ({err}): "
            "install the driver of an NVIDIA GPU, or use device 'numpy'"
        ) from err
    return xp


def to_host(array: Array) -> Array:
    """Return `array` as a NumPy array, copied from its device if it lives on one."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def to_device(array: Array | None, xp: Device, moved: dict | None = None) -> Any:
    """Return an array on the device of `xp`; None stays None.

    The dict `moved` remembers what has been copied: an array that is moved twice with the same dict
    is copied once, and stays shared.
    """
    if array is None or xp is np:
        return array
    moved = {} if moved is None else moved
    if id(array) not in moved:
        moved[id(array)] = array, xp.asarray(array)  # kept, so that no other array gets its id
    return moved[id(array)][1]


def stream(seed: int, *key: int | str, xp: Device = np) -> np.random.Generator:
    """Return a random generator of `xp` that depends on `seed` and `key` alone.

    Initialisation, shuffling and dropout each have their own stream, named by a key such as
    ("shuffle", task, epoch). So no result depends on how many numbers something else has drawn.

    Parameters
    ----------
    seed : int
        Non-negative.
    *key : int or str
        A word stands for the number that its bytes spell.
    """
    words = [seed]
    for part in key:
        words.append(int.from_bytes(part.encode(), "big") if isinstance(part, str) else part)
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return xp.random.default_rng(int(state))


class Ranges:
    """The columns of a row, in ranges that are updated in turn and that fit in the cache.

    Parameters
    ----------
    size : int
        Columns of a row.
    networks : int
        How many rows lie side by side.
    xp : module
        A GPU takes all columns at once.
    largest : int, optional
        The most columns that a range may have.
    part : slice, optional
        The columns that are updated at all, from start to stop; by default, all.

    Raises
    ------
    ConfigError
        `largest` is not a whole number from 1, or `part` names no columns of the row.
    """

    def __init__(
        self, size: int, networks: int, xp: Device, largest: int | None = None,
        part: slice | None = None,
    ) -> None:  # fmt: skip
        most = max(1, CPU_BLOCK // networks) if largest is None else largest
        if not is_whole(most):
            raise ConfigError(f"block_size: expected a whole number from 1, found {largest!r}")
        first, end = (0, size) if part is None else self.ends(part, size)
        n = end - first
        width = -(-n // -(-n // int(most))) if xp is np else n
        self.size, self.part = size, part
        self.ranges = [slice(i, min(i + width, end)) for i in range(first, end, width)]

    @staticmethod
    def ends(part: Any, size: int) -> tuple[int, int]:
        """Return where a slice of at least one column starts and stops."""
        if (
            not isinstance(part, slice)
            or part.step not in (None, 1)
            or not (is_whole(part.start, 0) and is_whole(part.stop, part.start + 1))
            or part.stop > size
        ):
            expected = f"a slice from start to stop, within 0 to {size}"
            raise ConfigError(f"columns: expected {expected}, found {part!r}")
        return int(part.start), int(part.stop)

    def __call__(self, array: Array) -> list[Array]:
        """Return the ranges of a row; for any other array, the whole array once per range."""
        if array.shape[-1:] != (self.size,) or len(self.ranges) == 1:
            return [self.whole(array)] * len(self.ranges)
        return [array[..., part] for part in self.ranges]

    def whole(self, array: Array) -> Array:
        """Return the columns of a row that are updated; return any other array as it is."""
        if self.part is None or array.shape[-1:] != (self.size,):
            return array
        return array[..., self.part]


_pools: dict[object, Any] = {}
"""The pool of each open `threads` context, in the order in which they were entered."""


def threads(count: int) -> AbstractContextManager[None]:
    """Return a context within which `share_out` uses this many threads.

    The BLAS library should then use one thread, since `share_out` already keeps the cores busy. Of
    several open contexts the one entered last counts, in whatever order they are closed.

    Raises
    ------
    ConfigError
        `count` is not a whole number from 1.
    """
    if not is_whole(count):
        raise ConfigError(f"threads: expected a whole number from 1, found {count!r}")
    return _threads(int(count))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    from concurrent.futures import ThreadPoolExecutor  # it imports `logging`, which takes a while

    opened = object()
    with ThreadPoolExecutor(count) as pool:
        _pools[opened] = pool if count > 1 else None
        try:
            yield
        finally:
            del _pools[opened]


def share_out(work: Callable[[int], object], count: int) -> None:
    """Call work(0), …, work(count - 1), in the threads of the `threads` context if there is one."""
    pool = list(_pools.values())[-1] if _pools else None
    if pool is None:
        for i in range(count):
            work(i)
        return
    # in the caller's context, where NumPy keeps its error settings, such as those for overflow
    for done in [pool.submit(copy_context().run, work, i) for i in range(count)]:
        done.result()
