"""What the figures share: fonts and sizes, looks, a curve with its error bars, how they are saved.

The colours are those of `pysi.experiments.palette`; a notebook calls `use` for the rest.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from pysi.errors import ConfigError, DataError
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.experiments.palette import MARKERS, PALETTE, SPARE, Look
from pysi.experiments.palette import colour as colour  # for notebooks
from pysi.metrics import sem
from pysi.storage.files import atomic
from pysi.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 6.4
"""Inches that a figure may be wide, so that its text can be read on a phone."""
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "lines.markersize": 4,
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "pysi",
}
"""Matplotlib's settings in every figure; in SVG, text stays text and ids do not change."""
FORMATS = (".png", ".pdf", ".svg")
"""Endings of the files that figures are saved to."""

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def use() -> None:
    """Draw everything from now on in the style of the figures."""
    require("matplotlib").rcParams.update(STYLE)


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Return a function that draws the same in the style of the figures."""

    @wraps(draw)
    def in_style(*args: Arguments.args, **options: Arguments.kwargs) -> Drawn:
        with require("matplotlib").rc_context(STYLE):
            return draw(*args, **options)

    return in_style


def sequences(result: Any) -> list[tuple[str, float]]:
    """Return the curves of a result that go through all tasks."""
    return [(m, c) for m, c in result.curves() if METHODS[m].trains.sequence]


def look_of(method: str) -> Look:
    """Return a method's look, or a spare one of its own if it names none."""
    if look := METHODS[method].look:
        return look
    place = [name for name, other in METHODS.items() if not other.look].index(method)
    return Look(SPARE[place % len(SPARE)], MARKERS[place // len(SPARE) % len(MARKERS)])


def curve_style(method: str, c: float, curves: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return how a curve is drawn: strengths of one method go from light to full colour.

    A dashed curve is thinner and has smaller, open markers, so that a curve below it is seen too.
    """
    look, strengths = look_of(method), [other for m, other in curves if m == method]
    weakness = 1 - (strengths.index(c) + 1) / len(strengths)
    rgb = np.array(require("matplotlib.colors").to_rgb(look.colour))
    rgb += 0.7 * weakness * (1 - rgb)
    over = {"mfc": "white", "ms": 3.5, "lw": 1.2} if look.line == "--" else {"ms": 5, "lw": 2}
    return {"color": tuple(rgb), "marker": look.marker, "ls": look.line} | over


def shades(n: int) -> Array:
    """Return n colours from dark to light for what has an order, such as tasks or values of ξ."""
    return np.asarray(require("matplotlib").colormaps["viridis"](np.linspace(0, 0.85, n)))


def counted(label: str, n: int, counts: Iterable[int]) -> str:
    """Return a label with the number of seeds, unless it is the same for all curves."""
    return f"{label} (n = {n})" if len(set(counts)) > 1 else label


def averaged(measure: str, counts: Iterable[int], error: str = "") -> str:
    """Return an axis label that says what is drawn: the mean, its error, the number of seeds."""
    counts = set(counts)
    if counts <= {1}:
        return measure + ", one seed" * len(counts)
    same = f", n = {max(counts)}" if len(counts) == 1 else ""
    return f"{measure}, mean{error and f' ± {error}'}{same}"


def plot(ax: Any, n: int, values: Array, **style: Any) -> None:
    """Draw the mean over seeds, with SEM bars if there are several, up to n tasks learned."""
    seen = np.arange(n - values.shape[1], n) + 1
    errors = sem(values) if len(values) > 1 else None
    ax.errorbar(seen, values.mean(axis=0), errors, capsize=2, elinewidth=1, **style)


def chance_line(ax: Any, chance: float) -> None:
    """Draw the accuracy of guessing."""
    look = PALETTE["chance"]
    ax.axhline(chance, color=look.colour, ls=look.line, lw=1, label="chance")


def save(fig: "Figure", path: Path) -> Path:
    """Write a figure, whole or not at all, and return the path. Equal figures give equal files.

    Raises
    ------
    ConfigError, DataError
        The path does not end in one of `FORMATS`, or its folder cannot be written to.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise ConfigError(f"path: expected a name that ends in {', '.join(FORMATS)}, found {path}")
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(ending)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file, require("matplotlib").rc_context(STYLE):
            fig.savefig(file, format=ending[1:], dpi=200, metadata=undated)
    except OSError as err:
        raise DataError(f"{path.parent}: expected a writable folder, found {err}") from err
    return path
