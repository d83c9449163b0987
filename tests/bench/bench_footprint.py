"""Import time, start of compiled formulas, and peak memory of `pysi`, and of PyTorch's same job.

PYSI_DATA=DIR python tests/bench/bench_footprint.py --out docs/results/bench-footprint.json
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import quiet
import turns

PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)"
TORCH_JOB = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench_job; bench_job.torch_job("idiomatic", [0], 1)
"""


STEP = """
import time, numpy as np, pysi
x, y = np.zeros((64, 784), np.uint8), np.zeros(64, int)
task = pysi.Task("first", x, y, x[:1], y[:1], np.arange(10) < 2)
began = time.perf_counter()
net = pysi.MLP([784, 256, 256, 10])
pysi.train(net, pysi.Adam(), pysi.SynapticIntelligence(1.0), [task], epochs=1, batch_size=64)
print(time.perf_counter() - began)
"""
NUMPY, COMPILED = {"PYSI_COMPILED": "0"}, {"PYSI_COMPILED": "1"}


def run(code, variables=None):
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, env=os.environ | (variables or {}),
    )  # fmt: skip
    return done.stdout


def import_times(modules, rounds):
    """Return the seconds in which a fresh interpreter starts and imports each module, in turns."""
    took = {module: [] for module in modules}
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # as an installed package is
    for number in range(rounds + 1):
        for module in modules:
            began = time.perf_counter()
            run(f"import {module}", compiled)
            if number:  # the first round compiles
                took[module].append(time.perf_counter() - began)
    return {module: statistics.median(values) for module, values in took.items()}


def first_steps(rounds):
    """Return the seconds of a training of one step, in a process whose first it is."""
    took = {"NumPy alone": [], "with Numba, first process": [], "with Numba, later process": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, variables in zip(took, (NUMPY, COMPILED, COMPILED), strict=True):
                took[name].append(float(run(STEP, variables | {"PYSI_CACHE": cache})))
    return {name: statistics.median(values) for name, values in took.items()}


def job_peak(variables):
    """Return the peak resident memory of the main job in MB: of the parent, and of one worker."""
    from pysi.experiments.result import Result

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        words = f"run split-mnist --seeds 2 --epochs 1 --out {out}".split()
        code = "import contextlib, io, pysi.cli\nwith contextlib.redirect_stdout(io.StringIO()):\n"
        parent = float(run(code + f"    pysi.cli.main({words!r})\n" + PEAK, variables))
        workers = [entry["peak_memory_mb"] for entry in Result.load(out).runs]
    return {"parent": parent, "worker": max(workers)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)

    from pysi.experiments import machine

    result = {
        "benchmark": "import time, and peak memory of split MNIST (2 seeds, c = 0 and 1)",
        "environment": machine.describe("numpy") | {"cores_used": os.cpu_count()},
        "machine": state.record(),
        "import_seconds_with_interpreter": import_times(
            ["sys", "numpy", "pysi", "pysi.cli", "torch"], args.rounds
        ),
        "seconds_of_a_first_step": first_steps(args.rounds),
        "peak_memory_mb": {
            "with Numba": job_peak({}),
            "NumPy alone": job_peak(NUMPY),
            "torch, one process": float(run(TORCH_JOB + PEAK)),
        },
    }
    print(result)
    if args.out:
        turns.write(args.out, result)


if __name__ == "__main__":
    main()
