# %% [markdown]
# # 12. On a GPU
#
# **What you will do.** Train the same network, by the same lines, on whatever device this machine
# has; look at the kernel that an optimizer becomes; train twenty networks as if they were one.
#
# **What you will learn.** What changes on a GPU (nothing) and what it costs; why many small steps
# are slow there; how elementwise formulas are recorded and run in one go; how seeds and values of
# $c$ become one more axis.
#
# **What you need.** Notebook 7. A GPU with CuPy if there is one; without, all runs in NumPy.

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.backend import elementwise, to_host
from pysi.backend.arrays import device_namespace
from pysi.backend.recording import Recording
from pysi.figures import COLOURS
from pysi.synapses import ROWS, Update

BLUE, ORANGE, GREEN = COLOURS[:3]
plt.rcParams["figure.constrained_layout.use"] = True

try:
    xp = device_namespace("cupy")
except pysi.ConfigError:
    xp = np
print(f"this notebook ran on {xp.__name__}")

# %% [markdown]
# ## The same lines
#
# CuPy is NumPy on a GPU: an array lives there, and `cupy` has the functions of `numpy`. The code of
# `pysi` never says which: it asks the arrays. So a network that is told `xp=cupy` has its table of
# synapses on the GPU, and everything that is done to the table happens there.
#
# Weights are drawn on the host, and so is the order of the examples: a run begins the same on every
# device, and takes the same minibatches. It can only differ by rounding.

# %%
tasks = pysi.split_tasks(pysi.load_dataset("mnist-5k"))


def trained(seed, c, xp, epochs=3):
    """A network (or several) after five tasks, its history, and the seconds it took."""
    net = pysi.MLP([784, 64, 64, 10], zero_readout=True, seed=seed, xp=xp)
    rule = pysi.SynapticIntelligence(c)
    began = perf_counter()
    history = pysi.train(net, pysi.Adam(), rule, tasks, epochs=epochs, batch_size=32)
    return net, history, perf_counter() - began


(here, on_device, _), (host, on_host, _) = trained(0, 1.0, xp), trained(0, 1.0, np)
apart = abs(to_host(here.synapses.theta) - host.synapses.theta).max()
print(f"largest difference of a weight: {apart:.1e}")
print("accuracy on this device:", on_device.test_accuracy[-1].round(3))
print("accuracy with NumPy:    ", on_host.test_accuracy[-1].round(3))

# %% [markdown]
# ## Many small steps
#
# On a GPU every operation is a *kernel* that the host has to launch, and a launch takes some
# microseconds, however little there is to do. The update of a step (penalty, Adam,
# $θ ← θ + Δθ$, $ω ← ω - g Δθ$) is fifteen operations on rows of numbers. One after the other they
# would cost fifteen launches, and every row would travel from memory and back again and again.
#
# So the formulas are not run one by one, they are *recorded*. In a step
#
# ```python
# with synapses.update() as rows:
#     total = rule.total_gradient(rows)  # g + 2c Ω (θ - θ̃)
#     delta = rule.modulate(optimizer.delta(total, rows), rows)  # Δθ
#     rows.advance(delta)  # θ ← θ + Δθ
#     rule.after_step(rows, delta)  # ω ← ω - g Δθ
# ```
#
# the rows are symbols in place of arrays. What the rule and the optimizer do to them is taken down,
# and when the block ends it is run in one go: on a GPU as one kernel, on a CPU as few passes of
# NumPy over a piece of the rows at a time, with the bits that NumPy gives. Here is a stand-in for
# CuPy that shows the kernel instead of compiling it.


# %%
class Printer:
    """In place of CuPy: prints what it is to compile."""

    @staticmethod
    def ElementwiseKernel(read, written, source, name, preamble):
        print(f"read:    {read}\nwritten: {written}\n\n{source}")
        return lambda *arrays: None


Printer.__name__ = "a printer"
synapses, rule, optimizer = here.synapses, pysi.SynapticIntelligence(1.0), pysi.Adam()
rule.start(synapses)
optimizer.start(synapses)
synapses.Omega[...] = 1
rule.refresh()
optimizer.next_step()

