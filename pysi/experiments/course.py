"""What a method is: with which rule it is trained, on what, and how it is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pysi.errors import ConfigError
from pysi.experiments.palette import Look
from pysi.network import Network
from pysi.optim import Optimizer
from pysi.rules.rule import Rule
from pysi.scenarios import joint_task
from pysi.tasks import Task


@dataclass(frozen=True)
class Course:
    """What a method learns of a sequence of tasks. By default, it learns one after the other.

    Attributes
    ----------
    first_only : bool
        Only the first task is learned and tested.
    together : bool
        All tasks are learned at once, as one.
    reset : bool
        The network starts again from its initial weights for every task.
    """

    first_only: bool = False
    together: bool = False
    reset: bool = False

    def tasks(self, sequence: Sequence[Task]) -> tuple[Sequence[Task], Sequence[Task]]:
        """Return the tasks that are learned, one after the other, and those that are tested."""
        tested = sequence[:1] if self.first_only else sequence
        return [joint_task(tested)] if self.together else tested, tested

    def count(self, n: int) -> int:
        """Return how many tasks are learned one after the other, of a sequence of n."""
        return 1 if self.first_only or self.together else n

    @property
    def sequence(self) -> bool:
        """Whether one network learns task after task, and so may forget."""
        return not (self.first_only or self.together or self.reset)


FAMILIES = {
    "bound": "bounds",
    "none": "no rule",
    "rates": "learning rates",
    "network": "networks",
    "penalty": "penalties",
    "functional": "old outputs",
    "replay": "old examples",
    "mistake": "what is called SI",
}
"""Families of methods, in the order of figures."""


@dataclass(frozen=True)
class Method:
    """One way to learn a sequence of tasks.

    Attributes
    ----------
    label : str
        Its name in figures; `{c:g}` stands for the strength.
    rule : callable
        It makes a new rule from a protocol and a strength c. With ``--vectorise`` c is a sequence,
        with one value per network.
    strengths : str, optional
        The protocol's setting that lists the values of c.
    values : tuple of float
        The values of c, where no setting lists them. A method without any strength cannot be swept.
    optimizer : callable, optional
        It makes a new optimizer from a protocol and a strength; by default, the protocol's is used.
    network : callable, optional
        It makes a new network from a protocol and seeds; by default, the protocol's is used.
    unfit : mapping of str to str
        Scenarios in which it makes no sense, each with the reason.
    alike : bool
        Whether networks that are trained side by side must have the same strength.
    family : str
        The group in which it is drawn: one of `FAMILIES`.
    grid : tuple of float
        The strengths from which `pysi landscape` chooses.
    at_zero : str, optional
        The name of the method that this one equals at c = 0, if there is one.
    xi : bool
        Whether the damping ξ changes it.
    trunk : str, optional
        The method whose task 1 is just the same, so that task 1 need be trained only once. A rule
        that learns from the steps of task 1 has none, unless the trunk's rule does the same.
    dropout : float
        Probability of switching a hidden unit off while training.
    trains : Course
        What it learns of a sequence of tasks.
    omega : bool
        Whether its path integral ω is kept after every task, for Figure 5.
    short : str, optional
        Its label in Figure 3.
    look : Look, optional
        How its curves are drawn. By default it gets a spare colour.
    mark : {"line", "arrow"}, optional
        What stands for it in Figure 4, if it is not a curve.
    """

    label: str
    rule: Callable[[Any, Any], Rule]
    strengths: str | None = "c"
    values: tuple[float, ...] = ()
    optimizer: Callable[[Any, Any], Optimizer] | None = None
    network: Callable[..., Network] | None = None
    unfit: Mapping[str, str] = field(default_factory=dict)
    alike: bool = False
    family: str = "penalty"
    grid: tuple[float, ...] = ()
    at_zero: str | None = None
    xi: bool = False
    trunk: str | None = None
    dropout: float = 0.0
    trains: Course = Course()
    omega: bool = False
    short: str | None = None
    look: Look | None = None
    mark: str | None = None

    def title(self, c: float, *, short: bool = False) -> str:
        """Return its label at a strength."""
        return (short and self.short or self.label).format(c=c)

    @property
    def swept(self) -> bool:
        """Whether it has a strength, which a sweep can choose."""
        return bool(self.strengths or self.values)

    def check(self, name: str, config: Any) -> None:
        """Raise a ConfigError if it makes no sense with these settings of an experiment."""
        if reason := self.unfit.get(config.scenario):
            others = " or ".join(s for s in config.scenarios if s not in self.unfit) or "another"
            raise ConfigError(
                f"methods: expected {name} with the scenario {others}, found "
                f"{config.scenario!r}: {reason}"
            )
        for c in config.strengths_of(name):
            self.rule(config, c)
            if self.optimizer:
                self.optimizer(config, c)
        if self.network:
            self.network(config, 0)


class Register(dict[str, Any]):
    """Entries by name; asking for one that is missing is a ConfigError."""

    def __init__(self, what: str, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: str) -> Any:
        raise ConfigError(f"{self.what}: expected one of {list(self)}, found {name!r}")
