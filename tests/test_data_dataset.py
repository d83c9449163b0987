"""A data set of one's own: what is refused, by name, and what is said of it."""

import numpy as np
import pytest

from pysi.data import Dataset
from pysi.errors import ConfigError

X = np.linspace(0, 1, 24).reshape(6, 4)
Y = np.arange(6) % 3


def dataset(x_train=X, y_train=Y, x_test=X, y_test=Y, n_classes=3):
    return Dataset("mine", x_train, y_train, x_test, y_test, n_classes, "here", {})


def spoiled(value, at=(4, 2)):
    x = X.copy()
    x[at] = value
    return x


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"x_train": spoiled(np.nan)},
            "x_train: .* in 1 of 6 examples, the first in example 4",
        ),
        ({"x_test": spoiled(-np.inf)}, "x_test: .* finite numbers"),
        ({"x_test": [["a", "b"]] * 6}, "x_test: .* of floats, .* found one of <U1"),
        (
            {"x_train": np.full((6, 4), None)},
            "x_train: .* of floats, .* found one of object",
        ),
        ({"x_train": X * 1j}, "x_train: .* of floats, .* found one of complex128"),
        (
            {"x_train": (X * 255).astype(int)},
            "x_train: .* of floats, .* found one of int64",
        ),
        ({"x_train": X[0], "y_train": Y[:4]}, r"x_train: .*\(N, ...\), found shape \(4,\)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train: expected one or more examples"),
        ({"x_test": X[:, :3]}, r"x_test: .*\(4,\), as in x_train, found \(3,\)"),
        ({"x_test": X.reshape(6, 2, 2)}, r"x_test: .*as in x_train, found \(2, 2\)"),
        ({"y_train": Y[:, None]}, "y_train: expected one label per example"),
        ({"y_test": np.eye(3, dtype=int)[Y]}, r"y_test: .* shape \(6,\), found shape \(6, 3\)"),
        ({"y_test": Y[:5]}, r"y_test: .*found shape \(5,\)"),
        ({"y_train": Y / 1}, "y_train: expected whole numbers as classes, found .* float64"),
        ({"y_train": list("abcabc")}, "y_train: expected whole numbers"),
        ({"y_train": Y + 1}, "y_train: expected classes from 0 to 2, found labels from 1 to 3"),
        ({"y_test": Y - 1}, "y_test: expected classes from 0 to 2, found labels from -1 to 1"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(given, message):
    with pytest.raises(ConfigError, match=f"data set 'mine': {message}"):
        dataset(**given)


def test_lists_and_labels_of_any_width_are_taken():
    made = dataset(x_train=X.tolist(), y_train=Y.tolist(), y_test=Y.astype(np.uint8))
    np.testing.assert_array_equal(made.x_train, X)
    assert made.y_train.dtype == made.y_test.dtype == np.int64


def test_its_repr_is_short_and_true(mnist_5k):
    told = "Dataset('mnist-5k', 4000 + 1000 examples of shape (784,), uint8, 10 classes)"
    assert repr(mnist_5k) == told
