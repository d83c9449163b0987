"""Run an experiment: every seed and c, in parallel processes, resumable."""

import signal
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import Manager, parent_process
from pathlib import Path

from pysi.errors import ConfigError, DataError
from pysi.experiments import machine
from pysi.experiments.checkpoint import Checkpoint
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import FORMAT, Result
from pysi.training import train


def run_cell(config, c, seed, dataset, out, threads, report):
    """Train one seed at one c, save its table of synapses, and return its entry for the result.

    Parameters
    ----------
    config : Protocol
    c : float
    seed : int
    dataset : Dataset
    out : Path
        The result folder.
    threads : int
        Threads of the BLAS library.
    report : callable
        Called with (c, seed, task, epoch) after every epoch.
    """
    if parent_process() is not None:  # Ctrl-C is for the parent, which ends its workers
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    began = time.perf_counter()
    checkpoint = checkpoint_of(config, c, seed, out, threads)
    with machine.require("threadpoolctl").threadpool_limits(threads, user_api="blas"):
        net = config.make_network(seed)
        history = train(
            net,
            config.make_optimizer(),
            config.make_rule(c),
            config.make_tasks(dataset),
            epochs=config.epochs,
            batch_size=config.batch_size,
            reset_optimizer=config.reset_optimizer,
            on_epoch=lambda task, epoch: report((c, seed, task, epoch)),
            checkpoint=checkpoint,
        )
        blas = machine.blas()
    table = f"synapses/{checkpoint.path.name}"
    net.synapses.save(out / table)
    return {
        "rule": "si" if c else "fine-tuning",
        "c": c,
        "seed": seed,
        "test_accuracy": history.test_accuracy.tolist(),
        "train_accuracy": history.train_accuracy.tolist(),
        "epochs": history.epochs,
        "synapses": table,
        "blas": blas,
        "peak_memory_mb": machine.peak_memory_mb(),
        "duration_s": time.perf_counter() - began,
    }


def checkpoint_of(config, c, seed, out, threads):
    """Where a run is saved at least every ten seconds of training, after the next full epoch."""
    settings = asdict(config) | {"c": c, "seed": seed, "blas_threads": threads}
    strength = repr(c).removesuffix(".0")  # all digits: close values must not share a file
    return Checkpoint(out / "checkpoints" / f"c{strength}-seed{seed}.npz", settings, interval=10)


def start(config, dataset, out, *, jobs=1):
    """A new result folder with a result that holds no runs yet.

    The machine's cores are shared out among parallel processes as threads of the BLAS library. That
    is settled here, because another number of threads gives other bits.
    """
    jobs = min(jobs, len(config.c) * config.seeds)
    threads = max(1, machine.require("joblib").cpu_count() // jobs)
    tasks = config.make_tasks(dataset)
    result = Result(
        {
            "format": FORMAT,
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
            "environment": machine.describe(config.device) | {"blas_threads": threads},
            "scenario": config.scenario,
            "chance": tasks[0].chance,
            "task_names": [task.name for task in tasks],
            "runs": [],
        }
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / "result.json").exists():
            raise ConfigError(
                f"out: {out} already holds a result; resume it (--resume {out}) or name another"
            )
        (out / "synapses").mkdir(exist_ok=True)
        result.save(out)
    except OSError as err:
        raise DataError(f"{out}: expected a folder that can be written to, found {err}") from err
    return result


def resume(out):
    """The result in a folder, and its settings, to be continued: what has begun goes on."""
    result = Result.load(out)
    protocol = PROTOCOLS.get(result.content["experiment"])
    if protocol is None:
        raise DataError(f"{out}: found an unknown experiment {result.content['experiment']!r}")
    try:
        return result, protocol(**result.content["config"])
    except TypeError as err:
        raise DataError(f"{out}: expected the settings of {protocol.name}, found {err}") from err


def execute(config, result, dataset, out, *, jobs=1):
    """Run what is missing from a result, writing it anew after every finished run.

    Parameters
    ----------
    config : Protocol
    result : Result
        From `start` or `resume`; changed in place.
    dataset : Dataset
    out : Path
        The result folder.
    jobs : int
        Parallel processes at most.

    Raises
    ------
    DivergenceError
        From the run that diverged; runs that had finished are in the result.
    """
    joblib = machine.require("joblib")
    recorded = result.content["dataset"]["checksums"]
    if dataset.checksums != recorded:
        raise DataError(
            f"{out}: expected the data set that this result was begun with ({recorded}), "
            f"found {dataset.name} from {dataset.source} ({dataset.checksums})"
        )
    done = {(run["c"], run["seed"]) for run in result.runs}
    cells = [(c, s) for s in range(config.seeds) for c in config.c if (c, s) not in done]
    jobs = min(jobs, len(cells)) or 1
    threads = result.content["environment"]["blas_threads"]
    began, spent = time.perf_counter(), result.content["duration_s"]
    with progress(len(cells) * config.tasks * config.epochs, config.tasks, jobs > 1) as report:
        work = (
            joblib.delayed(run_cell)(config, c, s, dataset, out, threads, report) for c, s in cells
        )
        for run in joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)(work):
            result.runs.append(run)
            result.runs.sort(key=lambda r: (r["c"], r["seed"]))
            result.content["duration_s"] = spent + time.perf_counter() - began
            result.content["complete"] = len(result.runs) == len(config.c) * config.seeds
            result.save(out)
            checkpoint_of(config, run["c"], run["seed"], out, threads).remove()
    if (out / "checkpoints").exists() and not any((out / "checkpoints").iterdir()):
        (out / "checkpoints").rmdir()


@contextmanager
def progress(total, tasks, parallel):
    """A progress bar that is told of every epoch; by other processes, through a queue."""
    tqdm = machine.require("tqdm").tqdm
    with (
        tqdm(total=total, unit="epoch") as bar,
        Manager() if parallel else nullcontext() as manager,
    ):

        def show(event):
            c, seed, task, epoch = event
            bar.set_postfix_str(f"c={c:g} seed={seed} task={task}/{tasks} epoch={epoch}", False)
            bar.update()

        if not parallel:
            yield show
            return
        queue = manager.Queue()
        reader = threading.Thread(target=lambda: [show(event) for event in iter(queue.get, None)])
        reader.start()
        try:
            yield queue.put
        finally:
            queue.put(None)
            reader.join()


def default_out(name, folder="results"):
    """A new folder's name, after the experiment and the time."""
    return Path(folder) / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
