"""The paper's protocols, as frozen settings that know how to build what they describe."""

from dataclasses import dataclass

import numpy as np

from pysi.backend.arrays import device_namespace
from pysi.errors import ConfigError
from pysi.experiments.methods import METHODS
from pysi.images.cnn import CNN
from pysi.network import MLP
from pysi.optim import Adam
from pysi.tasks import cifar_tasks, permuted_tasks, split_tasks


@dataclass(frozen=True)
class Protocol:
    """What the benchmarks have in common; the defaults are those of split MNIST.

    Attributes
    ----------
    methods : tuple of str
        What to compare: names in `pysi.experiments.methods.METHODS`.
    c : tuple of float
        Strengths of Synaptic Intelligence; c = 0 is fine-tuning.
    ewc_c : tuple of float
        Strengths of EWC, λ/2 of its authors.
    seeds : int
        Repetitions; their seeds are 0, 1, ….
    epochs, batch_size, lr
        Of each task. Adam's other arguments are its defaults.
    xi, clamp
        See `pysi.SynapticIntelligence`.
    tasks : int
        Length of the sequence.
    hidden : tuple of int
        Units of the hidden layers.
    reset_optimizer : bool
        Whether Adam forgets its state between tasks.
    dtype : {"float32", "float64"}
    device : {"numpy", "cupy"}
    tf32 : bool
        Whether a GPU rounds the factors of matrix products to ten binary places.
    dataset : str
        One of the class's `datasets`.

    Raises
    ------
    ConfigError
        A value that makes no sense, before any work.
    """

    datasets = ("mnist", "mnist-5k")
    offers = tuple(METHODS)
    """Methods that make sense."""
    after_task_1 = ("xi", "clamp")
    """Settings that change nothing before the end of task 1."""
    takes_images = False
    """Whether the network takes images, which are shared out over threads."""

    methods: tuple = ("si",)
    c: tuple = (0.0, 1.0)
    ewc_c: tuple = (100.0,)
    seeds: int = 10
    epochs: int = 10
    xi: float = 1e-3
    clamp: str = "cumulative"
    tasks: int = 5
    hidden: tuple = (256, 256)
    batch_size: int = 64
    lr: float = 1e-3
    reset_optimizer: bool = True
    dtype: str = "float32"
    device: str = "numpy"
    tf32: bool = False
    dataset: str = "mnist"

    def __post_init__(self):
        for name in ("c", "ewc_c"):
            values = tuple(float(c) for c in getattr(self, name))
            object.__setattr__(self, name, values)
            good = all(0 <= c < np.inf for c in values)
            if not values or len(set(values)) < len(values) or not good:
                raise ConfigError(
                    f"{name}: expected one or more different, finite strengths ≥ 0, found {values}"
                )
        for name in ("hidden", "methods"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.methods or set(self.methods) - set(self.offers):
            raise ConfigError(f"methods: expected some of {self.offers}, found {self.methods}")
        for name in ("seeds", "epochs", "batch_size", "tasks"):
            value = getattr(self, name)
            if int(value) != value or value < 1:
                raise ConfigError(f"{name}: expected a whole number from 1, found {value}")
        if not self.hidden or any(int(n) != n or n < 1 for n in self.hidden):
            raise ConfigError(f"hidden: expected whole numbers of units, found {self.hidden}")
        for method in METHODS.values():  # checks xi and clamp
            for c in self.strengths(method):
                method.rule(self, c)
        self.make_optimizer()  # checks lr
        if self.dtype not in ("float32", "float64"):
            raise ConfigError(f"dtype: expected float32 or float64, found {self.dtype!r}")
        if self.dataset not in self.datasets:
            raise ConfigError(
                f"dataset: expected {' or '.join(self.datasets)}, found {self.dataset!r}"
            )
        device_namespace(self.device)
        if self.tf32 and (self.device, self.dtype) != ("cupy", "float32"):
            raise ConfigError(
                "tf32: expected the device 'cupy' and float32, found "
                f"{self.device!r} and {self.dtype}"
            )

    def make_tasks(self, dataset):
        """The sequence of tasks on this data set."""
        raise NotImplementedError

    def strengths(self, method):
        """The values of c at which a method is run."""
        return getattr(self, method.strengths) if method.strengths else (0.0,)

    def make_network(self, seed, *, dropout=0.0):
        """784 - hidden - 10, from Glorot's initial weights."""
        return MLP(
            (784, *self.hidden, 10),
            dropout=dropout,
            zero_readout=self.zero_readout,
            seed=seed,
            dtype=np.dtype(self.dtype),
            xp=device_namespace(self.device),
        )

    def make_optimizer(self):
        """A fresh Adam."""
        return Adam(self.lr)


@dataclass(frozen=True)
class SplitMNIST(Protocol):
    """Split MNIST: Section 5.1 and Figure 3 of Zenke, Poole & Ganguli (2017).

    Tasks of consecutive digits, a masked readout that starts at zero, Adam reset between tasks.
    """

    name = "split-mnist"
    scenario = "task-incremental (the readout is masked to the task's classes)"
    zero_readout = True
    presets = {"full": {}, "quick": {"seeds": 2, "epochs": 2}}

    def __post_init__(self):
        super().__post_init__()
        if self.tasks > 10 or 10 % self.tasks:
            raise ConfigError(
                f"tasks: expected a number that divides the 10 classes of MNIST, found {self.tasks}"
            )

    def make_tasks(self, dataset):
        return split_tasks(dataset, self.tasks)


@dataclass(frozen=True)
class PermutedMNIST(Protocol):
    """Permuted MNIST: Section 5.2 and Figure 4 of Zenke, Poole & Ganguli (2017).

    All digits in every task, pixels in another order each; one readout, Adam kept between tasks.
    """

    name = "permuted-mnist"
    scenario = "domain-incremental (one readout for all tasks)"
    zero_readout = False
    after_task_1 = ("xi", "clamp", "tasks")
    presets = {
        "full": {},
        "quick": {  # strengths chosen for this smaller network on held-out data
            "tasks": 5, "epochs": 4, "hidden": (200, 200), "c": (0.0, 2.0), "ewc_c": (10.0,)
        },
    }  # fmt: skip

    methods: tuple = ("single", "si", "joint", "ewc", "dropout")
    c: tuple = (0.0, 0.1)
    seeds: int = 1
    epochs: int = 20
    xi: float = 0.1
    tasks: int = 10
    hidden: tuple = (2000, 2000)
    batch_size: int = 256
    reset_optimizer: bool = False

    def make_tasks(self, dataset):
        return permuted_tasks(dataset, self.tasks)


@dataclass(frozen=True)
class SplitCIFAR(Protocol):
    """CIFAR-10, then CIFAR-100: Section 5.3 and Figure 6 of Zenke, Poole & Ganguli (2017).

    Ten new classes in every task, a masked readout that starts at zero, Adam reset between tasks.

    Attributes
    ----------
    examples : int, optional
        Training examples of a task at most; by default all.
    """

    name = "split-cifar"
    scenario = "task-incremental (the readout is masked to the task's classes)"
    datasets = ("cifar10-100",)
    offers = ("single", "fine-tuning", "si", "scratch")
    takes_images = True
    presets = {
        "full": {},
        "quick": {  # few images need small batches; c was chosen on held-out ones
            "seeds": 1, "tasks": 3, "epochs": 10, "examples": 5000, "batch_size": 64,
            "c": (0.0, 0.03),
        },
    }  # fmt: skip

    methods: tuple = ("si", "scratch")
    c: tuple = (0.0, 0.01, 0.1)
    seeds: int = 5
    epochs: int = 60
    tasks: int = 6
    hidden: tuple = (512,)
    batch_size: int = 256
    dataset: str = "cifar10-100"
    examples: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if len(self.hidden) != 1:
            raise ConfigError(f"hidden: expected the units of one layer, found {self.hidden}")
        if self.tasks > 11:
            raise ConfigError(f"tasks: expected a number from 1 to 11, found {self.tasks}")
        if self.examples is not None and (int(self.examples) != self.examples or self.examples < 1):
            raise ConfigError(f"examples: expected a whole number from 1, found {self.examples}")

    def make_tasks(self, dataset):
        return cifar_tasks(dataset, self.tasks, examples=self.examples)

    def make_network(self, seed, *, dropout=0.0):
        """The paper's convolutional network, which has dropout in any case."""
        return CNN(
            10 * self.tasks,
            hidden=self.hidden[0],
            seed=seed,
            dtype=np.dtype(self.dtype),
            xp=device_namespace(self.device),
        )


PROTOCOLS = {protocol.name: protocol for protocol in (SplitMNIST, PermutedMNIST, SplitCIFAR)}
