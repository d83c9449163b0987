"""A network: layers in a row over one table of synapses."""

import numpy as np

from pysi.backend import CPU_IMAGES, Scratch, stream
from pysi.errors import ConfigError
from pysi.nn.convolution import Conv2D
from pysi.nn.groups import ImageGroups
from pysi.nn.layers import Dense, Dropout, ReLU, Tanh
from pysi.nn.pooling import Flatten, MaxPool2D
from pysi.nn.winograd import WinogradConv2D
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
    input_shape : tuple of int, optional
        Of one example; needed where the first layer takes images, (rows, columns, channels).

    Attributes
    ----------
    synapses : Synapses
    seeds : tuple of int
    """

    def __init__(self, layers, *, seed=0, dtype=np.float32, xp=np, input_shape=None):
        lead = () if np.ndim(seed) == 0 else (len(seed),)
        self.seeds = tuple(int(s) for s in np.atleast_1d(seed))
        if not self.seeds or min(self.seeds) < 0:
            raise ConfigError(f"seed: expected whole numbers from 0, found {seed}")
        self.layers = list(layers)
        self.input_shape = input_shape or (getattr(self.layers[0], "n_in", None),)
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
        self.initialise()
        self._scratch = Scratch()
        self._row = self._grouped(xp)

    def _grouped(self, xp):
        """The layers, those up to the features as one that takes images in groups, if there are."""
        kinds = [layer.kind for layer in self.layers]
        if "conv" not in kinds:
            return self.layers
        if "flatten dense" not in " ".join(kinds):
            raise ConfigError(f"layers: expected Flatten and Dense after images, found {kinds}")
        end = kinds.index("flatten") + 1
        features, size = self.layers[end].n_in, CPU_IMAGES if xp is np else None
        return [ImageGroups(self.layers[:end], features, size), *self.layers[end:]]

    def initialise(self):
        """Give all synapses their initial weights, which depend on the seed alone, and no past."""
        self.synapses.table[...] = 0
        for name, layer in zip(self._names, self.layers, strict=True):
            for r, s in enumerate(self.seeds):
                # drawn on the host, so that every device starts from the same weights
                layer.initialise(stream(s, "init", name), (r,) if self.synapses.lead else ())

    def restart(self, *key):
        """Give random layers fresh random streams that depend on the seed and `key` alone."""
        xp = self.synapses.xp
        streams = [
            [stream(s, *key, name, xp=xp) for s in self.seeds] if layer.random else None
            for name, layer in zip(self._names, self.layers, strict=True)
        ]
        if self._row is not self.layers:
            images = len(self.layers) - len(self._row) + 1
            streams[:images] = [streams[:images]]
        for layer, own in zip(self._row, streams, strict=True):
            if own:
                layer.restart(own)

    def forward(self, x, *, train=False):
        """Logits (..., examples, classes) of inputs (..., examples, features) or images.

        Unsigned bytes are pixels: they are divided by 255. The result is scratch memory: it is
        overwritten by the next call.
        """
        if x.dtype.kind == "u":
            dtype = self.synapses.dtype
            pixels = self._scratch("x", x.shape, x, dtype)
            x = self.synapses.xp.divide(x, 255, out=pixels, dtype=dtype)
        for layer in self._row:
            x = layer.forward(x, train=train)
        return x

    def backward(self, dlogits):
        """Write the gradient of the loss into `synapses.grad`, given ∂loss/∂logits."""
        dy = dlogits
        for layer in reversed(self._row[1:]):
            dy = layer.backward(dy)
        self._row[0].backward(dy, need_dx=False)


def dropouts(p):
    """A layer of dropout as a list, which is empty for p = 0."""
    if not 0 <= p < 1:
        raise ConfigError(f"dropout: expected 0 ≤ dropout < 1, found {p}")
    return [Dropout(p)] if p else []


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
        dropouts(dropout)  # checks it, also where no layer is hidden
        layers = []
        for n_in, n_out in zip(sizes[:-2], sizes[1:-1], strict=True):
            layers += [Dense(n_in, n_out), ACTIVATIONS[activation](), *dropouts(dropout)]
        layers.append(Dense(*sizes[-2:], zero=zero_readout))
        super().__init__(layers, **options)


class CNN(Network):
    """The network of the paper's CIFAR benchmark: two blocks of convolutions and a hidden layer.

    A block is a convolution with a margin, one without, and pooling. Rectifying after pooling gives
    the same values as before it, of a quarter as many numbers.

    Parameters
    ----------
    n_classes : int
        Units of the readout, which starts from zero weights.
    channels : (int, int)
        Of the convolutions of each block.
    hidden : int
        Units of the hidden layer.
    image : (int, int, int)
        Rows, columns and channels of the input.
    dropout : (float, float)
        Probability of switching a unit off while training: after each block, in the hidden layer.
    fast : bool
        Whether convolutions of at least 8 channels use Winograd's algorithm.
    seed, dtype, xp
        See `Network`.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.3 and their released code.
    """

    def __init__(
        self,
        n_classes,
        *,
        channels=(32, 64),
        hidden=512,
        image=(32, 32, 3),
        dropout=(0.25, 0.5),
        fast=True,
        **options,
    ):
        *size, n_in = image
        layers = []
        for n_out in channels:
            for n, padding in ((n_in, "same"), (n_out, "valid")):
                winograd = fast and n >= 8
                make = WinogradConv2D if winograd else Conv2D
                layers += [make(n, n_out, padding=padding), ReLU()]
            layers[-1:] = [MaxPool2D(2), ReLU(), *dropouts(dropout[0])]
            n_in, size = n_out, [(n - 2) // 2 for n in size]
        if min(size) < 1:
            raise ConfigError(f"image: expected enough pixels for every block, found {image}")
        features = size[0] * size[1] * n_in
        layers += [Flatten(), Dense(features, hidden), ReLU(), *dropouts(dropout[1])]
        layers.append(Dense(hidden, n_classes, zero=True))
        super().__init__(layers, input_shape=tuple(image), **options)
