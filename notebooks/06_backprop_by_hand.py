# %% [markdown]
# # 6. Backprop by hand
#
# **What you will do.** Write the backward pass of each layer in a few lines of NumPy, check it by
# finite differences, and then read the same lines in the package. You combine these passes into the
# gradient of a whole network, and write a layer that the package does not have.
#
# **What you will learn.** Why a backward pass is a transposed Jacobian; where the well-known
# $p - y$ comes from, and how masking changes it; how short the step of a finite difference should
# be, and why.
#
# **What you need.** The chain rule and matrix products. No earlier notebook.
#
# **Time.** About 55 minutes, of which 20 are for four exercises.

# %%
from inspect import getsource

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi import layers, losses
from pysi.figures.style import colour, shades, use
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from pysi.rules.distillation import distillation

use()
EXACT = colour("exact")
rng = np.random.default_rng(6)

# %% [markdown]
# ## What a layer has to return
#
# A layer maps $x$ to $y$, and the loss $L$ depends on $x$ only through $y$. We write
# $dy = \partial L / \partial y$ and $dx = \partial L / \partial x$. A layer is given $dy$ and must
# return $dx$.
#
# Let $J = \partial y / \partial x$ be the Jacobian of the layer. If the input moves by a small $v$,
# the output moves by $Jv$, and the loss by $\langle dy, Jv \rangle$. The same change of the loss
# must be $\langle dx, v \rangle$. For every $v$:
#
# $$\langle dy, J v \rangle = \langle J^\top dy, v \rangle, \qquad\text{so}\qquad dx = J^\top dy.$$
#
# That is all of backpropagation: from the last layer to the first, each layer multiplies by its
# transposed Jacobian. No layer ever computes the matrix $J$ itself.
#
# ### A check that does not trust us
#
# We shall make mistakes, so we first write a check that needs only the forward pass. It moves one
# entry of $x$ after the other, a little up and a little down, and looks at the loss. As the loss we
# take $\langle dy, y \rangle$ with a fixed random $dy$, because its derivative with respect to $y$
# is this $dy$.


# %%
def differences(f, x, h=1e-6):
    """Return ∂f/∂x for a function f whose value is a number: central differences."""
    found = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        found[place] = (f(x + step) - f(x - step)) / (2 * h)
    return found


def agree(found, expected):
    """Return whether two arrays have the same shape and, up to rounding, the same entries."""
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, atol=1e-7)


# %% [markdown]
# It needs two forward passes per entry. A backward pass gives all entries for the price of about
# one forward pass. That is why we need backpropagation at all.
#
# ## Dense
#
# A dense layer computes $y_{nj} = \sum_i x_{ni} W_{ij} + b_j$ for the examples $n$. For every sum
# of products there is one rule. To find the gradient of a quantity, look at every $y$ that contains
# it, multiply the $dy$ of this $y$ by the factor that stands beside the quantity there, and add up.
# For example, $y_{nj}$ contains $W_{ij}$ for every $n$, and the factor beside it is $x_{ni}$:
#
# $$\frac{\partial L}{\partial W_{ij}} = \sum_n x_{ni}\, dy_{nj}.$$
#
# **Exercise 1.** Write $dx$, $dW$ and $db$. First find the sums for $dx_{ni}$ and $db_j$ by the
# rule above. Then write all three without a loop: as matrix products, or as a sum over one axis.
# The arrays are $x$ (examples, inputs), $W$ (inputs, outputs) and $dy$ (examples, outputs).

# %%
x, dy = rng.standard_normal((6, 5)), rng.standard_normal((6, 4))
W, b = rng.standard_normal((5, 4)), rng.standard_normal(4)


def dense(x, W, b):
    return x @ W + b


# %% tags=["exercise", "hide-input"]
def dense_backward(dy, x, W):
    """Return dx, dW and db."""
    # your code: the three arrays
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


# %% tags=["check"]
found = dense_backward(dy, x, W)
assert isinstance(found, tuple) and len(found) == 3, "Return three arrays: dx, dW and db."
expected = {
    "dx": differences(lambda x: (dy * dense(x, W, b)).sum(), x),
    "dW": differences(lambda W: (dy * dense(x, W, b)).sum(), W),
    "db": differences(lambda b: (dy * dense(x, W, b)).sum(), b),
}
hints = {
    "dx": "The input i enters every output j, with the weight W_ij: the sum goes over j.",
    "dW": "The same weights serve all examples: the sum goes over n. It is a sum and not a mean; "
    "if the loss is a mean, then its 1/B is already in dy.",
    "db": "The bias j enters output j of every example, times 1: the sum goes over n.",
}
for (name, right), value in zip(expected.items(), found, strict=True):
    assert np.shape(value) == right.shape, (
        f"{name} has the shape of {name[1:]}, which is {right.shape}, not {np.shape(value)}."
    )
    assert agree(value, right), f"{name} is not what finite differences say. {hints[name]}"

