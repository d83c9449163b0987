# %% [markdown]
# # 12. On a GPU
#
# **What you will do.** Write a function that runs on whatever device its arrays are on, and a
# formula that becomes a single kernel. Count launches, look at the kernel of a whole update, and
# train sixteen networks as if they were one.
#
# **What you will learn.** Why the same code runs on NumPy and CuPy. Why many small steps are slow
# on a GPU. What was measured on a real one, and why its numbers are not those of a CPU.
#
# **What you need.** [Notebook 7](07_split_mnist.ipynb). No GPU: a stand-in takes its place, and
# what was measured on a real one is read from files.
#
# **Time.** About 20 minutes.

# %% tags=["hide-input"]
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi import training
from pysi.backend import elementwise, namespace, to_host
from pysi.backend.arrays import device_namespace
from pysi.experiments.result import Result
from pysi.figures import style

style.use()
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "setup.cfg").exists())


def recorded(name):
    """The file of a result or a benchmark."""
    return root / "docs" / "results" / f"{name}.json"


# %% [markdown]
# ## The same code
#
# CuPy is NumPy on a GPU: its arrays are in the memory of the GPU, and the module `cupy` has the
# functions of `numpy`. The code of `pysi` names neither of them. It asks an array where it belongs:

# %%
print(inspect.getsource(namespace))

# %% [markdown]
# Two things must not happen on a GPU. Arrays of the host and of the device must not be *mixed*:
# CuPy refuses that. And numbers must not be *fetched* within a step: the host then waits until the
# GPU has done all that it was asked to do.
#
# The next cell, which is folded, makes a stand-in for CuPy: a module `tiny`. Its arrays are NumPy
# arrays inside, but they refuse what CuPy refuses. It counts the calls that compute
# (`tiny.launches`), and the copies to the host (`tiny.copies`). The package's tests have such a
# stand-in, too.

