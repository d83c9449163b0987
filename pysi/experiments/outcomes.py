"""What a cell leaves behind: its entries in a result, and its table of synapses in a file."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pysi.data.dataset import Dataset
from pysi.experiments import machine
from pysi.experiments.cell import Cell
from pysi.experiments.omega import OmegaFiles, omega_correlation
from pysi.experiments.progress import Report
from pysi.history import Epoch, Event, History
from pysi.storage.files import make_folder
from pysi.threads import stay, using


class Reporter:
    """Calls report((name, task, epoch)) after every epoch."""

    def __init__(self, name: str, report: Report) -> None:
        self.name, self.report = name, report

    def __call__(self, event: Event) -> None:
        if isinstance(event, Epoch):
            self.report((self.name, event.task, event.epoch))


def outcomes(cell: Cell, history: History, accuracy: str = "test_accuracy") -> list[dict[str, Any]]:
    """Return what was run and how accurate it was, one entry for each of a cell's networks."""
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


def run_cell(
    cell: Cell, dataset: Dataset, out: Path | None, threads: int, report: Report
) -> list[dict[str, Any]]:
    """Train a cell, save its table of synapses, and return its entries for the result.

    Parameters
    ----------
    cell : Cell
        One cell, or several that are trained as one: `Replicas`.
    dataset : Dataset
    out : Path, optional
        The result folder. Without one, nothing is written, and the limit of BLAS threads stays in
        force: the process is a cluster's worker, which may train other cells in other threads.
    threads : int
        Threads to use.
    report : callable
        See `Report`.

    Returns
    -------
    list of dict, one per network
    """
    began = time.perf_counter()
    omega = OmegaFiles(cell, out) if out and cell.how.omega else None
    if not out:
        stay(threads)
    with using(threads, images=cell.config.takes_images) if out else nullcontext():
        listeners: list[Any] = [Reporter(cell.name, report)]
        if out:
            listeners = [cell.resumable(out, threads, omega), *listeners, *filter(None, [omega])]
        net, history = cell.train(dataset, listeners)
        libraries = machine.libraries()
    found = outcomes(cell, history)
    for r, (one, own) in enumerate(zip(cell.cells, history.replicas(), strict=True)):
        if out:
            table = make_folder(out / "synapses") / f"{one.name}.npz"
            net.synapses.save(table, replica=r if net.synapses.lead else ...)
            found[r]["synapses"] = f"synapses/{table.name}"
        correlation = omega_correlation(net, one, out) if out and omega else None
        found[r] |= libraries | {
            "omega_correlation": correlation,
            "epochs": own.epochs,
            "consolidation_s": own.consolidation,
            "peak_memory_mb": machine.peak_memory_mb(),
            "duration_s": time.perf_counter() - began,
        }
        if len(cell.cells) > 1:
            found[r]["replicas"] = len(cell.cells)  # whose durations and memory are those of all
    return found
