# %% [markdown]
# # 3. The path integral
#
# **What you will do.** Follow the loss of a network while it learns, and divide its fall among the
# synapses that caused it: first on paths in a plane, then with digits.
#
# **What you will learn.** Why the shares $\omega_k$ add up to the loss drop whatever the path
# (Eqs. 1 to 3); how wrong the sum is when steps are finite; why minibatches make it too large, by
# how much, and why smaller steps do not help.
#
# **What you need.** Line integrals, at least by name. Notebook 2 shows where $\omega$ is kept.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, shades, use
from pysi.losses import softmax_cross_entropy
from pysi.theory.paths import record, richardson

use()
SI = colour("si")
GREYS = plt.colormaps["Greys"].with_extremes(over="0.45")

# %% [markdown]
# ## One step, many steps
#
# A small step $\delta$ changes the loss by
#
# $$L(\theta + \delta) - L(\theta) \approx \sum_k g_k \delta_k \qquad \text{(Eq. 1)},$$
#
# which is a sum with one term for each synapse. Along a path the terms add up to the line integral
# of the gradient (Eq. 2). A gradient field is conservative: the integral depends only on the ends
# of the path. So
#
# $$\sum_k \omega_k = L(\theta(t_0)) - L(\theta(t_1)), \qquad
#   \omega_k = -\int g_k(\theta(t))\, \theta_k'(t)\, dt \qquad \text{(Eq. 3)}.$$
#
# Here is a loss of two synapses that is not quadratic, and three paths from the same start to its
# minimum. One of them is gradient descent.


# %%
def loss(theta):
    a, b = theta[..., 0], theta[..., 1]
    return 0.5 * a**2 + (b - 0.5 * a**2) ** 2


def gradient(theta):
    a, b = theta[..., 0], theta[..., 1]
    slope = 2 * (b - 0.5 * a**2)
    return np.stack([a - a * slope, slope], axis=-1)


start = np.array([-2.0, 0.2])
descent = [start]
for _ in range(15_000):
    descent.append(descent[-1] - 0.001 * gradient(descent[-1]))
s = np.linspace(0, 1, 4001)[:, None]
loop = (1 - s) * start + np.sin(np.pi * s) * [1.1, 1.6] + np.sin(2 * np.pi * s) * [-1.0, 0.9]
corner = np.where(s < 0.5, [-2, 0.2] + 2 * s * [2, 0], [0, 0.2] - (2 * s - 1) * [0, 0.2])
paths = {"descent": np.array(descent), "loop": loop, "corner": corner}


def omega(path):
    """ω of both synapses: -Σ g Δθ, with the mean gradient of the two ends of each step."""
    g = gradient(path)
    return -((g[:-1] + g[1:]) / 2 * np.diff(path, axis=0)).sum(axis=0)


shares = {name: omega(path) for name, path in paths.items()}

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.7), width_ratios=[1.25, 1])
a, b = np.meshgrid(np.linspace(-2.4, 1.4, 200), np.linspace(-0.7, 2.5, 200))
values = np.sqrt(loss(np.stack([a, b], axis=-1)))
left.contourf(a, b, values, np.linspace(0, 3, 13), cmap=GREYS, vmax=5.6, extend="max")
for (name, path), shade in zip(paths.items(), shades(3), strict=True):
    left.plot(*path.T, color=shade, lw=2.2, label=name)
left.plot(*start, "o", color="black", ms=6, mec="white", zorder=4)
left.plot(0, 0, "*", color="white", ms=15, mec="black", zorder=4)
left.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$", title="Three paths, the same ends")
left.legend(loc="upper right", fontsize=9)

names = list(shares)
first, second = np.array(list(shares.values())).T
dark, light = shades(2)
right.barh(names, first, -0.36, align="edge", color=dark)
right.barh(names, second, 0.36, align="edge", color=light)
for row, total in enumerate(first + second):
    right.text(7, row, rf"$\Sigma\omega = {total:.3f}$", va="center")
