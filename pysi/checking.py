"""Checks of a layer: that its backward pass belongs to its forward pass.

For the map y(x, θ) of a layer and its Jacobian J, the chain rule must give the same number in both
directions: ⟨dy, J v⟩ = ⟨Jᵀ dy, v⟩ for any direction v of its input and weights. J v is measured by
central differences, Jᵀ dy is what `backward` returns and writes. One random direction tests all
entries at once.
"""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from pysi.backend import stream
from pysi.backend.memory import Slot
from pysi.backend.stages import Stage
from pysi.errors import ConfigError
from pysi.layers import Layer
from pysi.synapses import Synapses
from pysi.typing import Array


def check_layer(
    layer: Layer, x: ArrayLike, *, seed: int = 0, step: float = 1e-6, tolerance: float = 1e-5
) -> None:
    """Check a layer's two functions, in float64 on the CPU.

    Parameters
    ----------
    layer : Layer
    x : array_like, (examples, ...)
        Inputs near which the layer is smooth: for a ReLU, no input may be 0.
    seed : int
        Seed of the weights, the layer's random numbers, and the directions.
    step : float
        Step of the central differences.
    tolerance : float
        How far the two sides may be apart, relative to the product of the norms of dy and J v.

    Raises
    ------
    ConfigError
        The shape of y is not what `output_shape` says; the layer has written to its input or to dy;
        a gradient is wrong, depends on what the layer did before, or differs if the examples come
        in two parts.

    Examples
    --------
    >>> from pysi.layers import Tanh
    >>> check_layer(Tanh(), [[0.3, -1.2]])
    """
    if not isinstance(layer, Layer):
        raise ConfigError(f"layer: expected a Layer object, found {layer!r}")
    x = np.array(x, dtype=np.float64)
    trial = Trial(layer, x, seed)
    y = trial.forward(x).copy()
    expected = (len(x), *layer.output_shape(x.shape[1:]))
    if y.shape != expected:
        trial.refuse("y", f"shape {expected}, as output_shape says", y.shape)
    rng: Any = stream(seed, "directions")
    dy = rng.standard_normal(y.shape)
    dx, grad = trial.backward(x, dy)

    def compare(what: str, product: float, before: Array, after: Array) -> None:
        Jv = (after - before) / (2 * step)
        measured = (dy * Jv).sum()
        scale = np.linalg.norm(dy) * np.linalg.norm(Jv) + 1e-3 * np.linalg.norm(dy)
        if not abs(product - measured) <= tolerance * scale:
            trial.refuse(what, f"⟨dy, Jv⟩ = {measured:.8g}, by differences", f"{product:.8g}")

    v = rng.standard_normal(x.shape)
    ends = [trial.forward(x + sign * step * v).copy() for sign in (-1, 1)]
    compare("dx", (dx * v).sum(), *ends)
    theta = trial.table.theta.copy()
    for name in layer.parameters:
        group = trial.table.group(f"layer.{name}")
        v, ends = np.zeros_like(theta), []
        v[group.columns] = rng.standard_normal(group.theta.size)
        for sign in (-1, 1):
            trial.table.theta[...] = theta + sign * step * v
            ends.append(trial.forward(x).copy())
        trial.table.theta[...] = theta
        compare(f"∂L/∂{name}", (grad * v)[group.columns].sum(), *ends)
    trial.backward(x[:1], dy[:1])
    if not all(map(np.array_equal, trial.backward(x, dy), (dx, grad))):
        trial.refuse("backward", "the same gradient at every call", "another one")
    if layer.parameters and not layer.random:
        parts = Trial(layer, x, seed, size=-(-len(x) // 2))
        if not np.allclose(parts.backward(x, dy)[1], grad, rtol=1e-9, atol=1e-9):
            trial.refuse("∂L/∂W", "the same gradient in two parts of the batch", "another one")


class Trial:
    """One layer by itself, with a table of its own."""

    def __init__(self, layer: Layer, x: Array, seed: int, size: int | None = None) -> None:
        self.layer, self.seed = layer, seed
        shapes = {f"layer.{name}": shape for name, shape in layer.parameters.items()}
        self.table = Synapses({"none": (1,)} | shapes, dtype=np.float64)
        self.table.theta[...] = stream(seed, "check").standard_normal(self.table.size) / 2
        self.table.grad[...] = np.nan  # so that an entry that is not written shows
        slot, shape = Slot(layer, "layer", self.table), layer.output_shape(x.shape[1:])
        stages = (Stage([slot], shape, x.ndim - 1, n, keeps=True, last=True) for n in (size, None))
        self.stage, self.other = stages

    def refuse(self, what: str, expected: str, found: object) -> NoReturn:
        """Raise the ConfigError that says what is wrong with the layer."""
        raise ConfigError(f"{self.layer}: {what}: expected {expected}, found {found}")

    def forward(self, x: Array) -> Array:
        """Return y for x, with the same random numbers at every call."""
        self.stage.restart([[stream(self.seed, "check")]])
        given = x.copy()
        y = self.stage.forward(x, True)
        if not np.array_equal(x, given):
            self.refuse("forward", "x to be only read", "that it was written to")
        return y

    def backward(self, x: Array, dy: Array) -> tuple[Array, Array]:
        """Return dx and the row of gradients, after a forward pass."""
        self.forward(x)
        self.other.forward(-x, False)  # an evaluation in between, which must change nothing
        given = dy.copy()
        dx = self.stage.gradients(dy, True)
        if not np.array_equal(dy, given):
            self.refuse("backward", "dy to be only read", "that it was written to")
        grad = self.table.grad.copy()
        grad[0] = 0
        if self.stage.size is None and (dx is None or dx.shape != x.shape):
            self.refuse("dx", f"shape {x.shape}, that of x", dx if dx is None else dx.shape)
        return np.array(dx), grad
