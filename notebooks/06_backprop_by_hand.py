# %% [markdown]
# # 6. Backprop by hand
#
# **What you will do.** Derive the backward pass of every layer with pencil and paper, read it in
# the package, and check it in two ways that do not trust the derivation.
#
# **What you will learn.** Why a backward pass is a transposed Jacobian; where the well-known
# $p - y$ comes from, and how masking changes it; how small a step of a finite difference should be,
# and why.
#
# **What you need.** The chain rule and matrix products. No earlier notebook.

# %%
from inspect import getsource

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi import layers, losses
from pysi.figures.style import colour, shades, use
from pysi.layers import Dense, Dropout, ReLU, Tanh
from pysi.losses import softmax_cross_entropy

use()
EXACT = colour("exact")
rng = np.random.default_rng(0)

# %% [markdown]
# ## What a layer owes the chain rule
#
# A layer maps $x$ to $y$. Let $J = \partial y / \partial x$ be its Jacobian. If the input moves by
# $v$, the output moves by $Jv$ and the loss by $\langle dy, Jv \rangle$, where
# $dy = \partial L / \partial y$. The layer must return a $dx$ for which the same change of the
# loss is $\langle dx, v \rangle$. For every $v$:
#
# $$\langle dy, J v \rangle = \langle J^\top dy, v \rangle, \qquad\text{so}\qquad dx = J^\top dy.$$
#
# That is all of backpropagation: from the last layer to the first, each multiplies by its
# transposed Jacobian. No layer ever computes the matrix $J$ itself.
#
# ## Dense
#
# $y_{nj} = \sum_i x_{ni} W_{ij} + b_j$ for example $n$. Each quantity gets the $dy$ of every $y$
# that it enters, times what it is multiplied with there:
#
# $$\frac{\partial L}{\partial W_{ij}} = \sum_n x_{ni}\, dy_{nj}, \qquad
#   \frac{\partial L}{\partial b_j} = \sum_n dy_{nj}, \qquad
#   \frac{\partial L}{\partial x_{ni}} = \sum_j dy_{nj} W_{ij},$$
#
# that is $x^\top dy$, the column sums of $dy$, and $dy\, W^\top$.

# %%
print(getsource(Dense.backward))

# %% [markdown]
# `x` is what `forward` has kept for `backward`. The network lends `memory`: the weights are read
# from `memory.weights`, and their gradients are written to `memory.gradients`. The gradient of a
# weight is the input from below times the error from above, summed over the examples.
# `swapaxes(-1, -2)` is the transpose; it leaves the axes before the last two as they are, because
# they are independent networks.
#
# ## ReLU, tanh and dropout
#
# These act on each entry alone. Their Jacobians are diagonal, and a diagonal matrix is its own
# transpose, so $dx = m \odot dy$ with the derivative $m$ of each entry. For ReLU $m$ is 1 where
# $x > 0$ and 0 elsewhere; for tanh it is $1 - \tanh^2 x = 1 - y^2$; for dropout it is 0 with
# probability $p$ and $1/(1-p)$ otherwise, drawn again for every minibatch.

# %%
print(getsource(layers.relu_slope))
print(getsource(layers.tanh_slope))
print(getsource(layers.dropped))

# %% [markdown]
# `@elementwise` says that a formula computes each entry by itself; this makes it faster, and
# changes nothing else. At $x = 0$ exactly, ReLU has no derivative; the code takes 0 there.
#
# ## Softmax and cross-entropy
#
# The readout has a logit $z_j$ for every class of all tasks, but a task has only some of these
# classes, the active ones $A$. Over these,
#
# $$p_j = \frac{e^{z_j}}{\sum_{i \in A} e^{z_i}}, \qquad
#   L = -\log p_y = \log \sum_{i \in A} e^{z_i} - z_y.$$
#
# The derivative of the first term is $e^{z_j} / \sum_i e^{z_i} = p_j$, and that of $z_y$ is 1 for
# $j = y$ and 0 otherwise:
#
# $$\frac{\partial L}{\partial z_j} = p_j - [j = y] \quad\text{for } j \in A, \qquad
#   \frac{\partial L}{\partial z_j} = 0 \quad\text{for } j \notin A.$$
#
# An inactive logit does not occur in the loss, so its gradient is exactly zero, whatever its value.
# For the mean over $B$ examples, everything is divided by $B$.

# %%
print(getsource(losses.exponentials))
print(getsource(losses.slope))
print(getsource(type(softmax_cross_entropy).__call__))

# %% [markdown]
# The figure shows the gradient for one digit 3 in a task about 2 and 3. The logits are random, and
# one inactive logit is enormous:

