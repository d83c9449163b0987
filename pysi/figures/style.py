"""What the figures share: colours, markers, and a curve with its error bars."""

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.metrics import sem

COLOURS = ("#3b6fb6", "#d95f02", "#2a9d6f", "#8d6cab", "#b8860b", "#666666")
STYLES = {
    "single": ("#222222", "P"), "fine-tuning": ("#2a9d6f", "^"), "si": ("#3b6fb6", "o"),
    "ewc": ("#777777", "s"), "online-ewc": ("#8d6cab", "D"), "dropout": ("#c8403a", "v"),
    "scratch": ("#999999", "X"), "joint": ("#b8860b", "*"),
}  # fmt: skip
"""Colour and marker of each method; where Figure 4 of the paper has it, its colour there."""


def sequences(result):
    """The curves of a result that go through all tasks."""
    return [(m, c) for m, c in result.curves() if METHODS[m].trains == "sequence"]


def curve_style(method, c, curves):
    """How a curve is drawn: strengths of one method go from light to full colour."""
    strengths = [other for m, other in curves if m == method]
    weakness = 1 - (strengths.index(c) + 1) / len(strengths)
    colour, marker = STYLES[method]
    rgb = np.array(require("matplotlib.colors").to_rgb(colour))
    rgb += 0.7 * weakness * (1 - rgb)
    return {"color": rgb, "marker": marker, "zorder": 3 if method == "si" else 2}


def plot(ax, n, values, **style):
    """Mean over seeds, with SEM bars if there are several, up to the last of n tasks learned."""
    seen = np.arange(n - values.shape[1], n) + 1
    errors = sem(values) if len(values) > 1 else None
    ax.errorbar(seen, values.mean(axis=0), errors, ms=3.5, lw=1.5, capsize=2, **style)
