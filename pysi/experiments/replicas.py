"""Many cells as one: networks that are trained side by side, in one table of synapses.

A GPU takes hardly longer for ten small networks than for one. Each has its own initial weights,
order of examples and dropout, and its own c: it ends where it would have ended alone.
"""

from dataclasses import dataclass, replace

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
        first = self.cells[0]
        return f"{first.name}-and-{len(self.cells) - 1}-more"


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
        count = -(-len(group) * bytes_of_one(group[0], dataset) // room(config.device, jobs))
        count = min(max(count, jobs), len(group))
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
    config = cell.config
    task = config.make_tasks(dataset)[0]
    few = {
        name: getattr(task, name)[:EVALUATION_BATCH]
        for name in ("x_train", "y_train", "x_test", "y_test")
    }
    task = replace(task, **few)
    method = METHODS[cell.method]
    with machine.peak_of(config.device) as peak:
        net = config.make_network((cell.seed,), dropout=method.dropout)
        task = task.to(net.synapses.xp)
        optimizer, rule = config.make_optimizer(), method.rule(config, (cell.c,))
        rule.start(net.synapses)
        optimizer.start(net.synapses)
        net.restart(0, 1)
        x, y = task.part("train")
        batch = net.synapses.xp.arange(min(config.batch_size, len(y)))[None]
        training_step(net, optimizer, rule, x[batch], y[batch], task.active)
        net.forward(x)
        rule.end_task(net, task)
    return peak.bytes
