"""The paper's figures, from results."""

import os
from itertools import cycle
from pathlib import Path

import numpy as np

from pysi.errors import ConfigError, DataError
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.experiments.sweep import Sweep
from pysi.metrics import average_accuracy, mean_off_diagonal, sem

COLOURS = ("#3b6fb6", "#d95f02", "#2a9d6f", "#8d6cab", "#b8860b", "#666666")
STYLES = {
    "fine-tuning": ("#2a9d6f", "^"), "si": ("#3b6fb6", "o"), "ewc": ("#777777", "s"),
    "online-ewc": ("#8d6cab", "D"), "dropout": ("#c8403a", "v"),
}  # fmt: skip
"""Colour, as in the paper where it has the method, and marker of the curves of Figure 4."""


def sequences(result):
    """The curves of a result that go through all tasks."""
    return [(m, c) for m, c in result.curves() if METHODS[m].trains == "sequence"]


def plot(ax, n, values, **style):
    """Mean over seeds, with SEM bars if there are several, up to the last of n tasks learned."""
    seen = np.arange(n - values.shape[1], n) + 1
    errors = sem(values) if len(values) > 1 else None
    ax.errorbar(seen, values.mean(axis=0), errors, ms=3.5, lw=1.5, capsize=2, **style)


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
    for colour, (method, c) in zip(cycle(COLOURS), sequences(result), strict=False):
        accuracy = result.select(method, c)
        si = method in ("fine-tuning", "si")
        label = f"c = {c:g}" if si else METHODS[method].label.format(c=c)
        panels = [accuracy[:, j:, j] for j in range(n)] + [average_accuracy(accuracy)]
        for ax, values in zip(axes, panels, strict=True):
            plot(ax, n, values, color=colour, marker="o", label=label, clip_on=False, zorder=3)
    for ax, title in zip(axes, [f"Task {j + 1} ({t})" for j, t in enumerate(names)] + ["Average"],
                         strict=True):  # fmt: skip
        ax.axhline(result.content["chance"], color="0.4", ls="--", lw=1, label="chance")
        ax.set_title(title, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set(xlim=(0.7, n + 0.3), xticks=range(1, n + 1))
    axes[0].set(ylabel="Accuracy (test)", ylim=(0.4, 1.005), yticks=[0.5, 0.75, 1.0])
    fig.supxlabel("Tasks learned", fontsize=9)
    axes[-1].legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.22))
    return fig


def style(method, c, curves):
    """How a curve of Figure 4 is drawn: strengths of one method go from light to full colour."""
    strengths = [other for m, other in curves if m == method]
    weakness = 1 - (strengths.index(c) + 1) / len(strengths)
    colour, marker = STYLES[method]
    rgb = np.array(require("matplotlib.colors").to_rgb(colour))
    rgb += 0.7 * weakness * (1 - rgb)
    return {"color": rgb, "marker": marker, "zorder": 3 if method == "si" else 2}


def close_up(averages, marks, chance):
    """Limits that show the marks, and the curves that end within a twentieth of the best one."""
    best = max((values[:, -1].mean() for values in averages), default=chance)
    near = best - 0.05 * (best - chance)  # of its height above chance, not above another curve
    curves = [values.ravel() for values in averages if values[:, -1].mean() >= near]
    shown = np.concatenate([marks, *curves])  # SEM bars end within the range of the seeds
    margin = 0.1 * np.ptp(shown) + 1e-3
    return shown.min() - margin, shown.max() + margin


def figure4(result, part="test"):
    """Figure 4: average accuracy over the tasks learned so far, against their number.

    Parameters
    ----------
    result : Result
        Of permuted MNIST.
    part : {"test", "train"}
        Which accuracy.

    Returns
    -------
    matplotlib.figure.Figure
        One curve a method and strength, mean over seeds with SEM bars: above in close-up, with the
        accuracy on a single task (dotted) and of training on all tasks at once (arrow), below as a
        whole, with the chance level.
    """
    n, chance = len(result.content["task_names"]), result.content["chance"]
    single, joint = (result.select(method, part=part) for method in ("single", "joint"))
    fig = require("matplotlib.figure").Figure(figsize=(5.6, 4.4), layout="constrained")
    close, whole = fig.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    curves, averages = sequences(result), []
    for method, c in curves:
        averages.append(average_accuracy(result.select(method, c, part)))
        for ax in (close, whole):
            label = METHODS[method].label.format(c=c)
            plot(ax, n, averages[-1], label=label, **style(method, c, curves))
    if len(single):
        close.axhline(single.mean(), color="k", ls=":", lw=1)
        whole.plot([], [], "k:", lw=1, label=METHODS["single"].label)  # for the legend
    if len(joint):
        close.annotate(
            METHODS["joint"].label, (n, joint.mean()), (1.08, joint.mean()),
            textcoords=("axes fraction", "data"), va="center", fontsize=8,
            arrowprops={"arrowstyle": "-|>", "color": "k", "shrinkB": 4},
        )  # fmt: skip
    whole.axhline(chance, color="0.4", ls="--", lw=1, label="chance")
    whole.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1.05))
    for ax in (close, whole):
        ax.spines[["top", "right"]].set_visible(False)
    close.set_ylim(close_up(averages, [x.mean() for x in (single, joint) if len(x)], chance))
    whole.set(ylim=(0, 1.02), xlim=(0.7, n + 0.3), xlabel="Tasks learned", xticks=range(1, n + 1))
    fig.supylabel(f"Average accuracy ({part})", fontsize=10)
    return fig


