"""What all experiments have in common: settings that know how to build what they describe."""

from argparse import BooleanOptionalAction
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from pysi.arguments import is_whole
from pysi.backend.arrays import device_namespace
from pysi.data import load_dataset
from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.experiments.methods import METHODS, Method, synaptic_intelligence
from pysi.figures import figure4
from pysi.network import Network
from pysi.optim import Adam
from pysi.tasks import Task
from pysi.typing import File, Seeds

LARGEST = 1_000_000
"""A larger number of anything is a slip, or damage: a list of that many runs would have no end."""


KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: (
        f"a whole number from 1 to {LARGEST}",
        lambda n: is_whole(n) and n <= LARGEST,
    ),
    float: ("a number", lambda v: isinstance(v, Real) and not isinstance(v, bool)),
    str: ("text", lambda value: isinstance(value, str)),
}
"""What a setting is, and how it is recognised, by the type of its default."""


def option(
    default: Any, help: str, *, lists_runs: bool = False, strengths: bool = False, **how: Any
) -> Any:
    """Return a setting that the command line offers: a field, with argparse's arguments.

    `lists_runs` says that it only lists which runs there are, and changes nothing within one;
    `strengths`, that it lists values of c.
    """
    if strengths:
        lists_runs, how = True, {"type": float, "nargs": "+"} | how
    about = {"lists_runs": lists_runs, "strengths": strengths, "how": {"help": help} | how}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Protocol:
    """What the experiments have in common; the defaults are those of split MNIST.

    A subclass describes one experiment: at least its `name`, `scenario`, `datasets`, `make_tasks`
    and `make_network`.

    Attributes
    ----------
    methods : tuple of str
        What to compare: names in `pysi.experiments.methods.METHODS`.
    c : tuple of float
        Strengths of every method that has no list of its own; for Synaptic Intelligence, c = 0 is
        fine-tuning.
    ewc_c : tuple of float
        Strengths of EWC, λ/2 of its authors.
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

    name: ClassVar[str] = ""
    scenario: ClassVar[str] = ""
    """What results and the command line call it; in words, what the network is told of the task."""
    datasets: ClassVar[Mapping[str, str]] = {}
    """Data sets that it can use, each with a remark for the table, which may be empty."""
    refuses: ClassVar[tuple[str, ...]] = ()
    """Methods that make no sense."""
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
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}}
    """Settings by the name of a preset."""
    swept: ClassVar[tuple[str, ...]] = ("si",)
    """The methods whose settings a sweep chooses, if not told otherwise."""

    methods: tuple[str, ...] = option(("si",), "what to compare", lists_runs=True, nargs="+")
    c: tuple[float, ...] = option((0.0, 1.0), "strengths; 0 is fine-tuning", strengths=True)
    ewc_c: tuple[float, ...] = option((100.0,), "strengths of EWC, λ/2", strengths=True)
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
    reset_optimizer: bool = option(
        True, "whether Adam is reset between tasks", action=BooleanOptionalAction
    )
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
        """Return the settings that only list runs; or, of these, the "strengths"."""
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
            if name not in cls.refuses and method.strengths in (None, *cls.lists("strengths"))
        )

    def __post_init__(self) -> None:
        self._check_types()
        for name in self.lists("strengths"):
            values = tuple(float(c) for c in getattr(self, name))
            object.__setattr__(self, name, values)
            good = all(0 <= c < np.inf for c in values)
            if not values or len(set(values)) < len(values) or not good:
                raise ConfigError(
                    f"{name}: expected one or more different, finite strengths ≥ 0, found {values}"
                )
        for name in ("hidden", "methods"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.methods or set(self.methods) - set(self.offers()):
            raise ConfigError(f"methods: expected some of {self.offers()}, found {self.methods}")
        if not self.hidden:
            raise ConfigError("hidden: expected whole numbers of units, found none")
        synaptic_intelligence(self, 0.0)  # checks xi and clamp
        for method in (METHODS[name] for name in self.methods):
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

    def _check_types(self) -> None:
        """Raise a ConfigError for a value that is not of its default's type."""
        for name, default in ((each.name, each.default) for each in fields(self)):
            value = getattr(self, name)
            if several := isinstance(default, tuple):
                default = default[0]
                if not isinstance(value, tuple | list):
                    raise ConfigError(f"{name}: expected several values, found {value!r}")
            kind = type(default)
            for one in value if several else [value]:
                if default is not None and not KINDS[kind][1](one):
                    raise ConfigError(f"{name}: expected {KINDS[kind][0]}, found {one!r}")

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

    def make_optimizer(self) -> Adam:
        """Return a fresh Adam."""
        return Adam(self.lr)

    def strengths(self, method: Method) -> tuple[float, ...]:
        """Return the values of c at which a method is run."""
        return getattr(self, method.strengths) if method.strengths else (0.0,)
