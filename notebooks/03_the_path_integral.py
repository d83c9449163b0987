# %% [markdown]
# # 3. The path integral
#
# **What you will do.** Follow the loss while two synapses learn, and then while a network of 3,322
# synapses learns. Divide the drop of the loss among the synapses that caused it. You write $\omega$
# along a path, its correction for finite steps, and the part of it that is noise.
#
# **What you will learn.** Why the shares $\omega_k$ add up to the loss drop, whatever the path is
# (Eqs. 1 to 3). How wrong the sum is when steps are finite. Why minibatches make it too large, by
# how much, and why smaller steps do not help.
#
# **What you need.** Line integrals, at least by name.
# [Notebook 2](02_what_a_synapse_knows.ipynb) shows where $\omega$ is kept.
#
# **Time.** About 35 minutes.

# %% tags=["hide-input"]
import itertools

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, shades, use
from pysi.losses import softmax_cross_entropy
from pysi.rules.fisher import squared_gradients
from pysi.theory import paths as package
from pysi.training import shuffled, update

use()
SI, EXACT = colour("si"), colour("exact")

# %% [markdown]
# ## One step, many steps
#
# A small step $\delta$ changes the loss by
#
# $$L(\theta + \delta) - L(\theta) \approx \sum_k g_k \delta_k \qquad \text{(Eq. 1)},$$
#
# which is a sum with one term for each synapse. Along a path the terms add up to the line integral
# of the gradient (Eq. 2). A gradient field is conservative: the integral depends only on the two
# ends of the path. So
#
# $$\sum_k \omega_k = L(\theta(t_0)) - L(\theta(t_1)), \qquad
#   \omega_k = -\int g_k(\theta(t))\, \theta_k'(t)\, dt \qquad \text{(Eq. 3)}.$$
#
# Our first loss has two synapses and is not quadratic,
# $L = \tfrac12 \theta_1^2 + (\theta_2 - \tfrac12 \theta_1^2)^2$. The folded cell has three paths
# from one start to the minimum of this loss at 0. One of them is the path of gradient descent. It
# also has `gradient(path)`, with one row per point of a path.


# %% tags=["hide-input"]
def loss(theta):
    a, b = theta[..., 0], theta[..., 1]
    return 0.5 * a**2 + (b - 0.5 * a**2) ** 2


def gradient(theta):
    """g at θ, or at every point of a path: (..., 2) to (..., 2)."""
    a, b = theta[..., 0], theta[..., 1]
    slope = 2 * (b - 0.5 * a**2)
    return np.stack([a - a * slope, slope], axis=-1)


start = np.array([-2.0, 0.2])
descent = [start]
for _ in range(15_000):
    descent.append(descent[-1] - 0.001 * gradient(descent[-1]))
s = np.linspace(0, 1, 15_001)[:, None]
loop = (1 - s) * start + np.sin(np.pi * s) * [1.1, 1.6] + np.sin(2 * np.pi * s) * [-1.0, 0.9]
corner = np.where(s < 0.5, start + 2 * s * [2, 0], [0, 0.2] - (2 * s - 1) * [0, 0.2])
paths = {"descent": np.array(descent), "loop": loop, "corner": corner}

# %% [markdown]
# **Exercise 1.** Write $\omega$ along a path (Eq. 3), as a sum over its steps. `path` has one row
# per point and one column per synapse. For each step take the gradient at the *beginning* of the
# step, as training does. (`np.diff(path, axis=0)` gives all steps.)


# %% tags=["exercise", "hide-input"]
def omega(path):
    """ω of both synapses."""
    # your code: return -Σ g Δθ over the steps, with one number per synapse
    return -(gradient(path[:-1]) * np.diff(path, axis=0)).sum(axis=0)


