# %% [markdown]
# # 1. Catastrophic forgetting in two dimensions
#
# **What you will do.** Learn two tasks one after the other with a network of only two synapses, so
# that the whole of parameter space fits on a page. You write the importance of a synapse and the
# penalty of Synaptic Intelligence (SI), and get the paper's Figure 1 with real numbers.
#
# **What you will learn.** Why plain gradient descent forgets. How SI finds out which synapse the
# first task depends on. What the strength $c$ does, why $c = 1$ is exact in this example, and what
# happens when it is not.
#
# **What you need.** Gradients and contour plots. No earlier notebook.
#
# **Time.** About 35 minutes.

# %% tags=["hide-input"]
import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from IPython.display import Image, display

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


def hessians(turn=0):
    """H of both tasks, with the valley of task 1 turned by some degrees."""
    return np.array([valley(turn, 0.1, 2.0), valley(60, 0.06, 2.0)])


start = np.array([-1.9, 1.6])  # θ(t0)
best = np.array([[-0.8, -0.6], [1.6, 1.4]])  # θ*, one row per task
H = hessians()


def loss(task, theta, H=H):
    d = theta - best[task]
    return 0.5 * np.einsum("...i,ij,...j", d, H[task], d)


def gradient(task, theta, H=H):
    return (theta - best[task]) @ H[task]


# %% [markdown]
# **Question.** While task 2 is learned, both synapses are pulled away. Which of them should give
# way? And how could a synapse know it? It sees nothing but its own gradient and its own steps.

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# $\theta_1$ should give way, because the loss of task 1 hardly depends on it. A synapse can know it
# from its own past. While task 1 was learned, $\theta_1$ moved by about 1 and lowered the loss by
# very little. $\theta_2$ moved by about 2 and did nearly all the work. Both numbers, the work and
# the movement, are sums over what the synapse itself has seen.
#
# </details>

# %% [markdown]
# ## Task 1
#
# We learn task 1 by plain gradient descent, $\Delta\theta = -\eta\, g$. Along the path each synapse
# adds up how much its own movement has lowered the loss,
#
# $$\omega_k = -\sum_{\text{steps}} g_k\, \Delta\theta_k \qquad \text{(Eq. 3)},$$
#
# and it remembers how far it has moved in all, $\Delta_k = \theta_k(t_1) - \theta_k(t_0)$.

# %%
lr, xi, steps = 0.05, 1e-3, 3000


def descend(slope, theta):
    """Go downhill from θ; return θ after every step."""
    path = [theta]
    for _ in range(steps):
        path.append(path[-1] - lr * slope(path[-1]))
    return np.array(path)


def work(path, H=H):
    """Return ω (Eq. 3) of a path on which task 1 was learned, and the movement Δ."""
    omega = -(gradient(0, path[:-1], H) * np.diff(path, axis=0)).sum(axis=0)
    return omega, path[-1] - path[0]


path_1 = descend(lambda theta: gradient(0, theta), start)
t1 = path_1[-1]  # θ(t1): task 1 is learned
omega, change = work(path_1)
print("ω:", omega.round(3), "  Δ:", change.round(3))

# %% [markdown]
# The second synapse has done nearly all the work. But it has also moved twice as far. The
# importance of a synapse is its work *per squared movement*:
#
# $$\Omega_k = \frac{\omega_k}{\Delta_k^2 + \xi} \qquad \text{(Eq. 5)}.$$
#
# The small constant $\xi$ bounds this number for a synapse that has hardly moved.
#
# **Exercise 1.** Write Eq. 5. `omega` and `change` are arrays with one number per synapse, and
# $\xi$ is the variable `xi`.


# %% tags=["exercise", "hide-input"]
def importance(omega, change):
    """Ω of every synapse, from its work ω and its movement Δ."""
    # your code: return ω divided by the squared movement plus ξ (Eq. 5)
    return omega / (change**2 + xi)


