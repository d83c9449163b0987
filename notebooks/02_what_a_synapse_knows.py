# %% [markdown]
# # 2. What a synapse knows
#
# **What you will do.** Open a network's table of synapses, write the training step of Synaptic
# Intelligence (SI) and the end of a task yourself, and follow one synapse through two tasks. Your
# lines must leave the same table as the package, number by number.
#
# **What you will learn.** What the four numbers $(\theta, \omega, \Omega, \tilde\theta)$ of a
# synapse are, and when each of them changes. What importance looks like in a network that reads
# digits. Which two mistakes are easily made, and why nobody notices them.
#
# **What you need.** [Notebook 1](01_catastrophic_forgetting.ipynb) for the idea; gradient descent
# and Adam, at least by name.
#
# **Time.** About 35 minutes.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, use
from pysi.losses import softmax_cross_entropy
from pysi.threads import limited
from pysi.training import shuffled, training_step

use()
limited(1)  # matrices are small here: a second thread of the BLAS library would only wait
FREE, SI = colour("fine-tuning"), colour("si")

# %% [markdown]
# ## The table
#
# In most networks a synapse is one number, its weight. Here it is a column of five numbers:
#
# | row | symbol | what it is | changes |
# |---|---|---|---|
# | `theta` | $\theta$ | the weight | every step |
# | `grad` | $g$ | gradient of the present task's loss | every step |
# | `omega` | $\omega$ | how much this synapse has lowered the loss in this task | every step |
# | `Omega` | $\Omega$ | importance for all past tasks | when a task ends |
# | `theta_ref` | $\tilde\theta$ | the weight at the end of the last task | when a task ends |
#
# The table is one array, which holds all five numbers of all synapses. You can look at all
# synapses, at those of one layer in the shape of its weights, or at a single one.


# %%
def make_network():
    return pysi.MLP([784, 32, 10], zero_readout=True, seed=0, dtype=np.float64)


net = make_network()
table = net.synapses
layer = table.group("dense1.W")
synapse = table[12345]

print("table: ", table.theta.shape, "synapses in a row")
print("layer: ", layer.theta.shape, "from 784 pixels to 32 units;", layer.columns, "of the row")

# %% [markdown]
# All three are views of the same memory. What is written through one view is seen through the
# others:

# %%
synapse.theta[...] = 0.25
print(synapse)
pixel, unit = divmod(12345, 32)
assert table.theta[12345] == layer.theta[pixel, unit] == 0.25
assert np.shares_memory(table.theta, layer.theta)

# %% [markdown]
# A hidden unit has one synapse from each of the 784 pixels, so its part of a row is an image of
# 28 × 28 numbers. We will look at such images below.
#
# **Exercise 1.** Write `image`. It takes a row of the whole table (any of the five) and the number
# of a hidden unit, and returns the image of this unit. The layer's part of the row is the slice
# `layer.columns`; in it, all units of pixel 0 come first, then all units of pixel 1, and so on.


# %% tags=["exercise", "hide-input"]
def image(row, unit):
    """The synapses from all pixels to a hidden unit, as an image."""
    # your code: take the layer's part of the row, of it the unit's synapses, and return 28 × 28
    return row[layer.columns].reshape(784, 32)[:, unit].reshape(28, 28)


# %% tags=["check", "hide-input"]
try:
    found = image(np.arange(len(table)), 5)
except (ValueError, IndexError, TypeError) as err:
    raise AssertionError(f"Shapes do not fit: first take layer.columns of the row. {err}") from None
assert np.shape(found) == (28, 28), "image must return an array of 28 rows and 28 columns."
assert found[0, 0] == 5, "The first pixel's synapse onto unit 5 is number 5 in the row."
assert found[0, 1] == 32 + 5, (
    "Between one pixel and the next lie 32 units: the layer's part has the shape (784, 32), "
    "and a unit is a column of it."
)
assert found[1, 0] == 28 * 32 + 5, "Pixels are counted row by row, so do not transpose the image."

