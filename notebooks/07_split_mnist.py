# %% [markdown]
# # 7. Split MNIST
#
# **What you will do.** Read one of the paper's main results, its Figure 3, as this package
# reproduces it: with metrics and intervals that you compute yourself. Then train eight small
# networks, see four of them forget, and find out why a forgotten task can come back.
#
# **What you will learn.** How catastrophic forgetting looks on real digits, how well consolidation
# prevents it, how forgetting is measured, how sure ten seeds make us, and how much can depend on a
# detail such as "the optimizer was reset".
#
# **What you need.** [Notebook 1](01_catastrophic_forgetting.ipynb) for the idea,
# [notebook 2](02_what_a_synapse_knows.ipynb) for the table of synapses.
#
# **Time.** About 45 minutes.

# %% tags=["hide-input"]
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import stdtrit

import pysi
from pysi import interval
from pysi.experiments.result import Result
from pysi.figures import figure3, style
from pysi.figures.style import colour, use
from pysi.history import Epoch, TaskEnded
from pysi.report.table import Table
from pysi.resets import reset
from pysi.training import score, update

# %matplotlib inline

use()
FREE, SI = colour("fine-tuning"), colour("si")
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "setup.cfg").exists())


def saved(name):
    """A result that was computed with the full protocol."""
    return Result.load(root / "docs" / "results" / f"{name}.json")


def tell(claims, result):
    """Print what a result says of the paper's claims."""
    for claim in claims:
        print(fill(f"{claim.paper} (yes if {claim.criterion})", 96, subsequent_indent="  "))
        for found in claim.verdicts(result):
            text = f"{found.about}: {found.answer}, n = {found.n}: {found.here}"
            print(fill(text, 96, initial_indent="    ", subsequent_indent="      "))


def are_numbers(*values):
    """Whether each of them is one finite number."""
    return all(isinstance(x, int | float | np.number) and np.isfinite(x) for x in values)


# %% [markdown]
# ## The experiment
#
# There are five tasks, one after the other: 0 or 1, 2 or 3, 4 or 5, 6 or 7, 8 or 9. One network
# with two hidden layers of 256 ReLUs learns them all, and never sees the digits of an old task
# again. After each task it is tested on all tasks. The network is told which task a test digit
# belongs to, so guessing is right in one half of all cases.
#
# `pysi run split-mnist` trains this network with ten seeds, with $c = 0$ and $c = 1$, and ten
# epochs per task. That takes a few minutes, so we read the saved result.

# %% tags=["recorded"]
result = saved("split-mnist")
free, bound = result.select("fine-tuning"), result.select("si", 1.0)
print("accuracies of c = 0: (seeds, tasks learned, tasks tested) =", free.shape)
figure3(result)

# %% [markdown]
# Each of the first five panels shows a task, from the moment it was learned. The last panel shows
# the average over the tasks learned so far. Points are means over ten seeds, with bars of one
# standard error (SEM). Without consolidation ($c = 0$, blue) old tasks are forgotten; with it
# ($c = 1$, green) they are not.

# %% [markdown]
# ## The metrics
#
# Everything in the figure comes from one matrix per network: $A_{ij}$ is the accuracy on task $j$
# after task $i$ was learned. Here is the matrix of the first seed at $c = 0$.

# %% tags=["recorded"]
names = result.content["task_names"]
rows = [[f"after {names[i]}", *(f"{a:.3f}" for a in row)] for i, row in enumerate(free[0])]
print(Table(["", *names], rows).text())

# %% [markdown]
# The diagonal says how well each task was learned. To the right of it stand tasks that are not
# learned yet, at chance. Down a column you see a task being forgotten, and the last row is what is
# left. Two numbers sum up the matrix of $T$ tasks:
#
# $$ \text{average accuracy} = \frac1T \sum_{j=1}^{T} A_{Tj}, \qquad
#    \text{forgetting} = \frac1{T-1} \sum_{j=1}^{T-1}
#    \Bigl( \max_{j \le i \le T-1} A_{ij} - A_{Tj} \Bigr). $$
#
# Forgetting compares the accuracy at the end with the *best* one since the task was learned. It
# leaves out the last task, which had no time to be forgotten.
#
# **Exercise 1.** Compute both from a matrix `A` of any size. In Python tasks are counted from 0, so
# the last row is `A[-1]`.


# %% tags=["exercise", "hide-input"]
def metrics(A):
    """Average accuracy after the last task, and forgetting, of one network."""
    T = len(A)
    # your code: `average`, the mean of the last row, and `forgotten`, the mean drop from the best
    average = A[-1].mean()
    drops = [A[j:-1, j].max() - A[-1, j] for j in range(T - 1)]
    forgotten = np.mean(drops)
    # end
    return average, forgotten


