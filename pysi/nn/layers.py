"""Layers: a forward pass, and the backward pass that the chain rule gives for it.

Every layer maps x to y. When the loss L is differentiated, `backward` receives dy = ∂L/∂y and
returns dx = ∂L/∂x; a layer with weights also writes ∂L/∂W into the synapse table, overwriting what
was there. The last two axes are (examples, features); any axes before them are independent
networks.
"""

import copy
from math import sqrt

from pysi.backend import Scratch, Workspace, namespace
from pysi.fusion import fused
from pysi.matmul import matmul


class Layer:
    """A differentiable map. `parameters` names the shapes of its weights; most layers have none.

    What `backward` needs is kept in `scratch`, all else in `work`.

    A batch may also be taken in parts, as `pysi.nn.groups` does: `prepare` once, `forward_part` and
    `backward_part` of every part by a `twin` of its own, and `finish` once. Where a layer has
    weights, its twins add to `gradients` what `finish` makes the gradient of.
    """

    kind = "layer"
    parameters = {}
    gradients = ()
    random = False
    lends = False
    """Whether its output is in `work`, and so lives only until the next layer has used it."""

    def __init__(self):
        self.scratch, self.work = Scratch(), Workspace()

    def bind(self, groups):
        """Receive the handles of this layer's weights: a dict from parameter to SynapseGroup."""

    def initialise(self, stream, replica):
        """Draw the initial weights of one network; `replica` is its index on the leading axes."""

    def restart(self, streams):
        """Receive fresh random streams, one a network, at the start of an epoch; if `random`."""

    def forward(self, x, *, train=False):
        """Y of x, shape (..., examples, features). What `backward` needs is remembered."""
        raise NotImplementedError

    def backward(self, dy, *, need_dx=True):
        """∂L/∂x of ∂L/∂y for the last forward pass; None unless `need_dx`."""
        raise NotImplementedError

    def twin(self):
        """A layer with the same weights and a memory of its own, for another part of a batch."""
        twin = copy.copy(self)
        twin.scratch = Scratch()
        return twin

    def own_gradients(self):
        """Add up `gradients` apart from the layer that this one is a twin of."""

    def prepare(self):
        """Derive from the weights what all parts of a batch need."""

    def forward_part(self, x, *, train=False):
        """As `forward`, of a part of the batch."""
        return self.forward(x, train=train)

    def backward_part(self, dy, *, need_dx=True):
        """As `backward`, of a part of the batch; adds to `gradients` and leaves the table alone."""
        return self.backward(dy, need_dx=need_dx)

    def finish(self):
        """Write the gradient of the whole batch, once it is added up in `gradients`."""


class Dense(Layer):
    r"""A fully connected layer, y = x W + b.

    Backward: :math:`y_{nj} = \sum_i x_{ni} W_{ij} + b_j`, so with :math:`dy = ∂L/∂y`

    .. math:: ∂L/∂W_{ij} = \sum_n x_{ni}\, dy_{nj}, \quad ∂L/∂b_j = \sum_n dy_{nj}, \quad
              ∂L/∂x_{ni} = \sum_j dy_{nj} W_{ij},

    or dW = xᵀ dy, db = Σ dy, dx = dy Wᵀ: what is presynaptic times the error that is postsynaptic.

    Parameters
    ----------
    n_in, n_out : int
    zero : bool
        Start from zero weights (for a readout) rather than from Glorot's uniform distribution,
        U(-a, a) with a = √(6 / (n_in + n_out)) (Glorot & Bengio, 2010). Biases start at zero.
    """

    kind = "dense"

    def __init__(self, n_in, n_out, *, zero=False):
        super().__init__()
        self.n_in, self.n_out, self.zero = n_in, n_out, zero
        self.parameters = {"W": (n_in, n_out), "b": (n_out,)}

    def bind(self, groups):
        self.W, self.b = groups["W"], groups["b"]

    def initialise(self, stream, replica):
        limit = 0.0 if self.zero else sqrt(6 / (self.n_in + self.n_out))
        weights = stream.uniform(-limit, limit, self.W.shape)
        theta = self.W.theta[replica]
        theta[...] = namespace(theta).asarray(weights, dtype=theta.dtype)

    def forward(self, x, *, train=False):
        W, b = self.W.theta, self.b.theta
        self.x = x
        lead = W.shape[:-2] or x.shape[:-2]
        y = self.scratch("y", (*lead, x.shape[-2], self.n_out), x)
        matmul(x, W, out=y)
        y += b[..., None, :]
        return y

    def backward(self, dy, *, need_dx=True):
        matmul(self.x.swapaxes(-1, -2), dy, out=self.W.grad)
        namespace(dy).sum(dy, axis=-2, out=self.b.grad)
        if not need_dx:
            return None
        dx = self.work("dx", (*dy.shape[:-1], self.n_in), dy)
        return matmul(dy, self.W.theta.swapaxes(-1, -2), out=dx)


class ReLU(Layer):
    """Rectification, y = max(x, 0). Backward: dx = dy where y > 0, and 0 elsewhere (0 at x = 0)."""

    kind = "relu"

    def forward(self, x, *, train=False):
        self.y = self.scratch("y", x.shape, x)
        return namespace(x).maximum(x, 0, out=self.y)

    def backward(self, dy, *, need_dx=True):
        on, dx = self.work("on", dy.shape, dy, bool), self.work("dx", dy.shape, dy)
        with fused(dx, dy, self.y, on) as (xp, out, dy, y, on):
            xp.multiply(dy, xp.greater(y, 0, out=on), out=out)
        return dx


class Tanh(Layer):
    """Hyperbolic tangent, y = tanh x. Backward: dx = dy (1 - y²), since tanh' = 1 - tanh²."""

    kind = "tanh"

    def forward(self, x, *, train=False):
        self.y = self.scratch("y", x.shape, x)
        return namespace(x).tanh(x, out=self.y)

    def backward(self, dy, *, need_dx=True):
        dx = self.work("dx", dy.shape, dy)
        with fused(dx, dy, self.y) as (xp, out, dy, y):
            xp.multiply(y, y, out=out)
            xp.subtract(1, out, out=out)
            out *= dy
        return dx


class Dropout(Layer):
    """Switch each unit off with probability p while training; y = x m / (1 - p), m ∈ {0, 1}.

    The division keeps the mean of y at x, so that testing needs no rescaling (Srivastava et al.,
    2014). Backward: dx = dy m / (1 - p).
    """

    kind = "dropout"
    random = True

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.mask = None

    def restart(self, streams):
        self.streams = streams

    def forward(self, x, *, train=False):
        self.mask = None
        if not train or self.p == 0:
            return x
        drawn, y = self.scratch("drawn", x.shape, x), self.scratch("y", x.shape, x)
        rows = drawn.reshape(len(self.streams), -1)
        for r, stream in enumerate(self.streams):
            rows[r] = stream.random(rows.shape[1:], dtype=rows.dtype)
        self.mask = drawn
        with fused(y, x, drawn) as (xp, out, x, mask):
            xp.greater_equal(mask, self.p, out=mask)
            mask *= 1 / (1 - self.p)
            xp.multiply(x, mask, out=out)
        return y

    def backward(self, dy, *, need_dx=True):
        if self.mask is None:
            return dy
        return namespace(dy).multiply(dy, self.mask, out=self.work("dx", dy.shape, dy))
