"""What all experiments have in common: settings that know how to build what they describe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from pysi.backend.arrays import device_namespace
from pysi.data import load_dataset
from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.experiments.methods import METHODS, synaptic_intelligence
from pysi.experiments.settings import check_type, option
from pysi.figures import figure4
from pysi.network import Network
from pysi.optim import Adam, Optimizer
from pysi.resets import reset_mode
from pysi.scenarios import SCENARIOS
from pysi.tasks import Task
from pysi.typing import File, Seeds
from pysi.verdicts.verdict import Claim


@dataclass(frozen=True)
class Protocol:
    """What the experiments have in common; the defaults are those of split MNIST.

    A subclass describes one experiment: at least its `name`, `datasets`, `make_tasks` and
    `make_network`.

    Attributes
    ----------
    methods : tuple of str
        What to compare: names in `pysi.experiments.methods.METHODS`.
    c : tuple of float
        Strengths of every method that has no list of its own; for Synaptic Intelligence, c = 0 is
        fine-tuning.
    ewc_c : tuple of float
        Strengths of EWC, λ/2 of its authors.
    strengths : tuple of str
        Such as "mas=0.1": strengths of single methods, which take the place of all other lists.
    scenario : {"task", "domain", "class"}
        What the network is told of the task: see `pysi.scenarios`.
    seeds : int
        Repetitions; their seeds are 0, 1, ….
    epochs, batch_size, lr
        How each task is learned. Adam's other arguments are its defaults.
    xi, clamp
        See `pysi.SynapticIntelligence`.
    tasks : int
        Length of the sequence.
    hidden : tuple of int
        Units of the hidden layers.
    reset_optimizer : bool or {"moments"}
        Whether Adam forgets its state between tasks. With "moments" it forgets its moments alone.
    dtype : {"float32", "float64"}
    device : {"numpy", "cupy"}
    tf32 : bool
        Whether a GPU rounds the factors of matrix products to TF32, which keeps 10 bits.
    dataset : str
        One of the class's `datasets`.

    Raises
    ------
    ConfigError
        A value makes no sense; raised before any work.
    """

    name: ClassVar[str] = ""
    """Its name in results and on the command line."""
    scenarios: ClassVar[tuple[str, ...]] = ("task",)
    """The scenarios in which it can be run."""
    datasets: ClassVar[Mapping[str, str]] = {}
    """Data sets that it can use, each with a remark for the table, which may be empty."""
    refuses: ClassVar[tuple[str, ...]] = ()
    """Methods that make no sense in it."""
    after_task_1: ClassVar[tuple[str, ...]] = ("xi", "clamp")
    """Settings that change nothing before the end of task 1."""
    takes_images = False
    """Whether the network takes images, which are divided among threads."""
    equal_tasks = False
    """Whether all tasks are equally hard, so that the first one stands for the others."""
    tabulates_tasks = False
    """Whether the table shows the accuracy on every task."""
    compared: ClassVar[Mapping[str, str]] = {}
    """Weight matrices that Figure 5 shows, with a title for each."""
    figures: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"accuracy": figure4}
    """Functions from a result to a Matplotlib figure, or None if it lacks what is shown."""
    claims: ClassVar[Sequence[Claim]] = ()
    """What the paper says of its figures."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}}
    """Settings by the name of a preset."""
    landscape: ClassVar[str] = "full"
    """The preset with which `pysi landscape` compares all methods."""
    swept: ClassVar[tuple[str, ...]] = ("si",)
    """The methods whose settings a sweep chooses by default."""

    methods: tuple[str, ...] = option(("si",), "what to compare", lists_runs=True, nargs="+")
    c: tuple[float, ...] = option((0.0, 1.0), "strengths; 0 is fine-tuning", strengths=True)
    ewc_c: tuple[float, ...] = option((100.0,), "strengths of EWC, λ/2", strengths=True)
    strengths: tuple[str, ...] = option(
        (), "strengths of single methods, such as mas=0.1 mas=1", lists_runs=True, nargs="+"
    )
    scenario: str = option("task", "what the network is told of the task")
    seeds: int = option(10, "number of repetitions", lists_runs=True, type=int)
    epochs: int = option(10, "epochs per task", type=int)
    xi: float = option(1e-3, "damping ξ of Eq. 5", type=float)
    clamp: str = option(
        "cumulative", "where negative importance is cut off: cumulative, per_task or none"
    )
    tasks: int = option(5, "number of tasks", type=int)
    hidden: tuple[int, ...] = option((256, 256), "units of the hidden layers", type=int, nargs="+")
    batch_size: int = 64
    lr: float = 1e-3
    reset_optimizer: bool | str = option(
        True, "what Adam forgets between tasks: full (its whole state), moments or none",
        free=True, nargs="?", const=True,
    )  # fmt: skip
    dtype: str = option("float32", "float32 or float64")
    device: str = option("numpy", "numpy or cupy")
    tf32: bool = option(
        False, "whether a GPU may round to TF32, which is faster", action="store_true"
    )
    dataset: str = option("mnist", "which data set")

    @classmethod
    def options(cls) -> dict[str, dict[str, Any]]:
        """Return how the command line offers each setting: argparse's arguments, by name."""
        found = {name: cls.about(name) for name in cls.__dataclass_fields__}
        return {name: about["how"] for name, about in found.items() if about}

    @classmethod
    def lists(cls, kind: str = "lists_runs") -> tuple[str, ...]:
        """Return the settings that only list runs, or those of them that list "strengths"."""
        return tuple(name for name in cls.__dataclass_fields__ if cls.about(name).get(kind))

    @classmethod
    def about(cls, name: str) -> Mapping[str, Any]:
        """Return what is known about a setting; a subclass may have given it another default."""
        fields = (of.__dict__.get("__dataclass_fields__", {}).get(name) for of in cls.__mro__)
        return next((found.metadata for found in fields if found and found.metadata), {})

    @classmethod
    def offers(cls) -> tuple[str, ...]:
        """Return the names of the methods that can be compared."""
        return tuple(
            name
            for name, method in METHODS.items()
            if name not in cls.refuses
            and method.strengths in (None, *cls.lists("strengths"))
            and set(cls.scenarios) - method.unfit.keys()
        )

    @classmethod
    def fitting(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the default methods that fit the scenario, unless the settings name methods."""
        scenario = settings.get("scenario", cls.scenario)
        fit = tuple(name for name in cls.methods if scenario not in METHODS[name].unfit)
        return {} if "methods" in settings else {"methods": fit}

    def __post_init__(self) -> None:
        for setting in fields(self):
            check_type(setting, self.about(setting.name), getattr(self, setting.name))
        for name in self.lists("strengths"):
            values = tuple(float(c) for c in getattr(self, name))
            object.__setattr__(self, name, values)
            check_strengths(name, values)
        for setting in fields(self):
            if isinstance(setting.default, tuple):
                object.__setattr__(self, setting.name, tuple(getattr(self, setting.name)))
        if not self.methods or set(self.methods) - set(self.offers()):
            raise ConfigError(f"methods: expected some of {self.offers()}, found {self.methods}")
        if not self.hidden:
            raise ConfigError("hidden: expected whole numbers of units, found none")
        if self.scenario not in self.scenarios:
            expected = " or ".join(self.scenarios)
            raise ConfigError(f"scenario: expected {expected}, found {self.scenario!r}")
        mode = reset_mode(self.reset_optimizer)
        kept = {"full": True, "none": False}.get(mode, mode)  # as in older results
        object.__setattr__(self, "reset_optimizer", kept)
        if self.dtype not in ("float32", "float64"):
            raise ConfigError(f"dtype: expected float32 or float64, found {self.dtype!r}")
        if self.dataset not in self.datasets:
            raise ConfigError(
                f"dataset: expected {' or '.join(self.datasets)}, found {self.dataset!r}"
            )
        synaptic_intelligence(self, 0.0)  # checks xi and clamp
        self.make_optimizer()  # checks lr
        if wrong := [entry for entry in self.strengths if "=" not in entry]:
            found = " ".join(wrong)
            raise ConfigError(f"strengths: expected entries such as mas=0.1, found {found}")
        named = [entry.partition("=")[0] for entry in self.strengths]
        for name in dict.fromkeys([*named, *self.methods]):
            METHODS[name].check(name, self)
        device_namespace(self.device)
        if self.tf32 and (self.device, self.dtype) != ("cupy", "float32"):
            raise ConfigError(
                "tf32: expected the device 'cupy' and float32, found "
                f"{self.device!r} and {self.dtype}"
            )

    @property
    def told(self) -> str:
        """What the network is told of the task, in words."""
        return SCENARIOS[self.scenario]

    @staticmethod
    def load_dataset(name: str, folder: File | None = None) -> Dataset:
        """Return the data set of this name, from the user's folder or wherever it is."""
        return load_dataset(name, folder)

    def make_tasks(self, dataset: Dataset) -> list[Task]:
        """Return the sequence of tasks on this data set."""
        raise NotImplementedError

    def make_network(self, seed: Seeds, *, dropout: float = 0.0) -> Network:
        """Return a new network, or several side by side; `building` holds what all need."""
        raise NotImplementedError

    def building(self, seed: Seeds) -> dict[str, Any]:
        """Return the arguments that every network takes."""
        xp = device_namespace(self.device)
        return {"seed": seed, "dtype": np.dtype(self.dtype), "xp": xp}

    def make_optimizer(self) -> Optimizer:
        """Return a fresh Adam."""
        return Adam(self.lr)

    def strengths_of(self, name: str) -> tuple[float, ...]:
        """Return the values of c at which a method, given by its name, is run."""
        method = METHODS[name]
        own = [entry.partition("=")[2] for entry in self.strengths if entry.startswith(f"{name}=")]
        if not own:
            return getattr(self, method.strengths) if method.strengths else method.values or (0.0,)
        try:
            values = tuple(map(float, own))
        except ValueError:
            found = ", ".join(own)
            raise ConfigError(f"strengths: expected numbers for {name}, found {found}") from None
        check_strengths(f"strengths of {name}", values)
        return values


def check_strengths(name: str, values: tuple[float, ...]) -> None:
    """Raise a ConfigError unless there are different, finite strengths."""
    if not values or len(set(values)) < len(values) or not all(0 <= c < np.inf for c in values):
        raise ConfigError(
            f"{name}: expected one or more different, finite strengths ≥ 0, found {values}"
        )