# %% tags=["check"]
A = np.array([[0.8, 0.9, 0.1, 0.3], [0.9, 0.7, 0.2, 0.9], [0.5, 0.8, 0.6, 0.4], [0.6, 0.4, 0.7, 1]])
average, forgotten = metrics(A)
assert are_numbers(average, forgotten), "Both metrics of one matrix must be numbers."
assert not np.isclose(average, A.mean()), "Only the last row says what is left in the end."
assert np.isclose(average, 0.675), "The average accuracy is the mean over all tasks, last row."
assert not np.isclose(forgotten, (0.2 + 0.3 - 0.1) / 3), (
    "The best accuracy need not be the diagonal: a task can become better later on."
)
assert not np.isclose(forgotten, (0.3 + 0.5 - 0.1) / 3), (
    "An accuracy from before the task was learned does not count: take the maximum from row j on."
)
assert not np.isclose(forgotten, (0.3 + 0.4 + 0) / 3), (
    "The last row must not take part in the maximum: a task may also have gained in the end."
)
assert not np.isclose(forgotten, (0.3 + 0.4 - 0.1) / 4), (
    "The last task cannot be forgotten yet: the mean is over T - 1 tasks."
)
assert np.isclose(forgotten, 0.2), "Forgetting is the mean of max(A[j:-1, j]) - A[-1, j], j < T - 1"

# %% [markdown] tags=["instructor", "remove-cell"]
# Wrong answers that students give. The mean over the whole matrix:
#
# ```python
# average = A.mean()
# forgotten = np.mean([A[j:-1, j].max() - A[-1, j] for j in range(T - 1)])
# ```
#
# The diagonal in place of the best:
#
# ```python
# average = A[-1].mean()
# forgotten = np.mean(np.diag(A)[:-1] - A[-1, :-1])
# ```
#
# The maximum over the whole column, so that luck before the task was learned counts:
#
# ```python
# average = A[-1].mean()
# forgotten = np.mean(A[:-1, :-1].max(axis=0) - A[-1, :-1])
# ```
#
# The last row takes part in the maximum, so that no task can gain:
#
# ```python
# average = A[-1].mean()
# forgotten = np.mean([A[j:, j].max() - A[-1, j] for j in range(T - 1)])
# ```
#
# The mean is over all T tasks:
#
# ```python
# average = A[-1].mean()
# forgotten = sum(A[j:-1, j].max() - A[-1, j] for j in range(T - 1)) / T
# ```
#
# One number per task, in place of their mean:
#
# ```python
# average = A[-1]
# forgotten = A[:-1].max(axis=0) - A[-1]
# ```

# %% [markdown]
# The package computes both, too, for all networks at once. They agree with yours:

# %% tags=["recorded"]
for name, matrices in (("c = 0", free), ("c = 1", bound)):
    own = np.array([metrics(A) for A in matrices])  # (seeds, 2)
    assert np.allclose(own[:, 0], pysi.average_accuracy(matrices)[:, -1])
    assert np.allclose(own[:, 1], pysi.forgetting(matrices))
    (average, forgotten), (a, f) = own.mean(axis=0), pysi.sem(own)
    print(f"{name}: average accuracy {average:.4f} ± {a:.4f}, forgetting {forgotten:.4f} ± {f:.4f}")

# %% [markdown]
# **Question.** *Backward transfer*, another metric, is the mean of $A_{Tj} - A_{jj}$: the end minus
# the diagonal. When does it differ from minus the forgetting? Does it differ here?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# It differs if a task is at its best later than just after it was learned, because another task has
# helped it. At $c = 0$ each task of each network is at its best on the diagonal, so both metrics
# say the same: task 1 does recover for a while, but never beyond where it began. At $c = 1$ a few
# tasks gain later on, but by no more than 0.002, so that only the fourth digit differs. (The last
# cell asserts this.)
#
# </details>

# %% [markdown]
# ## How sure are we?
#
# Ten networks with other first weights and other minibatches give ten other numbers. So a mean is
# uncertain, and a difference of two means is, too. But the networks come in pairs: with $c = 0$ and
# with $c = 1$, seed 3 begins with the same weights and sees the same minibatches. So we take the
# difference seed by seed, $d_s = a_s - b_s$, and ask for the mean of these $n$ numbers:
#
# $$ \bar d \pm t \, \frac{s}{\sqrt n}, \qquad s^2 = \frac1{n-1} \sum_s (d_s - \bar d)^2 . $$
#
# Here $t$ comes from Student's distribution with $n - 1$ degrees of freedom. In 95 of 100 repeated
# experiments, such an interval contains the true mean (if the $d_s$ are about normal).
#
# **Exercise 2.** Compute the mean and both ends of the interval.