# %%
active = np.isin(np.arange(10), [2, 3])
z = rng.standard_normal((1, 10))
z[0, 8] = 1e300
_, dz = softmax_cross_entropy(z, np.array([3]), active)

fig, ax = plt.subplots(figsize=(6.4, 2.4))
ax.bar(np.arange(10), dz[0], color=np.where(active, EXACT, "0.7"))
ax.axhline(0, color="black", lw=0.8)
ax.set(xlabel="class", ylabel=r"$\partial L / \partial z$", xticks=range(10), ylim=(-1, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.text(8, 0.05, "$z_8 = 10^{300}$,\ngradient 0", ha="center", va="bottom", fontsize=9)
plt.show()

# %% [markdown]
# The gradient raises the logit of class 3 and lowers that of class 2 by as much: it sums to zero.
# It does not change the readouts of other tasks.
#
# ## The whole network
#
# The network calls its layers in reverse order: what one layer returns is the $dy$ of the layer
# below. The first layer need not compute $dx$, since no layer is below it. Here is this loop by
# hand, with what the forward pass has kept in each layer's memory.

# %%
net = pysi.MLP([8, 10, 6], seed=3, dtype=np.float64)
inputs, targets = np.random.default_rng(1).standard_normal((4, 8)), np.array([0, 1, 2, 3])
_, dlogits = softmax_cross_entropy(net.forward(inputs), targets, np.ones(6, bool))
net.backward(dlogits)
by_network, dy = net.synapses.grad.copy(), dlogits

net.synapses.grad[...] = 0
for layer, memory in zip(net.layers[::-1], net.last.memories[::-1], strict=True):
    dy = layer.backward(dy, memory.kept, memory)
by_hand = net.synapses.grad.copy()
print("the same gradient of all synapses:", np.array_equal(by_hand, by_network))

# %% [markdown]
# ## First check: random directions
#
# $\langle dy, Jv \rangle = \langle J^\top dy, v \rangle$ can be tested as it stands. The right side
# uses `backward`. For the left side we need $Jv$, from `forward` alone. Most of our layers are
# linear, or linear between the points where a unit switches, so a difference of two forward passes
# is exact if no unit switches between them. Tanh is not linear; there we make a tiny imaginary step
# and take the imaginary part of the result. This trick is explained below.
#
# A layer holds no weights and no arrays of its own: it is two functions, and the caller provides
# the memory.


# %%
class Memory:
    """What a network lends a layer, in its simplest form: new arrays for every call."""

    train = need_dx = True

    def __init__(self, weights=(), dtype=float):
        self.weights, self.dtype = weights, dtype
        self.gradients = tuple(np.zeros_like(w) for w in weights)
        self.streams = [np.random.default_rng(1)]  # dropout: the same mask every time

    def __call__(self, name, shape):
        return np.empty(shape, self.dtype)

    passing = __call__


def forward(layer, x, weights=()):
    return layer.forward(x, Memory(weights, x.dtype))[0]


def difference(layer, x, v, weights):
    t = 0.5 * abs(x / v).min()  # so short that no ReLU switches
    return (forward(layer, x + t * v, weights) - forward(layer, x, weights)) / t


def imaginary(layer, x, v, weights):
    return forward(layer, x + 1e-20j * v, weights).imag / 1e-20


def input_products(layer, derivative=difference, weights=()):
    """⟨dy, Jv⟩ and ⟨Jᵀdy, v⟩ for a random direction v of the input."""
    memory, (x, v) = Memory(weights), rng.standard_normal((2, 6, 5))
    y, kept = layer.forward(x, memory)
    dy = rng.standard_normal(y.shape)
    Jv, dx = derivative(layer, x, v, weights), layer.backward(dy, kept, memory)
    return (dy * Jv).sum(), (dx * v).sum()


def weight_products(layer, weights):
    """The same for a random direction v of the weights."""
    memory, x = Memory(weights), rng.standard_normal((6, 5))
    v = [rng.standard_normal(w.shape) for w in weights]
    y, kept = layer.forward(x, memory)
    dy = rng.standard_normal(y.shape)
    layer.backward(dy, kept, memory)
    Jv = forward(layer, x, [w + dw for w, dw in zip(weights, v, strict=True)]) - y
    pairs = zip(memory.gradients, v, strict=True)
    return (dy * Jv).sum(), sum((g * dw).sum() for g, dw in pairs)


# %% [markdown]
# Each dot below is one random pair of $v$ and $dy$. In the last panel we check a ReLU whose
# backward pass forgets the mask.


# %%
class WrongReLU(ReLU):
    def backward(self, dy, y, memory):
        return dy


dense, weights = Dense(5, 4), (rng.standard_normal((5, 4)), rng.standard_normal(4))

checks = {
    "Dense, input": lambda: input_products(dense, weights=weights),
    "Dense, weights": lambda: weight_products(dense, weights),
    "ReLU": lambda: input_products(ReLU()),
    "Tanh": lambda: input_products(Tanh(), imaginary),
    "Dropout": lambda: input_products(Dropout(0.5)),
    "a wrong ReLU": lambda: input_products(WrongReLU()),
}
pairs = {name: np.array([check() for _ in range(40)]).T for name, check in checks.items()}

# %%
fig, axes = plt.subplots(1, 6, figsize=(11, 2.3))
for ax, (name, (left, right)) in zip(axes, pairs.items(), strict=True):
    limit = 1.1 * max(abs(left).max(), abs(right).max())
    ax.plot([-limit, limit], [-limit, limit], color="0.7", lw=1, zorder=1)
    ink = "0.6" if "wrong" in name else EXACT
    ax.plot(left, right, "o", ms=4, color=ink, mec="white", mew=0.5)
    ax.set(title=name, xlabel=r"$\langle dy, Jv \rangle$", aspect="equal")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[0], yticks=[0])
axes[0].set_ylabel(r"$\langle J^\top dy, v \rangle$")
plt.show()

# %% [markdown]
# With a right backward pass every dot lies on the diagonal, up to the last few digits. One random
# direction already shows almost every mistake: a wrong $J^\top$ stays hidden only if $v$ happens to
# be orthogonal to the error. The package has this check as a function, for layers of your own:

# %%
for layer in (dense, ReLU(), Tanh(), Dropout(0.5)):
    pysi.check_layer(layer, rng.standard_normal((6, 5)))
try:
    pysi.check_layer(WrongReLU(), rng.standard_normal((6, 5)))
except pysi.ConfigError as error:
    refused = str(error)
print(refused)

# %% [markdown]
# ## Second check: finite differences
#
# The usual check moves all weights along a direction $v$, $f(h) = L(\theta + h v)$, and compares
# $\langle g, v \rangle$ with a difference quotient. How long should the step $h$ be? If $h$ is too
# long, Taylor's formula gives the error. If $h$ is too short, the error comes from floating point
# numbers, which have about 16 digits ($\varepsilon = 2.2 \cdot 10^{-16}$):
#
# | | truncation | rounding |
# |---|---|---|
# | forward, $(f(h) - f(0)) / h$ | $h \, \lvert f'' \rvert / 2$ | about $\varepsilon f / h$ |
# | central, $(f(h) - f(-h)) / 2h$ | $h^2 \, \lvert f''' \rvert / 6$ | about $\varepsilon f / h$ |
#
# The curve of their sum has the shape of a V. We first take a network without a hidden layer. Its
# logits are linear in the weights, $z + h\dot z$, so $f'', f'''$ are known exactly: as a function
# of $h$, $\log \sum_j e^{z_j + h \dot z_j}$ generates the cumulants of $\dot z$ under $p$. So $f''$
# is its variance and $f'''$ its third central moment, both averaged over the examples. The lines in
# the left panel are predictions, not fits.

# %%
x, labels = rng.standard_normal((20, 8)), rng.choice([2, 3, 5], 20)
active = np.isin(np.arange(6), [2, 3, 5])
steps = np.logspace(-15, 0, 61)


def difference_errors(sizes):
    """Errors of forward and central differences for every h; also the network, f(0) and v."""
    net = pysi.MLP(sizes, seed=3, dtype=np.float64)
    s = net.synapses
    s.theta[...] = theta = rng.standard_normal(s.theta.shape)
    v = rng.standard_normal(s.theta.shape)

    def f(h):
        s.theta[...] = theta + h * v
        return softmax_cross_entropy(net.forward(x), labels, active)[0]

    value, dlogits = softmax_cross_entropy(net.forward(x), labels, active)
    net.backward(dlogits)
    slope = (s.grad * v).sum()
    one_sided = np.array([(f(h) - value) / h - slope for h in steps])
    central = np.array([(f(h) - f(-h)) / (2 * h) - slope for h in steps])
    s.theta[...] = theta
    return net, value, v, slope, abs(one_sided), abs(central)


net, value, v, slope, one_sided, central = difference_errors((8, 6))
z = net.forward(x).copy()
net.synapses.theta[...] = v
dz = net.forward(x).copy()  # the logits are linear in θ: their derivative along v

p = np.where(active, np.exp(z), 0)
p /= p.sum(axis=1, keepdims=True)
deviation = dz - (p * dz).sum(axis=1, keepdims=True)
second, third = ((p * deviation**k).sum(axis=1).mean() for k in (2, 3))

# %% [markdown]
# Here is the trick with the imaginary step. For functions that accept complex numbers,
# $f(ih) = f(0) + ih f'(0) - \dots$, so $f'(0) = \operatorname{Im} f(ih) / h$ up to $h^2$. Nothing
# is subtracted, so rounding loses nothing, and $h$ may be as short as one likes. The truncation
# error is that of central differences.

# %%
complex_step = [softmax_cross_entropy(z + 1j * h * dz, labels, active)[0].imag / h for h in steps]
complex_step = abs(np.array(complex_step) - slope)

# %% [markdown]
# The right panel is a network with a hidden layer of ReLUs, where $f$ has kinks. The dashed line
# is the shortest step at which some unit switches for some example.

# %%
relu_net, _, relu_v, _, relu_one_sided, relu_central = difference_errors((8, 10, 6))
W, b = (relu_net.synapses.group(f"dense1.{name}") for name in "Wb")
dW, db = (relu_v[group.columns].reshape(group.shape) for group in (W, b))
kink = abs((x @ W.theta + b.theta) / (x @ dW + db)).min()

floor = 1e-17  # an error of exactly zero would be missing on a logarithmic axis
fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), sharey=True)
one_side, two_sides, turned = shades(3)
left.plot(steps, steps * second / 2, color="0.6", lw=1)
left.plot(steps, steps**2 * abs(third) / 6, color="0.6", lw=1)
left.plot(steps, np.finfo(float).eps * value / steps, color="0.6", lw=1, label="predicted")
left.plot(steps, np.maximum(complex_step, floor), ".-", color=turned, lw=1, label="complex step")
right.axvline(kink, color="0.4", lw=1, ls="--")
right.annotate("a unit switches", (kink, 1e-13), (-6, 0), textcoords="offset points",
               ha="right", color="0.4")  # fmt: skip
