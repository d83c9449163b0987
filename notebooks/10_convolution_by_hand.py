# %% [markdown]
# # 10. Convolution by hand
#
# **What you will do.** Write a convolution in loops, as its definition says; make it one matrix
# product; derive its backward pass and that of max pooling; then halve the multiplications with
# Winograd's algorithm, and time all three forms.
#
# **What you will learn.** What a kernel sees; why a convolution is a dense layer in another form;
# where the gradient of a maximum goes; how polynomials save half of the multiplications; what is
# gained by taking a few images at a time.
#
# **What you need.** Notebook 6, for $\langle dy, Jv \rangle = \langle J^\top dy, v \rangle$.

# %%
import timeit
import tracemalloc
from fractions import Fraction
from inspect import getsource
from time import process_time

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import pysi
import pysi.backend.uses
from pysi.figures.style import colour, shades, use
from pysi.images.convolution import Conv2D
from pysi.images.pooling import MaxPool2D
from pysi.images.winograd import COLUMN, FRACTIONS, ROWS, TAPS, WinogradConv2D

use()
rng = np.random.default_rng(0)

# %% [markdown]
# ## The definition
#
# An image is an array of rows, columns and channels. A kernel $W$ is laid on every place of it.
# What lies under the kernel is weighted and summed, once for each output channel $k$:
#
# $$y_{hwk} = b_k + \sum_{ijc} x_{h+i,\, w+j,\, c}\, W_{ijck}.$$


# %%
def convolve(x, W, b):
    """y of one image x, (H, W, C), by the definition."""
    rows, columns, n_in, n_out = W.shape
    height, width = x.shape[0] - rows + 1, x.shape[1] - columns + 1
    y = np.zeros((height, width, n_out), x.dtype)
    for h in range(height):
        for w in range(width):
            for k in range(n_out):
                y[h, w, k] = b[k]
                for i in range(rows):
                    for j in range(columns):
                        for c in range(n_in):
                            y[h, w, k] += x[h + i, w + j, c] * W[i, j, c, k]
    return y


# %% [markdown]
# The figure shows four well-known kernels, applied to a digit. The first two are differences
# between neighbours, and find edges; the third is the mean of nine pixels; the fourth compares a
# pixel with those around it.

# %%
digit = pysi.load_dataset("mnist-5k").x_test[300].reshape(28, 28, 1) / 255
kernels = {
    "edge, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "edge, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "blur": np.full((3, 3), 1 / 9),
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
edges = np.stack([np.array(kernel, float) for kernel in kernels.values()], axis=-1)[:, :, None]
filtered = convolve(digit, edges, np.zeros(4))

fig, axes = plt.subplots(1, 5, figsize=(10, 2.3))
axes[0].imshow(digit[..., 0], cmap="Greys")
axes[0].set_title("$x$, 28 × 28")
for ax, image, name in zip(axes[1:], np.moveaxis(filtered, -1, 0), kernels, strict=True):
    limit = abs(image).max()
    ax.imshow(image, cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set_title(name)
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# White is zero, orange negative, purple positive. The kernel stays within the image, so $y$ has 26
# × 26 places ("valid"). With a margin of zeros around the image, $y$ has the size of the image
# ("same"). A network does not get its kernels from us; it learns them. For this it needs the
# backward pass, which is easier to see in another form.
#
# ## Im2col: one matrix product
#
# Take the window under the kernel at each place and write it as a row. The definition then says
# that this matrix, times the kernel as a column, plus the bias, is $y$. So a convolution is a dense
# layer whose examples are places. The package copies the windows (*im2col*: image to columns) and
# leaves the rest to BLAS.


# %%
class Probe(pysi.layers.Layer):
    """Passes x on, and keeps what comes back: ∂L/∂x of the layer above it."""

    def forward(self, x, memory):
        return x, None

    def backward(self, dy, kept, memory):
        self.dx = dy.copy()
        return dy


def network(layer, shape, dtype=np.float64):
    """A network of this one layer, above a probe, with random weights; and its table."""
    net = pysi.Network([Probe(), layer], input_shape=shape, dtype=dtype)
    net.synapses.theta[...] = rng.standard_normal(len(net.synapses))
    return net, net.synapses


def input_gradient(net, dy):
    """∂L/∂x for ∂L/∂y, after a forward pass; ∂L/∂W is then in the table."""
    net.backward(dy)
    return net.layers[0].dx


print(getsource(Conv2D.forward))

# %% [markdown]
# The figure shows an image of 5 × 5 pixels, numbered from 1 to 25, and its nine windows. One window
# is marked.

# %%
conv, s = network(Conv2D(1, 1, padding="valid"), (5, 5, 1))
W, b = s.group("conv1.W").theta, s.group("conv1.b").theta
small = np.arange(1.0, 26).reshape(1, 5, 5, 1)
y = conv.forward(small)
columns, _ = conv.last.memories[-1].kept  # what the forward pass kept for the backward one
columns = columns.reshape(9, 9).copy()
definition, product = convolve(small[0], W, b), columns @ W.reshape(9, 1) + b


def numbers(ax, matrix, title, cmap="Blues", limits=(None, None)):
    """A matrix as a picture, with its entries."""
    low, high = limits
    ax.imshow(matrix, cmap=cmap, vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(matrix):
        ax.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[])


def mark(ax, row, column, height, width):
    """A frame around entries of such a picture."""
    ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), width, height, fill=False,
                               color="black", lw=2.5, clip_on=False, zorder=3))  # fmt: skip


