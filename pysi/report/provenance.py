"""Where a result comes from: its settings, machine, command and checksums, as HTML."""

from collections.abc import Mapping
from typing import Any

from pysi.errors import PysiError
from pysi.experiments.machine import version
from pysi.experiments.overview import Overview
from pysi.report.command import command, settings, words
from pysi.report.frame import classed, code, folded, paragraph
from pysi.report.problems import compiled, kernels
from pysi.report.table import Table
from pysi.report.wording import several

PAPER = (
    "F. Zenke, B. Poole and S. Ganguli. Continual Learning Through Synaptic Intelligence. "
    "Proceedings of the 34th International Conference on Machine Learning, PMLR 70:3987–3995, 2017."
)


def setting_tables(found: Any) -> str:
    """Return the settings beside those of the full protocol; for a landscape, by scenario."""
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
        full: Any = type(settings(content, config))  # whose attributes are the defaults
    except PysiError:
        full = None
    rows = [
        [k, words(value, k), words(getattr(full, k), k) if full else "unknown"]
        for k, value in config.items()
    ]
    return classed("pairs", Table(["setting", "here", "full protocol"], rows).html())


def environment(found: Any) -> str:
    """Return what the runs were made with: versions, processor, libraries, time and memory."""
    content = found.content
    rows = [[name, words(value)] for name, value in content["environment"].items()]
    runs = getattr(found, "runs", [])
    rows += [["BLAS", f"{name}: {several(n, 'run')}"] for name, n in kernels(runs).items()]
    rows += [["formulas", f"{name}: {several(n, 'run')}"] for name, n in compiled(runs).items()]
    if peaks := [run["peak_memory_mb"] for run in runs if run.get("peak_memory_mb")]:
        rows.append(["largest memory of a process", f"{max(peaks):.0f} MB"])
    if "duration_s" in content:
        rows.append(["duration", f"{content['duration_s']:.0f} s"])
    return classed("pairs", Table(["what", "here"], rows).html())


def again(found: Any) -> str:
    """Return the command that makes such a result again."""
    try:
        line, beyond = command(found)
    except PysiError as err:
        return paragraph(f"The command is unknown: {err}.")
    parts = [code(line)]
    if beyond:
        those = ", ".join(f"{name} = {words(value, name)}" for name, value in beyond.items())
        parts.append(paragraph(f"The command line cannot set {those}: use Python for that."))
    made = found.content["environment"]
    if (threads := made.get("blas_threads")) and made.get("device") != "cupy":
        parts.append(paragraph(
            "The same bits need the same kernels of the BLAS library and, in each process, "
            f"{several(threads, 'thread')} of it (OMP_NUM_THREADS={threads})."
        ))  # fmt: skip
    return "".join(parts)


def origin(found: Any, name: str, sha256: str) -> str:
    """Return what identifies this file and its data, and what to cite."""
    rows = [[f"{name} (sha256)", sha256]]
    rows += [[each, checksum] for each, checksum in found.content["dataset"]["checksums"].items()]
    return (
        paragraph(f"This report was made by pysi {version()}. All its numbers are computed "
                  "from one file. These checksums identify it and its data.")
        + classed("pairs", Table(["file", "checksum"], rows).html())
        + paragraph(f"The method is that of: {PAPER}")
    )  # fmt: skip
