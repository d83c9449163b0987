# %% [markdown]
# # 7. Split MNIST
#
# **What you will do.** Look at one of the paper's main results, its Figure 3, as this package
# reproduces it; then train eight small networks, and see four of them forget.
#
# **What you will learn.** How catastrophic forgetting looks on real digits, how well consolidation
# prevents it, and which pixels become important to a network.
#
# **What you need.** Notebook 1 for the idea, notebook 2 for the table of synapses.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi import interval
from pysi.experiments.result import Result
from pysi.figures import figure3
from pysi.figures.style import colour, use
from pysi.history import Epoch
from pysi.training import score

# %matplotlib inline

use()
FREE, SI = colour("fine-tuning"), colour("si")
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "setup.cfg").exists())

# %% [markdown]
# ## The experiment
#
# There are five tasks, one after the other: 0 or 1, 2 or 3, 4 or 5, 6 or 7, 8 or 9. One network
# with two hidden layers of 256 ReLUs learns them all, and never sees the digits of an old task
# again. After each task it is tested on all tasks. The network is told which task a test digit
# belongs to, so guessing is right in one half of all cases.
#
# `pysi run split-mnist` trains this network with ten seeds, with $c = 0$ and $c = 1$, and ten
# epochs per task. That takes about two minutes, so we read the saved result.

# %%
result = Result.load(root / "docs" / "results" / "split-mnist.json")
print(result.table())

# %%
figure3(result)

# %% [markdown]
# Each of the first five panels shows a task, from the moment it was learned; the last panel shows
# the average over the tasks learned so far. The paper describes this figure as follows:
#
# * *Both settings solve each new task.* Yes: every curve starts near 1. With $c = 1$ the start of
#   task 5 is a little lower.
# * *Without consolidation, a substantial part of task 1 is lost when task 2 is learned.* Here the
#   loss is smaller: the accuracy is 0.91 on average, and the error bar says that networks differ.
# * *After the last task, the first two tasks are back at chance.* Task 2 is, or even a little
#   below. Task 1 falls to 0.74, and so stays above chance. On average it recovers for a time, while
#   4 or 5 is learned; but the interval below has zero in it, so ten seeds do not decide this.
# * *With consolidation there is only minor degradation.* Yes: the blue curves fall, the green ones
#   hardly do.

# %%
free, bound = result.select("fine-tuning"), result.select("si", 1.0)
saved = {0.0: pysi.average_accuracy(free)[:, -1], 1.0: pysi.average_accuracy(bound)[:, -1]}
print("accuracy on tasks 1 to 5 after the last one, mean over seeds and 95 % interval")
for c, matrices in (("c = 0", free), ("c = 1", bound)):
    print(f"  {c}: ", "   ".join(str(interval(task)) for task in matrices[:, -1].T))
recovered = free[:, 2, 0] - free[:, 1, 0]
print("what task 1 gains at c = 0 while task 3 is learned:", interval(recovered))

# %% [markdown]
# ## Live
#
# Here is a small version, with 400 training digits per class instead of 6,000, and smaller hidden
# layers. A list of seeds makes several networks: the table has the shape (8, P), and one run trains
# eight networks side by side, four with $c = 0$ and four, from the same seeds, with $c = 1$. We
# test all of them on every task after each epoch.

# %%
tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))
seeds, epochs = [0, 1, 2, 3], 8
net = pysi.MLP([784, 64, 64, 10], zero_readout=True, seed=seeds * 2)
rule = pysi.SynapticIntelligence(c=[0.0] * 4 + [1.0] * 4, xi=1e-3)
first_layer = net.synapses.group("dense1.W")
curves, importance = [], []


def look(event):
    """After every epoch: test all tasks. In a task's first epoch: copy Ω of the tasks before."""
    if isinstance(event, Epoch):
        curves.append([score(net, task, "test") for task in tasks])
        if event.epoch == 1:
            importance.append(first_layer.Omega.copy())


history = pysi.train(
    net, pysi.Adam(1e-3), rule, tasks, epochs=epochs, batch_size=64, listeners=[look]
)  # fmt: skip
importance.append(first_layer.Omega.copy())
curves, importance = np.array(curves), np.array(importance)

