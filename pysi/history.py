"""What a run tells while it learns (events), and what it leaves behind (a history).

Tasks, epochs and steps are counted from 1.
"""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass
class Event:
    """Something has happened in the `run` while the task with this number was learned."""

    run: object
    task: int


@dataclass
class Step(Event):
    """A minibatch was learned: the `step` of an epoch, and its `loss`, (...), on the device."""

    epoch: int
    step: int
    loss: object


@dataclass
class Epoch(Event):
    """An epoch has ended: mean `loss` of its steps, `penalty` at its end, (...), and `seconds`."""

    epoch: int
    loss: np.ndarray
    penalty: np.ndarray
    seconds: float


@dataclass
class TaskLearned(Event):
    """A task's last epoch is over, and ω is still the task's own."""


@dataclass
class TaskEnded(Event):
    """The rule has consolidated a task, in `seconds`; all tasks were tested: (..., tasks)."""

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
        The `task`, `epoch`, `loss`, `penalty` and `seconds` of every `Epoch`.
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
            entry = {"task": event.task, "epoch": event.epoch, "loss": event.loss.tolist()}
            entry |= {"penalty": event.penalty.tolist(), "seconds": event.seconds}
            self.epochs.append(entry)
        elif isinstance(event, TaskEnded):
            self.consolidation.append(event.seconds)
            self.test_accuracy[..., event.task - 1, :] = event.test_accuracy
            self.train_accuracy[..., event.task - 1, :] = event.train_accuracy

    def replicas(self):
        """The history of each of several networks; of a single one, itself."""
        if self.test_accuracy.ndim == 2:
            return [self]
        found = []
        for r in range(len(self.test_accuracy)):
            epochs = [e | {k: e[k][r] for k in ("loss", "penalty")} for e in self.epochs]
            test, train = self.test_accuracy[r], self.train_accuracy[r]
            found.append(replace(self, test_accuracy=test, train_accuracy=train, epochs=epochs))
        return found
