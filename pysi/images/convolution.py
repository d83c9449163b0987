r"""Convolution, by its definition and one matrix product.

An image is an array (height, width, channels): channels last. A kernel W of shape (kh, kw, C, K) is
laid on every place of it. What lies under the kernel is weighted and summed, for each of the K
output channels:

.. math:: y_{hwk} = b_k + \sum_{i j c} x_{s h + i,\, s w + j,\, c}\, W_{ijck}

with the stride s. (Mathematicians call this correlation; their convolution mirrors W first.)

**Forward.** Write the window under the kernel as a row of kh·kw·C numbers, one row per place. This
matrix of windows is called the columns of the image, hence the name *im2col*. Its product with the
kernel as a matrix (kh·kw·C, K) is y.

**Backward.** This is a dense layer whose input is the columns: with dy = ∂L/∂y, (places, K),

.. math:: ∂L/∂W = \text{columns}^T dy, \qquad ∂L/∂b = \sum_{\text{places}} dy, \qquad
          ∂L/∂\text{columns} = dy\, W^T.

A pixel lies in many windows, and its derivative is the sum over all of them: ∂L/∂columns is added
back to where the columns were taken from.
"""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from pysi.arguments import is_whole
from pysi.backend import matmul, namespace
from pysi.backend.memory import Memory
from pysi.errors import ConfigError
from pysi.layers import Layer
from pysi.typing import Array, Shape


def check_whole(name: str, n: Any) -> None:
    """Raise a ConfigError unless this is a whole number from 1."""
    if not is_whole(n):
        raise ConfigError(f"{name}: expected a whole number from 1, found {n!r}")


def pair(name: str, value: Any) -> tuple[int, int]:
    """Return (rows, columns) of a size that may be given as one number for both."""
    sizes = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(sizes) != 2 or not all(map(is_whole, sizes)):
        raise ConfigError(f"{name}: expected one or two whole numbers from 1, found {value!r}")
    return sizes


def sum_over_places(dy: Array) -> Array:
    """Return the sum of dy, (..., N, h, w, K), over images and places: (..., K)."""
    *lead, n, h, w, channels = dy.shape
    # first over whole rows, which are long
    row = dy.reshape(*lead, n * h, w * channels).sum(axis=-2)
    return row.reshape(*lead, w, channels).sum(axis=-2)


