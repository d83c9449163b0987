"""From images to features: the largest of neighbouring pixels, and the end of being an image."""

from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.nn.convolution import pair
from pysi.nn.layers import Layer


class MaxPool2D(Layer):
    """The largest value in every window of s × s pixels: (..., N, ⌊H/s⌋, ⌊W/s⌋, C).

    Rows and columns that do not fill a window are left out. Backward: dy goes to the pixel that is
    the largest, all others get zero; among equals it is the first in the first column that has one.

    The largest of a window is found first down each column, whose rows lie one after another in
    memory, then across. Of every candidate it is kept whether it was larger than all before it: the
    last one that was is the largest.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns of a window, which is also the step between windows.
    """

    kind = "pool"
    lends = True

    def __init__(self, size=2):
        super().__init__()
        self.size = pair("size", size)

    def forward(self, x, *, train=False):
        self.shape = x.shape
        down, across = self.size
        *lead, n, height, width, channels = x.shape
        h, w = height // down, width // across
        if not h * w:
            raise ConfigError(
                f"size: expected at most the image's {height} × {width} pixels, found {self.size}"
            )
        rows = x.reshape(*lead, n, height, width * channels)
        best = self.largest("down", [rows[..., i : h * down : down, :] for i in range(down)])
        best = best.reshape(*lead, n, h, width, channels)
        return self.largest(
            "across", [best[..., j : w * across : across, :] for j in range(across)]
        )

    def largest(self, axis, candidates):
        """Elementwise maximum of the candidates; who won is kept."""
        best, *others = candidates
        xp = namespace(best)
        for i, candidate in enumerate(others):
            xp.greater(candidate, best, out=self.scratch((axis, i), best.shape, best, bool))
            best = xp.maximum(best, candidate, out=self.work(axis, best.shape, best))
        return best

    def backward(self, dy, *, need_dx=True):
        down, across = self.size
        *lead, n, height, width, channels = self.shape
        h, w = dy.shape[-3:-1]
        rows = self.work("rows", (*lead, n, h, width, channels), dy)
        self.route("across", dy, [rows[..., j : w * across : across, :] for j in range(across)])
        rows = rows.reshape(*lead, n, h, width * channels)
        dx = self.work(("dx", self.shape), (*lead, n, height, width * channels), dy)
        self.route("down", rows, [dx[..., i : h * down : down, :] for i in range(down)])
        return dx.reshape(self.shape)

    def route(self, axis, dy, candidates):
        """Give dy to the last candidate that won, and zero to the others."""
        xp, left = namespace(dy), dy
        for i in reversed(range(1, len(candidates))):
            won = self.scratch((axis, i - 1), dy.shape, dy, bool)
            xp.multiply(left, won, out=candidates[i])
            left = xp.subtract(left, candidates[i], out=self.work(f"{axis} left", dy.shape, dy))
        candidates[0][...] = left


class Flatten(Layer):
    """An image as one row of features, (..., N, H, W, C) to (..., N, H·W·C); backward undoes it."""

    kind = "flatten"

    def forward(self, x, *, train=False):
        self.shape = x.shape[-3:]
        return x.reshape(*x.shape[:-3], -1)

    def backward(self, dy, *, need_dx=True):
        return dy.reshape(*dy.shape[:-1], *self.shape)
