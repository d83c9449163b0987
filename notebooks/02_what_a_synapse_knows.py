# %% [markdown]
# # 2. What a synapse knows
#
# **What you will do.** Open a network's table of synapses, follow one synapse through two tasks,
# and write the training step of Synaptic Intelligence (SI) yourself, in ten lines.
#
# **What you will learn.** What the four numbers $(\theta, \omega, \Omega, \tilde\theta)$ of a
# synapse are, when each of them changes, and what importance looks like in a network that reads
# digits.
#
# **What you need.** Notebook 1 for the idea; gradient descent and Adam, at least by name.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, use
from pysi.losses import softmax_cross_entropy
from pysi.training import shuffled

use()
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
# The table is one array, and all numbers of the synapses are in it. You can look at all synapses,
# at those of one layer in the shape of its weights, or at a single one.


# %%
def make_network():
    return pysi.MLP([784, 32, 10], zero_readout=True, seed=0, dtype=np.float64)


net = make_network()
table = net.synapses
layer = table.group("dense1.W")
synapse = table[12345]

print("table: ", table.theta.shape, "synapses in a row")
print("layer: ", layer.theta.shape, "from 784 pixels to 32 units")
print("one:   ", synapse)

# %% [markdown]
# All three are views of the same memory. What is written through one view is seen through the
# others:

# %%
synapse.theta[...] = 0.25
pixel, unit = divmod(12345, 32)
assert table.theta[12345] == layer.theta[pixel, unit] == 0.25
assert np.shares_memory(table.theta, layer.theta)

# %% [markdown]
# ## Two tasks, the easy way
#
# The first two tasks of split MNIST are to tell 0 from 1, and then 2 from 3. First `pysi.train`
# learns them; then we do the same by hand.

# %%
tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))[:2]
lr, xi, epochs, batch_size = 1e-3, 1e-3, 8, 64

net = make_network()
rule = pysi.SynapticIntelligence(c=1.0, xi=xi)
history = pysi.train(net, pysi.Adam(lr), rule, tasks, epochs=epochs, batch_size=batch_size)
trained = net.synapses
print("test accuracy on tasks 1 and 2:", history.test_accuracy[-1])

# %% [markdown]
# ## The step in ten lines
#
# Here is everything that happens to the synapses when the network sees one minibatch. Half of it is
# the optimizer, Adam. What SI adds are the second term of `total`, the pull towards $\tilde\theta$
# (Eq. 4), and the last line, the sum over the path (Eq. 3). It is easy to go wrong in two places:
# $\omega$ takes the gradient of the task's loss *alone* (`s.grad`, not `total`), and the step
# `delta` that was *really made*.


# %%
def step(net, adam, x, labels, active, c):
    s = net.synapses
    _, dlogits = softmax_cross_entropy(net.forward(x, train=True), labels, active)
    net.backward(dlogits)  # g
    total = s.grad + 2 * c * s.Omega * (s.theta - s.theta_ref)  # the gradient of Eq. 4
    adam["t"] += 1
    adam["m"] = 0.9 * adam["m"] + 0.1 * total
    adam["v"] = 0.999 * adam["v"] + 0.001 * total**2
    m, v = adam["m"] / (1 - 0.9 ** adam["t"]), adam["v"] / (1 - 0.999 ** adam["t"])
    delta = -lr * m / (np.sqrt(v) + 1e-8)  # Δθ
    s.theta[...] += delta  # θ ← θ + Δθ
    s.omega[...] -= s.grad * delta  # ω ← ω - g Δθ, Eq. 3


# %% [markdown]
# And this is what happens when a task ends: $\omega$ is divided by the square of how far the
# synapse has moved, and added to the importance (Eq. 5). Then the present weight becomes the
# reference, and $\omega$ starts from zero.


# %%
def end_task(s):
    change = s.theta - s.theta_ref  # Δ
    s.Omega[...] = np.maximum(0, s.Omega + s.omega / (change**2 + xi))  # Eq. 5
    s.theta_ref[...] = s.theta
    s.omega[...] = 0


# %% [markdown]
# Training calls these two functions in a loop. We also record the life of one synapse, and keep the
# row $\omega$ at the end of each task, before it is set to zero.


# %%
def learn(c, k):
    """Learn both tasks by hand; returns the table, the life of synapse k, and each task's ω."""
    net = make_network()
    s, life, omegas = net.synapses, [], []
    s.theta_ref[...] = s.theta
    for i, task in enumerate(tasks):
        adam = {"t": 0, "m": 0.0, "v": 0.0}
        for epoch in range(1, epochs + 1):
            order = shuffled(net, len(task.y_train), i, epoch)  # the order that pysi.train uses
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                step(net, adam, task.x_train[batch], task.y_train[batch], task.active, c)
                life.append((s[k].theta[()], s[k].omega[()], s[k].Omega[()], s[k].theta_ref[()]))
        omegas.append(s.omega.copy())
        end_task(s)
    return s, np.array(life), omegas


