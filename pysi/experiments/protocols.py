"""The paper's experiments. A new one is one class and one entry in `PROTOCOLS`."""

from dataclasses import dataclass
from functools import partial

from pysi.arguments import is_whole
from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.experiments.methods import Register
from pysi.experiments.protocol import Protocol, option
from pysi.experiments.sequences import cifar_tasks
from pysi.figures import figure3, figure4, figure5, figure6
from pysi.images.cnn import CNN
from pysi.network import MLP, Network
from pysi.tasks import Task, permuted_tasks, split_tasks
from pysi.typing import Seeds

MASKED = "task-incremental (the readout is masked to the task's classes)"


@dataclass(frozen=True)
class OnDigits(Protocol):
    """What the experiments on MNIST have in common."""

    datasets = {
        "mnist": "",
        "mnist-5k": "mnist-5k is a small subset: not comparable with the paper.",
    }
    zero_readout = False

    def make_network(self, seed: Seeds, *, dropout: float = 0.0) -> Network:
        """Return 784 - hidden - 10, from Glorot's initial weights."""
        return MLP(
            (784, *self.hidden, 10),
            dropout=dropout,
            zero_readout=self.zero_readout,
            **self.building(seed),
        )


@dataclass(frozen=True)
class SplitMNIST(OnDigits):
    """Split MNIST: Section 5.1 and Figure 3 of Zenke, Poole & Ganguli (2017).

    The tasks are pairs of digits; the masked readout starts at zero, and Adam is reset between
    tasks.
    """

    name = "split-mnist"
    scenario = MASKED
    zero_readout = True
    figures = {"figure3": figure3}
    presets = {"full": {}, "quick": {"seeds": 2, "epochs": 2}}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tasks > 10 or 10 % self.tasks:
            raise ConfigError(
                f"tasks: expected a number that divides the 10 classes of MNIST, found {self.tasks}"
            )

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        return split_tasks(dataset, self.tasks)


@dataclass(frozen=True)
class PermutedMNIST(OnDigits):
    """Permuted MNIST: Section 5.2 and Figure 4 of Zenke, Poole & Ganguli (2017).

    Every task has all digits, with the pixels in another order; one readout, and Adam is kept
    between tasks.
    """

    name = "permuted-mnist"
    scenario = "domain-incremental (one readout for all tasks)"
    after_task_1 = ("xi", "clamp", "tasks")
    equal_tasks = True
    compared = {"dense1.W": "First layer weights", "dense2.W": "Second layer weights"}
    figures = {
        "figure4": figure4,
        "figure4-train": partial(figure4, part="train"),
        "figure5": figure5,
    }
    presets = {
        "full": {},
        "quick": {  # strengths chosen for this smaller network on held-out data
            "tasks": 5, "epochs": 4, "hidden": (200, 200), "c": (0.0, 2.0), "ewc_c": (10.0,)
        },
    }  # fmt: skip

    methods: tuple[str, ...] = ("single", "si", "joint", "ewc", "dropout")
    c: tuple[float, ...] = (0.0, 0.1)
    seeds: int = 1
    epochs: int = 20
    xi: float = 0.1
    tasks: int = 10
    hidden: tuple[int, ...] = (2000, 2000)
    batch_size: int = 256
    reset_optimizer: bool = False

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
        The most training examples of a task; by default, all.
    """

    name = "split-cifar"
    scenario = MASKED
    datasets = {"cifar10-100": ""}
    refuses = ("dropout", "joint")  # it has dropout anyway; each task has classes of its own
    takes_images = True
    tabulates_tasks = True
    figures = {"figure6": figure6, "figure6-train": partial(figure6, part="train")}
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
    examples: int | None = option(None, "the most training examples of a task", type=int)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.hidden) != 1:
            raise ConfigError(f"hidden: expected the units of one layer, found {self.hidden}")
        if self.tasks > 11:
            raise ConfigError(f"tasks: expected a number from 1 to 11, found {self.tasks}")
        if self.examples is not None and not is_whole(self.examples):
            raise ConfigError(f"examples: expected a whole number from 1, found {self.examples}")

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        return cifar_tasks(dataset, self.tasks, examples=self.examples)

    def make_network(self, seed: Seeds, *, dropout: float = 0.0) -> Network:
        """Return the paper's convolutional network, which has dropout in any case."""
        return CNN(10 * self.tasks, hidden=self.hidden[0], **self.building(seed))


PROTOCOLS = Register(
    "experiment",
    {protocol.name: protocol for protocol in (SplitMNIST, PermutedMNIST, SplitCIFAR)},
)
"""All experiments by name."""
