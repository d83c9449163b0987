# %% [markdown]
# # 4. The surrogate loss
#
# **What you will do.** Learn a task, forget its loss, and put a parabola in its place that depends
# only on how training went: the paper's Figure 2. Then learn a second task with that parabola.
#
# **What you will learn.** Which three conditions determine the parabola; why it is not the one that
# the Hessian at the minimum gives; what the damping $\xi$ is for (Eq. 5); when a second task at
# $c = 1$ ends exactly where training on both tasks would (Eq. 4), and how far from there it ends
# otherwise.
#
# **What you need.** Notebook 3: $\omega_k$ is the part of the loss drop that synapse $k$ earned.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, use
from pysi.theory.quadratic import Quadratic, random_hessian
from pysi.theory.surrogate import hessian_approximation, joint_minima, same_total, surrogate
from pysi.training import update

use()
FREE, SI = colour("fine-tuning"), colour("si")
GREYS = plt.colormaps["Greys"].with_extremes(over="0.45")
SURROGATE, HESSIAN, EXACT = colour("surrogate"), colour("hessian"), colour("exact")


# %%
def learn(gradient, start, time=20, lr=0.001):
    """Descend from start with a table of synapses; returns the path of θ, and ω at its end."""
    s = pysi.Synapses({"theta": np.shape(start)}, dtype=np.float64)
    s.theta[...] = start
    optimizer, rule = pysi.SGD(lr), pysi.SynapticIntelligence(c=0.0)
    optimizer.start(s)
    rule.start(s)
    path = [s.theta.copy()]
    for _ in range(round(time / lr)):
        s.grad[...] = gradient(s.theta)
        update(s, optimizer, rule)
        path.append(s.theta.copy())
    return np.array(path), s.omega.copy()


# %% [markdown]
# ## One synapse: Figure 2
#
# A synapse has learned a task. It started at $\theta(0)$, ended at the minimum $\theta(T)$, and the
# loss fell by $\omega$. Later the loss is no longer known, because the data are gone. The surrogate
# loss takes its place,
#
# $$\text{surrogate}(\theta) = L(\theta(T)) + \Omega\, (\theta - \tilde\theta)^2, \qquad
#   \Omega = \frac{\omega}{\Delta^2 + \xi}, \qquad \tilde\theta = \theta(T), \qquad
#   \Delta = \theta(T) - \theta(0),$$
#
# a parabola through both ends of the path. We compute it twice: for a loss with a narrow well in a
# wide plain, and for one with a flat floor between steep walls. (Before the section on $\xi$, we
# set it to zero.)

# %%
# name: (loss, derivative, second derivative, start)
losses = {
    "a narrow well": (
        lambda t: 1 - np.exp(-(t**2) / 2),
        lambda t: t * np.exp(-(t**2) / 2),
        lambda t: (1 - t**2) * np.exp(-(t**2) / 2),
        -2.5,
    ),
    "a flat floor": (
        lambda t: 0.1 * t**2 + 0.02 * t**4,
        lambda t: 0.2 * t + 0.08 * t**3,
        lambda t: 0.2 + 0.24 * t**2,
        -2.5,
    ),
}
fits = {}
for name, (L, slope, curvature, start) in losses.items():
    path, omega = learn(slope, [start], time=50)
    end = path[-1]
    stand_in = surrogate(path[0], end, omega, loss_end=L(end[0]))
    at_minimum = hessian_approximation([curvature(end[0])], end, loss_end=L(end[0]))
    fits[name] = path, omega, stand_in, at_minimum

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.6))
t = np.linspace(-3, 1.5, 400)
for ax, (name, (L, *_)) in zip(axes, losses.items(), strict=True):
    path, omega, stand_in, at_minimum = fits[name]
    top = 1.35 * L(path[0, 0])
    ax.plot(t, L(t), color=EXACT, lw=2.5, label="loss on task 1, $L_1$")
    ax.plot(t, stand_in.value(t[:, None]), color=SURROGATE, lw=2.2,
            label="surrogate loss ($c = 1$)")  # fmt: skip
    ax.plot(t, at_minimum.value(t[:, None]), color=HESSIAN, lw=2, ls="--",
            label="Hessian approx. at minimum")  # fmt: skip
    for point, text in ((path[0, 0], "0"), (path[-1, 0], "T")):
        ax.plot([point, point], [-0.1 * top, L(point)], color="0.6", lw=1, ls=":")
        ax.plot(point, L(point), "o", color="black", mec="white", ms=8, zorder=4)
        ax.text(point + 0.06, -0.075 * top, rf"$\theta(t={text})$", fontsize=10)
    ax.set(title=name[0].upper() + name[1:], xlabel=r"$\theta$", ylim=(-0.1 * top, top))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("loss")
