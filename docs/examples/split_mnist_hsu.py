"""An experiment in one file: split MNIST with the inputs and initial weights of Hsu et al. (2018).

    python docs/examples/split_mnist_hsu.py run split-mnist-hsu --scenario domain

Their public code (GT-RIPL/Continual-Learning-Benchmark) pads the digits to 32 × 32 pixels and
subtracts mean and divides by standard deviation, so that the background is -0.36 and not 0; its
weights and biases start from PyTorch's U(-a, a), a = 1/√n_in. Each of the two can be switched off.
"""

from dataclasses import dataclass, replace

import numpy as np

from pysi.arguments import choice
from pysi.cli import main
from pysi.experiments.protocols import NETWORKS, PROTOCOLS, SplitMNIST
from pysi.experiments.settings import option
from pysi.layers import Dense
from pysi.network import MLP, Network

INPUTS = {  # border, what is subtracted, and what the result is divided by
    "pixels": (0, 0.0, 1.0),
    "shifted": (0, 0.1307, 1.0),
    "scaled": (0, 0.0, 0.3081),
    "standardised": (0, 0.1307, 0.3081),
    "padded": (2, 0.1000, 0.2752),
}
WEIGHTS = ("pytorch", "glorot")


class TorchDense(Dense):
    """A dense layer whose weights and biases start from U(-a, a), a = 1/√n_in."""

    def initial(self, rng):
        a = self.n_in**-0.5
        return {name: rng.uniform(-a, a, shape) for name, shape in self.parameters.items()}


def prepare(images, border, mean, std):
    """Return bytes (N, 784) as floats (N, pixels), with a black border, shifted and scaled."""
    square = images.reshape(-1, 28, 28).astype(np.float32) / 255
    wider = np.pad(square, ((0, 0), (border, border), (border, border)))
    return ((wider - np.float32(mean)) / np.float32(std)).reshape(len(images), -1)


@dataclass(frozen=True)
class SplitMNISTHsu(SplitMNIST):
    """Split MNIST as in the public code of Hsu et al. (2018)."""

    name = "split-mnist-hsu"
    presets = {"full": {}}
    landscape = "full"
    claims = ()  # the paper has none on this protocol
    refuses = ("progressive", "progressive-adapters")

    methods: tuple[str, ...] = ("fine-tuning", "si")
    c: tuple[float, ...] = (3000.0,)
    epochs: int = 4
    xi: float = 0.1
    hidden: tuple[int, ...] = (400, 400)
    batch_size: int = 128
    reset_optimizer: bool | str = False
    inputs: str = option("padded", f"what the network sees: {', '.join(INPUTS)}")
    weights: str = option("pytorch", f"where weights start: {', '.join(WEIGHTS)}")

    def __post_init__(self):
        choice("inputs", self.inputs, INPUTS)
        choice("weights", self.weights, WEIGHTS)
        super().__post_init__()

    def make_tasks(self, dataset):
        seen = INPUTS[self.inputs]
        parts = {f"x_{part}": prepare(getattr(dataset, f"x_{part}"), *seen)
                 for part in ("train", "test")}  # fmt: skip
        return super().make_tasks(replace(dataset, **parts))

    def make_network(self, seed, *, dropout=0.0):
        border, *_ = INPUTS[self.inputs]
        sizes = ((28 + 2 * border) ** 2, *self.hidden, self.n_outputs)
        units = NETWORKS[self.units](self.pieces)
        zero, more = self.weights == "glorot", self.building(seed)
        net = MLP(sizes, activation=units, dropout=dropout, zero_readout=zero, **more)
        if self.weights == "glorot":
            return net
        layers = [TorchDense(a.n_in, a.n_out) if isinstance(a, Dense) else a for a in net.layers]
        return Network(layers, **more)


PROTOCOLS[SplitMNISTHsu.name] = SplitMNISTHsu

if __name__ == "__main__":
    raise SystemExit(main())