# %% [markdown] tags=["instructor", "remove-cell"]
# A mean over the examples. The mean is part of the loss, and its $1/B$ comes with $dy$.
#
# ```python
# return dy @ W.T, x.T @ dy / len(x), dy.mean(axis=0)
# ```
#
# The transposed gradient, error times input. Gradients have the shape of what they belong to.
#
# ```python
# return dy @ W.T, dy.T @ x, dy.sum(axis=0)
# ```
#
# One gradient of the bias per example. All examples share the bias.
#
# ```python
# return dy @ W.T, x.T @ dy, dy
# ```

# %% [markdown]
# Now look at the lines of the package:

# %%
print(getsource(Dense.backward))
print(getsource(Dense.input_gradient))

# %% [markdown]
# These are the same three lines. `swapaxes(-1, -2)` is the transpose; it leaves the axes before the
# last two as they are, because they belong to independent networks. `x` is what `forward` has kept
# for `backward`. A layer itself owns no arrays: the network lends it `memory`, with its weights to
# be read and its gradients to be written. To call a layer alone, we lend it new arrays:


# %%
class Memory:
    """What a network lends a layer, in its simplest form: new arrays at every call."""

    train = need_dx = True

    def __init__(self, weights):
        self.weights, self.gradients = weights, [np.empty_like(w) for w in weights]
        self.streams = [np.random.default_rng(1)]  # random numbers, for dropout

    def __call__(self, name, shape):
        return np.empty(shape)

    passing = __call__


def package(layer, x, dy, *weights):
    """Return y, dx and the gradients of the weights, as a layer of the package computes them."""
    memory = Memory(weights)
    y, kept = layer.forward(x, memory)
    return y, layer.backward(dy, kept, memory), *memory.gradients


by_package = package(Dense(5, 4), x, dy, W, b)
by_hand = dense(x, W, b), *dense_backward(dy, x, W)
print([agree(*both) for both in zip(by_package, by_hand, strict=True)])

# %% [markdown]
# **Question.** A synapse connects the unit $i$ below with the unit $j$ above. Which two numbers per
# example does its gradient need, and where are they?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The activity $x_{ni}$ of the unit below and the error $dy_{nj}$ of the unit above. Both are at the
# two ends of the synapse. This is why the paper can say that a synapse computes its own importance:
# $\omega$ needs only the gradient and the step, and both are local.
#
# </details>

# %% [markdown]
# ## Layers that act on each entry alone
#
# ReLU is $y = \max(x, 0)$, the sigmoid is $y = 1 / (1 + e^{-x})$. Each output depends on one input.
# So $J$ is diagonal, and a diagonal matrix is its own transpose:
#
# $$dx = m \odot dy, \qquad m = \frac{dy_k}{dx_k} \text{ for each entry } k.$$
#
# **Exercise 2.** Write the slopes $m$ of both. Use the *output* $y$ alone, not $x$: then a layer
# has to keep only one array until the backward pass. For the sigmoid, differentiate, and replace
# $e^{-x}$ by $1/y - 1$. At $x = 0$ the ReLU has no derivative; take 0 there.


# %%
def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# %% tags=["exercise", "hide-input"]
def slopes(y, kind):
    """Return the slope of each entry, from the output y; `kind` is "relu" or "sigmoid"."""
    # your code: the slopes, with the shape of y, for both kinds
    if kind == "relu":
        return np.where(y > 0, 1.0, 0.0)
    return y * (1 - y)


# %% tags=["check"]
expected = {
    "relu": (relu, "It is 1 where the unit is active, so where y > 0, and 0 elsewhere."),
    "sigmoid": (sigmoid, "The derivative is e^(-x) / (1 + e^(-x))², where 1 / (1 + e^(-x)) is y."),
}
for kind, (f, hint) in expected.items():
    found = slopes(f(x), kind)
    assert np.shape(found) == x.shape, (
        f"{kind}: expected one slope per entry, an array of shape {x.shape}, not {np.shape(found)}."
    )
    assert agree(found, differences(lambda x, f=f: f(x).sum(), x)), (
        f"{kind}: the slopes are not what finite differences say. {hint}"
    )
assert (slopes(np.zeros(3), "relu") == 0).all(), "relu: at x = 0 take the slope 0."

# %% [markdown] tags=["instructor", "remove-cell"]
# The sigmoid of the output. The formula for $x$ is used with $y$: $\sigma(y)(1 - \sigma(y))$.
#
# ```python
# return np.where(y > 0, 1.0, 0.0) if kind == "relu" else sigmoid(y) * (1 - sigmoid(y))
# ```
#
# The slope of tanh, $1 - y^2$, in place of the sigmoid's.
#
# ```python
# return np.where(y > 0, 1.0, 0.0) if kind == "relu" else 1 - y**2
# ```
#
# The output of the ReLU in place of its slope.
#
# ```python
# return np.maximum(y, 0) if kind == "relu" else y * (1 - y)
# ```
#
# The slope 1 at zero. Then all inactive units would pass gradients on, since their $y$ is 0.
#
# ```python
# return np.where(y >= 0, 1.0, 0.0) if kind == "relu" else y * (1 - y)
# ```

