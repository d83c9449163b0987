"""Metrics: from an accuracy matrix to the numbers that are reported.

An accuracy matrix A, (..., T, T), has in [i, j] the accuracy on task j after training on task i.
Leading axes, such as seeds, are kept. A matrix that is not square is a ConfigError.
"""

from typing import Any

import numpy as np

from pysi.inputs import square
from pysi.transfer import backward_transfer, forward_transfer, intransigence, mean_over_tasks  # noqa: F401


def average_accuracy(accuracy: Any) -> Any:
    """Mean accuracy over the tasks seen so far, after each task: (..., T).

    Entry i is the mean of A[i, 0..i], as in the last panel of the paper's Figure 3.

    >>> average_accuracy([[1.0, 0.5], [0.8, 0.9]])
    array([1.  , 0.85])
    """
    accuracy = square(accuracy)
    return np.tril(accuracy).sum(axis=-1) / np.arange(1, accuracy.shape[-1] + 1)


def forgetting(accuracy: Any) -> Any:
    """Mean over the old tasks of best accuracy ever minus accuracy after the last task: (...).

    Mean over j < T-1 of max over i = j..T-2 of A[i, j] - A[T-1, j]; 0 for a single task. Source:
    Chaudhry et al. (2018), Riemannian Walk for Incremental Learning, ECCV.

    >>> forgetting([[1.0, 0.5], [0.8, 0.9]]).round(3)
    np.float64(0.2)
    """
    accuracy = square(accuracy)
    learned = np.tril(np.ones(accuracy.shape[-2:], bool))[:-1, :-1]
    best = np.where(learned, accuracy[..., :-1, :-1], -np.inf).max(axis=-2, initial=-np.inf)
    return mean_over_tasks(best - accuracy[..., -1, :-1])


def sd(values: Any, axis: int = 0) -> Any:
    """Sample standard deviation, with n - 1 in the variance; NaN for a single value."""
    values = np.asarray(values, dtype=float)
    if values.shape[axis] < 2:
        return np.full(values.mean(axis=axis).shape, np.nan)[()]
    return values.std(axis=axis, ddof=1)


def sem(values: Any, axis: int = 0) -> Any:
    """Standard error of the mean, s / √n with `sd` as s; NaN for a single value."""
    return sd(values, axis) / np.sqrt(np.shape(values)[axis])