# %% [markdown] tags=["instructor", "remove-cell"]
# Wrong answers that students give. Units and pixels are exchanged, which gives an image too:
#
# ```python
# return row[layer.columns].reshape(32, 784)[unit].reshape(28, 28)
# ```
#
# The layer's part is not taken, so readout and biases are still there:
#
# ```python
# return row.reshape(784, 32)[:, unit].reshape(28, 28)
# ```
#
# The image is not folded:
#
# ```python
# return row[layer.columns].reshape(784, 32)[:, unit]
# ```
#
# The image is transposed:
#
# ```python
# return row[layer.columns].reshape(784, 32)[:, unit].reshape(28, 28).T
# ```

# %% [markdown]
# **Question.** How many numbers does SI store for the past, in this network? Compare this with
# keeping the images of one task, 800 of 784 pixels each.

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# There are 25,450 synapses, and SI adds three rows, $\omega$, $\Omega$ and $\tilde\theta$. This is
# about 76,000 numbers, and their count does not grow with the number of tasks. The images of one
# task are about 630,000 numbers, and the next task brings its own. But images hold what the task
# *was*; the three rows hold only how the weights served it.
#
# </details>

# %% [markdown]
# ## Two tasks, the easy way
#
# The first two tasks of split MNIST are to tell 0 from 1, and then 2 from 3. First `pysi.train`
# learns them; then you do the same by hand.

# %%
tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))[:2]
lr, xi, epochs, batch_size = 1e-3, 1e-3, 8, 64

net = make_network()
rule = pysi.SynapticIntelligence(c=1.0, xi=xi)
history = pysi.train(net, pysi.Adam(lr), rule, tasks, epochs=epochs, batch_size=batch_size)
trained = net.synapses
print("test accuracy on tasks 1 and 2:", history.test_accuracy[-1])

# %% [markdown]
# ## The step
#
# The optimizer is Adam. It is given a gradient, and returns the step $\Delta\theta$ that it
# proposes. This half of the training step has nothing to do with SI, so we write it down and put it
# aside.


# %%
class Adam:
    def __init__(self):
        self.t, self.m, self.v = 0, 0.0, 0.0

    def __call__(self, gradient):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        return -lr * m / (np.sqrt(v) + 1e-8)


# %% [markdown]
# The other half is yours. Four things happen to the synapses when the network has seen a minibatch
# and $g$, the gradient of the task's loss, is in the table:
#
# 1. The pull towards $\tilde\theta$ is added: $g + 2c\,\Omega\,(\theta - \tilde\theta)$ is the
#    gradient of the loss with its penalty (Eq. 4).
# 2. The optimizer makes a step $\Delta\theta$ of it.
# 3. The weight moves, $\theta \leftarrow \theta + \Delta\theta$.
# 4. The synapse takes credit: $\omega \leftarrow \omega - g\,\Delta\theta$ (Eq. 3).
#
# It is easy to go wrong in the fourth. $g$ is the gradient of the task's loss *alone*, without the
# pull. And $\Delta\theta$ is the step that was *really made*.
#
# **Exercise 2.** Write these four lines. The rows are `s.theta`, `s.grad` and so on. You write into
# a row with `s.theta[...] = …`; you cannot replace it.


# %% tags=["exercise", "hide-input"]
def step(net, optimizer, x, labels, active, c):
    """Learn one minibatch."""
    s = net.synapses
    _, dlogits = softmax_cross_entropy(net.forward(x, train=True), labels, active)
    net.backward(dlogits)  # now s.grad holds g
    # your code: the gradient of Eq. 4, the optimizer's step of it, θ moved by it, and ω (Eq. 3)
    total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
    delta = optimizer(total)
    s.theta[...] += delta
    s.omega[...] -= s.grad * delta


