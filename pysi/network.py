"""A network: layers in a row over one table of synapses."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from pysi.architecture import describe
from pysi.arguments import Copied, choice, seeds_of, several, wholes
from pysi.backend import stream
from pysi.backend.uses import Uses
from pysi.errors import ConfigError
from pysi.inputs import check_active, check_inputs
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.losses import predict
from pysi.storage.networks import load_network, save_network
from pysi.synapses import Synapses
from pysi.typing import Array, Device, DTypeLike, File, Seeds, Shape

ACTIVATIONS = {"relu": ReLU, "tanh": Tanh}


class Network(Copied):
    """Layers in a row, and the table that holds all their synapses.

    The layers say what is computed; the network owns the weights, and all memory.

    Parameters
    ----------
    layers : list of Layer
        The same objects may be given to other networks: each network has weights of its own.
    seed : int or sequence of int
        One seed makes one network. R seeds make R networks that are trained side by side: every
        row of the table, and every activation, gets a leading axis of length R.
    dtype, xp : dtype, module
        The dtype in which it computes, whatever that of its inputs is; `numpy` or `cupy`.
    input_shape : tuple of int, optional
        Shape of one example; needed if the first layer takes images, (rows, columns, channels).
    """

    learned = 0
    """How many tasks `pysi.train` has taught it."""

    def __init__(
        self, layers: Sequence[Layer], *, seed: Seeds = 0, dtype: DTypeLike = np.float32,
        xp: Device = np, input_shape: Shape | None = None,
    ) -> None:  # fmt: skip
        self.seeds, lead = seeds_of(seed)
        self.layers = several("layers", layers, Layer)
        shape = input_shape or next((la.input_shape for la in self.layers if la.input_shape), None)
        if shape is None:
            raise ConfigError("input_shape: expected the shape of one example, found none")
        self.shapes, self.names = [wholes("input_shape", shape, 1, "whole numbers")], []
        kinds = [layer.kind for layer in self.layers]
        for i, layer in enumerate(self.layers):
            self.shapes.append(tuple(layer.output_shape(self.shapes[-1])))
            self.names.append(f"{layer.kind}{kinds[: i + 1].count(layer.kind)}")
        parameters = {
            f"{name}.{parameter}": shape
            for name, layer in zip(self.names, self.layers, strict=True)
            for parameter, shape in layer.parameters.items()
        }
        self._table = Synapses(parameters, lead=lead, dtype=dtype, xp=xp)
        self.synapses = self._table
        self.initialise()

    def __repr__(self):
        return describe(self)

    def __deepcopy__(self, memo):
        other = memo[id(self)] = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)  # the layers too, which remember nothing
        other.synapses = deepcopy(self.synapses, memo)
        return other

    input_shape = property(lambda self: self.shapes[0], doc="Shape of one example.")
    output_shape = property(lambda self: self.shapes[-1], doc="Shape of its output.")
    last = property(lambda self: self._uses.last, doc="The pass that `backward` differentiates.")
    tested = property(lambda self: self._uses.of("test"), doc="The last pass without training.")
    features = property(lambda self: self.last.features, doc="Input of the last layer in `last`.")

    @property
    def synapses(self) -> Synapses:
        """The table. It can be replaced by one with the same groups, such as a loaded one."""
        return self._table

    @synapses.setter
    def synapses(self, table: Synapses) -> None:
        for what in ("shapes", "lead", "dtype"):
            held, given = getattr(self._table, what), getattr(table, what, None)
            if given != held:
                raise ConfigError(f"synapses: expected a table with {what} {held}, found {given}")
        self._table, self._started = table, False
        self._uses = Uses(self.layers, self.names, self.shapes, table)

    def initialise(self) -> None:
        """Set all weights to initial values, which depend on the seed alone, and clear the rest."""
        s, self.learned = self.synapses, 0
        s.table[...] = 0
        for name, layer in zip(self.names, self.layers, strict=True):
            for r, seed in enumerate(self.seeds):
                # drawn on the host, so that every device starts from the same weights
                for parameter, weights in layer.initial(stream(seed, "init", name)).items():
                    theta = s.group(f"{name}.{parameter}").theta
                    theta[(r,) if s.lead else ()] = s.xp.asarray(weights, dtype=s.dtype)

    def restart(self, *key: Any) -> None:
        """Give random layers fresh random streams that depend on the seed and `key` alone."""
        xp, self._started = self.synapses.xp, True
        self._uses.restart([
            [stream(s, *key, name, xp=xp) for s in self.seeds] if layer.random else None
            for name, layer in zip(self.names, self.layers, strict=True)
        ])  # fmt: skip

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the logits, (..., examples, classes), and keep what `backward` needs.

        Several networks may share x, ``(..., examples, *input_shape)``. Unsigned bytes are pixels:
        they are divided by 255. With `train`, layers such as dropout behave as in training.
        """
        if train and not self._started:
            self.restart("by hand")
        return self._uses.forward(x, "train" if train else "test")

    def logits(self, x: Array) -> Array:
        """Return the logits for inputs as in `forward`; nothing is kept for a backward pass."""
        return self._uses.forward(x, "predict")

    def predict(self, x: Array, active: Array | bool = True) -> Array:
        """Return the most probable active class of each example, (..., B), or of one, (...)."""
        check_inputs("x", x)
        one = x.ndim == len(self.input_shape)
        check_active("active", active, self.output_shape)
        found = predict(self.logits(x[None] if one else x), active)
        return found[..., 0] if one else found

    def backward(self, dlogits: Array, dfeatures: Array | None = None) -> None:
        """Write the gradient of the loss into `synapses.grad`, given ∂loss/∂logits.

        It goes back through the last forward pass; an evaluation after a training pass is skipped.
        `dfeatures`, (..., examples, features), is a gradient to add at the last layer's input.
        """
        self.last.gradients(dlogits, dfeatures)
        self._uses.open = False

    def save(self, path: File) -> None:
        """Write layers, synapses, seeds and the number of learned tasks to an ``.npz`` file."""
        save_network(self, path)

    @classmethod
    def load(cls, path: File, *, xp: Device = np) -> "Network":
        """Return a network that `save` wrote; its layers' classes must have been imported."""
        return load_network(cls.__new__(cls), Network.__init__, path, xp)


