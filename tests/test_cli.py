"""The command line, from words to exit status, on the digits that come with the package."""

import csv
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import pysi.cli
from pysi import __version__
from pysi.cli import main
from pysi.cli.options import parser
from pysi.errors import DataError
from pysi.experiments.protocols import PermutedMNIST
from pysi.experiments.result import Result
from pysi.experiments.run import resume

RUN = "run split-mnist --dataset mnist-5k --epochs 1 --jobs 1".split()


@pytest.mark.slow
def test_the_main_job_end_to_end(mnist_5k, tmp_path, capsys):
    out = tmp_path / "result"
    options = "--c 0 1 --seeds 1 --xi 1e-3 --clamp cumulative --dtype float32 --device numpy"
    assert main([*RUN, *options.split(), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "task-incremental" in printed.out
    assert "chance level 0.5" in printed.out
    assert "±" in printed.out
    assert "9/9" in printed.err  # the progress bar: task 1 is trained once for both
    assert "si-c1-seed0 task 5 epoch 1" in printed.err
    for name in ("result.json", "figure3.png", "figure3.pdf", "synapses/si-c1-seed0.npz"):
        assert (out / name).stat().st_size > 0
    result = Result.load(out)
    assert result.content["config"]["xi"] == 1e-3
    assert [run["c"] for run in result.runs] == [0.0, 1.0]

    (out / "figure3.png").unlink()
    assert main(["figure", str(out)]) == 0
    assert (out / "figure3.png").exists()
    elsewhere = tmp_path / "figures"
    elsewhere.mkdir()
    assert main(["figure", str(out / "result.json"), "--out", str(elsewhere)]) == 0
    assert (elsewhere / "figure3.pdf").exists()

    assert main(["run", "split-mnist", "--resume", str(out)]) == 0  # nothing is missing
    assert Result.load(out).runs == result.runs


def test_explicit_settings_override_a_preset(mnist_5k, tmp_path, capsys):
    words = "run permuted-mnist --preset quick --dataset mnist-5k --methods single --epochs 1"
    assert main([*words.split(), "--jobs", "1", "--out", str(tmp_path)]) == 0
    explicit = {"dataset": "mnist-5k", "methods": ("single",), "epochs": 1}
    quick = PermutedMNIST.presets["quick"]
    assert quick["epochs"] > 1
    assert resume(tmp_path)[1] == PermutedMNIST(**quick | explicit)


def test_a_result_is_extended_from_the_command_line(mnist_5k, tmp_path, capsys):
    words = [*RUN, *"--tasks 1 --hidden 9 --methods single --seeds 1".split()]
    assert main([*words, "--out", str(tmp_path)]) == 0
    (before,) = Result.load(tmp_path).runs
    more = "run split-mnist --methods si single --c 1 --seeds 2 --jobs 1 --resume".split()
    assert main([*more, str(tmp_path)]) == 0
    result = Result.load(tmp_path)
    assert [(run["method"], run["seed"]) for run in result.runs] == [
        ("single", 0), ("single", 1), ("si", 0), ("si", 1)
    ]  # fmt: skip
    assert result.runs[0] == before
    capsys.readouterr()
    assert main([*more, str(tmp_path), "--epochs", "3"]) == 2
    assert "epochs" in capsys.readouterr().err
    assert Result.load(tmp_path).content == result.content


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_the_result_of_another_experiment_is_not_resumed(mnist_5k, tmp_path, capsys, command):
    words = f"{command} permuted-mnist --dataset mnist-5k --methods si --epochs 1 --tasks 1 --c 1"
    more = f"--hidden 8 --seeds 1 --jobs 1 --out {tmp_path}"
    assert main([*words.split(), *more.split()]) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    capsys.readouterr()
    for wanted in ("run split-mnist", "run split-cifar", "sweep split-mnist", "sweep split-cifar"):
        if "sweep" in wanted and command == "run":
            continue  # there is no sweep in the folder
        assert main([*wanted.split(), "--resume", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert f"expected a result of `pysi {wanted}`" in told
        assert f"found one of `pysi {command} permuted-mnist`" in told
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.smoke
@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_sigterm_ends_in_order_even_if_it_comes_twice(monkeypatch):
    steps = []

    def run(*args, **settings):
        try:
            steps.append("begun")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # `timeout` sends it to the process and its group
            time.sleep(0.01)
            steps.append("cleaned up")

    def own(number, frame):
        raise AssertionError("this is for the caller of main")

    monkeypatch.setattr("pysi.cli.run", run)
    before = signal.signal(signal.SIGTERM, own)
    try:
        with pytest.raises(SystemExit) as stopped:
            main(RUN)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 143
    assert steps == ["begun", "cleaned up"]


@pytest.mark.smoke
def test_another_thread_may_be_the_one_that_calls_main(tmp_path, capsys):
    with ThreadPoolExecutor() as pool:
        assert pool.submit(main, ["data", "status", "--data", str(tmp_path)]).result() == 0


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--c -1", "c"),
        ("--xi -1", "xi"),
        ("--epochs 0", "epochs"),
        ("--seeds 0", "seeds"),
        ("--tasks 11", "tasks"),
        ("--clamp x", "clamp"),
        ("--dtype int8", "dtype"),
        ("--device tpu", "device"),
        ("--dataset cifar", "dataset"),
        ("--jobs 0", "jobs"),
        ("--methods si other", "methods"),
        ("--ewc-c 1 1", "ewc_c"),
        ("--resume somewhere --out other", "--resume"),
        ("--resume somewhere --preset quick", "--resume"),
        ("--csv nowhere/rows.csv", "csv: expected a file in an existing folder"),
        ("--csv .", "csv: expected a file"),
        ("--epochs -1", "epochs: expected a whole number from 1 to 1000000, found -1"),
        ("--c nan", "c: expected one or more different, finite strengths"),
        ("--xi nan", "xi"),
    ],
)
def test_bad_settings_exit_with_2_and_leave_nothing(words, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "split-mnist", *words.split()]) == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.smoke
def test_words_that_do_not_parse_exit_with_2(capsys):
    for words in ([], ["run"], ["run", "nothing"], ["run", "split-mnist", "--c", "x"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run split-mnist --c 0,1", "argument --c: expected spaces between values, found '0,1': "
         "write 0 1"),
        ("sweep split-mnist --xi 1e-3,1e-4", "--xi: .* write 1e-3 1e-4"),
        ("run split-mnist --hidden 8,8", "--hidden: .* write 8 8"),
        ("run split-mnist --methods si,ewc", "--methods: .* write si ewc"),
        ("run split-mnist --xi 0,001", "--xi: expected a number, found '0,001'"),
        ("run split-mnist --epochs 2.0", "--epochs: expected a whole number, found '2.0'"),
        ("run split-mnist --epochs nan", "--epochs: expected a whole number, found 'nan'"),
        ("run split-mnist --jobs two", "--jobs: expected a whole number, found 'two'"),
        ("theory --seed x", "--seed: expected a whole number, found 'x'"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_told_with_the_remedy(words, told, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.smoke
def test_the_users_home_is_found_where_no_shell_looks(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    words = "run split-mnist --out=~/a --resume=~/b --csv=~/c".split()
    args = parser().parse_args(words)
    assert [args.out, args.resume, args.csv] == [tmp_path / name for name in "abc"]
    args = parser().parse_args(["figure", "~/d", "--out=~/e"])
    assert [args.result, args.out] == [tmp_path / "d", tmp_path / "e"]


def test_rows_are_written_as_a_table(mnist_5k, tmp_path, capsys, monkeypatch):
    words = [*RUN, *"--tasks 1 --hidden 9 --methods single --seeds 1".split()]
    path = tmp_path / "rows.csv"
    assert main([*words, "--out", str(tmp_path / "out"), "--csv", str(path)]) == 0
    assert f"written: {tmp_path / 'out' / 'result.json'}, {path}, " in capsys.readouterr().out
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    result = Result.load(tmp_path / "out")
    assert row == {name: str(value) for name, value in result.rows()[0].items()}
    with pytest.raises(DataError, match="rows.csv: expected a writable place"):
        result.write_csv(path / "rows.csv")


def test_a_missing_latex_is_told_when_all_else_is_done(mnist_5k, tmp_path, capsys, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    words = [*RUN, *"--tasks 1 --hidden 9 --methods single --seeds 1 --out".split()]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "nothing-cached"))
    with matplotlib.rc_context({"text.usetex": True}):
        assert main([*words, str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "chance level" in printed.out
    (told,) = [line for line in printed.err.splitlines() if line.startswith("pysi: ")]
    assert "latex" in told and "`pysi figure` draws it" in told
    assert Result.load(tmp_path / "out").content["complete"]


@pytest.mark.smoke
def test_matplotlib_is_not_given_a_backend_of_jupyter(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr("pysi.experiments.machine.require", lambda name: None)
    pysi.cli.require_matplotlib()
    assert os.environ["MPLBACKEND"] == "agg"


def test_errors_exit_with_1_and_say_what_to_do(tmp_path, capsys):
    assert main(["figure", str(tmp_path)]) == 1
    assert "result.json" in capsys.readouterr().err
    assert main([*RUN[:2], "--data", str(tmp_path)]) == 1
    assert "mnist" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main([*RUN, "--out", str(blocked / "result")]) == 1
    assert str(blocked) in capsys.readouterr().err


def test_data_status_names_every_place(mnist_5k, tmp_path, capsys):
    assert main(["data", "status", "--data", str(tmp_path / "none")]) == 0
    printed = capsys.readouterr().out
    assert f"mnist     --data or PYSI_DATA: {tmp_path / 'none'}" in printed
    assert "mnist     cache: absent" in printed
    assert "mnist-5k  package: " in printed
    assert "None" not in printed


def test_data_fetch_of_an_unknown_set_is_refused(capsys):
    assert main(["data", "fetch", "imagenet"]) == 2
    assert "imagenet" in capsys.readouterr().err