# %% tags=["check", "hide-input"]
def in_task_2():
    """A network in the midst of task 2, with some importance, and ω = 1 everywhere."""
    net, random = make_network(), np.random.default_rng(0)
    optimizer, rule = pysi.Adam(lr), pysi.SynapticIntelligence(c=0.3)
    optimizer.start(net.synapses)
    rule.start(net.synapses)
    net.synapses.theta_ref[...] += random.normal(scale=0.1, size=len(net.synapses))
    net.synapses.Omega[...] = random.uniform(0, 2, size=len(net.synapses))
    net.synapses.omega[...] = 1
    rule.refresh()
    return net, optimizer, rule


yours, package = in_task_2(), in_task_2()
mine, theirs = yours[0].synapses, package[0].synapses
seen, adam = [], Adam()  # what Adam is given, and what it returns


def watched(gradient):
    seen.append((mine.grad.copy(), np.array(gradient), adam(gradient)))
    return seen[-1][2].copy()


for batch in np.arange(3 * 64).reshape(3, 64):
    x, labels = tasks[1].x_train[batch], tasks[1].y_train[batch]
    try:
        step(yours[0], watched, x, labels, tasks[1].active, 0.3)
    except (AttributeError, TypeError, ValueError) as err:
        raise AssertionError(f"Write into a row: s.theta[...] = … (or +=, -=). {err}") from None
    training_step(*package, x, labels, tasks[1])

assert len(seen) == 3, "Call the optimizer once per step: it makes Δθ of the gradient of Eq. 4."
g, total, delta = (np.array(each) for each in zip(*seen, strict=True))
assert not np.array_equal(g, total), "The optimizer was given g alone, without the pull of Eq. 4."
assert not np.array_equal(mine.theta, make_network().synapses.theta), "θ has not moved by Δθ."
assert np.allclose(mine.theta, theirs.theta, rtol=1e-6, atol=1e-8), (
    "θ is not where it should be. Is the gradient g + 2cΩ(θ - θ̃), with this sign and the factor 2? "
    "Does θ move by +Δθ?"
)
assert np.ptp(mine.omega) > 0, "ω has not changed: each synapse must add up -g Δθ."
assert not np.allclose(mine.omega, 1 + (g * delta).sum(axis=0), rtol=0, atol=1e-9), (
    "The sign of ω: a step downhill has g Δθ < 0, and it must make ω larger."
)
assert not np.allclose(mine.omega, 1 - (total * delta).sum(axis=0), rtol=0, atol=1e-9), (
    "ω takes g, the gradient of the task's loss alone, and not that of the loss with its penalty."
)
assert not np.allclose(mine.omega, 1 + lr * (g * g).sum(axis=0), rtol=0, atol=1e-9), (
    "Adam's step is not -lr g: take the Δθ that was really made."
)
assert abs(mine.omega - 1).max() < 0.5, "ω adds up over the steps: -= in place of =."
assert np.allclose(mine.omega, theirs.omega, rtol=0, atol=1e-9), "ω is not 1 - Σ g Δθ."

# %% [markdown] tags=["instructor", "remove-cell"]
# The most frequent one, which is also found in public libraries: ω takes the whole gradient.
#
# ```python
# total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta[...] += delta
# s.omega[...] -= total * delta
# ```
#
# The step is taken for that of plain gradient descent:
#
# ```python
# total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
# s.theta[...] += optimizer(total)
# s.omega[...] += lr * s.grad**2
# ```
#
# The sign of ω:
#
# ```python
# total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta[...] += delta
# s.omega[...] += s.grad * delta
# ```
#
# ω is not added up:
#
# ```python
# total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta[...] += delta
# s.omega[...] = -s.grad * delta
# ```
#
# The pull is added to the step, and not to the gradient:
#
# ```python
# delta = optimizer(s.grad)
# s.theta[...] += delta + 2 * c * s.Omega * (s.theta - s.theta_ref)
# s.omega[...] -= s.grad * delta
# ```
#
# The factor 2 is lost:
#
# ```python
# total = s.grad + c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta[...] += delta
# s.omega[...] -= s.grad * delta
# ```
#
# The pull has the wrong sign, so it pushes away from the reference:
#
# ```python
# total = s.grad - 2 * c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta[...] += delta
# s.omega[...] -= s.grad * delta
# ```
#
# A row is replaced, and not written into:
#
# ```python
# total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)
# delta = optimizer(total)
# s.theta = s.theta + delta
# s.omega = s.omega - s.grad * delta
# ```