fig, axes = plt.subplots(1, 4, figsize=(10, 3.4), width_ratios=(5, 9, 1.4, 1.4))
pale = (0, 60)  # so that the numbers can be read on the darkest
numbers(axes[0], small[0, ..., 0], "the image", limits=pale)
mark(axes[0], 1, 2, 3, 3)
numbers(axes[1], columns, "its columns, one row per place", limits=pale)
mark(axes[1], 5, 0, 1, 9)
numbers(axes[2], W.reshape(9, 1).round(1), "$W$", "PuOr", (-4, 4))
numbers(axes[3], y.reshape(9, 1).round(1), "$y$", "PuOr", (-200, 200))
mark(axes[3], 5, 0, 1, 1)
plt.show()

# %% [markdown]
# The pixel in the middle is copied nine times: im2col is fast, but takes memory.
#
# ## Backward
#
# For a dense layer with the columns as input, notebook 6 has derived the backward pass. With
# $dy = \partial L / \partial y$, one row per place,
#
# $$\frac{\partial L}{\partial W} = \text{columns}^\top dy, \qquad
#   \frac{\partial L}{\partial b} = \sum_{\text{places}} dy, \qquad
#   \frac{\partial L}{\partial\, \text{columns}} = dy\, W^\top.$$
#
# One step is new. Im2col copies a pixel to several windows. Copying is linear, and its transpose is
# a sum: a pixel's derivative is the sum over the windows that contain it. With $dy = 1$ and $W = 1$
# the derivative just counts these windows.

# %%
count, table = network(Conv2D(1, 1, padding="valid"), (5, 5, 1))
table.theta[...] = 1
windows = input_gradient(count, np.ones_like(count.forward(small)))

# %% [markdown]
# No layer ever computes its Jacobian as a matrix. For 25 pixels we can: we move one pixel after the
# other by 1, and look at the change of $y$. (A convolution is linear, so this finite difference has
# only a rounding error.) Every row is the kernel, laid out on the image; from row to row it moves
# on.


# %%
def jacobian(f, x):
    """∂f/∂x by finite differences, (outputs, entries of x); x is restored."""
    before, flat, found = f().copy(), x.reshape(-1), []
    for i in range(flat.size):
        flat[i] += 1
        found.append((f() - before).ravel())
        flat[i] -= 1
    return np.array(found).T


J = jacobian(lambda: conv.forward(small), small)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=(1, 3))
numbers(left, windows[0, ..., 0], "windows that a pixel lies in", "Oranges", (0, 18))
right.imshow(J, cmap="PuOr", vmin=-2, vmax=2)
right.set(title=r"$J = \partial y / \partial x$", xlabel="pixel of $x$", ylabel="place of $y$")
right.set(xticks=range(0, 25, 5), yticks=range(0, 9, 3))
plt.show()

# %% [markdown]
# The backward pass must multiply by the transpose of this matrix, so that
# $\langle dy, Jv \rangle = \langle J^\top dy, v \rangle$ for every $v$. We let $v$ be every single
# pixel, weight and bias, for several kernels, strides and margins. (`WinogradConv2D` is explained
# below.)


