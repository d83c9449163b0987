"""What a run leaves behind: how accurate it was on which task, after which."""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass
class History:
    """What a run leaves behind.

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