def figure5(result):
    """Figure 5: correlation of the path integral ω between tasks, in the first two layers.

    Parameters
    ----------
    result : Result
        With runs of fine-tuning or Synaptic Intelligence.

    Returns
    -------
    matplotlib.figure.Figure
        One row for every c, one column a layer: the matrix, mean over seeds, with the mean off its
        diagonal.
    """
    n = len(result.content["task_names"])
    first, second = (result.correlations(f"dense{layer}.W") for layer in (1, 2))
    ticks = range(1, n + 1) if n <= 5 else [1, *range(5, n + 1, 5)]
    figsize = (5, 0.5 + 1.9 * len(first))
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="compressed")
    axes = fig.subplots(len(first), 2, sharex=True, sharey=True, squeeze=False)
    for row, (method, c) in zip(axes, first, strict=True):
        row[0].set_ylabel(f"{METHODS[method].label.format(c=c)}\n\nTask")
        for ax, matrices in zip(row, (first[method, c], second[method, c]), strict=True):
            mean, frame = matrices.mean(axis=0), (0.5, n + 0.5, n + 0.5, 0.5)
            image = ax.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, extent=frame)
            ax.set_title(f"mean off-diagonal {mean_off_diagonal(mean):.3f}", fontsize=8)
            ax.set(xticks=ticks, yticks=ticks)
    for top, bottom, layer in zip(axes[0], axes[-1], ("First", "Second"), strict=True):
        top.set_title(f"{layer} layer weights\n{top.get_title()}", fontsize=8)
        bottom.set_xlabel("Task")
    fig.colorbar(image, ax=axes, shrink=0.8, ticks=[-1, 0, 1], label="Correlation of ω")
    return fig


def figure_sweep(sweep):
    """Validation accuracy against c, one curve for every ξ.

    Parameters
    ----------
    sweep : Sweep

    Returns
    -------
    matplotlib.figure.Figure
        Every seed as a dot, their means as a line, the chosen point in a ring.
    """
    fig = require("matplotlib.figure").Figure(figsize=(5.2, 3), layout="constrained")
    ax, points, chosen = fig.subplots(), sweep.points(), sweep.choose()
    dampings = sorted({xi for _, c, xi in points if c} or {0})
    shades = require("matplotlib").colormaps["viridis"](np.linspace(0, 0.85, len(dampings)))
    for colour, xi in zip(shades, dampings, strict=True):
        curve = {c: v for (_, c, x), v in sorted(points.items()) if x == xi or c == 0}
        for c, values in curve.items():
            ax.plot([c] * len(values), values, ".", color=colour if c else "0.5", alpha=0.5)
        label = f"ξ = {xi:g}" if any(method == "si" for method, _, _ in points) else "mean"
        means = [values.mean() for values in curve.values()]
        ax.plot(list(curve), means, color=colour, lw=1.5, label=label)
    ax.plot(chosen["c"], chosen["validation_accuracy"], "ko", mfc="none", ms=11, label="chosen")
    tried = sorted({c for _, c, _ in points})
    ax.set_xscale("symlog", linthresh=next(filter(None, tried), 1))
    ax.set_xticks(tried, [f"{c:g}" for c in tried])
    ax.set(xlabel="c", ylabel="Average accuracy (held out)")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right center", fontsize=8, frameon=False)
    return fig


FIGURES = {
    "split-mnist": {"figure3": figure3},
    "permuted-mnist": {
        "figure4": figure4,
        "figure4-train": lambda result: figure4(result, "train"),
        "figure5": figure5,
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
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(partial, format=path.suffix[1:], dpi=200)
        os.replace(partial, path)
    except OSError as err:
        raise DataError(f"{path.parent}: expected a writable folder, found {err}") from err
    return path
