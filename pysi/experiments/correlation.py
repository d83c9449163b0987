"""How alike the tasks' ω are: correlations between rows, as in the paper's Figure 5."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pysi.typing import Array


def correlation(rows: Sequence[Any], *, chunk: int = 1 << 20) -> Array:
    """Return the Pearson correlation of every pair of rows.

    In the paper's Figure 5, a row is ω of a task.

    Parameters
    ----------
    rows : sequence of T array_like, (P,)
        They are read in chunks of columns, and so may be files that are larger than the memory.

    Returns
    -------
    ndarray, (T, T)
        0 where a row is constant, 1 on the diagonal.

    Examples
    --------
    >>> correlation([[1, 2, 3], [3, 2, 1], [0, 2, 4]])
    array([[ 1., -1.,  1.],
           [-1.,  1., -1.],
           [ 1., -1.,  1.]])
    """
    n = len(rows[0])
    first = np.array([row[0] for row in rows], float)[:, None]

    def chunks() -> Iterator[Array]:
        for start in range(0, n, chunk):
            part = np.array([row[start : start + chunk] for row in rows], float)
            yield part - first  # changes no correlation, and makes a constant row exactly 0

    mean = sum(part.sum(axis=1) for part in chunks()) / n
    products = np.zeros((len(rows), len(rows)))
    for part in chunks():
        centred = part - mean[:, None]
        products = products + centred @ centred.T
    scale = np.sqrt(np.diagonal(products))
    scale = np.outer(scale, scale)
    found = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    np.fill_diagonal(found, 1)
    return found


def mean_off_diagonal(matrix: ArrayLike) -> Any:
    """Return the mean of what is off the diagonal.

    For a correlation matrix, it says how alike different tasks are.

    Parameters
    ----------
    matrix : array_like, (..., T, T)

    Returns
    -------
    ndarray, (...)
        NaN for a single task, which has no other.

    Examples
    --------
    >>> mean_off_diagonal([[1.0, 0.2], [0.4, 1.0]]).round(3)
    np.float64(0.3)
    """
    matrix = np.asarray(matrix, dtype=float)
    n = matrix.shape[-1]
    if n == 1:
        return np.full(matrix.shape[:-2], np.nan)[()]
    return (matrix.sum(axis=(-2, -1)) - np.trace(matrix, axis1=-2, axis2=-1)) / (n * (n - 1))
