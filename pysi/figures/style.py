"""What the figures share: colours, markers, and a curve with its error bars."""

import numpy as np

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.metrics import sem

COLOURS = ("#3b6fb6", "#d95f02", "#2a9d6f", "#8d6cab", "#b8860b", "#666666")
SPARE = ("#d95f02", "#17a2b8", "#d4569b", "#7a8b1f", "#8c564b")
"""For methods that name no colour of their own."""


def sequences(result):
    """The curves of a result that go through all tasks."""
    return [(m, c) for m, c in result.curves() if METHODS[m].trains.sequence]


def colour_of(method):
    """A method's colour; without one of its own, a spare one that it shares with few others."""
    spare = [name for name, other in METHODS.items() if not other.colour]
    return METHODS[method].colour or SPARE[spare.index(method) % len(SPARE)]


def curve_style(method, c, curves):
    """How a curve is drawn: strengths of one method go from light to full colour."""
    strengths = [other for m, other in curves if m == method]
    weakness = 1 - (strengths.index(c) + 1) / len(strengths)
    rgb = np.array(require("matplotlib.colors").to_rgb(colour_of(method)))
    rgb += 0.7 * weakness * (1 - rgb)
    return {"color": rgb, "marker": METHODS[method].marker, "zorder": METHODS[method].zorder}


def plot(ax, n, values, **style):
    """Mean over seeds, with SEM bars if there are several, up to the last of n tasks learned."""
    seen = np.arange(n - values.shape[1], n) + 1
    errors = sem(values) if len(values) > 1 else None
    ax.errorbar(seen, values.mean(axis=0), errors, ms=3.5, lw=1.5, capsize=2, **style)