# %% [markdown]
# ## The end of a task
#
# When a task ends, $\omega$ is divided by the square of how far the synapse has moved, and added to
# the importance:
#
# $$\Omega \leftarrow \max\Bigl(0,\; \Omega + \frac{\omega}{\Delta^2 + \xi}\Bigr),
# \qquad \Delta = \theta - \tilde\theta \qquad \text{(Eq. 5)}.$$
#
# (The maximum is in the authors' code and not in the paper; without it a negative $\Omega$ would
# push a synapse away.) Then the present weight becomes the reference,
# $\tilde\theta \leftarrow \theta$, and $\omega$ starts again from zero.
#
# **Exercise 3.** Write the end of a task. The order of the lines matters.


# %% tags=["exercise", "hide-input"]
def end_task(s):
    """Consolidate the task that was just learned, with the damping xi."""
    # your code: Ω by Eq. 5 with Δ = θ - θ̃ and the cut at zero; then θ̃ and ω for the next task
    change = s.theta - s.theta_ref
    s.Omega[...] = np.maximum(0, s.Omega + s.omega / (change**2 + xi))
    s.theta_ref[...] = s.theta
    s.omega[...] = 0


# %% tags=["check", "hide-input"]
def five_synapses():
    """A table at the end of a task, and its rule."""
    s, rule = pysi.Synapses({"w": (5,)}, dtype=np.float64), pysi.SynapticIntelligence(xi=xi)
    rule.start(s)
    s.theta[...] = [1.0, 0.5, 2.0, 0.0, -2.0]
    s.omega[...] = [1.0, -2.0, -0.1, 0.3, 1.0]
    s.Omega[...] = [0.5, 0.5, 0.5, 0.5, 0.0]
    return s, rule


(s, _), (theirs, rule) = five_synapses(), five_synapses()
before, _ = five_synapses()
rule.end_task()
try:
    with np.errstate(all="ignore"):
        end_task(s)
except (AttributeError, TypeError, ValueError) as err:
    raise AssertionError(f"Write into a row: s.Omega[...] = … (or +=). {err}") from None
alone = before.omega / ((before.theta - before.theta_ref) ** 2 + xi)

assert np.array_equal(s.theta, before.theta), "The weights stay as they are when a task ends."
assert not np.array_equal(s.Omega, before.Omega), "Ω has not changed: write s.Omega[...] = …"
assert np.isfinite(s.Omega).all(), "The fourth synapse did not move: without ξ you divide by 0."
assert not np.allclose(np.maximum(0, before.Omega + before.omega / xi), s.Omega), (
    "The order: θ̃ was replaced before Δ = θ - θ̃ was computed, so Δ was 0 everywhere."
)
assert not np.allclose(s.Omega[[0, 3]], before.Omega[[0, 3]]), (
    "The order: ω was set to zero before it was used."
)
assert not np.allclose(s.Omega[[0, 3]], alone[[0, 3]]), "Ω adds up over tasks: the old Ω stays."
assert (s.Omega >= 0).all(), "The second synapse has a negative sum: cut it off at zero."
assert not np.isclose(s.Omega[2], before.Omega[2]), (
    "Cut off the sum, not the contribution of one task: the third Ω must become a little smaller."
)
assert np.allclose(s.Omega, theirs.Omega), "Ω is not that of Eq. 5: look at Δ² + ξ, in brackets."
assert np.array_equal(s.theta_ref, s.theta), "The present weight becomes the reference: θ̃ ← θ."
assert not s.omega.any(), "ω must start from zero, or the next task counts this one again."

