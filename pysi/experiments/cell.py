"""One cell of an experiment's grid: one method at one strength from one seed."""

import time
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from pysi.backend import to_host
from pysi.backend.matmul import tensor_float_32
from pysi.errors import DivergenceError
from pysi.experiments import machine
from pysi.experiments.correlation import correlation
from pysi.experiments.methods import METHODS, Method
from pysi.experiments.protocol import Protocol
from pysi.history import Epoch, TaskLearned
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.files import atomic
from pysi.training import train

INTERVAL = 10
"""Seconds between two checkpoints at least, within a task."""


@dataclass(frozen=True)
class Cell:
    """What to train: a protocol, and one point of its grid.

    Attributes
    ----------
    config : Protocol
    method : str
        A name in `METHODS`.
    c : float
        Strength; 0 where the method has none.
    seed : int
    how : Method
        The entry in `METHODS`; another process need not know it.
    """

    config: Protocol
    method: str
    c: float
    seed: int
    how: Method = field(init=False, compare=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "how", METHODS[self.method])

    @property
    def key(self):
        """What tells it from the other cells of its result."""
        return self.method, self.c, self.config.xi, self.seed

    @property
    def name(self):
        """For files: all digits of c, because close values must not share one."""
        found, xi = self.method, self.config.xi
        if self.how.strengths:
            found += f"-c{self.c!r}".removesuffix(".0")
        if not self.how.trains.first_only and xi != type(self.config).xi:
            found += f"-xi{xi!r}"
        return f"{found}-seed{self.seed}"

    @property
    def cells(self):
        """What it trains: itself."""
        return (self,)

    @property
    def trunk(self):
        """The cell that trains task 1 for this one and others, or None."""
        return replace(self, method=self.how.trunk, c=0.0) if self.how.trunk else None

    @property
    def epochs(self):
        """How many it trains, without those of its trunk."""
        return self.config.epochs * (self.how.trains.count(self.config.tasks) - bool(self.trunk))

    def checkpoint(self, out, threads):
        """Where it is saved at the end of a task, and of an epoch if ten seconds have passed."""
        skip = self.config.lists() + self.how.trains.first_only * self.config.after_task_1
        settings = {k: v for k, v in asdict(self.config).items() if k not in skip}
        if self.config.takes_images:
            threads = 1  # of the BLAS library; that of others changes nothing
        settings |= {"method": self.method, "c": self.c, "seed": self.seed, "blas_threads": threads}
        return Checkpoint(out / "checkpoints" / f"{self.name}.npz", settings, interval=INTERVAL)

    def resumable(self, out, threads):
        """Its checkpoint, which goes on from the trunk's if it holds nothing yet."""
        own = self.checkpoint(out, threads)
        if not self.trunk:
            return own
        trunk = self.trunk.checkpoint(out, threads)
        return Branch(own.path, own.settings, trunk, omega=self.how.omega)

    def train(self, dataset, listeners=()):
        """Train and test it. Returns the network and its History.

        `listeners` are those of `pysi.train`. A DivergenceError names the cell.
        """
        method, config = self.how, self.config
        tasks, tested = method.trains.tasks(config.make_tasks(dataset))
        net = config.make_network(self.seed, dropout=method.dropout)
        try:
            with tensor_float_32(net.synapses.xp, config.tf32):
                history = train(
                    net,
                    config.make_optimizer(),
                    method.rule(config, self.c),
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


def all_cells(config):
    """All cells of a protocol, in the order in which they are run."""
    found = []
    for seed in range(config.seeds):
        for name in config.methods:
            for c in config.strengths(METHODS[name]):
                at_zero = None if c else METHODS[name].at_zero
                found.append(Cell(config, at_zero or name, c, seed))
    return list(dict.fromkeys(found))


class Branch(Checkpoint):
    """A cell's checkpoint that begins, as long as it is empty, at the end of the trunk's task 1."""

    def __init__(self, path, settings, trunk, *, omega):
        super().__init__(path, settings, interval=INTERVAL)
        self.trunk, self.omega = trunk, omega

    def load(self):
        """The cell's newest state or, before there is one, the trunk's."""
        found = super().load()
        if found is None and (found := self.trunk.load()) and not self.omega:
            found[0]["synapses.omega"][...] = 0  # that was the trunk's, which watches
        return found


class Reporter:
    """Tells report((name, task, epoch)) of every epoch."""

    def __init__(self, name, report):
        self.name, self.report = name, report

    def __call__(self, event):
        if isinstance(event, Epoch):
            self.report((self.name, event.task, event.epoch))


def outcomes(cell, history, accuracy="test_accuracy"):
    """What was run and how accurate it was, one entry for each of a cell's networks."""
    return [
        {
            "method": one.method,
            "c": one.c,
            "xi": one.config.xi,
            "seed": one.seed,
            accuracy: own.test_accuracy.tolist(),
            "train_accuracy": own.train_accuracy.tolist(),
        }
        for one, own in zip(cell.cells, history.replicas(), strict=True)
    ]


def run_cell(cell, dataset, out, threads, report):
    """Train a cell, save its table of synapses, and return its entries for the result.

    Parameters
    ----------
    cell : Cell
        Or several that are trained as one: `Replicas`.
    dataset : Dataset
    out : Path
        The result folder.
    threads : int
        Threads to use.
    report : callable
        Called with (name, task, epoch) after every epoch.

    Returns
    -------
    list of dict
        One for each network.
    """
    began = time.perf_counter()

    def keep(event):
        if cell.how.omega and isinstance(event, TaskLearned):
            rows = to_host(event.run.net.synapses.omega).reshape(len(cell.cells), -1)
            for one, omega in zip(cell.cells, rows, strict=True):
                save_omega(omega, omega_file(out, one, event.task))

    with machine.threads(threads, images=cell.config.takes_images):
        listeners = cell.resumable(out, threads), Reporter(cell.name, report), keep
        net, history = cell.train(dataset, listeners)
        blas = machine.blas()
    (out / "synapses").mkdir(exist_ok=True)
    found = outcomes(cell, history)
    for r, (one, own) in enumerate(zip(cell.cells, history.replicas(), strict=True)):
        table = f"synapses/{one.name}.npz"
        net.synapses.save(out / table, replica=r if net.synapses.lead else ...)
        found[r] |= {
            "omega_correlation": omega_correlation(net, one, out) if cell.how.omega else None,
            "epochs": own.epochs,
            "consolidation_s": own.consolidation,
            "synapses": table,
            "blas": blas,
            "peak_memory_mb": machine.peak_memory_mb(),
            "duration_s": time.perf_counter() - began,
        }
        if len(cell.cells) > 1:
            found[r]["replicas"] = len(cell.cells)  # whose durations and memory are those of all
    return found


def omega_file(out, cell, task):
    """Where the path integral ω of a task (from 1) is kept; of task 1, where its trunk keeps it."""
    cell = cell.trunk if cell.trunk and task == 1 else cell
    return out / "omega" / f"{cell.name}-task{task}.npy"


def save_omega(omega, path):
    """Write ω as it is at a task's end, the whole row or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        np.save(file, omega)


def omega_correlation(net, cell, out):
    """Correlation of ω between tasks for every weight matrix, by name (Figure 5)."""
    tasks = range(cell.how.trains.count(cell.config.tasks))
    omega = [np.load(omega_file(out, cell, 1 + task), mmap_mode="r") for task in tasks]
    groups = (net.synapses.group(name) for name in net.synapses.shapes if name.endswith(".W"))
    return {
        group.name: correlation([row[group.columns] for row in omega]).round(6).tolist()
        for group in groups
    }
