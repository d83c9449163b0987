"""What a run tells while it learns (events), and what it leaves behind (a history).

Tasks, epochs and steps are counted from 1.
"""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass
class Step:
    """A minibatch was learned: the `step` of an epoch (from 1), and its `loss`, (...)."""

    run: object
    task: int
    epoch: int
    step: int
    loss: object


@dataclass
class Epoch:
    """An epoch has ended: mean `loss` of its steps and `penalty` at its end, (...); `seconds`."""

    run: object
    task: int
    epoch: int
    loss: np.ndarray
    penalty: np.ndarray
    seconds: float


@dataclass
class TaskLearned:
    """A task's last epoch is over, and ω is still the task's own."""

    run: object
    task: int


@dataclass
class TaskEnded:
    """The rule has consolidated a task, which took `seconds`; all tasks were tested: (..., tasks)."""

    run: object
    task: int
    test_accuracy: np.ndarray
    train_accuracy: np.ndarray
    seconds: float


@dataclass
class History:
    """What a run leaves behind; it listens to `pysi.training.Run.learn`.

    Attributes
    ----------
    test_accuracy, train_accuracy : ndarray, (..., tasks learned, tasks tested)
        Entry [i, j]: accuracy on task j after training on task i, both counted from 0.
    epochs : list of dict
        For every epoch its `task` and `epoch` (from 1), the mean `loss` of the task over its steps,
        the `penalty` at its end, and its `seconds`.
    consolidation : list of float
        Seconds that the rule took at the end of each task.
    """

    test_accuracy: np.ndarray
    train_accuracy: np.ndarray
    epochs: list = field(default_factory=list)
    consolidation: list = field(default_factory=list)

    @classmethod
    def empty(cls, run):
        """The history of a run that has not begun."""
        shape = (*run.net.synapses.lead, len(run.tasks), len(run.tested))
        return cls(np.full(shape, np.nan), np.full(shape, np.nan))

    def __call__(self, event):
        """Record an event."""
        if isinstance(event, Epoch):
            self.epochs.append(
                {
                    "task": event.task,
                    "epoch": event.epoch,
                    "loss": event.loss.tolist(),
                    "penalty": event.penalty.tolist(),
                    "seconds": event.seconds,
                }
            )
        elif isinstance(event, TaskEnded):
            self.consolidation.append(event.seconds)
            self.test_accuracy[..., event.task - 1, :] = event.test_accuracy
            self.train_accuracy[..., event.task - 1, :] = event.train_accuracy

    def replicas(self):
        """The history of each of several networks; of a single one, itself."""
        if self.test_accuracy.ndim == 2:
            return [self]
        return [
            replace(
                self,
                test_accuracy=self.test_accuracy[r],
                train_accuracy=self.train_accuracy[r],
                epochs=[
                    epoch | {name: epoch[name][r] for name in ("loss", "penalty")}
                    for epoch in self.epochs
                ],
            )
            for r in range(len(self.test_accuracy))
        ]
