"""One cell of an experiment's grid: one method at one strength from one seed."""

import os
import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from pysi.backend import to_host
from pysi.errors import DivergenceError
from pysi.experiments import machine
from pysi.experiments.checkpoint import Checkpoint
from pysi.experiments.methods import METHODS
from pysi.experiments.protocols import Protocol
from pysi.metrics import correlation
from pysi.tasks import joint_task
from pysi.training import train

LISTS = ("methods", "c", "ewc_c", "seeds")
"""Settings that say which cells there are, and change nothing within one."""
AFTER_TASK_1 = ("xi", "clamp", "tasks")
"""Settings that change nothing before the end of task 1."""


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
        skip = LISTS + (AFTER_TASK_1 if self.method == "single" else ())
        settings = {k: v for k, v in asdict(self.config).items() if k not in skip}
        if self.config.takes_images:
            threads = 1  # of the BLAS library; that of others changes nothing
        settings |= {"method": self.method, "c": self.c, "seed": self.seed, "blas_threads": threads}
        return Checkpoint(out / "checkpoints" / f"{self.name}.npz", settings, interval=10)

    def resumable(self, out, threads):
        """Its checkpoint, which goes on from the trunk's if it holds nothing yet."""
        own = self.checkpoint(out, threads)
        return Branch(own, self.trunk.checkpoint(out, threads)) if self.trunk else own

    def train(self, dataset, *, checkpoint=None, on_epoch=None, on_task=None):
        """Train and test it. Returns the network and its History.

        `on_task` is told of the network too: on_task(net, task). A DivergenceError names the cell.
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
                on_epoch=on_epoch,
                on_task=on_task and (lambda task: on_task(net, task)),
                checkpoint=checkpoint,
            )
        except DivergenceError as err:
            raise DivergenceError(f"{self.name}: {err}") from err
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
        self.own, self.trunk, self.save = own, trunk, own.save

    def load(self):
        """The cell's newest state, or the trunk's, or None."""
        return self.own.load() or self.trunk.load()


def run_cell(cell, dataset, out, threads, report):
    """Train a cell, save its table of synapses, and return its entry for the result.

    Parameters
    ----------
    cell : Cell
    dataset : Dataset
    out : Path
        The result folder.
    threads : int
        Threads to use.
    report : callable
        Called with (name, task, epoch) after every epoch.
    """
    began = time.perf_counter()
    watched = METHODS[cell.method].rule(cell.config, cell.c).name == "si"

    def keep(net, task):
        save_omega(net, omega_file(out, cell, task))

    with machine.threads(threads, images=cell.config.takes_images):
        net, history = cell.train(
            dataset,
            checkpoint=cell.resumable(out, threads),
            on_epoch=lambda task, epoch: report((cell.name, task, epoch)),
            on_task=keep if watched else None,
        )
        blas = machine.blas()
    table = f"synapses/{cell.name}.npz"
    (out / "synapses").mkdir(exist_ok=True)
    net.synapses.save(out / table)
    return {
        "method": cell.method,
        "c": cell.c,
        "xi": cell.config.xi,
        "seed": cell.seed,
        "test_accuracy": history.test_accuracy.tolist(),
        "train_accuracy": history.train_accuracy.tolist(),
        "omega_correlation": omega_correlation(net, cell, out) if watched else None,
        "epochs": history.epochs,
        "consolidation_s": history.consolidation,
        "synapses": table,
        "blas": blas,
        "peak_memory_mb": machine.peak_memory_mb(),
        "duration_s": time.perf_counter() - began,
    }


def omega_file(out, cell, task):
    """Where the path integral ω of a task (from 1) is kept; of task 1, where its trunk keeps it."""
    cell = cell.trunk if cell.trunk and task == 1 else cell
    return out / "omega" / f"{cell.name}-task{task}.npy"


def save_omega(net, path):
    """Write ω as it is at a task's end, the whole row or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, to_host(net.synapses.omega))
    os.replace(partial, path)


def omega_correlation(net, cell, out):
    """Correlation of ω between tasks for every weight matrix, by name (Figure 5)."""
    tasks = range(1, (cell.config.tasks if METHODS[cell.method].trains == "sequence" else 1) + 1)
    omega = [np.load(omega_file(out, cell, task), mmap_mode="r") for task in tasks]
    groups = (net.synapses.group(name) for name in net.synapses.shapes if name.endswith(".W"))
    return {
        group.name: correlation([row[group.columns] for row in omega]).round(6).tolist()
        for group in groups
    }