for ax, forward_error, central_error, title in (
    (left, one_sided, central, "No hidden layer"),
    (right, relu_one_sided, relu_central, "A hidden layer of ReLUs"),
):
    ax.plot(steps, np.maximum(forward_error, floor), ".-", color=one_side, lw=1, label="forward")
    ax.plot(steps, np.maximum(central_error, floor), ".-", color=two_sides, lw=1, label="central")
    ax.set(xscale="log", yscale="log", title=title, xlabel="step $h$", ylim=(3e-18, 30))
    ax.spines[["top", "right"]].set_visible(False)
left.set_ylabel(r"error of $\langle g, v \rangle$")
left.legend(frameon=False, ncols=2, loc="upper center", fontsize=9)
plt.show()

# %% [markdown]
# On the left, all curves follow the prediction: forward differences are best near $h = 10^{-8}$ and
# get half of the digits right; central differences are best near $10^{-5}$ and get about two thirds
# right. On the right, the central curve leaves its straight line where the first unit switches: a
# gradient check that fails at a long step may only have crossed a kink. The first check, with
# random directions, is the better test, because it has no two errors to balance; the package's own
# tests use both.
#
# ## The claims

# %%
# ⟨dy, Jv⟩ = ⟨Jᵀdy, v⟩, up to the rounding of a difference over a short step t
for name, (left, right) in pairs.items():
    if "wrong" not in name:
        assert np.allclose(left, right, rtol=1e-8, atol=1e-8), name
