"""Layers: weights and two functions, the forward pass and what the chain rule makes of it.

Every layer maps x to y. When the loss L is differentiated, `backward` receives dy = ∂L/∂y and
returns dx = ∂L/∂x; a layer with weights also writes ∂L/∂W. The last two axes of x are (examples,
features), or the last four (examples, rows, columns, channels); any axes before them are
independent networks.

A layer remembers nothing. Beside y, `forward` returns what `backward` needs. All arrays belong to
the network, which lends them through `memory`:

- ``memory.weights``, ``memory.gradients``: θ of this layer to be read, and ∂L/∂θ to be written, one
  array for each of its `parameters`;
- ``memory(name, shape)``: an array for this layer's own use, which stays until the backward pass;
  ``memory.passing(name, shape)``: an array that only the next layer reads;
- ``memory.train``, ``memory.streams``: whether the network is training, and a random generator for
  each network; ``memory.need_dx``: False in the first layer, whose dx nobody reads.
"""

from math import sqrt
from typing import Any

import numpy as np

from pysi.arguments import Arguments, number, whole
from pysi.backend import elementwise, matmul, namespace
from pysi.errors import ConfigError
from pysi.typing import Array, Shape


class Layer(Arguments):
    """A differentiable map; see the head of this file.

    To be saved, a layer keeps its constructor's arguments as attributes of the same names.
    """

    kind = "layer"
    """Its name in the table, such as "dense" in "dense1.W"; by default the name of its class."""
    parameters: dict[str, Shape] = {}
    """Names and shapes of its weights; most layers have none."""
    input_shape: Shape | None = None
    """Shape of one example, if the layer takes no other."""
    random = False
    """Whether it draws random numbers while training."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.kind == Layer.kind:
            cls.kind = cls.__name__.lower()

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of y for one example; raise a ConfigError if x cannot have `shape`."""
        return shape

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        """Return one network's initial weights, a dict of arrays; those left out start at zero."""
        return {}

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        """Return y for input x, and whatever `backward` needs."""
        raise NotImplementedError

    def backward(self, dy: Array, kept: Any, memory: Any) -> Array | None:
        """Return ∂L/∂x for ∂L/∂y, and write ∂L/∂W into `memory.gradients`."""
        raise NotImplementedError

    def input_gradient(self, dy: Array, kept: Any, memory: Any) -> Array | None:
        """Return ∂L/∂x alone, for gradients of single examples (see `pysi.rules.fisher`)."""
        return self.backward(dy, kept, memory)


