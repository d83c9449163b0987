"""The command line: pysi run | sweep | landscape | figure | report | theory | data."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from pysi.backend.arrays import device_namespace
from pysi.backend.compiled import compiled
from pysi.cli.console import console
from pysi.cli.landscape import compare, draw_overview
from pysi.cli.options import parser
from pysi.cli.report import write_report
from pysi.data import fetch, status
from pysi.errors import ConfigError, PysiError
from pysi.experiments import machine, overview
from pysi.experiments.cell import all_cells
from pysi.experiments.outcomes import run_cell
from pysi.experiments.parallel import connect
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result, key
from pysi.experiments.run import default_out, execute, start
from pysi.experiments.run import resume as resumed
from pysi.experiments.sweep import Sweep, sweep_cells, validate
from pysi.figures import draw
from pysi.theory import claims
from pysi.theory.checks import table


def check_options(
    settings: dict[str, Any], *, sweep: bool, resume: Path | None, out: Path | None,
    csv: Path | None, jobs: int | None, preset: str | None, dask: str | None, vectorise: bool,
) -> None:  # fmt: skip
    """Raise a ConfigError for options that are wrong, or do not go together."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: expected a whole number from 1, found {jobs}")
    if dask and jobs:
        raise ConfigError("--dask uses all workers of the cluster: give no --jobs with it")
    if dask and vectorise:
        raise ConfigError("--vectorise is for one machine: give no --dask with it")
    if resume and (out or preset or vectorise):
        raise ConfigError(
            "--resume continues what it finds, as it was begun: give no --out, --preset or "
            "--vectorise with it"
        )
    if csv and (csv.is_dir() or not csv.parent.is_dir()):
        raise ConfigError(f"csv: expected a file in an existing folder, found {csv}")
    if sweep and resume and "methods" in settings:
        raise ConfigError("methods: a sweep has one method: start another sweep, without --resume")


def require_matplotlib() -> None:
    """Import Matplotlib, which here only writes files, or say how to get it."""
    if "matplotlib" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"  # Jupyter's may name a backend that is not installed
    machine.require("matplotlib")


def draw_figures(result: Result, folder: Path) -> list[Path]:
    """Write the figures of a result and return their paths; report what Matplotlib lacks."""
    require_matplotlib()
    try:
        return draw(result, folder)
    except PysiError:
        raise
    except (OSError, RuntimeError, ValueError) as err:  # such as a LaTeX that is not installed
        raise PysiError(
            f"figures: expected Matplotlib to draw them, found {type(err).__name__}: "
            f"{str(err).strip().splitlines()[0]}. The result is complete and saved: once this is "
            "fixed, `pysi figure` draws it."
        ) from err


