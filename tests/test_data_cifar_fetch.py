"""Downloads of an archive from mirrors on this machine, on tiny generated images."""

import runpy
import sys
from pathlib import Path

import pytest

from pysi.cli import main
from pysi.data import fetch, load_dataset
from pysi.errors import DataError, install
from test_data import never
from test_data_cifar import ONE_LABEL, TWO_LABELS, check_content, write_archive, write_folder
from test_data_cifar_places import catalogued
from test_data_fetch import serving, snapshot
from test_data_mnist import flipped

SCRIPT = Path(__file__).parents[1] / "data_scripts" / "fetch_cifar.py"


@pytest.fixture
def served(tmp_path, cache, monkeypatch):
    """Two archives on a mirror, in whose place cifar10 and cifar100 are fetched."""
    archives = {}

    def answer(handler, _):
        handler.answer(200, archives[handler.path.rpartition("/")[2]])

    with serving(answer) as server:
        for name, kind in (("cifar10", ONE_LABEL), ("cifar100", TWO_LABELS)):
            path, kind = write_archive(tmp_path / "upstream", kind)
            archives[kind.archive] = path.read_bytes()
            catalogued(monkeypatch, name, kind, server.url)
        server.archives = archives
        yield server


def test_fetch_fills_the_cache_once(cache, served):
    path = fetch("cifar10", progress=False)
    assert path == cache / ONE_LABEL.archive
    assert snapshot(cache) == {path: served.archives[path.name]}
    assert fetch("cifar10") == path
    assert len(served.requests) == 1
    assert fetch("cifar10", force=True, progress=False) == path
    assert len(served.requests) == 2
    assert load_dataset("cifar10", announce=never).source == str(path)


def test_load_dataset_downloads_both(cache, served):
    dataset = load_dataset("cifar10-100", announce=never)
    assert dataset.source == f"{cache / ONE_LABEL.archive}, {cache / TWO_LABELS.archive}"
    check_content(load_dataset("cifar100", announce=never), TWO_LABELS)
    assert len(served.requests) == 2


def test_a_broken_download_never_touches_the_cache(cache, served):
    write_folder(cache, ONE_LABEL)
    before = snapshot(cache)
    good = served.archives[ONE_LABEL.archive]
    for bad in (flipped(good, -1), good[:-1], b"<!DOCTYPE html>", b""):
        served.archives[ONE_LABEL.archive] = bad
        with pytest.raises(DataError, match="^Tiny could not be downloaded") as caught:
            fetch("cifar10", force=True, progress=False)
        assert f"{served.url}: " in str(caught.value)
        assert "expected an archive with MD5" in str(caught.value)
        assert snapshot(cache) == before


@pytest.mark.parametrize("spoilt", ["archive", "file", "part"])
def test_fetch_repairs_the_cache(cache, served, spoilt):
    folder = write_folder(cache, ONE_LABEL)
    assert fetch("cifar10") == folder  # which is whole
    if spoilt == "archive":
        (cache / ONE_LABEL.archive).write_bytes(b"bad")
    elif spoilt == "file":
        (folder / "test.bin").write_bytes(b"bad")
    else:  # can be used, but is not the set that was asked for
        content = (folder / "test.bin").read_bytes()
        (folder / "test.bin").write_bytes(content[: ONE_LABEL.record_bytes])
    assert served.requests == []
    assert fetch("cifar10", progress=False) == cache / ONE_LABEL.archive
    check_content(load_dataset("cifar10", announce=never), ONE_LABEL)


def test_fetch_without_pooch(cache, served, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match="cifar10 needs the package pooch") as caught:
        fetch("cifar10")
    assert install("demo") in str(caught.value)


def test_command(cache, served, capsys):
    assert main(["data", "fetch", "cifar10", "cifar100"]) == 0
    paths = [cache / ONE_LABEL.archive, cache / TWO_LABELS.archive]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
    assert sorted(cache.iterdir()) == sorted(paths)


def test_script(cache, served, capsys):
    runpy.run_path(str(SCRIPT), run_name="__main__")
    shown = capsys.readouterr().out
    assert str(cache / ONE_LABEL.archive) in shown and str(cache / TWO_LABELS.archive) in shown
    served.archives[TWO_LABELS.archive] = b""
    (cache / TWO_LABELS.archive).unlink()
    with pytest.raises(SystemExit, match="^error: Tiny could not be downloaded"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
