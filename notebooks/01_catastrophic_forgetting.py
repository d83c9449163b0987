# %% [markdown]
# # 1. Catastrophic forgetting in two dimensions
#
# **What you will do.** Learn two tasks one after the other with a network of only two synapses, so
# that the whole of parameter space fits on a page: the paper's Figure 1, with real numbers.
#
# **What you will learn.** Why plain gradient descent forgets; how Synaptic Intelligence (SI) finds
# out which synapse the first task depends on; what the strength $c$ does.
#
# **What you need.** Gradients and contour plots. No earlier notebook.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, shades, use
from pysi.training import update

use()
FREE, SI = colour("fine-tuning"), colour("si")

# %% [markdown]
# ## Two tasks
#
# Each task is a valley in the plane of $\theta = (\theta_1, \theta_2)$, a quadratic loss
#
# $$L_\mu(\theta) = \tfrac12 (\theta - \theta^*_\mu)^\top H_\mu\, (\theta - \theta^*_\mu).$$
#
# The floor of a valley is nearly flat and its walls are steep. Task 1's valley runs along
# $\theta_1$: task 1 stays solved if $\theta_1$ moves, but not if $\theta_2$ moves. Task 2's valley
# crosses it.


# %%
def valley(angle, along, across):
    """Hessian of a valley that runs at `angle` degrees: curvature along its floor, and across."""
    floor = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return along * np.outer(floor, floor) + across * (np.eye(2) - np.outer(floor, floor))


start = np.array([-1.9, 1.6])  # θ(t0)
best = np.array([[-0.8, -0.6], [1.6, 1.4]])  # θ*, one row per task
H = np.array([valley(0, 0.1, 2.0), valley(60, 0.06, 2.0)])


def loss(task, theta):
    d = theta - best[task]
    return 0.5 * np.einsum("...i,ij,...j", d, H[task], d)


def gradient(task, theta):
    return (theta - best[task]) @ H[task]


# %% [markdown]
# ## Learning them
#
# `pysi.Synapses` is a table with one column per synapse. Its rows are the weight $\theta$, the
# gradient $g$, and what a synapse remembers: $\omega$, $\Omega$ and $\tilde\theta$ (notebook 2
# explains them). The table can hold several networks at once. Here there is one network for each
# strength $c$, and the same lines train them all.
#
# `update` is the package's own training step, which trains on MNIST in notebook 7. We give it the
# gradient; it moves $\theta$ and updates the other rows.


# %%
def learn(strengths, steps=1500):
    """Learn task 1, then task 2; returns θ after every step, and Ω after each task."""
    s = pysi.Synapses({"theta": (2,)}, lead=(len(strengths),), dtype=np.float64)
    s.theta[...] = start
    optimizer, rule = pysi.SGD(lr=0.05), pysi.SynapticIntelligence(c=strengths)
    optimizer.start(s)
    rule.start(s)
    path, importance = [s.theta.copy()], []
    for task in (0, 1):
        for _ in range(steps):
            s.grad[...] = gradient(task, s.theta)
            update(s, optimizer, rule)
            path.append(s.theta.copy())
        rule.end_task()
        importance.append(s.Omega.copy())
    return np.array(path), importance


path, importance = learn([0.0, 1.0])
middle = len(path) // 2  # the moment t1 at which task 1 ends
t1, control, consolidated = path[middle, 0], path[-1, 0], path[-1, 1]
print("importance Ω of (θ1, θ2) after task 1:", importance[0][1].round(3))

# %% [markdown]
# After task 1 the second synapse is twenty times as important as the first. SI was not told about
# the valley. It only added up, step by step, how much the movement of each synapse lowered the loss
# (Eq. 3), and divided this by the square of how far the synapse had moved (Eq. 5). The result is
# close to half the curvature, (0.05, 1); notebook 5 explains why.
#
# ## The paper's Figure 1
#
# Both panels show the same trajectories, once on the loss of task 1 and once on that of task 2.
# Where the colour is light, the loss is low. Up to $\theta(t_1)$ the two networks agree, since
# there is nothing to protect yet.

# %%
x, y = np.meshgrid(np.linspace(-2.5, 2.5, 200), np.linspace(-1.7, 2.3, 200))
plane = np.stack([x, y], axis=-1)


def heat_map(ax, values):
    # even steps of √L, so that the floor shows too; the colours end before black is lost on them
    levels = np.arange(0, 5.5, 0.25)
    ax.contourf(x, y, np.sqrt(values), levels, cmap="Greys", vmax=9)
    ax.contour(x, y, np.sqrt(values), levels[1:], colors="white", linewidths=0.8)
    ax.set(xlabel=r"$\theta_1$", aspect="equal", xticks=[-2, 0, 2], yticks=[-1, 0, 1, 2])


def label(ax, point, text, offset, ink="black"):
    ax.plot(*point, "o", color=ink, ms=6, mec="white", mew=1, zorder=4)
    ax.annotate(text, point, offset, textcoords="offset points", color=ink, fontsize=12)


fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.5), sharey=True)
for task, ax in enumerate(axes):
    heat_map(ax, loss(task, plane))
    ax.plot(*path[:, 0].T, color=FREE, lw=2.2, label="control, $c = 0$")
    ax.plot(*path[middle:, 1].T, color=SI, lw=2.2, label="consolidation, $c = 1$")
    label(ax, start, r"$\theta(t_0)$", (8, 2))
    label(ax, t1, r"$\theta(t_1)$", (-12, -18))
    label(ax, control, r"$\theta(t_2)$", (-2, 10), FREE)
    label(ax, consolidated, r"$\theta(t_2)$", (8, -14), SI)
    ax.set_title(f"Loss of task {task + 1}")