# %% [markdown]
# The package has ReLU, tanh and dropout. Tanh has the slope $1 - \tanh^2 x = 1 - y^2$. Dropout
# multiplies every entry by a random number, which is 0 with probability $p$ and $1/(1-p)$
# otherwise; this number is also its slope.

# %%
print(getsource(layers.relu_slope))
print(getsource(layers.tanh_slope))
print(getsource(layers.dropped))

dy_x = rng.standard_normal(x.shape)
_, relu_dx = package(ReLU(), x, dy_x)
_, tanh_dx = package(Tanh(), x, dy_x)
print("ReLU:", agree(relu_dx, dy_x * slopes(relu(x), "relu")))
print("Tanh:", agree(tanh_dx, dy_x * (1 - np.tanh(x) ** 2)))

# %% [markdown]
# `@elementwise` says that a formula computes each entry by itself; this makes it faster and changes
# nothing else.
#
# **Question.** How large can the slope of a sigmoid be? And what does this mean for a gradient that
# passes through ten of them?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# $y(1 - y)$ is largest at $y = 1/2$, where it is $1/4$. After ten sigmoids at most $4^{-10}$ of the
# gradient is left, about a millionth, unless large weights make up for it. Gradients *vanish* in
# deep networks of sigmoids. The slope of an active ReLU is 1, so its gradient passes unchanged.
#
# </details>

# %% [markdown]
# **Try.** Apply the sigmoid ten times to $x$, and the ReLU ten times, and multiply the slopes. You
# will see that with the sigmoid less than $10^{-6}$ of the gradient is left, and with the ReLU all
# of it, for each entry that is positive.

# %%
left = {}
for f in (sigmoid, relu):
    y, left[f.__name__] = x, np.ones_like(x)
    for _ in range(10):
        y = f(y)
        left[f.__name__] *= slopes(y, f.__name__)
print(f"sigmoid: at most {left['sigmoid'].max():.1e} is left; ReLU: {np.unique(left['relu'])}")
assert 0 < left["sigmoid"].max() < 1e-6
assert np.array_equal(left["relu"], x > 0)

# %% [markdown]
# ## Softmax and cross-entropy
#
# The readout has a logit $z_j$ for every class of all tasks, but a task has only some of these
# classes, the active ones $A$. Over these,
#
# $$p_j = \frac{e^{z_j}}{\sum_{i \in A} e^{z_i}}, \qquad
#   L = -\log p_y = \log \sum_{i \in A} e^{z_i} - z_y,$$
#
# where $y$ is the label. We differentiate both terms. The derivative of the first is
# $e^{z_j} / \sum_i e^{z_i} = p_j$; that of $z_y$ is 1 for $j = y$ and 0 otherwise:
#
# $$\frac{\partial L}{\partial z_j} = p_j - [j = y] \quad\text{for } j \in A, \qquad
#   \frac{\partial L}{\partial z_j} = 0 \quad\text{for } j \notin A.$$
#
# An inactive logit does not occur in the loss, so its gradient is exactly zero. The loss of a
# minibatch is the mean over its $B$ examples, so everything is divided by $B$.
#
# **Exercise 3.** Write the gradient of this loss: an array with the shape of `z`, (examples,
# classes). `active` is an array of True and False, one for each class.

# %%
z, labels = rng.standard_normal((7, 6)), np.array([2, 3, 5, 5, 3, 2, 3])
active = np.isin(np.arange(6), [2, 3, 5])


def cross_entropy(z, labels, active):
    total = np.where(active, np.exp(z), 0).sum(axis=1)
    return (np.log(total) - z[np.arange(len(z)), labels]).mean()


# %% tags=["exercise", "hide-input"]
def cross_entropy_gradient(z, labels, active):
    """Return ∂L/∂z of the mean loss, (examples, classes)."""
    # your code: p - [j = y] over B for active classes, and 0 for all others
    e = np.where(active, np.exp(z), 0)
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(z)), labels] -= 1
    return p / len(z)


# %% tags=["check"]
found = cross_entropy_gradient(z.copy(), labels, active)
expected = differences(lambda z: cross_entropy(z, labels, active), z)
assert np.shape(found) == z.shape, f"Return an array of shape {z.shape}, not {np.shape(found)}."
assert (found[:, ~active] == 0).all(), (
    "A class that is not active does not occur in the loss: its gradient is exactly 0."
)
assert not agree(found, -expected), "The sign: this is y - p; the gradient is p - y."
assert not agree(found, expected * len(z)), "The loss is a mean over B examples: divide by B."
assert np.allclose(found.sum(axis=1), 0), (
    "Each row must sum to 0: p sums to 1 over the active classes, and 1 is taken off at the label."
)
assert agree(found, expected), "The rows sum to 0, but finite differences say something else."

