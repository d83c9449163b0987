"""Metrics: from an accuracy matrix to the numbers that are reported.

An accuracy matrix A has in [i, j] the accuracy on task j after training on task i, from 0; any axes
before the last two (seeds) are carried along.
"""

import numpy as np


def mean_over_tasks(values):
    """Mean over the last axis; 0 where there is no task to average over."""
    return values.mean(axis=-1) if values.shape[-1] else np.zeros(values.shape[:-1])


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
    learned = np.tril(np.ones((n, n), bool))[:-1, :-1]
    best = np.where(learned, accuracy[..., :-1, :-1], -np.inf).max(axis=-2, initial=-np.inf)
    return mean_over_tasks(best - accuracy[..., -1, :-1])


def backward_transfer(accuracy):
    """What learning later tasks has done to the earlier ones: negative where they are forgotten.

    Parameters
    ----------
    accuracy : array_like, (..., T, T)

    Returns
    -------
    ndarray, (...)
        Mean over j < T-1 of A[T-1, j] - A[j, j]; 0 for a single task. Unlike `forgetting` it counts
        from the accuracy right after a task, not from the best one.

    References
    ----------
    Lopez-Paz & Ranzato (2017), Gradient Episodic Memory for Continual Learning, NeurIPS.

    Examples
    --------
    >>> backward_transfer([[1.0, 0.5], [0.8, 0.9]]).round(3)
    np.float64(-0.2)
    """
    accuracy = np.asarray(accuracy, dtype=float)
    learned = np.diagonal(accuracy, axis1=-2, axis2=-1)
    return mean_over_tasks(accuracy[..., -1, :-1] - learned[..., :-1])


def forward_transfer(accuracy, untrained):
    """What the earlier tasks do for a task before it is learned.

    Parameters
    ----------
    accuracy : array_like, (..., T, T)
    untrained : float or array_like, (..., T)
        Accuracy on each task at initialisation, or the chance level.

    Returns
    -------
    ndarray, (...)
        Mean over j > 0 of A[j-1, j] - untrained[j]; 0 for a single task.

    References
    ----------
    Lopez-Paz & Ranzato (2017), Gradient Episodic Memory for Continual Learning, NeurIPS.

    Examples
    --------
    >>> forward_transfer([[1.0, 0.6], [0.8, 0.9]], 0.5).round(3)
    np.float64(0.1)
    """
    accuracy = np.asarray(accuracy, dtype=float)
    before = np.diagonal(accuracy, offset=1, axis1=-2, axis2=-1)
    untrained = np.broadcast_to(untrained, accuracy.shape[:-1])
    return mean_over_tasks(before - untrained[..., 1:])


def intransigence(accuracy, reference):
    """How much of a task cannot be learned any more: reference accuracy minus A[j, j], on average.

    Parameters
    ----------
    accuracy : array_like, (..., T, T)
    reference : float or array_like, (..., T)
        Accuracy on each task of a network that was free to learn it: trained on that task alone,
        or on all tasks up to it together, as published. Say which.

    Returns
    -------
    ndarray, (...)
        Mean over all tasks; negative where earlier tasks help.

    References
    ----------
    Chaudhry, Dokania, Ajanthan & Torr (2018), Riemannian Walk for Incremental Learning, ECCV.

    Examples
    --------
    >>> intransigence([[1.0, 0.6], [0.8, 0.9]], [1.0, 0.98]).round(3)
    np.float64(0.04)
    """
    learned = np.diagonal(np.asarray(accuracy, dtype=float), axis1=-2, axis2=-1)
    return (np.asarray(reference) - learned).mean(axis=-1)


def correlation(rows, *, chunk=1 << 20):
    """Pearson correlation of every pair of rows, as of ω between tasks in the paper's Figure 5.

    Parameters
    ----------
    rows : sequence of T array_like, (P,)
        Read in chunks of columns, so that they may be files that are larger than the memory.

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

    def chunks():
        for start in range(0, n, chunk):
            part = np.array([row[start : start + chunk] for row in rows], float)
            yield part - first  # changes no correlation, and makes a constant row exactly 0

    mean = sum(part.sum(axis=1) for part in chunks()) / n
    products = 0
    for part in chunks():
        centred = part - mean[:, None]
        products = products + centred @ centred.T
    scale = np.sqrt(np.diagonal(products))
    scale = np.outer(scale, scale)
    found = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    np.fill_diagonal(found, 1)
    return found


def mean_off_diagonal(matrix):
    """Mean of what is off the diagonal: of a correlation matrix, how alike different tasks are.

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


def sd(values, axis=0):
    """Sample standard deviation, with n - 1 in the variance; NaN for a single value.

    Examples
    --------
    >>> sd([1.0, 2.0, 3.0])
    np.float64(1.0)
    """
    values = np.asarray(values, dtype=float)
    if values.shape[axis] < 2:
        return np.full(values.mean(axis=axis).shape, np.nan)[()]
    return values.std(axis=axis, ddof=1)


def sem(values, axis=0):
    """Standard error of the mean, s / √n with `sd` as s; NaN for a single value.

    Examples
    --------
    >>> sem([1.0, 2.0, 3.0]).round(3)
    np.float64(0.577)
    """
    return sd(values, axis) / np.sqrt(np.shape(values)[axis])