right.axvline(0, color="black", lw=0.8)
right.set(title="Who earned it", xlabel="share of the loss drop", xlim=(None, 9.5))
right.invert_yaxis()
right.spines[["top", "right"]].set_visible(False)
right.text(first[0] + 0.2, -0.18, r"$\omega_1$", color=dark, va="center", fontsize=13)
right.text(second[0] + 0.2, 0.18, r"$\omega_2$", color=light, va="center", fontsize=13)
plt.show()
print(f"loss at the start minus loss at the end: {loss(start) - loss(np.zeros(2)):.3f}")

# %% [markdown]
# The sums agree, but their parts do not. The loss and the two ends of the path do not determine the
# share of a synapse: it says what the synapse did on the path that was really taken. On a detour a
# synapse may even end up with a negative share. In gradient descent it cannot: there
# $\theta' = -g$, so $\omega_k = \int g_k^2\, dt$.
#
# ## A network that reads digits
#
# The next network has 3,322 synapses: it reads 200 digits of 14 × 14 pixels, and has one hidden
# layer with tanh. (So it is smooth; the loss of a network of ReLUs has edges.) `record` trains it
# with plain gradient descent on all digits and keeps the sums. We call it repeatedly, for five
# steps at a time, to see the shares grow.

# %%
data = pysi.load_dataset("mnist-5k")
few = slice(None, None, 20)  # the data set is sorted: every 20th digit, 20 of each class
x = data.x_train[few].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255
y, active = data.y_train[few], np.ones(10, bool)


def network(seed=0):
    """A network, or several with the same weights, whose seeds give them other minibatches."""
    net = pysi.MLP([196, 16, 10], activation="tanh", seed=seed, dtype=np.float64)
    net.synapses.theta[...] = pysi.MLP([196, 16, 10], seed=0, dtype=np.float64).synapses.theta
    return net


