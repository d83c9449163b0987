"""The script for a GPU: pieces within a limit of time, and a rehearsal of all of them on a CPU."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysi.data.cifar import CIFAR10, CIFAR100
from pysi.experiments.result import Result
from test_data_cifar import images, records

BENCH = Path(__file__).parent / "bench"
SETTINGS = {"device": "numpy", "tiny": True}

slow = pytest.mark.slow
posix = pytest.mark.skipif(os.name == "nt", reason="sends signals")


@pytest.fixture(autouse=True)
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def cifar(tmp_path):
    """Return a folder with a few random images in CIFAR's official files."""
    for files in (CIFAR10, CIFAR100):
        (folder := tmp_path / "data" / files.folder).mkdir(parents=True)
        for seed, name in enumerate([*files.train, files.test]):
            (folder / name).write_bytes(records(*images(20, files, seed)))
    return tmp_path / "data"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return a function that is a call of the script with pieces of one's own."""
    import pieces

    monkeypatch.setattr(pieces, "END", 0)
    monkeypatch.setattr(pieces, "GRACE", 1)

    def call(*found, seconds=30):
        work = pieces.Pieces(found, tmp_path / "out", SETTINGS)
        well = work.run(seconds)
        return well, json.loads((tmp_path / "out" / "summary.json").read_text())["pieces"]

    return call


def piece(name, code, **options):
    from pieces import Piece

    return Piece(name, ("-c", code), **{"seconds": 1, "least": 0} | options)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@slow
@posix
def test_a_piece_whose_time_is_over_keeps_its_files_and_the_next_go_on(call, tmp_path):
    file = tmp_path / "rounds.json"
    stubborn = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(file)!r}, "w").write(str(child.pid))
time.sleep(60)"""
    began = time.monotonic()
    well, found = call(
        piece("long", stubborn, limit=2, file=file), piece("short", "print('all is well')")
    )
    assert well and time.monotonic() - began < 20
    assert [found[name]["state"] for name in ("long", "short")] == ["stopped", "done"]
    assert found["short"]["reason"] == "all is well"
    assert not is_alive(int(file.read_text()))


@slow
@posix
def test_pytest_writes_its_report_although_its_time_is_over(call, tmp_path, monkeypatch):
    from pieces import Piece

    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "test_slow.py").write_text(
        "import time\ndef test_one(): pass\ndef test_two(): time.sleep(60)\n"
    )
    report = tmp_path / "report.xml"
    words = "-m pytest -q -p no:cacheprovider --junitxml".split()
    call(Piece("tests", (*words, str(report), str(tmp_path)), 1, least=0, limit=12))
    assert "test_one" in report.read_text()


@slow
def test_a_later_call_skips_what_is_done_and_continues_the_rest(call, tmp_path, capsys):
    folder = tmp_path / "scratch" / "run"
    begin = f"""
