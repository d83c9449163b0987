"""Downloads from mirrors on this machine: good ones, and every way in which one may be bad."""

import logging
import os
import platform
import re
import runpy
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pysi.data import download, fetch, load_dataset, mnist
from pysi.data.catalogue import CATALOGUE
from pysi.errors import ConfigError, DataError, install
from test_data import never
from test_data_idx import gzip_bytes, idx_bytes
from test_data_mnist import ARRAYS, FILES, TEST_IMAGES, TEST_LABELS, flipped, write_mnist

pooch = pytest.importorskip("pooch")

SCRIPT = Path(__file__).parents[1] / "data_scripts" / "fetch_mnist.py"


def content(name):
    # Not the wrapper that `write_mnist` makes, so that a test can tell a new file from an old one.
    return gzip_bytes(idx_bytes(ARRAYS[name]), level=1, mtime=1, filename="other")


def good(handler, name):
    handler.answer(200, content(name))


def missing(handler, name):
    handler.answer(404, b"not here")


def web_page(handler, name):
    handler.answer(200, b"<!DOCTYPE html> please log in")


def wrong_content(handler, name):
    handler.answer(200, gzip_bytes(flipped(idx_bytes(ARRAYS[name]), -1)))


def truncated(handler, name):
    handler.answer(200, content(name)[:-9], length=len(content(name)))


def hanging(handler, name):
    handler.server.closing.wait(10)


def last_file_bad(handler, name):
    (wrong_content if name == TEST_LABELS else good)(handler, name)


BAD = [
    (missing, "404 Client Error"),
    (web_page, "magic number"),
    (wrong_content, "with MD5"),
    (truncated, "IncompleteRead|ended before"),
    pytest.param(hanging, "timed out", marks=pytest.mark.slow),
    (last_file_bad, "with MD5"),
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/mnist/").removesuffix(".gz")
        self.server.requests.append(name)
        self.server.behave(self, name)

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(behave):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behave, server.requests, server.closing = behave, [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/mnist/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def set_mirrors(monkeypatch, *urls):
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], mirrors=urls))


@pytest.fixture
def cache(cache, monkeypatch):
    monkeypatch.setattr(mnist, "FILES", FILES)
    set_mirrors(monkeypatch)
    return cache


@pytest.fixture
def mirrors(cache, monkeypatch):
    """Starts one server for each behaviour given, and makes them the mirrors, in this order."""
    with ExitStack() as stack:

        def start(*behaviours):
            servers = [stack.enter_context(serving(behave)) for behave in behaviours]
            set_mirrors(monkeypatch, *(server.url for server in servers))
            return servers

        yield start


def snapshot(folder):
    """Everything under a folder: paths, and the files' content."""
    paths = sorted(folder.rglob("*"))
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.smoke
def test_fetch_fills_the_cache_once(cache, mirrors):
    (server,) = mirrors(good)
    folder = fetch("mnist", progress=False)
    assert folder == cache / "mnist"
    names = [file.name for file in FILES]
    assert snapshot(cache) == {folder: None} | {folder / f"{n}.gz": content(n) for n in names}
    assert fetch("mnist") == folder
    assert server.requests == names
    assert fetch("mnist", force=True) == folder
    assert server.requests == names * 2
    assert load_dataset(announce=never).source == str(folder)


def test_load_dataset_downloads(cache, mirrors):
    mirrors(good)
    dataset = load_dataset(announce=never)
    assert (dataset.name, dataset.source) == ("mnist", str(cache / "mnist"))


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_broken_download_never_touches_the_cache(cache, mirrors, bad, message):
    write_mnist(cache / "mnist")
    before = snapshot(cache)
    first, second = mirrors(bad, bad)
    with pytest.raises(DataError, match="no mirror gave its files") as caught:
        fetch("mnist", force=True, progress=False)
    for server in (first, second):
        assert re.search(f"{server.url}: .*({message})", str(caught.value))
    assert snapshot(cache) == before
    assert len(first.requests) == (1 if bad in (missing, truncated, hanging) else 4)


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_the_next_mirror_is_tried(cache, mirrors, bad, message, capsys):
    first, _ = mirrors(bad, good)
    folder = fetch("mnist")
    assert (folder / f"{TEST_LABELS}.gz").read_bytes() == content(TEST_LABELS)
    assert list(cache.iterdir()) == [folder]
    reported = capsys.readouterr().err
    assert re.search(f"this mirror failed: {first.url}: .*({message})", reported)
    assert load_dataset(announce=never).name == "mnist"