# %% tags=["exercise", "hide-input"]
def paired(a, b):
    """The mean of a - b over seeds, and the two ends of its 95 % interval."""
    n = len(a)
    t = stdtrit(n - 1, 0.975)  # 2.5 % lie above t, and 2.5 % below -t
    # your code: `mean`, `low` and `high` of the differences, seed by seed
    d = a - b
    mean = d.mean()
    s = np.sqrt(((d - mean) ** 2).sum() / (n - 1))
    low, high = mean - t * s / np.sqrt(n), mean + t * s / np.sqrt(n)
    # end
    return mean, low, high


# %% tags=["check"]
a, b = np.array([0.9, 0.7, 0.95, 0.6]), np.array([0.8, 0.63, 0.87, 0.45])
mean, low, high = paired(a, b)
assert are_numbers(mean, low, high), "The mean and both ends must be numbers."
assert np.isclose(mean, 0.1), "The mean of a - b is a.mean() - b.mean(), with its sign."
half, spread = (high - low) / 2, np.std(a - b, ddof=1)
assert half > 0, "The lower end comes first."
assert np.isclose(low + high, 2 * mean), "The interval lies symmetrically around the mean."
assert not np.isclose(half, 3.182 * spread, rtol=1e-3), (
    "This is how far single seeds scatter. The mean of n seeds is surer: divide s by √n."
)
assert not np.isclose(half, 3.182 * spread * np.sqrt(3) / 4, rtol=1e-3), (
    "s² divides by n - 1: the mean was computed from the same numbers."
)
assert not np.isclose(half, 1.96 * spread / 2, rtol=1e-2), (
    "1.96 is for many seeds. For a few, s is uncertain itself, and t is larger."
)
assert not half > 0.2, "Take the spread of the differences a - b, not those of a and of b."
assert np.isclose(half, 3.182 * spread / 2, rtol=1e-3), "Half the width is t s / √n."

# %% [markdown] tags=["instructor", "remove-cell"]
# Wrong answers that students give. The pairs are not used:
#
# ```python
# mean = a.mean() - b.mean()
# half = t * np.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / n)
# low, high = mean - half, mean + half
# ```
#
# The scatter of single seeds in place of the mean's:
#
# ```python
# d = a - b
# mean = d.mean()
# low, high = mean - t * d.std(ddof=1), mean + t * d.std(ddof=1)
# ```
#
# NumPy's `std` divides by n unless it is told otherwise:
#
# ```python
# d = a - b
# mean = d.mean()
# low, high = mean - t * d.std() / np.sqrt(n), mean + t * d.std() / np.sqrt(n)
# ```
#
# The normal distribution in place of Student's:
#
# ```python
# d = a - b
# mean, error = d.mean(), d.std(ddof=1) / np.sqrt(n)
# low, high = mean - 1.96 * error, mean + 1.96 * error
# ```
#
# One difference per seed:
#
# ```python
# mean = a - b
# low, high = mean.min(), mean.max()
# ```

# %% tags=["recorded"]
gained = [pysi.average_accuracy(matrices)[:, -1] for matrices in (bound, free)]
mean, low, high = paired(*gained)
found = interval(gained[0] - gained[1])
print("average accuracy, c = 1 minus c = 0, over ten seeds")
print(f"  by hand:        {mean:.4f} [{low:.4f}, {high:.4f}]")
print(f"  pysi.interval:  {found}")
assert np.allclose([mean, low, high], [found.mean, found.low, found.high])

# %% [markdown]
# ## The paper's sentences
#
# The paper says six things about its Figure 3. Look at the figure above and decide for yourself
# which of them hold, before you read on:
#
# 1. With $c = 0$ and with $c = 1$, accuracy on a new task is close to 1.
# 2. Without consolidation, there is substantial loss on task 1 when task 2 is learned.
# 3. With it, task 1 is only impaired a little, and the average stays close to 1.
# 4. Without it, the first two tasks are back at chance after the last one.
# 5. With it, these tasks degrade only a little.
# 6. Consolidation keeps the average accuracy higher.
#
# `result.protocol.claims` has these sentences, each with a bound for words such as "substantial".
# (The bounds are ours.) The answer is *yes* if the whole interval lies where the bound says, *no*
# if none of it does, *undecided* if the bound lies inside, and *partly* if one part of the sentence
# holds.

# %% tags=["recorded"]
tell(result.protocol.claims, result)

# %% [markdown]
# Four sentences hold. The other two are about forgetting without consolidation, and the trouble is
# task 1. It loses less than the paper says when task 2 is learned, and after the last task it is
# still above chance. The next two sections ask where that comes from: first, why task 1 can
# recover; then, what "the optimizer was reset" may mean.

