"""What the command line understands: its subcommands and their options."""

import argparse
from pathlib import Path

from pysi import __version__
from pysi.data.catalogue import CATALOGUE
from pysi.experiments.protocols import PROTOCOLS

SETTINGS = {
    "methods": dict(nargs="+", help="what to compare"),
    "c": dict(type=float, nargs="+", help="strengths of Synaptic Intelligence; 0 is fine-tuning"),
    "ewc_c": dict(type=float, nargs="+", help="strengths of EWC, λ/2"),
    "seeds": dict(type=int, help="number of repetitions"),
    "epochs": dict(type=int, help="epochs a task"),
    "xi": dict(type=float, help="damping ξ of Eq. 5"),
    "clamp": dict(help="where negative importance is cut off: cumulative, per_task or none"),
    "tasks": dict(type=int, help="number of tasks that share out the classes"),
    "hidden": dict(type=int, nargs="+", help="units of the hidden layers"),
    "reset_optimizer": dict(
        action=argparse.BooleanOptionalAction, help="whether Adam is reset between tasks"
    ),
    "dtype": dict(help="float32 or float64"),
    "device": dict(help="numpy or cupy"),
    "tf32": dict(action="store_true", help="whether a GPU may round to TF32, which is faster"),
    "dataset": dict(help="which data set"),
    "examples": dict(type=int, help="training examples of a task at most"),
}

SWEPT = ("si",)
"""Whose settings `pysi sweep` chooses, if not told otherwise."""


def add_experiments(command, settings, **defaults):
    """A subcommand for every experiment, with its settings as options; returns their parsers.

    `defaults` are shown in place of the protocol's.
    """
    experiments = command.add_subparsers(dest="experiment", required=True)
    found = []
    for name, protocol in PROTOCOLS.items():
        sub = experiments.add_parser(
            name, help=protocol.__doc__.splitlines()[0], argument_default=argparse.SUPPRESS
        )
        for setting, options in settings.items():
            unused = setting == "ewc_c" and "ewc" not in protocol.offers
            if unused or not hasattr(protocol, setting):
                continue
            if names := {"methods": protocol.offers, "dataset": protocol.datasets}.get(setting):
                options = options | {"help": f"{options['help']}, of {' '.join(names)}"}
            default = defaults.get(setting, getattr(protocol, setting))
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
            options = options | {"help": f"{options['help']} (default: {shown})"}
            if "action" not in options:
                options["metavar"] = setting.upper()
            sub.add_argument(f"--{setting.replace('_', '-')}", **options)
        sub.add_argument("--preset", choices=protocol.presets, help="full (default) or quick")
        sub.add_argument("--data", metavar="DIR", help="folder of data sets (default: $PYSI_DATA)")
        sub.add_argument("--out", metavar="DIR", type=Path, help="new result folder")
        sub.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
        sub.add_argument("--resume", metavar="DIR", type=Path, help="run what is missing in DIR")
        sub.add_argument(
            "--vectorise", action="store_true", help="train all seeds and values of c side by side"
        )
        found.append(sub)
    return found


def parser():
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(prog="pysi", description="Synaptic Intelligence in NumPy.")
    top.add_argument("--version", action="version", version=f"pysi {__version__}")
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run an experiment of the paper")
    add_experiments(run, SETTINGS)
    sweep = commands.add_parser("sweep", help="choose c and ξ on held-out training data")
    grid = {
        "methods": dict(nargs=1, help="what to choose for: si, ewc or online-ewc"),
        "xi": SETTINGS["xi"] | {"nargs": "+"},
    }
    for sub in add_experiments(sweep, SETTINGS | grid, methods=SWEPT):
        sub.add_argument("--dask", metavar="ADDRESS", help="run on the cluster of this scheduler")

    figure = commands.add_parser("figure", help="redraw the figure of a result")
    figure.add_argument("result", metavar="RESULT", type=Path, help="result folder or file")
    figure.add_argument("--out", metavar="DIR", type=Path, help="folder (default: beside RESULT)")

    theory = commands.add_parser("theory", help="check every equation of the paper numerically")
    theory.add_argument("--seed", type=int, default=0, help="of all random examples (default: 0)")
    theory.add_argument("--device", default="numpy", help="numpy (default) or cupy")

    data = commands.add_parser("data", help="look for data sets, or download them")
    actions = data.add_subparsers(dest="action", required=True)
    look = actions.add_parser("status", help="where data sets are, and whether they are intact")
    look.add_argument("--data", metavar="DIR", help="folder of data sets (default: $PYSI_DATA)")
    get = actions.add_parser("fetch", help="download, verify and keep in the cache")
    get.add_argument(
        "names", nargs="*", default=["mnist"], metavar="NAME",
        help=f"some of {' '.join(CATALOGUE)} (default: mnist)",
    )  # fmt: skip
    get.add_argument("--force", action="store_true", help="download again what is there")
    return top
