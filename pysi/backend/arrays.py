"""NumPy or CuPy: one code path for both, taken from the arrays that are at hand.

Every function of the package that computes asks `namespace(array)` for the module that the array
belongs to and calls that module's functions. What a GPU wants otherwise is in `elementwise` (a
formula in one go) and `matmul` (products without copies).
"""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

import numpy as np

from pysi.errors import ConfigError, install

CPU_BLOCK = 131_072
"""Synapses per block on a CPU: what an update touches of that many (5 MB) stays in the cache."""

CPU_IMAGES = 4
"""Images that a CPU takes through all convolutions at once: a layer of them fits in the cache."""


MODULES = {}
"""The array module of every type of array that was seen."""


def namespace(array):
    """The module whose functions work on `array`: `numpy`, `cupy`, or one with their interface."""
    kind = type(array)
    module = MODULES.get(kind)
    if module is None:
        module = MODULES[kind] = sys.modules[kind.__module__.partition(".")[0]]
    return module


def device_namespace(device):
    """The array module of a device named on the command line.

    Parameters
    ----------
    device : {"numpy", "cupy"}

    Raises
    ------
    ConfigError
        Unknown name, CuPy not installed, or no usable GPU.
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
            "(or gpu-cuda12, after your driver's CUDA version)"
        ) from err
    try:
        xp.cuda.runtime.getDeviceCount()
    except xp.cuda.runtime.CUDARuntimeError as err:
        raise ConfigError(
            f"device 'cupy' found no usable GPU ({err}): "
            "install the driver of an NVIDIA GPU, or use device 'numpy'"
        ) from err
    return xp


def to_host(array):
    """A NumPy array with the contents of `array`, copied from its device if it lives on one."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def to_device(array, xp, moved=None):
    """An array on the device of `xp`; None stays None.

    `moved` is a dict that remembers what has been copied: what is moved with the same one goes on
    being shared.
    """
    if array is None or xp is np:
        return array
    moved = {} if moved is None else moved
    if id(array) not in moved:
        moved[id(array)] = array, xp.asarray(array)  # held, so that its id stays its own
    return moved[id(array)][1]


def stream(seed, *key, xp=np):
    """A random generator of `xp` that depends on `seed` and `key` alone.

    Initialisation, shuffling and dropout each have their own stream, named by a key such as
    ("shuffle", task, epoch), so no result depends on how many numbers something else has drawn.

    Parameters
    ----------
    seed : int
        Non-negative.
    *key : int or str
        Words are spelled out as the numbers of their bytes.
    """
    words = [seed]
    for part in key:
        words.append(int.from_bytes(part.encode(), "big") if isinstance(part, str) else part)
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return xp.random.default_rng(int(state))


class Ranges:
    """The columns of a row, in ranges that are updated in turn: what one needs is in the cache.

    Parameters
    ----------
    size : int
        Columns of a row.
    networks : int
        Rows that lie side by side.
    xp : module
        A GPU takes all columns at once.
    largest : int, optional
        Columns in a range at most.

    Raises
    ------
    ConfigError
        A largest range that is no whole number from 1.
    """

    def __init__(self, size, networks, xp, largest=None):
        most = max(1, CPU_BLOCK // networks) if largest is None else largest
        if most != int(most) or most < 1:
            raise ConfigError(f"block_size: expected a whole number from 1, found {largest}")
        width = -(-size // -(-size // int(most))) if xp is np else size
        self.size = size
        self.ranges = [slice(i, min(i + width, size)) for i in range(0, size, width)]

    def __call__(self, array):
        """The ranges of a row; of anything else the whole, as many times."""
        if array.shape[-1:] != (self.size,) or len(self.ranges) == 1:
            return [array] * len(self.ranges)
        return [array[..., part] for part in self.ranges]


_pool = None


@contextmanager
def threads(count):
    """Within this context, `share_out` uses this many threads.

    The BLAS library should then use one thread: what is shared out is above it.
    """
    global _pool
    before = _pool
    with ThreadPoolExecutor(count) as pool:
        _pool = pool if count > 1 else None
        try:
            yield
        finally:
            _pool = before


def share_out(work, count):
    """Call work(0), …, work(count - 1), in the threads of the `threads` context if there is one."""
    if _pool is None:
        for i in range(count):
            work(i)
        return
    # with the caller's context: NumPy keeps there what to do about an overflow
    for done in [_pool.submit(copy_context().run, work, i) for i in range(count)]:
        done.result()
