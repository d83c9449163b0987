"""From images to features: the largest of neighbouring pixels, and an image as one row."""

from math import prod
from typing import Any

from pysi.backend import namespace
from pysi.backend.memory import Memory
from pysi.errors import ConfigError
from pysi.images.convolution import pair
from pysi.layers import Layer
from pysi.typing import Array, Shape


class MaxPool2D(Layer):
    """The largest value in every window of s × s pixels: (..., N, ⌊H/s⌋, ⌊W/s⌋, C).

    Rows and columns that do not fill a window are left out. Backward: dy goes to the largest pixel,
    and all others get zero. Among equals, the first pixel in the first such column counts as the
    largest.

    The search for the largest goes first down each column, whose rows lie one after another in
    memory, then across. For each candidate we record whether it beat all earlier ones: the last one
    that did is the largest.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns of a window, which is also the step between windows.
    """

    kind = "pool"

    def __init__(self, size: Any = 2) -> None:
        self.size = pair("size", size)

    def __repr__(self) -> str:
        return f"MaxPool2D({self.size})"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or not all(n // k for n, k in zip(shape, self.size, strict=False)):
            raise ConfigError(
                f"{self}: expected images (rows, columns, channels) that hold a window, "
                f"found {shape}"
            )
        return shape[0] // self.size[0], shape[1] // self.size[1], shape[2]

    def forward(self, x: Array, memory: Memory) -> tuple[Array, Any]:
        down, across = self.size
        *lead, n, height, width, channels = x.shape
        h, w = height // down, width // across
        rows = x.reshape(*lead, n, height, width * channels)
        columns = [rows[..., i : h * down : down, :] for i in range(down)]
        best, first = self.largest("down", columns, memory)
        best = best.reshape(*lead, n, h, width, channels)
        columns = [best[..., j : w * across : across, :] for j in range(across)]
        best, second = self.largest("across", columns, memory)
        return best, (first, second, x.shape)

    def largest(
        self, axis: str, candidates: list[Array], memory: Memory
    ) -> tuple[Array, list[Array]]:
        """Return the largest of the candidates, and where each beat all before it, elementwise."""
        best, *others = candidates
        xp, won = namespace(best), []
        for i, candidate in enumerate(others):
            won.append(memory((axis, i), best.shape, bool))
            xp.greater(candidate, best, out=won[i])
            best = xp.maximum(best, candidate, out=memory.passing(axis, best.shape))
        return best, won

    def backward(self, dy: Array, kept: Any, memory: Memory) -> Array:
        first, second, shape = kept
        down, across = self.size
        *lead, n, height, width, channels = shape
        h, w = dy.shape[-3:-1]
        rows = memory.passing("rows", (*lead, n, h, width, channels))
        columns = [rows[..., j : w * across : across, :] for j in range(across)]
        self.route("across", dy, columns, second, memory)
        rows = rows.reshape(*lead, n, h, width * channels)
        dx = memory.passing(("dx", shape), (*lead, n, height, width * channels))
        self.route("down", rows, [dx[..., i : h * down : down, :] for i in range(down)], first,
                   memory)  # fmt: skip
        return dx.reshape(shape)

    def route(
        self, axis: str, dy: Array, candidates: list[Array], won: list[Array], memory: Memory
    ) -> None:
        """Give dy to the last candidate that won, and zero to the others."""
        xp, left = namespace(dy), dy
        for i in reversed(range(1, len(candidates))):
            xp.multiply(left, won[i - 1], out=candidates[i])
            out = memory.passing(f"{axis} left", dy.shape)
            left = xp.subtract(left, candidates[i], out=out)
        candidates[0][...] = left


class Flatten(Layer):
    """An image as one row of features, (..., N, H, W, C) → (..., N, H·W·C); backward undoes it."""

    kind = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)

    def forward(self, x: Array, memory: Memory) -> tuple[Array, Any]:
        return x.reshape(*x.shape[:-3], -1), x.shape[-3:]

    def backward(self, dy: Array, shape: Any, memory: Memory) -> Array:
        return dy.reshape(*dy.shape[:-1], *shape)
