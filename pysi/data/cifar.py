"""CIFAR-10 and CIFAR-100: the official binary version, as its archive or unpacked.

A file is a sequence of records, without a header, and a record is one image::

    labels  1 byte per label  CIFAR-10: the class; CIFAR-100: the coarse class, then the fine one
    pixels  3072 bytes        red, green, blue: 32 x 32 bytes each, row by row

Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*,
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysi.data.dataset import Dataset
from pysi.data.idx import open_file
from pysi.errors import DataError
from pysi.typing import Array

CHANNELS, SIDE = 3, 32

# The largest official file has 154 MB. The limit keeps another file from filling the memory.
MAX_BYTES = 2**28


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, as it is published.

    Attributes
    ----------
    name, title : str
        In results, and in messages.
    archive, md5 : str
        The archive of the binary version, and its published checksum.
    folder : str
        What the archive unpacks to.
    train : tuple of str
        Files of the training set, in order and of equal size.
    test : str
        The file of the test set.
    labels : tuple of (str, int)
        What each label byte says, and the number of its classes; the last one is what is learned.
    n_train, n_test : int
        The official numbers of images.
    """

    name: str
    title: str
    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: tuple[tuple[str, int], ...]
    n_train: int = 50_000
    n_test: int = 10_000

    @property
    def record_bytes(self) -> int:
        """The size of one image with its labels."""
        return len(self.labels) + CHANNELS * SIDE**2

    @property
    def sizes(self) -> dict[str, int]:
        """The official size of every file, in bytes."""
        train = dict.fromkeys(self.train, self.n_train // len(self.train) * self.record_bytes)
        return train | {self.test: self.n_test * self.record_bytes}


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test="test_batch.bin",
    labels=(("class", 10),),
)
CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    labels=(("coarse", 20), ("fine", 100)),
)


def read_cifar(kind: Cifar, path: Path, announce: Callable[[str], object]) -> Dataset:
    """Read and verify CIFAR-10 or CIFAR-100.

    The archive must be the official one. For unpacked files no checksum is published: they may hold
    any number of images, which is announced if it is not the official number.

    Parameters
    ----------
    kind : Cifar
        Which of the two.
    path : Path
        The archive, by its official name, or the folder that it unpacks to.
    announce : callable
        Called with one message (str) if there are fewer or more images than the official number.

    Returns
    -------
    Dataset
        Images of shape (32, 32, 3), with the fine classes of CIFAR-100.

    Raises
    ------
    DataError
        A file is missing, unreadable, or not what it should be.
    """
    contents = _read_archive(kind, path) if path.name == kind.archive else _read_folder(kind, path)
    records = {name: _records(kind, path / name, contents[name]) for name in kind.sizes}
    x_train, y_train = _images_and_labels(kind, [records[name] for name in kind.train])
    x_test, y_test = _images_and_labels(kind, [records[kind.test]])
    _, n_classes = kind.labels[-1]
    if (len(y_train), len(y_test)) != (kind.n_train, kind.n_test):
        announce(
            f"{path}: {len(y_train):,} training and {len(y_test):,} test images, of "
            f"{len(np.unique(y_train))} classes; {kind.title} has {kind.n_train:,} and "
            f"{kind.n_test:,}, of {n_classes}.\nThe images that were found are used."
        )
    return Dataset(
        name=kind.name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        n_classes=n_classes,
        source=str(path),
        checksums={
            f"{kind.folder}/{name}": f"sha256:{hashlib.sha256(contents[name]).hexdigest()}"
            for name in kind.sizes
        },
    )


def join(first: Dataset, second: Dataset) -> Dataset:
    """Return CIFAR-10 and CIFAR-100 as one data set.

    Parameters
    ----------
    first, second : Dataset
        The numbers of the second's classes go on from the last class of the first.

    Returns
    -------
    Dataset
        The first's images, then the second's.
    """

    def labels(part: str) -> Array:
        return np.concatenate(
            [getattr(first, f"y_{part}"), getattr(second, f"y_{part}") + first.n_classes]
        )

    return Dataset(
        name="cifar10-100",
        x_train=np.concatenate([first.x_train, second.x_train]),
        y_train=labels("train"),
        x_test=np.concatenate([first.x_test, second.x_test]),
        y_test=labels("test"),
        n_classes=first.n_classes + second.n_classes,
        source=f"{first.source}, {second.source}",
        checksums={**first.checksums, **second.checksums},
    )


def _read_archive(kind: Cifar, path: Path) -> dict[str, bytes]:
    import tarfile

    names = {f"{kind.folder}/{name}": name for name in kind.sizes}
    contents = {}
    try:
        with open_file(path) as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if md5 != kind.md5:
                raise _refusal(path, f"an archive with MD5 {kind.md5}", md5)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                # In the archive's own order, because going back in it means unpacking it again.
                for member in archive:
                    if member.name not in names:
                        continue
                    size = kind.sizes[names[member.name]]
                    if not member.isreg() or member.size != size:
                        expected = f"{member.name} to be a regular file of {size} bytes"
                        raise _refusal(path, expected, f"{member.size} bytes, type {member.type!r}")
                    content = archive.extractfile(member)
                    assert content is not None  # as it is for anything but a regular file
                    contents[names[member.name]] = content.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise _refusal(path, "a readable tar.gz archive", reason) from error
    if missing := sorted(kind.sizes.keys() - contents.keys()):
        raise _refusal(path, f"the files {', '.join(kind.sizes)}", f"no {', '.join(missing)}")
    return contents


def _read_folder(kind: Cifar, folder: Path) -> dict[str, bytes]:
    contents = {}
    for name in kind.sizes:
        try:
            with open_file(folder / name) as file:
                contents[name] = file.read(MAX_BYTES + 1)
        except OSError as error:
            expected = f"a readable file of {kind.title}"
            raise _refusal(folder / name, expected, error.strerror or error) from error
        if len(contents[name]) > MAX_BYTES:
            raise _refusal(folder / name, f"at most {MAX_BYTES} bytes", "more")
    return contents


def _records(kind: Cifar, path: Path, content: bytes) -> Array:
    if not content or len(content) % kind.record_bytes:
        expected = f"one or more whole records of {kind.record_bytes} bytes"
        raise _refusal(path, expected, f"{len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, kind.record_bytes)
    for column, (label, n_classes) in enumerate(kind.labels):
        if (highest := records[:, column].max()) >= n_classes:
            raise _refusal(path, f"{label} labels below {n_classes}", highest)
    return records


def _images_and_labels(kind: Cifar, files: list[Array]) -> tuple[Array, Array]:
    n_labels = len(kind.labels)
    planes = [records[:, n_labels:].reshape(-1, CHANNELS, SIDE, SIDE) for records in files]
    x = np.empty((sum(map(len, files)), SIDE, SIDE, CHANNELS), np.uint8)
    # Joined and put in order in the same copy: each is a large part of the memory.
    np.concatenate([image.transpose(0, 2, 3, 1) for image in planes], out=x)
    return x, np.concatenate([records[:, n_labels - 1] for records in files]).astype(np.int64)


def _refusal(path: Path, expected: str, found: object) -> DataError:
    return DataError(
        f"{path}: expected {expected}; found: {found}.\n"
        "Put a fresh copy of the official file there, readable by this user."
    )
