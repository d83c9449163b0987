"""Listeners: they receive the events of a run while it learns, by `train(..., listeners=[...])`.

Any function of an event is a listener. `pysi.storage.checkpoint.Checkpoint` is one, too.
"""

from pysi.arguments import choice
from pysi.history import Epoch, Event


class EpochAccuracy:
    """Tests all tasks after every epoch, too, and adds their accuracies to ``history.epochs``.

    Entries get "test_accuracy" or "train_accuracy": one number per tested task or, for R networks,
    a list of R such lists. It does not change training.

    Parameters
    ----------
    part : {"test", "train"}
    """

    def __init__(self, part: str = "test") -> None:
        self.part = choice("part", part, ("test", "train"))

    def __call__(self, event: Event) -> None:
        """Test all tasks if an epoch has ended."""
        if isinstance(event, Epoch):
            run = event.run
            run.history.epochs[-1][f"{self.part}_accuracy"] = run.scores(self.part).tolist()