# %%
def errors(net, s, x):
    """Largest differences of `backward` from finite differences: for x, and for the weights."""
    dy = rng.standard_normal(net.forward(x).shape)
    expected = [jacobian(lambda: net.forward(x), a).T @ dy.ravel() for a in (x, s.theta)]
    net.forward(x)
    dx = input_gradient(net, dy).ravel()
    return [abs(a - b).max() for a, b in zip((dx, s.grad), expected, strict=True)]


cases = [
    Conv2D(2, 3),
    Conv2D(2, 3, padding="valid"),
    Conv2D(2, 3, stride=2),
    Conv2D(2, 3, (2, 5), stride=(3, 1)),
    WinogradConv2D(2, 3),
    WinogradConv2D(2, 3, padding="valid"),
]
gradient_errors = []
print(f"{'layer':<16}{'kernel':<9}{'stride':<9}{'margin':<9}error of dx   of dW, db")
for layer in cases:
    gradient_errors.append(errors(*network(layer, (6, 7, 2)), rng.standard_normal((2, 6, 7, 2))))
    print(f"{type(layer).__name__:<16}{layer.kernel!s:<9}{layer.stride!s:<9}{layer.padding:<9}"
          f"{gradient_errors[-1][0]:<14.0e}{gradient_errors[-1][1]:.0e}")  # fmt: skip

# %% [markdown]
# ## Max pooling: where the gradient goes
#
# Pooling keeps the largest of every four neighbours. If the largest moves by $v$, the output moves
# by $v$; the other three have no effect. So $dy$ goes to the largest, and the others get zero. (The
# layer asks for memory; here it gets a new array every time, as in notebook 6.)


# %%
class NewArrays:
    """The memory of a layer, in its simplest form."""

    def __call__(self, name, shape, dtype=float):
        return np.empty(shape, dtype)

    passing = __call__


image = np.array([[5, 2, 1, 1], [3, 4, 6, 0], [0, 0, 7, 2], [0, 0, 7, 7]], float)
pool, memory = MaxPool2D(2), NewArrays()
best, kept = pool.forward(image.reshape(1, 4, 4, 1), memory)
dy = np.array([[1.0, 2], [3, 4]])
dx = pool.backward(dy.reshape(1, 2, 2, 1), kept, memory)[0, ..., 0]
best = best[0, ..., 0]

fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.5), width_ratios=(4, 2, 2, 4))
for ax, matrix, title in zip(axes, (image, best, dy, dx), ("$x$", "$y$", "$dy$", "$dx$"),
                             strict=True):  # fmt: skip
    colours = ("Blues", (0, 14)) if "d" not in title else ("Oranges", (0, 8))
    numbers(ax, matrix, title, *colours)
for ax in (axes[0], axes[3]):
    ax.axhline(1.5, color="black", lw=1)
    ax.axvline(1.5, color="black", lw=1)
plt.show()

# %% [markdown]
# The two lower windows hold ties: four zeros, three sevens. There a maximum has no derivative. If
# one of the sevens is raised, $y$ rises with it; if it is lowered, $y$ stays, since two sevens are
# left:


# %%
def slopes(row, column, h=1e-3):
    """Slopes of the sum of y when one pixel of the image is raised, and when it is lowered."""
    found = []
    for step in (h, -h):
        moved = image.copy()
        moved[row, column] += step
        y, _ = pool.forward(moved.reshape(1, 4, 4, 1), memory)
        found.append((y.sum() - best.sum()) / step + 0.0)  # adding zero: no -0 in the table
    return found


print("          pixel  raised  lowered")
for name, place in {"single best": (0, 0), "not best": (0, 1), "tied": (2, 2)}.items():
    up, down = slopes(*place)
    print(f"{name:>11} {place} {up:>5.0f} {down:>7.0f}")

# %% [markdown]
# Any slope from 0 to 1 is equally right, as with a ReLU at zero. The package gives all of $dy$ to
# one pixel, always the same one, so nothing is counted twice, and results can be repeated. Ties are
# common. In the picture of a digit, most windows contain only background:

# %%
tied = digit[..., 0].reshape(14, 2, 14, 2).swapaxes(1, 2).reshape(-1, 4)
tied = (tied == tied.max(axis=1, keepdims=True)).sum(axis=1) > 1
print(f"{tied.mean():.0%} of the digit's windows hold a tie")

