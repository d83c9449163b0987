# %% [markdown]
# # 12. On a GPU
#
# **What you will do.** Train the same network, by the same lines, on whatever device this machine
# has; look at the kernel that an optimizer becomes; train twenty networks as if they were one.
#
# **What you will learn.** Why the code does not change on a GPU, and what has to be avoided there;
# why many small steps are slow; how elementwise formulas are recorded and run in one go; how seeds
# and values of $c$ become one more axis.
#
# **What you need.** Notebook 7. A GPU with CuPy if there is one; without a GPU, everything runs in
# NumPy.

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.backend import elementwise, to_host
from pysi.backend.arrays import Ranges, device_namespace
from pysi.backend.recording import Recording
from pysi.figures.style import colour, use
from pysi.synapses import ROWS, Update

use()

try:
    xp = device_namespace("cupy")
except pysi.ConfigError:
    xp = np
print(f"this notebook ran on {xp.__name__}")

# %% [markdown]
# ## The same lines
#
# CuPy is NumPy on a GPU: its arrays are in the memory of the GPU, and `cupy` has the functions of
# `numpy`. The code of `pysi` never names one of them: it asks the arrays. So a network with
# `xp=cupy` has its table of synapses on the GPU, and all operations on the table run there.
#
# Weights and the order of the examples are drawn on the host. So a run begins with the same weights
# on every device, and takes the same minibatches. It can differ only by rounding.

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
# microseconds, however little there is to do. The update of a step (penalty, Adam, $θ ← θ + Δθ$,
# $ω ← ω - g Δθ$) has fifteen operations on rows of numbers. One after the other they would cost
# fifteen launches, and every row would be read from memory and written back many times.
#
# So the formulas do not run one by one; they are *recorded*. In a step
#
# ```python
# with synapses.update() as rows:
#     total = rule.total_gradient(rows)  # g + 2c Ω (θ - θ̃)
#     delta = rule.modulate(optimizer.delta(total, rows), rows)  # Δθ
#     rows.advance(delta)  # θ ← θ + Δθ
#     rule.after_step(rows, delta)  # ω ← ω - g Δθ
# ```
#
# the rows are symbols instead of arrays. The formulas of the rule and the optimizer are recorded,
# and run in one go when the block ends: on a GPU as one kernel, on a CPU as few passes of NumPy
# over a piece of the rows at a time, with the same bits as plain NumPy. Here is a stand-in for CuPy
# that shows the kernel instead of compiling it.


# %%
class Printer:
    """Takes CuPy's place, and prints what CuPy would compile."""

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
ranges = Ranges(len(synapses), 1, Printer)  # all columns at once
with Recording("update", Printer, ranges, lambda r: Update(views, r)) as rows:
    total = rule.total_gradient(rows)
    delta = rule.modulate(optimizer.delta(total, rows), rows)
    rows.advance(delta)
    rule.after_step(rows, delta)

# %% [markdown]
# Compare it with `adam_step` and `path_integral`: every line is one of theirs. $a_0$ is θ, $a_1$ is
# $g$ and $a_2$ is ω, and the numbers $s$, such as the learning rate, are arguments. Everything is
# read before anything is written. There is no second version of a formula, and nobody had to write
# CUDA.
#
# A formula of your own needs only the decorator `@elementwise`. Without the decorator it gives the
# same numbers, only more slowly.


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
# The rest of the step is matrix products, and those of one small network do not keep a GPU busy
# either. But every layer, loss, optimizer and rule here works on the last axes and broadcasts over
# the axes before them. A table of the shape $(R, P)$ is $R$ networks, each with its own initial
# weights, its own order of examples and its own $c$, and a step of all of them has as many launches
# as a step of one. So one run gives the error bars of a figure, or a grid of $c$.

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
            fmt="o-", color=colour("si"), capsize=3)  # fmt: skip
for i, values in enumerate(final):
    ax.plot(np.full(n, i + 0.08), values, ".", color="0.5", alpha=0.7)
ax.set_xticks(range(len(strengths)), [f"{value:g}" for value in strengths])
ax.set(xlabel="strength c", ylabel="accuracy after five tasks (test)",
       title=f"{len(seeds)} networks, one run: mean ± SEM of {n} seeds")  # fmt: skip
plt.show()

# %% [markdown]
# On a CPU this gains little. Small networks side by side share the time that Python needs per step.
# But one network of the paper's size already keeps a core busy, and several side by side take
# longer than one after the other, because their rows no longer fit into the cache. On a GPU the
# launches are shared. `pysi run split-mnist --vectorise` does this for all seeds and values of $c$
# of an experiment; it first measures the memory of one network, and then trains as many at once as
# fit.
#
# ## What it costs
#
# On a GPU no step waits for the host or sends it anything; the losses are copied to the host once
# per epoch. The package's tests check this on a stand-in for CuPy, which counts copies, waits and
# launches. `tests/bench/bench_device.py` measures the speed on a real GPU; the documentation's page
# on GPUs says what was measured, and on which GPU.
#
# ## What we have seen

# %%
r = 7
assert apart < 1e-2  # rounding, after hundreds of steps; with NumPy there is no difference
assert abs(on_device.test_accuracy - on_host.test_accuracy).max() < 0.05
if xp is np:
    assert apart == 0
    assert np.array_equal(together.synapses.theta[r], alone.synapses.theta)
assert np.allclose(history.test_accuracy[r], single.test_accuracy, atol=0.05)
assert np.allclose(to_host(y), [-0.2, -0.1, 0, 1, 2])
assert pysi.interval(final[2] - final[0]).above(0)  # consolidation helps: c = 1 against c = 0
