"""The terminal of the site, without a browser: commands, their output, and the files they write."""

from pathlib import Path

import pytest

import terminal
from pysi.errors import ConfigError


@pytest.fixture
def said(tmp_path, monkeypatch):
    """The text that a command has sent so far; it runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return []


def run(said, line):
    return terminal.run(lambda part: said.append(part["text"]), line)


def test_a_training_is_told_as_it_goes_and_leaves_its_files(said):
    command = "pysi run split-mnist --dataset mnist-5k --methods si --seeds 1 --epochs 1 --hidden 8"
    found = run(said, f"{command} --jobs 1 --out 'a result'")
    assert found["status"] == 0
    assert {"a result/result.json", "a result/figure3.svg"} <= set(found["files"])
    begun, done = (next(i for i, part in enumerate(said) if n in part) for n in (" 0/9 ", " 9/9 "))
    assert begun < done < len(said) - 1  # how often the bar moves in between depends on the speed
    assert "si task 5 epoch 1" in "".join(said).replace("si-c1-seed0", "si")
    assert "average accuracy" in "".join(said)
    content = terminal.read(None, "a result/result.json")
    assert content.tobytes() == Path("a result/result.json").read_bytes()
    again = run(said, "pysi figure 'a result'")
    assert all(path.startswith("a result/figure3") for path in again["files"])
    assert again["files"]


def test_errors_are_told_with_their_exit_status(said):
    assert run(said, "pysi run nothing")["status"] == 2
    assert "invalid choice: 'nothing'" in "".join(said)
    assert run(said, "pysi run split-mnist --seeds 0") == {"status": 2, "files": []}
    assert "seeds: expected" in "".join(said)


def test_help_is_no_error(said):
    assert run(said, "pysi --help") == {"status": 0, "files": []}
    assert "usage: pysi" in "".join(said)


@pytest.mark.parametrize("line", ["ls", "", "  ", "python -m pysi theory", "pysi 'theory"])
def test_what_is_no_command_is_refused(line):
    with pytest.raises(ConfigError, match="command: expected"):
        terminal.words(line)
    with pytest.raises(ConfigError, match="command: expected"):
        terminal.needs(None, line)


def test_every_command_names_the_packages_that_it_needs():
    assert terminal.needs(None, "pysi theory --seed 3") == ["scipy"]
    assert "matplotlib" in terminal.needs(None, "pysi run split-mnist")
    assert terminal.needs(None, "pysi data status") == []
    assert terminal.needs(None, "pysi --help") == []