# %% [markdown]
# ## Live
#
# Here is a small version, with 400 training digits per class instead of 6,000, and smaller hidden
# layers. A list of seeds makes several networks: the table has the shape (8, P), and one run trains
# eight networks side by side, four with $c = 0$ and four, from the same seeds, with $c = 1$. The
# function `look` listens: it tests all tasks after each epoch, and notes a few things when a task
# ends.

# %%
tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))
seeds, epochs = [0, 1, 2, 3], 8
net = pysi.MLP([784, 64, 64, 10], zero_readout=True, seed=seeds * 2)
rule = pysi.SynapticIntelligence(c=[0.0] * 4 + [1.0] * 4, xi=1e-3)
first_layer, readout = net.synapses.group("dense1.W"), net.synapses.group("dense3.W")
curves, importance, weights, outputs = [], [], [], []


def look(event):
    if isinstance(event, Epoch):
        curves.append([score(net, task, "test") for task in tasks])
    if isinstance(event, TaskEnded):
        importance.append(first_layer.Omega.copy())
        weights.append(readout.theta.copy())
        outputs.append(net.logits(tasks[0].x_test).copy())  # what it makes of 0s and 1s


history = pysi.train(
    net, pysi.Adam(1e-3), rule, tasks, epochs=epochs, batch_size=64, listeners=[look]
)  # fmt: skip
curves, importance, weights, outputs = map(np.array, (curves, importance, weights, outputs))

