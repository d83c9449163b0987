"""Figure 3: split MNIST, task by task."""

from itertools import cycle
from typing import TYPE_CHECKING, Any

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import COLOURS, plot, sequences
from pysi.metrics import average_accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        over seeds with SEM bars, and the chance level.
    """
    names = result.content["task_names"]
    n = len(names)
    fig = require("matplotlib.figure").Figure(figsize=(1.75 * (n + 1), 2.3), layout="constrained")
    axes = fig.subplots(1, n + 1, sharex=True, sharey=True, squeeze=False)[0]
    for colour, (method, c) in zip(cycle(COLOURS), sequences(result), strict=False):
        accuracy = result.select(method, c)
        label = METHODS[method].title(c, short=True)
        panels = [accuracy[:, j:, j] for j in range(n)] + [average_accuracy(accuracy)]
        for ax, values in zip(axes, panels, strict=True):
            plot(ax, n, values, color=colour, marker="o", label=label, clip_on=False, zorder=3)
    for ax, title in zip(axes, [f"Task {j + 1} ({t})" for j, t in enumerate(names)] + ["Average"],
                         strict=True):  # fmt: skip
        ax.axhline(result.content["chance"], color="0.4", ls="--", lw=1, label="chance")
        ax.set_title(title, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set(xlim=(0.7, n + 0.3), xticks=range(1, n + 1))
    axes[0].set(ylabel="Accuracy (test)", ylim=(0.4, 1.005), yticks=[0.5, 0.75, 1.0])
    fig.supxlabel("Tasks learned", fontsize=9)
    axes[-1].legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.22))
    return fig