# %% tags=["check", "hide-input"]
with np.errstate(all="ignore"):
    found = importance(np.array([0.5, -8.0, 3.0]), np.array([0.5, -2.0, 0.0]))
assert np.shape(found) == (3,), "importance must return an array with one number per synapse."
assert np.isfinite(found).all(), (
    "The third synapse has not moved, Δ = 0: without ξ in the denominator you divide by zero."
)
assert found[0] > 0 > found[1], "Δ is squared, so Ω has the sign of ω, whichever way θ moved."
assert np.isclose(found[2], 3 / xi), (
    "A synapse with Δ = 0 has Ω = ω/ξ: add ξ to Δ², inside the denominator and not squared."
)
assert np.allclose(found[:2], [2, -2], rtol=0.01), (
    "Work 0.5 over a movement of 0.5 is an importance of 2: divide by Δ² + ξ."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# Wrong answers that students give. The movement is not squared:
#
# ```python
# return omega / (change + xi)
# ```
#
# The damping is left out, and a synapse that did not move divides by zero:
#
# ```python
# return omega / change**2
# ```
#
# The brackets are missing, so $\xi$ is added to the ratio:
#
# ```python
# return omega / change**2 + xi
# ```
#
# The brackets are in the wrong place, so $\xi$ is squared too:
#
# ```python
# return omega / (change + xi) ** 2
# ```
#
# The result is computed, but not returned:
#
# ```python
# Omega = omega / (change**2 + xi)
# ```

# %%
Omega = importance(omega, change)
print("importance Ω:", Omega.round(3), "  half the curvature:", np.diag(H[0]) / 2)

# %% [markdown]
# The second synapse is twenty times as important as the first. SI was not told about the valley. It
# only added up numbers along its path, and found half the curvature in the direction of each
# synapse. [Notebook 5](05_importance_is_curvature.ipynb) explains the half.
#
# ## Task 2
#
# While task 2 is learned, SI descends not $L_2$ but
#
# $$\tilde L_2 = L_2 + c \sum_k \Omega_k (\tilde\theta_k - \theta_k)^2 \qquad \text{(Eq. 4)},$$
#
# where $\tilde\theta = \theta(t_1)$. The sum stands for the loss of task 1, which we can no longer
# look at. It pulls every synapse back to $\tilde\theta_k$, and pulls an important synapse harder.
#
# **Exercise 2.** To descend Eq. 4 we need its gradient. That of $L_2$ is `gradient(1, theta)`.
# Write the gradient of the penalty, $c \sum_k \Omega_k (\tilde\theta_k - \theta_k)^2$: its
# derivative in every $\theta_k$, one number per synapse.


# %% tags=["exercise", "hide-input"]
def pull(c, Omega, theta, theta_ref):
    """The gradient of the penalty of Eq. 4."""
    # your code: return the derivative of c Ω (θ̃ - θ)² in θ, for every synapse
    return 2 * c * Omega * (theta - theta_ref)


# %% tags=["check", "hide-input"]
def penalty(theta):
    return 0.7 * (np.array([0.3, 1.1]) * (np.array([0.2, 0.5]) - theta) ** 2).sum()


theta = np.array([1.0, -0.4])
found = pull(0.7, np.array([0.3, 1.1]), theta, np.array([0.2, 0.5]))
exact = np.array([penalty(theta + e) - penalty(theta - e) for e in 1e-4 * np.eye(2)]) / 2e-4
assert np.shape(found) == (2,), (
    "pull must return one number per synapse: the derivative in θ_k has no sum over synapses."
)
assert not np.allclose(found, -exact), (
    "The sign: a synapse above its reference has a penalty that rises with θ, so θ - θ̃."
)
assert not np.allclose(2 * found, exact), "The derivative of a square has a factor 2."
assert not np.allclose(0.7 * found, exact), "The strength c is missing."
assert np.allclose(found, exact), (
    "This is not the slope of the penalty, as finite differences measure it: differentiate "
    "c Ω_k (θ̃_k - θ_k)² in θ_k."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The factor 2 is lost:
#
# ```python
# return c * Omega * (theta - theta_ref)
# ```
#
# The inner derivative, which is −1, is forgotten:
#
# ```python
# return 2 * c * Omega * (theta_ref - theta)
# ```
#
# The strength is left out:
#
# ```python
# return 2 * Omega * (theta - theta_ref)
# ```
#
# The penalty itself is returned:
#
# ```python
# return c * (Omega * (theta_ref - theta) ** 2).sum()
# ```
#
# The derivatives are added up, as the penalty is:
#
# ```python
# return (2 * c * Omega * (theta - theta_ref)).sum()
# ```

# %% [markdown]
# Now we learn task 2 twice from the same point: without consolidation ($c = 0$) and with it
# ($c = 1$).


# %%
def second(c, Omega, theta_ref):
    """Learn task 2 on Eq. 4; return θ after every step."""
    return descend(lambda theta: gradient(1, theta) + pull(c, Omega, theta, theta_ref), theta_ref)


paths = [np.concatenate([path_1, second(c, Omega, t1)[1:]]) for c in (0.0, 1.0)]
control, consolidated = paths[0][-1], paths[1][-1]
print("loss of     task 1   task 2")
for name, theta in (("θ(t1)", t1), ("c = 0", control), ("c = 1", consolidated)):
    print(f"{name:<10} {loss(0, theta):7.3f}  {loss(1, theta):7.3f}")

# %% [markdown]
# ## The paper's Figure 1
#
# Both panels show the same trajectories, once on the loss of task 1 and once on that of task 2.
# Where the colour is light, the loss is low.

# %% tags=["hide-input"]
x, y = np.meshgrid(np.linspace(-2.5, 2.5, 150), np.linspace(-1.7, 2.3, 150))
plane = np.stack([x, y], axis=-1)


def heat_map(ax, values):
    # even steps of √L, so that the floor shows too; the colours end before black is lost on them
    levels = np.arange(0, 7, 0.5)
    ax.contourf(x, y, np.sqrt(values), levels, cmap="Greys", vmax=9)
    ax.contour(x, y, np.sqrt(values), levels[1:], colors="white", linewidths=0.8)
    ax.set(xlabel=r"$\theta_1$", aspect="equal", xticks=[-2, 0, 2], yticks=[-1, 0, 1, 2])


def label(ax, point, text, offset, ink="black"):
    ax.plot(*point, "o", color=ink, ms=6, mec="white", mew=1, zorder=4)
    ax.annotate(text, point, offset, textcoords="offset points", color=ink, fontsize=12)


def both_losses():
    """Two panels: the loss of task 1 and that of task 2, and the points that all paths share."""
    fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.1), sharey=True)
    for task, ax in enumerate(axes):
        heat_map(ax, loss(task, plane))
        label(ax, start, r"$\theta(t_0)$", (8, 2))
        label(ax, t1, r"$\theta(t_1)$", (-12, -18))
        ax.set_title(f"Loss of task {task + 1}")
    axes[0].set_ylabel(r"$\theta_2$")
    return fig, axes