# %% [markdown]
# ## Winograd: four outputs for six multiplications
#
# Four neighbouring outputs of a filter $g$ with three taps, $y_i = \sum_j g_j d_{i+j}$, cost twelve
# multiplications. Six are enough. Weight the outputs with any numbers $e_i$, and collect the terms
# of each input:
#
# $$\sum_i e_i y_i = \sum_{ij} e_i g_j d_{i+j} = \sum_m s_m d_m, \qquad
#   s_m = \sum_{i+j=m} e_i g_j .$$
#
# The $s_m$ are the coefficients of the product of two polynomials, $e(t) = \sum_i e_i t^i$ and
# $g(t) = \sum_j g_j t^j$. The product has degree five, so six values determine it. Take the points
# 1, -1, 2, -2, 0 and $\infty$, where a polynomial's value is its leading coefficient. If $V$ is the
# matrix that evaluates a polynomial at these points, $s = V^{-1} (e(p)\, g(p))_p$, and therefore
#
# $$\sum_i e_i y_i = \sum_p e(p)\, g(p)\, D_p, \qquad D = V^{-\top} d.$$
#
# As this holds for every $e$, the output $y_i$ is what multiplies $e_i$ on the right:
# $y_i = \sum_p p^i\, g(p)\, D_p$. There is one multiplication of inputs by taps per point, so there
# are six. All other factors are small constants. Here is an example in exact fractions, with the
# package's own matrices. The package moves the fractions of $V^{-\top}$ to $g(p)$, which is
# computed only once per batch.


# %%
def exact(matrix):
    """A matrix of the package in fractions, whose denominators are at most 24."""
    return np.vectorize(lambda x: Fraction(x).limit_denominator(24), otypes=[object])(matrix)


points = ["1", "-1", "2", "-2", "0", "∞"]
V = exact([[p**m for m in range(6)] for p in (1, -1, 2, -2, 0)] + [[0, 0, 0, 0, 0, 1]])
g, d = exact([1, 2, 3]), exact([3, 1, 4, 1, 5, 9])
at_points, D = exact(TAPS) @ g, exact(COLUMN) @ d
products = at_points * D  # the six multiplications
direct = [sum(g[j] * d[i + j] for j in range(3)) for i in range(4)]

print(f"{'point':>6}{'g(p)':>8}{'D':>6}{'product':>9}")
for row in zip(points, at_points, D, products, strict=True):
    print("{:>6}{!s:>8}{!s:>6}{!s:>9}".format(*row))
print("\ny from the points:         ", *exact(ROWS).T @ products)
print("y from its definition:     ", *direct)

# %% [markdown]
# All that training needs follows from this one formula, because each of its three factors can be
# the unknown. Put $e_i = dy_i$: then $\sum_i e_i y_i$ is linear in $g$, and the factor of $g_j$ is
# the gradient,
#
# $$\frac{\partial L}{\partial g_j} = \sum_p p^j\, dy(p)\, D_p .$$
#
# And $\partial L / \partial x$ is again a convolution: that of $dy$, within a margin of zeros, with
# the mirrored filter.

# %%
e = exact([2, 7, 1, 8])
dg = exact(TAPS).T @ ((exact(ROWS) @ e) * D)
dg_direct = [sum(e[i] * d[i + j] for i in range(4)) for j in range(3)]
print("∂L/∂g from the points:     ", *dg)
print("∂L/∂g from the definition: ", *dg_direct)

padded = rng.standard_normal((1, 5, 5, 1))
error = np.zeros((1, 7, 7, 1))
error[:, 2:5, 2:5] = rng.standard_normal((1, 3, 3, 1))
conv.forward(padded)
dx_back = input_gradient(conv, error[:, 2:5, 2:5])[0]
dx_mirrored = convolve(error[0], W[::-1, ::-1], np.zeros(1))
print("mirrored filter, ∂L/∂x: largest difference", f"{abs(dx_back - dx_mirrored).max():.0e}")

# %% [markdown]
# For images the package does this down the rows: $d$ becomes six rows of the image, with all their
# pixels and channels, and $D$ takes a few additions of long rows. At each point a filter along the
# row remains, over three pixels and all their channels; this filter is a matrix product. Instead of
# $3 \cdot 3$ products per output, for each pair of channels, there are $3 \cdot 6 / 4$: half as
# many.
#
# The result is the same, up to rounding. We check it for the second convolution of the network in
# the next notebook: 32 channels in and out, images of 32 × 32, 30 × 30 places.


