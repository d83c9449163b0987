"""Figure 5: how alike the tasks' ω is, in the first and the second layer (Section 5.2)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.methods import METHODS
from pysi.typing import Array
from pysi.verdicts.verdict import FREE, Claim, Verdict, decide, measured


def layers(result: Any) -> list[dict[tuple[str, float], Array]]:
    """Return the correlations in the layers that Figure 5 shows: two, or none if one is missing."""
    found = [result.correlations(layer) for layer in result.protocol.compared]
    return found if len(found) == 2 and all(found) else []


def neighbours(matrices: Array) -> Array:
    """Return the correlation of every task with the next one, (seeds, tasks - 1)."""
    return np.diagonal(matrices, offset=1, axis1=1, axis2=2)


def strongest(matrices: Array) -> Array:
    """Return the strongest correlation between two different tasks, by seed."""
    n = matrices.shape[-1]
    return matrices[:, ~np.eye(n, dtype=bool)].max(axis=1)


def uncorrelated(result: Any) -> Iterator[Verdict]:
    """Measure the mean over all pairs of tasks in the first layer."""
    for first in layers(result)[:1]:
        for (method, c), matrices in first.items():
            pairs = mean_off_diagonal(matrices)
            about = METHODS[method].title(c)
            yield decide(measured("mean over pairs", pairs, -0.1, 0.1), about=about)


def grows(result: Any) -> Iterator[Verdict]:
    """Measure the second layer without consolidation: the last two tasks minus the first two."""
    for second in layers(result)[1:]:
        near = neighbours(second[FREE]) if FREE in second else np.empty((0, 0))
        if near.shape[1] > 1:  # two tasks are one pair
            found = measured("last pair minus first pair", near[:, -1] - near[:, 0], 0.0)
            yield decide(found, about=METHODS[FREE[0]].title(FREE[1]))


def prevented(result: Any) -> Iterator[Verdict]:
    """Measure the second layer with consolidation."""
    for second in layers(result)[1:]:
        for (method, c), matrices in second.items():
            if method == "si":
                yield decide(
                    measured("strongest pair", strongest(matrices), high=0.5),
                    measured("mean over pairs", mean_off_diagonal(matrices), -0.1, 0.1),
                    about=METHODS[method].title(c),
                )


CLAIMS = (
    Claim(
        "the importances of first-layer weights are uncorrelated between tasks, with consolidation "
        "and without it",
        "the mean over all pairs is between -0.1 and 0.1",
        uncorrelated,
    ),
    Claim(
        "without consolidation, the importances of second-layer weights become more correlated as "
        "more tasks are learned",
        "the correlation of the last two tasks is higher than that of the first two",
        grows,
    ),
    Claim(
        "consolidation prevents strong correlations in the second layer: its importances are "
        "largely uncorrelated",
        "the strongest pair is below 0.5, and the mean over all pairs between -0.1 and 0.1",
        prevented,
    ),
)
"""What Section 5.2 and Figure 5 say."""
