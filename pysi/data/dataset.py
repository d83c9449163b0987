"""What every data source gives: training and test arrays, and a record of where they come from."""

from dataclasses import dataclass, replace

import numpy as np

from pysi.backend import stream


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, as stored: pixels are bytes, labels are class numbers.

    The arrays are read-only, because every task of a run is cut from the same ones.

    Attributes
    ----------
    name : str
        What results record, such as ``"mnist"``, or ``"mnist-5k"`` for the embedded subset.
    x_train, x_test : ndarray of uint8, shape (N, 784) or (N, 32, 32, 3)
        Digits: one image a row, its pixels row by row, 0 (background) to 255 (ink). CIFAR: one
        image an entry: rows, columns and channels (red, green, blue).
    y_train, y_test : ndarray of int64, shape (N,)
        The class of each image, from 0 to ``n_classes - 1``.
    n_classes : int
        The number of classes.
    source : str
        The folder or archive the data was read from, or the package (and its version) that ships
        it.
    checksums : dict of str to str
        ``"md5:…"`` or ``"sha256:…"`` of the decompressed content, by file or array.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    n_classes: int
    source: str
    checksums: dict[str, str]

    def __post_init__(self):
        for name in ("x_train", "y_train", "x_test", "y_test"):
            view = np.asarray(getattr(self, name)).view()  # the caller's array stays as it is
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def hold_out(self):
        """The training set, a random sixth of which has become the test set.

        Settings are chosen on this: the real test set is not in it. The choice is always the same;
        of MNIST's 60,000 training examples, 10,000 are held out.
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