def trajectories(ax):
    """The lines of both paths, the control first; the second begins where the two part."""
    (free,) = ax.plot(*paths[0].T, color=FREE, lw=2.2, label="control, $c = 0$")
    (held,) = ax.plot(*paths[1][steps:].T, color=SI, lw=2.2, label="consolidation, $c = 1$")
    return [free, held]


fig, axes = both_losses()
for ax in axes:
    trajectories(ax)
    label(ax, control, r"$\theta(t_2)$", (-2, 10), FREE)
    label(ax, consolidated, r"$\theta(t_2)$", (8, -14), SI)
axes[1].legend(loc="lower right")
plt.show()

# %% [markdown]
# The blue trajectory runs to the minimum of task 2, far up the wall of task 1: this is
# **catastrophic forgetting**. The green trajectory stops at another point of task 2's valley. It
# has hardly moved $\theta_2$, which was important, and has moved $\theta_1$, which was free. It
# ends low in both panels.
#
# Here is the same in motion. The numbers are the losses of both networks at each moment. (Where a
# picture cannot move, you see the last moment. Descent slows down, so the number of steps between
# two moments grows.)

# %% tags=["hide-input"]
fig, axes = both_losses()
lines = [trajectories(ax) for ax in axes]
dots = [[ax.plot([], [], "o", color=ink, ms=9, mec="white", zorder=5)[0] for ink in (FREE, SI)]
        for ax in axes]  # fmt: skip