# %% [markdown] tags=["instructor", "remove-cell"]
# The mask is forgotten, so that the logits of other tasks move, too.
#
# ```python
# p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
# p[np.arange(len(z)), labels] -= 1
# return p / len(z)
# ```
#
# The mask is applied after the division. Then $p$ does not sum to 1 over the active classes.
#
# ```python
# p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
# p[np.arange(len(z)), labels] -= 1
# return np.where(active, p, 0) / len(z)
# ```
#
# The mean is forgotten.
#
# ```python
# e = np.where(active, np.exp(z), 0)
# p = e / e.sum(axis=1, keepdims=True)
# p[np.arange(len(z)), labels] -= 1
# return p
# ```
#
# The gradient of the log-likelihood, which is minus the loss.
#
# ```python
# e = np.where(active, np.exp(z), 0)
# p = e / e.sum(axis=1, keepdims=True)
# return (np.eye(6)[labels] - p) / len(z)
# ```

# %% [markdown]
# **Question.** In single precision $e^{z}$ is infinite from $z = 89$ on, in double precision from
# $z = 710$ on. What do the lines above return for such a logit? How can it be avoided?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# They return $\infty / \infty$, which is not a number (`nan`). A constant that is added to all
# logits cancels in $p$. So we may subtract the largest active logit from all of them: then the
# largest exponential is $e^0 = 1$, and none can overflow.
#
# </details>

# %% [markdown]
# The package does this. It also sets inactive logits to $-\infty$, and $e^{-\infty}$ is exactly 0:

# %%
print(getsource(losses.exponentials))
print(getsource(losses.slope))
print(getsource(type(softmax_cross_entropy).__call__))

loss, dz = softmax_cross_entropy(z, labels, active)
print("loss:", np.isclose(loss, cross_entropy(z, labels, active)))
print("gradient:", agree(dz, cross_entropy_gradient(z.copy(), labels, active)))

# %% [markdown]
# The figure shows the package's gradient for one digit 3 in a task about 2 and 3. The logits are
# random, and one inactive logit is enormous.

# %% tags=["hide-input"]
digits = np.isin(np.arange(10), [2, 3])
huge = rng.standard_normal((1, 10))
huge[0, 8] = 1e300
_, dhuge = softmax_cross_entropy(huge, np.array([3]), digits)

fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.bar(np.arange(10), dhuge[0], color=EXACT)
ax.axhline(0, color="black", lw=0.8)
ax.set(xlabel="class", ylabel=r"$\partial L / \partial z$", xticks=range(10), ylim=(-1, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.text(8, 0.05, "$z_8 = 10^{300}$,\ngradient 0", ha="center", va="bottom", fontsize=10)
plt.show()

# %% [markdown]
# The gradient lowers the loss by raising the logit of class 3 and lowering that of class 2 by as
# much: it sums to zero. (A step goes *against* the gradient.) It does not touch the readout of any
# other task.
#
# ## The whole network
#
# With these three functions you have the gradient of a whole network: forward from the first layer
# to the last, backward from the last to the first. What one layer returns as $dx$ is the $dy$ of
# the layer below.

# %%
net = pysi.MLP([8, 10, 6], seed=3, dtype=np.float64)
names = ("dense1.W", "dense1.b", "dense2.W", "dense2.b")
W1, b1, W2, b2 = (net.synapses.group(name).theta for name in names)
inputs = rng.standard_normal((7, 8))

h = relu(dense(inputs, W1, b1))
logits = dense(h, W2, b2)

dlogits = cross_entropy_gradient(logits, labels, active)
dh, dW2, db2 = dense_backward(dlogits, h, W2)
_, dW1, db1 = dense_backward(dh * slopes(h, "relu"), inputs, W1)

# %% [markdown]
# The package does the same in two calls. Behind the second is a loop over the layers, in reverse
# order; it writes the gradients into the table `net.synapses`.

# %%
_, dlogits = softmax_cross_entropy(net.forward(inputs), labels, active)
net.backward(dlogits)

network_agrees = {}
for name, gradient in zip(names, (dW1, db1, dW2, db2), strict=True):
    network_agrees[name] = agree(net.synapses.group(name).grad, gradient)
    print(f"{name}: {network_agrees[name]}")

# %% [markdown]
# **Question.** The name `_` above stands for an array that was computed and thrown away. Which one
# is it, and what does the package do about it?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# It is $\partial L / \partial x$ for the pixels of the first layer. There is no layer below that
# could use it. This is a matrix product with the largest weight matrix of the network. The package
# leaves it out: `memory.need_dx` is False for the first layer.
#
# </details>

# %% [markdown]
# ## A layer of your own: layer normalization
#
# So far the Jacobians were simple. *Layer normalization* (Ba, Kiros & Hinton, 2016) makes the $K$
# features of each example have mean 0 and variance 1:
#
# $$y_j = \frac{x_j - \mu}{\sigma}, \qquad \mu = \frac1K \sum_i x_i, \qquad
#   \sigma = \sqrt{\frac1K \sum_i (x_i - \mu)^2 + \varepsilon}.$$
#
# Every $y_j$ depends on every $x_i$ in three ways: directly for $i = j$, through $\mu$, and through
# $\sigma$. We need $\partial\mu / \partial x_i = 1/K$ and
# $\partial\sigma / \partial x_i = (x_i - \mu) / (K \sigma) = y_i / K$. By the quotient rule
#
# $$J_{ji} = \frac{\partial y_j}{\partial x_i}
#   = \frac{1}{\sigma} \left( [i = j] - \frac1K - \frac{y_j\, y_i}{K} \right).$$
#
# **Exercise 4.** Write the backward pass, $dx_i = \sum_j dy_j J_{ji}$, without making the matrix.
# Two of the sums over $j$ are means over the features: of $dy$, and of $dy \odot y$. Each example
# has its own mean; `mean(axis=-1, keepdims=True)` keeps the shape so that it can be subtracted. The
# class is already a layer as the package wants it; only the backward pass is missing.


# %% tags=["exercise", "hide-input"]
class LayerNorm(Layer):
    """Layer normalization: the features of each example get mean 0 and variance 1."""

    def forward(self, x, memory):
        deviation = x - x.mean(axis=-1, keepdims=True)
        sigma = np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + 1e-12)
        y = deviation / sigma
        return y, (y, sigma)

    def backward(self, dy, kept, memory):
        y, sigma = kept
        # your code: dx, with the shape of dy
        mean, along = dy.mean(axis=-1, keepdims=True), (dy * y).mean(axis=-1, keepdims=True)
        return (dy - mean - y * along) / sigma


# %% tags=["check"]
y, found = package(LayerNorm(), x, dy_x)
assert np.shape(found) == x.shape, f"dx has the shape of x, {x.shape}, not {np.shape(found)}."
assert np.allclose(found.sum(axis=1), 0), (
    "Each row of dx must sum to 0: adding the same number to all features changes no y. Subtract "
    "the mean of dy over the features of each example."
)
assert np.allclose((found * y).sum(axis=1), 0, atol=1e-6), (
    "dx must have no part along y: stretching the features changes no y, because σ grows as well. "
    "Subtract y times the mean of dy · y."
)
expected = differences(lambda x: (dy_x * package(LayerNorm(), x, dy_x)[0]).sum(), x)
assert agree(found, expected), "Both parts are taken off, but the size is wrong: divide by σ."

# %% [markdown] tags=["instructor", "remove-cell"]
# Mean and σ are treated as constants. Then the layer is a mere scaling.
#
# ```python
# return dy / sigma
# ```
#
# Only σ is treated as a constant. This often passes unnoticed, because networks learn all the same.
#
# ```python
# return (dy - dy.mean(axis=-1, keepdims=True)) / sigma
# ```
#
# Sums in place of means.
#
# ```python
# return (dy - dy.sum(axis=-1, keepdims=True) - y * (dy * y).sum(axis=-1, keepdims=True)) / sigma
# ```
#
# Means over the examples in place of the features.
#
# ```python
# return (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / sigma
# ```
#
# The division is forgotten.
#
# ```python
# return dy - dy.mean(axis=-1, keepdims=True) - y * (dy * y).mean(axis=-1, keepdims=True)
# ```

# %% [markdown]
# The Jacobian is symmetric: $J^\top = J$. It takes off the part of $dy$ that lies along
# $(1, \dots, 1)$ and the part along $y$. These are the two directions in which $x$ may move without
# any change of $y$.
#
# The layer can now stand in any network. The package checks it first:

# %%
pysi.check_layer(LayerNorm(), x)
norm = pysi.Network([Dense(8, 10), LayerNorm(), ReLU(), Dense(10, 6)], seed=3, dtype=np.float64)
theta = norm.synapses.theta.copy()
_, dlogits = softmax_cross_entropy(norm.forward(inputs), labels, active)
norm.backward(dlogits)


def loss_of_network(theta):
    norm.synapses.theta[...] = theta
    return softmax_cross_entropy(norm.forward(inputs), labels, active)[0]


norm_agrees = agree(norm.synapses.grad, differences(loss_of_network, theta))
print("a network with your layer:", norm_agrees)

# %% [markdown]
# ## One random direction
#
# Two forward passes per entry are too many for a large layer. One direction $v$ that moves all
# entries at once is almost as good:
#
# $$\langle dy, J v \rangle = \langle J^\top dy, v \rangle.$$
#
# For the left side we take $Jv$ from two forward passes; the right side is
# $\langle dx, v \rangle$. In the figure, each marker is one random pair of $v$ and $dy$. On the
# right are two wrong layers: a ReLU that forgets its mask, and a layer normalization that takes
# $\sigma$ for a constant.


# %%
class WrongReLU(ReLU):
    def backward(self, dy, kept, memory):
        return dy


class WrongNorm(LayerNorm):
    def backward(self, dy, kept, memory):
        _, sigma = kept
        return (dy - dy.mean(axis=-1, keepdims=True)) / sigma


def both_sides(layer, *weights, h=1e-6):
    """Return ⟨dy, Jv⟩ and ⟨Jᵀdy, v⟩ for a random direction v of the input."""
    x, v = rng.standard_normal((2, 6, 5))
    up, down = (layer.forward(x + step * v, Memory(weights))[0] for step in (h, -h))
    dy = rng.standard_normal(up.shape)
    _, dx, *_ = package(layer, x, dy, *weights)
    return (dy * (up - down)).sum() / (2 * h), (dx * v).sum()


right = {"Dense": (Dense(5, 4), W, b), "ReLU": (ReLU(),), "Tanh": (Tanh(),),
         "Dropout": (Dropout(0.5),), "LayerNorm": (LayerNorm(),)}  # fmt: skip
wrong = {"ReLU without its mask": (WrongReLU(),), "LayerNorm with constant σ": (WrongNorm(),)}
pairs = {name: np.array([both_sides(*arguments) for _ in range(40)]).T
         for name, arguments in (right | wrong).items()}  # fmt: skip

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), sharex=True, sharey=True)
for ax, names, title in zip(axes, (right, wrong), ("right", "wrong"), strict=True):
    ax.axline((0, 0), slope=1, color="0.7", lw=1, zorder=1)
    for name, marker in zip(names, "os^Dv", strict=False):
        ax.plot(*pairs[name], marker, ms=5, color=EXACT, mfc="white", label=name)
    ax.set(title=title, xlabel=r"$\langle dy, Jv \rangle$, from two forward passes")
    ax.set(xlim=(-16, 16), ylim=(-16, 16), aspect="equal")
    ax.legend(loc="upper left", fontsize=9)