# %% [markdown] tags=["instructor", "remove-cell"]
# The reference is replaced too early, so no synapse seems to have moved:
#
# ```python
# s.theta_ref[...] = s.theta
# change = s.theta - s.theta_ref
# s.Omega[...] = np.maximum(0, s.Omega + s.omega / (change**2 + xi))
# s.omega[...] = 0
# ```
#
# The old importance is lost:
#
# ```python
# change = s.theta - s.theta_ref
# s.Omega[...] = np.maximum(0, s.omega / (change**2 + xi))
# s.theta_ref[...] = s.theta
# s.omega[...] = 0
# ```
#
# Negative importance is not cut off:
#
# ```python
# s.Omega[...] += s.omega / ((s.theta - s.theta_ref) ** 2 + xi)
# s.theta_ref[...] = s.theta
# s.omega[...] = 0
# ```
#
# Each task's contribution is cut off, and not the sum:
#
# ```python
# s.Omega[...] += np.maximum(0, s.omega / ((s.theta - s.theta_ref) ** 2 + xi))
# s.theta_ref[...] = s.theta
# s.omega[...] = 0
# ```
#
# ω goes on through the next task:
#
# ```python
# s.Omega[...] = np.maximum(0, s.Omega + s.omega / ((s.theta - s.theta_ref) ** 2 + xi))
# s.theta_ref[...] = s.theta
# ```
#
# The reference stays at the start of training:
#
# ```python
# s.Omega[...] = np.maximum(0, s.Omega + s.omega / ((s.theta - s.theta_ref) ** 2 + xi))
# s.omega[...] = 0
# ```
#
# The movement is not squared:
#
# ```python
# s.Omega[...] = np.maximum(0, s.Omega + s.omega / (abs(s.theta - s.theta_ref) + xi))
# s.theta_ref[...] = s.theta
# s.omega[...] = 0
# ```

# %% [markdown]
# ## The loop
#
# Training calls your two functions in a loop. We also record the life of one synapse, and keep the
# row $\omega$ at the end of each task, before it is set to zero.


# %%
def learn(c, k, make_optimizer=Adam, step=step):
    """Learn both tasks by hand; return the network, the life of synapse k, and each task's ω."""
    net = make_network()
    s, life, omegas = net.synapses, [], []
    s.theta_ref[...] = s.theta
    for i, task in enumerate(tasks):
        optimizer = make_optimizer()
        for epoch in range(1, epochs + 1):
            order = shuffled(net, len(task.y_train), i, epoch)  # the order that pysi.train uses
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                step(net, optimizer, task.x_train[batch], task.y_train[batch], task.active, c)
                life.append((s[k].theta[()], s[k].omega[()], s[k].Omega[()], s[k].theta_ref[()]))
        omegas.append(s.omega.copy())
        end_task(s)
    return net, np.array(life), omegas


# %% [markdown]
# Which synapse shall we follow? We take the one of the first layer that mattered most for task 1:
# it has the largest $\omega$ at the end of the task.

# %%
_, _, (omega_1, _) = learn(1.0, k=0)
k = int(np.argmax(omega_1[layer.columns]))
net, life, omegas = learn(1.0, k)
by_hand = net.synapses
_, life_free, _ = learn(0.0, k)

print("               by hand    pysi.train")
for row in ("theta", "grad", "omega", "Omega", "theta_ref"):
    print(f"{row:>9}  {getattr(by_hand[k], row):11.8f}   {getattr(trained[k], row):11.8f}")

