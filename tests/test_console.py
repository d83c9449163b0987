"""The command line's output, whatever the streams are: of few characters, closed, cut off, full."""

import io
import os
import subprocess
import sys

import pytest

import pysi.cli
from pysi.cli import main
from pysi.cli.console import spelled

HELP = ["run", "split-mnist", "--help"]
CHARACTERS = [("ξ", "xi"), ("Ω", "Omega"), ("±", "+-"), ("½", "1/2"), ("²", "2"), ("…", "..."),
              ("\N{COMBINING TILDE}", ""), ("語", r"\u8a9e"), ("\udcff", r"\udcff")]  # fmt: skip


@pytest.mark.smoke
@pytest.mark.parametrize(("character", "text"), CHARACTERS)
def test_a_character_is_spelled_in_ascii(character, text):
    assert spelled(character) == text


@pytest.mark.smoke
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_an_encoding_that_lacks_characters_is_good_enough(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    with pytest.raises(SystemExit) as ended:
        main(HELP)
    assert ended.value.code == 0
    damping = "damping ξ" if encoding == "utf-8" else "damping xi"
    assert damping in " ".join(written.getvalue().decode(encoding).split())


@pytest.mark.smoke
@pytest.mark.parametrize("names", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_a_closed_stream_is_none_that_is_missed(names, monkeypatch, tmp_path):
    for name in names:
        monkeypatch.setattr(sys, name, None)
    assert main(["data", "status", "--data", str(tmp_path)]) == 0
    for name in names:
        print("nowhere", file=getattr(sys, name))
        getattr(sys, name).close()


@pytest.mark.smoke
@pytest.mark.skipif(os.name == "nt", reason="a pipe cannot be asked there whether it is read")
def test_a_pipe_that_nobody_reads_ends_it_in_silence(monkeypatch, tmp_path, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", open(writer, "w"))  # noqa: SIM115
    with pytest.raises(SystemExit) as ended:
        main(["data", "status", "--data", str(tmp_path)])
    assert ended.value.code == 141
    sys.stdout.close()  # what it held has gone nowhere, and is no second error
    assert capsys.readouterr().err == ""


@pytest.mark.smoke
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_told_in_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w"))  # noqa: SIM115
    with pytest.raises(SystemExit) as ended:
        main(["data", "status", "--data", str(tmp_path)])
    assert ended.value.code == 1
    sys.stdout.close()
    told = capsys.readouterr().err
    assert told.startswith("pysi: ") and "No space left on device" in told
    assert told.count("\n") == 1


@pytest.mark.smoke
@pytest.mark.skipif(os.name == "nt", reason="a pipe cannot be asked there whether it is read")
def test_a_progress_bar_that_nobody_reads_stops_nothing(monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm

    def work(*args, **settings):
        for _ in tqdm(range(3), mininterval=0):
            pass
        raise pysi.ConfigError("told to nobody")

    reader, writer = os.pipe()
    os.close(reader)
    before = open(writer, "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", before)
    monkeypatch.setattr(pysi.cli, "run", work)
    assert main(["run", "split-mnist"]) == 2
    assert sys.stderr is before
    before.close()


@pytest.mark.smoke
def test_an_error_of_the_system_is_told_in_one_line(monkeypatch, capsys):
    def fail(*args, **settings):
        raise BrokenPipeError(32, "Broken pipe", "queue")  # of workers, and not of the output

    monkeypatch.setattr(pysi.cli, "run", fail)
    with pytest.raises(SystemExit) as ended:
        main(["run", "split-mnist"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("pysi: expected to read and write files, found [")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the words are those of a Unix shell")
@pytest.mark.parametrize(
    ("words", "status"),
    [("theory", 0), ("theory 2>&-", 0), ("theory >&-", 0), ("theory >&- 2>&-", 0),
     ("theory | true", 141), ("theory >/dev/full", 1), ("theory 2>/dev/full", 0)],
)  # fmt: skip
def test_in_a_shell(words, status):
    pytest.importorskip("scipy")
    command = f"set -o pipefail; {sys.executable} -m pysi {words}"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, timeout=100, check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert ended.returncode == status
    assert ended.stderr.count(b"\n") == (1 if status == 1 else 0)


@pytest.mark.slow
def test_jupyters_backend_without_jupyter(tmp_path):
    pytest.importorskip("matplotlib")
    words = "run split-mnist --dataset mnist-5k --epochs 1 --seeds 1 --tasks 1 --hidden 8 --jobs 1"
    ended = subprocess.run(
        [sys.executable, "-m", "pysi", *words.split(), "--out", str(tmp_path)],
        env=os.environ | {"MPLBACKEND": "is not there"}, capture_output=True, timeout=100,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "figure3.pdf").exists()
