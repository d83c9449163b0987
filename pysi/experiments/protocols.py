"""The paper's experiments. A new one is one class and one entry in `PROTOCOLS`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pysi.arguments import is_whole
from pysi.competition import LWTA, Maxout
from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.experiments.course import Register
from pysi.experiments.protocol import Protocol
from pysi.experiments.sequences import cifar_tasks
from pysi.experiments.settings import option
from pysi.figures import figure3, figure4, figure5, figure6
from pysi.images.cnn import CNN
from pysi.layers import Layer, ReLU
from pysi.network import MLP, Network
from pysi.scenarios import in_scenario
from pysi.tasks import Task, permuted_tasks, split_tasks
from pysi.typing import Seeds
from pysi.verdicts import importances, permuted_mnist, split_cifar, split_mnist

NETWORKS: dict[str, Callable[[int], Layer]] = {
    "relu": lambda k: ReLU(),
    "maxout": Maxout,
    "lwta": LWTA,
}
"""Nonlinearities of the hidden layers, by name, each made for a number of pieces per unit."""


@dataclass(frozen=True)
class OnDigits(Protocol):
    """What the experiments on MNIST have in common."""

    datasets = {
        "mnist": "",
        "mnist-5k": "mnist-5k is a small subset: not comparable with the paper.",
    }
    zero_readout = False

    units: str = option("relu", f"nonlinearity of the hidden layers: {', '.join(NETWORKS)}")
    pieces: int = option(2, "number of units that compete, in maxout and lwta", type=int)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.units not in NETWORKS:
            raise ConfigError(f"units: expected {' or '.join(NETWORKS)}, found {self.units!r}")
        self.make_network(0)  # checks that they can be divided among pieces

    @property
    def n_outputs(self) -> int:
        """The number of units of the readout."""
        return 10

    def make_network(self, seed: Seeds, *, dropout: float = 0.0) -> Network:
        """Return 784 - hidden - readout, from Glorot's initial weights."""
        return MLP(
            (784, *self.hidden, self.n_outputs),
            activation=NETWORKS[self.units](self.pieces),
            dropout=dropout,
            zero_readout=self.zero_readout,
            **self.building(seed),
        )


