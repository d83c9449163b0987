"""Figure 6: split CIFAR-10/100, each task after the last one was learned."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import curve_style
from pysi.metrics import sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure6(result: Any, part: str = "test") -> "Figure":
    """Draw Figure 6: accuracy on each task at the end of training.

    Parameters
    ----------
    result : Result
        A result of split CIFAR-10/100.
    part : {"test", "train"}
        The examples that the accuracy is about; the paper calls test accuracy validation accuracy.

    Returns
    -------
    matplotlib.figure.Figure
        One group of bars per task, in order of learning, with one bar per method and strength: mean
        over seeds, with error bars of one standard deviation; and the chance level.
    """
    names, curves = result.content["task_names"], result.curves()
    figsize = (1.9 + 0.85 * len(names), 2.9)
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="constrained")
    ax, width, measure = fig.subplots(), 0.84 / len(curves), f"Accuracy ({part})"
    for i, (method, c) in enumerate(curves):
        values, errors = result.final(method, c, part), None
        if len(values) > 1:
            errors, measure = sd(values), f"Accuracy ({part}), mean ± SD"
        ax.bar(
            np.arange(values.shape[1]) + 1 + (i - (len(curves) - 1) / 2) * width,
            values.mean(axis=0),
            width,
            yerr=errors,
            color=curve_style(method, c, curves)["color"],
            label=METHODS[method].title(c),
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8, "ecolor": "0.15"},
        )
    ax.axhline(result.content["chance"], color="k", ls="--", lw=1, label="chance")
    ax.set_xticks(range(1, len(names) + 1), [name.replace(", ", "\n") for name in names])
    ax.tick_params(axis="x", length=0, labelsize=8)
    ax.set(xlabel="Task, in order of learning", ylabel=measure, xlim=(0.5, len(names) + 0.5))
    ax.set_ylim(0, 1.02)
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right upper", fontsize=8, frameon=False)
    return fig
