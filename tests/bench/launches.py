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
        import torch

        if not torch.cuda.is_available():
            return {"launches": None, "reason": "PyTorch finds no GPU"}
        torch.ones(1, device="cuda")  # so that PyTorch knows the device's context
        trace(step, batches[:1], wait)  # CUPTI begins, and may miss what comes at once
        found = count(trace(step, batches[:STEPS], wait), STEPS)
    except Exception as err:  # of any library: the times are not to be lost for it
        return {"launches": None, "reason": f"{type(err).__name__}: {err}"}
    return found if found["kernels"] else {"launches": None, "reason": "no kernels in the trace"}


def trace(step, batches, wait):
    """Return the events of these steps."""
    from torch.profiler import ProfilerActivity, profile

    wait()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for batch in batches:
            step(batch)
        wait()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        found.export_chrome_trace(str(path))
        return json.loads(path.read_text())["traceEvents"]
