"""Intervals: how well a mean over seeds is known, and a difference that is paired by seed."""

from dataclasses import dataclass
from math import inf, isnan
from typing import Any

import numpy as np

from pysi.arguments import number
from pysi.errors import ConfigError
from pysi.experiments.machine import require
from pysi.metrics import sem


@dataclass(frozen=True)
class Interval:
    """Student's interval of a mean: with this probability, such intervals contain the true mean.

    It assumes that the values are independent and their mean is about normal. For a difference
    between two methods the values are differences between runs with the same seed, so that what a
    seed does to both of them cancels.

    Attributes
    ----------
    mean, low, high : float
        The mean of the values and the two ends; the ends of a single value are infinite.
    n : int
        The number of values: one per seed.
    level : float
        The probability.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def above(self, bound: float) -> bool:
        """Return whether the whole interval lies above a bound."""
        return self.low > bound

    def below(self, bound: float) -> bool:
        """Return whether the whole interval lies below a bound."""
        return self.high < bound

    def within(self, low: float, high: float) -> bool:
        """Return whether the whole interval lies between two bounds; never for a single value."""
        return self.n > 1 and self.low > low and self.high < high

    def lies(self, low: float = -inf, high: float = inf) -> bool | None:
        """Return whether it lies between two bounds; None if a bound is inside, or n is 1."""
        if self.within(low, high):
            return True
        return False if self.below(low) or self.above(high) else None

    def __str__(self) -> str:
        if isnan(self.mean):
            return "not a number"
        mean, low, high = (f"{round(x, 4) + 0.0:.4f}" for x in (self.mean, self.low, self.high))
        if self.n == 1:
            return f"{mean} (one seed)"
        return f"{mean} [{low}, {high}]"


def interval(values: Any, level: float = 0.95) -> Interval:
    """Return the interval of the mean of values, one per seed, by Student's t distribution.

    Parameters
    ----------
    values : array_like, (n,)
        For a difference that is paired by seed: the differences.
    level : float
        The probability, between 0 and 1.

    Raises
    ------
    ConfigError
        There are no values, they have several axes, one is not finite, or `level` is not between 0
        and 1.

    Examples
    --------
    >>> str(interval([0.1, 0.2, 0.3]))
    '0.2000 [-0.0484, 0.4484]'
    >>> interval([0.1]).above(0)
    False
    """
    level = number("level", level, "a number between 0 and 1", lambda x: 0 < x < 1)
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ConfigError(
            "values: expected finite numbers, one per seed, found "
            f"{values if values.size < 9 else f'an array of shape {values.shape}'}"
        )
    n, mean, error = len(values), float(values.mean()), float(sem(values))
    if isnan(error):
        return Interval(mean, -inf, inf, n, level)
    half = float(require("scipy.special").stdtrit(n - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, n, level)
