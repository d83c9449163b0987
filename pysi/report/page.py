"""A result, a sweep or a landscape as one HTML file: what it lacks first, and then what it says."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pysi.errors import PysiError
from pysi.experiments.overview import Overview
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.sweep import Sweep
from pysi.figures.landscape import figure_landscape
from pysi.report import tables
from pysi.report.command import deviations
from pysi.report.frame import bullets, classed, document, folded, paragraph, picture
from pysi.report.problems import problems
from pysi.report.provenance import again, environment, origin, setting_tables
from pysi.report.table import Table
from pysi.report.wording import named, numbers, several
from pysi.scenarios import SCENARIOS

SIGNS = {"yes": "✓", "partly": "◐", "no": "✗", "undecided": "?", "not run": "–"}
"""The sign before an answer, so that it can be found at a glance without any colour."""


def page(found: Any, name: str, sha256: str, folder: Path | None = None) -> str:
    """Return the report.

    Parameters
    ----------
    found : Result, Sweep or Overview
    name, sha256 : str
        The name of its file, and the file's checksum.
    folder : Path, optional
        The folder of the file, where a landscape's plan may be.

    Returns
    -------
    str
        HTML. The same file gives the same text, with the same versions of pysi and Matplotlib.
    """
    lacking = problems(found, folder)
    sections = [("Missing, or unusual", bullets(lacking) or paragraph(
        "Every run that the settings ask for is here, and nothing is unusual."
    ))]  # fmt: skip
    kind = "landscape" if isinstance(found, Overview) else found.command
    sections += {"run": of_result, "sweep": of_sweep, "landscape": of_landscape}[kind](found)
    sections += [("Settings", setting_tables(found)), ("Environment", environment(found))]
    sections += [
        ("Command", again(found)),
        ("Citing and checking", origin(found, name, sha256)),
    ]
    title = f"{found.content['experiment']}: report of a {'result' if kind == 'run' else kind}"
    return document(title, lead(found), sections)


def lead(found: Any) -> str:
    """Return what was run, on what, when and by which version, in a few sentences."""
    content = found.content
    protocol, data = PROTOCOLS.get(content["experiment"]), content["dataset"]
    made = content["environment"].get("pysi", "of an unknown version")
    doc = (protocol.__doc__ or "").strip().splitlines() if protocol else []
    sentences = [*doc[:1], f"It was run with pysi {made} on {data['name']}, {data['n_train']:,} "
                 f"training examples and {data['n_test']:,} for the test."]  # fmt: skip
    if isinstance(found, Overview):
        told = [f"{name}: {SCENARIOS[name]}; chance {scenario['chance']:g}"
                for name, scenario in found.scenarios.items()]  # fmt: skip
        seeds = {seed for name in found.scenarios for row in found.rows(name).values()
                 for seed in row["seeds"]}  # fmt: skip
        many = (f"{several(len(found.methods()), 'method')} in {several(len(told), 'scenario')}, "
                f"seeds {numbers(seeds)}.")  # fmt: skip
        return paragraph(" ".join([*sentences, many])) + bullets(f"{each}." for each in told)
    names, seeds = content["task_names"], {run["seed"] for run in found.runs}
    if isinstance(found, Sweep):
        sentences[-1] = sentences[-1].replace("for the test", "that were held out from them")
    sentences += [
        f"{several(len(names), 'task')}, {several(content['config']['epochs'], 'epoch')} per task; "
        f"{several(len(found.runs), 'finished run')} of {several(len(found.curves()), 'curve')}"
        + (f", seeds {numbers(seeds)}" if seeds else "")
        + (f"; begun {content['started']}." if "started" in content else "."),
        f"The scenario is {content['scenario']}. Chance is {content['chance']:g}.",
    ]
    return paragraph(" ".join(sentences))


def of_result(result: Any) -> Iterator[tuple[str, str]]:
    """Return the sections of a result: verdicts, figures, tables."""
    if not result.runs:
        return
    yield "Verdicts", verdicts(result)
    yield "Figures", "".join(figure(name, make, result) for name, make in result.figures.items())
    made = [tables.finals(result), tables.after_each(result), tables.by_task(result),
            tables.by_task(result, "train"), tables.differences(result)]  # fmt: skip
    yield "Accuracy", "".join(table.html() for table in made if table.rows)
    matrices = "".join(table.html() for table in tables.matrices(result))
    alike, losses = tables.correlations(result), tables.losses(result)
    yield "Importances", alike.html() if alike.rows else ""
    yield (
        "Details",
        folded("Accuracy matrices: each task, after each task", matrices)
        + folded("Losses and penalties", losses.html() if losses.rows else ""),
    )


def verdicts(result: Any) -> str:
    """Return the paper's claims, each with what the result says about it; nothing if none."""
    table = tables.verdicts(result)
    if not table.rows:
        return ""
    count = Counter(answer for *_, answer, _ in table.rows)
    sentence = "Of " + several(len(table.rows), "verdict") + ", " + ", ".join(
        f"{count[answer]} {'is' if count[answer] == 1 else 'are'} “{answer}”"
        for answer in SIGNS if count[answer]
    ) + "."  # fmt: skip
    about = [
        "An answer is yes or no only if the whole 95 % interval (Student's t over seeds) lies on "
        "one side, and partly if parts of a claim differ in this. A single seed decides nothing."
    ]
    try:
        data = result.protocol.datasets.get(result.content["dataset"]["name"])
        if data or deviations(result.content, result.content["config"]):
            about.append("The settings or data are not those of the paper, as said above: a "
                         "verdict is about these, not about the paper.")  # fmt: skip
    except PysiError as err:
        about.append(f"Whether the settings are those of the paper is unknown: {err}.")
    claim, criterion, of, here, answer, n = range(6)
    order = (claim, answer, n, of, here, criterion)
    rows = []
    for row in table.rows:
        cells = list(row)
        cells[answer] = f"{SIGNS[row[answer]]} {row[answer]}"
        cells[here] = re.sub(r"\[(\S+), ", "[\\1,\xa0", row[here])  # no line ends within one
        rows.append([cells[i] for i in order])
    shown = replace(table, head=[table.head[i] for i in order], rows=rows)
    return paragraph(sentence) + classed("prose", shown.html()) + paragraph(" ".join(about))


