"""Choose c and ξ on held-out training data: a grid of runs, none of which sees the test set."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.experiments import machine
from pysi.experiments.cell import Cell, all_cells
from pysi.experiments.methods import METHODS
from pysi.experiments.outcomes import Reporter, outcomes
from pysi.experiments.progress import Report
from pysi.experiments.protocol import Protocol
from pysi.experiments.result import Result, key
from pysi.experiments.summary import with_sem
from pysi.figures import figure_sweep
from pysi.metrics import sem
from pysi.threads import stay, using
from pysi.typing import Array, File


class Sweep(Result):
    """What `pysi sweep` writes.

    Attributes
    ----------
    content : dict
        As a `Result`'s, with `xi`, the values of ξ; `chosen`, see `choose`; and
        `validation_accuracy` in every run, in place of `test_accuracy`.
    """

    format = "pysi-sweep-2"
    older = ("pysi-sweep-1",)
    file = "sweep.json"
    command = "sweep"
    accuracy = "validation_accuracy"
    figures = {"sweep": figure_sweep}

    def add(self, run: dict[str, Any]) -> None:
        """Put a finished run in its place; one that is there already changes nothing."""
        if key(run) not in map(key, self.runs):
            self.runs.append(run)
            self.runs.sort(key=key)

    def save(self, folder: File) -> Path:
        """Write the file into a folder, with the choice from the runs so far."""
        self.content["chosen"] = self.choose()
        return super().save(folder)

    def points(self) -> dict[tuple[str, float, float], Array]:
        """Return the accuracies of all seeds, by (method, c, ξ): the points of the grid."""
        found: dict[tuple[str, float, float], list[Any]] = {}
        for run in sorted(self.runs, key=lambda r: (r["c"] and r["xi"], r["c"], r["seed"])):
            final = np.mean(run["validation_accuracy"][-1])
            found.setdefault((run["method"], run["c"], run["xi"]), []).append(final)
        return {point: np.array(values) for point, values in found.items()}

    def choose(self) -> dict[str, Any] | None:
        """Return the best point of the grid and the evidence for it; None before the first run.

        Returns
        -------
        dict
            `method`, `c` and `xi` of the point with the best mean accuracy on held-out data after
            the last task, among the points with the most seeds; its mean, `validation_accuracy`,
            `sem`, number of `seeds` and accuracy `by_seed`; the mean of the `next_best` point; how
            many others are `within_one_sem` of the best; and `at_the_edge_of`: the settings whose
            chosen value is the largest or smallest that was tried, so that a better one may lie
            outside the grid. None stands for what is not known: the SEM of a single seed.
        """
        points = self.points()
        if not points:
            return None
        most = max(map(len, points.values()))
        means = {point: float(v.mean()) for point, v in points.items() if len(v) == most}
        method, c, xi = best = max(means, key=lambda point: means[point])
        others = [mean for point, mean in means.items() if point != best]
        error, close = None, None
        if most > 1:
            error = float(sem(points[best]))
            close = sum(mean >= means[best] - error for mean in others)
        tried = {"c": (c, {point[1] for point in points})}
        if METHODS[method].xi:
            tried["xi"] = (xi, {point[2] for point in points if point[0] == method})
        return {
            "method": method,
            "c": c,
            "xi": xi,
            "validation_accuracy": means[best],
            "sem": error,
            "seeds": most,
            "by_seed": points[best].tolist(),
            "next_best": max(others, default=None),
            "within_one_sem": close,
            "at_the_edge_of": [
                name
                for name, (value, values) in tried.items()
                # there is nothing below c = 0
                if value and len(values) > 1 and value in (min(values), max(values))
            ],
        }

    def table(self) -> str:
        """Return a plain-text summary: accuracy at every point of the grid, and the chosen one."""
        config, data, chosen = self.content["config"], self.content["dataset"], self.choose()
        if chosen is None:
            return "no run has finished"
        lines = [
            f"{self.content['experiment']} on {data['name']}: {data['n_train']} training and "
            f"{data['n_test']} held-out training examples, {config['tasks']} tasks, "
            f"{config['epochs']} epoch{'s' * (config['epochs'] > 1)} per task",
            "average accuracy over all tasks after the last one on held-out data, mean ± SEM:",
            "",
            f"{'method':<12} {'c':>8} {'xi':>8} {'seeds':>5}  validation",
        ]
        for point, values in self.points().items():
            method, c, xi = point
            damping = f"{xi:g}" if METHODS[method].xi else "-"
            mark = " <- chosen" if point == tuple(chosen[k] for k in ("method", "c", "xi")) else ""
            lines.append(f"{method:<12} {c:>8g} {damping:>8} {len(values):>5}  "
                         f"{with_sem(values)}{mark}")  # fmt: skip
        if chosen["sem"] is not None:
            lines += ["", f"other points within one SEM of the best: {chosen['within_one_sem']}"]
        for name in chosen["at_the_edge_of"]:
            lines += ["", f"The chosen {name} is at the edge of the grid: extend it."]
        return "\n".join(lines)


def sweep_cells(config: Protocol, xi: Sequence[float]) -> list[Cell]:
    """Return all cells of a grid, in the order in which they are run: seed by seed.

    Parameters
    ----------
    config : Protocol
        It has one method.
    xi : sequence of float
        Values of ξ that take the place of the protocol's, except at c = 0, where ξ changes nothing.

    Raises
    ------
    ConfigError
        More than one method, or one without a strength; values of ξ that are not different, or
        for a method that has none.
    """
    able = [name for name in config.offers() if METHODS[name].swept]
    if len(config.methods) != 1 or config.methods[0] not in able:
        raise ConfigError(
            f"methods: expected one of {able} for a sweep, found {' '.join(config.methods)}"
        )
    (method,) = config.methods
    if not xi or len(set(xi)) < len(xi):
        raise ConfigError(f"xi: expected one or more different dampings, found {xi}")
    if not METHODS[method].xi and list(xi) != [config.xi]:
        raise ConfigError(f"xi: expected none, because {method} has none, found {xi}")
    cells = [
        cell if cell.c else replace(cell, config=config)
        for value in xi
        for cell in all_cells(replace(config, xi=value))
    ]
    return sorted(dict.fromkeys(cells), key=lambda cell: cell.seed)


def validate(
    cell: Cell, dataset: Dataset, out: Path | None, threads: int, report: Report
) -> list[dict[str, Any]]:
    """Train a cell and return its entries for the sweep; the arguments are those of `run_cell`.

    With None for the folder, nothing is written, and the limit of BLAS threads stays in force: the
    process is a cluster's worker, which may train other cells in other threads.
    """
    began = time.perf_counter()
    if not out:
        stay(threads)
    with using(threads, images=cell.config.takes_images) if out else nullcontext():
        told = Reporter(cell.name, report)
        _, history = cell.train(dataset, [cell.resumable(out, threads), told] if out else [told])
        libraries = machine.libraries()
    return [
        entry | libraries | {"duration_s": time.perf_counter() - began}
        for entry in outcomes(cell, history, "validation_accuracy")
    ]
