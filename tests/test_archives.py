"""Result folders: one run at a time, nothing poisoned, nothing left behind; rows and tables."""

import csv
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.experiments.cell import all_cells
from pysi.experiments.folder import SHARED, check_held, default_out, resume, start
from pysi.experiments.omega import omega_file
from pysi.experiments.protocols import PermutedMNIST
from pysi.experiments.result import Result
from pysi.experiments.run import execute
from pysi.experiments.sweep import Sweep
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.lock import Lock
from test_cells import Stopped, check_same_bits, go_on
from test_damage import GONE, PUBLISHED, partial_files
from test_experiments import numbers

CONFIG = PermutedMNIST(
    methods=("si",), c=(0.1,), seeds=1, epochs=2, tasks=3, hidden=(20,), batch_size=50,
    dataset="mnist-5k",
)  # fmt: skip
(CELL,) = all_cells(CONFIG)


@pytest.fixture(scope="module")
def dataset(mnist_5k):
    parts = ("x_train", "y_train", "x_test", "y_test")
    return replace(mnist_5k, **{part: getattr(mnist_5k, part)[::10] for part in parts})


def stopped(dataset, out, at=("si-c0.1-seed0", 3, 1)):
    """A run that was stopped in its last task."""

    def stop(event):
        if event == at:
            raise Stopped

    begun = start(CONFIG, dataset, out, [CELL])
    with pytest.raises(Stopped):
        go_on([CELL], begun, dataset, out, tell=stop)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return go_on([CELL], start(CONFIG, dataset, out, [CELL]), dataset, out)[0]


# ω


