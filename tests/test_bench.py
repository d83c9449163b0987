"""The benchmarks: a busy machine is refused, and what is missing or fails is said."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parent / "bench"
sys.path.append(str(BENCH))
import quiet  # noqa: E402
import turns  # noqa: E402


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says how busy the machine is."""
    for name in quiet.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(quiet, "timed", dict)

    def be(load, working):
        monkeypatch.setattr(quiet, "load", lambda: load)
        monkeypatch.setattr(quiet, "cores_at_work", lambda: working)

    be(0.0, 0.0)
    return be


def check(*words):
    parser = argparse.ArgumentParser()
    quiet.options(parser)
    return quiet.check(parser, parser.parse_args(words))


@pytest.mark.parametrize(
    ("load", "working", "words"),
    [
        (1.25, 0.0, ("load average", "less than 0.3", "1.25")),
        (0.0, 1.5, ("cores at work", "less than 0.1", "1.50")),
        (None, 1.5, ("cores at work",)),
    ],
)
def test_a_busy_machine_is_refused_with_a_sentence(machine, capsys, load, working, words):
    machine(load, working)
    with pytest.raises(SystemExit) as error:
        check()
    said = capsys.readouterr().err
    assert error.value.code == 2
    assert all(word in said for word in (*words, "wait", "--busy"))


def test_other_kernels_than_openblas_own_choice_are_refused(machine, capsys, monkeypatch):
    for name in quiet.VARIABLES:
        monkeypatch.setenv(name, "Haswell")
        with pytest.raises(SystemExit):
            check()
        assert f"{name}: expected OpenBLAS' own choice, found 'Haswell'" in capsys.readouterr().err
        monkeypatch.delenv(name)


@pytest.mark.parametrize("unknown", [0.0, None])
def test_a_quiet_machine_is_measured_and_so_is_one_that_does_not_say(machine, unknown):
    machine(unknown, unknown)
    record = check().record()
    assert record["busy"] is False
    assert record["problems"] == []
    assert record["begin"]["load"] == record["end"]["load"] == unknown


def test_the_result_says_that_the_machine_was_busy(machine):
    machine(2.0, 0.0)
    record = json.loads(json.dumps(check("--busy").record()))
    assert record["busy"] is True
    assert record["problems"] == ["load average: expected less than 0.3, found 2.00"]
    assert record["begin"]["load"] == 2.0


