"""Figure 6: CIFAR-10, then CIFAR-100, each task after the last one (Section 5.3)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pysi.experiments.methods import METHODS
from pysi.typing import Array
from pysi.verdicts.verdict import FREE, Claim, Found, Verdict, curves_of, decide, measured

SCRATCH = ("scratch", 0.0)


def slopes(accuracy: Array) -> Array:
    """Return the accuracy that one more later task costs, by seed.

    It is the slope of a straight line through all tasks but the first, which has more examples.
    """
    later = accuracy[:, 1:]
    return np.polyfit(np.arange(later.shape[1]), later.T, 1)[0]


def long_enough(result: Any) -> bool:
    """Return whether there are several tasks after the first, so that a line has a slope."""
    return len(result.content["task_names"]) > 2


def tasks(differences: Array, first: int, last: int | None, low: float, high: float) -> list[Found]:
    """Return what was measured for each of these tasks."""
    chosen = range(differences.shape[1])[first:last]
    return [measured(f"task {j + 1}", differences[:, j], low, high) for j in chosen]


def declines(result: Any) -> Iterator[Verdict]:
    """Measure the slope without consolidation."""
    if long_enough(result) and (final := result.final(*FREE)).size:
        yield decide(measured("slope", slopes(final), 0.0), about=METHODS["fine-tuning"].title(0))


def similar(result: Any) -> Iterator[Verdict]:
    """Measure half the slope without consolidation minus that with it, both without their signs."""
    seeds = [run["seed"] for run in result.runs_of(*FREE)]
    for method, c in curves_of(result, "si"):
        own = [run["seed"] for run in result.runs_of(method, c)]
        shared = [seed for seed in own if seed in seeds]
        if shared and long_enough(result):
            free = slopes(result.final(*FREE))[[seeds.index(seed) for seed in shared]]
            bound = slopes(result.final(method, c))[[own.index(seed) for seed in shared]]
            yield decide(
                measured("half the slope at c = 0 minus this one", abs(free) / 2 - abs(bound), 0.0),
                about=METHODS[method].title(c),
            )


def paired(
    result: Any, other: tuple[str, float], first: int, last: int | None, low: float = -np.inf,
    high: float = np.inf, part: str = "test",
) -> Iterator[Verdict]:  # fmt: skip
    """Measure each task with consolidation minus the same task of another curve, by seed."""
    for method, c in curves_of(result, "si"):
        differences = result.difference((method, c), other, part)
        if len(differences):
            found = tasks(differences, first, last, low, high)
            yield decide(*found, about=METHODS[method].title(c))


CLAIMS = (
    Claim(
        "without consolidation accuracy declines with age: the older a task, the lower",
        "a straight line through the tasks from CIFAR-100 rises with their number",
        declines,
    ),
    Claim(
        "with consolidation, accuracy is similar for all tasks",
        "the slope of the same line is less than half of that without consolidation",
        similar,
    ),
    Claim(
        "consolidation is always better than none, except on the last task",
        "each task but the last is higher, paired by seed",
        lambda result: paired(result, FREE, 0, -1, low=0.0),
    ),
    Claim(
        "consolidation is better than training from scratch on each task alone, or as good",
        "each task but CIFAR-10 is at most 0.01 lower, paired by seed",
        lambda result: paired(result, SCRATCH, 1, None, low=-0.01),
    ),
    Claim(
        "the exception is CIFAR-10, which has more examples per class",
        "CIFAR-10 is lower, paired by seed",
        lambda result: paired(result, SCRATCH, 0, 1, high=0.0),
    ),
    Claim(
        "in training accuracy, the order is reversed",
        "each task is lower than from scratch on training data, paired by seed",
        lambda result: paired(result, SCRATCH, 0, None, high=0.0, part="train"),
    ),
)
"""What Section 5.3 and Figure 6 say."""
