"""Figure 3: split MNIST, task by task."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import (
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def figure3(result: Any) -> "Figure":
    """Draw Figure 3: accuracy on each task, and on average, against the number of tasks learned.

    Parameters
    ----------
    result : Result
        A result of split MNIST.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per task, and one for the average over the tasks seen so far: for every c the mean
        over seeds with SEM bars, and the chance level. There are at most three panels in a row.
    """
    names, chance = result.content["task_names"], result.content["chance"]
    n, curves = len(names), sequences(result)
    titles = [*(f"Task {j + 1} ({name})" for j, name in enumerate(names)), "Average"]
    columns = 2 if len(titles) == 4 else min(3, len(titles))
    rows = -(-len(titles) // columns)
    fig = require("matplotlib.figure").Figure((WIDTH, 0.9 + 1.7 * rows), layout="constrained")
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    axes, unused = axes[: len(titles)], axes[len(titles) :]
    for ax in unused:
        ax.remove()
    found = {curve: result.select(*curve) for curve in curves}
    counts = [len(accuracy) for accuracy in found.values()]
    for (method, c), accuracy in found.items():
        label = counted(METHODS[method].title(c, short=True), len(accuracy), counts)
        look = curve_style(method, c, curves)
        panels = [accuracy[:, j:, j] for j in range(n)] + [average_accuracy(accuracy)]
        for ax, values in zip(axes, panels, strict=True):
            plot(ax, n, values, label=label, clip_on=False, zorder=3, **look)
    for ax, title in zip(axes, titles, strict=True):
        chance_line(ax, chance)
        ax.set_title(title)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[-columns:]:
        ax.tick_params(labelbottom=True)
    low = min([chance, *(np.min(line.get_ydata()) for ax in axes for line in ax.lines)]) - 0.1
    axes[0].set(xlim=(0.7, n + 0.3), xticks=range(1, n + 1))
    axes[0].set(ylim=(low, 1.005), yticks=np.linspace(chance, 1, 3).round(2))
    fig.supxlabel("Tasks learned", fontsize=10)
    fig.supylabel(averaged("Accuracy (test)", counts, "SEM"), fontsize=10)
    handles, labels = axes[-1].get_legend_handles_labels()
    fitting = max(
        1, min(4, 80 // (max(map(len, labels)) + 7))
    )  # as many names in a row as fit into the figure's width
    lines = -(-len(labels) // fitting)
    fig.set_figheight(fig.get_figheight() + 0.2 * (lines - 1))
    ncols = -(-len(labels) // lines)
    fig.legend(handles, labels, loc="outside upper center", ncols=ncols, frameon=False)
    return fig