def spoil(path, how, other):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "flipped":
        at = len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif how == "another task's":
        shutil.copy(other, path)
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(content[: 0 if how == "empty" else len(content) // 2])


@pytest.mark.parametrize("how", ["empty", "cut", "missing", "flipped", "another task's", "pipe"])
@pytest.mark.parametrize("task", [1, 2])
def test_a_run_whose_omega_is_bad_begins_anew_before_any_work(
    whole, dataset, tmp_path, capsys, monkeypatch, how, task
):
    monkeypatch.setattr("pysi.experiments.cell.INTERVAL", 0)  # every epoch is saved
    if how == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("makes a pipe")
    stopped(dataset, tmp_path)
    files = [omega_file(tmp_path, CELL, i) for i in (1, 2)]
    spoil(files[task - 1], how, files[2 - task])
    capsys.readouterr()
    again, _ = resume(tmp_path)
    _, events = go_on([CELL], again, dataset, tmp_path)
    if task == 1:  # its trunk writes it again from its checkpoint, at once
        assert [event[1:] for event in events] == [(3, 2)]
    else:
        assert [event[1:] for event in events] == [(2, 1), (2, 2), (3, 1), (3, 2)]
        assert "task2.npz: " in (said := capsys.readouterr().out)
        assert "si-c0.1-seed0 begins anew" in said
    check_same_bits(CELL, again, tmp_path, dataset)
    assert numbers(again) == numbers(whole)


def test_omega_that_is_lost_during_the_last_task_is_named_and_then_made_anew(
    whole, dataset, tmp_path
):
    def lose(event):
        if event == ("si-c0.1-seed0", 3, 2):
            omega_file(tmp_path, CELL, 2).unlink()

    begun = start(CONFIG, dataset, tmp_path, [CELL])
    with pytest.raises(pysi.DataError, match=r"task2.npz: expected a task's ω"):
        go_on([CELL], begun, dataset, tmp_path, tell=lose)
    again, _ = resume(tmp_path)
    go_on([CELL], again, dataset, tmp_path)
    assert numbers(again) == numbers(whole)


# One run in a folder


def test_a_folder_takes_one_run_at_a_time(dataset, tmp_path):
    out = tmp_path / "out"
    begun = start(CONFIG, dataset, out, [CELL])
    for another in (
        lambda: resume(out),
        lambda: start(CONFIG, dataset, out, [CELL]),
        lambda: start(CONFIG, dataset, out, [CELL], kind=Sweep),
    ):
        with pytest.raises(pysi.ConfigError, match=rf"at work \(process {os.getpid()} on "):
            another()
    go_on([CELL], begun, dataset, out)
    assert not (out / ".lock").exists()
    resume(out)[0].lock.release()


def test_of_many_that_start_at_once_one_gets_the_folder(dataset, tmp_path):
    for n in range(10):
        out, together = tmp_path / str(n), threading.Barrier(4)

        def begin(_, out=out, together=together):
            together.wait()
            try:
                return start(CONFIG, dataset, out, [CELL])
            except pysi.ConfigError as err:
                assert "at work" in str(err) or "already holds" in str(err)

        with ThreadPoolExecutor(4) as pool:
            won = [result for result in pool.map(begin, range(4)) if result]
        assert len(won) == 1
        assert Result.load(out).content["format"] == Result.format
        won[0].lock.release()


def test_a_lock_that_a_dead_process_left_is_no_obstacle(dataset, tmp_path):
    with Path(tmp_path / ".lock").open("w") as file:
        file.write(f"process {GONE} on {platform.node()}")
    lock = Lock(tmp_path)
    assert lock.left_by == GONE
    assert lock.holds()
    lock.release()
    assert not lock.holds()
    assert not list(tmp_path.iterdir())


def test_two_runs_of_the_same_second_have_a_folder_each():
    assert len({default_out("split-mnist") for _ in range(5)}) > 1


def test_a_folder_with_checkpoints_of_a_result_that_is_gone_is_refused(dataset, tmp_path):
    stopped(dataset, tmp_path)
    (tmp_path / "result.json").unlink()
    with pytest.raises(pysi.ConfigError, match="remove the folder .*checkpoints"):
        start(CONFIG, dataset, tmp_path, [CELL])
    shutil.rmtree(tmp_path / "checkpoints")
    start(CONFIG, dataset, tmp_path, [CELL]).lock.release()


@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_is_removed_in_mid_run_does_not_come_back(dataset, tmp_path, anew):
    out = tmp_path / "out"

    def remove(event):
        if event == ("si-c0.1-seed0", 2, 1):
            shutil.rmtree(out)
            if anew:
                out.mkdir()

    begun = start(CONFIG, dataset, out, [CELL])
    with pytest.raises(pysi.DataError, match="out"):
        go_on([CELL], begun, dataset, out, tell=remove)
    assert not (out / "result.json").exists()
    assert out.exists() == anew
    with pytest.raises(pysi.DataError, match="was removed"):
        begun.lock = Lock(tmp_path)
        begun.lock.path.unlink()
        check_held(begun, tmp_path)


def test_what_killed_processes_left_goes_when_a_run_is_resumed(dataset, tmp_path):
    stopped(dataset, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: GONE)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        with pytest.raises(Stopped), pysi.storage.files.atomic(tmp_path / "omega" / "x") as file:
            file.write(b"half")
            raise Stopped
    assert partial_files(tmp_path / "omega")
    (tmp_path / SHARED / "joblib_memmapping_folder").mkdir(parents=True)
    resume(tmp_path)[0].lock.release()
    assert not partial_files(tmp_path / "omega")
    assert not (tmp_path / SHARED).exists()


def test_a_read_only_folder_is_named_at_resume(dataset, tmp_path, monkeypatch):
    stopped(dataset, tmp_path)
    opened = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system", str(path))
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(pysi.DataError, match=f"{tmp_path}: .*Read-only file system. .*writable"):
        resume(tmp_path)


# Savers of one path


@pytest.mark.parametrize("what", ["table", "checkpoint"])
def test_savers_of_one_path_never_tear_it(tmp_path, what):
    path, states = tmp_path / "run.npz", [np.full(20_000, n, np.float32) for n in range(4)]

    def save(n):
        for _ in range(15):
            if what == "table":
                table = pysi.Synapses({"a": (20_000,)})
                table.theta[...] = states[n]
                table.save(path)
            else:
                Checkpoint(path, {}).save({"a": states[n]}, {"epoch": n}, due=True)

    def read():
        while not done.is_set():
            if what == "checkpoint":
                found = Checkpoint(path, {}, announce=pytest.fail).load()
                seen.append(found and np.array_equal(found[0]["a"], states[found[1]["epoch"]]))
            elif path.exists():
                theta = pysi.Synapses.load(path).theta
                seen.append(np.array_equal(theta, states[int(theta[0])]))

    seen, done = [], threading.Event()
    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        list(pool.map(save, range(4)))
        done.set()
        reading.result()
    assert all(x is not False for x in seen)
    assert sum(bool(x) for x in seen) > 3
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"run.npz"} | ({"run.previous.npz"} if what == "checkpoint" else set())


# Rows


@pytest.mark.parametrize("name", ["permuted-mnist", "sweep-cifar-quick"])
def test_rows_are_all_accuracies_and_go_through_a_file(tmp_path, name):
    kind = Sweep if name.startswith("sweep") else Result
    result = kind.load(PUBLISHED / f"{name}.json")
    rows, part = result.rows(), kind.accuracy
    assert len(rows) == sum(np.size(run[part]) for run in result.runs)
    for row in rows:
        (run,) = (
            r for r in result.runs if all(r[k] == row[k] for k in ("method", "c", "xi", "seed"))
        )
        at = row["learned"] - 1, row["tested"] - 1
        assert row[part] == np.array(run[part])[at]
        assert row["train_accuracy"] == np.array(run["train_accuracy"])[at]
    with result.write_csv(tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    kinds = [type(value) for value in rows[0].values()]
    assert [[f(x) for f, x in zip(kinds, row.values(), strict=True)] for row in table] == [
        list(row.values()) for row in rows
    ]
    assert list(table[0]) == list(rows[0])


# Killed processes

SETTINGS = (
    "--dataset mnist-5k --methods si --c 0.1 --seeds 2 --tasks 3 --epochs 60 --hidden 200 --jobs 2"
).split()


def begin(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "pysi", "run", "permuted-mnist", *map(str, words)],
        env=os.environ | {"LOKY_MAX_CPU_COUNT": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a job in the background of a shell is deaf to Ctrl-C, and so are its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(pattern, out, process):
    deadline = time.monotonic() + 120
    while not list(out.glob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(pid):
    """The numbers of a process's workers."""
    listed = subprocess.run(["ps", "-ewwo", "pid,ppid,args"], capture_output=True, text=True)
    rows = (line.split(None, 2) for line in listed.stdout.splitlines())
    return [int(own) for own, parent, text in rows if parent == str(pid) and "LokyProcess" in text]


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and /dev/shm")


@linux
@pytest.mark.slow
def test_a_killed_worker_is_a_sentence(tmp_path, mnist_5k):
    out = tmp_path / "out"
    process = begin(*SETTINGS, "--tasks", 10, "--out", out)
    # past task 1: between it and the rest all workers are idle, and others replace one that dies
    wait_for("checkpoints/si-*.npz", out, process)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("pysi: jobs: expected worker processes")
    assert "SIGKILL" in errors.splitlines()[-1]


@linux
@pytest.mark.slow
def test_after_a_kill_of_all_a_resumed_run_cleans_up(tmp_path, mnist_5k):
    def shared():
        return sorted(Path("/dev/shm").glob(f"*{process.pid}*"))

    out = tmp_path / "out"
    process = begin(*SETTINGS, "--out", out)
    wait_for("checkpoints/shared/*/*.pkl", out, process)
    wait_for("checkpoints/*.npz", out, process)
    assert not [path for path in shared() if "memmapping" in path.name]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert json.loads((out / "result.json").read_text())["runs"] == []
    again, config = resume(out)
    assert not shared()
    assert not (out / SHARED).exists()
    again.lock.release()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_more_than_one_signal_is_as_one(tmp_path, mnist_5k, number):
    out = tmp_path / "out"
    process = begin(*SETTINGS, "--out", out)
    wait_for("checkpoints/*.npz", out, process)
    for _ in range(6):
        if process.poll() is None:
            process.send_signal(number)
            time.sleep(0.15)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert f"--resume {out}" in errors


def test_execute_unlocks_even_if_the_data_are_others(dataset, tmp_path):
    begun = start(CONFIG, dataset, tmp_path, [CELL])
    with pytest.raises(pysi.DataError):
        execute([CELL], begun, replace(dataset, checksums={}), tmp_path)
    assert not begun.lock.holds()
