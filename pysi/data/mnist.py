"""MNIST: the four official files, and a check that they are the true ones.

Source: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysi.data.dataset import Dataset
from pysi.data.idx import idx_md5, read_idx
from pysi.errors import DataError
from pysi.typing import Array, File, Shape


@dataclass(frozen=True)
class OfficialFile:
    """A file as it must be: its name, the shape it holds, and the MD5 of its plain content."""

    name: str
    shape: Shape
    md5: str


# The checksums are of the uncompressed files: copies differ in how they were gzipped.
FILES = (
    OfficialFile("train-images-idx3-ubyte", (60000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
    OfficialFile("train-labels-idx1-ubyte", (60000,), "a25bea736e30d166cdddb491f175f624"),
    OfficialFile("t10k-images-idx3-ubyte", (10000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
    OfficialFile("t10k-labels-idx1-ubyte", (10000,), "27ae3e4e09519cfbb04c329615203637"),
)


def read_mnist(folder: File) -> Dataset:
    """Read and verify MNIST.

    Parameters
    ----------
    folder : path-like
        Holds the four official files, each gzipped or not.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test images of 784 pixels.

    Raises
    ------
    DataError
        The folder or a file is missing, unreadable, or not what it should be.
    """
    x_train, y_train, x_test, y_test = (read_official(folder, file) for file in FILES)
    return Dataset(
        name="mnist",
        x_train=x_train.reshape(len(x_train), -1),
        y_train=y_train.astype(np.int64),
        x_test=x_test.reshape(len(x_test), -1),
        y_test=y_test.astype(np.int64),
        n_classes=10,
        source=str(folder),
        checksums={file.name: f"md5:{file.md5}" for file in FILES},
    )


def read_official(folder: File, file: OfficialFile) -> Array:
    """Read and verify one official file.

    Parameters
    ----------
    folder : path-like
        Where it lies.
    file : OfficialFile
        What it must be.

    Returns
    -------
    ndarray of uint8, shape ``file.shape``
        Its content; read-only.

    Raises
    ------
    DataError
        The file is missing, unreadable, or not the official one.
    """
    path = _find(Path(folder), file.name)
    array = read_idx(path)
    if array.shape != file.shape:
        raise DataError(
            f"{path}: expected shape {file.shape}; found: {array.shape}.\n"
            "Replace it with the official file."
        )
    md5 = idx_md5(array)
    if md5 != file.md5:
        raise DataError(
            f"{path}: expected decompressed content with MD5 {file.md5}; found: {md5}.\n"
            "Some bytes differ. Replace it with the official file."
        )
    return array


def _find(folder: Path, name: str) -> Path:
    try:
        present = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder with MNIST's files; found: {error.strerror}.\n"
            "Put the four official files there."
        ) from error
    dotted = name.replace("-idx", ".idx")
    # The gzipped file comes first because it is what a download writes: fetching again then
    # repairs the cache even where a bad plain file lies beside it.
    for spelling in (f"{name}.gz", name, f"{dotted}.gz", dotted):
        if spelling in present:
            return folder / spelling
    raise DataError(
        f"{folder}: expected the file {name}, or {name}.gz; found: neither.\n"
        "Put the official file there."
    )