axes[1].legend(fontsize=9, loc="upper right")
plt.show()

# %% [markdown]
# The purple curve has the curvature of the loss at its minimum and ignores the rest: in the well it
# is far too steep, on the floor far too flat. The green curve has the right drop along the path,
# and not the curvature at its end. By Taylor's formula its steepness is half a mean of the
# curvature along the whole path,
#
# $$\Omega = \int_0^1 (1 - s)\, L''(\theta(T) - s\Delta)\, ds,$$
#
# in which the end of the path counts most and the start not at all.
#
# ## Three conditions
#
# The surrogate has the same minimum as the loss; descent from the same start has the same end; and
# on the way the surrogate falls by as much. Learning the task again on the *surrogate* would look
# like this:

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 2.9), sharex=True)
L, slope, *_ = losses["a narrow well"]
original, omega, stand_in, at_minimum = fits["a narrow well"]
replayed, omega_replayed = learn(stand_in.gradient, original[0], time=50)
wrong, omega_wrong = learn(at_minimum.gradient, original[0], time=50)
time = 0.001 * np.arange(len(original))
runs = ((original, L(original[:, 0]), EXACT, "-", "on the loss"),
        (replayed, stand_in.value(replayed), SURROGATE, "-", "on the surrogate"),
        (wrong, at_minimum.value(wrong), HESSIAN, "--", "on the Hessian approx."))  # fmt: skip
for path, values, ink, style, name in runs:
    axes[0].plot(time, path[:, 0], color=ink, ls=style, lw=2, label=name)
    axes[1].plot(time, values, color=ink, ls=style, lw=2)
