"""A result, a sweep or a landscape as one HTML file: what it lacks first, and then what it says."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pysi
from pysi.errors import PysiError
from pysi.experiments.overview import Overview
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.sweep import Sweep
from pysi.figures.landscape import figure_landscape
from pysi.report import tables
from pysi.report.command import command, deviations, settings, words
from pysi.report.frame import bullets, classed, code, document, folded, paragraph, picture
from pysi.report.problems import compiled, kernels, named, numbers, problems, several
from pysi.report.table import Table
from pysi.scenarios import SCENARIOS

SIGNS = {"yes": "✓", "partly": "◐", "no": "✗", "undecided": "?", "not run": "–"}
"""What stands before an answer, so that it can be found at a glance without any colour."""

PAPER = (
    "F. Zenke, B. Poole and S. Ganguli. Continual Learning Through Synaptic Intelligence. "
    "Proceedings of the 34th International Conference on Machine Learning, PMLR 70:3987–3995, 2017."
)


def page(found: Any, name: str, sha256: str, folder: Path | None = None) -> str:
    """Return the report.

    Parameters
    ----------
    found : Result, Sweep or Overview
    name, sha256 : str
        The name of its file, and the checksum of that.
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
        ("Again: the command", again(found)),
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
    sentences = [*doc[:1], f"It was run with pysi {made} on {data['name']}, {data['n_train']} "
                 f"training examples and {data['n_test']} for the test."]  # fmt: skip
    if isinstance(found, Overview):
        told = [f"{name}: {SCENARIOS[name]}; chance {scenario['chance']:g}"
                for name, scenario in found.scenarios.items()]  # fmt: skip
        many = f"{several(len(found.methods()), 'method')} in {several(len(told), 'scenario')}."
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
    losses = tables.losses(result)
    yield (
        "Details",
        folded("Accuracy matrices: each task, after each task", matrices)
        + folded("Losses and penalties", losses.html() if losses.rows else ""),
    )


def verdicts(result: Any) -> str:
    """Return the paper's claims, each with what the result says of it; nothing without claims."""
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
        if deviations(result.content, result.content["config"]):
            about.append("The settings are not those of the paper, as said above: a verdict is "
                         "about these settings, not about the paper.")  # fmt: skip
    except PysiError as err:
        about.append(f"Whether the settings are those of the paper is unknown: {err}.")
    claim, criterion, of, here, answer, n = range(6)
    order = (claim, answer, n, of, here, criterion)
    rows = [[row[i] if i != answer else f"{SIGNS[row[i]]} {row[i]}" for i in order]
            for row in table.rows]  # fmt: skip
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
        caption += f" ({', '.join(map(str, make.keywords.values()))})"
    try:
        fig = make(result)
        return "" if fig is None else picture(fig, caption)
    except (PysiError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError) as err:
        return paragraph(f"{caption} It could not be drawn: {type(err).__name__}: {err}")


def setting_tables(found: Any) -> str:
    """Return the settings beside those of the full protocol; of a landscape, by scenario."""
    if isinstance(found, Overview):
        return "".join(
            folded(
                f"Settings in the scenario {name}", setting_table(found.content, scenario["config"])
            )
            for name, scenario in found.scenarios.items()
        )
    return setting_table(found.content, found.content["config"])


def setting_table(content: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return all settings, beside those of the full protocol where the experiment is known."""
    try:
        full: Any = type(settings(content, config))()
    except PysiError:
        full = None
    rows = [
        [k, words(value, k), words(getattr(full, k), k) if full else "unknown"]
        for k, value in config.items()
    ]
    return classed("pairs", Table(["setting", "here", "full protocol"], rows).html())


def environment(found: Any) -> str:
    """Return with what the runs were made: versions, processor, libraries, time and memory."""
    content = found.content
    rows = [[name, words(value)] for name, value in content["environment"].items()]
    runs = getattr(found, "runs", [])
    rows += [["BLAS", f"{name}: {several(n, 'run')}"] for name, n in kernels(runs).items()]
    rows += [["formulas", f"{name}: {several(n, 'run')}"] for name, n in compiled(runs).items()]
    if peaks := [run["peak_memory_mb"] for run in runs if run.get("peak_memory_mb")]:
        rows.append(["largest memory of a process", f"{max(peaks):.0f} MB"])
    if "duration_s" in content:
        rows.append(["duration", f"{content['duration_s']:.0f} s"])
    return classed("pairs", Table(["", "here"], rows).html())


def again(found: Any) -> str:
    """Return the command that makes such a result again."""
    try:
        line, beyond = command(found)
    except PysiError as err:
        return paragraph(f"The command is unknown: {err}.")
    parts = [code(line)]
    if beyond:
        config = settings(found.content)
        those = ", ".join(f"{name} = {words(getattr(config, name), name)}" for name in beyond)
        parts.append(paragraph(f"The command line cannot give {those}: that takes Python."))
    if threads := found.content["environment"].get("blas_threads"):
        parts.append(paragraph(
            "The same bits need the same kernels of the BLAS library and, in each process, "
            f"{several(threads, 'thread')} of it (OMP_NUM_THREADS={threads})."
        ))  # fmt: skip
    return "".join(parts)


def origin(found: Any, name: str, sha256: str) -> str:
    """Return what tells this file and its data from others, and what to cite."""
    rows = [[f"{name} (sha256)", sha256]]
    rows += [[each, checksum] for each, checksum in found.content["dataset"]["checksums"].items()]
    return (
        paragraph(f"This report was made by pysi {pysi.__version__}. All its numbers are computed "
                  "from one file, which can be told by its checksum, as its data can.")
        + classed("pairs", Table(["file", "checksum"], rows).html())
        + paragraph(f"The method is that of: {PAPER}")
    )  # fmt: skip
