"""Differences between the curves of a result, paired by seed, with their intervals."""

from typing import Any

from pysi.experiments.intervals import Interval, interval

Curve = tuple[str, float]
# A method and its strength c.


def comparable(result: Any) -> list[Curve]:
    """Return the curves that are tested on all tasks after the last one."""
    sizes = {curve: result.final(*curve).shape[1] for curve in result.curves()}
    return [curve for curve, n in sizes.items() if n == max(sizes.values())]


def average(result: Any, curve: Curve, other: Curve, part: str = "test") -> Interval | None:
    """Return a curve's final average accuracy minus another's; None if they share no seeds.

    Networks with the same seed begin with the same weights and see the same examples in the same
    order, so what a seed does to both curves cancels.
    """
    differences = result.difference(curve, other, part)
    return interval(differences.mean(axis=1)) if len(differences) else None


def from_first(result: Any) -> list[tuple[Curve, Curve, Interval]]:
    """Return the difference of every comparable curve from the first of them."""
    curves = comparable(result)
    pairs = [(curve, average(result, curve, curves[0])) for curve in curves[1:]]
    return [(curve, curves[0], found) for curve, found in pairs if found]
