r"""Convolution, by its definition and one matrix product.

An image is an array (height, width, channels): channels last. A kernel W of shape (kh, kw, C, K) is
laid on every place of it, and what lies under the kernel is weighted and summed, for each of the K
output channels:

.. math:: y_{hwk} = b_k + \sum_{i j c} x_{s h + i,\, s w + j,\, c}\, W_{ijck}

with the stride s. (Mathematicians call this correlation, and convolution what has a mirrored W.)

**Forward.** Write the window under the kernel as a row of kh·kw·C numbers, one row a place. These
columns of the image (hence the name *im2col*) times the kernel as a matrix (kh·kw·C, K) are y.

**Backward.** It is a dense layer whose input is the columns: with dy = ∂L/∂y, (places, K),

.. math:: ∂L/∂W = \text{columns}^T dy, \qquad ∂L/∂b = \sum_{\text{places}} dy, \qquad
          ∂L/∂\text{columns} = dy\, W^T.

A pixel lies in many windows, so its derivative is the sum of theirs: ∂L/∂columns is added back to
where the columns were taken from.
"""

from math import prod, sqrt

from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.matmul import matmul
from pysi.nn.layers import Layer


def pair(name, value):
    """(rows, columns) of a size that may be given as one number for both."""
    sizes = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(sizes) != 2 or any(int(n) != n or n < 1 for n in sizes):
        raise ConfigError(f"{name}: expected one or two whole numbers from 1, found {value}")
    return sizes


def sum_over_places(dy):
    """Sum of dy, (..., N, h, w, K), over images and places: (..., K). First over whole rows."""
    *lead, n, h, w, channels = dy.shape
    row = dy.reshape(*lead, n * h, w * channels).sum(axis=-2)
    return row.reshape(*lead, w, channels).sum(axis=-2)


class Conv2D(Layer):
    """A convolution of images, y = x * W + b: input (..., N, H, W, C), output (..., N, h, w, K).

    Parameters
    ----------
    n_in, n_out : int
        Channels C and K.
    kernel : int or (int, int)
        Rows and columns under the kernel.
    stride : int or (int, int)
        Steps between two places of the kernel.
    padding : {"same", "valid"}
        "valid": the kernel stays within the image, and h = ⌊(H - kh) / s⌋ + 1. "same": zeros around
        the image make h = ⌈H / s⌉, as many below as above, or one more.

    Notes
    -----
    The weights start from Glorot's uniform distribution, where a unit has kh·kw·C inputs and
    kh·kw·K outputs; biases start at zero.

    `forward` and `backward` take a batch as one part of itself; see `Layer` for more than one.
    """

    kind = "conv"
    lends = True

    def __init__(self, n_in, n_out, kernel=3, *, stride=1, padding="same"):
        super().__init__()
        self.n_in, self.n_out = n_in, n_out
        self.kernel, self.stride = pair("kernel", kernel), pair("stride", stride)
        if padding not in ("same", "valid"):
            raise ConfigError(f"padding: expected 'same' or 'valid', found {padding!r}")
        self.padding = padding
        self.parameters = {"W": (*self.kernel, n_in, n_out), "b": (n_out,)}

    def bind(self, groups):
        self.W, self.b = groups["W"], groups["b"]
        self.own_gradients()

    def initialise(self, stream, replica):
        places = prod(self.kernel)
        limit = sqrt(6 / (places * (self.n_in + self.n_out)))
        theta = self.W.theta[replica]
        weights = stream.uniform(-limit, limit, self.W.shape)
        theta[...] = namespace(theta).asarray(weights, dtype=theta.dtype)

    def own_gradients(self):
        xp = namespace(self.W.theta)
        self.gradients = xp.zeros_like(self.W.grad), xp.zeros_like(self.b.grad)

    def finish(self):
        dW, db = self.gradients
        self.W.grad[...] = dW
        self.b.grad[...] = db

    def forward(self, x, *, train=False):
        self.prepare()
        return self.forward_part(x, train=train)

    def backward(self, dy, *, need_dx=True):
        for total in self.gradients:
            total[...] = 0
        dx = self.backward_part(dy, need_dx=need_dx)
        self.finish()
        return dx

    def margins(self, x):
        """Size of the output, and zeros around the image: ((h, above, below), (w, left, right))."""
        found = []
        for size, k, s in zip(x.shape[-3:-1], self.kernel, self.stride, strict=True):
            out = -(-size // s) if self.padding == "same" else (size - k) // s + 1
            if out < 1:
                raise ConfigError(
                    f"kernel: expected at most the {size} pixels of an image's side, found {k}"
                )
            missing = max(0, (out - 1) * s + k - size)
            found.append((out, missing // 2, missing - missing // 2))
        return found

    def padded(self, name, x):
        """A scratch image like x with its margins, which are zero at first; and its inner part."""
        (_, above, below), (_, left, right) = self.margins(x)
        *lead, height, width, channels = x.shape
        shape = (*lead, height + above + below, width + left + right, channels)
        image = self.work((name, x.shape), shape, x)
        return image, image[..., above : above + height, left : left + width, :]

    def columns(self, x):
        """All windows of x, (..., N·h·w, kh·kw·C); every window is copied."""
        xp = namespace(x)
        (h, *_), (w, *_) = self.margins(x)
        image, inner = self.padded("x", x)
        inner[...] = x
        *outer, rows, columns, channel = image.strides
        windows = xp.lib.stride_tricks.as_strided(
            image,
            (*x.shape[:-3], h, w, *self.kernel, self.n_in),
            (*outer, rows * self.stride[0], columns * self.stride[1], rows, columns, channel),
        )
        copy = self.scratch("columns", windows.shape, x)
        copy[...] = windows
        return copy.reshape(*x.shape[:-4], -1, prod(windows.shape[-3:]))

    def matrix(self, W):
        """A kernel as a matrix, (..., kh·kw·C, K)."""
        return W.reshape(*W.shape[:-4], -1, self.n_out)

    def forward_part(self, x, *, train=False):
        self.x, self.windows = x, self.columns(x)
        (h, *_), (w, *_) = self.margins(x)
        lead = self.W.theta.shape[:-4] or x.shape[:-4]
        y = self.work("y", (*lead, x.shape[-4], h, w, self.n_out), x)
        rows = y.reshape(*lead, -1, self.n_out)
        matmul(self.windows, self.matrix(self.W.theta), out=rows)
        rows += self.b.theta[..., None, :]
        return y

    def backward_part(self, dy, *, need_dx=True):
        x, (dW, db) = self.x, self.gradients
        rows = dy.reshape(*dy.shape[:-4], -1, self.n_out)
        db += sum_over_places(dy)
        dW += matmul(self.windows.swapaxes(-1, -2), rows).reshape(dW.shape)
        if not need_dx:
            return None
        (h, *_), (w, *_) = self.margins(x)
        back = self.work("back", (*dy.shape[:-3], h, w, *self.kernel, self.n_in), dy)
        W = self.matrix(self.W.theta).swapaxes(-1, -2)
        matmul(rows, W, out=back.reshape(*dy.shape[:-4], -1, W.shape[-1]))
        image, inner = self.padded("dx", x)
        image[...] = 0
        down, across = self.stride
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                under = image[..., i : i + h * down : down, j : j + w * across : across, :]
                under[..., :h, :w, :] += back[..., i, j, :]
        return inner