# %% [markdown]
# Your lines and the package agree, for this synapse and for all 25,450 of them. (The package
# computes the same formulas with fewer passes over memory, so the last digits may differ.)
#
# ## The life of a synapse
#
# The figure shows the same synapse twice: with consolidation (green) and without (blue).

# %% tags=["hide-input"]
names = (r"weight $\theta$", r"path integral $\omega$", r"importance $\Omega$",
         r"reference $\tilde\theta$")  # fmt: skip
fig, axes = plt.subplots(2, 2, figsize=(8.6, 5), sharex=True)
boundary = len(life) // 2
for ax, name, free, bound in zip(axes.flat, names, life_free.T, life.T, strict=True):
    ax.axvline(boundary, color="0.6", lw=1, ls="--")
    ax.plot(free, color=FREE, lw=2, label="$c = 0$")
    ax.plot(bound, color=SI, lw=2, label="$c = 1$", ls=(0, (4, 1.5)))
    ax.set_title(name, fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
axes[1, 1].sharey(axes[0, 0])  # θ and θ̃ on one scale
axes[0, 1].ticklabel_format(axis="y", scilimits=(0, 0))
for ax in axes[1]:
    ax.set_xlabel("step")
axes[0, 0].legend(frameon=False)
middle = {"y": 0.5, "color": "0.4", "transform": axes[1, 0].get_xaxis_transform()}
axes[1, 0].text(boundary - 3, s="0 or 1 ", ha="right", **middle)
axes[1, 0].text(boundary + 3, s=" 2 or 3", ha="left", **middle)
plt.show()

# %% [markdown]
# Read it panel by panel. In task 1 both lives are the same, because there is nothing to protect:
# the weight moves, and $\omega$ grows as the movement lowers the loss. When the task ends, $\omega$
# becomes $\Omega$ and starts again from zero, and $\tilde\theta$ jumps to the present weight. In
# task 2 the blue synapse goes where the new task moves it. The green one is held near its
# reference. Nothing else is stored about task 1: no example, no gradient, no copy of the network.
#
# **Question.** While a task is learned, $\Omega$ and $\tilde\theta$ stand still. What would the
# penalty do if $\tilde\theta$ followed $\theta$ at every step?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Nothing. The pull is proportional to $\theta - \tilde\theta$, which would be zero at the beginning
# of every step. The synapse would drift away in small steps, as with $c = 0$, and SI would protect
# only the place where the synapse has just been.
#
# </details>

# %% [markdown]
# ## All synapses of a hidden unit
#
# Now we use `image`. Here are two units that favour 1 and two that favour 0. They are the units
# whose two synapses to the output units of 1 and 0 differ most. The first line of the figure shows
# their weights after both tasks, the others the path integrals of the two tasks. Darker green means
# more credit.

# %% tags=["hide-input"]
readout = by_hand.group("dense2.W").theta
order = np.argsort(readout[:, 0] - readout[:, 1])
units = [*order[:2], *order[:-3:-1]]

fig, axes = plt.subplots(3, 4, figsize=(8.2, 6))
rows = ((r"$\theta$", by_hand.theta, "PuOr_r"), (r"$\omega$, 0 or 1", omegas[0], "Greens"),
        (r"$\omega$, 2 or 3", omegas[1], "Greens"))  # fmt: skip
for line, (name, row, colours) in zip(axes, rows, strict=True):
    images = [image(row, unit) for unit in units]
    limit = 0.8 * np.abs(images).max()
    low, beyond = (0, "max") if colours == "Greens" else (-limit, "both")
    for ax, pixels in zip(line, images, strict=True):
        shown = ax.imshow(pixels, cmap=colours, vmin=low, vmax=limit)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, fontsize=12)
    scale = fig.colorbar(shown, ax=line, shrink=0.8, aspect=10, extend=beyond)
    scale.formatter.set_powerlimits((-2, 2))
for ax, digit in zip(axes[0], "1100", strict=True):
    ax.set_title(f"for {digit}", fontsize=11)
