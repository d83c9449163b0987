"""Only a quiet machine is measured on, and every result says how the machine was.

A benchmark calls `options` with its parser, and `check` before it measures::

    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)
    ...
    result = {..., "machine": state.record()}

The load average decays over minutes, so it also tells of work that has just ended, one's own
included. The clock of a virtual machine cannot be seen; two fixed computations are timed instead,
in a process of their own (this file as a program), so that they leave no memory and no threads.
"""

import json
import os
import subprocess
import sys
import time

LOAD = 0.3
"""The largest load average of the last minute."""
CORES = 0.1
"""How many cores may be at work, at most, while this process sleeps."""
VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What would replace OpenBLAS' own choice of kernels and blocks."""
FLAGS = ("avx2", "avx512f")
MATRIX, COPIED, REPEATS = 1024, 1 << 24, 5


def lines(path):
    """Return the lines of one of Linux's files, or none elsewhere."""
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []


def load():
    """Return the load average of the last minute; None where there is none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def core_seconds():
    """Return the time that all cores together have been at work; None where that is unknown."""
    ticks = next((line.split()[1:9] for line in lines("/proc/stat") if line.startswith("cpu ")), [])
    user, nice, system, _idle, _disk, *others = map(int, ticks or [0] * 5)
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK") if ticks else None


def cores_at_work(seconds=1.0):
    """Return how many cores were at work while this process slept; None where that is unknown."""
    before, began = core_seconds(), time.perf_counter()
    if before is None:
        return None
    time.sleep(seconds)
    return (core_seconds() - before) / (time.perf_counter() - began)


def megahertz():
    """Return the mean frequency that the processor reports; None where it does not."""
    found = [float(line.split(":")[1]) for line in lines("/proc/cpuinfo") if "cpu MHz" in line]
    return sum(found) / len(found) if found else None


def flags():
    """Return which of `FLAGS` the processor has; None where that is unknown."""
    found = [line.split() for line in lines("/proc/cpuinfo") if line.startswith("flags")]
    return [flag for flag in FLAGS if flag in found[0]] if found else None


def speed():
    """Return the rate of a fixed matrix product and of a fixed copy, each the best of a few."""
    import numpy as np

    a, source = np.ones((MATRIX, MATRIX), np.float32), np.ones(COPIED, np.float32)
    product, target = np.empty_like(a), np.empty_like(source)

    def best(work):
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return min(times)

    return {
        "gflop_per_s": 2 * MATRIX**3 / best(lambda: np.matmul(a, a, out=product)) / 1e9,
        "gb_per_s": 2 * source.nbytes / best(lambda: np.copyto(target, source)) / 1e9,
    }


def timed():
    """Return `speed()` of another process."""
    found = subprocess.run([sys.executable, __file__], check=True, capture_output=True)
    return json.loads(found.stdout)


def problems(working):
    """Return what speaks against measuring now, as sentences; `working` cores are at work."""
    found, now = [], load()
    if now is not None and now >= LOAD:
        found.append(f"load average: expected less than {LOAD}, found {now:.2f}")
    if working is not None and working >= CORES:
        found.append(f"cores at work: expected less than {CORES}, found {working:.2f}")
    for name in VARIABLES:
        if os.environ.get(name):
            expected = "expected OpenBLAS' own choice"
            found.append(f"{name}: {expected}, found {os.environ[name]!r}; unset it")
    return found


class State:
    """How the machine is, from the beginning of a benchmark to its end."""

    def __init__(self, problems, working):
        self.problems, self.begin = problems, self.now() | {"cores_at_work": working}

    def now(self):
        return {"load": load(), "mhz": megahertz()} | timed()

    def record(self):
        """Return what a result says of the machine; the load at the end is that of the benchmark.

        `busy` says that something spoke against measuring, and `problems` what it was.
        """
        from pysi.experiments import machine

        return {
            "busy": bool(self.problems),
            "problems": self.problems,
            "kernels": sorted({str(pool["architecture"]) for pool in machine.blas()}),
            "flags": flags(),
            "begin": self.begin,
            "end": self.now(),
        }


def options(parser):
    """Add the option that lets a benchmark measure on a busy machine."""
    parser.add_argument(
        "--busy", action="store_true", help="measure on a busy machine too; the result says so"
    )


def check(parser, args):
    """Return the `State` of the machine, or end the program with a sentence if others use it."""
    working = cores_at_work()
    found = problems(working)
    if found and not args.busy:
        advice = "wait until the machine is idle, or give --busy to measure all the same; the "
        parser.error("; ".join(found) + f" ({advice}result then says so)")
    return State(found, working)


if __name__ == "__main__":
    print(json.dumps(speed()))