def test_a_system_without_load_and_proc_is_unknown(monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(quiet, "lines", lambda path: [])
    found = quiet.load(), quiet.cores_at_work(), quiet.megahertz(), quiet.flags()
    assert found == (None,) * 4


def test_what_linux_says_is_read(monkeypatch):
    files = {
        "/proc/stat": ["cpu  100 0 50 800 40 5 5 0 7 0", "cpu0 1 2 3"],
        "/proc/cpuinfo": ["flags : fpu avx2 sse", "cpu MHz : 2000.0", "cpu MHz\t: 3000.0"],
    }
    monkeypatch.setattr(quiet, "lines", files.get)
    monkeypatch.setattr(os, "sysconf", lambda name: 100, raising=False)
    assert quiet.core_seconds() == 1.6
    assert quiet.megahertz() == 2500
    assert quiet.flags() == ["avx2"]
    assert quiet.cores_at_work(0.001) == 0


def test_ratios_are_taken_within_a_round():
    seconds = {"a": [1.0, 4.0, 3.0], "b": [2.0, 2.0, 3.0]}
    assert turns.ratios(seconds, "a", "b") == {"median": 1.0, "quartiles": [0.75, 1.5]}
    pairs = [("a", "b"), ("a", "b"), ("a", "a"), ("a", "missing")]
    assert list(turns.quotients(seconds, pairs)) == ["a / b"]
    assert turns.spreads({"a": [0.5]}, 1e3) == {"a": {"median": 500.0, "quartiles": [500.0] * 2}}


PROGRAM = f"""
import os, sys; sys.path.insert(0, {str(BENCH)!r})
import turns
name = sys.argv[2]
def make():
    if name == "missing":
        import a_library_that_is_not_there
    def turn():
        if name == "fails":
            raise SystemExit(3)
        return 0.5
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return turn, {{"cores": cores, "set": os.environ.get("SET"), "omp": os.environ["OMP_NUM_THREADS"]}}
turns.attend(make)
"""  # noqa: E501


@pytest.mark.slow
def test_contestants_take_turns_and_those_that_fail_are_absent(tmp_path):
    script = tmp_path / "contestant.py"
    script.write_text(PROGRAM)

    def maker(name, **options):
        return lambda: turns.Contestant(str(script), name, 1, **options)

    plan = {
        "works": [maker("works", core=0, variables={"SET": "yes"}), maker("works")],
        "missing": [maker("works"), maker("missing")],
        "fails": [maker("fails")],
    }
    absent, saved = {}, []
    teams = turns.gather(plan, absent)
    assert set(teams) == {"works", "fails"}
    bound, free = (contestant.about for contestant in teams["works"])
    assert bound["set"] == "yes"
    assert free["set"] is None
    assert bound["omp"] == "1"
    if hasattr(os, "sched_getaffinity"):
        assert bound["cores"] == 1
        assert free["cores"] == len(os.sched_getaffinity(0))
    seconds = turns.compete(teams, 2, absent, lambda seconds: saved.append(len(seconds["works"])))
    assert seconds == {"works": [0.25, 0.25]}
    assert saved == [1, 2]
    assert "ModuleNotFoundError: No module named 'a_library" in absent["missing"]
    assert "round 0: it ended with status 3" in absent["fails"]
    for contestant in (*teams["works"], *teams["fails"]):
        contestant.close()


@pytest.mark.slow
def test_the_benchmark_of_a_step_measures_and_says_that_the_machine_was_busy(tmp_path):
    out = tmp_path / "step.json"
    words = f"{BENCH / 'bench_step.py'} --net split --rounds 1 --busy --out {out}"
    names = "pysi-numpy", "pysi-adam-numpy"
    environment = os.environ | {"OPENBLAS_L2_SIZE": "524288"}
    subprocess.run(
        [sys.executable, *words.split(), "--only", *names],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    result = json.loads(out.read_text())
    assert result["machine"]["busy"] is True
    assert "OPENBLAS_L2_SIZE" in " ".join(result["machine"]["problems"])
    assert result["machine"]["begin"]["gflop_per_s"] > 0
    assert result["rounds"] == 1
    assert result["absent"] == {}
    assert "pysi-numpy, one thread / pysi-adam-numpy, one thread" in result["ratios"]
    times = result["milliseconds_per_step_and_seed"]
    assert set(times) == {
        f"{name}, {form}" for name in names for form in ("one run", "one thread")
    } | {"pysi-numpy, seeds in parallel"}
    assert all(contestant["numba"] is None for contestant in result["contestants"].values())


@pytest.mark.parametrize(
    "form",
    ["best"] + [pytest.param(name, marks=pytest.mark.slow) for name in ("compile", "compile-all")],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own code
def test_the_forms_in_pytorch_compute_the_same(form):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: it is a contestant")
    from torch_si import Trainer

    rng, trainers = np.random.default_rng(0), []
    for name in ("idiomatic", form):
        torch.manual_seed(0)
        trainers.append(Trainer((12, 9, 6), name, c=0.5))
    active = torch.arange(6) < 4
    for _task in range(2):
        for _step in range(4):
            x = torch.tensor(rng.random((8, 12), np.float32))
            y = torch.tensor(rng.integers(0, 4, 8))
            a, b = (trainer.step(x, y, active) for trainer in trainers)
            assert torch.allclose(a, b, rtol=1e-4)
        for trainer in trainers:
            trainer.end_task()
            trainer.reset()
        one, other = (torch.cat([p.ravel() for p in t.parameters]) for t in trainers)
        # Adam's first steps are ±η = 1e-3: rounding in place of a gradient may turn a few
        assert ((one - other).abs() < 1e-6).float().mean() > 0.95
        one, other = (torch.cat([p.ravel() for p in t.Omega]) for t in trainers)
        assert ((one - other).abs() <= 1e-4 * one.abs() + 1e-6).float().mean() > 0.95
        assert (one > 0).any()


@pytest.mark.slow
def test_the_cost_of_methods_is_relative_to_plain_training(tmp_path):
    out = tmp_path / "methods.json"
    words = f"{BENCH / 'bench_methods.py'} --busy --rounds 2 --steps 1 --dataset mnist-5k"
    names = ["joint", "si", "replay", "progressive"]
    command = [sys.executable, *words.split(), "--out", str(out), "--methods", *names]
    subprocess.run(
        command, check=True, capture_output=True, env=os.environ | {"PYSI_COMPILED": "0"}
    )
    found = json.loads(out.read_text())
    assert list(found["methods"]) == names
    assert found["relative"].keys() == {f"{name} / joint" for name in names[1:]}
    assert found["methods"]["progressive"]["parameters"] == 1_996_810
    table = 5 * 4 * found["methods"]["si"]["parameters"] / 1e6
    assert found["methods"]["si"]["megabytes"] > table
    assert found["methods"]["replay"]["megabytes"] > table
    assert found["machine"]["busy"]