left, right = pairs["a wrong ReLU"]
assert not np.isclose(left, right, rtol=0.01).any()  # every single direction sees the mistake
assert "dx" in refused  # and so does the package's own check

# layer by layer in reverse is what the network does
assert np.array_equal(by_network, by_hand)

# the gradient with respect to the logits sums to zero, and is exactly zero for inactive classes
_, dlogits = softmax_cross_entropy(z, labels, active)
assert np.allclose(dlogits.sum(axis=1), 0, atol=1e-15)
assert (dlogits[:, ~active] == 0).all()

# where truncation errors dominate, they are as predicted, up to the next term of Taylor's series
long = (steps > 0.9e-4) & (steps < 1e-2)
assert np.allclose(one_sided[long], steps[long] * second / 2, rtol=0.02)
long = (steps > 0.9e-3) & (steps < 1e-2)
assert np.allclose(central[long], steps[long] ** 2 * abs(third) / 6, rtol=0.02)

# the best step for each difference, and the digits that it gives
assert 1e-9 < steps[one_sided.argmin()] < 1e-6 and one_sided.min() < 1e-7
assert 1e-7 < steps[central.argmin()] < 1e-3 and central.min() < 1e-9
assert complex_step[steps < 1e-9].max() < 1e-14

# between kinks the ReLU network's gradient is right as well
assert relu_central[steps < kink].min() < 1e-9