axes[0].set_ylabel(r"$\langle J^\top dy, v \rangle$, from the backward pass")
plt.show()

# %% [markdown]
# With a right backward pass every marker lies on the diagonal, up to the last few digits. A wrong
# one stays hidden only if $v$ happens to be orthogonal to its error, and this has probability zero.
# So a single direction is enough, provided that we look at the digits and not at the picture: some
# markers on the right come close to the diagonal.
#
# `pysi.check_layer` makes this check, for the input and for all weights.
#
# **Try.** Give it the two wrong layers. You will see that it refuses both, and prints both sides.

# %%
refused = []
for layer in (WrongReLU(), WrongNorm()):
    try:
        pysi.check_layer(layer, x)
    except pysi.ConfigError as error:
        refused.append(str(error))
        print(error)
assert len(refused) == 2 and all("dx" in message for message in refused)

# %% [markdown]
# ## How short should a step be?
#
# We took $h = 10^{-6}$ without a reason. Let $f(h) = L(\theta + h v)$ be the loss along a
# direction. If $h$ is too long, Taylor's formula gives the error. If $h$ is too short, the error
# comes from floating point numbers, which have about 16 digits
# ($\varepsilon = 2.2 \cdot 10^{-16}$):
#
# | | truncation | rounding |
# |---|---|---|
# | forward, $(f(h) - f(0)) / h$ | $h \, \lvert f'' \rvert / 2$ | about $\varepsilon f / h$ |
# | central, $(f(h) - f(-h)) / 2h$ | $h^2 \, \lvert f''' \rvert / 6$ | about $\varepsilon f / h$ |
#
# On logarithmic axes the curve of their sum has the shape of a V.
#
# **Question.** At which $h$ is the tip of the V, roughly, if $f$, $f''$ and $f'''$ are all about 1?
# How many digits are right there?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Where both errors are about equal. Forward: $h \approx \varepsilon / h$, so $h \approx
# \sqrt\varepsilon \approx 10^{-8}$, and the error is $10^{-8}$ as well: half of the 16 digits.
# Central: $h^2 \approx \varepsilon / h$, so $h \approx \varepsilon^{1/3} \approx 10^{-5}$, and the
# error is $\varepsilon^{2/3} \approx 10^{-10}$ to $10^{-11}$: two thirds of the digits.
#
# </details>

# %% [markdown]
# We test this on a network without a hidden layer. Its logits are linear in the weights,
# $z + h\dot z$, so $f''$ and $f'''$ are known exactly: as a function of $h$,
# $\log \sum_j e^{z_j + h \dot z_j}$ generates the cumulants of $\dot z$ under $p$. Its second
# derivative is the variance of $\dot z$ and its third the third central moment, both averaged over
# the examples. The grey lines in the left panel are predictions, not fits.