# %%
fig, axes = plt.subplots(5, 1, figsize=(9.6, 7), sharex=True, sharey=True)
epoch = np.arange(1, len(curves) + 1)
for j, (ax, task) in enumerate(zip(axes, tasks, strict=True)):
    ax.axvspan(j * epochs + 0.5, (j + 1) * epochs + 0.5, color="0.93")
    ax.axhline(task.chance, color="0.4", lw=1, ls="--")
    for rows, role, name in ((slice(4), FREE, "$c = 0$"), (slice(4, 8), SI, "$c = 1$")):
        ax.plot(epoch, curves[:, j, rows], color=role, lw=0.8, alpha=0.6)
        ax.plot(epoch, curves[:, j, rows].mean(axis=1), color=role, lw=2.2, label=name)
    ax.set_ylabel(task.name, rotation=0, ha="right", va="center")
    ax.set(ylim=(0.3, 1.03), yticks=[0.5, 1], xlim=(0.5, len(curves) + 0.5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_title("Test accuracy; grey: while this task is learned", fontsize=11)
axes[-1].set(xlabel="epoch", xticks=np.arange(0, len(curves) + 1, epochs))
axes[-1].legend(frameon=False, loc="upper left", ncols=2)
plt.show()

# %% [markdown]
# Thin lines are single networks, thick lines their mean. Before a task is learned, it is exactly at
# chance: its readout is still zero, so every digit gets the same answer. In the grey span the
# networks learn it about equally fast with both values of $c$. Then the blue means of the first two
# tasks fall almost to chance, while the green means stay near 1. Not every green line does: one
# of the four networks loses a fifth of task 1. In such a short run, tasks 3 and 4 are kept nearly
# as well without consolidation.

# %%
average = pysi.average_accuracy(history.test_accuracy)[:, -1]
lost = pysi.forgetting(history.test_accuracy)
for name, rows in (("c = 0", slice(4)), ("c = 1", slice(4, 8))):
    print(f"{name}: average accuracy {average[rows].mean():.3f} ± {pysi.sem(average[rows]):.3f}, "
          f"forgetting {lost[rows].mean():.3f} ± {pysi.sem(lost[rows]):.3f}")  # fmt: skip
print("c = 1 minus c = 0, paired by seed: average accuracy", interval(average[4:] - average[:4]))

# %% [markdown]
# Four small networks on a fifteenth of the data say nothing about the paper's numbers; they say
# that the effect is large enough to be seen in seconds.
#
# ## Which pixels matter?
#
# A pixel's importance is that of its synapses in the first layer, $\sum_j \Omega_{ij}$ over the
# hidden units $j$. Since $\Omega$ is added up over tasks, its increase during a task is what this
# task contributed. The second and third row of the figure show the mean over the four networks with
# $c = 1$. The first row shows where the first digit of a task has more ink on average (purple), and
# where the second has more (orange).

# %%
total = importance[:, 4:].sum(axis=-1).mean(axis=1).reshape(-1, 28, 28)  # (6, 28, 28)
added = np.diff(total, axis=0)

fig, axes = plt.subplots(3, 5, figsize=(9.6, 6))
for j, task in enumerate(tasks):
    classes = [task.x_train[task.y_train == k].mean(axis=0) for k in np.flatnonzero(task.active)]
    axes[0, j].imshow((classes[0] - classes[1]).reshape(28, 28), cmap="PuOr", vmin=-255, vmax=255)
    shown = axes[1, j].imshow(added[j], cmap="Greens", vmin=0, vmax=added.max())
    shown_total = axes[2, j].imshow(total[j + 1], cmap="Greens", vmin=0, vmax=total.max())
    axes[0, j].set_title(task.name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, name in zip(axes[:, 0], ("difference of\nthe mean digits", r"$\Omega$ added by the task",
                                 r"$\Omega$ so far"), strict=True):  # fmt: skip
    ax.set_ylabel(name)
fig.colorbar(shown, ax=axes[1], aspect=12)
fig.colorbar(shown_total, ax=axes[2], aspect=12)
plt.show()

# %% [markdown]
# Importance grows in the middle of the image, where the two digits of a task differ; margins, where
# there is never any ink, remain free. The third row says how much each pixel's synapses will resist
# the next task.
#
# ## The claims

# %%
# the full result (Figure 3): both solve each new task; with c = 1 the last one a little less well
first_free, first_bound = (np.diagonal(m, axis1=1, axis2=2) for m in (free, bound))
for newest in (first_free, first_bound):
    assert all(interval(task).above(0.97) for task in newest.T)
assert interval(first_bound[:, 4] - first_free[:, 4]).below(0)

# c = 0 forgets, c = 1 does not; task 2 falls below chance, task 1 does not
assert interval(saved[0.0]).below(0.9) and interval(saved[1.0]).above(0.98)
assert interval(free[:, -1, 1]).below(0.5) and interval(free[:, -1, 0]).above(0.5)
assert interval(pysi.forgetting(free) - pysi.forgetting(bound)).above(0)

# the live run: c = 1 loses less than half as much
assert np.diagonal(history.test_accuracy, axis1=1, axis2=2).min() > 0.8
assert interval(lost[:4] / 2 - lost[4:]).above(0)
assert interval(average[4:] - average[:4]).above(0)

# Ω is only ever added up (and cut off at zero): a pixel without ink never has any
dead = ~np.any([task.x_train.any(axis=0) for task in tasks], axis=0).reshape(28, 28)
assert (total[:, dead] == 0).all()
assert (total[0] == 0).all() and (total[-1][~dead] > 0).mean() > 0.9
