"""What every data source gives: training and test arrays, and a record of where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pysi.backend import stream
from pysi.errors import ConfigError
from pysi.inputs import check_inputs, check_values
from pysi.typing import Array


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples, as stored: pixels are bytes, labels are class numbers.

    The arrays are read-only, because every task of a run is cut from the same ones.

    Attributes
    ----------
    name : str
        What results record, such as ``"mnist"``, or ``"mnist-5k"`` for the small set that comes
        with the package.
    x_train, x_test : array_like of bytes or floats, shape (N, ...)
        The inputs. Unsigned bytes are pixels, which a network divides by 255; floats enter it as
        they are, and anything else is refused. Digits have the shape (N, 784): one image per row,
        its pixels row by row, 0 (background) to 255 (ink). CIFAR has (N, 32, 32, 3): rows, columns
        and channels (red, green, blue).
    y_train, y_test : array_like of int, shape (N,)
        The class of each example, from 0 to ``n_classes - 1``; kept as int64.
    n_classes : int
        The number of classes.
    source : str
        The folder or archive that the data was read from, or the package that holds it.
    checksums : dict of str to str
        ``"md5:…"`` or ``"sha256:…"`` of the decompressed content, by file or array.

    Raises
    ------
    ConfigError
        The arrays do not make a data set: they hold texts, numbers that are not finite or labels
        outside the classes, or shapes or lengths do not fit. The message names the array.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    n_classes: int
    source: str
    checksums: Mapping[str, str]

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = (np.asarray(getattr(self, f"{name}_{part}")) for name in "xy")
            self._check_inputs(f"x_{part}", x)
            self._check_labels(f"y_{part}", y, len(x))
            for name, array in ((f"x_{part}", x), (f"y_{part}", y.astype(np.int64, copy=False))):
                view = array.view()  # the caller's array stays as it is
                view.flags.writeable = False
                object.__setattr__(self, name, view)
        shapes = self.x_train.shape[1:], self.x_test.shape[1:]
        if shapes[0] != shapes[1]:
            self._refuse("x_test", f"examples of shape {shapes[0]}, as in x_train", shapes[1])

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {len(self.y_train)} + {len(self.y_test)} examples of shape "
            f"{self.x_train.shape[1:]}, {self.x_train.dtype}, {self.n_classes} classes)"
        )

    def hold_out(self) -> Dataset:
        """Return the training set, a random sixth of which has become the test set.

        Settings are chosen on it, since it does not contain the real test set. The split is always
        the same; of MNIST's 60,000 training examples, 10,000 are held out.
        """
        n = len(self.y_train)
        order = stream(0, "hold out").permutation(n)
        kept, held = map(np.sort, np.split(order, [n - round(n / 6)]))
        return replace(
            self,
            x_train=self.x_train[kept],
            y_train=self.y_train[kept],
            x_test=self.x_train[held],
            y_test=self.y_train[held],
        )

    def _check_inputs(self, name: str, x: Array) -> None:
        where = f"data set {self.name!r}: {name}"
        check_inputs(where, x)
        if x.ndim < 2 or not x.size:
            self._refuse(name, "one or more examples, (N, ...)", f"shape {x.shape}")
        check_values(where, x, x.dtype)

    def _check_labels(self, name: str, y: Array, n: int) -> None:
        if y.dtype.kind not in "iu":
            self._refuse(name, "whole numbers as classes", f"an array of {y.dtype}")
        if y.shape != (n,):
            self._refuse(name, f"one label per example, shape ({n},)", f"shape {y.shape}")
        if y.min() < 0 or y.max() >= self.n_classes:
            classes = f"classes from 0 to {self.n_classes - 1}"
            self._refuse(name, classes, f"labels from {y.min()} to {y.max()}")

    def _refuse(self, name: str, expected: str, found: object) -> None:
        raise ConfigError(f"data set {self.name!r}: {name}: expected {expected}, found {found}")
