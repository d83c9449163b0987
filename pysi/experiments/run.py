"""Run an experiment: every seed, method and c, in parallel processes, resumable."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pysi.data.dataset import Dataset
from pysi.errors import DataError
from pysi.experiments.cell import Cell
from pysi.experiments.folder import SHARED, check_held, default_out, resume, start
from pysi.experiments.outcomes import run_cell
from pysi.experiments.parallel import parallel
from pysi.experiments.replicas import side_by_side
from pysi.experiments.result import Result, key
from pysi.typing import File

__all__ = ["default_out", "execute", "resume", "start"]


def execute(
    cells: Sequence[Cell],
    result: Result,
    dataset: Dataset,
    out: File,
    *,
    work: Callable[..., list[dict[str, Any]]] = run_cell,
    jobs: int = 1,
    cluster: str | None = None,
) -> None:
    """Run the cells that a result lacks, and save the result after every finished cell.

    Parameters
    ----------
    cells : list of Cell
    result : Result
        From `start` or `resume`; it is changed in place, and its folder unlocked at the end.
    dataset : Dataset
    out : path-like
        The result folder.
    work : callable
        It trains a cell and returns its runs: work(cell, dataset, out, threads, report).
    jobs : int
        The largest number of parallel processes.
    cluster : str, optional
        Address of a Dask scheduler, whose workers then do the work. They are given None for the
        result folder, which they need not see, and cells do not share their task 1.

    Raises
    ------
    DivergenceError
        A run has diverged; runs that had finished are in the result.
    DataError
        The data set is another one, or a file cannot be written, for instance because its folder
        was removed.
    PysiError
        A worker was killed.
    """
    try:
        _execute(cells, result, dataset, Path(out), work, jobs, cluster)
    finally:
        if result.lock:
            result.lock.release()


def _execute(
    cells: Sequence[Cell],
    result: Result,
    dataset: Dataset,
    out: Path,
    work: Callable[..., list[dict[str, Any]]],
    jobs: int,
    cluster: str | None,
) -> None:
    recorded = result.content["dataset"]["checksums"]
    if dataset.checksums != recorded:
        raise DataError(
            f"{out}: expected the data set that this result was begun with ({recorded}), "
            f"found {dataset.name} from {dataset.source} ({dataset.checksums})"
        )
    done = {key(run) for run in result.runs}
    missing = [cell for cell in cells if cell.key not in done]
    rest: list[Any] = missing
    branched: dict[str, Cell] = {}
    if result.content["environment"].get("vectorise"):
        rest = side_by_side(missing, dataset, jobs)
    elif not cluster:
        branched = {cell.trunk.name: cell.trunk for cell in missing if cell.trunk}
        rest = [cell for cell in missing if cell.name not in branched]
    trunks, threads = list(branched.values()), result.threads
    began, spent = time.perf_counter(), result.content["duration_s"]
    result.content["complete"] = False
    result.save(out)  # what is to be run, so that a stopped run goes on with it
    epochs = sum(cell.epochs for cell in trunks + rest)
    with parallel(jobs, epochs, cluster, shared=out / SHARED) as run_all:
        for batch in filter(None, (trunks, rest)):  # task 1 first, for all that go on from there
            check_held(result, out)
            for runs in run_all(work, batch, dataset, out, threads):
                check_held(result, out)
                cell = next(cell for cell in batch if cell.cells[0].key == key(runs[0]))
                result.content["duration_s"] = spent + time.perf_counter() - began
                for one, run in zip(cell.cells, runs, strict=True):
                    if one in missing:
                        result.add(run)
                result.save(out)
                if cell not in trunks:
                    cell.checkpoint(out, threads).remove()
    result.content["complete"] = True
    result.save(out)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
