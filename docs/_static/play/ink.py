"""From a drawing to an image such as MNIST's: fitted into a box, and centred by its mass."""

from typing import Any

import numpy as np

from pysi.arguments import refuse
from pysi.errors import ConfigError
from pysi.typing import Array

SIDE, BOX = 28, 20
"""Of MNIST's images, and of the box that the digit is fitted into, in pixels."""


def overlaps(n: int, low: float, scale: float, size: int) -> Array:
    """Return what share of each of n pixels lies in each of `size` wider ones, (size, n)."""
    edges = np.clip((np.arange(n + 1) - low) / scale, 0, size)
    ends = np.arange(size)[:, None]
    inside = np.clip(edges, ends, ends + 1)
    return np.diff(inside, axis=1)


def centred(drawing: Any) -> Array:
    """Return a square drawing as MNIST would show it: 784 bytes.

    The digit is fitted into a box of 20 × 20 pixels, whose centre of mass becomes the centre of the
    image of 28 × 28. The darkest pixel becomes 255.

    Parameters
    ----------
    drawing : sequence of numbers
        The pixels of n rows with n each, row by row: 0 is paper, and 255 is ink.
    """
    try:
        ink = np.asarray(drawing, float).ravel()
    except (TypeError, ValueError):
        raise refuse("drawing", "the pixels of a square, row by row", drawing) from None
    n = int(ink.size**0.5)
    if not n or n * n != ink.size or not np.isfinite(ink).all() or ink.min() < 0:
        raise ConfigError(
            f"drawing: expected the pixels of a square, row by row, from 0 to 255, "
            f"found {ink.size} numbers"
        )
    ink = ink.reshape(n, n)
    if not ink.any():
        raise ConfigError("drawing: expected some ink, found none; paint a digit first")
    sides = ink.sum(axis=1), ink.sum(axis=0)  # of the rows, and of the columns
    ends = [np.flatnonzero(side)[[0, -1]] + [0, 1] for side in sides]
    scale = max(high - low for low, high in ends) / BOX
    maps = []
    for side, (low, high) in zip(sides, ends, strict=True):
        centre = side @ (np.arange(n) + 0.5) / side.sum()
        inside, width = (centre - low) / scale, (high - low) / scale
        at = np.ceil(SIDE / 2 - inside)  # in whole pixels: the centre lies in the 15th, as MNIST's
        at = np.clip(at, 0, SIDE - np.ceil(width))  # the box does not leave the image
        maps.append(overlaps(n, low - at * scale, scale, SIDE))
    image = maps[0] @ ink @ maps[1].T
    return np.round(image * (255 / image.max())).astype(np.uint8).ravel()