# %%
inputs, labels = rng.standard_normal((20, 8)), rng.choice([2, 3, 5], 20)
lengths = np.logspace(-15, 0, 61)


def difference_errors(sizes):
    """Return the errors of both differences for every h; also the network, f(0), v and f'(0)."""
    net = pysi.MLP(sizes, seed=3, dtype=np.float64)
    s = net.synapses
    s.theta[...] = theta = rng.standard_normal(s.theta.shape)
    v = rng.standard_normal(s.theta.shape)

    def f(h):
        s.theta[...] = theta + h * v
        return softmax_cross_entropy(net.forward(inputs), labels, active)[0]

    value, dlogits = softmax_cross_entropy(net.forward(inputs), labels, active)
    net.backward(dlogits)
    slope = (s.grad * v).sum()
    one_sided = np.array([(f(h) - value) / h - slope for h in lengths])
    central = np.array([(f(h) - f(-h)) / (2 * h) - slope for h in lengths])
    s.theta[...] = theta
    return net, value, v, slope, abs(one_sided), abs(central)


net, value, v, slope, one_sided, central = difference_errors((8, 6))
z = net.forward(inputs).copy()
net.synapses.theta[...] = v
z_dot = net.forward(inputs).copy()  # the logits are linear in θ: their derivative along v

p = losses.softmax(z, active)
deviation = z_dot - (p * z_dot).sum(axis=1, keepdims=True)
second, third = ((p * deviation**k).sum(axis=1).mean() for k in (2, 3))

# %% [markdown]
# There is a way without the V. For functions that accept complex numbers,
# $f(ih) = f(0) + ih f'(0) - \dots$, so $f'(0) = \operatorname{Im} f(ih) / h$ up to $h^2$. Nothing
# is subtracted, so rounding loses nothing, and $h$ may be as short as one likes. This is the
# *complex step* (Squire & Trapp, 1998).

# %%
complex_step = [
    softmax_cross_entropy(z + 1j * h * z_dot, labels, active)[0].imag / h for h in lengths
]
complex_step = abs(np.array(complex_step) - slope)

relu_net, _, relu_v, _, relu_one_sided, relu_central = difference_errors((8, 10, 6))
W1, b1 = (relu_net.synapses.group(f"dense1.{name}") for name in "Wb")
dW1, db1 = (relu_v[group.columns].reshape(group.shape) for group in (W1, b1))
kink = abs(dense(inputs, W1.theta, b1.theta) / dense(inputs, dW1, db1)).min()

# %% [markdown]
# The right panel shows a network with a hidden layer of ReLUs, where $f$ has kinks. The dashed line
# is the shortest step at which some unit switches for some example.

# %% tags=["hide-input"]
floor = 1e-17  # an error of exactly zero would be missing on a logarithmic axis
fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4), sharey=True)
one_side, two_sides, turned = shades(3)
left.plot(lengths, lengths * second / 2, color="0.6", lw=1)
left.plot(lengths, lengths**2 * abs(third) / 6, color="0.6", lw=1)
left.plot(lengths, np.finfo(float).eps * value / lengths, color="0.6", lw=1, label="predicted")
left.plot(lengths, np.maximum(complex_step, floor), ".-", color=turned, lw=1, label="complex step")
right.axvline(kink, color="0.4", lw=1, ls="--")
right.annotate("a unit switches", (kink, 1e-13), (-6, 0), textcoords="offset points",
               ha="right", color="0.4", fontsize=10)  # fmt: skip
for ax, forward_error, central_error, title in (
    (left, one_sided, central, "no hidden layer"),
    (right, relu_one_sided, relu_central, "a hidden layer of ReLUs"),
):
    ax.plot(lengths, np.maximum(forward_error, floor), ".-", color=one_side, lw=1, label="forward")
    ax.plot(lengths, np.maximum(central_error, floor), ".-", color=two_sides, lw=1, label="central")
    ax.set(xscale="log", yscale="log", title=title, xlabel="step $h$", ylim=(3e-18, 300))
    ax.spines[["top", "right"]].set_visible(False)
left.set_ylabel(r"error of $\langle g, v \rangle$")
left.legend(frameon=False, ncols=2, loc="upper center", fontsize=9)
plt.show()

