"""The paper's figures, from results.

In reading order: `style` (what they share), `figure3` to `figure6`, `sweep`. Which figures an
experiment has, it says itself: see `pysi.experiments.protocols`.
"""

from pathlib import Path

from pysi.errors import ConfigError, DataError
from pysi.figures.figure3 import figure3
from pysi.figures.figure4 import figure4
from pysi.figures.figure5 import figure5
from pysi.figures.figure6 import figure6
from pysi.figures.style import COLOURS
from pysi.figures.sweep import figure_sweep
from pysi.storage.files import atomic

__all__ = ["COLOURS", "draw", "figure3", "figure4", "figure5", "figure6", "figure_sweep"]


def draw(result, folder):
    """Write the figures of a result, each as PNG and PDF; returns the paths.

    Raises
    ------
    ConfigError
        A result without finished runs, or of an experiment that has no figure.
    DataError
        A folder that cannot be written to.
    """
    if not result.figures or not result.runs:
        raise ConfigError(
            "result: expected finished runs of an experiment that has figures, found "
            f"{len(result.runs)} of {result.content['experiment']!r}"
        )
    paths = []
    for name, make in result.figures.items():
        if (fig := make(result)) is not None:
            paths += [save(fig, Path(folder) / f"{name}.{kind}") for kind in ("png", "pdf")]
    return paths


def save(fig, path):
    """Write a figure, whole or not at all; returns the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            fig.savefig(file, format=path.suffix[1:], dpi=200)
    except OSError as err:
        raise DataError(f"{path.parent}: expected a writable folder, found {err}") from err
    return path
