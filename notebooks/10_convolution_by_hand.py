# %% [markdown]
# # 10. Convolution by hand
#
# **What you will do.** Start from a convolution in six loops, as its definition says, and make it
# one matrix product. Write its backward pass and that of max pooling, check both by finite
# differences, and compare them with the package.
#
# **What you will learn.** What a kernel sees; why a convolution is a dense layer in another form;
# why $\partial L / \partial x$ is again a convolution, with a mirrored kernel; where the gradient
# of a maximum goes.
#
# **What you need.** [Notebook 6](06_backprop_by_hand.ipynb): the dense layer's backward pass, and
# $\langle dy, Jv \rangle = \langle J^\top dy, v \rangle$.
#
# **Time.** About 45 minutes, of which 20 are for four exercises.

# %%
from inspect import getsource

import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import use
from pysi.images.convolution import Conv2D
from pysi.images.pooling import MaxPool2D
from pysi.images.winograd import WinogradConv2D

use()
rng = np.random.default_rng(10)

# %% [markdown]
# ## The definition
#
# An image $x$ is an array of rows, columns and channels. A kernel $W$ of, say, 3 × 3 pixels is laid
# on every place $(h, w)$ of it. What lies under the kernel is weighted and summed, once for each
# output channel $k$:
#
# $$y_{hwk} = b_k + \sum_{ijc} x_{h+i,\, w+j,\, c}\, W_{ijck}.$$


# %%
def convolve(x, W, b):
    """Return y of one image x, (rows, columns, channels), by the definition."""
    rows, columns, n_in, n_out = W.shape
    height, width = x.shape[0] - rows + 1, x.shape[1] - columns + 1
    y = np.zeros((height, width, n_out))
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
# The figure shows three well-known kernels, applied to a digit. The first two are differences
# between neighbours, and find edges. The third compares a pixel with those around it.

