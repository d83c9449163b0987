"""What a run leaves behind, in two figures: the matrix of accuracies, and the learning curve."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.errors import ConfigError
from pysi.experiments.machine import require
from pysi.figures.style import WIDTH, colour, save, shades, styled
from pysi.history import History
from pysi.metrics import sem
from pysi.typing import Array, File

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def task_names(history: History, n: int) -> list[str]:
    """Return the names of n tasks if the history has them, else their numbers."""
    names = list(getattr(history, "task_names", None) or ())
    return names if len(names) == n else [f"task {i + 1}" for i in range(n)]


@styled
def matrix(history: History, path: File | None = None) -> "Figure":
    """Draw the accuracy on every task after learning every task, on test data.

    Parameters
    ----------
    history : History
        As `pysi.train` returns it. For several networks their mean is drawn.
    path : path, optional
        Where to save the figure: a name that ends in .png, .pdf or .svg.

    Returns
    -------
    matplotlib.figure.Figure
        One row per task learned, one column per task tested, with the numbers in the cells. Tasks
        that have not been learned yet leave their row empty.

    Raises
    ------
    ConfigError
        No task has been learned yet, or the path has another ending.
    """
    accuracy = np.asarray(history.test_accuracy, dtype=float)
    mean = accuracy.reshape(-1, *accuracy.shape[-2:]).mean(axis=0)
    seen = mean[np.isfinite(mean)]
    if not seen.size:
        raise ConfigError("history: expected at least one task learned, found none")
    learned, tested = mean.shape
    figsize = (2.2 + 0.48 * max(4, tested), 1.1 + 0.42 * learned)
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="constrained")
    ax = fig.subplots()
    measure, low, high = "Accuracy", min(np.floor(10 * seen.min()) / 10, 0.9), 1
    if seen.min() < 0:  # the score of a regression is minus an error
        measure, low, high = "Score", seen.min(), max(seen.max(), 0)
    image = ax.imshow(mean, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(mean):
        if np.isfinite(value):
            dark = image.cmap(image.norm(value))[:3] @ np.array([0.3, 0.6, 0.1]) < 0.5
            ink = "white" if dark else "black"
            ax.text(j, i, f"{value:.3f}", color=ink, ha="center", va="center", fontsize=8)
    ax.set_facecolor("0.94")
    ax.set_yticks(range(learned), task_names(history, learned))
    names = task_names(history, tested)
    slant = {"rotation": 30, "ha": "right"} if max(map(len, names)) > 6 else {}
    ax.set_xticks(range(tested), names, **slant)
    ax.tick_params(length=0)
    ax.set(xlabel="Task tested", ylabel="Task learned last")
    several = f", mean of {len(accuracy)} networks" if accuracy.ndim > 2 else ""
    fig.colorbar(image, ax=ax).set_label(f"{measure} (test){several}")
    if path is not None:
        save(fig, Path(path))
    return fig


def curve(ax: Any, tasks: Array, values: Array, label: str, **look: Any) -> None:
    """Draw the mean over networks of each epoch's value, with a band of ± SEM if there are several.

    The line is interrupted where a task ends.
    """
    values = values.reshape(len(values), -1)
    mean, several = values.mean(axis=1), values.shape[1] > 1
    for task in np.unique(tasks):
        at = np.flatnonzero(tasks == task)
        ax.plot(at + 1, mean[at], marker="o", ms=2.5, label=label, **look)
        label = ""  # the legend names a line once
        if several:
            error = sem(values[at].T)
            band = mean[at] - error, mean[at] + error
            ax.fill_between(at + 1, *band, color=look["color"], alpha=0.25, lw=0)


@styled
def learning_curve(history: History, path: File | None = None) -> "Figure":
    """Draw the loss, and the penalty if there is one, of every epoch of a run.

    Parameters
    ----------
    history : History
        As `pysi.train` returns it.
    path : path, optional
        Where to save the figure: a name that ends in .png, .pdf or .svg.

    Returns
    -------
    matplotlib.figure.Figure
        The loss of the task that is being learned, mean over the epoch, and the penalty at its end;
        of several networks their mean, with a band of ± SEM. Dotted lines separate the tasks. A
        second panel has the accuracy on every task after every epoch, if
        `pysi.EpochAccuracy` has listened to the run.

    Raises
    ------
    ConfigError
        No epoch has ended yet, or the path has another ending.
    """
    epochs = history.epochs
    if not epochs:
        raise ConfigError("history: expected at least one epoch, found none")
    tasks = np.array([epoch["task"] for epoch in epochs])
    measures = [name for name in epochs[0] if name.endswith("accuracy")]
    order, panels = np.unique(tasks), 1 + bool(measures)
    figsize = (WIDTH, 0.6 + 2.1 * panels)
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="constrained")
    axes = fig.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    for name, role in {"loss": "exact", "penalty": "surrogate"}.items():
        values = np.array([epoch[name] for epoch in epochs], dtype=float)
        if name != "penalty" or values.any():
            curve(axes[0], tasks, values, name, color=colour(role))
    for measure, line in zip(measures, ("-", "--"), strict=False):
        values = np.array([epoch[measure] for epoch in epochs], dtype=float)
        tested = task_names(history, values.shape[-1])
        part, own = measure.removesuffix("_accuracy"), np.moveaxis(values, -1, 0)
        for shade, task, of in zip(shades(len(tested)), tested, own, strict=True):
            curve(axes[-1], tasks, of, f"{task} ({part})", color=shade, ls=line)
    most = max(order[-1], np.shape(history.test_accuracy)[-2])
    names = task_names(history, most)
    crowded = len(order) * max(map(len, names)) > 48  # letters in a row
    slant = {"rotation": 30, "ha": "left"} if crowded else {"ha": "center"}
    for task in order:
        first, last = np.flatnonzero(tasks == task)[[0, -1]] + 1
        axes[0].text((first + last) / 2, 1.02, names[task - 1], fontsize=9, **slant,
                     transform=axes[0].get_xaxis_transform())  # fmt: skip
        for ax in axes if last < len(tasks) else ():
            ax.axvline(last + 0.5, color="0.6", ls=":", lw=1)
    axes[0].set(ylabel="Loss", xlim=(0.5, len(tasks) + 0.5))
    axes[-1].set(xlabel="Epoch", **({"ylabel": "Accuracy"} if measures else {}))
    axes[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes[0].set_ylim(bottom=min(0, axes[0].get_ylim()[0]))
    if path is not None:
        save(fig, Path(path))
    return fig