import os, time
os.makedirs({str(folder)!r})
open({str(folder / "result.json")!r}, "w").write("two of three runs")
open({str(folder / "table.npz")!r}, "w").write("large")
time.sleep(60)"""
    goes_on = f"print(open({str(folder / 'result.json')!r}).read())"
    mark = f"open({str(tmp_path / 'mark')!r}, 'x')"
    run = piece("run", begin, limit=2, folder=folder, again=("-c", goes_on))
    once = piece("once", mark)
    assert call(once, run)[1]["run"]["state"] == "stopped"
    assert [path.name for path in (tmp_path / "out" / "run").iterdir()] == ["result.json"]
    capsys.readouterr()
    well, found = call(once, run)
    assert well and found["run"] | {"seconds": 0} == {
        "state": "done", "resumed": True, "reason": "two of three runs", "seconds": 0,
    }  # fmt: skip
    assert "once: done in an earlier call\nrun: done (resumed) in " in capsys.readouterr().out


@slow
def test_a_piece_that_fails_is_reported_and_tried_again_last(call, tmp_path, capsys):
    mended = tmp_path / "mended"
    broken = piece("broken", f"print('opening', flush=True); open({str(mended)!r})")
    well, found = call(broken, piece("next", "pass"))
    assert not well
    assert [found[name]["state"] for name in ("broken", "next")] == ["failed", "done"]
    assert found["broken"]["reason"].startswith("exit status 1\n  opening\n")
    assert "FileNotFoundError" in capsys.readouterr().out
    mended.touch()
    well, found = call(broken, piece("new", "pass"))
    assert well and found["broken"]["state"] == "done"
    assert capsys.readouterr().out.startswith("new: done")


def test_what_lacks_time_or_data_is_not_begun(call):
    well, found = call(
        piece("figure", "", lacks="no CIFAR under data"), piece("long", "", least=60), seconds=50
    )
    assert well
    assert found["figure"] == {"state": "not begun", "reason": "no CIFAR under data"}
    assert found["long"]["reason"].startswith("needs 60 s, ")


def test_a_run_continues_from_the_results_of_another_machine(tmp_path):
    from pieces import Pieces

    folder, out = tmp_path / "scratch" / "run", tmp_path / "out"
    run = piece("run", "begin", folder=folder, again=("again",))
    work = Pieces([run], out, SETTINGS)
    assert work.prepare(run) == ("-c", "begin")
    (out / "run").mkdir()
    (out / "run" / "result.json").write_text("{}")
    assert work.prepare(run) == ("again",)
    assert (folder / "result.json").read_text() == "{}"


def test_another_try_keeps_the_file_of_the_one_before(tmp_path):
    from pieces import Pieces

    steps = piece("steps", "", file=tmp_path / "steps.json")
    steps.file.write_text("two rounds")
    Pieces([steps], tmp_path, SETTINGS).prepare(steps)
    assert (tmp_path / "earlier-steps.json").read_text() == "two rounds"


def test_a_folder_is_of_calls_with_the_same_settings(call, tmp_path):
    from pieces import Pieces

    call(piece("none", "", lacks="all"))
    with pytest.raises(ValueError, match="out: expected a folder of calls with .*cupy.*numpy"):
        Pieces([], tmp_path / "out", SETTINGS | {"device": "cupy"})


def test_launches_kernels_and_copies_are_counted():
    import launches

    events = [
        {"cat": "cuda_runtime", "name": "cudaLaunchKernel"},
        {"cat": "cuda_runtime", "name": "cudaGraphLaunch"},
        {"cat": "cuda_driver", "name": "cuLaunchKernelEx"},
        {"cat": "cuda_runtime", "name": "cudaDeviceSynchronize"},
        *3 * [{"cat": "kernel", "name": "gemm"}],
        {"cat": "gpu_memcpy", "name": "Memcpy HtoD"},
        {"cat": "gpu_user_annotation", "name": "Optimizer.step"},
        {"ph": "M", "name": "process_name"},
    ]
    assert launches.count(events, 2) == {"launches": 1.5, "kernels": 1.5, "copies": 0.5}


def script(*words):
    """Run the script as a rehearsal."""
    return subprocess.run(
        [sys.executable, BENCH / "on_gpu.py", "--device", "numpy", "--tiny", *map(str, words)],
        capture_output=True,
        text=True,
    )


@slow
def test_the_plan_names_every_piece(cifar):
    done = script("--plan", "--data", cifar)
    assert done.returncode == 0 and not done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[1] == "tests" and {"figure3", "figure4", "figure6", "accuracy-tf32"} <= {*names}


@slow
@posix
def test_the_rehearsal_does_every_piece(cifar, tmp_path):
    words = "--minutes", 9, "--data", cifar, "--out", tmp_path / "out"
    first = script(*words)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    states = {name: found["state"] for name, found in summary["pieces"].items()}
    assert first.returncode == 0 and {*states.values()} == {"done"}, first.stdout
    assert len(states) == 11
    for name in states:
        assert (tmp_path / "out" / f"{name}.log").stat().st_size
    for path in ("tests.xml", "figure3/figure3.png", "figure4/figure5.pdf", "figure6/result.json"):
        assert (tmp_path / "out" / path).stat().st_size
    steps = json.loads((tmp_path / "out" / "bench-gpu-split.json").read_text())
    assert steps["rounds"] == 1 and steps["host_milliseconds_per_step"]["pysi"] > 0
    second = script(*words)
    assert second.returncode == 0
    assert second.stdout.count("done in an earlier call") == len(states)
    lose_last_run(tmp_path / "out", "figure4")
    third = script(*words, "--pieces", "figure4")
    assert third.returncode == 0 and third.stdout.startswith("figure4: done (resumed)")
    assert Result.load(tmp_path / "out" / "figure4").content["complete"]


def lose_last_run(out, name):
    """Leave a result as on another machine, after a call whose time was over."""
    shutil.rmtree(out / "scratch" / name)
    result = Result.load(out / name)
    del result.runs[-1]
    result.content["complete"] = False
    result.save(out / name)
    summary = json.loads((out / "summary.json").read_text())
    summary["pieces"][name]["state"] = "stopped"
    (out / "summary.json").write_text(json.dumps(summary))


@slow
def test_the_exit_status_tells_of_a_failure(tmp_path):
    code = """
import on_gpu, sys
from pieces import Piece
on_gpu.Plan.pieces = lambda self: [Piece("broken", ("-c", "raise SystemExit(3)"), 1)]
sys.exit(on_gpu.main())"""
    words = ["-c", code, "--out", str(tmp_path), "--minutes", "0.5"]
    done = subprocess.run([sys.executable, *words], env=os.environ | {"PYTHONPATH": str(BENCH)})
    assert done.returncode == 1


@slow
def test_unknown_pieces_are_refused(tmp_path):
    done = script("--pieces", "figure7", "--out", tmp_path)
    assert done.returncode == 2 and "--pieces: expected some of tests " in done.stderr
