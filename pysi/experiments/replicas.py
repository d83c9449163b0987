"""Many cells as one: networks that are trained side by side, in one table of synapses.

A GPU takes hardly longer for ten small networks than for one. Each has its own initial weights,
order of examples and dropout, and its own c: it ends where it would have ended alone.
"""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from pysi.experiments import machine
from pysi.experiments.cell import Cell
from pysi.experiments.methods import METHODS
from pysi.training import EVALUATION_BATCH, training_step

SHARE = 0.8
"""Of the free memory, how much may be used."""


@dataclass(frozen=True)
class Replicas(Cell):
    """Cells that differ in seed and c alone, as one: its `c` and `seed` are tuples.

    Attributes
    ----------
    cells : tuple of Cell
    """

    cells: tuple = ()
    trunk = None  # task 1 is trained with the others

    @property
    def name(self):
        first, *others = (cell.name for cell in self.cells)
        which = crc32(" ".join(others).encode())  # others share no checkpoint with these
        return f"{first}-and-{len(others)}-more-{which:08x}"


def kind(cell):
    """What cells must share to be trained as one. Fine-tuning is c = 0."""
    return cell.config, "si" if cell.method == "fine-tuning" else cell.method


def side_by_side(cells, dataset, jobs=1):
    """Put together what can be trained as one.

    Parameters
    ----------
    cells : list of Cell
    dataset : Dataset
    jobs : int
        Processes that share the memory; so many parts there are at least, if there can be.

    Returns
    -------
    list of Replicas
        As few as fit into the free memory.
    """
    groups, found = {}, []
    for cell in cells:
        groups.setdefault(kind(cell), []).append(cell)
    for (config, method), group in groups.items():
        fit = max(1, room(config.device, jobs) // bytes_of_one(group[0], dataset))
        count = min(max(-(-len(group) // fit), jobs), len(group))
        for part in np.array_split(np.arange(len(group)), count):
            members = tuple(group[i] for i in part)
            c, seeds = zip(*((cell.c, cell.seed) for cell in members), strict=True)
            found.append(Replicas(config, method, c, seeds, members))
    return found


def room(device, jobs):
    """Bytes that each of several processes may use; more than there can be if it is not known."""
    free = machine.free_memory(device)
    return max(1, int(SHARE * free / jobs)) if free else 2**62


def bytes_of_one(cell, dataset):
    """Memory that one more network takes: measured on one, over everything that a run does."""
    config, method = cell.config, METHODS[cell.method]
    tasks = config.make_tasks(dataset)
    tested = sizes(tasks, ("y_train", "y_test"), EVALUATION_BATCH)
    trained = sizes(tasks, ("y_train",), config.batch_size)
    task = max(tasks, key=lambda task: len(task.y_train))
    few = {
        name: getattr(task, name)[: max(tested[-1], trained[-1])]
        for name in ("x_train", "y_train", "x_test", "y_test")
    }
    task = replace(task, **few)
    with machine.peak_of(config.device) as peak:
        net = config.make_network((cell.seed,), dropout=method.dropout)
        xp = net.synapses.xp
        task = task.to(xp)
        optimizer, rule = config.make_optimizer(), method.rule(config, (cell.c,))
        rule.start(net.synapses)
        optimizer.start(net.synapses)
        net.restart(0, 1)
        x, y = task.part("train")
        for size in trained:
            batch = xp.arange(size)[None]
            training_step(net, optimizer, rule, x[batch], y[batch], task)
        for size in tested:
            net.logits(x[:size])
        rule.end_task(net, task)
    return peak.bytes


def sizes(tasks, parts, batch):
    """Of all batches, the last of a part too: layers of images keep memory for each size."""
    counts = {len(getattr(task, part)) for task in tasks for part in parts}
    return sorted({min(n, batch) for n in counts} | {n % batch for n in counts} - {0})
