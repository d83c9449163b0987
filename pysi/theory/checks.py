"""A row of the table that `pysi theory` prints: a prediction beside a measurement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysi.backend import to_host

ROUNDING = 1e-9
"""Relative error that rounding in float64 may leave."""


@dataclass(frozen=True)
class Check:
    """One row: a prediction, a measurement, and how far apart they may be.

    Attributes
    ----------
    equation, what : str
        The equation of the paper, and what was computed.
    predicted, measured : float
        Both values; for arrays, the entries that differ most.
    error : float
        Largest difference over largest prediction.
    tolerance : float
        The largest error that passes.
    """

    equation: str
    what: str
    predicted: float
    measured: float
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance (NaN is not)."""
        return bool(self.error <= self.tolerance)


def compare(
    equation: str, what: str, predicted: Any, measured: Any, tolerance: float = ROUNDING
) -> Check:
    """Return the row for two arrays of one shape, on any device."""
    predicted, measured = np.broadcast_arrays(
        *(np.asarray(to_host(array), float) for array in (predicted, measured))
    )
    difference = abs(measured - predicted)
    worst = np.unravel_index(np.argmax(difference), difference.shape)
    error = difference[worst] / abs(predicted).max()
    return Check(
        equation, what, float(predicted[worst]), float(measured[worst]), float(error), tolerance
    )


def table(checks: Sequence[Check]) -> str:
    """Return the checks as a table in plain text."""
    width = max(len(check.what) for check in checks)
    lines = [
        f"{'Eq.':<6} {'computed':<{width}} {'predicted':>12} {'measured':>12} "
        f"{'rel. error':>10} {'allowed':>8}"
    ]
    for c in checks:
        lines.append(
            f"{c.equation:<6} {c.what:<{width}} {c.predicted:>12.6g} {c.measured:>12.6g} "
            f"{c.error:>10.1e} {c.tolerance:>8.0e}  {'pass' if c.passed else 'FAIL'}"
        )
    return "\n".join(lines)
