"""The paper's figures, from results.

In reading order: `style` (what they share), `figure3` to `figure6`, `sweep`.
"""

from pathlib import Path

from pysi.errors import ConfigError, DataError
from pysi.experiments.sweep import Sweep
from pysi.figures.figure3 import figure3
from pysi.figures.figure4 import figure4
from pysi.figures.figure5 import figure5
from pysi.figures.figure6 import figure6
from pysi.figures.style import COLOURS
from pysi.figures.sweep import figure_sweep
from pysi.storage.files import atomic

__all__ = [
    "COLOURS",
    "FIGURES",
    "draw",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure_sweep",
]

FIGURES = {
    "split-mnist": {"figure3": figure3},
    "permuted-mnist": {
        "figure4": figure4,
        "figure4-train": lambda result: figure4(result, "train"),
        "figure5": figure5,
    },
    "split-cifar": {
        "figure6": figure6,
        "figure6-train": lambda result: figure6(result, "train"),
    },
}


def draw(result, folder):
    """Write the figures of an experiment, each as PNG and PDF; returns the paths.

    Raises
    ------
    ConfigError
        A result without finished runs, or of an experiment that has no figure.
    DataError
        A folder that cannot be written to.
    """
    experiment = result.content["experiment"]
    if experiment not in FIGURES or not result.runs:
        raise ConfigError(
            f"result: expected finished runs of one of {list(FIGURES)}, "
            f"found {len(result.runs)} of {experiment!r}"
        )
    figures = {"sweep": figure_sweep} if isinstance(result, Sweep) else FIGURES[experiment]
    paths = []
    for name, make in figures.items():
        if make is figure5 and not result.correlations("dense1.W"):
            continue
        fig = make(result)
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
