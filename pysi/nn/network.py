"""A network: layers in a row over one table of synapses."""

import numpy as np

from pysi.backend import Scratch, stream
from pysi.errors import ConfigError
from pysi.nn.layers import Dense, Dropout, ReLU, Tanh
from pysi.synapses import Synapses

ACTIVATIONS = {"relu": ReLU, "tanh": Tanh}


class Network:
    """Layers in a row, and the table that holds all their synapses.

    Parameters
    ----------
    layers : list of Layer
    seed : int or sequence of int
        One seed makes one network. R seeds make R networks that are trained side by side: every
        row of the table, and every activation, gets a leading axis of length R.
    dtype : dtype
    xp : module
        `numpy` or `cupy`.

    Attributes
    ----------
    synapses : Synapses
    seeds : tuple of int
    """

    def __init__(self, layers, *, seed=0, dtype=np.float32, xp=np):
        lead = () if np.ndim(seed) == 0 else (len(seed),)
        self.seeds = tuple(int(s) for s in np.atleast_1d(seed))
        if not self.seeds or min(self.seeds) < 0:
            raise ConfigError(f"seed: expected whole numbers from 0, found {seed}")
        self.layers = list(layers)
        counts, self._names = {}, []
        for layer in self.layers:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
            self._names.append(f"{layer.kind}{counts[layer.kind]}")
        shapes = {
            f"{name}.{parameter}": shape
            for name, layer in zip(self._names, self.layers, strict=True)
            for parameter, shape in layer.parameters.items()
        }
        self.synapses = Synapses(shapes, lead=lead, dtype=dtype, xp=xp)
        for name, layer in zip(self._names, self.layers, strict=True):
            layer.bind({p: self.synapses.group(f"{name}.{p}") for p in layer.parameters})
            for r, s in enumerate(self.seeds):
                # drawn on the host, so that every device starts from the same weights
                layer.initialise(stream(s, "init", name), (r,) if lead else ())
        self._scratch = Scratch()

    def restart(self, *key):
        """Give every layer fresh random streams that depend on the seed and `key` alone."""
        for name, layer in zip(self._names, self.layers, strict=True):
            layer.restart([stream(s, *key, name, xp=self.synapses.xp) for s in self.seeds])

    def forward(self, x, *, train=False):
        """Logits (..., examples, classes) of inputs (..., examples, features).

        Unsigned bytes are pixels: they are divided by 255. The result is scratch memory: it is
        overwritten by the next call.
        """
        if x.dtype.kind == "u":
            dtype = self.synapses.dtype
            pixels = self._scratch("x", x.shape, x, dtype)
            x = self.synapses.xp.divide(x, 255, out=pixels, dtype=dtype)
        for layer in self.layers:
            x = layer.forward(x, train=train)
        return x

    def backward(self, dlogits):
        """Write the gradient of the loss into `synapses.grad`, given ∂loss/∂logits."""
        dy = dlogits
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        self.layers[0].backward(dy, need_dx=False)


class MLP(Network):
    """A multilayer perceptron: nonlinear hidden layers and a linear readout.

    Parameters
    ----------
    sizes : sequence of int
        Units of the input, of each hidden layer, and of the readout, e.g. (784, 256, 256, 10).
    activation : {"relu", "tanh"}
        Nonlinearity of the hidden layers; tanh is for theory that needs a smooth loss.
    dropout : float
        Probability of switching a hidden unit off while training, 0 ≤ dropout < 1.
    zero_readout : bool
        Start the readout from zero weights, as the authors' code does for masked readouts.
    seed, dtype, xp
        See `Network`.

    Examples
    --------
    >>> net = MLP([4, 3, 2], seed=0)
    >>> net.synapses.group("dense1.W").shape
    (4, 3)
    >>> net.forward(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    def __init__(self, sizes, *, activation="relu", dropout=0.0, zero_readout=False, **options):
        if len(sizes) < 2 or any(int(n) != n or n < 1 for n in sizes):
            raise ConfigError(f"sizes: expected two or more positive whole numbers, found {sizes}")
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation: expected one of {list(ACTIVATIONS)}, found {activation!r}"
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout: expected 0 ≤ dropout < 1, found {dropout}")
        layers = []
        for n_in, n_out in zip(sizes[:-2], sizes[1:-1], strict=True):
            layers += [Dense(n_in, n_out), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(Dropout(dropout))
        layers.append(Dense(*sizes[-2:], zero=zero_readout))
        super().__init__(layers, **options)