losses = [[ax.text(2.35, -1.15 - 0.4 * i, "", color=ink, ha="right", fontsize=11)
           for i, ink in enumerate((FREE, SI))] for ax in axes]  # fmt: skip
clock = axes[0].text(-2.35, -1.55, "", fontsize=11)
moving = [*sum(lines, []), *sum(dots, []), *sum(losses, []), clock]
for artist in moving:
    artist.set_animated(True)
fig.canvas.draw()
empty = fig.canvas.copy_from_bbox(fig.bbox)  # what does not move is drawn only once

moments = np.unique(np.geomspace(1, steps, 26).astype(int))
frames = []
for now in (0, *moments, *steps + moments):
    fig.canvas.restore_region(empty)
    clock.set_text(f"task {1 + (now > steps)}, step {now - steps * (now > steps)}")
    for task in (0, 1):
        for i, (path, first) in enumerate(zip(paths, (0, steps), strict=True)):
            lines[task][i].set_data(*path[first : now + 1].T)
            dots[task][i].set_data(*path[[now]].T)
            losses[task][i].set_text(f"c = {i}: {loss(task, path[now]):.2f}")
    for artist in moving:
        artist.axes.draw_artist(artist)
    frames.append(PIL.Image.fromarray(np.array(fig.canvas.buffer_rgba())[..., :3]))
plt.close(fig)

# a PNG that moves: its still is the last frame, and of each frame it holds the pixels that changed
still = frames[-1].quantize(63, kmeans=3)
pixels = [np.array(frame.quantize(palette=still, dither=PIL.Image.Dither.NONE)) for frame in frames]
changed = [np.where(now == before, 63, now) for before, now in itertools.pairwise(pixels)]
pictures = [PIL.Image.fromarray(frame) for frame in (pixels[-1], pixels[0], *changed)]
for picture in pictures:
    picture.putpalette(still.getpalette()[: 63 * 3] + [0, 0, 0])
    picture.info["transparency"] = 63
film, durations = io.BytesIO(), [900] + [120] * (len(changed) - 1) + [3000]
pictures[0].save(film, "png", save_all=True, append_images=pictures[1:], default_image=True,
                 duration=durations, loop=0, blend=1, transparency=63)  # fmt: skip
display(Image(film.getvalue(), format="png"))

# %% [markdown]
# ## The same with the package
#
# `pysi.Synapses` is a table with one column per synapse. Its rows are the weight $\theta$, the
# gradient $g$, and what a synapse remembers: $\omega$, $\Omega$ and $\tilde\theta$.
# ([Notebook 2](02_what_a_synapse_knows.ipynb) opens it.) The table can hold several networks at
# once. Here there is one network per strength $c$, and the same lines train them all.
#
# `update` is the package's own training step. It also trains the networks that read digits in
# [notebook 7](07_split_mnist.ipynb). We give it the gradient; it moves $\theta$ and updates the
# other rows.


