"""Evaluation: the mean score of a network on a task's examples."""

from typing import Any

import numpy as np

from pysi.backend import to_host
from pysi.network import Network
from pysi.tasks import Task

EVALUATION_BATCH = 1000
"""How many examples are tested at a time: this bounds the memory, and changes nothing else."""


def score(net: Network, task: Task, part: str, learned: Task | None = None) -> np.ndarray:
    """Return a task's mean score on its "train" or "test" examples, (...), on the host.

    The network chooses among the task's classes; if the task is `cumulative`, among those that are
    active in the task that was `learned` last.
    """
    total: Any = 0
    x, targets = task.part(part)
    active = learned.active if learned and task.cumulative else task.active
    for start in range(0, len(targets), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        found = task.loss.score(net.logits(x[batch]), targets[batch], active)
        total = total + found.sum(axis=-1)
    return to_host(total) / len(targets)
