"""What a run reports while it learns (events), and what it leaves behind (a history).

Tasks, epochs and steps are counted from 1.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class Event:
    """Something has happened in the `run` while the task with this number was learned."""

    run: Any
    task: int


@dataclass
class Step(Event):
    """A minibatch was learned: the `step` of an epoch, and its `loss`, (...), on the device."""

    epoch: int
    step: int
    loss: Any


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


@dataclass(repr=False)
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
    task_names, tested_names : list of str
        Names of the tasks that are learned, and of those that are tested.
    """

    test_accuracy: np.ndarray
    train_accuracy: np.ndarray
    epochs: list[dict[str, Any]] = field(default_factory=list)
    consolidation: list[float] = field(default_factory=list)
    task_names: list[str] = field(default_factory=list)
    tested_names: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, run: Any) -> "History":
        """Return the history of a run that has not begun."""
        shape = (*run.net.synapses.lead, len(run.tasks), len(run.tested))
        names = ([task.name for task in tasks] for tasks in (run.tasks, run.tested))
        return cls(np.full(shape, np.nan), np.full(shape, np.nan), [], [], *names)

    def __repr__(self) -> str:
        *lead, n, tested = self.test_accuracy.shape
        done = int((~np.isnan(self.test_accuracy).all(axis=-1)).reshape(-1, n).all(axis=0).sum())
        text = f"History of {done} of {n} tasks"
        if lead:
            text += f", {lead[0]} networks"
        if done and n == tested:
            mean = np.nanmean(self.test_accuracy[..., done - 1, :done])
            text += f": average test accuracy {mean:.4f} after task {done}"
        return f"<{text}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict of plain values per pair of tasks, learned and tested, and network.

        They suit ``pandas.DataFrame(history.rows())`` and ``json.dumps``. What has not been learned
        yet is left out. Tasks and networks are counted from 1.
        """
        return [
            {
                **({"network": r} if self.test_accuracy.ndim > 2 else {}),
                "learned": i + 1,
                "tested": j + 1,
                "name": (self.tested_names or [str(j + 1)] * (j + 1))[j],
                "test_accuracy": float(one.test_accuracy[i, j]),
                "train_accuracy": float(one.train_accuracy[i, j]),
            }
            for r, one in enumerate(self.replicas(), start=1)
            for i, j in np.ndindex(one.test_accuracy.shape)
            if not np.isnan(one.test_accuracy[i, j])
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for ``json.dumps``; None stands for what is to come."""
        values: dict[str, Any] = {
            name: np.where(np.isnan(matrix), np.array(None), matrix).tolist()
            for name, matrix in (
                ("test_accuracy", self.test_accuracy), ("train_accuracy", self.train_accuracy)
            )
        }  # fmt: skip
        return values | {
            name: list(getattr(self, name))
            for name in ("epochs", "consolidation", "task_names", "tested_names")
        }

    def __call__(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, Epoch):
            entry = {"task": event.task, "epoch": event.epoch, "loss": event.loss.tolist()}
            entry |= {"penalty": event.penalty.tolist(), "seconds": event.seconds}
            self.epochs.append(entry)
        elif isinstance(event, TaskEnded):
            self.consolidation.append(event.seconds)
            self.test_accuracy[..., event.task - 1, :] = event.test_accuracy
            self.train_accuracy[..., event.task - 1, :] = event.train_accuracy

    def replicas(self) -> list["History"]:
        """Return a list of one history per network; for a single network, of this history alone."""
        if self.test_accuracy.ndim == 2:
            return [self]
        found = []
        for r in range(len(self.test_accuracy)):
            epochs = [e | {k: e[k][r] for k in ("loss", "penalty")} for e in self.epochs]
            test, train = self.test_accuracy[r], self.train_accuracy[r]
            found.append(replace(self, test_accuracy=test, train_accuracy=train, epochs=epochs))
        return found