# %%
def learn(strengths, H=H):
    """Learn task 1, then task 2; return θ after every step, and Ω after task 1."""
    s = pysi.Synapses({"theta": (2,)}, lead=(len(strengths),), dtype=np.float64)
    s.theta[...] = start
    optimizer, rule = pysi.SGD(lr), pysi.SynapticIntelligence(c=strengths, xi=xi)
    optimizer.start(s)
    rule.start(s)
    path, importances = [s.theta.copy()], []
    for task in (0, 1):
        for _ in range(steps):
            s.grad[...] = gradient(task, s.theta, H)
            update(s, optimizer, rule)
            path.append(s.theta.copy())
        rule.end_task()
        importances.append(s.Omega.copy())
    return np.array(path), importances[0]


package, importances = learn([0.0, 1.0])
difference = abs(package - np.stack(paths, axis=1)).max()
print(f"largest difference between your paths and the package's: {difference:.0e}")

# %% [markdown]
# **Question.** The package has learned task 1 twice, with $c = 0$ and with $c = 1$. Up to
# $\theta(t_1)$ both networks agree to the last bit. Why?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Before the first task ends every $\Omega_k$ is zero, so the penalty of Eq. 4 is zero, whatever $c$
# is: there is nothing to protect yet. At the beginning of task 2 the pull is zero too, because
# $\theta = \tilde\theta$. It grows with the distance.
#
# </details>

# %% [markdown]
# ## What $c$ does
#
# $c$ says how much the past counts. At $c = 0$ it does not count; when $c$ is large, nothing else
# counts, and task 2 is not learned. For two valleys we can compute where the path ends without
# following it.
#
# **Exercise 3.** The path ends where the gradient of Eq. 4 is zero:
#
# $$H_2\, (\theta - \theta^*_2) + 2c\, \Omega \odot (\theta - \tilde\theta) = 0,$$
#
# where $\odot$ multiplies synapse by synapse. Solve it for $\theta$. ($H_2$ is `H[1]`, $\theta^*_2$
# is `best[1]`, and `np.linalg.solve(A, b)` returns the solution of $A\theta = b$. Which matrix
# multiplies synapse by synapse?)


# %% tags=["exercise", "hide-input"]
def endpoint(c, Omega, theta_ref):
    """The point at which the descent of Eq. 4 ends."""
    # your code: bring the equation into the form A θ = b, and return its solution
    D = np.diag(2 * c * Omega)
    return np.linalg.solve(H[1] + D, H[1] @ best[1] + D @ theta_ref)


