"""How Winograd's algorithm lays images out in memory, so that every step is one matrix product.

The images of a group are stacked into one tall image, which is cut into tiles of four rows. All
views that the steps need are made once, and used again for every group of the same shape.
"""

from pysi.backend import namespace
from pysi.typing import Array, Shape


class Layout:
    """How N outputs of h × w pixels lie in memory: as one tall image, cut into tiles of four rows.

    The right margin of a row is also the left margin of the next row, and the lower margin of an
    image is the upper margin of the next: both are zeros, and needed only once. Without margins, a
    row or an image ends with two places where the filter runs over the edge.
    """

    def __init__(self, n: int, h: int, w: int, margin: int) -> None:
        self.height, self.width = h + 2 - margin, w + 2 - margin
        self.tiles = -(-n * self.height // 4)
        self.size = self.tiles * self.width
        self.places = 3 * -(-self.size // 3)

    def images(self, rows: Array, n: int, h: int) -> Array:
        """Return the n images of h rows in an array of a tall image's rows, (..., rows, row)."""
        *lead, _, row = rows.shape
        whole = rows[..., : n * self.height, :].reshape(*lead, n, self.height, row)
        return whole[..., :h, :]

    def rows(self, memory: Array) -> Array:
        """Return the tiles' rows in an array of places, (..., places, channels)."""
        *lead, _, channels = memory.shape
        inside = memory[..., : self.size, :]
        return inside.reshape(*lead, self.tiles, self.width * channels)


class Workspace:
    """Memory for the convolution of arrays like x, and views of it, one for each step.

    Parameters
    ----------
    x : array, (..., N, H, W, C)
    margin : int
        Zeros on each side of the image.
    shape : tuple of int
        Shape of the output, (..., N, h, w, K).

    Attributes
    ----------
    pixels : (..., N, H, W·C)
        The place of x, within its margins.
    d : (..., tiles, 6, width·C)
        Six rows for every tile of four rows of the output; tiles overlap.
    D : (..., tiles, 6, width·C)
        The same rows, transformed to the six points.
    windows : (6, 3, ..., places / 3, 3C)
        The parts of D under the filter: windows that begin at pixels 0, 3, 6, …, then at 1, 4, …,
        then at 2, 5, ….
    products : (6, 3, ..., places / 3, K)
        g(p) D_p.
    at_one, points : (..., tiles, width·K), (..., tiles, 6, w·K)
        Products at point 1, and at all points but without windows that run over the edge.
    tiles, y : (..., tiles, 4, w·K), (..., N, h, w, K)
        The output, by tiles and by images.
    """

    def __init__(self, x: Array, margin: int, shape: Shape) -> None:
        xp = namespace(x)
        strided = xp.lib.stride_tricks.as_strided
        *lead, n, height, across, c = x.shape
        *out, _, h, w, k = shape
        layout = Layout(n, h, w, margin)
        tiles, self.width = layout.tiles, layout.width

        image = xp.zeros((*lead, 4 * tiles + 2, self.width * c), x.dtype)
        images = layout.images(image[..., margin:, :], n, height)
        self.pixels = images[..., margin * c : (margin + across) * c]
        *outer, down, one = image.strides
        self.d = strided(image, (*lead, tiles, 6, self.width * c), (*outer, 4 * down, down, one))

        # two places more, for the last windows
        memory = xp.zeros((6, *lead, layout.places + 2, c), x.dtype)
        self.D = xp.moveaxis(layout.rows(memory), 0, -2)
        point, *outer, pixel, one = memory.strides
        self.windows = strided(
            memory,
            (6, 3, *lead, layout.places // 3, 3 * c),
            (point, pixel, *outer, 3 * pixel, one),
        )

        memory = xp.zeros((6, *out, layout.places, k), x.dtype)
        self.products = xp.moveaxis(memory.reshape(6, *out, -1, 3, k), -2, 1)
        rows = layout.rows(memory)
        self.at_one = rows[0]
        self.points = xp.moveaxis(rows[..., : w * k], 0, -2)
        self.tiles = xp.zeros((*out, tiles, 4, w * k), x.dtype)
        y = layout.images(self.tiles.reshape(*out, 4 * tiles, w * k), n, h)
        self.y = y.reshape(*out, n, h, w, k)


class Values:
    """Memory for x(p), in the same places as the windows of a `Workspace`.

    Attributes
    ----------
    pixels : (..., N, H, W·C)
        The place of x.
    tiles : (..., tiles, 4, W·C)
        The same pixels, four rows at a time.
    out : (..., tiles, 6, W·C)
        x(p) at the six points.
    placed : (6, 3, ..., places / 3, C)
        The same values, in the order of the windows.
    """

    def __init__(self, x: Array, margin: int) -> None:
        xp = namespace(x)
        *lead, n, h, w, c = x.shape
        layout = Layout(n, h, w, margin)
        image = xp.zeros((*lead, 4 * layout.tiles, w * c), x.dtype)
        self.pixels = layout.images(image, n, h)
        self.tiles = image.reshape(*lead, layout.tiles, 4, w * c)
        memory = xp.zeros((6, *lead, layout.places, c), x.dtype)
        self.out = xp.moveaxis(layout.rows(memory)[..., : w * c], 0, -2)
        self.placed = xp.moveaxis(memory.reshape(6, *lead, -1, 3, c), -2, 1)