class Conv2D(Layer):
    """A convolution of images, y = x * W + b: input (..., N, H, W, C), output (..., N, h, w, K).

    Parameters
    ----------
    n_in, n_out : int
        Channels C and K.
    kernel : int or (int, int)
        Rows and columns of the kernel.
    stride : int or (int, int)
        Distance between two places of the kernel, down and across.
    padding : {"same", "valid"}
        "valid": the kernel stays within the image, and h = ⌊(H - kh) / s⌋ + 1. "same": zeros around
        the image make h = ⌈H / s⌉; there are as many below the image as above, or one more.

    Notes
    -----
    The weights start from Glorot's uniform distribution, where a unit has kh·kw·C inputs and
    kh·kw·K outputs; biases start at zero.
    """

    kind = "conv"

    def __init__(
        self, n_in: int, n_out: int, kernel: Any = 3, *, stride: Any = 1, padding: str = "same"
    ) -> None:
        check_whole("n_in", n_in)
        check_whole("n_out", n_out)
        self.n_in, self.n_out = n_in, n_out
        self.kernel, self.stride = pair("kernel", kernel), pair("stride", stride)
        if padding not in ("same", "valid"):
            raise ConfigError(f"padding: expected 'same' or 'valid', found {padding!r}")
        self.padding = padding
        self.parameters = {"W": (*self.kernel, n_in, n_out), "b": (n_out,)}

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self.n_in}, {self.n_out}, kernel={self.kernel}, padding={self.padding!r})"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[-1] != self.n_in:
            raise ConfigError(
                f"{self}: expected images of shape (rows, columns, {self.n_in}), found {shape}"
            )
        (h, *_), (w, *_) = self.margins(shape)
        return h, w, self.n_out

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        limit = sqrt(6 / (prod(self.kernel) * (self.n_in + self.n_out)))
        return {"W": rng.uniform(-limit, limit, self.parameters["W"])}

    def margins(self, shape: Shape) -> list[tuple[int, int, int]]:
        """Return the output's size and the zeros around: [(h, above, below), (w, left, right)]."""
        margins = []
        for size, k, s in zip(shape[-3:-1], self.kernel, self.stride, strict=True):
            out = -(-size // s) if self.padding == "same" else (size - k) // s + 1
            if out < 1:
                raise ConfigError(
                    f"kernel: expected at most the {size} pixels of an image's side, found {k}"
                )
            missing = max(0, (out - 1) * s + k - size)
            margins.append((out, missing // 2, missing - missing // 2))
        return margins

    def padded(self, name: str, shape: Shape, memory: Memory) -> tuple[Array, Array]:
        """Return images with margins, which are zero at first, and their part without margins."""
        (_, above, below), (_, left, right) = self.margins(shape)
        *lead, height, width, channels = shape
        whole = (*lead, height + above + below, width + left + right, channels)
        image = memory.passing((name, shape), whole)
        return image, image[..., above : above + height, left : left + width, :]

    def columns(self, x: Array, memory: Memory) -> Array:
        """Return copies of all windows of x, (..., N, h, w, kh, kw, C)."""
        xp = namespace(x)
        (h, *_), (w, *_) = self.margins(x.shape)
        image, inner = self.padded("x", x.shape, memory)
        inner[...] = x
        *outer, rows, columns, channel = image.strides
        windows = xp.lib.stride_tricks.as_strided(
            image,
            (*x.shape[:-3], h, w, *self.kernel, self.n_in),
            (*outer, rows * self.stride[0], columns * self.stride[1], rows, columns, channel),
        )
        copy = memory("columns", windows.shape)
        copy[...] = windows
        return copy

    def matrix(self, W: Array) -> Array:
        """Return a kernel as a matrix, (..., kh·kw·C, K)."""
        return W.reshape(*W.shape[:-4], -1, self.n_out)

    def forward(self, x: Array, memory: Memory) -> tuple[Array, Any]:
        W, b = memory.weights
        columns = self.columns(x, memory)
        h, w = columns.shape[-5:-3]
        lead = W.shape[:-4] or x.shape[:-4]
        y = memory.passing("y", (*lead, x.shape[-4], h, w, self.n_out))
        rows = y.reshape(*lead, -1, self.n_out)
        columns = columns.reshape(*x.shape[:-4], -1, prod(columns.shape[-3:]))
        matmul(columns, self.matrix(W), out=rows)
        rows += b[..., None, :]
        return y, (columns, x.shape)

    def backward(self, dy: Array, kept: Any, memory: Memory) -> Array | None:
        dW, db = memory.gradients
        db[...] = sum_over_places(dy)
        rows = dy.reshape(*dy.shape[:-4], -1, self.n_out)
        matmul(kept[0].swapaxes(-1, -2), rows, out=dW.reshape(*dW.shape[:-4], -1, self.n_out))
        return self.input_gradient(dy, kept, memory) if memory.need_dx else None

    def input_gradient(self, dy: Array, kept: Any, memory: Memory) -> Array:
        W, shape = self.matrix(memory.weights[0]).swapaxes(-1, -2), kept[1]
        *lead, _, h, w, _ = dy.shape
        back = memory.passing("back", (*dy.shape[:-1], *self.kernel, self.n_in))
        rows = dy.reshape(*lead, -1, self.n_out)
        matmul(rows, W, out=back.reshape(*lead, -1, W.shape[-1]))
        image, inner = self.padded("dx", (*lead, *shape[-4:]), memory)
        image[...] = 0
        down, across = self.stride
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                under = image[..., i : i + h * down : down, j : j + w * across : across, :]
                under[..., :h, :w, :] += back[..., i, j, :]
        return inner

    def add_examples(
        self, f: Callable, total: Any, dy: Array, kept: Any, memory: Memory
    ) -> tuple[Array, Array]:
        """Return total + Σ_n f(Σ over places): an example's gradient is a sum over places."""
        *lead, n, h, w, _ = dy.shape
        columns = kept[0].reshape(*kept[1][:-4], n, h * w, -1)
        rows = dy.reshape(*lead, n, h * w, self.n_out)
        dW, db = matmul(columns.swapaxes(-1, -2), rows), rows.sum(axis=-2)
        sum_W, sum_b = total or (0, 0)
        return sum_W + f(dW).sum(axis=-3), sum_b + f(db).sum(axis=-2)

    def example_sums(self, f: Callable, total: Any, kept: Any) -> tuple[Array, Array]:
        """Return the sums, which `add_examples` has completed."""
        return total
