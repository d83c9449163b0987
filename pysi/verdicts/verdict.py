"""A claim of the paper, and the verdict of a result about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np

from pysi.experiments.intervals import Interval, interval
from pysi.typing import Array

FREE = ("fine-tuning", 0.0)
"""The curve without consolidation."""
Found = tuple[str, Interval, float, float]
# What was measured, in words, its interval, and the two bounds between which it must lie.


@dataclass(frozen=True)
class Verdict:
    """What a result says about a claim.

    Attributes
    ----------
    answer : {"yes", "partly", "no", "undecided", "not run"}
        Yes if all that was measured lies where it must, no if nothing does, partly if some of it
        does and the rest does not, each with its whole interval. Undecided if an interval is too
        wide to say; that of a single seed is infinite. Not run if the result lacks what the claim
        is about.
    here : str
        What was measured.
    n : int
        The number of seeds, the smallest if they differ.
    about : str
        The curve that it is about, if the claim is about several.
    """

    answer: str
    here: str
    n: int
    about: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    paper : str
        What the paper says, in short.
    criterion : str
        What counts as yes.
    measure : callable
        From a result to verdicts; none if it lacks what the claim is about.
    """

    paper: str
    criterion: str
    measure: Callable[[Any], Iterable[Verdict]]

    def verdicts(self, result: Any) -> list[Verdict]:
        """Return what a result says; a single "not run" if it lacks what the claim is about."""
        if len(result.content["task_names"]) < 2:
            return [Verdict("not run", "the result has a single task", 0)]
        missing = Verdict("not run", "the result lacks curves or tasks that the claim is about", 0)
        return list(self.measure(result)) or [missing]


def measured(words: str, values: Array, low: float = -inf, high: float = inf) -> Found:
    """Return what was measured: values by seed, whose mean must lie between two bounds.

    If a value is not finite, such as a correlation of weights that overflowed, neither is the mean,
    and its interval is infinite.
    """
    if np.isfinite(values).all():
        return words, interval(values), low, high
    return words, Interval(nan, -inf, inf, len(values)), low, high


def decide(*found: Found, about: str = "") -> Verdict:
    """Return the verdict on all that was measured for a claim."""
    said = [each.lies(low, high) for _, each, low, high in found]
    if None in said:
        answer = "undecided"
    elif all(said):
        answer = "yes"
    else:
        answer = "partly" if any(said) else "no"
    here = "; ".join(f"{words} {each}" for words, each, *_ in found)
    return Verdict(answer, here, min(each.n for _, each, *_ in found), about)


def curves_of(result: Any, method: str) -> list[tuple[str, float]]:
    """Return the curves of a method in a result."""
    return [curve for curve in result.curves() if curve[0] == method]


def average_difference(
    words: str, result: Any, curve: Any, other: Any, low: float = -inf, high: float = inf,
    part: str = "test",
) -> list[Found]:  # fmt: skip
    """Return a list of the difference of average accuracies, paired by seed; empty if not run."""
    differences = result.difference(curve, other, part) if other in result.curves() else []
    if not len(differences):
        return []
    return [measured(words, np.mean(differences, axis=1), low, high)]