# %% tags=["hide-input"]
fig, axes = plt.subplots(5, 1, figsize=(style.WIDTH, 6.4), sharex=True, sharey=True)
epoch = np.arange(1, len(curves) + 1)
for j, (ax, task) in enumerate(zip(axes, tasks, strict=True)):
    ax.axvspan(j * epochs + 0.5, (j + 1) * epochs + 0.5, color="0.93")
    style.chance_line(ax, task.chance)
    for rows, role, name in ((slice(4), FREE, "$c = 0$"), (slice(4, 8), SI, "$c = 1$")):
        ax.plot(epoch, curves[:, j, rows], color=role, lw=0.8, alpha=0.6)
        ax.plot(epoch, curves[:, j, rows].mean(axis=1), color=role, lw=2.2, label=name)
    ax.set_ylabel(task.name, rotation=0, ha="right", va="center")
    ax.set(ylim=(0.3, 1.03), yticks=[0.5, 1], xlim=(0.5, len(curves) + 0.5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_title("Test accuracy; grey: while this task is learned")
axes[-1].set(xlabel="epoch", xticks=np.arange(0, len(curves) + 1, epochs))
axes[-1].legend(frameon=False, loc="upper left", ncols=3)
plt.show()

# %% [markdown]
# Thin lines are single networks, thick lines their mean. Before a task is learned, it is exactly at
# chance: its readout is still zero, so every digit gets the same answer. In the grey span the
# networks learn it about equally fast with both values of $c$. Then the blue means of the first two
# tasks fall almost to chance, while the green means stay near 1. Not every green line does. In such
# a short run, the last tasks are kept nearly as well without consolidation.

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

# %% [markdown]
# ## Which pixels matter?
#
# A pixel's importance is that of its synapses in the first layer, $\sum_j \Omega_{ij}$ over the
# hidden units $j$. Since $\Omega$ is added up over tasks, its increase during a task is what this
# task contributed. The upper row shows where the first digit of a task has more ink on average
# (purple), and where the second has more (orange). The lower row shows the $\Omega$ that was added
# by the task, the mean over the four networks with $c = 1$.

# %% tags=["hide-input"]
total = importance[:, 4:].sum(axis=-1).mean(axis=1).reshape(-1, 28, 28)  # (5, 28, 28)
added = np.diff(total, axis=0, prepend=0)

fig, axes = plt.subplots(2, 5, figsize=(style.WIDTH, 2.7))
for j, task in enumerate(tasks):
    classes = [task.x_train[task.y_train == k].mean(axis=0) for k in np.flatnonzero(task.active)]
    axes[0, j].imshow((classes[0] - classes[1]).reshape(28, 28), cmap="PuOr", vmin=-255, vmax=255)
    shown = axes[1, j].imshow(added[j], cmap="Greens", vmin=0, vmax=added.max())
    axes[0, j].set_title(task.name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("mean digits,\ndifference")
axes[1, 0].set_ylabel(r"$\Omega$ added")
fig.colorbar(shown, ax=axes[1], aspect=12)
plt.show()

# %% [markdown]
# Importance grows in the middle of the image, where the two digits of a task differ; margins, where
# there is never any ink, remain free.

# %% [markdown]
# ## Why does task 1 recover?
#
# In the full result, many networks with $c = 0$ are better on task 1 after task 3 than before it:

# %% tags=["recorded"]
before, after = free[:, 1, 0], free[:, 2, 0]
print("accuracy on 0 or 1 at c = 0, one column per seed of the full result")
for name, values in (("2 or 3", before), ("4 or 5", after)):
    print(f"  after {name}: ", *(f"{value:.2f}" for value in values))
print(f"  {(after > before).sum()} of {len(after)} gain; mean gain {interval(after - before)}")

# %% [markdown]
# (The interval contains 0: most of these ten gain, but they do not decide that networks gain on
# average.) While 4 or 5 is learned, no 0 and no 1 is shown. How can a network become better at
# them? Make a guess before you read on.
#
# It is not the readout. The two output units of task 1 take no part in the loss of another task, so
# their gradient is zero, and their weights stay as they are to the last bit. What changes is the
# hidden layer that they read. So we look at what the four small networks with $c = 0$ make of 0s
# and 1s right after they have learned 4 or 5. The old output, $z_1 - z_0$, decides between 0 and 1.
# The new output, $z_4 - z_5$, is meant for 4 and 5, but we can ask it about 0s and 1s, too.

# %%
new = outputs[2, :, :, 4] - outputs[2, :, :, 5]  # after task 3: (networks, images of 0 or 1)
old = outputs[2, :, :, 1] - outputs[2, :, :, 0]
together = np.array([np.corrcoef(n, o)[0, 1] for n, o in zip(new, old, strict=True)])
accuracy = history.test_accuracy[:, :, 0]
rows = [[str(r), *(f"{a:.3f}" for a in accuracy[r, 1:3]), f"{together[r]:+.2f}"] for r in range(4)]
print("accuracy on 0 or 1 at c = 0, and the correlation of both outputs over all 0s and 1s\n")
print(Table(["network", "after 2 or 3", "after 4 or 5", "correlation"], rows).text())

# %% tags=["hide-input"]
is_one = tasks[0].y_test == 1
fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.2))
for ax, r in zip(axes, (together[:4].argmax(), together[:4].argmin()), strict=True):
    for digit, grey, where in (("$0$", "0.55", ~is_one), ("$1$", "0", is_one)):
        ax.plot(new[r, where], old[r, where], ls="", marker=digit, color=grey, ms=6, mew=0.3)
    ax.axhline(0, color=colour("chance"), lw=1, ls="--")
    ax.set_title(f"network {r}: {accuracy[r, 1]:.2f} → {accuracy[r, 2]:.2f}")
    ax.set_xlabel("new output, $z_4 - z_5$")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("old output, $z_1 - z_0$")
plt.show()

# %% [markdown]
# Every marker in the figure is one test image of a 0 or a 1. Above the dashed line the network says
# "1". The titles give the accuracy on 0 or 1 before and after 4 or 5 was learned.
#
# Look at the horizontal axis first. The output that has learned to tell 4 from 5 tells 0 from 1,
# too: a 1 is straight like a 4, and a 0 is round like a 5. So learning 4 or 5 brings "straight or
# round" into the hidden layer, and that is what task 1 needs as well. The old output reads it with
# the weights that it happens to have. On the left it reads it with the right sign, and task 1 is as
# good as new. On the right it reads it with the wrong sign: the rounder a 0 is, the more it looks
# like a 1. In all four networks the two outputs are now strongly correlated, and nothing decides
# with which sign. (The right sign is not enough: in network 2 both digits have also been shifted to
# one side, so that some lie beyond the threshold.)
#
# So the recovery is no memory. It is an accident of two tasks that need the same feature. In the
# full runs it repairs task 1 in most networks; in our small ones it does as much damage.
#
# **Question.** The network on the right is no better than a coin at telling 0 from 1. Has it lost
# what it knew about 0 and 1?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# No. The figure shows the 0s and the 1s well apart, and even the old output still orders them:
# most 0s lie above most 1s, so only the sign and the threshold are wrong. A few old examples would
# be enough to learn a new readout. Accuracy says what a network *answers*, not what its
# hidden layers know. That is one reason why replaying a few old examples helps so much
# ([notebook 13](13_where_si_fails.ipynb)).
#
# </details>

# %% [markdown]
# ## What does "reset" mean?
#
# The paper says that Adam's state was reset after each task. Adam (η is the learning rate, $g$ the
# gradient) keeps two moments per synapse and one count of steps $t$:
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
#    \qquad \Delta\theta = -\eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)}} $$
#
# (without the tiny ε). As $m$ and $v$ begin at 0, they are too small at first; the two divisions by
# $1 - \beta^t$ correct that. Between tasks one may forget everything (`full`: $m = v = 0$,
# $t = 0$), or forget the moments and let $t$ run on (`moments`), or forget nothing (`none`). The
# second sounds harmless. Is it?
#
# **Exercise 3.** Take a gradient that is always 1. At time $t$ the moments are set to 0, and $t$
# runs on. Compute $m$, $v$ and the length of step $k$ after that, in units of η.


# %% tags=["exercise", "hide-input"]
def lengths(n, t):
    """Lengths of steps 1 to n after m and v were reset at time t, for the gradient 1, over η."""
    beta1, beta2, m, v, found = 0.9, 0.999, 0.0, 0.0, []
    for k in range(1, n + 1):
        # your code: the new m and v, and `length`; the bias correction belongs to step t + k
        m = beta1 * m + (1 - beta1)
        v = beta2 * v + (1 - beta2)
        length = (m / (1 - beta1 ** (t + k))) / np.sqrt(v / (1 - beta2 ** (t + k)))
        # end
        found.append(length)
    return np.array(found)


# %% tags=["check"]
fresh, late = lengths(5, 0), lengths(5, 2000)
assert fresh.dtype == late.dtype == float and fresh.shape == (5,), "A length must be a number."
assert np.allclose(fresh, 1), (
    "With t = 0 this is a full reset: the correction must make each step exactly η long. "
    "Look at the exponents, at the square root, and at which moment is divided by which term."
)
assert not np.allclose(late, 1), "t runs on: the bias correction is that of step t + k, not of k."
assert np.isclose(late[0], 0.1 / np.sqrt(0.001) * np.sqrt(1 - 0.999**2001)), (
    "In the first step m = 0.1 and v = 0.001, and the correction is that of step t + 1."
)
k = np.arange(1, 6)
expected = (1 - 0.9**k) / np.sqrt(1 - 0.999**k) * np.sqrt(1 - 0.999 ** (2000 + k))
assert np.allclose(late, expected), "m and v must go on from step to step."

# %% [markdown] tags=["instructor", "remove-cell"]
# Wrong answers that students give. The correction begins anew with the moments:
#
# ```python
# m = beta1 * m + (1 - beta1)
# v = beta2 * v + (1 - beta2)
# length = (m / (1 - beta1**k)) / np.sqrt(v / (1 - beta2**k))
# ```
#
# No correction at all:
#
# ```python
# m = beta1 * m + (1 - beta1)
# v = beta2 * v + (1 - beta2)
# length = m / np.sqrt(v)
# ```
#
# The square root is forgotten:
#
# ```python
# m = beta1 * m + (1 - beta1)
# v = beta2 * v + (1 - beta2)
# length = (m / (1 - beta1 ** (t + k))) / (v / (1 - beta2 ** (t + k)))
# ```
#
# Step t + k - 1, because Python counts from 0:
#
# ```python
# m = beta1 * m + (1 - beta1)
# v = beta2 * v + (1 - beta2)
# past = t + k - 1 or 1
# length = (m / (1 - beta1**past)) / np.sqrt(v / (1 - beta2**past))
# ```
#
# The moments do not remember:
#
# ```python
# length = ((1 - beta1) / (1 - beta1 ** (t + k))) / np.sqrt(
#     (1 - beta2) / (1 - beta2 ** (t + k))
# )
# ```

# %% [markdown]
# The package does the same to one synapse. In the full protocol, task 1 has ten epochs of 198
# minibatches, so $t = 1980$ when task 2 begins.


# %%
def walked(mode, n, t):
    """The lengths of the steps of a synapse whose gradient is 1, by the package."""
    s, rule = pysi.Synapses({"w": (1,)}, dtype=np.float64), pysi.FineTuning()
    adam = pysi.Adam(1.0)
    rule.start(s)
    adam.start(s)
    places = []
    for step in range(t + n):
        if step == t:
            reset(adam, s, mode)
        if step >= t:
            places.append(s.theta.item())
        s.grad[...] = 1
        update(s, adam, rule)
    return -np.diff([*places, s.theta.item()])


n, t = 300, 10 * 198
by_mode = {mode: walked(mode, n, t) for mode in ("full", "moments", "none")}
assert np.allclose(by_mode["moments"], lengths(n, t), rtol=1e-4)
slow = lengths(n, t)
print(f"with moments, t = {t}: the first step is {slow[0]:.1f} η, the longest {slow.max():.1f} η, "
      f"and step 100 {slow[99]:.1f} η")  # fmt: skip

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(style.WIDTH, 2.8))
for mode, ls, shade in zip(by_mode, ("--", "-", ":"), style.shades(3), strict=True):
    ax.plot(np.arange(1, n + 1), by_mode[mode], ls=ls, color=shade, lw=2.5, label=mode)