# %%
digit = pysi.load_dataset("mnist-5k").x_test[300].reshape(28, 28, 1) / 255
kernels = {
    "edges, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "edges, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
edges = np.stack([np.array(kernel, float) for kernel in kernels.values()], axis=-1)[:, :, None]
filtered = convolve(digit, edges, np.zeros(3))

# %% tags=["hide-input"]
fig, axes = plt.subplots(2, 2, figsize=(5.6, 6))
axes[0, 0].imshow(digit[..., 0], cmap="Greys")
axes[0, 0].set_title("the digit $x$, 28 × 28")
for ax, image, name in zip(axes.flat[1:], np.moveaxis(filtered, -1, 0), kernels, strict=True):
    limit = abs(image).max()
    ax.imshow(image, cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set_title(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# White is zero, orange negative, purple positive. The kernel stays within the image, so $y$ has
# only 26 × 26 places (this is called "valid"). With a margin of zeros around the image, $y$ has the
# size of the image ("same"). A network does not get its kernels from us; it learns them. (In
# mathematics this sum is a *correlation*, and a convolution mirrors $W$ first. As $W$ is learned,
# it makes no difference here.)
#
# **Question.** The second convolution of [notebook 11](11_cifar.ipynb) has a kernel of 3 × 3, takes
# 32 × 32 pixels with 32 channels, and makes 30 × 30 places with 32 channels. How many weights does
# it have? How many would a dense layer between the same images have?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The kernel has $3 \cdot 3 \cdot 32 \cdot 32 = 9216$ weights. A dense layer has
# $(32 \cdot 32 \cdot 32) \cdot (30 \cdot 30 \cdot 32)$, about 944 million, 102,400 times as many. A
# convolution uses two things that we know about images. Neighbouring pixels belong together, so
# most weights may be zero. And what can be seen at one place can be seen at any other, so all
# places may share their weights.
#
# </details>

# %% [markdown]
# ## Im2col: one matrix product
#
# Take the window under the kernel at each place, and write its $3 \cdot 3 \cdot C$ numbers as a
# row. The definition then says that this matrix of windows, times the kernel as a matrix, plus the
# bias, is $y$. So a convolution is a dense layer whose examples are places:
#
# $$Y = X W + b, \qquad X: (\text{places},\, 9C), \qquad W: (9C,\, K).$$
#
# The matrix $X$ is called the *columns* of the image, hence the name *im2col*: image to columns.
# The number of multiplications is the same as before. But now one call of a matrix product does
# them all, in place of one step of Python for each.
#
# **Exercise 1.** Write this matrix for one image. Its rows are the places, in the order of
# `y.reshape(-1, K)`: first along the first row of $y$. Its columns have the order of
# `W.reshape(-1, K)`: rows of the kernel, then columns, then channels. That is the order in which
# `ravel()` reads a window `x[h : h + rows, w : w + columns]`. Loops over the places are fine.


# %% tags=["exercise", "hide-input"]
def im2col(x, rows, columns):
    """Return the windows of x as a matrix, (places, rows · columns · channels)."""
    height, width = x.shape[0] - rows + 1, x.shape[1] - columns + 1  # places, as in `convolve`
    # your code: the matrix of all windows
    return np.array([
        x[h : h + rows, w : w + columns].ravel() for h in range(height) for w in range(width)
    ])  # fmt: skip


# %% tags=["check"]
x, W, b = rng.standard_normal((5, 6, 2)), rng.standard_normal((3, 2, 2, 4)), np.arange(4.0)
found, y = im2col(x, 3, 2), convolve(x, W, b)
assert np.shape(found) == (15, 12), (
    "An image of 5 × 6 has 3 × 5 = 15 places for a kernel of 3 × 2, and a window has 3 · 2 · 2 = "
    f"12 numbers: expected the shape (15, 12), not {np.shape(found)}."
)
assert np.allclose(np.sort(found[0]), np.sort(x[:3, :2].ravel())), (
    "The first row is the window in the corner of the image, x[:3, :2]."
)
assert np.array_equal(found[0], x[:3, :2].ravel()), (
    "The window is right, but its numbers have another order: rows, columns, then channels."
)
assert np.array_equal(found[1], x[:3, 1:3].ravel()), (
    "The second row is the window one pixel to the right: first along the row, then down."
)
assert np.allclose((found @ W.reshape(12, 4) + b).reshape(3, 5, 4), y), (
    "The product with the kernel is not what the definition gives."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The places go down first. Then $y$ comes out transposed, which nobody notices for square images.
#
# ```python
# return np.array([
#     x[h : h + rows, w : w + columns].ravel() for w in range(width) for h in range(height)
# ])
# ```
#
# Channels first, as in other libraries. This does not fit `W.reshape`.
#
# ```python
# return np.array([
#     x[h : h + rows, w : w + columns].transpose(2, 0, 1).ravel()
#     for h in range(height) for w in range(width)
# ])
# ```
#
# Windows beside each other, as in pooling. Those of a convolution overlap.
#
# ```python
# return np.array([
#     x[h : h + rows, w : w + columns].ravel()
#     for h in range(0, height, rows) for w in range(0, width, columns)
# ])
# ```

# %% [markdown]
# The figure shows an image of 5 × 5 pixels, numbered from 1 to 25, and your matrix for a kernel of
# 3 × 3. One window is marked in both.

# %% tags=["hide-input"]
small = np.arange(1.0, 26).reshape(5, 5, 1)


def numbers(ax, matrix, title, cmap="Blues", limits=(None, None)):
    """Draw a matrix as a picture, with its entries."""
    low, high = limits
    ax.imshow(matrix, cmap=cmap, vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(matrix):
        ax.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=10)
    ax.set(title=title, xticks=[], yticks=[])


def mark(ax, row, column, height, width):
    """Draw a frame around entries of such a picture."""
    ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), width, height, fill=False,
                               color="black", lw=2.5, clip_on=False, zorder=3))  # fmt: skip


fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.6), width_ratios=(5, 9))
pale = (0, 60)  # so that the numbers can be read on the darkest
numbers(axes[0], small[..., 0], "the image", limits=pale)
mark(axes[0], 1, 2, 3, 3)
numbers(axes[1], im2col(small, 3, 3), "its columns, one row per place", limits=pale)
mark(axes[1], 5, 0, 1, 9)
plt.show()

