"""Figure 5: how similar the synapses are that different tasks use."""

from typing import TYPE_CHECKING, Any

from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        entries off its diagonal. None if there is no correlation to show.
    """
    n, compared = len(result.content["task_names"]), result.protocol.compared
    layers = [result.correlations(layer) for layer in compared]
    if not all(layers) or not layers:
        return None
    curves = list(layers[0])
    ticks = range(1, n + 1) if n <= 5 else [1, *range(5, n + 1, 5)]
    figsize = (1 + 2 * len(layers), 0.5 + 1.9 * len(curves))
    fig = require("matplotlib.figure").Figure(figsize=figsize, layout="compressed")
    axes = fig.subplots(len(curves), len(layers), sharex=True, sharey=True, squeeze=False)
    for row, (method, c) in zip(axes, curves, strict=True):
        row[0].set_ylabel(f"{METHODS[method].title(c)}\n\nTask")
        for ax, matrices in zip(row, layers, strict=True):
            mean, frame = matrices[method, c].mean(axis=0), (0.5, n + 0.5, n + 0.5, 0.5)
            image = ax.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, extent=frame)
            ax.set_title(f"mean off-diagonal {mean_off_diagonal(mean):.3f}", fontsize=8)
            ax.set(xticks=ticks, yticks=ticks)
    for top, bottom, title in zip(axes[0], axes[-1], compared.values(), strict=True):
        top.set_title(f"{title}\n{top.get_title()}", fontsize=8)
        bottom.set_xlabel("Task")
    fig.colorbar(image, ax=axes, shrink=0.8, ticks=[-1, 0, 1], label="Correlation of ω")
    return fig
