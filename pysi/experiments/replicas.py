"""Many cells as one: networks that are trained side by side, in one table of synapses.

A GPU takes hardly longer for ten small networks than for one. Each has its own initial weights,
order of examples and dropout, and its own c: it ends as it would have ended alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from pysi.data.dataset import Dataset
from pysi.evaluation import EVALUATION_BATCH
from pysi.experiments import machine
from pysi.experiments.cell import Cell
from pysi.experiments.methods import METHODS
from pysi.rules.fisher import IMAGES
from pysi.tasks import Task
from pysi.threads import computing
from pysi.training import shuffled, training_step

SHARE = 0.8
"""How much of the free memory may be used."""


@dataclass(frozen=True)
class Replicas(Cell):
    """Cells that differ in seed and c alone, as one: its `c` and `seed` are tuples.

    Attributes
    ----------
    cells : tuple of Cell
    """

    cells: tuple[Cell, ...] = ()
    trunk = None  # task 1 is trained with the others

    @property
    def strength(self) -> Any:
        """A strength for each network; or a single one, if they must have the same."""
        c: Any = self.c
        return c[0] if self.how.alike else c

    @property
    def name(self) -> str:
        """The name of the first cell, and a number that stands for the others."""
        first, *others = (cell.name for cell in self.cells)
        which = crc32(" ".join(others).encode())  # others share no checkpoint with these
        return f"{first}-and-{len(others)}-more-{which:08x}"


def kind(cell: Cell) -> tuple[Any, ...]:
    """Return what cells must share to be trained as one; at c = 0, several methods are the same."""
    same = (
        name
        for name, method in METHODS.items()
        if method.at_zero == cell.method and method.rule == cell.how.rule
    )
    return cell.config, next(same, cell.method), cell.how.alike and cell.c


def side_by_side(cells: Sequence[Cell], dataset: Dataset, jobs: int = 1) -> list[Replicas]:
    """Return the cells in groups that can be trained as one.

    Parameters
    ----------
    cells : list of Cell
    dataset : Dataset
    jobs : int
        Processes that share the memory; there are at least this many parts, where possible.

    Returns
    -------
    list of Replicas
        There are as few as fit into the free memory.
    """
    groups: dict[Any, list[Cell]] = {}
    found = []
    for cell in cells:
        groups.setdefault(kind(cell), []).append(cell)
    for (config, method, _), group in groups.items():
        fit = max(1, room(config.device, jobs) // bytes_of_one(group[0], dataset))
        count = min(max(-(-len(group) // fit), jobs), len(group))
        for part in np.array_split(np.arange(len(group)), count):
            members = tuple(group[i] for i in part)
            c: Any
            seeds: Any
            c, seeds = zip(*((cell.c, cell.seed) for cell in members), strict=True)
            found.append(Replicas(config, method, c, seeds, members))
    return found


def room(device: str, jobs: int) -> int:
    """Return the bytes that each of several processes may use; if unknown, more than there are."""
    free = machine.free_memory(device)
    return max(1, int(SHARE * free / jobs)) if free else 2**62


def bytes_of_one(cell: Cell, dataset: Dataset) -> int:
    """Return the memory per network, measured on one network that takes every part of a run."""
    config = cell.config
    tasks, tested = cell.how.trains.tasks(config.make_tasks(dataset))
    evaluated = sizes(tested, ("y_train", "y_test"), EVALUATION_BATCH)
    trained = sizes(tasks, ("y_train",), config.batch_size)
    task = max(tasks, key=lambda task: len(task.y_train))
    n, count = len(task.y_train), max(evaluated[-1], trained[-1])
    with machine.peak_of(config.device) as peak:
        c: Any = (cell.c,)
        seeds: Any = (cell.seed,)
        alone = Replicas(config, cell.method, c, seeds, (cell,))
        net, optimizer, rule = alone.make()
        xp = net.synapses.xp
        few = first(task, count).to(xp)
        seen = first(few, IMAGES) if config.takes_images else few  # rules take no more at a time
        rule.check(net, list(tasks))
        rule.start(net.synapses)
        optimizer.start(net.synapses)

        def learn(sizes: Iterable[int]) -> None:
            rule.start_task(net, seen)
            order = shuffled(net, n, 0, 1)
            net.restart(0, 1)
            x, y = few.part("train")
            for size in sizes:
                shown = order[..., :size]
                batch = xp.where(shown < count, shown, 0)
                rule.examples = xp.where(shown < len(seen.y_train), shown, 0)
                training_step(net, optimizer, rule, x[batch], y[batch], few)

        with computing(net, config.batch_size):  # each thread has memory of its own
            learn(trained)
            for size in evaluated:
                net.logits(few.part("train")[0][:size])
            rule.end_task(net, seen)
            rule.refresh()
            learn(trained[-1:])  # with what the rule remembers of a task
    return peak.bytes


def first(task: Task, n: int) -> Task:
    """Return a task with its first n examples of each part."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return replace(task, **{name: getattr(task, name)[:n] for name in names})


def sizes(tasks: Iterable[Task], parts: Iterable[str], batch: int) -> list[int]:
    """Return the sizes of all batches, the last of a part too.

    Layers of images keep memory for each size.
    """
    counts = {len(getattr(task, part)) for task in tasks for part in parts}
    return sorted({min(n, batch) for n in counts} | {n % batch for n in counts} - {0})
