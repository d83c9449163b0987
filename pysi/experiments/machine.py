"""What a result was computed with: versions, processor, threads, memory."""

import platform
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

import pysi
from pysi.backend.compiled import in_use
from pysi.errors import ConfigError, install


def require(module: str, extra: str = "demo") -> Any:
    """Return a library that one of the extras installs, or say how to get it."""
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as err:
        raise ConfigError(
            f"this needs the package {module}, which is not installed: {install(extra)}"
        ) from err


def blas() -> list[dict[str, Any]]:
    """Return the BLAS libraries in use: name, version, kernels' architecture, number of threads."""
    names = ("internal_api", "version", "architecture", "num_threads")
    pools = require("threadpoolctl").threadpool_info()
    return [{n: pool.get(n) for n in names} for pool in pools if pool["user_api"] == "blas"]


def libraries() -> dict[str, Any]:
    """Return what this process has computed with: the BLAS libraries, and Numba's version."""
    return {"blas": blas(), "numba": in_use()}


def version() -> str:
    """Return the version of pysi."""
    return pysi.__version__


def describe(device: str) -> dict[str, Any]:
    """Return versions and machine, as far as they can change a number or a time."""
    found = {
        "pysi": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": require("joblib").cpu_count(),
        "device": device,
    }
    if device == "cupy":
        cupy = sys.modules["cupy"]
        gpu = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        found["cupy"] = cupy.__version__
        found["cuda"] = cupy.cuda.runtime.runtimeGetVersion()
        found["gpu"] = gpu["name"].decode()
    return found


def processor() -> str:
    """Return the processor's name, from Linux's /proc where there is one."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor()


def peak_memory_mb() -> float | None:
    """Return the largest resident memory of this process so far, in MB; None if it is unknown."""
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    except (ImportError, AttributeError):  # Windows; a notebook in a browser, where it is empty
        return None
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)  # else it is in KiB


def free_memory(device: str) -> int | None:
    """Return how many bytes are free on a device; None if that is unknown."""
    if device == "cupy":
        return sys.modules["cupy"].cuda.runtime.memGetInfo()[0]
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) * 1024 for line in file if "MemAvailable" in line)
    except (OSError, StopIteration):
        return None


@contextmanager
def peak_of(device: str) -> Iterator[SimpleNamespace]:
    """Measure the memory that is allocated within this context; yield an object with `bytes`.

    This attribute is set when the context ends. On a GPU it counts what CuPy's memory pool had to
    request.
    """
    found = SimpleNamespace(bytes=None)
    if device == "cupy":
        pool = sys.modules["cupy"].get_default_memory_pool()
        pool.free_all_blocks()
        before = pool.total_bytes()
        yield found
        found.bytes = pool.total_bytes() - before
        return
    tracemalloc.start()
    try:
        yield found
        found.bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
