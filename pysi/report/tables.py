"""What a result says, as tables. The site's pages are made of them, too."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.course import FAMILIES
from pysi.experiments.differences import average, comparable
from pysi.experiments.methods import METHODS
from pysi.experiments.summary import with_sem
from pysi.metrics import average_accuracy, forgetting
from pysi.report.table import Table
from pysi.typing import Array


def title(curve: tuple[str, float]) -> str:
    """Return the name of a curve."""
    method, c = curve
    return METHODS[method].title(c)


def mean(values: Array) -> str:
    """Return mean ± SEM over seeds; for one seed the mean alone, and words if it is not finite."""
    if not np.isfinite(values).all():
        return "not a number"
    return with_sem(values) if len(values) > 1 else f"{np.mean(values):.4f}"


def finals(result: Any) -> Table:
    """Return average accuracy and forgetting of every curve after the last task."""
    rows = []
    for curve in result.curves():
        test = result.select(*curve)
        row = [title(curve), str(len(test))]
        row += [mean(result.final(*curve, part=part).mean(axis=1)) for part in ("test", "train")]
        sequence = test.shape[-1] > 1 and METHODS[curve[0]].trains.sequence
        rows.append([*row, mean(forgetting(test)) if sequence else "–"])
    return Table(
        ["method", "seeds", "test", "train", "forgetting"],
        rows,
        "Average accuracy over all tasks after the last one, mean ± SEM over seeds",
    )


def after_each(result: Any) -> Table:
    """Return the average accuracy over the tasks learned so far, after each task."""
    n = len(result.content["task_names"])
    rows = [
        [title(curve), *(mean(column) for column in average_accuracy(result.select(*curve)).T)]
        for curve in result.curves()
        if METHODS[curve[0]].trains.sequence and result.select(*curve).shape[1] == n
    ]
    return Table(
        ["after task", *(str(j + 1) for j in range(n))],
        rows,
        "Average test accuracy over the tasks learned so far, mean ± SEM over seeds",
    )


def by_task(result: Any, part: str = "test") -> Table:
    """Return the accuracy on each task at the end of training."""
    names = result.content["task_names"]
    rows = [
        [title(curve), *(mean(column) for column in final.T)]
        for curve in comparable(result)
        if (final := result.final(*curve, part=part)).shape[1] == len(names)
    ]
    return Table(
        ["task", *names],
        rows,
        f"Accuracy ({part}) on each task after the last one, mean ± SEM over seeds",
    )


def differences(result: Any) -> Table:
    """Return the differences between all pairs of curves, paired by seed."""
    rows = []
    for other, curve in combinations(comparable(result), 2):
        if found := average(result, curve, other):
            rows.append([title(curve), title(other), str(found.n), str(found)])
    return Table(
        ["of", "minus", "seeds", "difference"],
        rows,
        "Differences between average test accuracies after the last task, paired by seed: mean and "
        "95 % interval (Student's t)",
    )


def verdicts(result: Any) -> Table:
    """Return what the result says about each of the paper's claims."""
    rows = [
        [claim.paper, claim.criterion, found.about, found.here, found.answer, str(found.n or "–")]
        for claim in result.protocol.claims
        for found in claim.verdicts(result)
    ]
    return Table(
        ["the paper says", "counts as yes if", "of", "here, mean [95 % interval]", "verdict", "n"],
        rows,
        "The paper's claims",
    )


def matrices(result: Any) -> Iterator[Table]:
    """Yield a table per curve: the accuracy on each task after each task."""
    names = result.content["task_names"]
    for curve in result.curves():
        test = result.select(*curve)
        if test.shape[1] > 1:
            rows = [
                [f"after task {i + 1}", *(mean(cell) for cell in row.T)]
                for i, row in enumerate(test.transpose(1, 0, 2))
            ]
            yield Table(["", *names], rows, f"{title(curve)}: test accuracy on each task")


def correlations(result: Any) -> Table:
    """Return how alike the tasks' ω is in every weight matrix but the readout's."""
    watched = [run["omega_correlation"] for run in result.runs if run["omega_correlation"]]
    layers = list(watched[0])[:-1] if watched else []
    found = [result.correlations(layer) for layer in layers]
    rows = []
    for curve in found[0] if found else ():
        cells = (mean(mean_off_diagonal(of[curve])) for of in found)
        rows.append([title(curve), str(len(found[0][curve])), *cells])
    return Table(
        ["method", "seeds", *layers],
        rows,
        "Correlation of ω between different tasks, mean over all pairs, ± SEM over seeds",
    )


def losses(result: Any) -> Table:
    """Return the loss, and the penalty, in the last epoch of each task."""
    rows = []
    for curve in result.curves():
        last: dict[int, dict[int, Any]] = {}
        for i, run in enumerate(result.runs_of(*curve)):
            for epoch in run.get("epochs", []):
                last.setdefault(epoch["task"], {})[i] = epoch
        for task, epochs in sorted(last.items()):
            cells = [
                mean(np.array([e[k] for e in epochs.values()], float)) for k in ("loss", "penalty")
            ]
            rows.append([title(curve), str(task), *cells])
    return Table(
        ["method", "task", "loss", "penalty"],
        rows,
        "Training loss in the last epoch of each task, and the penalty at its end",
    )


def points(sweep: Any) -> Table:
    """Return the accuracy at every point of a sweep's grid, and which one is chosen."""
    chosen = sweep.choose()
    best = tuple(chosen[k] for k in ("method", "c", "xi")) if chosen else None
    rows = [
        [method, f"{c:g}", f"{xi:g}" if METHODS[method].xi else "–", str(len(values)),
         mean(values), "chosen" if (method, c, xi) == best else ""]
        for (method, c, xi), values in sweep.points().items()
    ]  # fmt: skip
    return Table(
        ["method", "c", "ξ", "seeds", "held-out accuracy", ""],
        rows,
        "Average accuracy over all tasks after the last one on held-out training data",
    )


def landscape(overview: Any) -> Table:
    """Return every method in every scenario, by family."""
    rows = []
    for method in overview.methods():
        row = [FAMILIES[METHODS[method].family], method]
        for scenario in overview.scenarios:
            found = overview.rows(scenario).get(method)
            row.append(mean(overview.accuracy(scenario, method)) if found else "–")
            row.append(f"{found['c']:g}" if found and METHODS[method].swept else "")
        rows.append(row)
    head = [name for scenario in overview.scenarios for name in (scenario, "c")]
    return Table(
        ["family", "method", *head],
        rows,
        "Average test accuracy over all tasks after the last one, mean ± SEM over seeds",
    )