# %% tags=["check", "hide-input"]
found = [endpoint(c, Omega, t1) for c in (0.0, 1.0, 1e6)]
assert all(np.shape(each) == (2,) for each in found), "endpoint must return θ: two numbers."
assert np.allclose(found[0], best[1]), (
    "At c = 0 there is no penalty, and the path must end in the minimum of task 2."
)
assert np.allclose(found[2], t1, atol=1e-3), (
    "When c is huge nothing can move, and the path must end at θ̃: the penalty belongs into A "
    "and into b."
)
slope = gradient(1, found[1]) + pull(1.0, Omega, found[1], t1)
assert np.allclose(slope, 0, atol=1e-9), (
    "At this point the gradient of Eq. 4 is not zero. Look for the factor 2, and multiply synapse "
    "by synapse with np.diag: adding an array to a matrix adds it to every row."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The array is added to every row of the matrix, and NumPy does not complain:
#
# ```python
# return np.linalg.solve(H[1] + 2 * c * Omega, H[1] @ best[1] + 2 * c * Omega * theta_ref)
# ```
#
# The factor 2 of the derivative is lost:
#
# ```python
# D = np.diag(c * Omega)
# return np.linalg.solve(H[1] + D, H[1] @ best[1] + D @ theta_ref)
# ```
#
# The reference is forgotten, so the penalty pulls to 0:
#
# ```python
# return np.linalg.solve(H[1] + np.diag(2 * c * Omega), H[1] @ best[1])
# ```
#
# Each synapse is solved for itself, as if $H_2$ were diagonal:
#
# ```python
# h, d = np.diag(H[1]), 2 * c * Omega
# return (h * best[1] + d * theta_ref) / (h + d)
# ```

# %% [markdown]
# What would be the best that anybody could reach? Training on both tasks at once ends where the sum
# $L_1 + L_2$ is lowest.
#
# One more thing has to be settled before we train networks with many strengths. Gradient descent
# is stable only while the learning rate times the curvature is less than 2. The penalty adds the
# curvature $2c\,\Omega_k$, so $c$ has a **cap**: beyond it the steps overshoot more and more. We
# compute the cap, and train one network per strength below it.


# %%
def joint(H):
    """The point with the lowest sum of both losses."""
    return np.linalg.solve(H.sum(axis=0), sum(H[task] @ best[task] for task in (0, 1)))


def both(theta, H=H):
    """The sum of both losses."""
    return loss(0, theta, H) + loss(1, theta, H)


def cap(Omega):
    """The c up to which descent is stable: lr times the curvature of L₂ and penalty is below 2."""
    return (2 / lr - np.linalg.eigvalsh(H[1]).max()) / (2 * Omega.max())


strengths = np.logspace(-3, 1, 31)
print(f"c is stable up to {cap(Omega):.1f}; we go up to {strengths.max():.0f}")
assert strengths.max() < cap(Omega)
ends = learn(strengths)[0][-1]
predicted = np.array([endpoint(c, Omega, t1) for c in strengths])
lowest = both(joint(H))

# %% tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.7))
heat_map(left, both(plane))
left.plot(*predicted.T, color="black", lw=1, zorder=2)
dots = left.scatter(*ends.T, c=np.log10(strengths), cmap="Greens", ec="black", lw=0.6, zorder=3)
left.plot(*joint(H), "*", color="white", mec="black", ms=14, zorder=4)
left.annotate("best for both", joint(H), (22, -22), textcoords="offset points",
              arrowprops={"arrowstyle": "-", "shrinkB": 6})  # fmt: skip
left.set(title=r"Where it ends, on $L_1 + L_2$", ylabel=r"$\theta_2$")
fig.colorbar(dots, ax=left, label=r"$\log_{10} c$", ticks=range(-3, 2), shrink=0.8)

one, two = shades(2)
right.loglog(strengths, loss(0, ends), color=one, lw=2, label="task 1 (old)")
right.loglog(strengths, loss(1, ends), color=two, lw=2, label="task 2 (new)")
right.loglog(strengths, both(ends), color=SI, lw=2.5, label="sum")
right.axhline(lowest, color="black", lw=1, ls=":", label="training on both at once")
right.axvline(1, color="0.6", lw=1, ls="--")
right.set(title="How well it ends", xlabel="$c$", ylabel="loss after task 2")
right.spines[["top", "right"]].set_visible(False)
right.legend(edgecolor="none", loc="lower right")
plt.show()

# %% [markdown]
# The dots are trained networks, and the line through them is your formula. The endpoints form an
# arc from the minimum of task 2 towards that of task 1. At $c = 1$ it passes the point that
# training on both tasks at once would find.
#
# **Why is $c = 1$ the right strength here?** Two things come together. The path integral is nearly
# exact, because steps are small and there is no noise; so $\Omega_k$ is half the curvature. And
# $H_1$ is **diagonal**: its valley runs along an axis. Then the penalty with $c = 1$,
# $\sum_k \tfrac12 H_{kk} (\theta_k - \tilde\theta_k)^2$, *is* the loss of task 1, and Eq. 4 is the
# sum of both losses. If $H_1$ is not diagonal, no $c$ makes them equal.
#
# **Question.** $\Omega_2$ is 1.052 and not 1. Where do the five per cent come from? (Let $d$ be the
# distance from the minimum. One step turns $d$ into $(1 - \eta h)\, d$ and adds $\eta h^2 d^2$ to
# $\omega$.)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# They come from steps of finite size. The sum of $\eta h^2 d^2 (1 - \eta h)^{2n}$ over all steps
# $n$ is a geometric series,
#
# $$\omega = \frac{\eta h^2 d^2}{1 - (1 - \eta h)^2} = \frac{h\, d^2}{2 - \eta h}.$$
#
# With $h = 2$ and $\eta = 0.05$, $\omega / d^2 = 2/1.9 = 1.0526$ in place of 1. The damping $\xi$
# makes it a little smaller, 1.0524. For $\theta_1$, with $h = 0.1$, the error is a quarter of a per
# cent.
#
# </details>

# %% [markdown]
# **Try.** We turn task 1's valley by 8°, and then by 45°. SI keeps one number per synapse, so it
# cannot store a direction between the axes. This is what you will see:
#
# - At 8°, $c = 1$ still helps a great deal, but it no longer reaches what training on both tasks
#   would reach. A smaller $c$ does.
# - At 45°, $c = 1$ is **worse than no consolidation at all**, and even the best $c$ hardly helps.
# - The cap falls below 10. So the upper end of the sweep above, $c = 10$, would overflow here.

# %%
turned, lines = {}, ["turn   cap   both at once   c = 0   c = 1   best c in the sweep"]
for turn in (0, 8, 45):
    H_turned = hessians(turn)
    path = descend(lambda theta, H=H_turned: gradient(0, theta, H), start)
    Omega_turned = importance(*work(path, H_turned))
    below = strengths[strengths < cap(Omega_turned)]
    ends_turned = [endpoint(c, Omega_turned, path[-1]) for c in (0.0, 1.0, *below)]
    sums = [both(theta, H_turned) for theta in ends_turned]
    best_sum, best_c = min(zip(sums[2:], below, strict=True))
    turned[turn] = (both(joint(H_turned), H_turned), *sums[:2], best_sum)
    lines.append(f"{turn:3}° {cap(Omega_turned):6.1f} {turned[turn][0]:12.3f} {sums[0]:9.3f}"
                 f" {sums[1]:7.3f} {best_sum:9.3f} at c = {best_c:.3f}")  # fmt: skip
print(*lines, sep="\n")

assert turned[8][0] < turned[8][2] < 0.1 * turned[8][1]  # 8°: much better than nothing, not best
assert turned[8][3] < 1.01 * turned[8][0]  # and a smaller c is as good as training on both
assert turned[45][2] > 1.5 * turned[45][1]  # 45°: worse than nothing
assert 0.85 * turned[45][1] < turned[45][3] < turned[45][1]  # and no c helps much
assert lr * np.linalg.eigvalsh(H[1] + np.diag(2 * 10 * Omega_turned)).max() > 2  # c = 10: unstable

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.4, 4.1))
heat_map(ax, both(plane, H_turned))
ax.plot(*path.T, color="black", lw=1.5, label="task 1")
for c, ink in ((0, FREE), (1, SI)):
    path_2 = second(c, Omega_turned, path[-1])
    ax.plot(*path_2.T, color=ink, lw=2.2, label=f"task 2, $c = {c}$")
    ax.plot(*path_2[-1], "o", color=ink, ms=7, mec="white", zorder=4)
