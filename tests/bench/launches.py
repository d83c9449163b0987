"""How much a device is given to do in a step: launches, kernels and copies, by CUDA's own records.

PyTorch's profiler asks CUPTI, which sees a whole process: the kernels of CuPy and JAX too.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

STEPS = 3


def count(events, steps):
    """Return launches by the host, kernels, and copies per step, from a trace's events.

    A CUDA graph is one launch of many kernels.
    """
    found = Counter()
    for event in events:
        kind, name = event.get("cat"), event.get("name", "")
        if kind in ("cuda_runtime", "cuda_driver") and "launch" in name.lower():
            found["launches"] += 1
        elif kind == "kernel":
            found["kernels"] += 1
        elif kind in ("gpu_memcpy", "gpu_memset"):
            found["copies"] += 1
    return {kind: round(found[kind] / steps, 1) for kind in ("launches", "kernels", "copies")}


def measured(step, batches, wait):
    """Return what `count` says of a few steps or, if they cannot be traced, the reason."""
    try:
        from torch import cuda, profiler

        if not cuda.is_available():
            return {"launches": None, "reason": "PyTorch finds no GPU"}
        wait()
        with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as trace:
            for batch in batches[:STEPS]:
                step(batch)
            wait()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "trace.json")
            trace.export_chrome_trace(str(path))
            found = count(json.loads(path.read_text())["traceEvents"], len(batches[:STEPS]))
    except Exception as err:  # of any library: the times are not to be lost for it
        return {"launches": None, "reason": f"{type(err).__name__}: {err}"}
    if not found["kernels"]:
        return {"launches": None, "reason": "the trace shows no kernels"}
    return found
