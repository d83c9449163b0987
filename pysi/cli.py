"""The command line: pysi run | figure | theory | data."""

import argparse
import sys
from pathlib import Path

from pysi import __version__
from pysi.data import fetch, load_dataset, status
from pysi.errors import ConfigError, PysiError
from pysi.experiments import machine
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result
from pysi.experiments.run import default_out, execute, resume, start
from pysi.figures import draw
from pysi.theory import claims
from pysi.theory.checks import table

SETTINGS = {
    "c": dict(type=float, nargs="+", help="strengths of consolidation to compare"),
    "seeds": dict(type=int, help="number of repetitions"),
    "epochs": dict(type=int, help="epochs a task"),
    "xi": dict(type=float, help="damping ξ of Eq. 5"),
    "clamp": dict(help="where negative importance is cut off: cumulative, per_task or none"),
    "tasks": dict(type=int, help="number of tasks that share out the classes"),
    "dtype": dict(help="float32 or float64"),
    "device": dict(help="numpy or cupy"),
    "dataset": dict(help="mnist, or mnist-5k for the small embedded subset"),
}


def parser():
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(prog="pysi", description="Synaptic Intelligence in NumPy.")
    top.add_argument("--version", action="version", version=f"pysi {__version__}")
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run an experiment of the paper")
    experiments = run.add_subparsers(dest="experiment", required=True)
    for name, protocol in PROTOCOLS.items():
        sub = experiments.add_parser(
            name, help=protocol.__doc__.splitlines()[0], argument_default=argparse.SUPPRESS
        )
        for setting, options in SETTINGS.items():
            default = getattr(protocol, setting)
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
            options = options | {"help": f"{options['help']} (default: {shown})"}
            sub.add_argument(f"--{setting}", metavar=setting.upper(), **options)
        sub.add_argument("--data", metavar="DIR", help="folder with mnist/ (default: $PYSI_DATA)")
        sub.add_argument("--out", metavar="DIR", type=Path, help="new result folder")
        sub.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
        sub.add_argument("--resume", metavar="DIR", type=Path, help="run what is missing in DIR")

    figure = commands.add_parser("figure", help="redraw the figure of a result")
    figure.add_argument("result", metavar="RESULT", type=Path, help="result folder or file")
    figure.add_argument("--out", metavar="DIR", type=Path, help="folder (default: beside RESULT)")

    theory = commands.add_parser("theory", help="check every equation of the paper numerically")
    theory.add_argument("--seed", type=int, default=0, help="of all random examples (default: 0)")

    data = commands.add_parser("data", help="look for data sets, or download them")
    actions = data.add_subparsers(dest="action", required=True)
    look = actions.add_parser("status", help="where data sets are, and whether they are intact")
    look.add_argument("--data", metavar="DIR", help="folder with mnist/ (default: $PYSI_DATA)")
    get = actions.add_parser("fetch", help="download, verify and keep in the cache")
    get.add_argument("names", nargs="*", default=["mnist"], metavar="NAME", help="(default: mnist)")
    get.add_argument("--force", action="store_true", help="download again what is there")
    return top


def run(experiment, *, data=None, out=None, jobs=None, resume_from=None, **settings):
    """`pysi run`: train, save, draw, and print the table."""
    cores = machine.require("joblib").cpu_count()
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: expected a whole number from 1, found {jobs}")
    if resume_from is None:
        config = PROTOCOLS[experiment](**settings)
        out = out or default_out(experiment)
        dataset = load_dataset(config.dataset, data)
        result = start(config, dataset, out, jobs=jobs or cores)
    else:
        if settings or out:
            raise ConfigError("--resume continues with the settings that it finds: give no others")
        out = resume_from
        result, config = resume(out)
        dataset = load_dataset(result.content["dataset"]["name"], data)
    print(f"{dataset.name} from {dataset.source}; results go to {out}")
    jobs = jobs or max(1, cores // result.content["environment"]["blas_threads"])
    try:
        execute(config, result, dataset, out, jobs=jobs)
    except BaseException:
        total = len(config.c) * config.seeds
        print(
            f"\nStopped: {len(result.runs)} of {total} runs are finished and saved. Continue with\n"
            f"    pysi run {experiment} --resume {out}",
            file=sys.stderr,
        )
        raise
    paths = draw(result, out)
    print(f"\n{result.table()}\n\nwritten: {out / 'result.json'}, {out / 'synapses'}/, ", end="")
    print(", ".join(str(path) for path in paths))


def check_theory(seed):
    """`pysi theory`: the table of predictions and measurements; 1 if one disagrees."""
    machine.require("scipy")
    if seed < 0:
        raise ConfigError(f"seed: expected a whole number from 0, found {seed}")
    checks = claims.run(seed)
    failed = sum(not check.passed for check in checks)
    print(f"{table(checks)}\n\n{len(checks) - failed} of {len(checks)} agree")
    return 1 if failed else 0


def show_data(data):
    """`pysi data status`: one line a place."""
    for row in status(data):
        print(f"{row.place:<10} {row.path}\n{'':<10} {row.state}")


def main(arguments=None):
    """Entry point. Exit status: 1 for an error or failed check, 2 for bad settings, 130 stopped."""
    args = vars(parser().parse_args(arguments))
    command = args.pop("command")
    try:
        if command == "run":
            run(args.pop("experiment"), resume_from=args.pop("resume", None), **args)
        elif command == "figure":
            result = Result.load(args["result"])
            beside = args["result"] if args["result"].is_dir() else args["result"].parent
            print("\n".join(str(path) for path in draw(result, args["out"] or beside)))
        elif command == "theory":
            return check_theory(args["seed"])
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
