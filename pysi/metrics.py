"""Metrics: from an accuracy matrix to the numbers that are reported.

An accuracy matrix A has in [i, j] the accuracy on task j after training on task i, from 0; any axes
before the last two (seeds) are carried along.
"""

import numpy as np


def average_accuracy(accuracy):
    """Mean accuracy over the tasks seen so far, after each task.

    Parameters
    ----------
    accuracy : array_like, (..., T, T)

    Returns
    -------
    ndarray, (..., T)
        Entry i is the mean of A[i, 0..i]; the last panel of the paper's Figure 3.

    Examples
    --------
    >>> average_accuracy([[1.0, 0.5], [0.8, 0.9]])
    array([1.  , 0.85])
    """
    accuracy = np.asarray(accuracy, dtype=float)
    n = accuracy.shape[-1]
    return np.tril(accuracy).sum(axis=-1) / np.arange(1, n + 1)


def forgetting(accuracy):
    """Mean over the old tasks of best accuracy ever minus accuracy at the end.

    Parameters
    ----------
    accuracy : array_like, (..., T, T)

    Returns
    -------
    ndarray, (...)
        Mean over j < T-1 of max over i = j..T-2 of A[i, j] - A[T-1, j]; 0 for a single task.

    References
    ----------
    Chaudhry, Dokania, Ajanthan & Torr (2018), Riemannian Walk for Incremental Learning, ECCV.

    Examples
    --------
    >>> forgetting([[1.0, 0.5], [0.8, 0.9]]).round(3)
    np.float64(0.2)
    """
    accuracy = np.asarray(accuracy, dtype=float)
    n = accuracy.shape[-1]
    if n == 1:
        return np.zeros(accuracy.shape[:-2])
    learned = np.tril(np.ones((n, n), bool))[:-1, :-1]
    best = np.where(learned, accuracy[..., :-1, :-1], -np.inf).max(axis=-2)
    return (best - accuracy[..., -1, :-1]).mean(axis=-1)


def sem(values, axis=0):
    """Standard error of the mean, s / √n with n - 1 in the variance; NaN for a single value.

    Examples
    --------
    >>> sem([1.0, 2.0, 3.0]).round(3)
    np.float64(0.577)
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[axis]
    if n < 2:
        return np.full(values.mean(axis=axis).shape, np.nan)[()]
    return values.std(axis=axis, ddof=1) / np.sqrt(n)
