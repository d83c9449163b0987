"""One cell of an experiment's grid: one method at one strength from one seed."""

import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from pysi.backend import to_host
from pysi.backend.matmul import tensor_float_32
from pysi.errors import DivergenceError
from pysi.experiments import machine
from pysi.experiments.methods import METHODS
from pysi.experiments.protocols import Protocol
from pysi.history import Epoch, TaskLearned
from pysi.metrics import correlation
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.files import atomic
from pysi.tasks import joint_task
from pysi.training import train

LISTS = ("methods", "c", "ewc_c", "seeds")
"""Settings that say which cells there are, and change nothing within one."""


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
    """

    config: Protocol
    method: str
    c: float
    seed: int

    @property
    def key(self):
        """What tells it from the other cells of its result."""
        return self.method, self.c, self.config.xi, self.seed

    @property
    def name(self):
        """For files: all digits of c, because close values must not share one."""
        found, xi = self.method, self.config.xi
        if METHODS[self.method].strengths:
            found += f"-c{self.c!r}".removesuffix(".0")
        if self.method != "single" and xi != type(self.config).xi:
            found += f"-xi{xi!r}"
        return f"{found}-seed{self.seed}"

    @property
    def cells(self):
        """What it trains: itself."""
        return (self,)

    @property
    def trunk(self):
        """The cell that trains task 1 for this one and others, or None."""
        if METHODS[self.method].branches and self.method != "single":
            return replace(self, method="single", c=0.0)
        return None

    @property
    def epochs(self):
        """How many it trains, in how many tasks (a single epoch for joint training is long)."""
        once = METHODS[self.method].trains in ("first task", "all at once")
        return self.config.epochs * (1 if once else self.config.tasks - bool(self.trunk))

    def checkpoint(self, out, threads):
        """Where it is saved at the end of a task, and of an epoch if ten seconds have passed."""
        skip = LISTS + (self.config.after_task_1 if self.method == "single" else ())
        settings = {k: v for k, v in asdict(self.config).items() if k not in skip}
        if self.config.takes_images:
            threads = 1  # of the BLAS library; that of others changes nothing
        settings |= {"method": self.method, "c": self.c, "seed": self.seed, "blas_threads": threads}
        return Checkpoint(out / "checkpoints" / f"{self.name}.npz", settings, interval=10)

    def resumable(self, out, threads):
        """Its checkpoint, which goes on from the trunk's if it holds nothing yet."""
        own = self.checkpoint(out, threads)
        return Branch(own, self.trunk.checkpoint(out, threads)) if self.trunk else own

    def train(self, dataset, listeners=()):
        """Train and test it. Returns the network and its History.

        `listeners` are those of `pysi.train`. A DivergenceError names the cell.
        """
        method, config = METHODS[self.method], self.config
        tested = config.make_tasks(dataset)
        tasks = {
            "sequence": lambda: tested,
            "each alone": lambda: tested,
            "first task": lambda: tested[:1],
            "all at once": lambda: [joint_task(tested)],
        }[method.trains]()
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
                    tested=tasks if method.trains == "first task" else tested,
                    reset_optimizer=config.reset_optimizer,
                    reset_network=method.trains == "each alone",
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
                method = "fine-tuning" if (name, c) == ("si", 0) else name
                found.append(Cell(config, method, c, seed))
    return list(dict.fromkeys(found))


class Branch:
    """A cell's checkpoint that begins, as long as it is empty, at the end of the trunk's task 1."""

    def __init__(self, own, trunk):
        self.own, self.trunk = own, trunk

    def begin(self, run):
        """Let a run go on from the cell's newest state, or the trunk's, if there is one."""
        (self.trunk if self.own.load() is None else self.own).begin(run)

    def __call__(self, event):
        self.own(event)


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
    watched = METHODS[cell.method].rule(cell.config, cell.c).name == "si"

    def keep(event):
        if watched and isinstance(event, TaskLearned):
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
            "omega_correlation": omega_correlation(net, one, out) if watched else None,
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
    tasks = range(1, (cell.config.tasks if METHODS[cell.method].trains == "sequence" else 1) + 1)
    omega = [np.load(omega_file(out, cell, task), mmap_mode="r") for task in tasks]
    groups = (net.synapses.group(name) for name in net.synapses.shapes if name.endswith(".W"))
    return {
        group.name: correlation([row[group.columns] for row in omega]).round(6).tolist()
        for group in groups
    }
