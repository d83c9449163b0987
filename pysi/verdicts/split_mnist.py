"""Figure 3: split MNIST, with and without consolidation (Section 5.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pysi.experiments.methods import METHODS
from pysi.metrics import average_accuracy
from pysi.verdicts.verdict import (
    FREE,
    Claim,
    Verdict,
    average_difference,
    curves_of,
    decide,
    measured,
)


def consolidated(result: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the curves of Synaptic Intelligence: method, strength and title."""
    for method, c in curves_of(result, "si"):
        yield method, c, METHODS[method].title(c)


def new_tasks(result: Any) -> Iterator[Verdict]:
    """Measure the accuracy on each task just after it was learned, the lowest of all tasks."""
    for method, c in [*curves_of(result, "fine-tuning"), *curves_of(result, "si")]:
        newest = np.diagonal(result.select(method, c), axis1=1, axis2=2)
        words = "lowest accuracy on a task just learned"
        yield decide(measured(words, newest.min(axis=1), 0.95), about=METHODS[method].title(c))


def first_loss(result: Any) -> Iterator[Verdict]:
    """Measure what task 1 loses while task 2 is learned, without consolidation."""
    if (test := result.select(*FREE)).size:
        lost = test[:, 0, 0] - test[:, 1, 0]
        yield decide(measured("task 1 loses", lost, 0.1), about=METHODS["fine-tuning"].title(0))


def minor_impairment(result: Any) -> Iterator[Verdict]:
    """Measure what task 1 loses with consolidation, and the average over both tasks."""
    for method, c, title in consolidated(result):
        test = result.select(method, c)
        yield decide(
            measured("task 1 loses", test[:, 0, 0] - test[:, 1, 0], high=0.02),
            measured("average after task 2", average_accuracy(test)[:, 1], 0.98),
            about=title,
        )


def at_chance(result: Any) -> Iterator[Verdict]:
    """Measure tasks 1 and 2 after the last one, without consolidation."""
    if (test := result.select(*FREE)).size:
        limit = result.content["chance"] + 0.1
        yield decide(
            *(measured(f"task {j + 1}", test[:, -1, j], high=limit) for j in (0, 1)),
            about=METHODS["fine-tuning"].title(0),
        )


def minor_degradation(result: Any) -> Iterator[Verdict]:
    """Measure tasks 1 and 2 after the last one, with consolidation."""
    for method, c, title in consolidated(result):
        test = result.select(method, c)
        found = [measured(f"task {j + 1}", test[:, -1, j], 0.95) for j in (0, 1)]
        yield decide(*found, about=title)


def better(result: Any) -> Iterator[Verdict]:
    """Measure what consolidation gains after the last task."""
    for method, c, title in consolidated(result):
        if found := average_difference("average gains", result, (method, c), FREE, 0.0):
            yield decide(*found, about=title)


CLAIMS = (
    Claim(
        "both with and without consolidation, accuracy on a new task is close to 1",
        "the lowest of the tasks is above 0.95",
        new_tasks,
    ),
    Claim(
        "without consolidation there is substantial loss on task 1 when task 2 is learned",
        "task 1 loses more than 0.1",
        first_loss,
    ),
    Claim(
        "with consolidation, task 1 is impaired only a little, and the average stays close to 1",
        "task 1 loses less than 0.02, and the average is above 0.98",
        minor_impairment,
    ),
    Claim(
        "without consolidation, the first two tasks are back at chance after the last one",
        "both are below chance plus 0.1",
        at_chance,
    ),
    Claim(
        "with consolidation, the first two tasks degrade only a little",
        "both are above 0.95",
        minor_degradation,
    ),
    Claim(
        "consolidation keeps the average accuracy higher",
        "the average after the last task is higher, paired by seed",
        better,
    ),
)
"""What Section 5.1 and Figure 3 say."""