# %% tags=["check"]
found = omega(np.array([[1.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
assert np.shape(found) == (2,), "omega must return one number per synapse: sum over the steps only."
assert not np.allclose(found, [-4, -2]), (
    "The sign: a step downhill has g·Δθ < 0, and it must make ω larger."
)
assert not np.allclose(found, [-6, 4]), (
    "You take the gradient at the end of each step. Training knows it only at the beginning."
)
assert np.allclose(found, [4, 2]), (
    "Multiply each step by the gradient at its beginning, synapse by synapse, and add up."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The sign is lost:
#
# ```python
# return (gradient(path[:-1]) * np.diff(path, axis=0)).sum(axis=0)
# ```
#
# The gradient at the end of each step:
#
# ```python
# return -(gradient(path[1:]) * np.diff(path, axis=0)).sum(axis=0)
# ```
#
# The sum is taken over the synapses too, so it is the loss drop and no longer tells who earned it:
#
# ```python
# return -(gradient(path[:-1]) * np.diff(path, axis=0)).sum()
# ```
#
# The sum is taken over the synapses in place of the steps:
#
# ```python
# return -(gradient(path[:-1]) * np.diff(path, axis=0)).sum(axis=1)
# ```
#
# The first gradient times the whole movement, as if the path were one step:
#
# ```python
# return -gradient(path[0]) * (path[-1] - path[0])
# ```

# %%
shares = {name: omega(path) for name, path in paths.items()}
print(f"loss at the start minus loss at the end: {loss(start) - loss(np.zeros(2)):.3f}")

# %% tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), width_ratios=[1.25, 1])
a, b = np.meshgrid(np.linspace(-2.4, 1.4, 200), np.linspace(-0.7, 2.5, 200))
values = np.sqrt(loss(np.stack([a, b], axis=-1)))
left.contourf(a, b, values, np.linspace(0, 4, 17), cmap="Greys", vmax=6)
for (name, path), shade in zip(paths.items(), shades(3), strict=True):
    left.plot(*path.T, color=shade, lw=2.2, label=name)
left.plot(*start, "o", color="black", ms=6, mec="white", zorder=4)
left.plot(0, 0, "*", color="white", ms=15, mec="black", zorder=4)
left.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$", title="Three paths, the same ends")
left.legend(loc="upper right")

names = list(shares)
first, second = np.array(list(shares.values())).T
dark, light = shades(2)
right.barh(names, first, -0.36, align="edge", color=dark)
right.barh(names, second, 0.36, align="edge", color=light)
for row, total in enumerate(first + second):
    right.text(7, row, rf"$\Sigma\omega = {total:.2f}$", va="center")
right.axvline(0, color="black", lw=0.8)
right.set(title="Who earned it", xlabel="share of the loss drop", xlim=(None, 10.5))
right.invert_yaxis()
right.spines[["top", "right"]].set_visible(False)
right.text(first[0] + 0.2, -0.18, r"$\omega_1$", color=dark, va="center", fontsize=13)
right.text(second[0] + 0.2, 0.18, r"$\omega_2$", color=light, va="center", fontsize=13)
plt.show()

# %% [markdown]
# The sums agree, but their parts do not. The loss and the two ends of a path do not determine the
# share of a synapse: it says what the synapse did on the path that was really taken.
#
# **Question.** On the loop $\omega_1$ is negative. Can that happen in gradient descent with small
# steps?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# No. In gradient descent $\theta_k' = -g_k$, so $\omega_k = \int g_k^2\, dt \ge 0$: a synapse moves
# only where its own movement lowers the loss. With momentum or Adam a synapse may still move in an
# old direction that now leads uphill, and its share can be negative.
#
# </details>

# %% [markdown]
# ## Steps of finite size
#
# The gradient at the *beginning* of a step predicts a larger fall than the step brings, because the
# slope becomes gentler on the way down. By Taylor's formula the sum is too large by
# $\tfrac12 \sum_t \Delta\theta_t^\top H_t\, \Delta\theta_t$, where $H$ is the Hessian. For gradient
# descent with step $\eta$ this tends to
#
# $$\frac{\eta}{4} \left( |g(t_0)|^2 - |g(t_1)|^2 \right).$$
#
# It is of first order: half the step gives half the error. The **trapezoid rule** takes the mean
# gradient of both ends of a step. Its error is of second order: half the step gives a quarter.
#
# **Question.** The descent above had $\eta = 0.001$, and $|g(t_0)|^2 = 97.6$ at its start. Does the
# formula explain its sum, 5.265 in place of 5.240?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Yes. The gradient at its end is zero, so the sum is too large by
# $0.001 / 4 \cdot 97.6 = 0.024$.
#
# </details>

# %% [markdown]
# **Exercise 2.** Write what one step adds to $\omega$ by the trapezoid rule. `g` and `g_after` are
# the gradients before and after the step, and `delta` is the step $\Delta\theta$.


# %% tags=["exercise", "hide-input"]
def trapezoid(g, g_after, delta):
    """What a step adds to ω of each synapse, with the mean gradient of its two ends."""
    # your code: return the contribution of this step, for every synapse
    return -(g + g_after) / 2 * delta


# %% tags=["check"]
theta, delta = np.array([1.0, -3.0]), np.array([2.0, 1.0])  # on the loss θ₁² + θ₂²
found = trapezoid(2 * theta, 2 * (theta + delta), delta)
assert np.shape(found) == (2,), "trapezoid must return one number per synapse."
assert not np.allclose(found, [8, -5]), "The sign: ω grows when the loss falls."
assert not np.allclose(found, [-16, 10]), "Take the mean of both gradients, not their sum."
assert np.allclose(found, [-8, 5]), (
    "On the loss θ₁² + θ₂² the trapezoid rule is exact: from (1, -3) to (3, -2) the first synapse "
    "raises the loss by 8, and the second lowers it by 5."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The sum in place of the mean:
#
# ```python
# return -(g + g_after) * delta
# ```
#
# The sign is lost:
#
# ```python
# return (g + g_after) / 2 * delta
# ```
#
# NumPy's mean is taken over everything, so over the synapses as well:
#
# ```python
# return -np.mean([g, g_after]) * delta
# ```
#
# The gradient at the end alone, which is as wrong as that at the beginning, in the other direction:
#
# ```python
# return -g_after * delta
# ```

# %% [markdown]
# ## Minibatches
#
# In practice the gradient comes from a minibatch, $\hat g = g + e$, where $e$ is noise with mean
# zero and covariance $C$. The noise enters twice: in the gradient *and* in the step
# $-\eta \hat g$ that this gradient causes. So a step adds to the sum
#
# $$-\hat g \cdot \Delta\theta = \eta\, |g + e|^2, \qquad\text{on average}\qquad
#   \eta\, |g|^2 + \eta\, \mathrm{tr}\, C.$$
#
# Squared noise does not average out. On the same path, the sum with minibatch gradients exceeds the
# sum with the gradients of all examples by $\sum_t \eta\, \mathrm{tr}\, C_t$ on average. If each
# minibatch is $B$ different examples out of $N$, the variance of synapse $k$ is
#
# $$C_{kk} = \frac1B\, \frac{N - B}{N - 1} \left( \langle g_k^2 \rangle - \langle g_k \rangle^2
#   \right),$$
#
# where $\langle \cdot \rangle$ is the mean over the gradients of all $N$ single examples.
#
# **Exercise 3.** Write $C_{kk}$. `square` is $\langle g_k^2 \rangle$ and `mean` is
# $\langle g_k \rangle$, with one number per synapse.


# %% tags=["exercise", "hide-input"]
def noise(square, mean, B, N):
    """The variance of a minibatch's gradient, for each synapse: the diagonal of C."""
    # your code: return C of each synapse, from ⟨g²⟩, ⟨g⟩ and the sizes B and N
    return (square - mean**2) / B * (N - B) / (N - 1)


# %% tags=["check"]
each = np.random.default_rng(0).standard_normal((5, 3))  # the gradients of five examples
minibatches = [each[list(two)].mean(axis=0) for two in itertools.combinations(range(5), 2)]
square, mean = (each**2).mean(axis=0), each.mean(axis=0)
found = {B: noise(square, mean, B, 5) for B in (1, 2, 5)}
assert all(np.shape(C) == (3,) for C in found.values()), (
    "noise must return one variance per synapse; the trace is taken later."
)
assert np.allclose(found[5], 0), (
    "A minibatch of all N examples has no noise: the factor N - B is missing."
)
assert np.allclose(found[1], each.var(axis=0)), (
    "For B = 1, C is the variance of single examples, ⟨g²⟩ - ⟨g⟩²: see the squares, and N - 1."
)
assert np.allclose(found[2], np.var(minibatches, axis=0)), (
    "There are ten minibatches of two out of five examples, and this is not the variance of their "
    "gradients: a larger minibatch has less noise, in proportion to 1/B."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# As if the examples were drawn with replacement:
#
# ```python
# return (square - mean**2) / B
# ```
#
# $N$ in place of $N - 1$:
#
# ```python
# return (square - mean**2) / B * (N - B) / N
# ```
#
# The second moment in place of the variance:
#
# ```python
# return square / B * (N - B) / (N - 1)
# ```
#
# The factor $1/B$ is forgotten:
#
# ```python
# return (square - mean**2) * (N - B) / (N - 1)
# ```
#
# The standard deviation:
#
# ```python
# return np.sqrt((square - mean**2) / B * (N - B) / (N - 1))
# ```
#
# The trace is taken too early:
#
# ```python
# return ((square - mean**2) / B * (N - B) / (N - 1)).sum()
# ```

# %% [markdown]
# ## The recorder
#
# Now the network. It has 3,322 synapses, reads 100 digits of 14 × 14 pixels, and has one hidden
# layer with tanh, so its loss is smooth. The folded cell also has `slope(net, which)`, which puts
# the gradient for these digits into the table of synapses.
#
# `record` trains the network, and computes four numbers per step: what it adds to $\Sigma\omega$
# with the gradient $g$ of all digits, and by your trapezoid rule; the noise that your formula
# predicts for SGD, $\eta\, \mathrm{tr}\, C$; and the drop of the true loss.
# Meanwhile the rule keeps its own sum, with the gradient $\hat g$ of the minibatch. `update` is the
# package's training step; it moves $\theta$ and adds to $\omega$.

# %% tags=["hide-input"]
data = pysi.load_dataset("mnist-5k")
few = slice(None, None, 40)  # the data set is sorted: every 40th digit, 10 of each class
x = data.x_train[few].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255
y, active, N = data.y_train[few], np.ones(10, bool), 100


def network(seed=0, activation="tanh"):
    """A network, or several with the same weights, whose seeds give them other minibatches."""
    net = pysi.MLP([196, 16, 10], activation=activation, seed=seed, dtype=np.float64)
    net.synapses.theta[...] = pysi.MLP([196, 16, 10], seed=0, dtype=np.float64).synapses.theta
    return net


def slope(net, which):
    """The mean loss of these digits; its gradient g is then in the table of synapses."""
    value, dlogits = softmax_cross_entropy(net.forward(x[which]), y[which], active)
    net.backward(dlogits)
    return value, dlogits


# %%
def record(net, optimizer, steps, B=N):
    """Train; return sums after every step, each (steps, ...), by name."""
    s, rule, every = net.synapses, pysi.SynapticIntelligence(c=0.0), np.arange(N)
    optimizer.start(s)
    rule.start(s)
    kept, parts, C = [], [], np.zeros(1)
    value, dlogits = slope(net, every)
    for step in range(steps):
        theta, g, before = s.theta.copy(), s.grad.copy(), value
        if B < N:
            C = noise(squared_gradients(net, N * dlogits) / N, g, B, N)
            slope(net, shuffled(net, N, "path", step)[..., :B])  # ĝ is in the table
        update(s, optimizer, rule)  # θ ← θ + Δθ, and ω ← ω - ĝ Δθ
        delta = s.theta - theta
        value, dlogits = slope(net, every)  # g is in the table
        rows = -g * delta, trapezoid(g, s.grad, delta), optimizer.lr * C
        parts.append([*(row.sum(axis=-1) for row in rows), before - value])
        kept.append(s.omega.sum(axis=-1))
    full, middle, bias, drop = (np.cumsum(part, axis=0) for part in zip(*parts, strict=True))
    return {"kept": np.array(kept), "full": full, "trapezoid": middle, "bias": bias, "drop": drop}


# %% [markdown]
# ## What the steps do
#
# First we train on all digits at once, so there is no noise. Five runs have the same training time,
# $\eta$ times the number of steps, and each has half the step of the one before.


# %%
def errors(activation):
    """Σω - loss drop for each η, as it is kept and by the trapezoid rule, and |g|² at the end."""
    found = []
    for lr in lrs:
        net = network(activation=activation)
        run = record(net, pysi.SGD(lr), round(2 / lr))
        wrong = [run[name][-1] - run["drop"][-1] for name in ("kept", "trapezoid")]
        found.append([*wrong, (net.synapses.grad**2).sum()])
    return np.array(found).T


lrs = 0.1 / 2 ** np.arange(5)
at_start = network()
slope(at_start, np.arange(N))
kept_error, trapezoid_error, g1 = errors("tanh")
predicted = lrs / 4 * ((at_start.synapses.grad**2).sum() - g1)
extrapolated = package.richardson(kept_error)

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.6))
one, two = shades(2)
ax.loglog(lrs, predicted, color="0.6", lw=7, alpha=0.6, label=r"predicted, $\eta/4\,(\ldots)$")
ax.loglog(lrs, abs(kept_error), "o-", color=one, ms=6, label=r"$\Sigma\omega$ as it is kept")
ax.loglog(lrs, abs(trapezoid_error), "s-", color=two, ms=6, label="trapezoid rule")
ax.set(xlabel=r"step $\eta$", ylabel=r"|$\Sigma\omega$ - loss drop|")
ax.set_xticks(lrs, [f"{lr:g}" for lr in lrs])
ax.minorticks_off()
ax.invert_xaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.legend()
plt.show()
for name, wrong in (("kept", kept_error), ("trapezoid", trapezoid_error)):
    print(f"{name:<10} the error falls by", (wrong[:-1] / wrong[1:]).round(2))
print(f"all five runs, extrapolated to η = 0: an error of {abs(extrapolated):.0e}")

# %% [markdown]
# Half the step halves one error and quarters the other, as predicted. Since the first error is
# nearly proportional to $\eta$, runs with several steps can be extrapolated to $\eta = 0$
# (Richardson's method). Then the sum and the loss drop agree: Eq. 3 is exact.
#
# **Try.** We put `"relu"` in place of `"tanh"`. You will see that the first error still falls, by
# 1.5 to 2. But that of the trapezoid rule now jumps up and down: where a unit switches on or off,
# the loss has an edge, and Taylor's formula does not hold across it.

# %%
relu_error, relu_trapezoid, _ = errors("relu")
for name, wrong in (("kept", relu_error), ("trapezoid", relu_trapezoid)):
    print(f"{name:<10} the error falls by", (wrong[:-1] / wrong[1:]).round(2))
assert relu_error[0] / relu_error[-1] > 5
assert not np.allclose(relu_trapezoid[:-1] / relu_trapezoid[1:], 4, rtol=0.5)

# %% [markdown]
# ## What the noise does
#
# Next we train five networks side by side, which start alike and see different minibatches of eight
# digits. We do it with plain gradient descent (SGD), for which the noise was predicted, and with
# Adam, which trains the paper's networks.

# %%
R = 5
rates = {"SGD": (pysi.SGD, 0.1, 2.0), "Adam": (pysi.Adam, 0.003, 0.12)}  # η, and η × steps


def noisy(name, smaller=1, B=8):
    optimizer, lr, time = rates[name]
    return record(network(range(R)), optimizer(lr / smaller), round(time / lr * smaller), B)


training = {name: noisy(name) for name in rates}

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.5), sharey=True)
for ax, (name, run) in zip(axes, training.items(), strict=True):
    mean = {key: np.insert(part.mean(axis=-1), 0, 0) for key, part in run.items() if key != "bias"}
    at = np.arange(len(mean["kept"]))
    if name == "SGD":
        formula = (run["full"] + run["bias"]).mean(axis=-1)
        ax.plot(at, [0, *formula], color="0.6", lw=7, alpha=0.6, label=r"predicted")
    ax.plot(at[1:], run["kept"], color=SI, lw=0.6, alpha=0.5)
    ax.plot(at, mean["kept"], color=SI, lw=2.4, label=r"$\Sigma\omega$, minibatch gradients")
    ax.plot(at, mean["full"], color=SI, lw=2, ls=":", label=r"$\Sigma\omega$, gradients of all")
    ax.plot(at, mean["drop"], color=EXACT, lw=2, ls="--", label="loss drop")
    ax.set(title=name, xlabel="step", xticks=np.linspace(0, len(at) - 1, 5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("nats")
axes[0].legend()
plt.show()
for name, run in training.items():
    last = {key: part[-1].mean() for key, part in run.items()}
    print(f"{name:<5} Σω {last['kept']:.2f}   gradients of all {last['full']:.2f}"
          f"   loss drop {last['drop']:.2f}")  # fmt: skip

# %% [markdown]
# Thin lines are single networks. The sum that the synapses keep is much larger than the loss drop.
# For SGD it follows the prediction, the sum with the gradients of all digits plus
# $\sum_t \eta\, \mathrm{tr}\, C_t$. With Adam the noise is smaller, but not small.
#
# **Question.** Why does Adam's $\omega$ contain less noise? (Which part of a step of Adam comes
# from the present minibatch?)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Only a tenth of a step, $1 - \beta_1$, comes from the present gradient. The rest comes from
# earlier minibatches, whose noise is independent of the present one, so its product with $e_t$
# averages out. Besides, Adam divides by the size of the gradients, so noisy synapses make smaller
# steps. [Where ω comes from](../derivations/ledger.md) computes the noise for Adam.
#
# </details>

# %% [markdown]
# Now we change one thing at a time: the step, at the same training time, and the size $B$ of the
# minibatch. Both figures show errors as fractions of the loss drop.

# %%
smaller, batches = np.array([1, 2, 4]), np.array([2, 4, 8, 16, 32, 64])
by_step = {name: [noisy(name, n) for n in smaller] for name in rates}
by_batch = {name: [noisy(name, B=B) for B in batches] for name in rates}


# %% tags=["hide-input"]
def part(runs, one, other):
    """The difference of two sums after the last step, in units of the loss drop, (runs, R)."""
    return np.array([(run[one][-1] - run[other][-1]) / run["drop"][-1] for run in runs])


def relative_bias(runs):
    return np.array([(run["bias"][-1] / run["drop"][-1]).mean() for run in runs])


fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), sharey=True)
for ax, at, found in ((axes[0], 1 / smaller, by_step), (axes[1], batches, by_batch)):
    ax.loglog(at, relative_bias(found["SGD"]), color="0.6", lw=7, alpha=0.6)
    for (name, runs), ink, marker in zip(found.items(), shades(2), "os", strict=True):
        noise_part, steps_part = (part(runs, *two).mean(axis=-1)
                                  for two in (("kept", "full"), ("full", "drop")))  # fmt: skip
        ax.loglog(at, noise_part, marker=marker, ms=6, color=ink, label=f"{name}: noise")
        ax.loglog(at, steps_part, marker=marker, ms=6, mfc="white", color=ink, ls="--",
                  label=f"{name}: finite steps")  # fmt: skip
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_xticks(1 / smaller, ["largest", "half", "quarter"])
axes[0].invert_xaxis()
axes[0].set(xlabel=r"step $\eta$", ylabel="error, as a part of the loss drop")
axes[1].set_xticks(batches, batches)
axes[1].set_xlabel("minibatch size $B$")
axes[1].set_ylim(top=300)
axes[1].legend(loc="upper right")
plt.show()

# %% [markdown]
# Left: with smaller steps the error of finite steps vanishes (dashed lines) and the noise stays
# (full lines), with Adam as with SGD: half the step adds half as much, and there are twice as many
# steps. The grey band is the prediction for SGD. Right: only larger minibatches help. This is why
# the paper says that $c$ "typically has to be chosen smaller than one to compensate".

# %% [markdown]
# ## On your own
#
# 1. In the first example, draw a path on which $\omega_2$ is negative.
# 2. Try `pysi.Momentum` in place of Adam. First predict whether it has more noise than SGD.
# 3. Take the gradient of a *second* minibatch for the sum, and that of the first for the step. What
#    does it cost, and what is left of the overestimate?
#
# ## In practice
#
# - $\omega$ is a sum of useful work and noise. So a strength $c$ that was chosen for one batch size
#   is wrong for another: with smaller minibatches $\Omega$ grows, and $c$ has to shrink.
# - Do not read $\Sigma\omega$ as the loss drop of a real run.
#
# ## Further reading
#
# - Zenke, Poole & Ganguli (2017), *Continual learning through synaptic intelligence*, Section 3,
#   Eqs. 1 to 3.
# - [The path integral](../derivations/path_integral.md), with all formulas derived, and
#   [Where ω comes from](../derivations/ledger.md).
# - Benzing (2022), *Unifying importance based regularisation methods for continual learning*: how
#   much of $\omega$ is noise in large networks.
#
# ## The claims

# %%
# Eqs. 2, 3: the sum does not depend on the path, the shares do, and descent gives none below zero
whole = loss(start) - loss(np.zeros(2))
assert all(abs(shares[name].sum() - whole) < 1e-3 * whole for name in ("loop", "corner"))
first_order = 0.001 / 4 * (gradient(start) ** 2).sum()
assert np.isclose(shares["descent"].sum() - whole, first_order, rtol=0.02)
assert shares["loop"][0] < 0 < shares["corner"][0] and (shares["descent"] > 0).all()

# finite steps: predicted, first order; trapezoid rule: second order; extrapolated: exact
assert np.allclose(kept_error[1:], predicted[1:], rtol=0.15)
assert np.allclose(kept_error[:-1] / kept_error[1:], 2, rtol=0.1)
assert np.allclose(trapezoid_error[:-1] / trapezoid_error[1:], 4, rtol=0.1)
assert abs(extrapolated) < 1e-6
assert np.isclose(package.richardson(3 + kept_error), 3), "What does not depend on η must stay."

# noise: for SGD it is Σ η tr C, within five standard errors
for run in (*by_step["SGD"], *by_batch["SGD"]):
    gap = run["kept"][-1] - run["full"][-1] - run["bias"][-1]
    assert abs(gap.mean()) < 5 * gap.std(ddof=1) / np.sqrt(R)

# it is large; smaller steps cure the error of finite steps alone, larger minibatches cure noise
for name in rates:
    noisy_part, finite = (part(by_step[name], *two) for two in (("kept", "full"), ("full", "drop")))
    assert pysi.interval(noisy_part[0]).above(0.5)
    assert pysi.interval(noisy_part[-1] - 0.6 * noisy_part[0]).above(0)
    assert pysi.interval(0.4 * finite[0] - finite[-1]).above(0)
    small, large = part(by_batch[name], "kept", "full")[[0, -1]]
    assert pysi.interval(0.1 * small - large).above(0)

# the recorder, with your functions, is the package's
path = package.record(network(range(R)), pysi.SGD(0.1), x, y, active, 20, batch_size=8)
rows = path.omega, path.omega_full, path.omega_trapezoid, path.bias
theirs = [*(row.sum(axis=-1) for row in rows), path.drop]
assert np.allclose([sums[-1] for sums in training["SGD"].values()], theirs, rtol=1e-9)
