"""CIFAR's binary format, on tiny generated images: what is written is what is read, or refused."""

import hashlib
import os
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pysi.data import cifar, load_dataset
from pysi.data.cifar import CIFAR10, CIFAR100, Cifar, read_cifar
from pysi.errors import DataError
from test_data import never
from test_data_idx import gzip_bytes

ONE_LABEL = Cifar(
    name="tiny",
    title="Tiny",
    archive="tiny-binary.tar.gz",
    md5="",
    folder="tiny-bin",
    train=("first.bin", "second.bin"),
    test="test.bin",
    labels=(("class", 4),),
    n_train=12,
    n_test=5,
)
TWO_LABELS = replace(
    ONE_LABEL,
    name="tiny-2",
    archive="tiny-2-binary.tar.gz",
    folder="tiny-2-bin",
    train=("train.bin",),
    labels=(("coarse", 3), ("fine", 7)),
)
KINDS = pytest.mark.parametrize("kind", [ONE_LABEL, TWO_LABELS], ids=lambda kind: kind.name)


def images(n, kind, seed=0):
    """Random images, rows by columns by channels, and their labels, one column each."""
    rng = np.random.default_rng(seed)
    labels = [rng.permutation(np.arange(n) % classes) for _, classes in kind.labels]
    return rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.stack(labels, 1).astype(np.uint8)


def records(x, labels):
    """The content of a file, written from the format's description."""
    return b"".join(
        bytes(label) + b"".join(image[:, :, channel].tobytes() for channel in range(3))
        for image, label in zip(x, labels, strict=True)
    )


