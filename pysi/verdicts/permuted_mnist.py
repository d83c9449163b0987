"""Figure 4: permuted MNIST, all methods (Section 5.2)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pysi.experiments.methods import METHODS
from pysi.verdicts.verdict import (
    Claim,
    Verdict,
    average_difference,
    curves_of,
    decide,
    measured,
)


def forgets(result: Any) -> Iterator[Verdict]:
    """Measure the newest and the first task of fine-tuning, after the last one."""
    if (test := result.select("fine-tuning")).size:
        yield decide(
            measured("newest task", test[:, -1, -1], 0.95),
            measured("first task", test[:, -1, 0], high=0.5),
            about=METHODS["fine-tuning"].title(0),
        )


def retains(result: Any) -> Iterator[Verdict]:
    """Measure the first task, and the lowest of the others, after the last one."""
    for method, c in curves_of(result, "si"):
        test = result.select(method, c)
        yield decide(
            measured("first task", test[:, -1, 0], 0.95),
            measured("lowest of the others", test[:, -1, 1:].min(axis=1), 0.95),
            about=METHODS[method].title(c),
        )


def against(
    others: tuple[str, ...], low: float, high: float, parts: tuple[str, ...] = ("test",)
) -> Callable[[Any], Iterator[Verdict]]:
    """Return a measure: average accuracy minus that of other methods, paired by seed."""

    def measure(result: Any) -> Iterator[Verdict]:
        for curve in curves_of(result, "si"):
            found = [
                each
                for part in parts
                for method in others
                for other in curves_of(result, method)
                for each in average_difference(
                    f"minus {METHODS[method].title(other[1])}"
                    + (f" ({part})" if len(parts) > 1 else ""),
                    result, curve, other, low, high, part,
                )
            ]  # fmt: skip
            if found:
                yield decide(*found, about=METHODS["si"].title(curve[1]))

    return measure


def alike(result: Any) -> Iterator[Verdict]:
    """Measure, on training data, how far fine-tuning and joint training are from SI."""
    far = against(("fine-tuning", "dropout"), 0.1, np.inf, ("train",))
    near = against(("joint",), -0.05, 0.0, ("train",))
    for measure in (far, near):
        yield from measure(result)


CLAIMS = (
    Claim(
        "without consolidation the network solves the newest task and forgets the others",
        "the newest task is above 0.95 and the first below 0.5",
        forgets,
    ),
    Claim(
        "with consolidation, the network retains high accuracy on task 1 and solves all others",
        "the first task and the lowest of the others are above 0.95",
        retains,
    ),
    Claim(
        "consolidation performs only slightly worse than training on all tasks at once",
        "the average is lower by less than 0.03, paired by seed",
        against(("joint",), -0.03, 0.0),
    ),
    Claim(
        "fine-tuning and dropout perform far worse",
        "their averages are lower by more than 0.1, paired by seed",
        against(("fine-tuning", "dropout"), 0.1, np.inf),
    ),
    Claim(
        "results are comparable to those of EWC",
        "the averages differ by less than 0.01, paired by seed",
        against(("ewc",), -0.01, 0.01),
    ),
    Claim(
        "training accuracy shows the same as test accuracy",
        "on training data, fine-tuning and dropout are lower by more than 0.1, and training on all "
        "tasks at once is higher by less than 0.05",
        alike,
    ),
)
"""What Section 5.2 and Figure 4 say."""
