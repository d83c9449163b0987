"""The picture of the landing page: what the synapses of a network know of two digits.

    python docs/landing.py

Networks with one hidden layer learn to tell two digits apart. The path integral ω of the first
layer is summed over the hidden units that speak for the one digit, and over those that speak for
the other; each sum has one number per pixel. The picture shows the mean over ten networks.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

import pysi
from pysi.figures.style import colour, save

PICTURE = Path(__file__).parent / "_static" / "landing.svg"
INK = LinearSegmentedColormap.from_list("ink", ["white", "#222222"])
SHADES = [(0, "white"), (0.65, colour("surrogate")), (1, "#003222")]
IMPORTANCE = LinearSegmentedColormap.from_list("importance", SHADES)


class Kept(pysi.SynapticIntelligence):
    """Synaptic Intelligence that keeps the ω of the first layer when the task ends."""

    def end_task(self, net=None, task=None):
        self.kept = self.synapses.group("dense1.W").omega.copy()
        super().end_task(net, task)


def images(task, seeds=range(10)):
    """Return the mean of both digits, and the ω of the units that speak for each of them."""
    net = pysi.MLP([784, 64, 10], zero_readout=True, seed=seeds)
    rule = Kept()
    pysi.train(net, pysi.Adam(1e-3), rule, [task], epochs=10, batch_size=64)
    pair = np.flatnonzero(task.active)
    readout = net.synapses.group("dense2.W").theta[..., pair]
    first = (readout[..., 0] > readout[..., 1])[:, None, :]  # the units that speak for the first
    means = [task.x_train[task.y_train == digit].mean(axis=0) for digit in pair]
    omegas = [(rule.kept * which).sum(axis=-1).mean(axis=0) for which in (first, ~first)]
    return [image.reshape(28, 28)[2:-2, 2:-2] for image in (*means, *omegas)]


def picture():
    """Draw a row for 0 and 1, and one for 6 and 7; each image has its own scale."""
    tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))
    fig, axes = plt.subplots(2, 5, figsize=(7, 3.8), width_ratios=[1, 1, 0.35, 1, 1])
    for row, task in zip(axes, (tasks[0], tasks[3]), strict=True):
        shown = zip(row[[0, 1, 3, 4]], (INK, INK, IMPORTANCE, IMPORTANCE), strict=True)
        for (ax, colours), image in zip(shown, images(task), strict=True):
            ax.imshow(image, cmap=colours, vmin=0, interpolation="none")
        arrow = {"arrowstyle": "-|>", "color": "#888888", "lw": 1.5}
        row[2].annotate("", (1, 0.5), (0, 0.5), *["axes fraction"] * 2, arrowprops=arrow)
    for ax in axes.flat:
        ax.axis("off")
    fig.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.01, wspace=0.08, hspace=0.06)
    fig.text(0.22, 0.92, "what it has seen", ha="center", fontsize=16)
    fig.text(0.77, 0.92, "what its synapses know, ω", ha="center", fontsize=16)
    return fig


if __name__ == "__main__":
    print(save(picture(), PICTURE))
