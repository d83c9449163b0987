"""The real digits: the whole of MNIST where it is at hand, and the subset in the package."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.data import load_dataset, mnist_5k
from pysi.errors import DataError

needs_mnist = pytest.mark.skipif(
    not os.environ.get("PYSI_DATA"), reason="PYSI_DATA names no folder with MNIST"
)
ROOT = Path(pysi.__file__).parents[1]
IMAGES, LABELS = (name for name, _ in mnist_5k.FILES.values())


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package's files, which a test may damage; it is what is read."""
    for name in (IMAGES, LABELS):
        shutil.copy(mnist_5k.folder() / name, tmp_path)
    monkeypatch.setattr(mnist_5k, "folder", lambda: tmp_path)
    return tmp_path


@needs_mnist
def test_mnist_is_the_published_one():
    mnist = load_dataset("mnist")
    assert mnist.name == "mnist"
    assert mnist.x_train.shape == (60000, 784) and mnist.x_test.shape == (10000, 784)
    assert np.bincount(mnist.y_train).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    ]
    assert np.bincount(mnist.y_test).tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ]
    for x in (mnist.x_train, mnist.x_test):
        assert x.dtype == np.uint8 and x.min() == 0 and x.max() == 255
    # The published mean and standard deviation of the training pixels.
    assert mnist.x_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.x_train.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert mnist.checksums["t10k-labels-idx1-ubyte"] == "md5:27ae3e4e09519cfbb04c329615203637"


@needs_mnist
def test_the_subset_lies_in_mnists_training_set():
    mnist, subset = load_dataset("mnist"), load_dataset("mnist-5k")
    label = {x.tobytes(): y for x, y in zip(mnist.x_train, mnist.y_train, strict=True)}
    for x, y in ((subset.x_train, subset.y_train), (subset.x_test, subset.y_test)):
        assert [label.get(row.tobytes()) for row in x] == y.tolist()


@pytest.mark.smoke
def test_the_subset():
    subset = load_dataset("mnist-5k")
    assert subset.name == "mnist-5k" and subset.source == "the package pysi"
    assert subset.x_train.shape == (4000, 784) and subset.x_test.shape == (1000, 784)
    assert np.bincount(subset.y_train).tolist() == [400] * 10
    assert np.bincount(subset.y_test).tolist() == [100] * 10
    assert subset.x_train.dtype == np.uint8 and subset.y_test.dtype == np.int64
    assert len({row.tobytes() for row in np.r_[subset.x_train, subset.x_test]}) == 5000


@pytest.mark.smoke
def test_the_subset_is_the_one_of_all_earlier_results():
    # A result names these, and is resumed on no others.
    assert load_dataset("mnist-5k").checksums == {
        "pixels": "sha256:2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
        "labels": "sha256:41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
    }


def other_bit(content):
    plain = bytearray(gzip.decompress(content))
    plain[-1] ^= 1
    return gzip.compress(bytes(plain))


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_bit, "with SHA-256 .*; found: "),
        (lambda content: content[:-9], "readable IDX file"),
        (lambda content: b"", "magic number"),
        (lambda content: gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])), "shape .*; found: "),
    ],
)
def test_damaged_digits_are_refused(copy, name, damage, message):
    path = copy / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist-5k")
    assert str(caught.value).startswith(str(path))


@pytest.mark.slow
def test_the_digits_are_read_from_a_zipped_package(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "pysi"), "zip", ROOT, "pysi")
    code = (
        "from pysi.data import load_dataset as d; import pysi; print(pysi.__file__, d('mnist-5k'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100,
        env=os.environ | {"PYTHONPATH": archive}, cwd=tmp_path,
    )  # fmt: skip
    assert ended.stdout.startswith(archive), ended.stderr
    assert "Dataset('mnist-5k', 4000 + 1000 examples" in ended.stdout


@pytest.mark.smoke
def test_missing_digits_are_an_error_that_names_the_file(copy):
    (copy / LABELS).unlink()
    with pytest.raises(DataError, match=f"{LABELS}: .*No such file"):
        load_dataset("mnist-5k")
