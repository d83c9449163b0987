"""Figure 4: permuted MNIST, every method."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import (
    PALETTE,
    WIDTH,
    averaged,
    chance_line,
    counted,
    curve_style,
    plot,
    sequences,
    styled,
)
from pysi.metrics import average_accuracy
from pysi.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def close_up(
    averages: Sequence[Array], marks: Sequence[float], chance: float
) -> tuple[float, float]:
    """Return limits that show the marks, and the curves that end near the best one.

    Near is within a twentieth of the best curve's height above chance.
    """
    best = max((values[:, -1].mean() for values in averages), default=chance)
    near = best - 0.05 * abs(best - chance)
    curves = [values.ravel() for values in averages if values[:, -1].mean() >= near]
    shown = np.concatenate([marks, *curves])  # SEM bars do not exceed the range of the seeds
    if not shown.size:
        return 0, 1.02
    margin = 0.1 * np.ptp(shown) + 1e-3
    return shown.min() - margin, shown.max() + margin


def dotted(close: Any, whole: Any, n: int, height: float, label: str) -> None:
    """Draw a dotted line through the close-up, with its name in the legend."""
    colour = PALETTE["single"].colour
    close.axhline(height, color=colour, ls=":", lw=1)
    whole.plot([], [], color=colour, ls=":", lw=1, label=label)


def arrow(close: Any, whole: Any, n: int, height: float, label: str) -> None:
    """Draw an arrow at the end of the close-up, with its name beside it."""
    close.annotate(
        fill(label, 9), (n, height), (1.07, height),
        textcoords=("axes fraction", "data"), va="center", fontsize=9,
        arrowprops={"arrowstyle": "-|>", "color": PALETTE["joint"].colour, "shrinkB": 4},
    )  # fmt: skip


MARKS = {"line": dotted, "arrow": arrow}
"""How to show a method that does not learn task after task; see `Method.mark`."""


@styled
def figure4(result: Any, part: str = "test") -> "Figure":
    """Draw Figure 4: average accuracy over the tasks learned so far, against their number.

    Parameters
    ----------
    result : Result
        A result of any sequence of tasks; in the paper, of permuted MNIST.
    part : {"test", "train"}
        The examples that the accuracy is about.

    Returns
    -------
    matplotlib.figure.Figure
        One curve per method and strength, mean over seeds with SEM bars. The upper panel is a
        close-up, with the accuracy on a single task (dotted) and that of training on all tasks at
        once (arrow); the lower panel has the whole curves and the chance level. Later methods lie
        above earlier ones, so that EWC is seen where it covers SI.
    """
    n, chance = len(result.content["task_names"]), result.content["chance"]
    curves = sequences(result)
    found = {curve: average_accuracy(result.select(*curve, part)) for curve in curves}
    marks = {
        method: result.select(method, c, part) for method, c in result.curves()
        if METHODS[method].mark
    }  # fmt: skip
    counts = [len(values) for values in [*found.values(), *marks.values()]]
    fig = require("matplotlib.figure").Figure((WIDTH, 5.6), layout="constrained")
    close, whole = fig.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    for (method, c), values in found.items():
        label = counted(METHODS[method].title(c), len(values), counts)
        for ax in (close, whole):
            plot(ax, n, values, label=label, **curve_style(method, c, curves))
    for method, values in marks.items():
        label = counted(METHODS[method].label, len(values), counts)
        MARKS[METHODS[method].mark](close, whole, n, values.mean(), label)
    chance_line(whole, chance)
    for ax in (close, whole):
        ax.spines[["top", "right"]].set_visible(False)
    close.yaxis.get_major_locator().set_params(nbins=5)
    close.set_ylim(close_up(list(found.values()), [v.mean() for v in marks.values()], chance))
    whole.set(ylim=(0, 1.02), xlim=(0.7, n + 0.3), xlabel="Tasks learned", xticks=range(1, n + 1))
    fig.supylabel(averaged(f"Average accuracy ({part})", counts, "SEM"), fontsize=10)
    handles, labels = whole.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return fig
