"""The folder of a result: made, found again, and held by one run at a time."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pysi.data.dataset import Dataset
from pysi.errors import ConfigError, DataError
from pysi.experiments import machine
from pysi.experiments.cell import Cell
from pysi.experiments.parallel import remove_semaphores
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result
from pysi.scenarios import chance_level
from pysi.storage.files import cannot_write, remove_leftovers
from pysi.storage.lock import Lock
from pysi.threads import wanted, worthwhile
from pysi.typing import File

Kind = TypeVar("Kind", bound=Result)
SHARED = Path("checkpoints", "shared")
"""Where in a result folder the data set is while several processes read it.

Outside the folder, it would stay for ever if the run is killed.
"""


def start(
    config: Protocol,
    dataset: Dataset,
    out: File,
    cells: Sequence[Cell],
    *,
    jobs: int = 1,
    threads: int | None = None,
    vectorise: bool = False,
    kind: type[Kind] = Result,  # type: ignore[assignment] # python/mypy#3737
    **more: Any,
) -> Kind:
    """Make a new result folder, and return a result that holds no runs yet.

    The machine's cores are divided among parallel processes as threads. That is settled here,
    because another number of threads of the BLAS library gives other bits. The folder stays locked
    until `execute` has ended.

    Parameters
    ----------
    config : Protocol
    dataset : Dataset
    out : path-like
        A folder without a result, which need not exist.
    cells : list of Cell
        What will be run.
    jobs : int
        The largest number of parallel processes.
    threads : int, optional
        Threads in each process, if the runs are for other machines.
    vectorise : bool
        Whether cells that differ in seed and c alone are trained side by side.
    kind : type
        The class of the result.
    **more
        Further entries of the result.

    Raises
    ------
    ConfigError
        The folder holds a result, or the checkpoints of one that is gone, or a run is at work in
        it.
    DataError
        It cannot be written to.
    """
    jobs = min(jobs, len(cells))
    threads = threads or wanted() or min(
        max(1, machine.require("joblib").cpu_count() // jobs),
        worthwhile(config.make_network(0), config.batch_size),
    )  # fmt: skip
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
            "scenario": config.told,
            "chance": chance_level(tasks),
            "task_names": [task.name for task in tasks],
            **more,
            "runs": [],
        }
    )
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise cannot_write(out, err) from err
    result.lock = Lock(out)
    try:
        check_new(out)
        result.save(out)
    except BaseException:
        result.lock.release()
        raise
    return result


def check_new(out: Path) -> None:
    """Raise a ConfigError if there is something in a folder from which a run would go on."""
    kinds: list[type[Result]] = [Result, *Result.__subclasses__()]
    if any((out / kind.file).exists() for kind in kinds):
        raise ConfigError(
            f"out: {out} already holds a result; resume it (--resume {out}) or name another"
        )
    if any((out / "checkpoints").glob("*")):
        raise ConfigError(
            f"out: {out} holds the checkpoints of a result that is gone; remove the folder "
            f"{out / 'checkpoints'}, or name another"
        )


def resume(
    out: File,
    *,
    experiment: str | None = None,
    kind: type[Kind] = Result,  # type: ignore[assignment] # python/mypy#3737
    **more: Any,
) -> tuple[Kind, Protocol]:
    """Return the result in a folder, and its settings, so that its runs can go on.

    The folder stays locked until `execute` has ended. Files that killed processes have left are
    removed.

    Parameters
    ----------
    out : path-like
    experiment : str, optional
        The experiment that it must be a result of.
    kind : type
        The class of the result.
    **more
        New values of the settings that only list runs (methods, c, ewc_c, seeds). Finished runs
        that are no longer on the list are kept.

    Raises
    ------
    ConfigError
        It is of another kind or experiment, a setting cannot be changed, or a run is at work there.
    DataError
        The result is damaged, or the folder cannot be written to.
    """
    out = Path(out)
    kind.load(out)  # before a lock is put into what may be any folder
    lock = Lock(out)
    try:
        result, config = reopen(out, experiment, kind, more)
        shutil.rmtree(out / SHARED, ignore_errors=True)
        if lock.left_by:
            remove_semaphores(lock.left_by)
        remove_leftovers(out, below=True)
    except BaseException:
        lock.release()
        raise
    result.lock = lock
    return result, config


def reopen(
    out: Path, experiment: str | None, kind: type[Kind], more: dict[str, Any]
) -> tuple[Kind, Protocol]:
    """Return the result in a folder and its settings, with the new values; see `resume`."""
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
            f"{', '.join(protocol.lists())} can be changed"
        )
    try:
        config = protocol(**result.content["config"])
    except (TypeError, ConfigError) as err:
        raise DataError(f"{out}: expected the settings of {protocol.name}, found {err}") from err
    config = replace(config, **more)
    result.content["config"] = asdict(config)
    return result, config


def check_held(result: Result, out: Path) -> None:
    """Raise a DataError if the folder of a run was removed, even if it was then made again."""
    if result.lock and not result.lock.holds():
        raise DataError(f"{out}: expected the folder of this run, found that it was removed")


def default_out(name: str, folder: File = "results") -> Path:
    """Return a new folder's name, after the experiment and the time to the microsecond."""
    return Path(folder) / f"{name}-{datetime.now():%Y%m%d-%H%M%S-%f}"