class Dense(Layer):
    r"""A fully connected layer, y = x W + b.

    Backward: :math:`y_{nj} = \sum_i x_{ni} W_{ij} + b_j`, so with :math:`dy = ∂L/∂y`

    .. math:: ∂L/∂W_{ij} = \sum_n x_{ni}\, dy_{nj}, \quad ∂L/∂b_j = \sum_n dy_{nj}, \quad
              ∂L/∂x_{ni} = \sum_j dy_{nj} W_{ij},

    or dW = xᵀ dy, db = Σ dy, dx = dy Wᵀ. So dW is presynaptic activity times postsynaptic error.
    Weights start from Glorot's uniform distribution, U(-a, a) with a = √(6 / (n_in + n_out))
    (Glorot & Bengio, 2010), or from zero if `zero` is True; biases start from zero.
    """

    kind = "dense"

    def __init__(self, n_in: int, n_out: int, *, zero: bool = False) -> None:
        self.n_in, self.n_out, self.zero = whole("n_in", n_in), whole("n_out", n_out), zero
        self.parameters, self.input_shape = {"W": (n_in, n_out), "b": (n_out,)}, (n_in,)

    def output_shape(self, shape: Shape) -> Shape:
        if shape != self.input_shape:
            raise ConfigError(f"{self}: expected {self.n_in} features as input, found {shape}")
        return (self.n_out,)

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        limit = 0.0 if self.zero else sqrt(6 / (self.n_in + self.n_out))
        return {"W": rng.uniform(-limit, limit, self.parameters["W"])}

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        W, b = memory.weights
        lead = W.shape[:-2] or x.shape[:-2]
        y = matmul(x, W, out=memory("y", (*lead, x.shape[-2], self.n_out)))
        y += b[..., None, :]
        return y, x

    def backward(self, dy: Array, x: Any, memory: Any) -> Array | None:
        dW, db = memory.gradients
        matmul(x.swapaxes(-1, -2), dy, out=dW)
        namespace(dy).sum(dy, axis=-2, out=db)
        return self.input_gradient(dy, x, memory) if memory.need_dx else None

    def input_gradient(self, dy: Array, x: Any, memory: Any) -> Array | None:
        W, _ = memory.weights
        dx = memory.passing("dx", (*dy.shape[:-1], self.n_in))
        return matmul(dy, W.swapaxes(-1, -2), out=dx)

    def add_examples(self, f: Any, total: Any, dy: Array, x: Array, memory: Any) -> Array:
        return total + f(dy)

    def example_sums(self, f: Any, total: Array, x: Array) -> tuple[Array, Array]:
        # the gradient of one example is the product x_i dy_j, and f of it is f(x_i) f(dy_j)
        return matmul(f(x).swapaxes(-1, -2), total), total.sum(axis=-2)


@elementwise
def relu_slope(dy, y):
    """Return ∂L/∂x = dy [y > 0]."""
    return dy * (y > 0)


class ReLU(Layer):
    """Rectification, y = max(x, 0). Backward: dx = dy where y > 0, and 0 elsewhere (0 at x = 0)."""

    kind = "relu"

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        y = namespace(x).maximum(x, 0, out=memory("y", x.shape))
        return y, y

    def backward(self, dy: Array, y: Any, memory: Any) -> Array | None:
        return relu_slope(dy, y, out=memory.passing("dx", dy.shape))


@elementwise
def tanh_slope(dy, y):
    """Return ∂L/∂x = dy (1 - y²), since tanh' = 1 - tanh²."""
    return (1 - y * y) * dy


class Tanh(Layer):
    """Hyperbolic tangent, y = tanh x. Backward: dx = dy (1 - y²)."""

    kind = "tanh"

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        y = namespace(x).tanh(x, out=memory("y", x.shape))
        return y, y

    def backward(self, dy: Array, y: Any, memory: Any) -> Array | None:
        return tanh_slope(dy, y, out=memory.passing("dx", dy.shape))


@elementwise
def dropped(x, drawn, p, scale):
    """Return x m / (1 - p), and m / (1 - p), with m = 1 where the number drawn is at least p."""
    mask = (drawn >= p) * scale
    return x * mask, mask


class Dropout(Layer):
    """Switch each unit off with probability p while training; y = x m / (1 - p), m ∈ {0, 1}.

    The mean of y is x, so testing needs no rescaling (Srivastava et al., 2014). Backward:
    dx = dy m / (1 - p).
    """

    kind = "dropout"
    random = True

    def __init__(self, p: float) -> None:
        self.p = number("dropout", p, "0 ≤ dropout < 1", lambda p: 0 <= p < 1)

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        if not memory.train or self.p == 0:
            return x, None
        drawn = memory("drawn", x.shape)
        rows = drawn.reshape(len(memory.streams), -1)
        for r, stream in enumerate(memory.streams):
            rows[r] = stream.random(rows.shape[1:], dtype=rows.dtype)
        out = memory("y", x.shape), drawn
        return dropped(x, drawn, self.p, x.dtype.type(1 / (1 - self.p)), out=out)

    def backward(self, dy: Array, mask: Any, memory: Any) -> Array | None:
        if mask is None:
            return dy
        return namespace(dy).multiply(dy, mask, out=memory.passing("dx", dy.shape))