# %% [markdown]
# The pixel in the middle, 13, occurs in all nine rows. So im2col needs up to nine times the memory
# of the image. The package does the same for a whole batch, with any stride and margin:

# %%
print(getsource(Conv2D.forward))

# %% [markdown]
# Again we lend a layer the simplest memory, as in [notebook 6](06_backprop_by_hand.ipynb), and ask
# the package for this image.


# %%
class Memory:
    """What a network lends a layer, in its simplest form: new arrays at every call."""

    need_dx = True

    def __init__(self, weights):
        self.weights, self.gradients = weights, [np.empty_like(w) for w in weights]

    def __call__(self, name, shape, dtype=float):
        return np.zeros(shape, dtype)  # zeros, because some of them are margins of an image

    passing = __call__


def package(layer, x, *weights, dy=None):
    """Return y, dx and the gradients of the weights for one image; dy is 1 unless it is given."""
    memory = Memory(weights)
    y, kept = layer.forward(x[None], memory)
    dx = layer.backward(np.ones_like(y) if dy is None else dy[None], kept, memory)
    return y[0], dx[0], *memory.gradients


valid = Conv2D(2, 4, kernel=(3, 2), padding="valid")
by_package, *_ = package(valid, x, W, b)
print("the package and the definition agree:", np.allclose(by_package, y))

# %% [markdown]
# ## Backward: the kernel
#
# $Y = XW + b$ is a dense layer, and [notebook 6](06_backprop_by_hand.ipynb) has derived its
# backward pass. With $dY$ as a matrix (places, $K$),
#
# $$\frac{\partial L}{\partial W} = X^\top dY, \qquad
#   \frac{\partial L}{\partial b} = \sum_{\text{places}} dY.$$
#
# **Exercise 2.** Write both for one image. `dy` has the shape of $y$, (places down, places across,
# $K$). Use your `im2col`.

# %%
dy = rng.standard_normal(y.shape)


def differences(f, x, h=1e-6):
    """Return ∂f/∂x for a function f whose value is a number: central differences."""
    found = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        found[place] = (f(x + step) - f(x - step)) / (2 * h)
    return found


# %% tags=["exercise", "hide-input"]
def kernel_gradients(dy, x, W):
    """Return dW and db, with the shapes of W and b."""
    rows, columns, n_in, n_out = W.shape
    # your code: both gradients
    errors = dy.reshape(-1, n_out)
    dW = im2col(x, rows, columns).T @ errors
    return dW.reshape(W.shape), errors.sum(axis=0)


