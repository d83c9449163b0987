"""The paper's figures, from results, and two figures of any run, from its history.

In reading order: `style` (what they share), `figure3` to `figure6`, `sweep`, `histories`. Each
experiment names its own figures: see `pysi.experiments.protocols`.
"""

from pathlib import Path
from typing import Any

from pysi.errors import ConfigError
from pysi.figures.figure3 import figure3
from pysi.figures.figure4 import figure4
from pysi.figures.figure5 import figure5
from pysi.figures.figure6 import figure6
from pysi.figures.histories import learning_curve, matrix
from pysi.figures.style import FORMATS, save
from pysi.figures.sweep import figure_sweep
from pysi.typing import File

__all__ = [
    "draw",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure_sweep",
    "learning_curve",
    "matrix",
]


def draw(result: Any, folder: File) -> list[Path]:
    """Write the figures of a result, each as PNG, PDF and SVG, and return the paths.

    Raises
    ------
    ConfigError
        The result has no finished runs, or its experiment has no figure.
    DataError
        The folder cannot be written to.
    """
    if not result.figures or not result.runs:
        raise ConfigError(
            "result: expected finished runs of an experiment that has figures, found "
            f"{len(result.runs)} of {result.content['experiment']!r}"
        )
    paths = []
    for name, make in result.figures.items():
        if (fig := make(result)) is not None:
            paths += [save(fig, Path(folder) / f"{name}{ending}") for ending in FORMATS]
    return paths
