"""Metrics: from an accuracy matrix to the numbers that are reported.

An accuracy matrix A, (..., T, T), has in [i, j] the accuracy on task j after training on task i;
axes before (seeds) are carried along. One that is not square is a ConfigError.
"""

import numpy as np

from pysi.errors import ConfigError


def square(accuracy):
    """Return an accuracy matrix as an array; a ConfigError if it is not square."""
    accuracy = np.asarray(accuracy, dtype=float)
    if accuracy.ndim < 2 or accuracy.shape[-1] != accuracy.shape[-2] or not accuracy.shape[-1]:
        found = f"found shape {accuracy.shape}; test the tasks that were learned"
        raise ConfigError(f"accuracy: expected a square matrix [after task, on task], {found}")
    return accuracy


def mean_over_tasks(values):
    """Mean over the last axis; 0 where there is no task to average over."""
    return values.mean(axis=-1) if values.shape[-1] else np.zeros(values.shape[:-1])


def average_accuracy(accuracy):
    """Mean accuracy over the tasks seen so far, after each task: (..., T).

    Entry i is the mean of A[i, 0..i]: the last panel of the paper's Figure 3.

    >>> average_accuracy([[1.0, 0.5], [0.8, 0.9]])
    array([1.  , 0.85])
    """
    accuracy = square(accuracy)
    return np.tril(accuracy).sum(axis=-1) / np.arange(1, accuracy.shape[-1] + 1)


def forgetting(accuracy):
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


def backward_transfer(accuracy):
    """What later tasks have done to the earlier ones, mean over j < T-1 of A[T-1, j] - A[j, j].

    Negative where tasks are forgotten. Unlike `forgetting` it counts from the accuracy right after
    a task, not from the best one. Source: Lopez-Paz & Ranzato (2017), Gradient Episodic Memory.

    >>> backward_transfer([[1.0, 0.5], [0.8, 0.9]]).round(3)
    np.float64(-0.2)
    """
    accuracy = square(accuracy)
    learned = np.diagonal(accuracy, axis1=-2, axis2=-1)
    return mean_over_tasks(accuracy[..., -1, :-1] - learned[..., :-1])


def forward_transfer(accuracy, untrained):
    """What the earlier tasks do for a task before it is learned, mean of A[j-1, j] - untrained[j].

    `untrained` is the accuracy at initialisation, (..., T), or the chance level. Source: Lopez-Paz
    & Ranzato (2017).

    >>> forward_transfer([[1.0, 0.6], [0.8, 0.9]], 0.5).round(3)
    np.float64(0.1)
    """
    accuracy = square(accuracy)
    before = np.diagonal(accuracy, offset=1, axis1=-2, axis2=-1)
    untrained = np.broadcast_to(untrained, accuracy.shape[:-1])
    return mean_over_tasks(before - untrained[..., 1:])


def intransigence(accuracy, reference):
    """How much of a task cannot be learned any more, mean of reference[j] - A[j, j].

    `reference` is the accuracy of a network that was free to learn: on that task alone, or on all
    tasks up to it together, as published; say which. Negative where earlier tasks help. Source:
    Chaudhry et al. (2018).

    >>> intransigence([[1.0, 0.6], [0.8, 0.9]], [1.0, 0.98]).round(3)
    np.float64(0.04)
    """
    learned = np.diagonal(square(accuracy), axis1=-2, axis2=-1)
    return (np.asarray(reference) - learned).mean(axis=-1)


def sd(values, axis=0):
    """Sample standard deviation, with n - 1 in the variance; NaN for a single value."""
    values = np.asarray(values, dtype=float)
    if values.shape[axis] < 2:
        return np.full(values.mean(axis=axis).shape, np.nan)[()]
    return values.std(axis=axis, ddof=1)


def sem(values, axis=0):
    """Standard error of the mean, s / √n with `sd` as s; NaN for a single value."""
    return sd(values, axis) / np.sqrt(np.shape(values)[axis])
