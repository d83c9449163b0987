# %% [markdown]
# # 8. Permuted MNIST
#
# **What you will do.** Look at the paper's Figures 4 and 5 as this package reproduces them, compare
# the numbers with what the paper says, and run a small version live.
#
# **What you will learn.** How long a network remembers when all tasks share one readout, whether
# the tasks share weights too, and whether Adam should keep its state between them.
#
# **What you need.** Notebook 7, which does the same for split MNIST. (Notebook 9 has more on EWC,
# one of the methods that are compared.)

# %%
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi import interval
from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.methods import METHODS
from pysi.experiments.result import Result
from pysi.figures import figure4, figure5
from pysi.figures.style import colour, use
from pysi.history import Epoch
from pysi.training import score
from pysi.verdicts import importances, permuted_mnist
from pysi.verdicts.importances import neighbours, strongest

# %matplotlib inline

use()
FREE, SI = colour("fine-tuning"), colour("si")
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "setup.cfg").exists())

# %% [markdown]
# ## The experiment
#
# There are ten tasks, and each is to read all ten digits. But each task has its own order of the
# 784 pixels, drawn once, so to the network the images of every task look new. All tasks share one
# readout: the network is not told which task a test digit belongs to, and guessing is right in one
# tenth of all cases. Here is a digit in three tasks.

