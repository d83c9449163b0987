"""Figure 6: split CIFAR-10/100, each task after the last one was learned."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import WIDTH, averaged, chance_line, counted, curve_style, styled
from pysi.metrics import sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
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
    found = {curve: result.final(*curve, part) for curve in curves}
    counts = [len(values) for values in found.values()]
    fig = require("matplotlib.figure").Figure((WIDTH, 3.6), layout="constrained")
    ax, width = fig.subplots(), 0.84 / len(curves)
    for i, ((method, c), values) in enumerate(found.items()):
        ax.bar(
            np.arange(values.shape[1]) + 1 + (i - (len(curves) - 1) / 2) * width,
            values.mean(axis=0),
            width,
            yerr=sd(values) if len(values) > 1 else None,
            color=curve_style(method, c, curves)["color"],
            label=counted(METHODS[method].title(c), len(values), counts),
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "0.15"},
        )
    chance_line(ax, result.content["chance"])
    ax.set_xticks(range(1, len(names) + 1), [name.replace(", ", "\n") for name in names])
    ax.tick_params(axis="x", length=0, rotation=0 if len(names) < 8 else 90)
    ax.set(xlabel="Task, in order of learning", xlim=(0.5, len(names) + 0.5), ylim=(0, 1.02))
    ax.set_ylabel(averaged(f"Accuracy ({part})", counts, "SD"))
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=3, frameon=False)
    return fig