def test_a_failed_request_is_tried_again(mirrors, monkeypatch):
    def flaky(handler, name):
        second_time = handler.server.requests.count(name) == 2
        (good if second_time else truncated)(handler, name)

    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setattr("time.sleep", lambda _: None)
    (server,) = mirrors(flaky)
    fetch("mnist", progress=False)
    assert server.requests == [file.name for file in FILES for _ in range(2)]


def test_no_server(cache, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        set_mirrors(monkeypatch, url)
        with pytest.raises(DataError, match=f"{url}: .*refused"):
            fetch("mnist", progress=False)


@pytest.mark.parametrize("suffix", [".gz", "", "dotted"])
def test_fetch_repairs_the_cache(cache, mirrors, suffix):
    mirrors(good)
    folder = write_mnist(cache / "mnist", suffix="" if suffix == "dotted" else suffix)
    for path in folder.iterdir():
        path.write_bytes(b"bad")
        if suffix == "dotted":
            path.rename(folder / path.name.replace("-idx", ".idx"))
    with pytest.raises(DataError, match="repairs the cache"):
        load_dataset(announce=never)
    fetch("mnist", progress=False)
    assert load_dataset(announce=never).name == "mnist"


def test_a_cache_that_cannot_be_written(cache, mirrors):
    mirrors(good)
    (cache / "mnist" / f"{TEST_IMAGES}.gz").mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be written.*\nRemove what is in the way"):
        fetch("mnist", progress=False)


def test_a_file_in_the_caches_place(cache):
    cache.write_text("a file")
    with pytest.raises(DataError, match="cannot be written.*\n.*PYSI_CACHE"):
        fetch("mnist")


def test_progress_is_shown_or_not(mirrors, capsys):
    pytest.importorskip("tqdm")
    pooch.get_logger().setLevel("INFO")
    mirrors(good)
    fetch("mnist", progress=False)
    assert not pooch.get_logger().isEnabledFor(logging.INFO)
    assert capsys.readouterr() == ("", "")
    fetch("mnist", force=True)
    assert capsys.readouterr().err.count("100%") == len(FILES)


def test_fetch_without_pooch(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match="needs the package pooch") as caught:
        fetch("mnist")
    assert install("demo") in str(caught.value)


def refuse(project):
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("os_cache", [lambda project: f"~/.cache/{project}", refuse])
def test_fetch_without_a_home(monkeypatch, os_cache):
    monkeypatch.delenv("PYSI_CACHE")
    monkeypatch.setattr("pooch.os_cache", os_cache)
    assert download.cache_dir() is None
    with pytest.raises(DataError, match="no home.\n.*PYSI_CACHE.*--data"):
        fetch("mnist")


@pytest.mark.skipif(os.name == "nt", reason="whether a process runs is asked by a signal")
def test_what_killed_downloads_left_is_removed(cache, mirrors):
    mirrors(good)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left = [f"mnist.{platform.node()}.{pid}.abc_1234.partial" for pid in (child.pid, os.getpid())]
    other = ["mnist.elsewhere.12345.abc_1234.partial", "mnist-original", "my.partial"]
    for name in left + other:
        (cache / name / "0").mkdir(parents=True)
    fetch("mnist", progress=False)
    assert {path.name for path in cache.iterdir()} == {"mnist", *left, *other}
    child.communicate()
    os.utime(cache / other[0], (0, 0))
    fetch("mnist", force=True, progress=False)
    assert {path.name for path in cache.iterdir()} == {"mnist", left[1], *other[1:]}


def test_a_download_that_is_killed_leaves_what_the_next_one_removes(cache, mirrors, monkeypatch):
    mirrors(good)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryDirectory.cleanup", lambda self: self._finalizer.detach())
        patch.setattr("os.getpid", lambda: 4_000_000)  # larger than any on Linux
        fetch("mnist", progress=False)
    assert len(list(cache.glob("*.partial"))) == 1
    fetch("mnist", force=True, progress=False)
    assert not list(cache.glob("*.partial"))


@pytest.mark.parametrize("name", ["mnist-5k", "cifar10-100", "imagenet"])
def test_only_what_is_published_can_be_fetched(name):
    message = f"cannot fetch '{name}': expected one of mnist, cifar10, cifar100"
    with pytest.raises(ConfigError, match=message):
        fetch(name)


def test_script(cache, mirrors, capsys):
    mirrors(missing)
    with pytest.raises(SystemExit, match="^error: MNIST could not be downloaded"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    mirrors(good)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert str(cache / "mnist") in capsys.readouterr().out