# %% [markdown]
# On the left, all curves follow the prediction, with their tips where the answer above says. On the
# right, the central curve leaves its straight line where the first unit switches. A gradient check
# that fails at a long step may only have crossed a kink.
#
# ## On your own
#
# 1. *Scale and shift.* Real layer normalization ends with $\gamma_j y_j + \beta_j$, where $\gamma$
#    and $\beta$ are learned. Add both to `LayerNorm` as `parameters`, and let `pysi.check_layer`
#    judge. Are these synapses protected by Synaptic Intelligence, too?
# 2. *A different loss.* Write the gradient of label smoothing, where the target is $1 - \epsilon$
#    for the label and $\epsilon / (\lvert A \rvert - 1)$ for each of the other active classes.
#    Which line of your function changes?
# 3. *Twice backward.* The product of the Hessian with a vector is
#    $Hv \approx (g(\theta + hv) - g(\theta - hv)) / 2h$. Compute it for the network above, and
#    check that $\langle u, Hv \rangle = \langle v, Hu \rangle$ for random $u$ and $v$. Why must
#    this hold?
#
# ## In practice
#
# * Frameworks such as PyTorch and JAX do all this by themselves. You still write a backward pass
#   when you fuse operations, save memory or use a function that the framework does not know. They
#   too check it with random directions or differences (`torch.autograd.gradcheck`,
#   `jax.test_util.check_grads`).
# * Check in double precision and away from kinks. In single precision the tip of the central V is
#   near $h = 10^{-2}$, and only four or five digits are right there.
# * A wrong gradient often still learns, only worse. So check gradients; do not judge them by the
#   accuracy of a network.
# * Synaptic Intelligence adds up $-g\,\Delta\theta$ for each synapse
#   ([notebook 2](02_what_a_synapse_knows.ipynb)). A mistake in $g$ goes straight into $\omega$.
#
# ## Further reading
#
# * [Backward passes](../derivations/backprop.md): all the derivations on one page.
#   [Notebook 10](10_convolution_by_hand.ipynb) does the same for convolution and pooling.
# * [Your own](../extend.md): layers, losses and rules in a few lines each.
# * Rumelhart, Hinton & Williams (1986), *Learning representations by back-propagating errors*.
# * Griewank & Walther (2008), *Evaluating derivatives*: what a derivative costs, and how programs
#   compute it.
# * Ba, Kiros & Hinton (2016), [Layer normalization](https://arxiv.org/abs/1607.06450).
# * Squire & Trapp (1998), *Using complex variables to estimate derivatives of real functions*.
#
# ## The claims

# %%
# by hand and in the package: each layer, the loss, and the whole network
assert all(agree(*both) for both in zip(by_package, by_hand, strict=True))
assert agree(relu_dx, dy_x * slopes(relu(x), "relu"))
assert agree(tanh_dx, dy_x * (1 - np.tanh(x) ** 2))
assert all(network_agrees.values()) and norm_agrees

# dropout keeps the mean: an entry becomes 0, or 1 / (1 - p) of what it was
left_on, *_ = package(Dropout(0.2), np.ones((100, 100)), np.ones((100, 100)))
assert np.isin(left_on, [0, 1 / 0.8]).all() and abs(left_on.mean() - 1) < 0.03, (
    "What dropout leaves on must be divided by 1 - p, or the mean falls by the factor 1 - p."
)

# the gradient with respect to the logits sums to zero, and is exactly zero for inactive classes
_, dlogits = softmax_cross_entropy(z, labels, active)
assert np.allclose(dlogits.sum(axis=1), 0, atol=1e-15)
assert (dlogits[:, ~active] == 0).all()
assert np.isfinite(dhuge).all() and (dhuge[:, ~digits] == 0).all()

# distillation is this loss with an old network's probabilities as labels, at a temperature T
old = rng.standard_normal(z.shape)
dlogits = differences(lambda z: distillation(z, old, 2.0, active)[0], z)
assert agree(distillation(z, old, 2.0, active)[1], dlogits), "The slope of z / T is 1 / T."
assert agree(distillation(old, old, 2.0, active)[1], np.zeros_like(z)), (
    "A network that answers as the old one does has the gradient 0: T divides both logits."
)

# ⟨dy, Jv⟩ = ⟨Jᵀdy, v⟩ for every right layer; every single direction shows a wrong one
for name, (by_forward, by_backward) in pairs.items():
    if name in wrong:
        assert not np.isclose(by_forward, by_backward, rtol=1e-3).any(), name
    else:
        assert np.allclose(by_forward, by_backward, rtol=1e-6, atol=1e-6), name

# where truncation errors dominate, they are as predicted, up to the next term of Taylor's series
long = (lengths > 0.9e-4) & (lengths < 1e-2)
assert np.allclose(one_sided[long], lengths[long] * second / 2, rtol=0.02)
long = (lengths > 0.9e-3) & (lengths < 1e-2)
assert np.allclose(central[long], lengths[long] ** 2 * abs(third) / 6, rtol=0.02)

# the best step for each difference, and the digits that it gives
assert 1e-9 < lengths[one_sided.argmin()] < 1e-6 and one_sided.min() < 1e-7
assert 1e-7 < lengths[central.argmin()] < 1e-3 and central.min() < 1e-9
assert complex_step[lengths < 1e-9].max() < 1e-14

# between kinks the ReLU network's gradient is right as well
assert relu_central[lengths < kink].min() < 1e-9