ax.plot(*joint(H_turned), "*", color="white", mec="black", ms=14, label="best for both")
ax.set(title=r"Turned by 45°: $L_1 + L_2$", ylabel=r"$\theta_2$")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# At 45° the floor of the valley is a diagonal, so task 1 stays solved if both synapses move
# *together*. But each synapse alone climbs the wall. So each has a large $\Omega$ (2.2 and 0.6),
# and SI holds both: the green path ends soon. Task 2's valley, at 60°, runs nearly in the same
# direction as task 1's. Without consolidation (blue) the network slides along both floors and
# forgets little. [Notebook 4](04_the_surrogate_loss.ipynb) measures how often this happens, and
# [notebook 13](13_where_si_fails.ipynb) shows where SI fails in networks.
#
# **Try.** We train the first example with a strength above its cap, $c = 25$. You will see
# $\theta_2$ jump from one side of $\tilde\theta_2$ to the other, farther each time. With half the
# learning rate the same $c$ is stable.

# %%
lines = []
for rate in (lr, lr / 2):
    theta, swings = t1, []
    for _ in range(20):
        theta = theta - rate * (gradient(1, theta) + pull(25.0, Omega, theta, t1))
        swings.append(theta[1] - t1[1])
    shown = "  ".join(f"{swing:.2f}" for swing in swings[::3])
    lines.append(f"learning rate {rate}: θ2 - θ̃2 = {shown}")
    assert (abs(swings[-1]) < abs(swings[0])) == (rate < lr)  # the swing dies out, or grows
