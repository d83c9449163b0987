"""A sweep: accuracy on held-out data at every point of the grid."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_sweep(sweep: Any) -> "Figure":
    """Draw the validation accuracy against c, with one curve for every ξ.

    Parameters
    ----------
    sweep : Sweep

    Returns
    -------
    matplotlib.figure.Figure
        Every seed is a dot, the means are a line, and a ring marks the chosen point.
    """
    fig = require("matplotlib.figure").Figure(figsize=(5.2, 3), layout="constrained")
    ax, points, chosen = fig.subplots(), sweep.points(), sweep.choose()
    dampings = sorted({xi for _, c, xi in points if c} or {0})
    shades = require("matplotlib").colormaps["viridis"](np.linspace(0, 0.85, len(dampings)))
    for colour, xi in zip(shades, dampings, strict=True):
        curve = {c: v for (_, c, x), v in sorted(points.items()) if x == xi or c == 0}
        for c, values in curve.items():
            ax.plot([c] * len(values), values, ".", color=colour if c else "0.5", alpha=0.5)
        label = f"ξ = {xi:g}" if any(METHODS[method].xi for method, _, _ in points) else "mean"
        means = [values.mean() for values in curve.values()]
        ax.plot(list(curve), means, color=colour, lw=1.5, label=label)
    ax.plot(chosen["c"], chosen["validation_accuracy"], "ko", mfc="none", ms=11, label="chosen")
    tried = sorted({c for _, c, _ in points})
    ax.set_xscale("symlog", linthresh=next(filter(None, tried), 1))
    ax.set_xticks(tried, [f"{c:g}" for c in tried])
    ax.set(xlabel="c", ylabel="Average accuracy (held out)")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right center", fontsize=8, frameon=False)
    return fig