def run(
    experiment: str, *, sweep: bool = False, resume: Path | None = None, out: Path | None = None,
    csv: Path | None = None, data: str | None = None, jobs: int | None = None,
    preset: str | None = None, dask: str | None = None, vectorise: bool = False, **settings: Any,
) -> None:  # fmt: skip
    """`pysi run` and `pysi sweep`: train, save, draw, and print the table."""
    check_options(
        settings, sweep=sweep, resume=resume, out=out, csv=csv, jobs=jobs, preset=preset, dask=dask,
        vectorise=vectorise,
    )  # fmt: skip
    kind, protocol = Sweep if sweep else Result, PROTOCOLS[experiment]
    xi = settings.pop("xi", None) if sweep else None
    if resume:
        out = resume
        result, config = resumed(out, experiment=experiment, kind=kind, **settings)
    else:
        chosen_for = {"methods": protocol.swept} if sweep else protocol.fitting(settings)
        config = protocol(**chosen_for | protocol.presets[preset or "full"] | settings)
        out = out or default_out(f"{experiment}{'-sweep' if sweep else ''}")
    require_matplotlib()  # before any work
    # a GPU is used by one process
    cores = machine.require("joblib").cpu_count() if config.device == "numpy" else 1
    if sweep:
        xi = xi or (result.content["xi"] if resume else [config.xi])
    cells = sweep_cells(config, xi or []) if sweep else all_cells(config)
    if dask is not None:
        with connect(dask):  # so that what is wrong with it shows before a folder is made
            pass
    name = result.content["dataset"]["name"] if resume else config.dataset
    dataset = config.load_dataset(name, data)
    if sweep:
        dataset = dataset.hold_out()
    if not resume:
        more = {"xi": xi, "chosen": None} if sweep else {}
        result = start(
            config, dataset, out, cells, kind=kind, jobs=jobs or cores, vectorise=vectorise,
            threads=1 if dask else None, **more,
        )  # fmt: skip
    elif sweep:
        result.content["xi"] = xi
    print(f"{dataset.name} from {dataset.source}; results go to {out}")
    jobs = jobs or max(1, cores // result.threads)
    try:
        work = validate if sweep else run_cell
        execute(cells, result, dataset, out, work=work, jobs=jobs, cluster=dask)
    except BaseException:
        finished = {cell.key for cell in cells} & set(map(key, result.runs))
        print(
            f"\nStopped: {len(finished)} of {len(cells)} runs are finished and saved. "
            f"Continue with\n    pysi {kind.command} {experiment} --resume {out}"
            + (f" --dask {dask}" if dask else ""),
            file=sys.stderr,
        )
        raise
    print(f"\n{result.table()}\n")
    paths = [out / kind.file]
    if csv:
        paths.append(result.write_csv(csv))
    paths += draw_figures(result, out)
    print(f"written: {', '.join(map(str, paths))}")


def redraw(path: Path, out: Path | None) -> list[Path]:
    """`pysi figure`: draw a result, or a landscape, and return the paths."""
    found, folder = overview.read(path), out or overview.file_in(path).parent
    if isinstance(found, overview.Overview):
        require_matplotlib()
        return draw_overview(found, folder)
    return draw_figures(found, folder)


def check_theory(seed: int, device: str) -> int:
    """`pysi theory`: print predictions beside measurements; return 1 if a pair disagrees."""
    machine.require("scipy")
    if seed < 0:
        raise ConfigError(f"seed: expected a whole number from 0, found {seed}")
    checks = claims.run(seed, device_namespace(device))
    failed = sum(not check.passed for check in checks)
    print(f"{table(checks)}\n\n{len(checks) - failed} of {len(checks)} agree")
    return 1 if failed else 0


def show_data(data: str | None) -> None:
    """`pysi data status`: print every place of every data set, and the state it is in."""
    for row in status(data):
        if row.path is None:
            print(f"{row.dataset:<9} {row.place}: {row.state}")
            continue
        state = row.state.replace("\n", f"\n{'':<9} ")
        print(f"{row.dataset:<9} {row.place}: {row.path}\n{'':<9} {state}")


@contextmanager
def stopped_by_signals(*, ends: bool) -> Iterator[None]:
    """Let SIGTERM end the work in order, as Ctrl-C does, and with exit status 143.

    A second signal changes nothing, because some senders repeat it. Nor does one that comes in the
    last moments of a process that `ends` after this context.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # a job in the background of a shell ignores Ctrl-C, and continues to do so
    before = {n: handler for n, handler in handlers.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        if not (stopped and ends):
            for number, handler in before.items():
                signal.signal(number, handler)


@console()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    It is 1 for an error or a failed check, 2 for bad settings, 130 or 143 if it was stopped, and
    141 if nobody reads the output any more.
    """
    with stopped_by_signals(ends=arguments is None):
        return obey(arguments)


def obey(arguments: Sequence[str] | None) -> int:
    """Do what a command line says, and return its exit status; see `main`."""
    args = vars(parser().parse_args(arguments))
    command = args.pop("command")
    try:
        if command in ("run", "sweep"):
            with compiled(False) if args.pop("no_compile", False) else nullcontext():
                run(args.pop("experiment"), sweep=command == "sweep", **args)
        elif command == "landscape":
            compare(args.pop("experiment"), **args)
        elif command == "figure":
            print("\n".join(map(str, redraw(args["result"], args["out"]))))
        elif command == "report":
            require_matplotlib()
            print(write_report(args["result"], args["out"]))
        elif command == "theory":
            return check_theory(args["seed"], args["device"])
        elif args["action"] == "status":
            show_data(args["data"])
        else:
            for name in args["names"]:
                print(fetch(name, force=args["force"]))
    except PysiError as err:
        print(f"pysi: {err}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    return 0
