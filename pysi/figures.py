"""The paper's figures, from results."""

import os
from pathlib import Path

import numpy as np

from pysi.errors import ConfigError, DataError
from pysi.experiments.machine import require
from pysi.metrics import average_accuracy, sem

COLOURS = ("#3b6fb6", "#d95f02", "#2a9d6f", "#8d6cab", "#b8860b", "#666666")


def figure3(result):
    """Figure 3: accuracy on each task, and on average, against the number of tasks learned.

    Parameters
    ----------
    result : Result
        Of split MNIST.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a task and one for the average over the tasks seen so far: mean over seeds with
        SEM bars for every c, and the chance level.
    """
    names = result.content["task_names"]
    n = len(names)
    fig = require("matplotlib.figure").Figure(figsize=(1.75 * (n + 1), 2.3), layout="constrained")
    axes = fig.subplots(1, n + 1, sharex=True, sharey=True, squeeze=False)[0]
    for colour, c in zip(COLOURS, result.strengths(), strict=False):
        accuracy = result.select(c)
        panels = [accuracy[:, j:, j] for j in range(n)] + [average_accuracy(accuracy)]
        for ax, values in zip(axes, panels, strict=True):
            seen = np.arange(n - values.shape[1], n) + 1
            errors = sem(values) if len(values) > 1 else None
            ax.errorbar(
                seen, values.mean(axis=0), errors, color=colour, marker="o", ms=3.5, lw=1.5,
                capsize=2, label=f"c = {c:g}", clip_on=False, zorder=3,
            )  # fmt: skip
    for ax, title in zip(axes, [f"Task {j + 1} ({t})" for j, t in enumerate(names)] + ["Average"],
                         strict=True):  # fmt: skip
        ax.axhline(result.content["chance"], color="0.4", ls="--", lw=1, label="chance")
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(1, n + 1))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="Accuracy (test)", xlim=(0.7, n + 0.3), ylim=(0.4, 1.005))
    axes[0].set_yticks([0.5, 0.75, 1.0])
    fig.supxlabel("Tasks learned", fontsize=9)
    axes[-1].legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.22))
    return fig


def figure4(result):
    """Figure 4: average accuracy over the tasks learned so far, against their number.

    Parameters
    ----------
    result : Result
        Of permuted MNIST.

    Returns
    -------
    matplotlib.figure.Figure
        One curve for every c, mean over seeds with SEM bars: above in close-up, below as a whole.
    """
    n = len(result.content["task_names"])
    fig = require("matplotlib.figure").Figure(figsize=(4.2, 4.2), layout="constrained")
    close, whole = fig.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    for colour, c in zip(COLOURS, result.strengths(), strict=False):
        average = average_accuracy(result.select(c))
        errors = sem(average) if len(average) > 1 else None
        label = f"SI, c = {c:g}" if c else "fine-tuning"
        for ax in (close, whole):
            ax.errorbar(
                range(1, n + 1), average.mean(axis=0), errors, color=colour, marker="o", ms=3.5,
                lw=1.5, capsize=2, label=label,
            )  # fmt: skip
    whole.axhline(result.content["chance"], color="0.4", ls="--", lw=1, label="chance")
    for ax in (close, whole):
        ax.spines[["top", "right"]].set_visible(False)
    close.set(ylim=(0.94, 1.0), title="Average accuracy over the tasks learned (test)")
    close.title.set_fontsize(9)
    whole.set(ylim=(0, 1.02), xlim=(0.7, n + 0.3), xlabel="Tasks learned", xticks=range(1, n + 1))
    whole.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.12))
    return fig


FIGURES = {"split-mnist": ("figure3", figure3), "permuted-mnist": ("figure4", figure4)}


def draw(result, folder):
    """Write the figure of an experiment as PNG and PDF; returns the two paths.

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
    name, make = FIGURES[experiment]
    fig = make(result)
    paths = [Path(folder) / f"{name}.{kind}" for kind in ("png", "pdf")]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            partial = path.with_name(path.name + ".partial")
            fig.savefig(partial, format=path.suffix[1:], dpi=200)
            os.replace(partial, path)
    except OSError as err:
        raise DataError(f"{folder}: expected a folder that can be written to, found {err}") from err
    return paths