axes[0].set_ylabel(r"$\theta_2$")
axes[1].legend(loc="lower right", fontsize=9)
plt.show()

# %% [markdown]
# The blue trajectory runs to the minimum of task 2, far up the wall of task 1: this is
# catastrophic forgetting. The green trajectory stops at another point of task 2's valley. It has
# hardly moved $\theta_2$, which was important, and has moved $\theta_1$, which was free. It ends
# low in **both** panels.
#
# The next figure shows the two losses over time:

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 2.8), sharex=True, sharey=True)
for task, ax in enumerate(axes):
    for run, role, name in ((0, FREE, "$c = 0$"), (1, SI, "$c = 1$")):
        ax.plot(loss(task, path[:, run]), color=role, lw=2, label=name)
    ax.axvline(middle, color="0.6", lw=1, ls="--")
    ax.set(title=f"Loss of task {task + 1}", xlabel="step", ylim=(-0.1, 4.5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].text(middle - 40, 4.4, "task 1", ha="right", va="top", color="0.4")
axes[0].text(middle + 40, 4.4, "task 2", ha="left", va="top", color="0.4")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# ## What $c$ does
#
# While task 2 is learned, SI descends not $L_2$ but
#
# $$\tilde L_2 = L_2 + c \sum_k \Omega_k (\tilde\theta_k - \theta_k)^2 \qquad \text{(Eq. 4)},$$
#
# where $\tilde\theta$ is $\theta(t_1)$. The sum stands for the loss of task 1, which we can no
# longer look at, so $c$ says how much the past counts. At $c = 0$ it does not count; when $c$ is
# large, nothing else counts, and task 2 is not learned. We train one network for each of 31
# strengths.

# %%
strengths = np.logspace(-3, 1, 31)
ends = learn(strengths)[0][-1]
old, new = loss(0, ends), loss(1, ends)
joint = np.linalg.solve(H.sum(axis=0), sum(H[task] @ best[task] for task in (0, 1)))
lowest = loss(0, joint) + loss(1, joint)  # what training on both tasks at once would reach

fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9))
heat_map(left, loss(0, plane) + loss(1, plane))
dots = left.scatter(*ends.T, c=np.log10(strengths), cmap="Greens", ec="black", lw=0.6, zorder=3)
left.plot(*joint, "*", color="white", mec="black", ms=14, zorder=4)
left.annotate("best for both", joint, (22, -22), textcoords="offset points",
              arrowprops={"arrowstyle": "-", "shrinkB": 6})  # fmt: skip
left.set(title=r"Where it ends, on $L_1 + L_2$", ylabel=r"$\theta_2$")
fig.colorbar(dots, ax=left, label=r"$\log_{10} c$", ticks=range(-3, 2), shrink=0.8)

first, second = shades(2)
right.loglog(strengths, old, color=first, lw=2, label="task 1 (old)")
right.loglog(strengths, new, color=second, lw=2, label="task 2 (new)")
right.loglog(strengths, old + new, color=SI, lw=2.5, label="sum")
right.axhline(lowest, color="black", lw=1, ls=":", label="training on both at once")
right.axvline(1, color="0.6", lw=1, ls="--")
right.set(title="How well it ends", xlabel="$c$", ylabel="loss after task 2")
right.spines[["top", "right"]].set_visible(False)
right.legend(fontsize=9, edgecolor="none", loc="lower right")
plt.show()

# %% [markdown]
# The endpoints form an arc from the minimum of task 2 towards that of task 1, and at $c = 1$ it
# passes the point that training on both tasks at once would find. The paper says why: $c = 1$
# weighs old and new memories equally, as long as the path integral is exact. Here it is nearly
# exact, because steps are small and there is no noise.
#
# ## The claim
#
# *With consolidation the trajectory ends low on both losses; without it, only on the second*
# (Figure 1).

# %%
# both networks are the same until task 1 is over
assert np.array_equal(path[: middle + 1, 0], path[: middle + 1, 1])

# SI has found the important synapse: Ω is half the curvature, up to the length of the steps
assert np.allclose(importance[0][1], np.diag(H[0]) / 2, rtol=0.06)

# without consolidation: task 2 is solved, and task 1 is lost
assert loss(1, control) < 0.01 * loss(1, t1)
assert loss(0, control) > 0.5 * loss(0, start)

# with consolidation: both are low
assert loss(0, consolidated) < 0.05 * loss(0, control)
assert loss(1, consolidated) < 0.15 * loss(1, t1)

# and c = 1 is as good as training on both tasks at once, within one per cent
total = loss(0, consolidated) + loss(1, consolidated)
assert lowest <= total < 1.01 * lowest
print(f"sum of both losses: {total:.3f} with c = 1, {loss(0, control) + loss(1, control):.3f} "
      f"with c = 0, {lowest:.3f} at best")  # fmt: skip

# %% [markdown]
# **Try.** Turn task 1's valley by 8°, then by 45°, and learn again. SI keeps one number per synapse
# and cannot store a direction between the axes, so the gap to the best sum of losses grows.
# Notebook 4 measures this gap.