views = [getattr(synapses, row) for row in ROWS]
with Recording("update", Printer, lambda row: [row], lambda r: Update(views, r)) as rows:
    total = rule.total_gradient(rows)
    delta = rule.modulate(optimizer.delta(total, rows), rows)
    rows.advance(delta)
    rule.after_step(rows, delta)

# %% [markdown]
# Read it beside `adam_step` and `path_integral`: every line is one of theirs. $a_0$ is θ, $a_1$ is
# $g$ and $a_2$ is ω, and the numbers $s$, such as the learning rate, are arguments. All is read
# before anything is written. Nothing was written twice, and nobody had to write CUDA.
#
# A formula of your own needs one word. Without it, it gives the same numbers, only more slowly.


# %%
@elementwise
def leaky_relu(x):
    return np.where(x > 0, x, 0.1 * x)


x = xp.linspace(-2, 2, 5, dtype=np.float32)
y = leaky_relu(x)
print("a leaky ReLU in one go:", y)

# %% [markdown]
# ## Many networks at once
#
# The rest of the step is matrix products, and those of one small network leave a GPU idle too. But
# every layer, loss, optimizer and rule here treats the last axes as its own and broadcasts over any
# before them. A table of the shape $(R, P)$ is $R$ networks, each with its own initial weights, its
# own order of examples and its own $c$, and a step of all of them has as many launches as a step of
# one. The error bars of a figure, and a grid of $c$, come from one run.

# %%
strengths, n = (0.0, 0.1, 1.0, 10.0), 5
seeds = [s for _ in strengths for s in range(n)]
c = [value for value in strengths for _ in range(n)]
together, history, seconds = trained(seeds, c, xp)
alone, single, seconds_alone = trained(seeds[7], c[7], xp)
print("{} networks of {:,} synapses".format(*together.synapses.theta.shape))
print(f"one network alone: {seconds_alone:.2f} s; {len(seeds)} together: {seconds:.2f} s, "
      f"{seconds / len(seeds) / seconds_alone:.2f} of the time alone for each")  # fmt: skip

# %%
final = history.test_accuracy[:, -1].mean(axis=-1).reshape(len(strengths), n)
fig, ax = plt.subplots(figsize=(5.2, 3.4))
ax.errorbar(range(len(strengths)), final.mean(axis=1), pysi.sem(final, axis=1),
            fmt="o-", color=BLUE, capsize=3)  # fmt: skip
for i, values in enumerate(final):
    ax.plot(np.full(n, i + 0.08), values, ".", color=ORANGE, alpha=0.7)
ax.set_xticks(range(len(strengths)), [f"{value:g}" for value in strengths])
ax.set(xlabel="strength c", ylabel="accuracy after five tasks (test)",
       title=f"{len(seeds)} networks, one run: mean ± SEM of {n} seeds")  # fmt: skip
plt.show()

# %% [markdown]
# On a CPU this gains little. Such small networks share what Python costs per step; with those of
# the paper a core is busy with one network already, and several side by side take longer than one
# after the other, because their rows no longer fit into the cache. On a GPU the launches are
# shared. `pysi run split-mnist --vectorise` does this for all seeds and values of $c$ of an
# experiment; it estimates the memory first, and takes as many at once as fit.
#
# ## What it costs
#
# On a GPU nothing in a step waits for the host or sends it anything; the losses come home once an
# epoch. The package's tests hold that on a stand-in for CuPy, which counts copies, waits and
# launches. How fast it is on a real one is measured by `tests/bench/bench_device.py`; the
# documentation's page on GPUs says what was measured, and on which.
#
# ## What we have seen

# %%
r = 7
assert apart < 1e-2  # rounding, after hundreds of steps; on NumPy there is none
assert abs(on_device.test_accuracy - on_host.test_accuracy).max() < 0.05
if xp is np:
    assert apart == 0
    assert np.array_equal(together.synapses.theta[r], alone.synapses.theta)
assert np.allclose(history.test_accuracy[r], single.test_accuracy, atol=0.05)
assert np.allclose(to_host(y), [-0.2, -0.1, 0, 1, 2])
assert final[0].mean() < final[2].mean()  # consolidation helps, in every column of the figure
