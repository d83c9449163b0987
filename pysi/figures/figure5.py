"""Figure 5: whether different tasks use the same synapses."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import WIDTH, averaged, counted, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def figure5(result: Any) -> "Figure | None":
    """Draw Figure 5: correlation of the path integral ω between tasks, in the first layers.

    Parameters
    ----------
    result : Result
        A result with runs of fine-tuning or Synaptic Intelligence; the experiment says which layers
        are `compared`.

    Returns
    -------
    matplotlib.figure.Figure or None
        One row for every c, one column per layer: the matrix, mean over seeds, with the mean of the
        entries off its diagonal. The diagonal is grey, since a task's ω is always like itself, and
        the colours span what is off it. None if there is no correlation to show.
    """
    n, compared = len(result.content["task_names"]), result.protocol.compared
    layers = [result.correlations(layer) for layer in compared]
    if not all(layers) or not layers:
        return None
    counts = [len(matrices) for matrices in layers[0].values()]
    means = {
        curve: [np.ma.masked_array(of[curve].mean(axis=0), np.eye(n, dtype=bool)) for of in layers]
        for curve in layers[0]
    }
    shown = np.concatenate([mean.compressed() for row in means.values() for mean in row])
    limits = shown.min(initial=0), shown.max(initial=0)
    ticks = range(1, n + 1) if n <= 5 else [1, *range(5, n + 1, 5)]
    width = min(WIDTH, 1.4 + 2.3 * len(layers))
    side = (width - 1.4) / len(layers)
    figsize = (width, 0.5 + side * len(means))
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="compressed")
    axes = fig.subplots(len(means), len(layers), sharex=True, sharey=True, squeeze=False)
    for row, ((method, c), matrices), count in zip(axes, means.items(), counts, strict=True):
        row[0].set_ylabel(f"{counted(METHODS[method].title(c), count, counts)}\n\nTask")
        for ax, mean in zip(row, matrices, strict=True):
            frame = (0.5, n + 0.5, n + 0.5, 0.5)
            image = ax.imshow(mean, cmap="viridis", vmin=limits[0], vmax=limits[1], extent=frame)
            ax.set_facecolor("0.8")
            ax.set_title(f"mean off-diagonal {mean_off_diagonal(mean.data):.3f}", fontsize=9)
            ax.set(xticks=ticks, yticks=ticks)
    for top, bottom, title in zip(axes[0], axes[-1], compared.values(), strict=True):
        top.set_title(f"{title}\n{top.get_title()}", fontsize=9)
        bottom.set_xlabel("Task")
    fig.colorbar(image, ax=axes, shrink=0.8, label=averaged("Correlation of ω", counts))
    return fig