plt.show()

# %% [markdown]
# The weights look like noise, because most of each weight is still its random initial value. The
# path integral shows which pixels learning has used: the stroke of the 1 in the units that favour
# 1, and the ring of the 0 in the others. For 2 against 3 it used other pixels, and one of the four
# units hardly took part. Margins, where no digit has ink, are exactly zero.
#
# ## Can $\omega$ fall?
#
# Under plain gradient descent on the task's loss, $\Delta\theta = -\eta g$. So each step adds
# $-g\,\Delta\theta = \eta g^2$ to $\omega$, and **$\omega$ can never fall**. It is different where
# the step is not along $-g$: momentum and Adam go on in directions of the past, and the penalty
# pulls. Then a synapse may go uphill in one step, and $\omega$ falls.
#
# **Try.** We train with Adam and with plain gradient descent, and count how many of the changes of
# an $\omega$ lower it. You will see that plain gradient descent never does it in task 1, and
# without penalty never at all; that the penalty makes it happen; and that with Adam about a quarter
# of the changes are falls. Even so, when a task ends no $\omega$ of this network is negative.


# %%
class Plain:
    def __call__(self, gradient):
        return -0.1 * gradient


def falls(make_optimizer, c):
    """For each task, the share of the changes of ω that lower it, and the smallest ω at its end."""
    counts = []

    def counted(net, *rest):
        before = net.synapses.omega.copy()
        step(net, *rest)
        now = net.synapses.omega
        counts.append(((now < before).sum(), (now != before).sum()))

    _, _, omegas = learn(c, k, make_optimizer, counted)
    lowered, changed = np.reshape(counts, (2, -1, 2)).sum(axis=1).T
    return lowered / changed, min(omega.min() for omega in omegas)


share, lines = {}, ["share of falls   task 1   task 2"]
for name, make_optimizer in (("plain", Plain), ("Adam", Adam)):
    for c in (0.0, 1.0):
        share[name, c], lowest = falls(make_optimizer, c)
        one, two = share[name, c]
        lines.append(f"{name:<6} c = {c:.0f}    {one:8.1%} {two:8.1%}")
        assert lowest >= 0  # when a task ends, no ω is negative
print(*lines, sep="\n")

assert share["plain", 0.0].max() == 0  # here ω ≥ 0 must hold, after every step
assert share["plain", 1.0][0] == 0 < share["plain", 1.0][1]  # the penalty acts from task 2 on
assert all(0.15 < each < 0.35 for c in (0.0, 1.0) for each in share["Adam", c])

# %% [markdown]
# **Try.** We write `total` in place of `s.grad` in the last line of the step: a synapse then takes
# credit for being pulled back, too. Public implementations have made this mistake. You will see
# that nothing crashes. In task 1 nothing changes at all. After task 2 even the *weights* are the
# same to the last bit, and so is the accuracy, because this $\omega$ has not been used yet. But
# $\Omega$, which protects both tasks from now on, is wrong by several per cent.


# %%
def slip(net, optimizer, x, labels, active, c):
    """The step with the mistake: ω takes the pull's part, too."""
    s = net.synapses
    theta, pull = s.theta.copy(), 2 * c * s.Omega * (s.theta - s.theta_ref)
    step(net, optimizer, x, labels, active, c)
    s.omega[...] -= pull * (s.theta - theta)


wrong, _, wrong_omegas = learn(1.0, k, step=slip)
lines = []
for name, each in (("right", net), ("wrong", wrong)):
    accuracy = [(each.predict(task.x_test, task.active) == task.y_test).mean() for task in tasks]
    lines.append(f"{name}: accuracy {np.round(accuracy, 3)}, ΣΩ = {each.synapses.Omega.sum():.1f}")
off = abs(wrong.synapses.Omega - by_hand.Omega).sum() / by_hand.Omega.sum()
print(*lines, f"the errors of all Ω add up to {off:.1%} of ΣΩ", sep="\n")

