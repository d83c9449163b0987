"""What the command line understands: its subcommands and their options."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pysi import __version__
from pysi.data.catalogue import CATALOGUE
from pysi.experiments.methods import METHODS
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS

GRID: dict[str, dict[str, Any]] = {
    "methods": {"nargs": 1, "help": "the method whose settings are chosen"},
    "xi": {"nargs": "+"},
}
"""How the options of a sweep differ from those of a run."""

KINDS = {int: "a whole number", float: "a number", str: "a word"}


def value(kind: type, several: bool) -> Callable[[str], Any]:
    """Return a function that reads one value of an option, which may take several."""

    def read(text: str) -> Any:
        if several and "," in text:
            apart = " ".join(text.replace(",", " ").split())
            raise argparse.ArgumentTypeError(
                f"expected spaces between values, found {text!r}: write {apart}"
            )
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {KINDS[kind]}, found {text!r}") from None

    return read


def folder(text: str) -> Path:
    """Return a path; "~" is expanded here, because a shell leaves that of --out=~/folder alone."""
    return Path(os.path.expanduser(text))


def options_of(protocol: type[Protocol], *, sweep: bool = False) -> dict[str, dict[str, Any]]:
    """Return the settings of an experiment as options: argparse's arguments by setting."""
    offered = {name: METHODS[name].strengths for name in protocol.offers()}
    able = [name for name in offered if METHODS[name].swept or not sweep]
    values: dict[str, Any] = {"methods": able, "dataset": protocol.datasets}
    values["scenario"], found = protocol.scenarios, {}
    for name, how in protocol.options().items():
        if name in protocol.lists("strengths") and name not in offered.values():
            continue
        how = how | (GRID.get(name, {}) if sweep else {})
        if "action" not in how:
            how["type"] = value(how.get("type", str), how.get("nargs") == "+")
        default = protocol.swept if sweep and name == "methods" else getattr(protocol, name)
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        which = "some of" if how.get("nargs") == "+" else "one of"
        of = f"; {which} {' '.join(values[name])}" if name in values else ""
        found[name] = how | {"help": f"{how['help']}{of} (default: {shown or 'none'})"}
    return found


def add_experiments(command: argparse.ArgumentParser, *, sweep: bool = False) -> list:
    """Add a subcommand for every experiment, with its settings as options; return their parsers."""
    experiments = command.add_subparsers(dest="experiment", required=True)
    found = []
    for name, protocol in PROTOCOLS.items():
        sub = experiments.add_parser(
            name, help=protocol.__doc__.splitlines()[0], argument_default=argparse.SUPPRESS
        )
        for setting, options in options_of(protocol, sweep=sweep).items():
            if "action" not in options:
                options["metavar"] = setting.upper()
            sub.add_argument(f"--{setting.replace('_', '-')}", **options)
        sub.add_argument(
            "--no-reset-optimizer", dest="reset_optimizer", action="store_const", const=False,
            help="keep all of Adam's state between tasks",
        )  # fmt: skip
        sub.add_argument("--preset", choices=protocol.presets, help="settings (default: full)")
        sub.add_argument("--data", metavar="DIR", help="folder of data sets (default: $PYSI_DATA)")
        sub.add_argument("--out", metavar="DIR", type=folder, help="new result folder")
        sub.add_argument(
            "--jobs", type=value(int, False), metavar="N", help="processes (default: one per core)"
        )
        sub.add_argument("--resume", metavar="DIR", type=folder, help="run what is missing in DIR")
        sub.add_argument(
            "--csv", metavar="FILE", type=folder, help="also write the result's rows to FILE"
        )
        sub.add_argument(
            "--vectorise", action="store_true", help="train all seeds and values of c side by side"
        )
        sub.add_argument(
            "--no-compile", action="store_true", help="run formulas without Numba, if installed"
        )
        found.append(sub)
    return found


def add_landscapes(command: argparse.ArgumentParser) -> None:
    """Add a subcommand for the landscape of every experiment."""
    experiments = command.add_subparsers(dest="experiment", required=True)
    for name, protocol in PROTOCOLS.items():
        sub = experiments.add_parser(
            name, help=protocol.__doc__.splitlines()[0], argument_default=argparse.SUPPRESS
        )
        whole, preset = value(int, False), protocol.landscape
        offered: dict[str, dict[str, Any]] = {
            "--methods": {"nargs": "+", "help": "what to compare (default: all that fit)"},
            "--scenarios": {"nargs": "+", "help": f"some of {' '.join(protocol.scenarios)}"},
            "--seeds": {"type": whole, "help": "repetitions (default: 10)"},
            "--sweep-seeds": {"type": whole, "help": "seeds per strength, in sweeps (default: 2)"},
            "--preset": {"choices": protocol.presets, "help": f"settings (default: {preset})"},
            "--dataset": {"help": f"one of {' '.join(protocol.datasets)}"},
            "--epochs": {"type": whole, "help": "epochs per task"},
            "--data": {"metavar": "DIR", "help": "folder of data sets (default: $PYSI_DATA)"},
            "--out": {"metavar": "DIR", "type": folder, "help": "new folder"},
            "--resume": {"metavar": "DIR", "type": folder, "help": "run what is missing in DIR"},
            "--jobs": {"type": whole, "help": "processes (default: one per core)"},
            "--dask": {"metavar": "ADDRESS", "help": "run on the cluster of this scheduler"},
        }
        for option, how in offered.items():
            sub.add_argument(option, **how)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(prog="pysi", description="Synaptic Intelligence in NumPy.")
    top.add_argument("--version", action="version", version=f"pysi {__version__}")
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run an experiment of the paper")
    add_experiments(run)
    sweep = commands.add_parser("sweep", help="choose c and ξ on held-out training data")
    for sub in add_experiments(sweep, sweep=True):
        sub.add_argument("--dask", metavar="ADDRESS", help="run on the cluster of this scheduler")

    land = commands.add_parser("landscape", help="compare all methods in all scenarios")
    add_landscapes(land)

    figure = commands.add_parser("figure", help="redraw the figure of a result")
    figure.add_argument("result", metavar="RESULT", type=folder, help="result folder or file")
    figure.add_argument("--out", metavar="DIR", type=folder, help="folder (default: beside RESULT)")

    report = commands.add_parser("report", help="write a report as one HTML file")
    report.add_argument(
        "result", metavar="DIR", type=folder,
        help="folder, or file, of a result, a sweep or a landscape",
    )  # fmt: skip
    report.add_argument("--out", metavar="FILE", type=folder, help="(default: report.html in DIR)")

    theory = commands.add_parser("theory", help="check every equation of the paper numerically")
    theory.add_argument(
        "--seed", type=value(int, False), default=0, help="seed of all random examples (default: 0)"
    )
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
    get.add_argument("--force", action="store_true", help="download even if it is there")
    return top