# %% tags=["hide-input"]
tiny = sys.modules.setdefault("tiny", ModuleType("tiny"))
tiny.launches = tiny.copies = 0


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the stand-in: it never becomes an array or a number of the host by itself."""

    __module__, base = "tiny", None

    def __init__(self, value):
        self.kept = np.asarray(value)

    shape = property(lambda self: self.kept.shape)
    dtype = property(lambda self: self.kept.dtype)

    def __array_ufunc__(self, ufunc, method, *args, **options):
        return launched(getattr(ufunc, method))(*args, **options)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: launched(getattr(np.ndarray, name))(self, *args, **options)

    def __getitem__(self, key):
        return Array(self.kept[inside(key)])

    def __setitem__(self, key, value):
        tiny.launches += 1
        self.kept[inside(key)] = inside(value)

    def __len__(self):
        return len(self.kept)

    def get(self):
        tiny.copies += 1
        return self.kept.copy()

    def item(self):
        return self.get().item()

    def __array__(self, *args, **options):
        raise TypeError("an array of the device was used as one of the host, or as a number")

    __float__ = __int__ = __index__ = __iter__ = __bool__ = __array__


def inside(value):
    """What a kernel works on; an array of the host is refused."""
    if isinstance(value, np.ndarray):
        raise TypeError("an array of the host was used among those of the device")
    if isinstance(value, tuple):
        return tuple(map(inside, value))
    return value.kept if isinstance(value, Array) else value


def launched(function):
    """A function of the device: each call is one launch."""

    def call(*args, **options):
        tiny.launches += 1
        options = {name: inside(value) for name, value in options.items()}
        return Array(function(*map(inside, args), **options))

    return call


def only_counted(read, written, source, name, preamble):
    """A kernel that is counted and kept as text, but not compiled: it computes nothing."""
    tiny.kernel = source
    return launched(lambda *args: 0)


tiny.__getattr__ = lambda name: launched(getattr(np, name))
tiny.asarray = lambda value, dtype=None: Array(np.array(value, dtype))
tiny.empty = lambda *args: Array(np.empty(*args))
tiny.ElementwiseKernel = only_counted
try:
    xp = device_namespace("cupy")
except pysi.ConfigError:
    xp = np

# %% [markdown]
# **Exercise 1.** The gradient of the cross-entropy with respect to the logits is
# $(p - \text{onehot}) / N$. Here $p$ is the softmax of every row, and row $n$ of the one-hot matrix
# has a 1 at the label of example $n$ and 0 elsewhere. Write it for any device: take `xp` from
# `namespace(logits)`, and everything else from `xp` and the arrays.


# %% tags=["exercise", "hide-input"]
def dlogits(logits, labels):
    """The gradient of the mean cross-entropy with respect to the logits, (N, classes)."""
    # your code: xp, the softmax p of the rows, the one-hot matrix, and the gradient
    xp = namespace(logits)
    p = xp.exp(logits - logits.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    onehot = xp.arange(logits.shape[-1]) == labels[:, None]
    return (p - onehot) / len(labels)


# %% tags=["check"]
rng = np.random.default_rng(0)
logits, labels = rng.standard_normal((6, 10)).astype(np.float32), rng.integers(0, 10, 6)
expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
expected[np.arange(6), labels] -= 1
found, tiny.copies = dlogits(logits, labels), 0
assert np.shape(found) == logits.shape, "dlogits must return an array with the logits' shape."
assert np.allclose(found, expected / 6, atol=1e-6), "With NumPy the numbers are wrong: (p - …) / N."
try:
    found = dlogits(Array(logits), Array(labels))
except (TypeError, IndexError) as err:
    raise AssertionError(f"The device refuses: {err}. Make arrays with xp, as xp.arange.") from err
assert tiny.copies == 0, "Numbers were fetched from the device, and the host has to wait for them."
assert isinstance(found, Array), "The result of arrays on a device must be on the device, too."
assert np.allclose(found.get(), expected / 6, atol=1e-6), "On the device the numbers are others."

# %% [markdown] tags=["instructor", "remove-cell"]
# The one-hot matrix is made on the host, where NumPy cannot take labels of the device as an index:
#
# ```python
# xp = namespace(logits)
# p = xp.exp(logits)
# return (p / p.sum(axis=-1, keepdims=True) - np.eye(logits.shape[-1])[labels]) / len(labels)
# ```
#
# One array of the host among those of the device:
#
# ```python
# xp = namespace(logits)
# p = xp.exp(logits)
# onehot = np.arange(logits.shape[-1]) == labels[:, None]
# return (p / p.sum(axis=-1, keepdims=True) - onehot) / len(labels)
# ```
#
# The labels are fetched, one by one or together:
#
# ```python
# xp = namespace(logits)
# p = xp.exp(logits)
# p = p / p.sum(axis=-1, keepdims=True)
# for n in range(len(labels)):
#     p[n, int(labels[n])] -= 1
# return p / len(labels)
# ```
#
# ```python
# xp = namespace(logits)
# p = xp.exp(logits)
# onehot = xp.asarray(np.eye(logits.shape[-1])[to_host(labels)])
# return (p / p.sum(axis=-1, keepdims=True) - onehot) / len(labels)
# ```
#
# Everything is computed on the host:
#
# ```python
# logits, labels = to_host(logits), to_host(labels)
# p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
# return (p - np.eye(logits.shape[-1])[labels]) / len(labels)
# ```
#
# The mean is forgotten:
#
# ```python
# xp = namespace(logits)
# p = xp.exp(logits)
# onehot = xp.arange(logits.shape[-1]) == labels[:, None]
# return p / p.sum(axis=-1, keepdims=True) - onehot
# ```

# %% [markdown]
# **Question.** A colleague prints `float(loss)` after every step. What does that do on a GPU?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The host launches kernels in advance, and the GPU runs them one after the other. To print the
# loss, the host must wait until the step is done; then the GPU waits until it gets new work. So
# `pysi` keeps the losses on the device, and fetches them once per epoch.
#
# </details>

# %% [markdown]
# ## Formulas become one kernel
#
# On a GPU every operation is a *kernel* that the host launches, and a launch takes some
# microseconds, however little there is to do. So formulas of `pysi` do not run operation by
# operation. The decorator `@elementwise` runs them once with *symbols* in place of arrays, notes
# what is done to the symbols, and makes one kernel of it. What can be noted are NumPy's elementwise
# functions. An `if` on a value cannot be noted, and a sum cannot either.
#
# **Exercise 2.** Write the end of a task (Eq. 5) as such a formula, `consolidated(omega, Omega,
# theta, theta_ref, xi)`. It returns the new importance,
#
# $$ \max\Bigl(0,\; \Omega + \frac{\omega}{(\theta - \tilde\theta)^2 + \xi}\Bigr) . $$


# %% tags=["exercise", "hide-input"]
# your code: the decorator, and the function consolidated(omega, Omega, theta, theta_ref, xi)
@elementwise
def consolidated(omega, Omega, theta, theta_ref, xi):
    """The importance after a task (Eq. 5)."""
    return np.maximum(0, Omega + omega / ((theta - theta_ref) ** 2 + xi))


# %% tags=["check"]
rows = list(rng.standard_normal((4, 500)).astype(np.float32))
omega, Omega, theta, theta_ref = rows
share = omega / ((theta - theta_ref) ** 2 + 0.1)
try:
    found = to_host(consolidated(*(xp.asarray(row) for row in rows), 0.1))
    tiny.launches = 0
    consolidated(*map(Array, rows), 0.1)
except pysi.ConfigError as err:
    raise AssertionError(f"This cannot be one kernel: {err}") from err
assert np.shape(found) == (500,), "The formula must return one importance per synapse."
assert (found >= 0).all(), "The new importance must not be negative: take the larger of it and 0."
assert np.allclose(found, np.maximum(0, Omega + share), rtol=1e-4), (
    "The numbers are wrong: add the share of the task to Ω first, and cut off at 0 then."
)
assert tiny.launches == 1, f"It must be one launch, found {tiny.launches}: is it decorated?"

# %% [markdown] tags=["instructor", "remove-cell"]
# Without the decorator the numbers are right, with a launch per operation:
#
# ```python
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     return np.maximum(0, Omega + omega / ((theta - theta_ref) ** 2 + xi))
# ```
#
# Python's `max` asks which is larger:
#
# ```python
# @elementwise
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     return max(0, Omega + omega / ((theta - theta_ref) ** 2 + xi))
# ```
#
# An array is made within the formula:
#
# ```python
# @elementwise
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     zero = np.zeros_like(Omega)
#     return np.maximum(zero, Omega + omega / ((theta - theta_ref) ** 2 + xi))
# ```
#
# The share of the task is cut off, and not the sum:
#
# ```python
# @elementwise
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     return Omega + np.maximum(0, omega / ((theta - theta_ref) ** 2 + xi))
# ```
#
# ξ stands outside of the fraction:
#
# ```python
# @elementwise
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     return np.maximum(0, Omega + omega / (theta - theta_ref) ** 2 + xi)
# ```
#
# The old importance is lost:
#
# ```python
# @elementwise
# def consolidated(omega, Omega, theta, theta_ref, xi):
#     return np.maximum(0, omega / ((theta - theta_ref) ** 2 + xi))
# ```

# %% [markdown]
# **Try.** Run the same function without its decorator; a formula keeps it as `.function`. You will
# see the same formula cost six launches: one each for −, square, +, /, + and the maximum.

# %%
tiny.launches = 0
consolidated.function(*map(Array, rows), 0.1)
print("without the decorator:", tiny.launches, "launches")
assert tiny.launches == 6

# %% [markdown]
# `training.update`, which does a whole step once the gradient is known, is recorded in the same
# way: the penalty's gradient, Adam, $\theta \leftarrow \theta + \Delta\theta$ and $\omega
# \leftarrow \omega - g\,\Delta\theta$. We let it run on a table of the stand-in, and print the
# kernel that CuPy would compile.


# %%
def launches_of_an_update(networks):
    """How many launches the update of a table takes."""
    s = pysi.Synapses({"dense1.W": (30, 40)}, lead=(networks,), xp=tiny)
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.Adam()
    rule.start(s)
    optimizer.start(s)
    s.Omega[...] = 1
    rule.refresh()
    tiny.launches = 0
    training.update(s, optimizer, rule)
    return tiny.launches


launches = {networks: launches_of_an_update(networks) for networks in (1, 20)}
operations = tiny.kernel.count("float t")
print(tiny.kernel.replace("\nfloat r", "\n\nfloat r", 1))

# %% [markdown]
# $a_0$ is $\theta$, $a_1$ is $g$, $a_2$ is $\omega$, $a_4$ is $\tilde\theta$ and $a_5$ is
# $2c\,\Omega$; $a_6$ and $a_7$ are Adam's moments. Everything is read before anything is written.
# The numbers $s$, such as the learning rate, are arguments, so a new rate needs no new kernel.

# %% [markdown]
# ## Many networks as one
#
# The rest of the step is matrix products, and those of one small network do not keep a GPU busy
# either. But all of `pysi` works on the last axes, and broadcasts over the axes before them. So a
# table of the shape $(R, P)$ is $R$ networks, each with its own weights, order of examples and $c$.
#
# **Try.** Count the launches for 20 networks. You will see no more than for one.

# %%
print(f"the update: {operations} operations; launches for 1 network: {launches[1]}, "
      f"for 20 networks: {launches[20]}")  # fmt: skip
assert launches[20] == launches[1] == 1 and operations == 15

# %% [markdown]
# In this way one run gives the error bars of a figure, or a grid of $c$. Here are sixteen networks
# on split MNIST, with four strengths and four seeds. The dots are networks; the line is their mean,
# with its 95 % interval.

# %% tags=["hide-input"]
tasks, strengths, n = pysi.split_tasks(pysi.load_dataset("mnist-5k")), (0.0, 0.1, 1.0, 10.0), 4


def trained(seed, c):
    """One network or several after five tasks, and the history."""
    net = pysi.MLP([784, 64, 64, 10], zero_readout=True, seed=seed, xp=xp)
    rule = pysi.SynapticIntelligence(c)
    return net, pysi.train(net, pysi.Adam(), rule, tasks, epochs=3, batch_size=32)


seeds = [seed for _ in strengths for seed in range(n)]
together, history = trained(seeds, [c for c in strengths for _ in range(n)])
alone, _ = trained(seeds[9], strengths[9 // n])
apart = abs(to_host(together.synapses.theta[9]) - to_host(alone.synapses.theta)).max()
final = pysi.average_accuracy(history.test_accuracy)[:, -1].reshape(len(strengths), n)

fig, ax = plt.subplots(figsize=(style.WIDTH, 3))
for i, values in enumerate(final):
    found = pysi.interval(values)
    ax.plot([i, i], [found.low, found.high], color=style.colour("si"), lw=1.5)
    ax.plot(np.full(n, i + 0.08), values, ".", color="0.5")
ax.plot(final.mean(axis=1), "o-", color=style.colour("si"), ms=5)
ax.set_xticks(range(len(strengths)), [f"{c:g}" for c in strengths])
ax.set(xlabel="strength $c$", ylabel="accuracy after five tasks")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
print(f"{together.synapses.theta.shape[0]} networks in one table; "
      f"largest difference of a weight from the same network alone: {apart:.0e}")  # fmt: skip

# %% [markdown]
# ## What was measured
#
# A real GPU was measured, and the files keep what was found. The figure shows the time of a
# training step with SI, per network: medians, with quartiles as lines. PyTorch has the same step in
# its fastest eager form. *Side by side* is ten networks in one table.

# %% tags=["hide-input", "recorded"]
NETWORKS = {"split": "784-256-256-10", "permuted": "784-2000-2000-10", "cnn": "CIFAR's network"}
bench = {name: json.loads(recorded(f"bench-gpu-{name}").read_text()) for name in NETWORKS}
FORMS = {
    "torch-best": ("PyTorch, one network", "0.45", "s"),
    "pysi": ("pysi, one network", style.colour("si"), "o"),
    "pysi-replicas": ("pysi, ten side by side", style.colour("si"), "D"),
}
fig, ax = plt.subplots(figsize=(style.WIDTH, 3))
for shift, (form, (label, colour, marker)) in zip((-0.2, 0, 0.2), FORMS.items(), strict=True):
    for i, name in enumerate(NETWORKS):
        found = bench[name]["milliseconds_per_step_and_network"][form]
        ax.plot(found["quartiles"], [i + shift] * 2, color=colour, lw=1.5)
        mfc = "white" if marker == "D" else colour
        ax.plot(found["median"], i + shift, marker, color=colour, ms=6, mfc=mfc,
                label=label if i == 0 else "")  # fmt: skip
ax.set(xscale="log", xlabel="milliseconds per step and network", ylim=(2.5, -0.5),
       title=bench["split"]["environment"]["gpu"])  # fmt: skip
ax.set_yticks(range(3), NETWORKS.values())
ax.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()

floor = {name: sum(bench[name]["floor"][f"{part}_ms"] for part in ("operations", "update"))
         for name in NETWORKS}  # fmt: skip
ratio = {name: bench[name]["ratios"] for name in NETWORKS}
on_cpu = json.loads(recorded("bench-replicas").read_text())["ratios"]["pysi-replicas / pysi"]
print("arithmetic and memory alone would take "
      + ", ".join(f"{floor[name]:.3f} ms ({name})" for name in NETWORKS))  # fmt: skip
print("one of ten side by side / one alone: "
      + ", ".join(f"{ratio[name]['pysi-replicas / pysi']['median']:.2f} ({name})"
                  for name in NETWORKS))  # fmt: skip
print(f"the same for split MNIST on one thread of a CPU: {on_cpu['median']:.2f}")
im2col = bench["cnn"]["milliseconds_per_step_and_network"]["pysi-im2col"]["median"]
print(f"CIFAR's network here has Winograd's algorithm; with im2col, one takes {im2col:.2f} ms")
for name in ("split-mnist-gpu", "permuted-mnist-gpu"):
    run = Result.load(recorded(name))
    print(f"{name}: the full protocol, {len(run.runs)} networks side by side, "
          f"{run.content['duration_s']:.1f} s")  # fmt: skip

# %% [markdown]
# Side by side, the launches are shared. On a CPU nothing is gained: one network already keeps a
# core busy, and the rows of ten no longer fit into its cache. With the convolutional network `pysi`
# is slower than PyTorch on this GPU.
#
# **Question.** The large network of dense layers has far more arithmetic than the small one. Why do
# their steps take about the same time, alone?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Compare the times with those of "arithmetic and memory alone": even the large network is far above
# its own. Most of a step is not computing, but launching some thirty kernels and running the Python
# between them, and both networks have the same number of them.
#
# </details>

# %% [markdown]
# ## The same numbers?
#
# Weights and orders of examples are drawn on the host. So split MNIST on a GPU begins with the same
# weights as on a CPU, and takes the same minibatches. Are the losses the same? The figure shows
# their relative difference, epoch by epoch, for networks with SI.

# %% tags=["hide-input", "recorded"]
cpu, gpu = Result.load(recorded("split-mnist")), Result.load(recorded("split-mnist-gpu"))
losses = [np.array([[epoch["loss"] for epoch in run["epochs"]] for run in each.runs_of("si", 1.0)])
          for each in (cpu, gpu)]  # fmt: skip
differs = abs(losses[1] / losses[0] - 1)
eps = float(np.finfo(np.float32).eps)
fig, ax = plt.subplots(figsize=(style.WIDTH, 3))
epoch = np.arange(1, differs.shape[1] + 1)
drawn = np.maximum(differs, 1e-8)  # some are 0
for each in drawn:
    ax.semilogy(epoch, each, ".", color="0.5", ms=4)
ax.semilogy(epoch, np.median(drawn, axis=0), color=style.colour("si"), lw=2)
ax.axhline(eps, color=style.colour("exact"), lw=1, ls="--")
ax.text(50, 1.4 * eps, "one rounding of float32", ha="right")
ax.set(xlabel="epoch (ten per task)", ylabel="relative difference\nof the loss", ylim=(5e-9, 10))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

same = {}
for curve in (("fine-tuning", 0.0), ("si", 1.0)):
    each = [run.final(*curve).mean(axis=1) for run in (cpu, gpu)]
    same[curve] = pysi.interval(each[1] - each[0])
    print(f"c = {curve[1]:g}: average accuracy {each[0].mean():.4f} on the CPU, "
          f"{each[1].mean():.4f} on the GPU; difference {same[curve]}")  # fmt: skip

# %% [markdown]
# The dots are ten seeds, and the line is their median. In the first epochs the two devices differ
# by roundings. Then the difference grows, and after the first task they are two different runs.
#
# **Question.** Is the GPU wrong? And what can still be compared?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# No. A sum of float32 depends on its order, and the two devices add in different orders. Training
# is chaotic: a difference in the last place grows from step to step. So two devices agree in single
# steps (the tests compare those), and in *distribution*: the differences of accuracies over many
# seeds have an interval that contains 0.
#
# </details>

# %% [markdown]
# ## On your own
#
# 1. *A formula with a condition.* Write a leaky ReLU and its derivative as formulas. How many
#    launches do they take, together and alone?
# 2. *A stricter stand-in.* Let `tiny` refuse float64, and look for what creates it in your code.
# 3. *Where the time goes.* If you have a GPU, time a step for $R = 1, 3, 10, 30$ networks. Where
#    does the time begin to grow with $R$?
#
# ## In practice
#
# `pysi run split-mnist --device cupy --vectorise` trains all seeds and strengths side by side. In
# any library the same four habits help: fetch nothing within a step, let a compiler fuse small
# operations (`torch.compile`, `jax.jit`), put seeds on an axis (`torch.func.vmap`, `jax.vmap`), and
# say on which device a number was measured.
#
# ## Further reading
#
# * [On a GPU](../gpu.md): all that was measured, and what was not; [on a CPU](../cpu.md): the same
#   recording as a compiled loop.
# * [Speed](../results/speed.md): how the steps were timed.
# * Okuta et al. (2017), *CuPy: a NumPy-compatible library for NVIDIA GPU calculations*.
# * Williams, Waterman & Patterson (2009), *Roofline*: what bounds the time of a kernel.
#
# ## The claims

# %% tags=["hide-input"]
# side by side is as alone: to the bit with NumPy, up to rounding on a GPU
assert apart == 0 if xp is np else apart < 1e-2
assert pysi.interval(final[2] - final[0]).above(0)  # consolidation helps: c = 1 against c = 0

# on the GPU a network among ten takes a small part of its time alone; on the CPU it does not
for name in ("split", "permuted"):
    assert ratio[name]["pysi-replicas / pysi"]["quartiles"][1] < 0.4
    assert ratio[name]["pysi / torch-idiomatic"]["quartiles"][1] < 1
assert on_cpu["quartiles"][0] > 1
assert ratio["cnn"]["pysi / torch-best"]["quartiles"][0] > 1  # and here PyTorch is faster
alone_ms = [bench[name]["milliseconds_per_step_and_network"]["pysi"]["median"] for name in NETWORKS]
assert floor["permuted"] > 40 * floor["split"] and alone_ms[1] < 1.5 * alone_ms[0]

# the devices agree at first, then not, and in the end no difference of accuracy is decided
assert np.median(differs[:, 0]) < 4 * eps and np.median(differs[:, -1]) > 1e-2
assert not any(found.above(0) or found.below(0) for found in same.values())
assert same["si", 1.0].within(-0.01, 0.01)
