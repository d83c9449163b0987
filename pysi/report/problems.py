"""What a result lacks, and what a critical reader should know before any number, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pysi.errors import PysiError
from pysi.experiments.cell import all_cells
from pysi.experiments.landscape import PLAN, Plan
from pysi.experiments.machine import version
from pysi.experiments.methods import METHODS
from pysi.experiments.overview import Overview
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result, key
from pysi.experiments.sweep import Sweep, sweep_cells
from pysi.report.command import deviations, settings, words
from pysi.report.tables import title
from pysi.report.wording import listed, named, seeds, several


def problems(result: Any, folder: Path | None = None) -> list[str]:
    """Return what is missing or unusual, as sentences.

    Parameters
    ----------
    result : Result, Sweep or Overview
    folder : Path, optional
        Where a landscape's plan may be.
    """
    if isinstance(result, Overview):
        return [*of_landscape(result, folder), *of_origin(result.content)]
    own = of_grid(result) if isinstance(result, Sweep) else of_curves(result)
    return [
        *unfinished(result),
        *own,
        *of_format(result),
        *of_libraries(result.runs),
        *of_origin(result.content),
        *of_settings(result),
    ]


def unfinished(result: Result) -> Iterator[str]:
    """Say which runs are missing, of those that the settings ask for."""
    content = result.content
    if content["experiment"] not in PROTOCOLS:
        yield (
            f"The experiment {content['experiment']} is not known here, so this report has no "
            "figures, no verdicts and no list of missing runs. Add its class to PROTOCOLS."
        )
    if not result.runs:
        yield "No run has finished, so there are no numbers."
    done = [key(run) for run in result.runs]
    try:
        config = settings(content)
        sweep = isinstance(result, Sweep)
        xi = content.get("xi", [config.xi])
        asked = [cell.key for cell in (sweep_cells(config, xi) if sweep else all_cells(config))]
    except PysiError as err:
        if content["experiment"] in PROTOCOLS:
            yield f"Missing runs are unknown, since the settings do not fit the experiment: {err}."
        asked = done
    had, wanted = set(done), set(asked)
    if missing := [each for each in asked if each not in had]:
        yield f"Runs are missing, {len(missing)} of {len(asked)}: {listed(missing)}."
    elif not content.get("complete", False):
        yield "The result says that it is incomplete: its run was stopped, or still goes on."
    if beyond := [each for each in done if each not in wanted]:
        many = several(len(beyond), "run")
        yield f"The file also holds {many} that the settings do not list: {listed(beyond)}."


def of_curves(result: Result) -> Iterator[str]:
    """Say which curves have too few seeds, or values that are not finite, and what figures lack."""
    own = {curve: [run["seed"] for run in result.runs_of(*curve)] for curve in result.curves()}
    yield from of_seeds({title(curve): found for curve, found in own.items()})
    if len(result.content["task_names"]) == 1 and result.runs:
        yield "There is a single task, so nothing can be forgotten, and no claim can be judged."
    bad: dict[str, list[int]] = {}
    wrong: dict[str, list[int]] = {}
    for run in result.runs:
        name = title((run["method"], run["c"]))
        losses = [e[k] for e in run["epochs"] for k in ("loss", "penalty")]
        if not np.isfinite(np.array(losses, float)).all():
            bad.setdefault(name, []).append(run["seed"])
        matrices = (run["omega_correlation"] or {}).values()
        if not all(np.isfinite(np.array(matrix, float)).all() for matrix in matrices):
            wrong.setdefault(name, []).append(run["seed"])
    for what, found in (("Losses or penalties", bad), ("Correlations of ω", wrong)):
        if found:
            those = "; ".join(f"{name}: {seeds(each)}" for name, each in found.items())
            yield f"{what} are not finite in {those}."
    layers = result.protocol.compared
    if layers and result.runs and not all(map(result.correlations, layers)):
        yield (
            f"No run holds correlations of ω between tasks for {' and '.join(layers)}, so Figure 5 "
            "is missing, and the claims about it cannot be judged."
        )


def of_grid(sweep: Sweep) -> Iterator[str]:
    """Say which points of a grid have too few seeds."""
    found: dict[str, list[int]] = {}
    for run in sweep.runs:
        found.setdefault(named((run["method"], run["c"], run["xi"])), []).append(run["seed"])
    yield from of_seeds(found, "Only points with the most seeds can be chosen.")


def of_seeds(
    found: Mapping[str, Sequence[int]],
    then: str = "A difference is taken over the seeds that both have.",
) -> Iterator[str]:
    """Say which of these, by name, have one seed; and what follows if their seeds differ."""
    if single := [name for name, each in found.items() if len(each) == 1]:
        those = "Everything" if len(single) == len(found) else "; ".join(single)
        yield (
            f"{those} has one seed only." if len(single) == 1 or those == "Everything"
            else f"These have one seed only: {those}."
        ) + " Such a number has no interval, and carries no verdict."  # fmt: skip
    by_seeds: dict[str, list[str]] = {}
    for name, each in found.items():
        by_seeds.setdefault(seeds(each), []).append(name)
    if len(by_seeds) > 1:
        those = ", ".join(f"{which} ({'; '.join(names)})" for which, names in by_seeds.items())
        yield f"Seeds differ: {those}. {then}"


def of_format(result: Result) -> Iterator[str]:
    """Say whether the file is of an older format."""
    if result.content["format"] != result.format:
        yield (
            f"The file has the older format {result.content['format']}, without a checksum: nobody "
            "can tell whether it was changed."
        )


def of_libraries(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say whether runs were made with different libraries, which give other last digits."""
    for what, found in (("the BLAS library", kernels(runs)), ("Numba", compiled(runs))):
        if len(found) > 1:
            those = "; ".join(f"{several(n, 'run')} with {name}" for name, n in found.items())
            yield f"Runs differ in {what}, and so perhaps in their last digits: {those}."


