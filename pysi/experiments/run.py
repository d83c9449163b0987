"""Run an experiment: every seed, method and c, in parallel processes, resumable."""

import shutil
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from pysi.errors import ConfigError, DataError
from pysi.experiments import machine
from pysi.experiments.cell import run_cell
from pysi.experiments.parallel import parallel
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.replicas import side_by_side
from pysi.experiments.result import Result, key


def start(
    config, dataset, out, cells, *, jobs=1, threads=None, vectorise=False, kind=Result, **more
):
    """A new result folder with a result that holds no runs yet.

    The machine's cores are shared out among parallel processes as threads. That is settled here,
    because another number of threads of the BLAS library gives other bits.

    Parameters
    ----------
    config : Protocol
    dataset : Dataset
    out : Path
        A folder without a result.
    cells : list of Cell
        What will be run.
    jobs : int
        Parallel processes at most.
    threads : int, optional
        In each process, where the runs are not for this machine.
    vectorise : bool
        Whether cells that differ in seed and c alone are trained side by side.
    kind : type
        Of the result.
    **more
        Further entries of the result.
    """
    jobs = min(jobs, len(cells))
    threads = threads or max(1, machine.require("joblib").cpu_count() // jobs)
    tasks = config.make_tasks(dataset)
    result = kind(
        {
            "format": kind.format,
            "experiment": config.name,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "complete": False,
            "duration_s": 0.0,
            "config": asdict(config),
            "dataset": {
                "name": dataset.name,
                "checksums": dataset.checksums,
                "n_train": len(dataset.y_train),
                "n_test": len(dataset.y_test),
            },
            "environment": machine.describe(config.device)
            | {
                "blas_threads": 1 if config.takes_images else threads,
                "image_threads": threads if config.takes_images else 1,
                "vectorise": vectorise,
            },
            "scenario": config.scenario,
            "chance": tasks[0].chance,
            "task_names": [task.name for task in tasks],
            **more,
            "runs": [],
        }
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any((out / kind.file).exists() for kind in (Result, *Result.__subclasses__())):
            raise ConfigError(
                f"out: {out} already holds a result; resume it (--resume {out}) or name another"
            )
        result.save(out)
    except OSError as err:
        raise DataError(f"{out}: expected a folder that can be written to, found {err}") from err
    return result


def resume(out, *, experiment=None, kind=Result, **more):
    """The result in a folder, and its settings, to be continued: what has begun goes on.

    Parameters
    ----------
    out : Path
    experiment : str, optional
        What it must be a result of.
    kind : type
        Of the result.
    **more
        New values of the settings that only list runs (methods, c, ewc_c, seeds). Finished runs
        that are no longer on the list are kept.

    Raises
    ------
    ConfigError
        Another setting, kind or experiment.
    """
    result = kind.load(out)
    found = result.content["experiment"]
    if type(result) is not kind or experiment not in (None, found):
        raise ConfigError(
            f"{out}: expected a result of `pysi {kind.command} {experiment or found}`, found one "
            f"of `pysi {result.command} {found}`"
        )
    protocol = PROTOCOLS.get(found)
    if protocol is None:
        raise DataError(f"{out}: found an unknown experiment {found!r}")
    if others := sorted(more.keys() - set(protocol.lists())):
        raise ConfigError(
            f"{', '.join(others)}: a resumed result goes on with the settings that it has; only "
            f"{', '.join(protocol.lists())} can be given anew"
        )
    try:
        config = replace(protocol(**result.content["config"]), **more)
    except TypeError as err:
        raise DataError(f"{out}: expected the settings of {protocol.name}, found {err}") from err
    result.content["config"] = asdict(config)
    return result, config


def execute(cells, result, dataset, out, *, work=run_cell, jobs=1, cluster=None):
    """Run the cells that a result lacks, writing it anew after every finished one.

    Parameters
    ----------
    cells : list of Cell
    result : Result
        From `start` or `resume`; changed in place.
    dataset : Dataset
    out : Path
        The result folder.
    work : callable
        Trains a cell and returns its runs: work(cell, dataset, out, threads, report).
    jobs : int
        Parallel processes at most.
    cluster : str, optional
        Address of a Dask scheduler, whose workers then do the work. They are given None for the
        result folder, which they need not see, and cells do not share their task 1.

    Raises
    ------
    DivergenceError
        From the run that diverged; runs that had finished are in the result.
    """
    recorded = result.content["dataset"]["checksums"]
    if dataset.checksums != recorded:
        raise DataError(
            f"{out}: expected the data set that this result was begun with ({recorded}), "
            f"found {dataset.name} from {dataset.source} ({dataset.checksums})"
        )
    done = {key(run) for run in result.runs}
    missing = [cell for cell in cells if cell.key not in done]
    rest, trunks = missing, {}
    if result.content["environment"].get("vectorise"):
        rest = side_by_side(missing, dataset, jobs)
    elif not cluster:
        trunks = {cell.trunk.name: cell.trunk for cell in missing if cell.trunk}
        rest = [cell for cell in missing if cell.name not in trunks]
    trunks, threads = list(trunks.values()), result.threads
    began, spent = time.perf_counter(), result.content["duration_s"]
    result.content["complete"] = False
    result.save(out)  # what is to be run, so that a stopped run goes on with it
    with parallel(jobs, sum(cell.epochs for cell in trunks + rest), cluster) as run_all:
        for batch in filter(None, (trunks, rest)):  # task 1 first, for all that go on from there
            for runs in run_all(work, batch, dataset, out, threads):
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


def default_out(name, folder="results"):
    """A new folder's name, after the experiment and the time."""
    return Path(folder) / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
