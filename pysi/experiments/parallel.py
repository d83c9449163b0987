"""Many runs at once: in processes of this machine, or on a Dask cluster."""

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from pysi.errors import ConfigError, PysiError
from pysi.experiments import machine
from pysi.experiments.progress import follow_parent, progress, silent
from pysi.storage.files import make_folder, process_is_alive

RunAll: TypeAlias = Callable[..., Iterator[Any]]
"""It runs cells: see `parallel`."""

PATIENCE = {"scheduler": 10, "worker": 60}
"""Seconds to wait for them; a queueing system may first have to start a worker."""


def parallel(
    jobs: int, epochs: int, cluster: str | None = None, *, shared: Path | None = None
) -> AbstractContextManager[RunAll]:
    """Return a context that gives a function, which runs cells and yields each result as it comes.

    The function is called as run_all(work, cells, dataset, out, threads); it calls work(cell,
    dataset, out, threads, report) for every cell. On a cluster `out` is None, because its workers
    need not see this machine's folders.

    Parameters
    ----------
    jobs : int
        The largest number of processes on this machine.
    epochs : int
        What the progress bar counts to on this machine; on a cluster it counts finished cells.
    cluster : str, optional
        Address of a Dask scheduler, such as "tcp://10.0.0.1:8786".
    shared : Path, optional
        The folder for the data that several processes of this machine read.
    """
    return on_this_machine(jobs, epochs, shared) if cluster is None else on_cluster(cluster)


@contextmanager
def on_this_machine(jobs: int, epochs: int, shared: Path | None = None) -> Iterator[RunAll]:
    """Run cells in processes of this machine; see `parallel`."""
    joblib = machine.require("joblib")
    with progress(epochs, jobs > 1) as report:

        def run_all(work: Callable[..., Any], cells: Any, *args: Any) -> Iterator[Any]:
            calls = (joblib.delayed(work)(cell, *args, report) for cell in cells)
            n = min(jobs, len(cells)) or 1
            if shared and n > 1:
                make_folder(shared.parent)
            workers = joblib.Parallel(
                n,
                return_as="generator_unordered",
                batch_size=1,
                temp_folder=shared and str(shared),
                initializer=follow_parent,
            )
            try:
                yield from workers(calls)
            except BrokenExecutor as err:
                how = re.search(r"\{(.+?)\}", str(err))
                raise PysiError(
                    "jobs: expected worker processes that live until their runs have ended, found "
                    f"one that was killed ({how[1] if how else type(err).__name__}). If memory ran "
                    "out, use fewer --jobs."
                ) from err

        yield run_all


def remove_semaphores(pid: int) -> None:
    """Remove the named semaphores of a process that was killed with all its workers."""
    if not process_is_alive(pid):  # a live one may be another process
        for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*"):
            with suppress(OSError):
                path.unlink()


@contextmanager
def on_cluster(address: str) -> Iterator[RunAll]:
    """Run cells on a Dask cluster, through joblib's backend for it; see `parallel`."""
    joblib, tqdm = machine.require("joblib"), machine.require("tqdm").tqdm
    dask, distributed = (machine.require(name, "cluster") for name in ("dask", "distributed"))
    with without_log("distributed", "distributed.client"), connect(address) as client:

        def run_all(
            work: Callable[..., Any], cells: Any, dataset: Any, out: Any, threads: int
        ) -> Iterator[Any]:
            # The dataset goes to each worker once. It is not scattered, but the result of a task,
            # which Dask computes again if every worker that held it has died.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
                data = client.submit(lambda: dataset, pure=False)
            calls = (joblib.delayed(work)(cell, data, None, threads, silent) for cell in cells)
            # All are handed over at once, because more workers may join.
            workers = joblib.Parallel(
                backend=dask_backend(client),
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch="all",
            )
            with tqdm(total=len(cells), unit="run") as bar:
                try:
                    for found in workers(calls):
                        bar.update()
                        yield found
                except (distributed.KilledWorker, distributed.CancelledError) as err:
                    found = f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
                    if "connection-lost" in found:
                        found = f"that the scheduler, {address}, has ended"
                    raise PysiError(
                        f"dask: expected a cluster that finishes what it is given, found {found}"
                    ) from err

        yield run_all


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Yield a client of a Dask cluster that has at least one worker, all with this version of pysi.

    Parameters
    ----------
    address : str
        The address of the scheduler.

    Raises
    ------
    ConfigError
        There is no such cluster, or its workers lack this version of pysi.
    """
    distributed = machine.require("distributed", "cluster")

    def version() -> str:  # nested, and so sent as code, to workers that may have no pysi
        from pysi import __version__

        return __version__

    try:
        distributed.comm.resolve_address(address)  # a client of a bad one would linger
        client = distributed.Client(address, timeout=PATIENCE["scheduler"], set_as_default=False)
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"dask: expected the address of a running Dask scheduler, found {address!r} ({err})"
        ) from err
    with client:
        try:
            if not client.ncores():  # some clusters start workers only when there is work
                client.submit(version, pure=False).result(timeout=PATIENCE["worker"])
            others = set(client.run(version).values()) - {version()}
        except TimeoutError as err:
            raise ConfigError(
                f"dask: expected a worker within {PATIENCE['worker']} seconds, found none; "
                f"start some: dask worker {address}"
            ) from err
        except ImportError as err:
            raise ConfigError(f"dask: expected workers with pysi installed, found {err}") from err
        if others:
            raise ConfigError(
                f"dask: expected workers with pysi {version()}, found {', '.join(others)}"
            )
        yield client


def dask_backend(client: Any) -> Any:
    """Return joblib's backend for Dask, corrected in two places."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            # Joblib would run a single job here, though there is a worker for it.
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func: Any, callback: Any = None) -> Any:
            # Joblib does not hear of a run that Dask gives up, and would wait for it for ever.
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

    return Backend(client=client)


@contextmanager
def without_log(*names: str) -> Iterator[None]:
    """Silence these loggers: the error that ends a run explains it in one sentence."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