# %%
def agree(dtype):
    """Largest relative difference of Winograd from im2col, in y, dx, dW and db."""
    slow, s = network(Conv2D(32, 32, padding="valid"), (32, 32, 32), dtype)
    fast, t = network(WinogradConv2D(32, 32, padding="valid"), (32, 32, 32), dtype)
    t.theta[...] = s.theta
    x = rng.standard_normal((2, 32, 32, 32)).astype(dtype)
    dy = rng.standard_normal((2, 30, 30, 32)).astype(dtype)
    pairs = {"y": (slow.forward(x), fast.forward(x))}
    pairs["dx"] = (input_gradient(slow, dy), input_gradient(fast, dy))
    pairs |= {f"d{name}": (s.group(f"conv1.{name}").grad, t.group(f"conv1.{name}").grad)
              for name in "Wb"}  # fmt: skip
    return {name: abs(a - b).max() / abs(a).max() for name, (a, b) in pairs.items()}


differences = {dtype.__name__: agree(dtype) for dtype in (np.float32, np.float64)}
for name, found in differences.items():
    print(f"{name}:", ", ".join(f"{part} {value:.0e}" for part, value in found.items()))

# %% [markdown]
# ## How fast?
#
# We time the same layer on 16 images, in float32 and with one BLAS thread. We count the processor's
# time, so that other programs do not disturb. The loops would take too long, so we time two of one
# image's thirty rows, and multiply.

# %%
threadpool_limits(1, user_api="blas")
n = 16
x = rng.standard_normal((n, 32, 32, 32)).astype(np.float32)
dy = rng.standard_normal((n, 30, 30, 32)).astype(np.float32)
layers = {"im2col": Conv2D(32, 32, padding="valid"),
          "Winograd": WinogradConv2D(32, 32, padding="valid")}  # fmt: skip


def seconds(work, repeat=5):
    """Processor time of the best of several calls."""
    return min(timeit.repeat(work, timer=process_time, number=1, repeat=repeat))


def step(net, x, dy):
    net.forward(x, train=True)
    net.backward(dy)


forward, training = {}, {}
for name, layer in layers.items():
    net, s = network(layer, (32, 32, 32), np.float32)
    forward[name] = seconds(lambda net=net: net.logits(x))
    training[name] = seconds(lambda net=net: step(net, x, dy))
W, b = s.group("conv1.W").theta, s.group("conv1.b").theta
forward["loops"] = n * 30 / 2 * seconds(lambda: convolve(x[0, :4], W, b), repeat=1)


# %%
def ms(time):
    """Milliseconds, to three digits."""
    return f"{float(f'{time * 1e3:.3g}'):,g} ms"


terms = n * 30 * 30 * 32 * 9 * 32  # of the definition's sums
print(f"{n} images, one BLAS thread\n{'':<10}{'forward':>12}{'terms per second':>18}"
      f"{'forward and backward':>24}")  # fmt: skip
for name in ("loops", *layers):
    both = ms(training[name]) if name in training else "not written"
    rate = f"{terms / forward[name] / 1e6:,.0f} million"
    print(f"{name:<10}{ms(forward[name]):>12}{rate:>18}{both:>24}")
print(f"\nforward: im2col is {forward['loops'] / forward['im2col']:.0f} times as fast as loops, "
      f"Winograd {forward['im2col'] / forward['Winograd']:.1f} times as fast as im2col\n"
      f"forward and backward: Winograd {training['im2col'] / training['Winograd']:.1f} times "
      "as fast as im2col")  # fmt: skip

methods = dict(zip(("loops", "im2col", "Winograd"), shades(3), strict=True))  # to colours
fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 2.2))
for ax, times, names, title in (
    (left, forward, ("loops", "im2col", "Winograd"), "forward (logarithmic)"),
    (right, training, ("im2col", "Winograd"), "forward and backward"),
):
    values = [times[name] * 1e3 for name in names]
    bars = ax.barh(names, values, color=[methods[name] for name in names])
    ax.bar_label(bars, [ms(times[name]) for name in names], padding=3)
    ax.set(title=title, xlabel="ms for 16 images, one thread", xlim=(0, 1.2 * max(values)))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
left.set(xscale="log", xlim=(1, 3e4 * forward["loops"]))
plt.show()