ax.set(xlabel="steps after the reset", ylabel="length of a step, over η", ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, title="reset")
plt.show()

# %% [markdown]
# With a constant gradient, all steps have the length η, after a full reset as well as without a
# reset (the two lines coincide). With `moments` the correction is lost when it is needed: $m$
# catches up within ten steps, but $\sqrt v$ is too small for hundreds, and the steps are several
# times too long.
#
# **Try.** In the small run above a task has only 104 steps. Compute `lengths(300, 104)`. You will
# see that the first step is as long as after a full reset, and that the longest is a bit above 2 η:
# the correction of $v$ is not over yet at $t = 104$, and so it still helps.

# %%
short = lengths(300, 104)
print(f"t = 104: the first step is {short[0]:.2f} η, the longest {short.max():.2f} η")
assert abs(short[0] - 1) < 0.05 and 2 < short.max() < 2.5

# %% [markdown]
# What do long steps do to an old task? The full protocol has been run in all three modes, with ten
# seeds each. These are means and 95 % intervals:

# %% tags=["recorded"]
modes = {
    "full": result,
    "moments": saved("split-mnist-adam-moments"),
    "none": saved("split-mnist-adam-kept"),
}
frees = {mode: each.select("fine-tuning") for mode, each in modes.items()}
bounds = {mode: each.select("si", 1.0) for mode, each in modes.items()}
rows = [[mode, *(str(interval(A[:, i, j])) for i, j in ((1, 0), (4, 0), (4, 1)))]
        for mode, A in frees.items()]  # fmt: skip
