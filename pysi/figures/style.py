"""What the figures share: colours, markers, a curve with its error bars, and how they are saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.errors import ConfigError, DataError
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.metrics import sem
from pysi.storage.files import atomic
from pysi.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLOURS = ("#3b6fb6", "#d95f02", "#2a9d6f", "#8d6cab", "#b8860b", "#666666")
SPARE = ("#d95f02", "#17a2b8", "#d4569b", "#7a8b1f", "#8c564b")
"""Colours for methods that name none of their own."""
MARKERS = "h<>pdH8"
"""Their markers: together with the colours they tell 35 such methods apart."""
FORMATS = (".png", ".pdf", ".svg")
"""Endings of the files that figures are saved to."""


def sequences(result: Any) -> list[tuple[str, float]]:
    """Return the curves of a result that go through all tasks."""
    return [(m, c) for m, c in result.curves() if METHODS[m].trains.sequence]


def colour_of(method: str) -> str:
    """Return a method's colour, or a spare one, shared with few others, if it names none."""
    spare = [name for name, other in METHODS.items() if not other.colour]
    return METHODS[method].colour or SPARE[spare.index(method) % len(SPARE)]


def marker_of(method: str) -> str:
    """Return a method's marker, or a spare one: none has the same colour and marker."""
    if METHODS[method].colour:
        return METHODS[method].marker
    spare = [name for name, other in METHODS.items() if not other.colour]
    return MARKERS[spare.index(method) // len(SPARE) % len(MARKERS)]


def curve_style(method: str, c: float, curves: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return how a curve is drawn: strengths of one method go from light to full colour."""
    strengths = [other for m, other in curves if m == method]
    weakness = 1 - (strengths.index(c) + 1) / len(strengths)
    rgb = np.array(require("matplotlib.colors").to_rgb(colour_of(method)))
    rgb += 0.7 * weakness * (1 - rgb)
    return {"color": rgb, "marker": marker_of(method), "zorder": METHODS[method].zorder}


def plot(ax: Any, n: int, values: Array, **style: Any) -> None:
    """Draw the mean over seeds, with SEM bars if there are several; it ends at n tasks learned."""
    seen = np.arange(n - values.shape[1], n) + 1
    errors = sem(values) if len(values) > 1 else None
    ax.errorbar(seen, values.mean(axis=0), errors, ms=3.5, lw=1.5, capsize=2, **style)


def save(fig: "Figure", path: Path) -> Path:
    """Write a figure, whole or not at all, and return the path.

    Raises
    ------
    ConfigError, DataError
        The path does not end in one of `FORMATS`, or its folder cannot be written to.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"path: expected a name that ends in {', '.join(FORMATS)}, found {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            fig.savefig(file, format=path.suffix[1:].lower(), dpi=200)
    except OSError as err:
        raise DataError(f"{path.parent}: expected a writable folder, found {err}") from err
    return path