def pieces(net, lr, steps, every, **options):
    """A training run in pieces; each is a Path, with its part of ω and of the loss drop."""
    return [record(net, pysi.SGD(lr), x, y, active, every, **options)
            for _ in range(steps // every)]  # fmt: skip


def running(values):
    return np.cumsum([np.zeros_like(values[0]), *values], axis=0)


# %%
net = network()
run = pieces(net, lr=0.05, steps=600, every=5)
drop = running([piece.drop for piece in run])
groups = {"first layer, weights": "dense1.W", "first layer, biases": "dense1.b",
          "readout, weights": "dense2.W", "readout, biases": "dense2.b"}  # fmt: skip
columns = [net.synapses.group(name).columns for name in groups.values()]
earned = [running([piece.omega[part].sum() for piece in run]) for part in columns]

fig, ax = plt.subplots(figsize=(9.6, 3.6))
t = 0.05 * 5 * np.arange(len(drop))
ax.stackplot(t, earned, labels=list(groups), colors=shades(4), alpha=0.75, lw=0)
ax.plot(t, drop, color="black", lw=2, ls="--", label="loss drop")
ax.set(xlabel=r"training time, $\eta \times$ steps", ylabel=r"$\omega$, summed", xlim=(0, 30))
handles, labels = ax.get_legend_handles_labels()
ax.legend(handles[::-1], labels[::-1], loc="lower right", fontsize=9)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
total = sum(part[-1] for part in earned)
print(f"loss drop {drop[-1]:.4f}, sum of ω {total:.4f}")

# %% [markdown]
# The coloured bands are the shares of four groups of synapses. Their upper edge follows the loss
# drop, but runs a little above it.
#
# ## The step
#
# The reason is that the gradient at the *beginning* of a step predicts a larger fall than the step
# brings, because the slope becomes gentler on the way down. By Taylor's formula the sum is too
# large by $\tfrac12 \sum_t \Delta\theta_t^\top H_t\, \Delta\theta_t$, which for gradient descent
# with step $\eta$ tends to
#
# $$\frac{\eta}{4} \left( |g(t_0)|^2 - |g(t_1)|^2 \right).$$
#
# Half the step gives half the error. With the mean gradient of both ends of a step (the trapezoid
# rule), half the step gives a quarter of the error. And if the error is nearly proportional to
# $\eta$, two runs are enough to remove it: we take twice the fine result minus the coarse one
# (Richardson's extrapolation; with more runs, more powers of $\eta$ are removed).

# %%
time = 4.0  # η × steps, the same for all
steps = 40 * 2 ** np.arange(7)


def squared_gradient(net):
    _, dlogits = softmax_cross_entropy(net.forward(x), y, active)
    net.backward(dlogits)
    return (net.synapses.grad**2).sum()


g0, runs, ends = squared_gradient(network()), [], []
for n in steps:
    net = network()
    runs.append(record(net, pysi.SGD(time / n), x, y, active, n))
    ends.append(squared_gradient(net))
lrs = time / steps
drops = np.array([path.drop for path in runs])
sums = np.array([path.omega.sum() for path in runs])
left_error = sums - drops
trapezoid_error = np.array([path.omega_trapezoid.sum() for path in runs]) - drops
extrapolated = np.array([richardson((sums - drops)[:n]) for n in range(1, len(steps) + 1)])
predicted = lrs / 4 * (g0 - np.array(ends))

# %%
fig, ax = plt.subplots(figsize=(6.8, 4))
one, two, three = shades(3)
ax.loglog(lrs, predicted, color="0.6", lw=6, alpha=0.6, label="predicted")
ax.loglog(lrs, abs(left_error), "o-", color=one, label=r"$\Sigma\omega$ as it is kept")
ax.loglog(lrs, abs(trapezoid_error), "s-", color=two, label="trapezoid rule")
ax.loglog(lrs, abs(extrapolated), "D-", color=three, label="Richardson, all runs so far")
ax.set(xlabel=r"step $\eta$", ylabel=r"|$\Sigma\omega$ - loss drop|")
ax.invert_xaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# The three slopes are one, two, and steeper with every further run. With the seventh run
# $\Sigma\omega$ and the loss drop agree to twelve digits. So Eq. 3 is exact, up to rounding.
#
# ## Minibatches
#
# In practice $g$ comes from a minibatch, $\hat g = g + e$, where $e$ is noise with covariance $C$.
# It enters twice, in the gradient *and* in the step $-\eta \hat g$ that this gradient causes:
#
# $$-\hat g \cdot \Delta\theta = \eta\, |g + e|^2, \qquad\text{on average}\qquad
#   \eta\, |g|^2 + \eta\, \mathrm{tr}\, C.$$
#
# Squared noise does not average out. The paper says that importances are "typically" overestimated;
# this formula says by how much: on the same path, the sum with minibatch gradients exceeds the sum
# with the gradient of all examples by $\sum_t \eta\, \mathrm{tr}\, C_t$. For $B$ of $N$ examples,
# $C$ is the covariance of single examples' gradients times $\frac1B \frac{N - B}{N - 1}$.
#
# `record` computes both sums and the prediction. We train ten networks side by side, which start
# alike and see different minibatches. We change one thing at a time: the training time, the step
# $\eta$ (for the same training time), and the size $B$.

# %%
R = 10


def sums(lr=0.1, batch_size=8, time=4.0):
    """Per network: Σω, Σω with full gradients, the predicted difference, and the loss drop."""
    net = network(range(R))
    path = record(net, pysi.SGD(lr), x, y, active, round(time / lr), batch_size=batch_size)
    rows = (path.omega, path.omega_full, path.bias)
    return np.array([*(row.sum(axis=-1) for row in rows), path.drop])


times = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4])
noisy_lrs = 0.1 / 2 ** np.arange(4)
batches = np.array([2, 5, 10, 20, 50, 100, 150])
by_time = np.array([sums(time=t) for t in times])
by_lr = np.array([sums(lr=lr) for lr in noisy_lrs])
by_batch = np.array([sums(batch_size=B) for B in batches])

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.3))
kept, full, bias, drop = by_time.swapaxes(0, 1)
axes[0].plot(times, kept, color=SI, lw=0.6, alpha=0.5)
axes[0].plot(times, (drop + bias).mean(axis=1), color="0.6", lw=6, alpha=0.6, label="predicted")
axes[0].plot(times, kept.mean(axis=1), "o-", color=SI, label=r"$\Sigma\omega$, minibatches")
axes[0].plot(times, drop.mean(axis=1), color="black", lw=2, ls="--", label="loss drop")
axes[0].set(title="In training", xlabel=r"$\eta \times$ steps", ylabel="nats")


