"""Metrics of transfer between tasks, from an accuracy matrix as in `pysi.metrics`."""

from typing import Any

import numpy as np

from pysi.inputs import square
from pysi.typing import Array


def mean_over_tasks(values: Array) -> Any:
    """Mean over the last axis; 0 where there is no task to average over."""
    return values.mean(axis=-1) if values.shape[-1] else np.zeros(values.shape[:-1])


def backward_transfer(accuracy: Any) -> Any:
    """The effect of later tasks on earlier ones: mean over j < T-1 of A[T-1, j] - A[j, j].

    It is negative where tasks are forgotten. Unlike `forgetting`, it counts from the accuracy right
    after a task, not from the best one. Source: Lopez-Paz & Ranzato (2017), Gradient Episodic
    Memory.

    >>> backward_transfer([[1.0, 0.5], [0.8, 0.9]]).round(3)
    np.float64(-0.2)
    """
    accuracy = square(accuracy)
    learned = np.diagonal(accuracy, axis1=-2, axis2=-1)
    return mean_over_tasks(accuracy[..., -1, :-1] - learned[..., :-1])


def forward_transfer(accuracy: Any, untrained: Any) -> Any:
    """The effect of earlier tasks on a task not yet learned: mean of A[j-1, j] - untrained[j].

    `untrained` is the accuracy at initialisation, (..., T), or the chance level. Source: Lopez-Paz
    & Ranzato (2017).

    >>> forward_transfer([[1.0, 0.6], [0.8, 0.9]], 0.5).round(3)
    np.float64(0.1)
    """
    accuracy = square(accuracy)
    before = np.diagonal(accuracy, offset=1, axis1=-2, axis2=-1)
    untrained = np.broadcast_to(untrained, accuracy.shape[:-1])
    return mean_over_tasks(before - untrained[..., 1:])


def intransigence(accuracy: Any, reference: Any) -> Any:
    """How much of a task cannot be learned any more: mean of reference[j] - A[j, j].

    `reference` is the accuracy of a network that was free to learn: as published, on all tasks up
    to task j together; or on task j alone. Say which you used. The result is negative where earlier
    tasks help. Source: Chaudhry et al. (2018).

    >>> intransigence([[1.0, 0.6], [0.8, 0.9]], [1.0, 0.98]).round(3)
    np.float64(0.04)
    """
    learned = np.diagonal(square(accuracy), axis1=-2, axis2=-1)
    return (np.asarray(reference) - learned).mean(axis=-1)
