"""The command line, from words to exit status, on the embedded digits."""

import pytest

from pysi import __version__
from pysi.cli import main
from pysi.experiments.result import Result

RUN = "run split-mnist --dataset mnist-5k --epochs 1 --jobs 1".split()


def test_the_main_job_end_to_end(mnist_5k, tmp_path, capsys):
    out = tmp_path / "result"
    options = "--c 0 1 --seeds 1 --xi 1e-3 --clamp cumulative --dtype float32 --device numpy"
    assert main([*RUN, *options.split(), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "task-incremental" in printed.out
    assert "chance level 0.5" in printed.out
    assert "±" in printed.out
    assert "task=5/5" in printed.err  # the progress bar
    for name in ("result.json", "figure3.png", "figure3.pdf", "synapses/c1-seed0.npz"):
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
        ("--resume somewhere --c 1", "--resume"),
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
    assert "none" in printed
    assert "cache" in printed
    assert "mnist-5k" in printed


def test_data_fetch_of_an_unknown_set_is_refused(capsys):
    assert main(["data", "fetch", "imagenet"]) == 2
    assert "imagenet" in capsys.readouterr().err