axes[0].set(xlabel=r"time $\eta \times$ steps", ylabel=r"$\theta$", xlim=(0, 25))
axes[1].set(xlabel=r"time $\eta \times$ steps", ylabel="the loss descended")
axes[0].legend(fontsize=9, frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The black and the green curve have the same start and the same end; between them they differ.
#
# ## Several synapses: who earned what
#
# With more synapses the total drop does not determine the surrogate. Take the loss of two synapses
# from notebook 3. Every way to divide its drop gives a diagonal quadratic with the same minimum,
# the same displacement and the same total drop. Only one of these quadratics also has the right
# drop for *each* synapse.


# %%
def bent(theta):
    a, b = theta[..., 0], theta[..., 1]
    return 0.5 * a**2 + (b - 0.5 * a**2) ** 2


def bent_gradient(theta):
    a, b = theta[..., 0], theta[..., 1]
    slope = 2 * (b - 0.5 * a**2)
    return np.stack([a - a * slope, slope], axis=-1)


bent_path, bent_omega = learn(bent_gradient, [-1.8, -0.9])
start, end = bent_path[[0, -1]]
drop = bent(start) - bent(end)
stand_ins = {
    "surrogate": surrogate(start, end, bent_omega),
    "equal shares": same_total(start, end, drop, [0.5, 0.5]),
    "Hessian at the minimum": hessian_approximation([1.0, 2.0], end),  # ∂²L/∂θ² at 0
}
again = {name: learn(other.gradient, start) for name, other in stand_ins.items()}

# %%
fig, axes = plt.subplots(1, 4, figsize=(9.6, 3.3), sharex=True, sharey=True)
plane = np.stack(np.meshgrid(np.linspace(-2.2, 1.2, 150), np.linspace(-1.5, 1.9, 150)), axis=-1)
panels = [("loss on task 1", bent, bent_path, bent_omega, EXACT)]
for (name, other), ink in zip(stand_ins.items(), (SURROGATE, "0.5", HESSIAN), strict=True):
    panels.append((name, other.value, *again[name], ink))
for ax, (name, value, path, omega, ink) in zip(axes, panels, strict=True):
    ax.contourf(*plane.transpose(2, 0, 1), np.sqrt(value(plane)), np.linspace(0, 3.2, 13),
                cmap=GREYS, vmax=6, extend="max")  # fmt: skip
    ax.plot(*path.T, color=ink, lw=2.5)
    ax.plot(*start, "o", color="black", ms=6, mec="white")
    ax.plot(*end, "*", color="white", ms=13, mec="black")
    ax.set_title(f"{name}\n" rf"$\omega = ({omega[0]:.1f},\ {omega[1]:.1f})$", fontsize=10)
    ax.set(xlabel=rf"$\theta_1$   (drop: {value(start) - value(end):.1f})", aspect="equal")
axes[0].set_ylabel(r"$\theta_2$")
plt.show()

# %% [markdown]
# The first three losses fall by the same amount on the path to the star; only the first two agree
# on the share of each synapse. So among quadratics without interactions, $\Delta_k$ and $\omega_k$
# of every synapse determine the surrogate. The path itself is not kept: descent on the surrogate
# takes another path to the same end.
#
# ## What $\xi$ is for
#
# A synapse that hardly moved has $\Delta \approx 0$, and $\omega/\Delta^2$ compares two small
# numbers. On an ideal path both vanish together and the ratio stays $\tfrac12 h$ for a curvature
# $h$. But if $\omega$ also contains something else (minibatch noise, or the work of a synapse that
# went away and came back), the ratio becomes very large. The damping bounds it by $\omega/\xi$. It
# hardly changes $\Omega$ for synapses that moved by much more than $\sqrt\xi$.

# %%
h, xi, extra = 2.0, 1e-3, 0.005
moved = np.logspace(-3, 0, 200)
bounds = {}
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3), sharex=True, sharey=True)
for ax, more in zip(axes, (0, extra), strict=True):
    omega = h * moved**2 / 2 + more
    for damping, ink in ((0.0, "0.6"), (xi, SI)):
        bounds[more, damping] = surrogate(np.zeros(200), moved, omega, xi=damping).Omega
        ax.loglog(moved, bounds[more, damping], color=ink, lw=2.5, label=rf"$\xi = {damping:g}$")
    ax.axhline(h / 2, color="black", lw=1, ls=":")
    ax.axvline(np.sqrt(xi), color="0.6", lw=1, ls="--")
    ax.set(title=rf"$\omega$ too large by {more:g}", xlabel=r"movement $|\Delta|$")
    ax.set_ylim(1e-2, 1e3)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel(r"importance $\Omega$")
axes[0].text(1, 1.4, "$h/2$", ha="right")
axes[0].text(np.sqrt(xi) * 1.1, 300, r"$\sqrt{\xi}$", color="0.4")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Two tasks at $c = 1$
#
# In the second task, its loss plus the surrogate (Eq. 4) has a minimum; the sum of both true losses
# has another. The paper says that for two tasks the three conditions are met "exactly", and that
# $c = 1$ weighs old and new memories equally. Are the two minima then the same? If the old loss is
# a *diagonal* quadratic, and was learned to its minimum, then $\Omega_k = \tfrac12 H_{kk}$: the
# surrogate is the old loss. If the old loss is a quadratic with interactions, the surrogate differs
# from it, because the surrogate is still diagonal. `joint_minima` computes both minima.
#
# Task 1 is again a valley, turned by some angle; task 2 is a valley that crosses it.


