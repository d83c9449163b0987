"""One cell of an experiment's grid: one method at one strength from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pysi.backend.matmul import tensor_float_32
from pysi.data.dataset import Dataset
from pysi.errors import DivergenceError
from pysi.experiments.course import Method
from pysi.experiments.methods import METHODS
from pysi.experiments.omega import OmegaFiles
from pysi.experiments.protocol import Protocol
from pysi.history import Event, History
from pysi.network import Network
from pysi.optim import Optimizer
from pysi.rules.rule import Rule
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.state import restore
from pysi.training import train

INTERVAL = 10
"""The least number of seconds between two checkpoints within a task."""


@dataclass(frozen=True)
class Cell:
    """What to train: a protocol, and one point of its grid.

    Attributes
    ----------
    config : Protocol
    method : str
        A name in `METHODS`.
    c : float
        The strength; 0 where the method has none.
    seed : int
    how : Method
        The entry in `METHODS`, kept here because another process need not know it.
    """

    config: Protocol
    method: str
    c: float
    seed: int
    how: Method = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "how", METHODS[self.method])

    @property
    def key(self) -> tuple[Any, ...]:
        """What distinguishes it from the other cells of its result."""
        return self.method, self.c, self.config.xi, self.seed

    @property
    def name(self) -> str:
        """Its name in files, with all digits of c, because close values must not share one."""
        found, xi = self.method, self.config.xi
        if self.how.swept:
            found += f"-c{self.c!r}".removesuffix(".0")
        if not self.how.trains.first_only and xi != type(self.config).xi:
            found += f"-xi{xi!r}"
        return f"{found}-seed{self.seed}"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that it trains: itself."""
        return (self,)

    @property
    def strength(self) -> Any:
        """The strength as the rule gets it."""
        return self.c

    @property
    def trunk(self) -> Cell | None:
        """The cell that trains task 1 for this one and others, or None."""
        return replace(self, method=self.how.trunk, c=0.0) if self.how.trunk else None

    @property
    def epochs(self) -> int:
        """How many epochs it trains, without those of its trunk."""
        return self.config.epochs * (self.how.trains.count(self.config.tasks) - bool(self.trunk))

    def checkpoint(self, out: Path, threads: int) -> Checkpoint:
        """Return its checkpoint, without what it shares with others: see `resumable`."""
        return Checkpoint(*self._place(out, threads), interval=INTERVAL)

    def resumable(self, out: Path, threads: int, omega: OmegaFiles | None = None) -> Saved:
        """Return its checkpoint, which goes on from the trunk's if it holds nothing yet.

        It is saved at the end of a task, and at the end of an epoch if ten seconds have passed. If
        there are files of ω, they must be good; otherwise the cell begins anew.
        """
        trunk = self.trunk.checkpoint(out, threads) if self.trunk else None
        return Saved(*self._place(out, threads), trunk, keeps_omega=self.how.omega, files=omega)

    def _place(self, out: Path, threads: int) -> tuple[Path, dict[str, Any]]:
        skip = self.config.lists() + self.how.trains.first_only * self.config.after_task_1
        settings = {k: v for k, v in asdict(self.config).items() if k not in skip}
        if self.config.takes_images:
            threads = 1  # BLAS threads; the number of other threads changes no bits
        settings |= {"method": self.method, "c": self.c, "seed": self.seed, "blas_threads": threads}
        return out / "checkpoints" / f"{self.name}.npz", settings

    def make(self) -> tuple[Network, Optimizer, Rule]:
        """Return a new network, optimizer and rule for its training."""
        method, config = self.how, self.config
        if method.network:
            net = method.network(config, self.seed)
        else:
            net = config.make_network(self.seed, dropout=method.dropout)
        chosen = method.optimizer
        optimizer = chosen(config, self.strength) if chosen else config.make_optimizer()
        return net, optimizer, method.rule(config, self.strength)

    def train(
        self, dataset: Dataset, listeners: Sequence[Callable[[Event], object]] = ()
    ) -> tuple[Network, History]:
        """Train and test it, and return the network and its History.

        `listeners` are those of `pysi.train`. A DivergenceError names the cell.
        """
        method, config = self.how, self.config
        tasks, tested = method.trains.tasks(config.make_tasks(dataset))
        net, optimizer, rule = self.make()
        try:
            with tensor_float_32(net.synapses.xp, config.tf32):
                history = train(
                    net,
                    optimizer,
                    rule,
                    tasks,
                    epochs=config.epochs,
                    batch_size=config.batch_size,
                    tested=tested,
                    reset_optimizer=config.reset_optimizer,
                    reset_network=method.trains.reset,
                    listeners=listeners,
                )
        except DivergenceError as err:
            raise DivergenceError(f"{self.cells[err.replica].name}: {err}") from err
        return net, history


def all_cells(config: Protocol) -> list[Cell]:
    """Return all cells of a protocol, in the order in which they are run."""
    found = []
    for seed in range(config.seeds):
        for name in config.methods:
            for c in config.strengths_of(name):
                at_zero = None if c else METHODS[name].at_zero
                found.append(Cell(config, at_zero or name, c, seed))
    return list(dict.fromkeys(found))


class Saved(Checkpoint):
    """A cell's checkpoint. As long as it is empty, it begins at the end of the trunk's task 1."""

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        trunk: Checkpoint | None,
        *,
        keeps_omega: bool,
        files: OmegaFiles | None = None,
    ) -> None:
        super().__init__(path, settings, interval=INTERVAL)
        self.trunk, self.keeps_omega, self.files = trunk, keeps_omega, files

    def begin(self, run: Any) -> None:
        """Let a run go on, or begin anew if ω of an earlier task can no longer be used."""
        saved = self.load()
        if self.files and saved and (found := self.files.lacking(run, saved[1]["task"])):
            self.announce(f"{found} {self.path.stem} begins anew.")
            self.remove()
            saved = self.load()  # the trunk's, which needs no file
        if saved:
            restore(*saved, run, source=str(self.path))

    def load(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the cell's newest state or, before there is one, the trunk's."""
        found = super().load()
        if found is None and self.trunk and (found := self.trunk.load()) and not self.keeps_omega:
            found[0]["synapses.omega"][...] = 0  # this was the trunk's, which records ω
        return found
