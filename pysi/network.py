"""A network: layers in a row over one table of synapses."""

import numpy as np

from pysi.backend.arrays import CPU_IMAGES, stream
from pysi.backend.memory import Pass, Slot
from pysi.errors import ConfigError
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.synapses import Synapses

ACTIVATIONS = {"relu": ReLU, "tanh": Tanh}


class Network:
    """Layers in a row, and the table that holds all their synapses.

    The layers say what is computed; the network owns the weights, and all memory.

    Parameters
    ----------
    layers : list of Layer
        The same objects may be given to other networks: each network has weights of its own.
    seed : int or sequence of int
        One seed makes one network. R seeds make R networks that are trained side by side: every
        row of the table, and every activation, gets a leading axis of length R.
    dtype : dtype
        In which the network computes, whatever it is fed.
    xp : module
        `numpy` or `cupy`.
    input_shape : tuple of int, optional
        Of one example; needed where the first layer takes images, (rows, columns, channels).

    Attributes
    ----------
    synapses : Synapses
    seeds : tuple of int
    learned : int
        How many tasks `pysi.train` has taught it.

    Raises
    ------
    ConfigError
        No layers, layers whose sizes do not fit, or seeds that are no whole numbers from 0.
    """

    def __init__(self, layers, *, seed=0, dtype=np.float32, xp=np, input_shape=None):
        seeds = np.atleast_1d(seed)
        if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or not seeds.size or seeds.min() < 0:
            raise ConfigError(f"seed: expected whole numbers from 0, found {seed}")
        self.seeds, lead = tuple(seeds.tolist()), () if np.ndim(seed) == 0 else (len(seeds),)
        self.layers = list(layers)
        if not self.layers or not all(isinstance(layer, Layer) for layer in self.layers):
            raise ConfigError(f"layers: expected one or more Layer objects, found {self.layers}")
        shape = input_shape or next((la.input_shape for la in self.layers if la.input_shape), None)
        if shape is None:
            raise ConfigError("input_shape: expected the shape of one example, found none")
        self.shapes = [tuple(shape)]
        for layer in self.layers:
            self.shapes.append(tuple(layer.output_shape(self.shapes[-1])))
        counts, self.names = {}, []
        for layer in self.layers:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
            self.names.append(f"{layer.kind}{counts[layer.kind]}")
        parameters = {
            f"{name}.{parameter}": shape
            for name, layer in zip(self.names, self.layers, strict=True)
            for parameter, shape in layer.parameters.items()
        }
        self.synapses = Synapses(parameters, lead=lead, dtype=dtype, xp=xp)
        self.initialise()

    def __repr__(self):
        return f"{type(self).__name__}({self.layers}, seed={self.seeds}, {self.synapses.dtype})"

    input_shape = property(lambda self: self.shapes[0], doc="Shape of one example.")
    output_shape = property(lambda self: self.shapes[-1], doc="Shape of its output.")

    @property
    def synapses(self):
        """The table. It can be replaced by one of the same groups, from `Synapses.load`."""
        return self._synapses

    @synapses.setter
    def synapses(self, table):
        held = getattr(self, "_synapses", table)
        for what in ("shapes", "lead", "dtype"):
            if getattr(table, what) != getattr(held, what):
                raise ConfigError(
                    f"synapses: expected a table with {what} {getattr(held, what)}, as the network "
                    f"has, found {getattr(table, what)}"
                )
        self._synapses, self._last, self._streams, self._open = table, None, None, False
        slots = [
            Slot(layer, name, table) for layer, name in zip(self.layers, self.names, strict=True)
        ]
        # images go through their layers in parts, which end where there are features
        end = next((i for i, shape in enumerate(self.shapes) if len(shape) == 1), len(slots))
        few = CPU_IMAGES if table.xp is np else None
        self._stages = [
            (part, self.shapes[stop], len(self.shapes[start]), size)
            for part, start, stop, size in (
                (slots[:end], 0, end, few), (slots[end:], end, len(slots), None)
            ) if part
        ]  # fmt: skip
        self._passes = {}

    def initialise(self):
        """Give all synapses their initial weights, which depend on the seed alone, and no past."""
        s, self.learned = self.synapses, 0
        s.table[...] = 0
        for name, layer in zip(self.names, self.layers, strict=True):
            for r, seed in enumerate(self.seeds):
                # drawn on the host, so that every device starts from the same weights
                for parameter, weights in layer.initial(stream(seed, "init", name)).items():
                    theta = s.group(f"{name}.{parameter}").theta
                    theta[(r,) if s.lead else ()] = s.xp.asarray(weights, dtype=s.dtype)

    def restart(self, *key):
        """Give random layers fresh random streams that depend on the seed and `key` alone."""
        xp = self.synapses.xp
        self._streams = [
            [stream(s, *key, name, xp=xp) for s in self.seeds] if layer.random else None
            for name, layer in zip(self.names, self.layers, strict=True)
        ]
        if "train" in self._passes:
            self._passes["train"].restart(self._streams)

    def _pass(self, name):
        """The memory for one use of the network, made at its first."""
        if name not in self._passes:
            self._passes[name] = Pass(self._stages, keeps=name != "predict")
            if name == "train":
                if self._streams is None:
                    self.restart("by hand")
                self._passes[name].restart(self._streams)
        return self._passes[name]

    def _run(self, name, x):
        s, n_axes = self.synapses, len(self.input_shape)
        if x.shape[-n_axes:] != self.input_shape or x.shape[: -n_axes - 1] not in ((), s.lead):
            lead = ", ".join(map(str, (*s.lead, "examples", *self.input_shape)))
            raise ConfigError(f"x: expected inputs of shape ({lead}), found {x.shape}")
        if x.ndim == n_axes:
            raise ConfigError(f"x: expected several examples, found one of shape {x.shape}")
        used = self._pass(name)
        return used, used.forward(used.numbers(x, s.xp, s.dtype), name == "train")

    def forward(self, x, *, train=False):
        """Return the logits, and keep what `backward` needs.

        Parameters
        ----------
        x : array, (..., examples, *input_shape)
            Several networks may share it. Unsigned bytes are pixels: they are divided by 255.
        train : bool
            Whether layers such as dropout behave as in training.

        Returns
        -------
        array, (..., examples, classes)
        """
        used, logits = self._run("train" if train else "test", x)
        if train or not self._open:
            self._last, self._open = used, train
        return logits

    def logits(self, x):
        """Return the logits for inputs as in `forward`; nothing is kept for a backward pass."""
        return self._run("predict", x)[1]

    @property
    def last(self):
        """The forward pass that `backward` belongs to: the last one, but an evaluation in between a
        training pass and its backward pass does not count."""
        if self._last is None:
            raise ConfigError("backward: expected a forward pass before it, found none")
        return self._last

    @property
    def features(self):
        """What the last layer received in the pass that `backward` belongs to."""
        return self.last.features

    def backward(self, dlogits, dfeatures=None):
        """Write the gradient of the loss into `synapses.grad`.

        Parameters
        ----------
        dlogits : array, (..., examples, classes)
            ∂loss/∂logits of the last forward pass.
        dfeatures : array, (..., examples, features), optional
            What else pulls at the input of the last layer.
        """
        self.last.gradients(dlogits, dfeatures)
        self._open = False


def dropouts(p):
    """A layer of dropout as a list, which is empty for p = 0."""
    return [Dropout(p)] if Dropout(p).p else []


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
        layers = []
        dropouts(dropout)  # checks it, also where no layer is hidden
        for n_in, n_out in zip(sizes[:-2], sizes[1:-1], strict=True):
            layers += [Dense(n_in, n_out), ACTIVATIONS[activation](), *dropouts(dropout)]
        layers.append(Dense(*sizes[-2:], zero=zero_readout))
        super().__init__(layers, **options)