# %%
digits = pysi.load_dataset("mnist-5k")
tasks = pysi.permuted_tasks(digits, 3)
fig, axes = plt.subplots(1, 3, figsize=(6, 2.3))
for ax, task in zip(axes, tasks, strict=True):
    ax.imshow(task.part("test")[0][300].reshape(28, 28), cmap="Greys")
    ax.set(title=task.name, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# `pysi run permuted-mnist` trains a network with two hidden layers of 2000 ReLUs for 20 epochs per
# task; Adam keeps its state from task to task. That takes hours, so we read the saved result.

# %%
result = Result.load(root / "docs" / "results" / "permuted-mnist.json")
strength = dict(result.curves()) | {"si": 0.1}  # from each method to its c; SI's is the paper's
in_figure = ("single", "fine-tuning", "si", "ewc", "dropout", "joint")
missing = [name for name in in_figure if name not in strength]
print(result.table())
print("\nnot in this file yet:", ", ".join(missing) or "nothing")

# %%
figure4(result)

# %% [markdown]
# The figure shows the average accuracy over the tasks learned so far, on test digits: above in
# close-up, below on the full scale. The next figure shows it on training digits:

# %%
figure4(result, "train")


# %% [markdown]
# The paper says of its Figure 4 that fine-tuning solves the newest task and forgets the others;
# that SI keeps task 1 while it learns nine more; that SI and EWC (a curve taken from EWC's authors)
# stay on top, only slightly below a network that trains on all tasks at once; that fine-tuning and
# dropout are far worse; and that all this holds for training and for validation data. Here are our
# numbers, with the 95 % interval of the mean over seeds. Two networks with the same seed begin with
# the same weights, so differences are taken seed by seed. A single seed has no interval, and never
# carries a verdict; two seeds seldom do.


# %%
def gap(name, part):
    """Average accuracy after the last task, minus that of SI: the interval over the seeds."""
    pairs = result.difference((name, strength[name]), ("si", strength["si"]), part)
    return interval(pairs.mean(axis=1)) if len(pairs) else "no seed yet"


free, bound = (result.select(name, strength[name]) for name in ("fine-tuning", "si"))
print("task 1 after each task    fine-tuning:", *free[:, :, 0].mean(axis=0).round(2))
print("                                   SI:", *bound[:, :, 0].mean(axis=0).round(2))
print("newest task               fine-tuning:", *np.diagonal(free.mean(axis=0)).round(2))
print("                                   SI:", *np.diagonal(bound.mean(axis=0)).round(2))

rivals = {"fine-tuning": "far worse", "dropout": "far worse", "ewc": "comparable",
          "joint": "slightly better"}  # fmt: skip
print(f"\n{'minus SI at the end':<25}{'the paper says':<18}{'test':<28}train")
for name, words in rivals.items():
    found = [f"{gap(name, part)!s:<28}" for part in ("test", "train") if name in strength]
    print(f"{name:<25}{words:<18}{''.join(found) or 'not in this file yet'}".rstrip())

# %% [markdown]
# ## Do the tasks use different weights?
#
# The paper's Figure 5 takes the path integral $\omega$ of each task and correlates it between
# tasks: do the same weights lower the loss? In the first layer they do not, since the pixels are
# permuted. In the second layer, the paper says, they do with fine-tuning, and more so the more
# tasks are learned; consolidation "prevents strong correlations".

# %%
figure5(result)

# %%
compared, matrices = ("fine-tuning", "si"), {}
for layer, group in {"first layer": "dense1.W", "second layer": "dense2.W"}.items():
    for name in compared:
        matrices[layer, name] = found = result.correlations(group)[name, strength[name]]
        print(f"{layer:<13}{name:<12} mean of all pairs {interval(mean_off_diagonal(found))}, "
              f"strongest pair {interval(strongest(found))}")  # fmt: skip


def apart(measure):
    """Fine-tuning minus SI in the second layer: the interval over the seeds that both have."""
    free, bound = (
        dict(zip((run["seed"] for run in result.runs_of(name, strength[name])),
                 measure(matrices["second layer", name]), strict=True))
        for name in compared
    )  # fmt: skip
    return interval([free[seed] - bound[seed] for seed in free if seed in bound])


print("fine-tuning minus SI, second layer: mean of all pairs", apart(mean_off_diagonal))

fig, ax = plt.subplots(figsize=(7, 3))
for name in compared:
    for layer, style in (("second layer", "o-"), ("first layer", "o:")):
        values = neighbours(matrices[layer, name])
        label = f"{METHODS[name].title(strength[name])}, {layer} (n = {len(values)})"
        error = pysi.sem(values) if len(values) > 1 else None
        ax.errorbar(np.arange(2, values.shape[1] + 2), values.mean(axis=0), error, fmt=style,
                    color=colour(name), capsize=2, label=label)  # fmt: skip
ax.set(xlabel="task", ylabel=r"correlation of $\omega$" "\nwith the task before", ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %% [markdown]
# In the first layer the tasks have little in common, as the paper says. In the second layer both
# parts of the claim can be seen, but not in the mean of all pairs, which is *about the same* for
# both methods, as far as so few seeds can say. With fine-tuning a task resembles the one before it,
# more and more from task to task, and resembles distant tasks less. With SI this resemblance stops
# growing early, and hardly depends on the distance: strong correlations are prevented, and moderate
# ones remain between all tasks but the first. The paper calls tasks with consolidation "largely
# uncorrelated"; in this measure they are not, on average over the seeds. Here is what the file says
# of each of the paper's claims. A claim is *undecided* if its bound lies inside the interval, or if
# there is one seed.


# %%
def show(claims):
    """Print each claim of the paper, what counts as yes, and what this result says."""
    for claim in claims:
        print(fill(f"{claim.paper} (yes if {claim.criterion})", 99, subsequent_indent="  "))
        for verdict in claim.verdicts(result):
            about = f"{verdict.about}: " * bool(verdict.about)
            print(fill(f"{about}{verdict.answer}, n = {verdict.n}: {verdict.here}", 99,
                       initial_indent="    ", subsequent_indent="      "))  # fmt: skip


show([*permuted_mnist.CLAIMS, *importances.CLAIMS])

# %% [markdown]
# ## Live
#
# Here are three tasks, 4,000 training digits and two hidden layers of 50 ReLUs. We train six
# networks side by side: three with $c = 0$ and three, from the same seeds, with $c = 1$. (Of 0.3,
# 1, 3 and 10 this strength was the best on held-out training digits.) We do this twice: once Adam
# keeps its state between tasks, once it is reset. The paper found keeping better for permuted
# MNIST, and resetting better for split MNIST.


# %%
epochs, seeds = 10, [0, 1, 2]
kinds = {"$c = 0$": (slice(3), FREE), "$c = 1$": (slice(3, 6), SI)}


def learn(reset_optimizer):
    """Accuracy of the six networks on each task (test), after every epoch and after every task."""
    net, after_epoch = pysi.MLP([784, 50, 50, 10], seed=seeds * 2), []
    rule = pysi.SynapticIntelligence(c=[0.0] * 3 + [1.0] * 3, xi=0.1)

    def look(event):
        if isinstance(event, Epoch):
            after_epoch.append([score(net, task, "test") for task in tasks])

    history = pysi.train(net, pysi.Adam(3e-3), rule, tasks, epochs=epochs, batch_size=64,
                         reset_optimizer=reset_optimizer, listeners=[look])  # fmt: skip
    return np.array(after_epoch), history.test_accuracy


live = {"kept": learn(False), "reset": learn(True)}

# %%
fig, axes = plt.subplots(3, 2, figsize=(9.6, 5), sharex=True, sharey=True)
epoch = np.arange(1, 3 * epochs + 1)
for column, (adam, (after_epoch, _)) in zip(axes.T, live.items(), strict=True):
    for j, (ax, task) in enumerate(zip(column, tasks, strict=True)):
        ax.axvspan(j * epochs + 0.5, (j + 1) * epochs + 0.5, color="0.93")
        ax.axhline(task.chance, color="0.4", lw=1, ls="--")
        for name, (rows, role) in kinds.items():
            ax.plot(epoch, after_epoch[:, j, rows], color=role, lw=0.8, alpha=0.6)
            ax.plot(epoch, after_epoch[:, j, rows].mean(axis=1), color=role, lw=2.2, label=name)
        ax.set(ylim=(0, 1), yticks=[0, 0.5, 1], xlim=(0.5, 3 * epochs + 0.5))
        ax.spines[["top", "right"]].set_visible(False)
    column[0].set_title(f"Adam {adam}")
    column[-1].set_xlabel("epoch")
for ax, task in zip(axes[:, 0], tasks, strict=True):
    ax.set_ylabel(task.name)
axes[-1, 0].legend(frameon=False, loc="upper left", ncols=2)
plt.show()

# %%
average = {adam: pysi.average_accuracy(matrix)[:, -1] for adam, (_, matrix) in live.items()}
lost = {adam: pysi.forgetting(matrix) for adam, (_, matrix) in live.items()}
newest = {adam: matrix[:, -1, -1] for adam, (_, matrix) in live.items()}
print(f"{'':19}  average accuracy    forgetting     accuracy on task 3")
for adam in live:
    for name, (rows, _) in kinds.items():
        cells = (f"{values[adam][rows].mean():.3f} ± {pysi.sem(values[adam][rows]):.3f}"
                 for values in (average, lost, newest))  # fmt: skip
        print(f"Adam {adam:<6} {name.strip('$')}: ", *cells, sep="   ")

# %% [markdown]
# The consolidated networks keep both old tasks. They learn the newest task a little less well; if
# Adam is reset, three seeds do not decide this. Nor do they show, at this size, a difference
# between keeping and resetting Adam. (With SI, 400 units per layer and ten tasks there is a
# difference: see the results page.)
#
# ## The claims

# %%
# Figure 4: both solve each new task
for test in (free, bound):
    assert np.diagonal(test, axis1=1, axis2=2).min() > 0.9

# with so few seeds much is undecided, but no claim about Figure 4 and the first layer is refuted
for claim in (*permuted_mnist.CLAIMS, *importances.CLAIMS[:2]):
    assert all(verdict.answer != "no" for verdict in claim.verdicts(result)), claim.paper

# Figure 5: ω of the first layer is correlated less than half as much as that of the second
for name in compared:
    first, second = (mean_off_diagonal(matrices[f"{layer} layer", name])
                     for layer in ("first", "second"))  # fmt: skip
    assert interval(second / 2 - first).lies(low=0) is not False
# in the second layer fine-tuning ends with the same weights more than SI does
assert apart(lambda found: neighbours(found)[:, -1]).lies(low=0) is not False
assert apart(strongest).lies(low=0) is not False
# and yet the mean over all pairs of tasks differs little
assert apart(mean_off_diagonal).lies(-0.05, 0.05) is not False

# live, with either Adam: consolidation keeps more, and loses less than half as much
for adam in live:
    assert interval(average[adam][3:] - average[adam][:3]).above(0)
    assert interval(lost[adam][:3] / 2 - lost[adam][3:]).above(0)
assert interval(newest["kept"][3:] - newest["kept"][:3]).below(0)
