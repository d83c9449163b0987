"""A sweep: accuracy on held-out data at every point of the grid."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import averaged, colour, look_of, shades, styled
from pysi.metrics import sem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def figure_sweep(sweep: Any) -> "Figure":
    """Draw the validation accuracy against c, with one curve for every ξ.

    Parameters
    ----------
    sweep : Sweep

    Returns
    -------
    matplotlib.figure.Figure
        Every seed is a dot, the means are a line with SEM bars, and a ring marks the chosen point.
    """
    fig = require("matplotlib.figure").Figure(figsize=(6, 3.2), layout="constrained")
    ax, points, chosen = fig.subplots(), sweep.points(), sweep.choose()
    methods = {method for method, c, _ in points if c} or {method for method, _, _ in points}
    dampings = sorted({xi for _, c, xi in points if c} or {0})
    colours = [look_of(min(methods)).colour] if len(dampings) == 1 else shades(len(dampings))
    for shade, xi in zip(colours, dampings, strict=True):
        curve = {c: v for (_, c, x), v in sorted(points.items()) if x == xi or c == 0}
        for c, values in curve.items():
            dots = shade if c else colour("fine-tuning")
            ax.plot([c] * len(values), values, ".", color=dots, ms=8, alpha=0.5)
        label = f"ξ = {xi:g}" if any(METHODS[method].xi for method, _, _ in points) else "mean"
        means, errors = ([of(values) for values in curve.values()] for of in (np.mean, sem))
        ax.errorbar(list(curve), means, errors, color=shade, capsize=2, elinewidth=1, label=label)
    ax.plot(chosen["c"], chosen["validation_accuracy"], "ko", mfc="none", ms=11, label="chosen")
    tried = sorted({c for _, c, _ in points})
    ax.set_xscale("symlog", linthresh=next(filter(None, tried), 1))
    ax.set_xticks(tried, [f"{c:g}" for c in tried])
    measure = averaged("Average accuracy (held out)", map(len, points.values()), "SEM")
    ax.set(xlabel="c", ylabel=measure.replace("), ", ")\n"))
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right center", frameon=False)
    return fig