print(*lines, sep="\n")

# %% [markdown]
# ## On your own
#
# 1. Turn task 1's valley by −45°. Is $c = 1$ worse than nothing again? Say beforehand what you
#    expect, and why.
# 2. Start task 1 on the floor of its valley, at $(1.5, -0.6)$. Which importance does SI give to
#    $\theta_2$, which had nothing to do? How does it depend on $\xi$?
# 3. Add a third task. What should $\tilde\theta$ be, and what $\Omega$? Compare two choices:
#    $\Omega$ of the last task only, and the sum over both.
#
# ## In practice
#
# - $c$ has no units, and $c = 1$ is the place to begin. In networks it is rarely the best one:
#   Hessians are not diagonal, and the noise of minibatches makes $\Omega$ too large
#   ([notebook 3](03_the_path_integral.ipynb)). Choose it on held-out data, in factors of ten:
#   [Choosing c](../choosing.md).
# - If the loss overflows after you have raised $c$, you are beyond the cap. Lower $c$ or the
#   learning rate. With Adam nothing overflows, because the length of its steps is bounded. But
#   there too a large $c$ holds the old weights, and the new task is not learned.
# - Compare with $c = 0$ *and* with training on all tasks at once. The first says whether SI helps,
#   the second what is left to gain.
#
# ## Further reading
#
# - Zenke, Poole & Ganguli (2017), *Continual learning through synaptic intelligence*: Sections 2
#   and 3, Figure 1.
# - [The rule](../derivations/rule.md) and [The surrogate loss](../derivations/surrogate.md), where
#   Eq. 4 is shown to be exact for a diagonal $H_1$.
# - McCloskey & Cohen (1989), *Catastrophic interference in connectionist networks*; French (1999),
#   *Catastrophic forgetting in connectionist networks*.
#
# ## The claims
#
# *With consolidation the trajectory ends low on both losses; without it, only on the second*
# (Figure 1).

# %%
# your three functions are the package, and your formula is where its networks end
assert np.allclose(package, np.stack(paths, axis=1), atol=1e-9)
assert np.allclose(importances, Omega)
assert np.array_equal(package[: steps + 1, 0], package[: steps + 1, 1])  # c acts after task 1
assert np.allclose(ends, predicted, atol=1e-3)

# SI has found the important synapse: Ω is half the curvature, up to ξ and the length of the steps
h = np.diag(H[0])
assert np.allclose(Omega, h / (2 - lr * h) * change**2 / (change**2 + xi), rtol=1e-3)
assert np.allclose(Omega, h / 2, rtol=0.06)

# without consolidation: task 2 is solved, and task 1 is lost
assert loss(1, control) < 0.01 * loss(1, t1)
assert loss(0, control) > 0.5 * loss(0, start)

# with consolidation: both are low
assert loss(0, consolidated) < 0.05 * loss(0, control)
assert loss(1, consolidated) < 0.15 * loss(1, t1)

# and c = 1 is as good as training on both tasks at once, within one per cent
assert lowest <= both(consolidated) < 1.01 * lowest
print(f"sum of both losses: {both(consolidated):.3f} with c = 1, {both(control):.3f} with c = 0, "
      f"{lowest:.3f} at best")  # fmt: skip