# %% tags=["check"]
found = kernel_gradients(dy, x, W)
assert isinstance(found, tuple) and len(found) == 2, "Return two arrays: dW and db."
assert np.shape(found[0]) == W.shape, (
    f"dW has the shape of the kernel, {W.shape}, not {np.shape(found[0])}: reshape the product."
)
assert np.shape(found[1]) == b.shape, (
    f"db has one entry per output channel, so the shape {b.shape}, not {np.shape(found[1])}."
)
assert np.allclose(found[1], differences(lambda b: (dy * convolve(x, W, b)).sum(), b)), (
    "db: the bias of a channel is added at every place, so its gradient is a sum over places."
)
assert np.allclose(found[0], differences(lambda W: (dy * convolve(x, W, b)).sum(), W)), (
    "dW is not what finite differences say. It is Xᵀ dY, a sum over places; and its entries must "
    "be in the order of W: (rows · columns · channels) first, then K."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# Means over the places in place of sums.
#
# ```python
# errors = dy.reshape(-1, n_out)
# dW = im2col(x, rows, columns).T @ errors / len(errors)
# return dW.reshape(W.shape), errors.mean(axis=0)
# ```
#
# $dY^\top X$, with $K$ first. The number of entries is right, so `reshape` does not complain.
#
# ```python
# errors = dy.reshape(-1, n_out)
# dW = errors.T @ im2col(x, rows, columns)
# return dW.reshape(W.shape), errors.sum(axis=0)
# ```
#
# The gradient of the bias at each place.
#
# ```python
# errors = dy.reshape(-1, n_out)
# dW = im2col(x, rows, columns).T @ errors
# return dW.reshape(W.shape), dy
# ```

# %%
_, by_package_dx, by_package_dW, by_package_db = package(valid, x, W, b, dy=dy)
by_hand_dW, by_hand_db = kernel_gradients(dy, x, W)
print("dW:", np.allclose(by_hand_dW, by_package_dW), " db:", np.allclose(by_hand_db, by_package_db))

# %% [markdown]
# ## Backward: the image
#
# What does a pixel get? Let us look at the Jacobian first. For 25 pixels we can compute it as a
# matrix: we move one pixel after the other by 1, and look at the change of $y$. (A convolution is
# linear, so a step of 1 is short enough.)


# %%
def jacobian(f, x):
    """Return ∂y/∂x of a linear function y = f(x), (entries of y, entries of x)."""
    steps = np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + step) - f(x)).ravel() for step in steps]).T


example = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).reshape(3, 3, 1, 1)
J = jacobian(lambda x: convolve(x, example, np.zeros(1)), small)
windows = J.astype(bool).sum(axis=0).reshape(5, 5)

# %% tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), width_ratios=(1, 2))
numbers(left, windows, "windows that hold a pixel", "Greys", (0, 18))
shown = right.imshow(J, cmap="Blues", aspect="auto")
fig.colorbar(shown, ax=right, label="weight")
right.set(title=r"$J = \partial y / \partial x$", xlabel="pixel of $x$", ylabel="place of $y$")
right.set(xticks=range(0, 25, 5), yticks=range(0, 9, 3))
plt.show()

# %% [markdown]
# Each row of $J$ is the kernel, with weights from 1 to 9, laid out on the image; from place to
# place it moves on. $dx = J^\top dy$ needs the columns of $J$. Look at the column of pixel 12, in
# the middle of the image (counted from 0): from top to bottom it holds the weights 9, 8, …, 1. This
# is the kernel again, *mirrored*.
#
# The same in indices: $x_{hw}$ enters $y$ at the place $(h - i, w - j)$ with the weight $W_{ij}$.
# So it gets
#
# $$dx_{hwc} = \sum_{ijk} dy_{h-i,\, w-j,\, k}\, W_{ijck},$$
#
# where places outside of $y$ count as zero. Compare this with the definition: $h + i$ has become
# $h - i$. If we count $i$ and $j$ from the other end, it is a convolution of $dy$, with a margin of
# zeros and the mirrored kernel; $c$ and $k$ have changed their roles.
#
# **Exercise 3.** Write $dx$ with one call of `convolve`. You need `dy` with a margin of zeros on
# all four sides (`np.pad`), wide enough that the result has the size of $x$; the kernel with its
# rows and columns in reverse order and its channel axes exchanged; and a bias of zeros.