def dropouts(p: float) -> list[Layer]:
    """Return a list of one dropout layer, or an empty list for p = 0."""
    return [Dropout(p)] if Dropout(p).p else []


class MLP(Network):
    """A multilayer perceptron: nonlinear hidden layers and a linear readout.

    Parameters
    ----------
    sizes : sequence of int
        Units of the input, of each hidden layer, and of the readout, e.g. (784, 256, 256, 10).
    activation : {"relu", "tanh"} or Layer
        Nonlinearity of the hidden layers, such as "tanh" for theory that needs a smooth loss.
    dropout : float
        Probability of switching a hidden unit off while training, 0 ≤ dropout < 1.
    zero_readout : bool
        Start the readout from zero weights, as the authors' code does for masked readouts.
    **options
        seed, dtype and xp: see `Network`.
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: Any = "relu", dropout: float = 0.0,
        zero_readout: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        sizes, layers = wholes("sizes", sizes, 2, "two or more positive whole numbers"), []
        if not isinstance(activation, Layer):
            activation = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]()
        dropouts(dropout)  # checks p even if there is no hidden layer
        n_in = sizes[0]
        for n_out in sizes[1:-1]:
            layers += [Dense(n_in, n_out), activation, *dropouts(dropout)]
            (n_in,) = activation.output_shape((n_out,))
        layers.append(Dense(n_in, sizes[-1], zero=zero_readout))
        super().__init__(layers, **options)