@dataclass(frozen=True)
class SplitMNIST(OnDigits):
    """Split MNIST: Section 5.1 and Figure 3 of Zenke, Poole & Ganguli (2017).

    The tasks are pairs of digits; the masked readout starts at zero, and Adam is reset between
    tasks. The paper's scenario is "task".

    Attributes
    ----------
    classes : tuple of int
        How many digits each task has; by default, equally many.
    """

    name = "split-mnist"
    scenarios = ("task", "domain", "class")
    zero_readout = True
    landscape = "hsu"
    figures = {"figure3": figure3}
    claims = split_mnist.CLAIMS
    presets = {
        "full": {},
        "quick": {"seeds": 2, "epochs": 2},
        # 21 epochs of 88 to 99 steps stand for their 2000 iterations
        "van-de-ven": {
            "hidden": (400, 400), "epochs": 21, "batch_size": 128, "reset_optimizer": False
        },
        "hsu": {"hidden": (400, 400), "epochs": 4, "batch_size": 128, "reset_optimizer": False},
    }  # fmt: skip

    classes: tuple[int, ...] = option(
        (), "how many digits each task has, such as 2 3 5; by default equally many", type=int,
        nargs="+",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.classes:
            object.__setattr__(self, "tasks", len(self.classes))
        super().__post_init__()
        if self.classes and sum(self.classes) > 10:
            raise ConfigError(f"classes: expected at most 10 digits, found {self.classes}")
        if not self.classes and (self.tasks > 10 or 10 % self.tasks):
            raise ConfigError(
                f"tasks: expected a number that divides the 10 classes of MNIST, found {self.tasks}"
            )

    @property
    def n_outputs(self) -> int:
        """The number of units of the readout: one for each place in a pair, or for each digit."""
        return max(self.class_counts) if self.scenario == "domain" else 10

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The number of digits of each task."""
        return self.classes or (10 // self.tasks,) * self.tasks

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        return in_scenario(split_tasks(dataset, self.classes or self.tasks), self.scenario)


@dataclass(frozen=True)
class PermutedMNIST(OnDigits):
    """Permuted MNIST: Section 5.2 and Figure 4 of Zenke, Poole & Ganguli (2017).

    Every task has all digits, with the pixels in another order. All tasks share one readout, and
    Adam's state is kept between tasks.
    """

    name = "permuted-mnist"
    scenarios = ("domain",)
    after_task_1 = ("xi", "clamp", "tasks")
    equal_tasks = True
    landscape = "small"
    compared = {"dense1.W": "First layer weights", "dense2.W": "Second layer weights"}
    figures = {
        "figure4": figure4,
        "figure4-train": partial(figure4, part="train"),
        "figure5": figure5,
    }
    claims = (*permuted_mnist.CLAIMS, *importances.CLAIMS)
    presets = {
        "full": {},
        "quick": {  # strengths chosen for this smaller network on held-out data
            "tasks": 5, "epochs": 4, "hidden": (200, 200), "c": (0.0, 2.0), "ewc_c": (10.0,)
        },
        "small": {"epochs": 10, "hidden": (400, 400), "seeds": 3},
    }  # fmt: skip

    methods: tuple[str, ...] = ("single", "si", "joint", "ewc", "dropout")
    c: tuple[float, ...] = (0.0, 0.1)
    seeds: int = 1
    epochs: int = 20
    xi: float = 0.1
    tasks: int = 10
    hidden: tuple[int, ...] = (2000, 2000)
    batch_size: int = 256
    reset_optimizer: bool | str = False
    scenario: str = "domain"

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        return permuted_tasks(dataset, self.tasks)


@dataclass(frozen=True)
class SplitCIFAR(Protocol):
    """CIFAR-10, then CIFAR-100: Section 5.3 and Figure 6 of Zenke, Poole & Ganguli (2017).

    Every task has ten new classes; the masked readout starts at zero, and Adam is reset between
    tasks.

    Attributes
    ----------
    examples : int, optional
        Largest number of training examples per task; by default, all are used.
    """

    name = "split-cifar"
    scenarios = ("task", "class")
    datasets = {"cifar10-100": ""}
    # it has dropout anyway, and the other networks are for digits
    refuses = ("dropout", "maxout", "lwta", "progressive", "progressive-adapters")
    takes_images = True
    tabulates_tasks = True
    figures = {"figure6": figure6, "figure6-train": partial(figure6, part="train")}
    claims = split_cifar.CLAIMS
    presets = {
        "full": {},
        "quick": {  # few images need small batches; c was chosen on held-out ones
            "seeds": 1, "tasks": 3, "epochs": 10, "examples": 5000, "batch_size": 64,
            "c": (0.0, 0.03),
        },
    }  # fmt: skip

    methods: tuple[str, ...] = ("si", "scratch")
    c: tuple[float, ...] = (0.0, 0.01, 0.1)
    seeds: int = 5
    epochs: int = 60
    tasks: int = 6
    hidden: tuple[int, ...] = (512,)
    batch_size: int = 256
    dataset: str = "cifar10-100"
    examples: int | None = option(None, "largest number of training examples per task", type=int)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.hidden) != 1:
            raise ConfigError(f"hidden: expected the units of one layer, found {self.hidden}")
        if self.tasks > 11:
            raise ConfigError(f"tasks: expected a number from 1 to 11, found {self.tasks}")
        if self.examples is not None and not is_whole(self.examples):
            raise ConfigError(f"examples: expected a whole number from 1, found {self.examples}")

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        tasks = cifar_tasks(dataset, self.tasks, examples=self.examples)
        return in_scenario(tasks, self.scenario)

    def make_network(self, seed: Seeds, *, dropout: float = 0.0) -> Network:
        """Return the paper's convolutional network, which has dropout in any case."""
        return CNN(10 * self.tasks, hidden=self.hidden[0], **self.building(seed))


PROTOCOLS = Register(
    "experiment",
    {protocol.name: protocol for protocol in (SplitMNIST, PermutedMNIST, SplitCIFAR)},
)
"""All experiments by name."""