# %% tags=["exercise", "hide-input"]
def image_gradient(dy, W):
    """Return dx, (rows, columns, channels of x)."""
    rows, columns, n_in, n_out = W.shape
    # your code: dx, by one call of `convolve`
    with_margin = np.pad(dy, ((rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
    mirrored = W[::-1, ::-1].transpose(0, 1, 3, 2)
    return convolve(with_margin, mirrored, np.zeros(n_in))


# %% tags=["check"]
found = image_gradient(dy, W)
assert np.shape(found) == x.shape, (
    f"dx has the shape of x, {x.shape}, not {np.shape(found)}: a kernel of n pixels needs a margin "
    "of n - 1 zeros on each side."
)
expected = differences(lambda x: (dy * convolve(x, W, b)).sum(), x)
assert np.isclose(np.sum(found), expected.sum()), (
    "Not even the sum of dx is right. Are the last two axes of the kernel exchanged? Is the bias 0?"
)
assert np.allclose(found, expected), (
    "The sum is right, but not its places: the kernel must be mirrored in rows and in columns."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The kernel is not mirrored.
#
# ```python
# with_margin = np.pad(dy, ((rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
# return convolve(with_margin, W.transpose(0, 1, 3, 2), np.zeros(n_in))
# ```
#
# It is mirrored in its rows only.
#
# ```python
# with_margin = np.pad(dy, ((rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
# return convolve(with_margin, W[::-1].transpose(0, 1, 3, 2), np.zeros(n_in))
# ```
#
# The margin of "same": for a kernel of 3 × 3 one pixel. It keeps the size of $y$, not that of $x$.
#
# ```python
# with_margin = np.pad(dy, ((1, 1), (1, 1), (0, 0)))
# return convolve(with_margin, W[::-1, ::-1].transpose(0, 1, 3, 2), np.zeros(n_in))
# ```
#
# The channels are reshaped and not exchanged. The number of entries is right, so nothing complains.
#
# ```python
# with_margin = np.pad(dy, ((rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
# mirrored = W[::-1, ::-1].reshape(rows, columns, n_out, n_in)
# return convolve(with_margin, mirrored, np.zeros(n_in))
# ```

# %% [markdown]
# The package reaches the same result in another way. It takes the dense layer's
# $\partial L / \partial X = dY\, W^\top$ and adds every window back to where im2col had copied it
# from: copying is linear, and its transpose is a sum.

# %%
print(getsource(Conv2D.input_gradient))
print("dx:", np.allclose(image_gradient(dy, W), by_package_dx))

# %% [markdown]
# **Question.** A synapse of a dense layer is used once per image, a synapse of a kernel at every
# place. What does that mean for its $\omega$ in Synaptic Intelligence?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Nothing changes in the rule: $\omega$ adds up $-g\,\Delta\theta$, where $g$ is the derivative with
# respect to the shared weight. But this $g$ is now a sum over all places, so a kernel's weight
# answers for everything that it does anywhere in the image. There are few of these weights, and
# every task uses all of them.
#
# </details>

# %% [markdown]
# **Try.** With a stride of 2 the kernel moves on by two pixels, so $y$ has only every second place.
# The package handles strides; does the mirrored convolution? You will see that with `dy` as it is,
# it does not, because `dy` is too small. It does once we put the entries of `dy` back to their
# places on the full grid, with zeros between them. Other libraries call this a *transposed
# convolution*.

# %%
strided, odd = Conv2D(2, 4, padding="valid", stride=2), rng.standard_normal((7, 9, 2))
W3 = rng.standard_normal((3, 3, 2, 4))
dy_strided = rng.standard_normal((3, 4, 4))
_, strided_dx, *_ = package(strided, odd, W3, b, dy=dy_strided)

spread = np.zeros((5, 7, 4))
spread[::2, ::2] = dy_strided
print("sizes:", odd.shape, image_gradient(dy_strided, W3).shape, image_gradient(spread, W3).shape)
assert image_gradient(dy_strided, W3).shape != odd.shape
assert np.allclose(image_gradient(spread, W3), strided_dx)

# %% [markdown]
# ## Max pooling: where the gradient goes
#
# Pooling keeps the largest pixel of every window of 2 × 2. These windows do not overlap. If the
# largest moves by a small $v$, the output moves by $v$; the other three have no effect. So $dy$
# goes to the largest pixel, and the others get zero.
#
# **Exercise 4.** Write the backward pass for an image with one channel. If several pixels of a
# window are equally large, give all of $dy$ to one of them. (`np.argmax` finds the first of the
# largest, counted as `ravel()` counts them; `np.unravel_index` turns its number into row and
# column.)


# %%
def pool(x):
    """Return the largest of every 2 × 2 pixels of x, (rows, columns), both of them even."""
    rows, columns = x.shape
    return x.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3))


# %% tags=["exercise", "hide-input"]
def pool_backward(dy, x):
    """Return dx, with the shape of x."""
    dx = np.zeros_like(x)
    # your code: put each entry of dy to the largest pixel of its window, and return dx
    for h, w in np.ndindex(dy.shape):
        window = x[2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        i, j = np.unravel_index(window.argmax(), (2, 2))
        dx[2 * h + i, 2 * w + j] = dy[h, w]
    return dx


# %% tags=["check"]
pixels, dpool = rng.standard_normal((4, 6)), rng.standard_normal((2, 3))
found = pool_backward(dpool, pixels)
expected = differences(lambda x: (dpool * pool(x)).sum(), pixels)
assert np.shape(found) == pixels.shape, f"Return dx with the shape of x, not {np.shape(found)}."
assert np.count_nonzero(found) == 6, (
    "Only the largest pixel of each of the six windows gets anything; the other three get 0."
)
assert np.allclose(found, expected), "A pixel gets the dy of its own window, without a factor."
equal = pool_backward(np.ones((1, 1)), np.array([[7.0, 2], [7, 7]]))
assert equal.sum() == 1, (
    f"Three pixels are equally large, and together they got {equal.sum():.3g} in place of 1: "
    "give all of dy to one of them."
)
assert np.count_nonzero(equal) == 1 and equal[0, 1] == 0, "One of the largest gets all of dy."

# %% [markdown] tags=["instructor", "remove-cell"]
# Every pixel gets a quarter: the backward pass of *average* pooling.
#
# ```python
# return np.repeat(np.repeat(dy, 2, axis=0), 2, axis=1) / 4
# ```
#
# All pixels that equal the largest get $dy$. Without ties this is right; with ties $dy$ is counted
# two, three or four times.
#
# ```python
# big = np.repeat(np.repeat(pool(x), 2, axis=0), 2, axis=1)
# return np.where(x == big, np.repeat(np.repeat(dy, 2, axis=0), 2, axis=1), 0)
# ```
#
# The slope is taken to be the value of the largest.
#
# ```python
# big = np.repeat(np.repeat(pool(x), 2, axis=0), 2, axis=1)
# return np.where(x == big, big * np.repeat(np.repeat(dy, 2, axis=0), 2, axis=1), 0)
# ```

# %% [markdown]
# The figure shows an image and the gradient that the package's layer returns for $dy$ = 1, 2, 3, 4
# (row by row). Lines divide the windows.

# %%
image = np.array([[5.0, 2, 1, 1], [3, 4, 6, 0], [0, 0, 7, 2], [0, 0, 7, 7]])
best, dx = package(MaxPool2D(2), image[..., None], dy=np.array([[1.0, 2], [3, 4]])[..., None])
best, dx = best[..., 0], dx[..., 0]

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.2))
numbers(axes[0], image, "the image $x$", "Blues", (0, 14))
numbers(axes[1], dx, "$dx$", "Greys", (0, 8))
for ax in axes:
    ax.axhline(1.5, color="black", lw=1.5)
    ax.axvline(1.5, color="black", lw=1.5)
plt.show()

_, by_package_pool = package(MaxPool2D(2), pixels[..., None], dy=dpool[..., None])
pools_agree = np.allclose(pool_backward(dpool, pixels), by_package_pool[..., 0])

# %% [markdown]
# The two lower windows hold ties: four zeros, three sevens. There a maximum has no derivative.
#
# **Try.** Raise and lower single pixels a little, and look at the slope of $y$. You will see that
# if one of the three sevens is raised, $y$ rises with it, and the slope is 1. If it is lowered, $y$
# stays where it is, since two sevens are left, and the slope is 0. For other pixels both slopes are
# equal.


# %%
def slopes(row, column, h=1e-3):
    """Return the slopes of the sum of y when one pixel is raised, and when it is lowered."""
    found = []
    for step in (h, -h):
        moved = image.copy()
        moved[row, column] += step
        found.append((pool(moved).sum() - best.sum()) / step + 0.0)  # no -0 in the table
    return found


print("           pixel  raised  lowered")
for name, place in {"single best": (0, 0), "not best": (0, 1), "tied": (2, 2)}.items():
    up, down = slopes(*place)
    print(f"{name:>11} {place} {up:>6.0f} {down:>8.0f}")
assert np.allclose([slopes(0, 0), slopes(0, 1), slopes(2, 2)], [[1, 1], [0, 0], [1, 0]])

# %% [markdown]
# Any slope from 0 to 1 is equally right, as with a ReLU at zero. The package gives all of $dy$ to
# one pixel, always the same one. So nothing is counted twice, and results can be repeated. Ties are
# common: in the picture of a digit, most windows hold only background.

# %%
places = digit[..., 0].reshape(14, 2, 14, 2).swapaxes(1, 2).reshape(-1, 4)
tied = (places == places.max(axis=1, keepdims=True)).sum(axis=1) > 1
print(f"{tied.mean():.0%} of the digit's windows hold a tie")

# %% [markdown]
# **Question.** A ReLU may come before pooling or after it. Does it matter? What does the package
# do?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Both give the same, because a ReLU keeps the order of numbers:
# $\max_i \operatorname{relu}(x_i) = \operatorname{relu}(\max_i x_i)$. (Where the largest is
# negative, both are 0, and no gradient passes.) The package pools first, and so has to rectify only
# a quarter of the numbers.
#
# </details>

# %% [markdown]
# ## Check everything
#
# `pysi.check_layer` compares backward with forward in random directions, for any kernel, stride and
# margin. `WinogradConv2D` is the same convolution with half of the multiplications; the page
# [Convolution](../derivations/convolution.md) derives it. The network of
# [notebook 11](11_cifar.ipynb) uses it.

# %%
cases = {
    "3 × 3, same": Conv2D(2, 3),
    "3 × 3, valid": Conv2D(2, 3, padding="valid"),
    "3 × 3, stride 2": Conv2D(2, 3, stride=2),
    "2 × 5, stride (3, 1)": Conv2D(2, 3, (2, 5), stride=(3, 1)),
    "Winograd, same": WinogradConv2D(2, 3),
    "Winograd, valid": WinogradConv2D(2, 3, padding="valid"),
    "max pooling": MaxPool2D(2),
}
for name, layer in cases.items():
    pysi.check_layer(layer, rng.standard_normal((4, 6, 7, 2)))  # raises an error if it is wrong
    print(f"{name:22} right")

results, images, errors = [], rng.standard_normal((3, 8, 8, 4)), rng.standard_normal((3, 6, 6, 5))
for make in (Conv2D, WinogradConv2D):
    net = pysi.Network([make(4, 5, padding="valid")], input_shape=(8, 8, 4), dtype=np.float64)
    net.synapses.theta[...] = np.random.default_rng(1).standard_normal(len(net.synapses))
    outputs = net.forward(images).copy()
    net.backward(errors)
    results.append((outputs, net.synapses.grad.copy()))
for name, plain, fast in zip(("y", "dW and db"), *results, strict=True):
    print(f"{name}: im2col and Winograd differ by at most {abs(plain - fast).max():.0e}")

# %% [markdown]
# ## On your own
#
# 1. *Without copies.* `np.lib.stride_tricks.sliding_window_view` shows all windows without copying
#    a pixel. Write `im2col` with it. At which point is a copy made all the same?
# 2. *Average pooling.* Write it as a convolution with a fixed kernel and a stride of 2, one channel
#    at a time. What does the mirrored kernel make of $dy$?
# 3. *Six multiplications in place of twelve.* Follow the derivation of Winograd's algorithm on the
#    page Convolution, and replace the points $\pm 2$ by $\pm 3$. Which fractions do you get? What
#    happens to the last digits in single precision?
#
# ## In practice
#
# * Libraries differ in the order of axes. The package, like TensorFlow, has channels last; PyTorch
#   has them first. A reshape between the two is wrong without an error; a transpose is needed.
# * "Same" with an even kernel or a stride leaves an odd number of zeros to divide between the two
#   sides. Libraries do not agree on which side gets more. Compare shapes *and* borders when you
#   carry weights over.
# * Test a layer with a kernel that is not square, on an image that is not square, with more than
#   one channel in and out. A square case hides exchanged axes.
# * The fast forms (im2col, Winograd, FFT) give the same up to rounding. How fast they are depends
#   on the machine, its caches and its libraries; measure on your own.
#
# ## Further reading
#
# * [Convolution](../derivations/convolution.md): the derivations, Winograd's algorithm, and why the
#   package takes a few images at a time. [Backward passes](../derivations/backprop.md): the layers
#   of [notebook 6](06_backprop_by_hand.ipynb).
# * LeCun et al. (1989), *Backpropagation applied to handwritten zip code recognition*: kernels that
#   are learned.
# * Dumoulin & Visin (2016), [A guide to convolution arithmetic for deep
#   learning](https://arxiv.org/abs/1603.07285): pictures of strides, margins and transposed
#   convolutions.
# * Lavin & Gray (2016), [Fast algorithms for convolutional neural
#   networks](https://arxiv.org/abs/1509.09308): Winograd's algorithm for images.
# * [Notebook 11](11_cifar.ipynb): a network of these layers learns a sequence of tasks.
#
# ## The claims

# %%
# the definition, im2col and the package agree
assert np.allclose((im2col(x, 3, 2) @ W.reshape(12, 4) + b).reshape(y.shape), y)
assert np.allclose(by_package, y)
assert (np.bincount(im2col(small, 3, 3).astype(int).ravel())[1:] == windows.ravel()).all()
assert windows[2, 2] == 9 and windows[0, 0] == 1
assert (32 * 32 * 32) * (30 * 30 * 32) // (3 * 3 * 32 * 32) == 102_400

# "same" with an even kernel: the package's only row and column of zeros are below and on the right
sums, *_ = package(Conv2D(1, 1, 2), np.ones((3, 3, 1)), np.ones((2, 2, 1, 1)), np.zeros(1))
assert (sums[..., 0] == [[4, 4, 2], [4, 4, 2], [2, 2, 1]]).all(), "The zeros have changed sides."

# the backward pass by hand is the package's; a column of the Jacobian is the mirrored kernel
assert np.allclose(by_hand_dW, by_package_dW) and np.allclose(by_hand_db, by_package_db)
assert np.allclose(image_gradient(dy, W), by_package_dx)
assert (J[:, 12] == example[::-1, ::-1].ravel()).all()
assert np.allclose(J.T @ np.ones(9), image_gradient(np.ones((3, 3, 1)), example).ravel())

# a maximum gives its gradient to one pixel, also where there are ties, which are common
assert pools_agree
assert (dx == [[1, 0, 0, 0], [0, 0, 2, 0], [3, 0, 4, 0], [0, 0, 0, 0]]).all()
assert tied.mean() > 0.5
assert (pool(np.maximum(pixels, 0)) == np.maximum(pool(pixels), 0)).all()

# Winograd's algorithm gives the same
for plain, fast in zip(*results, strict=True):
    assert np.allclose(plain, fast, rtol=1e-10, atol=1e-10)