# %% [markdown]
# Which synapse shall we follow? We take the one of the first layer that mattered most for task 1:
# it has the largest $\omega$ at the end of the task.

# %%
_, _, (omega_1, _) = learn(1.0, k=0)
k = int(np.argmax(omega_1[: 784 * 32]))
by_hand, life, omegas = learn(1.0, k)
_, life_free, _ = learn(0.0, k)

print("               by hand    pysi.train")
for row in ("theta", "grad", "omega", "Omega", "theta_ref"):
    print(f"{row:>9}  {getattr(by_hand[k], row):11.8f}   {getattr(trained[k], row):11.8f}")

# %% [markdown]
# The ten lines and the package agree, for this synapse and for all 25,450 of them. (The package
# computes the same formulas with fewer passes over memory, so the last digits may differ.)
#
# ## The life of a synapse
#
# The figure shows the same synapse twice: with consolidation (green) and without (blue).

# %%
names = (r"weight $\theta$", r"path integral $\omega$", r"importance $\Omega$",
         r"reference $\tilde\theta$")  # fmt: skip
fig, axes = plt.subplots(2, 2, figsize=(9.6, 5), sharex=True)
boundary = len(life) // 2
for ax, name, free, bound in zip(axes.flat, names, life_free.T, life.T, strict=True):
    ax.axvline(boundary, color="0.6", lw=1, ls="--")
    ax.plot(free, color=FREE, lw=2, label="$c = 0$")
    ax.plot(bound, color=SI, lw=2, label="$c = 1$", ls=(0, (4, 1.5)))
    ax.set_title(name, fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
axes[1, 1].sharey(axes[0, 0])  # θ and θ̃ on one scale
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
# ## All synapses of a hidden unit
#
# A hidden unit has one synapse from each of the 784 pixels, so each row of these synapses is an
# image. Here are three units that speak for 1 and three that speak for 0: those whose synapses onto
# the two readouts differ most.

# %%
W = table.group("dense1.W").columns
maps = [row[W].reshape(784, 32) for row in (by_hand.theta, *omegas, by_hand.Omega)]
readout = by_hand.group("dense2.W").theta
order = np.argsort(readout[:, 0] - readout[:, 1])
units = [*order[:3], *order[:-4:-1]]

fig, axes = plt.subplots(4, 6, figsize=(9.6, 6.4))
rows = (r"$\theta$", r"$\omega$, 0 or 1", r"$\omega$, 2 or 3", r"$\Omega$")
for row, name, values in zip(axes, rows, maps, strict=True):
    limit = abs(values[:, units]).max() * 0.8
    for ax, unit in zip(row, units, strict=True):
        image = values[:, unit].reshape(28, 28)
        shown = ax.imshow(image, cmap="PuOr_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, fontsize=12)
    fig.colorbar(shown, ax=row, shrink=0.8, aspect=10, extend="both")
for ax, digit in zip(axes[0], "111000", strict=True):
    ax.set_title(f"for {digit}", fontsize=10)
plt.show()

# %% [markdown]
# The weights look like noise, because most of what we see is still where they started. The path
# integral shows which pixels learning has used: the stroke of the 1 in the units that speak for 1,
# and the ring of the 0 in the others. For 2 against 3 it used other pixels, and one of the six
# units hardly took part. Margins, where no digit has ink, are exactly zero. $\omega$ can be
# negative: momentum or the penalty may carry a synapse uphill. In this figure no $\omega$ is
# negative; where it is, the sum $\Omega$ is cut off at zero.
#
# ## The claims

# %%
# the ten lines are the package: the whole table agrees
for row in ("theta", "omega", "Omega", "theta_ref"):
    assert np.allclose(getattr(by_hand, row), getattr(trained, row), rtol=1e-6, atol=1e-9), row

# when a task has ended, ω is zero again, θ̃ equals θ, and no importance is negative
assert (trained.omega == 0).all()
assert np.array_equal(trained.theta_ref, trained.theta)
assert (trained.Omega >= 0).all()

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
assert (maps[3][dead] == 0).all()

# %% [markdown]
# **Try.** Write `total` instead of `s.grad` in the last line of `step`. Nothing crashes, and the
# network is as accurate as before; but the first assertion fails. Public implementations have made
# this mistake.
