"""A run that is stopped from outside goes on with --resume, and ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pysi.cli import main
from pysi.experiments.result import Result
from pysi.storage.tables import SAVED
from test_experiments import numbers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="sends signals")]

RUN = ["run", "permuted-mnist"]
SETTINGS = (
    "--dataset mnist-5k --methods single si joint --c 0 0.1 --seeds 2 --tasks 3 --epochs 8 "
    "--hidden 20"
).split()
STOPS = {
    1: [("SIGKILL", "parent"), ("SIGTERM", "parent"), ("SIGINT", "parent")],
    2: [
        ("SIGTERM", "group"),
        ("SIGKILL", "parent"),
        ("SIGINT", "group"),  # as a terminal does
        ("SIGTERM", "parent"),
        ("SIGKILL", "group"),
    ],
}
STATUS = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9}


def pysi(*words, jobs=1):
    """Start the command, in a process group of its own, on as many cores as it has jobs."""
    return subprocess.Popen(
        [sys.executable, "-m", "pysi", *words, "--jobs", str(jobs)],
        env=os.environ | {"LOKY_MAX_CPU_COUNT": str(jobs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a job in the background of a shell, as these tests may be, is deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="module")
def uninterrupted(mnist_5k, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "result"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        assert main([*RUN, *SETTINGS, "--jobs", "1", "--out", str(out)]) == 0
    return out


def last_written(out):
    """When a worker last wrote something."""
    times = [0]
    for path in [*out.glob("checkpoints/*"), *out.glob("omega/*")]:
        try:
            times.append(path.stat().st_mtime_ns)
        except FileNotFoundError:  # it has just been renamed
            continue
    return max(times)


def finished_runs(out):
    return len(Result.load(out).runs) if (out / "result.json").exists() else 0


def stop(process, out, name, whom, moments):
    """Send a signal while the process is at work. Returns what it wrote; None if it had ended."""
    # until a worker has started, Ctrl-C is what it is for every Python program: noisy
    look = finished_runs if name == "SIGINT" else last_written
    before = look(out)
    while process.poll() is None and look(out) <= before:
        time.sleep(0.005)
    time.sleep(moments.uniform(0, 0.1))  # in the middle of whatever it does
    if process.poll() is not None:
        return None
    send = os.killpg if whom == "group" else os.kill
    send(process.pid, signal.Signals[name])
    # The pipe's end comes when every process that holds it, each worker too, is gone.
    _, errors = process.communicate(timeout=30)
    return errors


def run_to_the_end(out, jobs, stops, moments):
    """Start a run, and resume it after every stop; what is left of the stops if it ends early."""
    words, kept = [*SETTINGS, "--out", str(out)], []
    while True:
        process = pysi(*RUN, *words, jobs=jobs)
        try:
            errors = stop(process, out, *stops[0], moments) if stops else None
            if errors is None:
                _, errors = process.communicate(timeout=120)
                assert process.returncode == 0, errors
                assert all(run in Result.load(out).runs for run in kept)
                return stops
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        words, stopped = ["--resume", str(out)], Result.load(out)
        assert all(run in stopped.runs for run in kept)  # times and all: not run again
        kept = stopped.runs
        if stopped.content["complete"]:  # the signal came while the figure was drawn
            continue
        (name, _), *stops = stops
        assert process.returncode == STATUS[name], errors
        if name != "SIGKILL":
            assert f"Continue with\n    pysi run permuted-mnist --resume {out}\n" in errors
            assert "Traceback" not in errors


@pytest.mark.parametrize("jobs", [1, 2])
def test_stopped_at_random_moments_it_ends_with_the_same_bits(uninterrupted, tmp_path, jobs):
    stops, moments = STOPS[jobs], random.Random(jobs)
    while stops:  # a fast machine may have come to the end before all of them
        out = tmp_path / f"before-{len(stops)}-stops"
        left = run_to_the_end(out, jobs, stops, moments)
        assert len(left) < len(stops)
        stops = left
        check_same_bits(out, uninterrupted)


def check_same_bits(out, expected):
    assert numbers(Result.load(out)) == numbers(Result.load(expected))
    for folder, count in (("synapses", 8), ("omega", 2 + 2 * 4)):
        names = sorted(path.name for path in (expected / folder).iterdir())
        assert len(names) == count
        for name in names:
            one, other = np.load(out / folder / name), np.load(expected / folder / name)
            for row in SAVED if folder == "synapses" else ["omega"]:
                assert np.array_equal(one[row], other[row]), (name, row)
    assert not (out / "checkpoints").exists()