print(Table(["c = 0", "task 1 after task 2", "task 1 after task 5", "task 2 after task 5"],
            rows).text())  # fmt: skip
print()
ends = {mode: [pysi.average_accuracy(A[mode])[:, -1] for A in (frees, bounds)] for mode in modes}
rows = [[mode, *(str(interval(values)) for values in both)] for mode, both in ends.items()]
print(Table(["average", "c = 0", "c = 1"], rows).text())

# %% tags=["recorded"]
about_task_1 = [result.protocol.claims[i] for i in (1, 3)]
for mode, each in modes.items():
    print(f"{mode}:")
    tell(about_task_1, each)
    print()

# %% [markdown]
# With `moments` the loss on task 1 is "substantial" as in the paper, and with a full reset it is
# not clearly so. No mode takes task 1 back to chance with certainty. With consolidation all three
# end within 0.02 of each other: the penalty holds the important synapses, however long the first
# steps are. In the authors' public code the reset seems to leave the count $t$ alone; that would be
# the mode `moments`. Nobody has run their code for this course, so this is a guess and no finding.
#
# **Question.** With `none`, the output units of task 1 do move while task 2 is learned, although
# their gradient is zero. Why? And can it happen with `full` or `moments`?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Adam's step is proportional to $m$, not to $g$. If $m$ is kept, it is the running mean of the last
# gradients of task 1, and it decays by 0.9 per step: the units glide on for a few dozen steps. With
# `full` and `moments` $m$ is 0, and stays 0 as long as the gradient is 0.
#
# </details>

# %% [markdown]
# Is the average accuracy at $c = 0$ different between `full` and `moments`? The networks of the two
# files are pairs, too, as task 1 is the same for both. We compute the interval with the pairs, and
# without them, as if they were twenty unrelated networks:

# %% tags=["recorded"]
a, b = ends["full"][0], ends["moments"][0]
mean, low, high = paired(a, b)
half = stdtrit(2 * len(a) - 2, 0.975) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
print(f"full minus moments, c = 0: in pairs {mean:.4f} [{low:.4f}, {high:.4f}]")
print(f"                   unrelated {mean:.4f} [{mean - half:.4f}, {mean + half:.4f}]")
print(f"correlation between the pairs: {np.corrcoef(a, b)[0, 1]:.2f}")
print(f"for c = 1 and c = 0:           {np.corrcoef(*gained)[0, 1]:.2f}")

# %% [markdown]
# **Question.** Why is the first interval narrower? And would pairs have helped as much in exercise
# 2, for $c = 1$ minus $c = 0$?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The variance of a difference is $\mathrm{Var}(a) + \mathrm{Var}(b) - 2\,\mathrm{Cov}(a, b)$. A
# seed whose task 1 is easily spoilt is low in both modes, so the covariance is positive, and it is
# subtracted. Without the pairs the interval contains 0, and we could not even say which mode is
# better.
#
# For $c = 1$ and $c = 0$ pairs do not help: the networks with $c = 1$ are all alike, whatever the
# seed does at $c = 0$, so there is hardly any covariance. It costs nothing to pair, and the effect
# is so large that any interval would show it.
#
# </details>