def show_noise(ax, at, found):
    kept, full, bias, _ = found.swapaxes(0, 1)
    ax.plot(at, bias.mean(axis=1), color="0.6", lw=6, alpha=0.6, label="predicted")
    ax.plot(at, (kept - full).mean(axis=1), "o", color=SI, label="minibatch noise")


show_noise(axes[1], noisy_lrs, by_lr)
axes[1].plot(lrs[:4], left_error[:4], "s-", color=one, label="finite steps")
axes[1].set(title=r"Against $\eta$ ($B = 8$)", xlabel=r"step $\eta$", ylabel="overestimate")
axes[1].set_xscale("log")
axes[1].set_xticks(noisy_lrs, [f"{lr:g}" for lr in noisy_lrs])
axes[1].minorticks_off()
axes[1].invert_xaxis()
show_noise(axes[2], batches, by_batch)
axes[2].set(title=r"Against $B$ ($\eta = 0.1$)", xlabel="minibatch size $B$", xscale="log")
for ax in axes:
    ax.legend(fontsize=9, frameon=False, loc="center right" if ax is axes[1] else "best")
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[1:]:
    ax.set_yscale("log")
plt.show()

# %% [markdown]
# Left: the sum that the synapses keep (green; thin lines are single networks) is much larger than
# the true loss drop; with eight of 200 digits it ends more than ten times too large. It is close to
# the prediction, which is the loss drop plus $\sum_t \eta\, \mathrm{tr}\, C_t$. The small
# difference is the error of finite steps, which are longer when there is noise in them. Middle:
# with smaller steps the error of finite steps vanishes and the noise stays, because half the step
# adds half as much and there are twice as many steps. Only larger minibatches help (right); by the
# formula nothing is left with all $N$ digits. This is why in practice $c$ "typically has to be
# chosen smaller than one to compensate".
#
# (With momentum or Adam a step contains only a part of the present noise. The bias is then
# $-\sum_t \langle e_t \cdot \Delta\theta_t \rangle$, for which there is no expression as short as
# this one.)
#
# ## The claims

# %%
# Eqs. 2, 3: the sum does not depend on the path, the shares do, and descent gives none below zero
whole = loss(start) - loss(np.zeros(2))
assert all(abs(share.sum() - whole) < 1e-4 * whole for share in shares.values())
assert shares["loop"][0] < 0 < shares["corner"][0] and (shares["descent"] > 0).all()

# finite steps: predicted, first order; trapezoid rule: second order; extrapolated: exact
assert np.allclose(left_error[1:], predicted[1:], rtol=0.15)
assert np.allclose(left_error[:-1] / left_error[1:], 2, rtol=0.1)
assert np.allclose(trapezoid_error[:-1] / trapezoid_error[1:], 4, rtol=0.1)
assert abs(extrapolated[-1]) < 1e-9 * drops[-1]

# minibatches: too large, by Σ η tr C, within five standard errors, and no smaller for small steps
for kept, full, bias, _ in (*by_time, *by_lr, *by_batch):
    gap = kept - full - bias
    assert abs(gap.mean()) < 5 * gap.std(ddof=1) / np.sqrt(R)
noise = (by_lr[:, 0] - by_lr[:, 1]).mean(axis=-1)
finite = left_error[: len(noisy_lrs)]
assert by_time[-1, 0].mean() > 5 * by_time[-1, 3].mean()
assert noise[-1] > 0.7 * noise[0] > 0 and finite[-1] < 0.2 * finite[0]
for i in (0, -1):
    print(f"η = {noisy_lrs[i]:<6g} finite steps {finite[i]:.4f}, noise {noise[i]:.2f}")

# %% [markdown]
# **Try.** Put `"relu"` in place of `"tanh"`, and look at the slopes again. The sums still agree to
# half a per cent, but the trapezoid rule and the extrapolation gain little: where a unit switches
# on or off, the loss has an edge, and Taylor's formula does not hold across it.