# %% [markdown]
# By far the largest gain is that from loops to one matrix product. Winograd's algorithm then gains
# in two ways: it needs half of the multiplications, and does not copy every pixel to nine columns.
# It loses time with its additions. The gain that remains depends on the machine, its BLAS and its
# caches.
#
# ## A few images at a time
#
# A layer's output for a large batch does not fit in the processor's caches, so the next layer has
# to fetch it from memory. For 64 images, the output of the layer above is 7 MB; its columns are 66
# MB. But images meet only in the sum that is the gradient. So a network takes a few images through
# all convolutions, then the next few. We time a training step of the next notebook's network, for
# 64 images in groups of several sizes. (The network has few hidden units here, because the layers
# after the convolutions do not matter.)

# %%
sizes, group_times, megabytes, gradients = [1, 4, 16, 64], [], [], []
x = rng.random((64, 32, 32, 3), dtype=np.float32)
dy = rng.standard_normal((64, 10)).astype(np.float32)
readout = rng.standard_normal((16, 10))  # which would start from zero, and let nothing through
usual = pysi.backend.uses.CPU_IMAGES
for size in sizes:
    pysi.backend.uses.CPU_IMAGES = size  # a constant of the package: you need not change it
    net = pysi.CNN(10, hidden=16, dropout=(0, 0), seed=0)
    net.synapses.group("dense2.W").theta[...] = readout
    tracemalloc.start()
    step(net, x, dy)  # the first call makes the arrays
    megabytes.append(tracemalloc.get_traced_memory()[0] / 1e6)
    tracemalloc.stop()
    group_times.append(seconds(lambda net=net: step(net, x, dy), repeat=4) / 64 * 1e3)
    gradients.append(net.synapses.grad.copy())
    print(f"groups of {size:>2}: {group_times[-1]:.2f} ms per image, {megabytes[-1]:.0f} MB")

pysi.backend.uses.CPU_IMAGES = usual
fig, axes = plt.subplots(1, 2, figsize=(9.6, 2.6))
for ax, values, label in zip(axes, (group_times, megabytes), ("ms per image", "MB of arrays"),
                             strict=True):  # fmt: skip
    ax.plot(sizes, values, "o-", color=colour("exact"))
    ax.set(xscale="log", xlabel="images in a group", ylabel=label, ylim=(0, 1.1 * max(values)))
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The gain in memory is clear: arrays that the backward pass does not need are made for a few
# images, and used again for the next. Time is a balance. Single images are slow, because every call
# costs some time, whatever the number of images. Large groups need fewer calls, but go through
# memory; how much time this takes depends on the caches, and on how many threads and programs share
# them. On a CPU the package takes groups of 4, and divides the groups among its Python threads. The
# gradient is the same for all sizes, up to rounding. (Among some hundred thousand maxima there may
# be one so close to a tie that rounding decides it.)
#
# ## The claims

# %%
# the definition, im2col and the package agree
assert np.allclose(y[0], definition)
assert np.allclose(y.reshape(9, 1), product)

# every backward pass is the transposed Jacobian, also Winograd's; dx is a mirrored convolution
assert np.max(gradient_errors) < 1e-12
assert np.allclose(dx_back, dx_mirrored)

# a maximum gives its gradient to one pixel; with a tie, any slope from 0 to 1 is equally right
assert (dx == [[1, 0, 0, 0], [0, 0, 2, 0], [3, 0, 4, 0], [0, 0, 0, 0]]).all()
assert np.allclose([slopes(0, 0), slopes(0, 1), slopes(2, 2)], [[1, 1], [0, 0], [1, 0]])

# Winograd's formula is exact, and the package's matrices are V⁻ᵀ
assert (exact(ROWS).T @ products == direct).all() and (dg == dg_direct).all()
assert (V.T @ (exact(FRACTIONS)[:, None] * exact(COLUMN)) == np.eye(6, dtype=int)).all()
assert max(differences["float32"].values()) < 1e-5
assert max(differences["float64"].values()) < 1e-13

# one matrix product is far faster than loops; small groups save memory, and change no gradient
assert forward["loops"] > 10 * forward["im2col"]
assert megabytes[sizes.index(4)] < megabytes[sizes.index(64)] / 2
for gradient in gradients[1:]:
    assert np.linalg.norm(gradient - gradients[0]) < 1e-2 * np.linalg.norm(gradients[0])

# %% [markdown]
# **Try.** Move Winograd's points from ±2 to ±3, compute $V$ again, and invert it: the fractions get
# worse, and so do the last digits in float32. Add two more points, for six outputs at once: there
# are still fewer multiplications, and larger rounding errors.