# %%
def valley(angle, along=0.1, across=2.0):
    floor = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return along * np.outer(floor, floor) + across * (np.eye(2) - np.outer(floor, floor))


def two_valleys(angle, minimum_1, minimum_2):
    return Quadratic(valley(angle), minimum_1), Quadratic(valley(angle + 60), minimum_2)


def sum_of_losses(old, new, theta):
    return old.value(theta) + new.value(theta)


fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.7), sharey=True)
plane = np.stack(np.meshgrid(np.linspace(-2.4, 2.4, 150), np.linspace(-2, 2.2, 150)), axis=-1)
distance = {}
for ax, angle in zip(axes, (0, 15, 45), strict=True):
    old, new = two_valleys(angle, [-0.8, -0.6], [1.2, 0.8])
    joint, consolidated = joint_minima(old, new, np.array([-1.9, 1.6]))
    distance[angle] = np.linalg.norm(joint - consolidated)
    ax.contourf(*plane.transpose(2, 0, 1), np.sqrt(sum_of_losses(old, new, plane)),
                np.linspace(0.5, 3.5, 13), cmap=GREYS, vmax=6, extend="max")  # fmt: skip
    ax.plot(*joint, "*", color="white", mec="black", ms=18, label="training on both")
    ax.plot(*consolidated, "o", color=SI, mec="black", ms=8, label="Eq. 4, $c = 1$")
    ax.plot(*new.minimum, "o", color=FREE, mec="black", ms=8, label="task 2 alone, $c = 0$")
    ax.set(title=f"task 1 turned by {angle}°", xlabel=r"$\theta_1$", aspect="equal")
axes[0].set_ylabel(r"$\theta_2$")
axes[0].legend(fontsize=9, loc="lower left")
plt.show()

# %% [markdown]
# At 0° the green dot lies in the star. At 15° it does not; at 45°, in this example, no
# consolidation at all would have been better. How large is the gap on average? The gap is how much
# larger the sum of both losses is than at its minimum. We average it over random minima and starts,
# and divide it by the gap of $c = 0$: first against the angle, then for random Hessians
# (eigenvalues from 0.01 to 2) against the number of synapses. For comparison we also take the
# diagonal of the *true* Hessian, $\Omega_k = \tfrac12 H_{kk}$.


# %%
def excesses(old, new, start):
    """How far the summed loss is above its minimum: for Ω by Eq. 5, Ω = ½H_kk, and c = 0."""
    joint, consolidated = joint_minima(old, new, start)
    D = np.diag(np.diag(old.H))
    diagonal = np.linalg.solve(D + new.H, D @ old.minimum + new.H @ new.minimum)
    ends = np.stack([joint, consolidated, diagonal, new.minimum])
    best, *others = sum_of_losses(old, new, ends)
    return np.array(others) - best


def gap(pairs):
    """Mean excess over pairs of tasks, in units of that of c = 0: for Eq. 5 and for ½H_kk."""
    *others, worst = np.mean([excesses(*pair) for pair in pairs], axis=0)
    return np.array(others) / worst


def valleys(angle, n=400):
    for minimum_1, minimum_2, start in rng.standard_normal((n, 3, 2)):
        yield *two_valleys(angle, minimum_1, minimum_2), start


def random_tasks(P, basis, n=200):
    for _ in range(n):
        old, new = 10 ** rng.uniform(-2, 0.3, (2, P))  # eigenvalues
        minimum_1, minimum_2, start = rng.standard_normal((3, P))
        yield (Quadratic(random_hessian(old, rng, basis), minimum_1),
               Quadratic(random_hessian(new, rng), minimum_2), start)  # fmt: skip