def kernels(runs: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return the BLAS libraries of runs, in words, each with the number of runs."""
    found: dict[str, int] = {}
    for run in runs:
        names = []
        for pool in run.get("blas", []):
            named = [
                str(pool.get(name, "?")) for name in ("internal_api", "version", "architecture")
            ]
            threads = pool.get("num_threads", "?")
            names.append(f"{' '.join(named)} (threads: {threads})")
        name = " and ".join(sorted(names)) or "a BLAS library that is not recorded"
        found[name] = found.get(name, 0) + 1
    return found


def compiled(runs: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return the versions of Numba that runs used, in words, each with the number of runs."""
    found: dict[str, int] = {}
    for run in runs:
        name = f"Numba {run['numba']}" if run.get("numba") else "plain NumPy"
        found[name] = found.get(name, 0) + 1
    return found


def of_origin(content: dict[str, Any]) -> Iterator[str]:
    """Say whether another version wrote the file, and whether its data are the paper's."""
    made = content["environment"].get("pysi")
    if made is None:
        yield "The file does not say which version of pysi wrote it."
    elif made != version():
        yield f"pysi {made} wrote the file; this report was made by pysi {version()}."
    protocol = PROTOCOLS.get(content["experiment"])
    if remark := protocol and protocol.datasets.get(content["dataset"]["name"]):
        yield remark


def of_settings(result: Result) -> Iterator[str]:
    """Say which settings are not the paper's."""
    try:
        found = deviations(result.content, result.content["config"])
    except PysiError:
        return
    if found:
        those = "; ".join(
            f"{k} {words(a, k)} instead of {words(b, k)}" for k, (a, b) in found.items()
        )
        yield f"These settings are not those of the full protocol: {those}."


def of_landscape(overview: Overview, folder: Path | None) -> Iterator[str]:
    """Say what a landscape lacks, and where its choices are weak."""
    scenarios = overview.scenarios
    if not scenarios:
        yield "No scenario has finished, so there are no numbers."
    if folder and (folder / PLAN).exists():
        try:
            planned = Plan.load(folder).scenarios
        except PysiError as err:
            planned = ()
            yield f"Its plan cannot be read, so missing scenarios are unknown: {err}."
        if missing := [name for name in planned if name not in scenarios]:
            yield f"These scenarios are missing: {', '.join(missing)}."
    for name, scenario in scenarios.items():
        rows = overview.rows(name)
        if not scenario.get("complete", False):
            yield f"The results in the scenario {name} are incomplete."
        for sentence in of_seeds({method: row["seeds"] for method, row in rows.items()}):
            yield f"Scenario {name}: {sentence}"
        chosen = {k: sweep["chosen"] for k, sweep in scenario["sweeps"].items() if sweep["chosen"]}
        # at strength 0, a method may be called by another name
        zero = [k for k, found in chosen.items() if not found["c"] and METHODS[k].at_zero in rows]
        if lacking := [m for m in scenario["config"]["methods"] if m not in (*rows, *zero)]:
            yield f"In the scenario {name} these methods are missing: {', '.join(lacking)}."
        if edge := [k for k, found in chosen.items() if "c" in found["at_the_edge_of"]]:
            yield (
                f"In the scenario {name} the best strength is at the edge of the grid, so a better "
                f"one may lie outside: {', '.join(edge)}."
            )
        if single := [k for k, found in chosen.items() if found["seeds"] == 1]:
            yield (
                f"In the scenario {name} these strengths were chosen from one seed each: "
                f"{', '.join(single)}."
            )
