"""Units that compete: maxout and local winner-take-all.

Features (or the channels of an image) are cut into blocks of k neighbours, and the largest of each
block wins; among equals, the first. Only the winner is heard, and only the winner learns. So an
input uses, and changes, only a part of the network. Neither layer needs another nonlinearity.
"""

from typing import Any

from pysi.arguments import whole
from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.layers import Layer
from pysi.typing import Array, Shape


class Competition(Layer):
    """Blocks of k adjacent units, whose largest wins: the base class of the two layers below."""

    def __init__(self, k: int = 2) -> None:
        self.k = whole("k", k, 2)

    def output_shape(self, shape: Shape) -> Shape:
        if shape[-1] % self.k:
            raise ConfigError(
                f"{self}: expected a number of features or channels that k = {self.k} divides, "
                f"found {shape[-1]}"
            )
        return shape

    def rivals(self, array: Array) -> list[Array]:
        """Return views of the first unit of every block, of the second, and so on."""
        return [array[..., i :: self.k] for i in range(self.k)]

    def compete(self, x: Array, memory: Any) -> tuple[Array, Array]:
        """Return the largest of each block, and for each unit whether it is its block's winner."""
        xp, (largest, *others) = namespace(x), self.rivals(x)
        wins = memory("wins", x.shape, bool)
        won = self.rivals(wins)
        won[0][...] = True
        out = memory.passing("largest", largest.shape)
        for i, rival in enumerate(others, start=1):
            xp.greater(rival, largest, out=won[i])
            for earlier in won[:i]:
                xp.greater(earlier, won[i], out=earlier)  # it wins as long as no later one does
            largest = xp.maximum(rival, largest, out=out)
        return largest, wins


class Maxout(Competition):
    """Maxout: the largest of each block is one unit, y_i = max_j x_ij (Goodfellow et al., 2013).

    With a dense layer before it, unit i is the largest of k linear pieces (filters), and F filters
    make F / k units. Backward: ∂L/∂y goes to the winner, and zero to the others.

    Parameters
    ----------
    k : int
        Pieces per unit, at least 2.

    Examples
    --------
    >>> import pysi
    >>> net = pysi.MLP([784, 512, 512, 10], activation=Maxout(2))  # 256 units in each layer
    """

    def output_shape(self, shape: Shape) -> Shape:
        *rest, filters = super().output_shape(shape)
        return (*rest, filters // self.k)

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        return self.compete(x, memory)

    def backward(self, dy: Array, wins: Any, memory: Any) -> Array:
        dx = memory.passing("dx", (*dy.shape[:-1], wins.shape[-1]))
        for own, win in zip(self.rivals(dx), self.rivals(wins), strict=True):
            namespace(dy).multiply(dy, win, out=own)
        return dx


class LWTA(Competition):
    """Local winner-take-all: all units but the winner give 0 (Srivastava et al., 2013).

    So a block of k units stays k units. Backward: ∂L/∂y passes at the winner, and nowhere else.

    Parameters
    ----------
    k : int
        Units per block, at least 2.
    """

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        _, wins = self.compete(x, memory)
        return namespace(x).multiply(x, wins, out=memory.passing("y", x.shape)), wins

    def backward(self, dy: Array, wins: Any, memory: Any) -> Array:
        return namespace(dy).multiply(dy, wins, out=memory.passing("dx", dy.shape))