def of_sweep(sweep: Any) -> Iterator[tuple[str, str]]:
    """Return the sections of a sweep: what was chosen and why, the figure, the grid."""
    if not sweep.runs:
        return
    yield "Choice", paragraph(" ".join(choice(sweep.choose())))
    yield "Figures", "".join(figure(name, make, sweep) for name, make in sweep.figures.items())
    yield "Grid", tables.points(sweep).html()


def choice(chosen: Mapping[str, Any]) -> Iterator[str]:
    """Say what a sweep has chosen, and how clear the choice is."""
    point = named((chosen["method"], chosen["c"], chosen["xi"]))
    error = "" if chosen["sem"] is None else f" ± {chosen['sem']:.4f}"
    yield (
        f"The best point is {point}: its accuracy on held-out training data is "
        f"{chosen['validation_accuracy']:.4f}{error} ({several(chosen['seeds'], 'seed')})."
    )
    if chosen["next_best"] is not None:
        yield f"The next best point has {chosen['next_best']:.4f}."
    if chosen["within_one_sem"] is not None:
        near = several(chosen["within_one_sem"], "other point")
        yield f"Within one SEM of the best there are {near}."
    for name in chosen["at_the_edge_of"]:
        yield f"The chosen {name} is at the edge of the grid: a better one may lie outside."


def of_landscape(overview: Overview) -> Iterator[tuple[str, str]]:
    """Return the sections of a landscape: the figure, the table, the strengths and the sweeps."""
    if not overview.scenarios:
        return
    yield "Figures", figure("landscape", figure_landscape, overview)
    yield "Accuracy", tables.landscape(overview).html()
    parts = []
    for scenario, content in overview.scenarios.items():
        sweeps = "".join(grid(sweep, scenario) for sweep in content["sweeps"].values())
        parts.append(folded(f"Sweeps in the scenario {scenario}", sweeps))
    yield "Strengths", "".join(parts)


def grid(sweep: Mapping[str, Any], scenario: str) -> str:
    """Return what a strength of a landscape was chosen from."""
    method, chosen = sweep["method"], sweep["chosen"] or {}
    rows = [
        [tables.title((method, c)), str(len(values)), tables.mean(values),
         "chosen" if c == chosen.get("c") else ""]
        for c, values in sweep["points"]
    ]  # fmt: skip
    head = ["method", "seeds", "held-out accuracy", ""]
    table = Table(head, rows, f"{method} in the scenario {scenario}, held-out training data")
    return table.html() + paragraph(" ".join(choice(chosen) if chosen else []))


def figure(name: str, make: Callable[[Any], Any], result: Any) -> str:
    """Return a figure; nothing if the result lacks what it shows, and a sentence if it fails.

    Its caption is the first line of its function's docstring.
    """
    function = make.func if isinstance(make, partial) else make
    doc = (function.__doc__ or "").strip().splitlines()
    caption = doc[0].removeprefix("Draw ") if doc else name
    caption = caption[0].upper() + caption[1:]
    if isinstance(make, partial):
        caption = f"{caption.rstrip('.')} ({', '.join(map(str, make.keywords.values()))})."
    try:
        fig = make(result)
        return "" if fig is None else picture(fig, caption)
    except (PysiError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError) as err:
        return paragraph(f"{caption} It could not be drawn: {type(err).__name__}: {err}")