def contents(kind):
    """The content of every file; its images come from `images(…, seed=number of the file)`."""
    sizes = dict.fromkeys(kind.train, kind.n_train // len(kind.train)) | {kind.test: kind.n_test}
    return {name: records(*images(n, kind, i)) for i, (name, n) in enumerate(sizes.items())}


def write_folder(root, kind):
    folder = root / kind.folder
    folder.mkdir(parents=True)
    for name, content in contents(kind).items():
        (folder / name).write_bytes(content)
    return folder


def member(name, content=b"", **attributes):
    """A tar member: its header, and what follows it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def members(kind):
    """As in the official archives: a folder, files in no order, and some that are not read."""
    files = [member(f"{kind.folder}/{name}", data) for name, data in contents(kind).items()]
    folder = member(kind.folder, type=tarfile.DIRTYPE)
    return [folder, *files[::-1], member(f"{kind.folder}/readme.html", b"<html>")]


def archive_bytes(members, wrap=gzip_bytes):
    # by hand, because some tests want a header that does not fit what follows it
    blocks = (info.tobuf() + content + bytes(-len(content) % 512) for info, content in members)
    return wrap(b"".join(blocks) + bytes(1024))


def write_archive(root, kind, content=None):
    """Writes an archive; returns its path, and the kind whose official archive it is."""
    content = archive_bytes(members(kind)) if content is None else content
    root.mkdir(parents=True, exist_ok=True)
    (root / kind.archive).write_bytes(content)
    return root / kind.archive, replace(kind, md5=hashlib.md5(content).hexdigest())


def check_content(dataset, kind):
    """Every image and every label are where they should be."""
    *train, (x_test, y_test) = (
        images(len(content) // kind.record_bytes, kind, i)
        for i, content in enumerate(contents(kind).values())
    )
    np.testing.assert_array_equal(dataset.x_train, np.concatenate([x for x, _ in train]))
    np.testing.assert_array_equal(dataset.y_train, np.concatenate([y[:, -1] for _, y in train]))
    np.testing.assert_array_equal(dataset.x_test, x_test)
    np.testing.assert_array_equal(dataset.y_test, y_test[:, -1])


@pytest.mark.smoke
@KINDS
@pytest.mark.parametrize("packed", [False, True])
def test_reads_the_official_files(tmp_path, kind, packed):
    path = write_folder(tmp_path, kind)
    if packed:
        path, kind = write_archive(tmp_path / "packed", kind)
    dataset = read_cifar(kind, path, never)
    assert (dataset.name, dataset.source) == (kind.name, str(path))
    assert dataset.n_classes == (4 if kind.name == "tiny" else 7)
    check_content(dataset, kind)
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.dtype == np.uint8 and x.flags.c_contiguous and y.dtype == np.int64
        assert not x.flags.writeable and not y.flags.writeable
    assert dataset.checksums == {
        f"{kind.folder}/{name}": f"sha256:{hashlib.sha256(content).hexdigest()}"
        for name, content in contents(kind).items()
    }


@pytest.mark.parametrize("name", ["first.bin", "test.bin"])
@pytest.mark.parametrize("n", [3, 13])
def test_another_number_of_images_is_used_and_announced(tmp_path, name, n):
    folder, messages = write_folder(tmp_path, ONE_LABEL), []
    (folder / name).write_bytes(records(*images(n, replace(ONE_LABEL, labels=(("class", 2),)))))
    dataset = read_cifar(ONE_LABEL, folder, messages.append)
    (message,) = messages
    n_train, n_test = (6 + n, 5) if name == "first.bin" else (12, n)
    assert (len(dataset.x_train), len(dataset.y_test)) == (n_train, n_test)
    assert dataset.n_classes == 4
    assert message.startswith(
        f"{folder}: {n_train} training and {n_test} test images, of 4 classes"
    )
    assert message.endswith("; Tiny has 12 and 5, of 4.\nThe images that were found are used.")


def test_classes_that_are_there_are_counted(tmp_path):
    folder, messages = write_folder(tmp_path, TWO_LABELS), []
    (folder / "train.bin").write_bytes(records(*images(2, TWO_LABELS)))
    read_cifar(TWO_LABELS, folder, messages.append)
    assert "2 training and 5 test images, of 2 classes; Tiny has 12 and 5, of 7" in messages[0]


@pytest.mark.parametrize(("kind", "sizes"), [
    (CIFAR10, {f"data_batch_{i}.bin": 30_730_000 for i in (1, 2, 3, 4, 5)}
        | {"test_batch.bin": 30_730_000}),
    (CIFAR100, {"train.bin": 153_700_000, "test.bin": 30_740_000}),
])  # fmt: skip
def test_the_sizes_of_the_published_files(kind, sizes):
    assert kind.sizes == sizes
    assert max(sizes.values()) < cifar.MAX_BYTES


def replaced(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def folder_for_file(folder):
    (folder / "test.bin").unlink()
    (folder / "test.bin").mkdir()


TRAIN = contents(TWO_LABELS)["train.bin"]
BAD_FOLDERS = {
    "missing file": (
        lambda f: (f / "test.bin").unlink(),
        "a readable file of Tiny; found: No such",
    ),
    "a folder in a file's place": (folder_for_file, "found: Is a directory"),
    "empty file": (replaced("test.bin", b""), "one or more whole records of 3074 .*: 0 bytes"),
    "truncated": (replaced("train.bin", TRAIN[:-1]), f"3074 bytes; found: {len(TRAIN) - 1} bytes"),
    "one byte more": (replaced("train.bin", TRAIN + b"x"), f"found: {len(TRAIN) + 1} bytes"),
    "records of one label": (replaced("test.bin", contents(ONE_LABEL)["test.bin"]), "3074 bytes"),
    "coarse label": (replaced("train.bin", b"\3" + TRAIN[1:]), "coarse labels below 3; found: 3"),
    "fine label": (
        replaced("train.bin", TRAIN[:3075] + b"\7" + TRAIN[3076:]),
        "fine labels below 7; found: 7",
    ),
    "too large": (replaced("test.bin", TRAIN * 2), "at most 50000 bytes; found: more"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_files_are_refused(tmp_path, monkeypatch, case):
    monkeypatch.setattr(cifar, "MAX_BYTES", 50_000)
    folder = write_folder(tmp_path, TWO_LABELS)
    spoil, message = BAD_FOLDERS[case]
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_cifar(TWO_LABELS, folder, never)
    fact, advice = str(caught.value).splitlines()
    assert fact.startswith(str(folder)) and "expected" in fact and "found" in fact
    assert advice.startswith("Put a fresh copy")


def test_a_huge_file_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MAX_BYTES", 50_000)
    folder = write_folder(tmp_path, TWO_LABELS)
    os.truncate(folder / "train.bin", 2**24)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="at most 50000 bytes; found: more"):
            read_cifar(TWO_LABELS, folder, never)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(
    not Path(os.environ.get("PYSI_DATA") or "nowhere", CIFAR10.folder).is_dir(),
    reason="PYSI_DATA names no folder with CIFAR",
)
def test_cifar_is_the_published_one():
    messages = []
    both = load_dataset("cifar10-100", announce=messages.append)
    x, y = both.x_train[:50_000], both.y_train[:50_000]
    # The published means of the channels of CIFAR-10's training set.
    np.testing.assert_allclose(
        x.mean((0, 1, 2)) / 255, [0.49139968, 0.48215841, 0.44653091], atol=5e-9
    )
    assert np.bincount(y).tolist() == [5000] * 10
    assert np.bincount(both.y_test[:10_000]).tolist() == [1000] * 10
    # CIFAR-100 has 500 and 100 of each class; some copies hold only some of its classes.
    for labels, count in ((both.y_train[50_000:], 500), (both.y_test[10_000:], 100)):
        classes, counts = np.unique(labels, return_counts=True)
        assert classes.min() >= 10 and classes.max() < 110 and set(counts) == {count}
        assert (len(classes) == 100) == (not messages)
