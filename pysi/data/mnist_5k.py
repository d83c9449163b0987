"""mnist-5k: 5,000 real MNIST digits that come with the package, for work without a network.

There are 500 per class, all from MNIST's training set, sorted by class; every fifth one is held out
for testing. They are a twelfth of the paper's data, so results on them are not comparable with the
paper's. Their folder, `mnist-5k`, says where they come from and under which licence.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pysi.data.dataset import Dataset
from pysi.data.idx import read_idx
from pysi.errors import DataError
from pysi.typing import Array

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FILES = {
    "pixels": ("images-idx3-ubyte.gz", (5000, 28, 28)),
    "labels": ("labels-idx1-ubyte.gz", (5000,)),
}
"""The name of each file, and the shape of what it holds."""

SHA256 = {
    "pixels": "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
    "labels": "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
}
"""Checksums of the arrays as bytes."""


def folder() -> Traversable:
    """Return the folder of the files, which may lie in an archive."""
    from importlib.resources import files  # takes time to import, and is rarely needed

    return files("pysi.data") / "mnist-5k"


def read_mnist_5k() -> Dataset:
    """Read and verify the digits that come with the package.

    Returns
    -------
    Dataset
        4,000 training and 1,000 test images of 784 pixels: 400 and 100 of each class.

    Raises
    ------
    DataError
        A file is missing or damaged.
    """
    pixels, labels = _read("pixels").reshape(5000, -1), _read("labels").astype(np.int64)
    # They are sorted by class, and 500 is a multiple of 5: this takes 100 of each class.
    test = np.arange(5000) % 5 == 4
    return Dataset(
        name="mnist-5k",
        x_train=pixels[~test],
        y_train=labels[~test],
        x_test=pixels[test],
        y_test=labels[test],
        n_classes=10,
        source="the package pysi",
        checksums={name: f"sha256:{digest}" for name, digest in SHA256.items()},
    )


def _read(name: str) -> Array:
    from importlib.resources import as_file

    file, shape = FILES[name]
    with as_file(folder() / file) as path:
        array = read_idx(path)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    if array.shape != shape or digest != SHA256[name]:
        raise DataError(
            f"{folder() / file}: expected {name} of shape {shape} with SHA-256 {SHA256[name]}; "
            f"found: {array.shape}, {digest}.\nThe file is damaged. Install the package again."
        )
    return array
