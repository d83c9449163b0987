"""MNIST from a folder, on a tiny stand-in: the true files are read, and no others."""

import os
import struct

import numpy as np
import pytest

from pysi.data import mnist
from pysi.data.mnist import read_mnist
from pysi.errors import DataError
from test_data_idx import gzip_bytes, idx_bytes, official

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
def tiny(monkeypatch):
    monkeypatch.setattr(mnist, "FILES", FILES)


@pytest.mark.smoke
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize(("wrap", "suffix"), [(gzip_bytes, ".gz"), (bytes, ""), (gzip_bytes, "")])
def test_reads_the_official_files(tmp_path, wrap, suffix, dotted):
    folder = write_mnist(tmp_path / "mnist", wrap, suffix)
    if dotted:
        for path in folder.iterdir():
            path.rename(folder / path.name.replace("-idx", ".idx"))
    dataset = read_mnist(folder)
    assert (dataset.name, dataset.n_classes, dataset.source) == ("mnist", 10, str(folder))
    np.testing.assert_array_equal(dataset.x_train, ARRAYS[TRAIN_IMAGES].reshape(20, 12))
    np.testing.assert_array_equal(dataset.y_train, ARRAYS[TRAIN_LABELS])
    np.testing.assert_array_equal(dataset.x_test, ARRAYS[TEST_IMAGES].reshape(10, 12))
    np.testing.assert_array_equal(dataset.y_test, ARRAYS[TEST_LABELS])
    assert dataset.x_train.dtype == np.uint8 and dataset.y_train.dtype == np.int64
    assert dataset.checksums == {file.name: f"md5:{file.md5}" for file in FILES}
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        assert not array.flags.writeable


def replaced(name, content, suffix=""):
    def spoil(folder):
        (folder / f"{name}.gz").unlink()
        (folder / f"{name}{suffix}").write_bytes(content)

    return spoil


def flipped(content, position):
    content = bytearray(content)
    content[position] ^= 1
    return bytes(content)


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
    "flipped label": (replaced(TEST_LABELS, flipped(LABELS, -1)), "with MD5 .* found: "),
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
def test_bad_data_is_refused(tmp_path, case):
    folder = write_mnist(tmp_path / "mnist")
    spoil, message = BAD[case]
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_mnist(folder)
    fact, advice = str(caught.value).splitlines()
    assert fact.startswith(str(folder)) and "expected" in fact and "found" in fact
    assert advice.startswith(("Replace it", "Put the", "Some bytes differ. Replace it"))


@pytest.mark.parametrize("function", ["builtins.open", "os.listdir"])
def test_no_permission_simulated(tmp_path, monkeypatch, function):
    folder = write_mnist(tmp_path / "mnist")

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(function, refuse)
    with pytest.raises(DataError, match=f"^{folder}.* found: Permission denied"):
        read_mnist(folder)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
@pytest.mark.parametrize("name", ["", f"{TRAIN_LABELS}.gz"])
def test_no_permission(tmp_path, name):
    folder = write_mnist(tmp_path / "mnist")
    (folder / name).chmod(0)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            read_mnist(folder)
    finally:
        folder.chmod(0o700)