assert np.array_equal(wrong_omegas[0], omegas[0])  # task 1 has no penalty
assert np.array_equal(wrong.synapses.theta, by_hand.theta)  # the same network, to the last bit
assert 0.02 < off < 0.1

# %% [markdown]
# **Question.** The total of $\Omega$ has become smaller. Why does the mistake make synapses less
# important, and not more?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The additional part of $\omega$ is
# $-\sum 2c\,\Omega(\theta - \tilde\theta)\,\Delta\theta$. This is how much the synapse has
# lowered the *penalty*. In task 2 a synapse starts at $\theta = \tilde\theta$, where the penalty
# is zero, and moves away from there. So the penalty has risen, and this part is negative.
#
# </details>

# %% [markdown]
# ## On your own
#
# 1. Follow the synapse that matters most for task 2 in a network with $c = 0$. What does it do with
#    $c = 1$, and with $c = 100$?
# 2. Here each task begins with a new Adam. Keep the old one. Which of the five rows differs first,
#    and when?
# 3. Add the task 4 or 5, and draw $\Omega$ of one hidden unit after each task. Can you still see
#    the stroke of the 1?
#
# ## In practice
#
# - *Which gradient?* Read $g$ before the penalty is added. In a library with automatic
#   differentiation, this means one backward pass for the task's loss, a copy of its gradients, and
#   then the penalty.
# - *Which step?* Take the weights after the optimizer's step minus those before it. Then momentum,
#   weight decay and clipped gradients are all in it.
# - *Which parameters?* All of them: biases and readout are synapses too.
# - *How do you know?* Not from the accuracy. Compare the whole table with another implementation
#   over two tasks, as this notebook does, or let `pysi.check_synaptic_intelligence` test your rule
#   for eleven properties. [Notebook 15](15_what_others_call_si.ipynb) tests other people's rules in
#   this way.
#
# ## Further reading
#
# - Zenke, Poole & Ganguli (2017), *Continual learning through synaptic intelligence*: Section 3,
#   Eqs. 3 to 5.
# - [The rule](../derivations/rule.md) and [Adam's moments](../derivations/adam.md); [What else is
#   called SI](../mistakes.md).
# - [Reading the code](../reading.md): where the package does what you have just done. Start with
#   `Synapses`, then the rule, then `training`.
# - Kingma & Ba (2015), *Adam: a method for stochastic optimization*.
#
# ## The claims

# %%
# your lines are the package: the whole table agrees
for row in ("theta", "omega", "Omega", "theta_ref"):
    assert np.allclose(getattr(by_hand, row), getattr(trained, row), rtol=1e-6, atol=1e-9), row

# when a task has ended, ω is zero again, θ̃ equals θ, and no importance is negative
assert (trained.omega == 0).all()
assert np.array_equal(trained.theta_ref, trained.theta)
assert (trained.Omega >= 0).all()

# at the end of both tasks no ω was negative, so nothing was cut off here
assert all((omega >= 0).all() for omega in omegas)

# Ω and θ̃ stand still while a task is learned
for during in (life[:boundary], life[boundary:]):
    assert (during[:, 2:] == during[0, 2:]).all()

# consolidation changes nothing in task 1, and holds the important synapse in task 2
assert np.array_equal(life[:boundary], life_free[:boundary])
moved = abs(life[-1, 0] - life[boundary - 1, 0])
moved_free = abs(life_free[-1, 0] - life_free[boundary - 1, 0])
assert moved < moved_free / 2
print(f"in task 2 the synapse moved by {moved:.4f} with c = 1, and by {moved_free:.4f} with c = 0")

# a pixel that is never inked teaches its synapses nothing
dead = ~np.any([task.x_train.any(axis=0) for task in tasks], axis=0)
assert all((image(by_hand.Omega, unit).ravel()[dead] == 0).all() for unit in range(32))
