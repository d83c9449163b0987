"""Figure 4: permuted MNIST, every method."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import curve_style, plot, sequences
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
    close.axhline(height, color="k", ls=":", lw=1)
    whole.plot([], [], "k:", lw=1, label=label)


def arrow(close: Any, whole: Any, n: int, height: float, label: str) -> None:
    """Draw an arrow at the end of the close-up, with its name beside it."""
    close.annotate(
        label, (n, height), (1.08, height),
        textcoords=("axes fraction", "data"), va="center", fontsize=8,
        arrowprops={"arrowstyle": "-|>", "color": "k", "shrinkB": 4},
    )  # fmt: skip


MARKS = {"line": dotted, "arrow": arrow}
"""How to show a method that does not learn task after task; see `Method.mark`."""


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
        once (arrow); the lower panel has the whole curves and the chance level.
    """
    n, chance = len(result.content["task_names"]), result.content["chance"]
    marks = [
        (METHODS[method], result.select(method, c, part).mean())
        for method, c in result.curves()
        if METHODS[method].mark
    ]
    fig = require("matplotlib.figure").Figure(figsize=(5.6, 4.4), layout="constrained")
    close, whole = fig.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    curves, averages = sequences(result), []
    for method, c in curves:
        averages.append(average_accuracy(result.select(method, c, part)))
        for ax in (close, whole):
            label = METHODS[method].title(c)
            plot(ax, n, averages[-1], label=label, **curve_style(method, c, curves))
    for method, height in marks:
        MARKS[method.mark](close, whole, n, height, method.label)
    whole.axhline(chance, color="0.4", ls="--", lw=1, label="chance")
    whole.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1.05))
    for ax in (close, whole):
        ax.spines[["top", "right"]].set_visible(False)
    close.set_ylim(close_up(averages, [height for _, height in marks], chance))
    whole.set(ylim=(0, 1.02), xlim=(0.7, n + 0.3), xlabel="Tasks learned", xticks=range(1, n + 1))
    fig.supylabel(f"Average accuracy ({part})", fontsize=10)
    return fig
