"""Figure 5: how alike are the synapses that tasks use."""

from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.metrics import mean_off_diagonal


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