rng = np.random.default_rng(0)
angles, sizes = np.arange(0, 91, 7.5), 2 ** np.arange(7)
by_angle = np.array([gap(valleys(angle)) for angle in angles])
by_size = np.array([gap(random_tasks(P, "random")) for P in sizes])
on_axes = np.array([gap(random_tasks(P, "axes")) for P in sizes])

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.3), sharey=True)
for ax, at, found in ((axes[0], angles, by_angle), (axes[1], sizes, by_size)):
    ax.plot(at, found[:, 0], "o-", color=SI, label="surrogate, Eq. 5")
    ax.plot(at, found[:, 1], "o--", color=HESSIAN, label="diagonal of the Hessian")
    ax.axhline(1, color=FREE, lw=1, ls="--")
    ax.spines[["top", "right"]].set_visible(False)
axes[1].plot(sizes, on_axes[:, 0], "s:", color=SI, label="Eq. 5, diagonal Hessian")
axes[0].text(45, 0.98, "$c = 0$", color=FREE, ha="center", va="top")
axes[0].set(xlabel="angle of task 1's valley (degrees)", ylabel="gap to training on both")
axes[0].set(xticks=range(0, 91, 15), ylim=(-0.03, 1.05))
axes[1].set_xlabel("number of synapses")
axes[1].set_xscale("log", base=2)
axes[1].set_xticks(sizes, sizes)
axes[1].legend(fontsize=9, frameon=False, bbox_to_anchor=(0.5, 0.95), loc="upper center")
plt.show()

# %% [markdown]
# Eq. 4 at $c = 1$ is as good as training on both tasks for valleys along the axes, and for none in
# between. On random quadratics with many synapses the gap of Eq. 5 is about a third of that of
# $c = 0$; the gap of the Hessian's own diagonal is smaller, but it needs the Hessian. Real networks
# are not quadratic, so this says what is exact, and not which of the two is the better rule.
#
# ## The claims

# %%
# Figure 2: same minimum, same displacement, same drop; and not the Hessian's parabola
assert abs(replayed[-1] - original[-1]) < 1e-3
assert np.isclose(omega_replayed, fits["a narrow well"][1], rtol=1e-3)
for name, (L, _, curvature, begin) in losses.items():
    path, omega, other, at_minimum = fits[name]
    assert np.isclose(other.value(path[0]), L(begin), rtol=1e-3)
    assert not 0.8 < other.Omega / at_minimum.Omega < 1.25
    # Ω is a mean of the curvature along the path, ∫ (1 - s) L'' ds (midpoint rule)
    s = (np.arange(1000) + 0.5) / 1000
    assert np.isclose(other.Omega, ((1 - s) * curvature(s * begin)).mean(), rtol=2e-3)

# several synapses: the total does not determine the shares, ω does
for name, (path, omega) in again.items():
    assert np.allclose(path[-1], end, atol=1e-3)
    assert np.isclose(omega.sum(), drop, rtol=0.01) == (name != "Hessian at the minimum")
    assert np.allclose(omega, bent_omega, rtol=0.01) == name.startswith("surrogate")

# ξ bounds Ω where ω is too large, and changes nothing for synapses that moved
assert bounds[extra, 0.0].max() > 100 * h and bounds[extra, xi].max() < 1.01 * (h / 2 + extra / xi)
assert np.isclose(bounds[0, xi][-1], h / 2, rtol=0.01)

# Eq. 4 is exact for diagonal quadratics at c = 1, and only for those
assert distance[0] < 1e-12 < distance[15]
assert abs(on_axes[:, 0]).max() < 1e-9 and abs(by_angle[[0, -1], 0]).max() < 1e-9
assert (by_angle[1:-1, 0] > 0.005).all() and 0.2 < by_size[-1, 0] < 0.5
print(f"gap with {sizes[-1]} synapses: {by_size[-1, 0]:.2f} by Eq. 5, "
      f"{by_size[-1, 1]:.2f} with the Hessian's diagonal")  # fmt: skip

# %% [markdown]
# **Try.** Pass another `c` to `joint_minima` in `excesses`, and find the value with the smallest
# gap at 64 synapses. Is it 1?