# %% [markdown]
# ## On your own
#
# 1. *What is left?* After the last task, freeze the hidden layers of a network with $c = 0$, and
#    learn a new readout for 0 and 1 from 20 digits. How good does it become? Compare it with a
#    network that was never trained.
# 2. *Another order.* Let 8 or 9 be the third task, or 6 or 7. Which of them repair task 1, and
#    which damage it? Can you predict it from the correlation of the outputs?
# 3. *Which step does the damage?* Test task 1 after every step of task 2 (listen to
#    `pysi.history.Step`), in two modes of the reset. Use all of MNIST, or repeat digits, so that
#    $t$ is large.

# %% [markdown]
# ## In practice
#
# * Keep the whole accuracy matrix. Average accuracy and forgetting are two numbers out of many, and
#   people define forgetting in several ways: say which one is meant. `result.json` has the matrix
#   of every run.
# * Compare by seed, with an interval: `result.difference(curve, other)`, then `pysi.interval`.
# * Say what you did to the optimizer between tasks. `pysi.train` has `reset_optimizer="full"`,
#   `"moments"` or `"none"`. In other libraries a new optimizer object is `full`, and going on with
#   the old one is `none`. If you set the moments to zero by hand, and leave the count of steps, you
#   have `moments`.

# %% [markdown]
# ## Further reading
#
# * The paper, Section 5.1 and Figure 3. [Split MNIST](../results/split-mnist.md) has all numbers,
#   and the [verdicts](../results/verdicts.md) those of the other figures.
# * [Adam's reset](../reset.md), and [Adam's moments](../derivations/adam.md) as the code computes
#   them: Kingma & Ba (2015), *Adam: a method for stochastic optimization*.
# * Lopez-Paz & Ranzato (2017), *Gradient episodic memory for continual learning*: the accuracy
#   matrix and backward transfer. Chaudhry et al. (2018), *Riemannian walk for incremental
#   learning*: forgetting.
# * Ramasesh, Dyer & Raghu (2021), *Anatomy of catastrophic forgetting*: which layers forget, and
#   how much depends on how alike two tasks are.

# %% [markdown]
# ## The claims

# %%
# the full result (Figure 3): both solve each new task; with c = 1 the last one a little less well
first_free, first_bound = (np.diagonal(m, axis1=1, axis2=2) for m in (free, bound))
for newest in (first_free, first_bound):
    assert all(interval(task).above(0.97) for task in newest.T)
assert interval(first_bound[:, 4] - first_free[:, 4]).below(0)

# c = 0 forgets, c = 1 does not; task 2 falls below chance, task 1 does not
assert interval(gained[1]).below(0.9) and interval(gained[0]).above(0.98)
assert interval(free[:, -1, 1]).below(0.5) and interval(free[:, -1, 0]).above(0.5)
assert interval(pysi.forgetting(free) - pysi.forgetting(bound)).above(0)
answers = [{found.answer for found in claim.verdicts(result)} for claim in result.protocol.claims]
assert answers == [{"yes"}, {"undecided"}, {"yes"}, {"partly"}, {"yes"}, {"yes"}]

# no task at c = 0 is ever better than just after it was learned, and hardly any at c = 1
for matrices, least in ((free, 0), (bound, 0.002)):
    for j in range(5):
        assert (matrices[:, j:, j].max(axis=1) <= matrices[:, j, j] + least).all()

# why task 1 recovers: not by its readout; the hidden layer serves both tasks, and the sign is luck
assert (weights[1:, :4, :, :2] == weights[0, :4, :, :2]).all()
assert interval(abs(together[:4])).above(0.5)
right, gain = together[:4] > 0, accuracy[:4, 2] - accuracy[:4, 1]
assert 0 < right.sum() < 4 and gain[right].mean() > gain[~right].mean()

# the reset: with moments task 1 loses more when task 2 is learned; with c = 1 it hardly matters
worse = frees["full"][:, 1, 0] - frees["moments"][:, 1, 0]
assert interval(worse).above(0.1) and low > 0 > mean - half
assert about_task_1[0].verdicts(modes["moments"])[0].answer == "yes"
for mode in ("moments", "none"):
    assert interval(ends["full"][1] - ends[mode][1]).within(-0.02, 0.02)

# the live run: c = 1 loses less than half as much
assert np.diagonal(history.test_accuracy, axis1=1, axis2=2).min() > 0.8
assert interval(lost[:4] / 2 - lost[4:]).above(0)
assert interval(average[4:] - average[:4]).above(0)

# Ω is only ever added up (and cut off at zero): a pixel without ink never has any
dead = ~np.any([task.x_train.any(axis=0) for task in tasks], axis=0).reshape(28, 28)
assert (total[:, dead] == 0).all() and (total[-1][~dead] > 0).mean() > 0.9
