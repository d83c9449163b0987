"""The plain-text table of a result."""

from typing import Any

import numpy as np

from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.differences import from_first
from pysi.experiments.methods import METHODS
from pysi.metrics import (
    backward_transfer,
    forgetting,
    forward_transfer,
    intransigence,
    sd,
    sem,
)
from pysi.typing import Array


def summary(result: Any) -> str:
    """Return a `Result` as text: accuracy ± SEM and forgetting per curve, scenario and chance."""
    config, data = result.content["config"], result.content["dataset"]
    epochs = f"{config['epochs']} epoch{'s' * (config['epochs'] > 1)}"
    lines = [
        f"{result.content['experiment']} on {data['name']} ({data['n_train']} training and "
        f"{data['n_test']} test examples), {epochs} per task",
        f"scenario: {result.content['scenario']}; chance level {result.content['chance']:g}",
        "average accuracy over all tasks after the last one, and other metrics of the test "
        "accuracy, mean ± SEM over seeds:",
        "",
        row("method", "c", "seeds", "test", "train", "forgetting", "backward", "forward",
            "intransigence"),
    ]  # fmt: skip
    alone = result.alone()
    for method, c in result.curves():
        test = result.select(method, c)
        final = (result.final(method, c, part=part) for part in ("test", "train"))
        cells = [with_sem(accuracy.mean(axis=-1)) for accuracy in final]
        if test.shape[-1] > 1 and METHODS[method].trains.sequence:
            cells += [with_sem(f(test)) for f in (forgetting, backward_transfer)]
            # a class that has not been learned cannot be chosen in the scenario "class"
            told = config.get("scenario") != "class"
            forward = forward_transfer(test, result.content["chance"])
            cells.append(with_sem(forward) if told else "-")
            if alone is not None:
                cells.append(with_sem(intransigence(test, alone)))
        lines.append(row(method, strength(method, c), len(test), *cells))
    lines += of_differences(result) + of_tasks(result) + of_correlations(result)
    if remark := result.protocol.datasets.get(data["name"]):
        lines += ["", remark]
    return "\n".join(lines)


def of_differences(result: Any) -> list[str]:
    """Return the differences from the first curve as lines; none if there is nothing to compare."""
    found = from_first(result)
    if not found:
        return []
    (_, (first, c), _) = found[0]
    lines = [
        "",
        f"average test accuracy minus that of {METHODS[first].title(c)}, paired by seed, mean and "
        "95 % interval (Student's t):",
        "",
        row("method", "c", "seeds", "difference"),
    ]
    lines += [row(m, strength(m, c), each.n, str(each)) for (m, c), _, each in found]
    return lines


def of_tasks(result: Any) -> list[str]:
    """Return the numbers of Figure 6 as lines; none for an experiment without that table."""
    if not result.protocol.tabulates_tasks:
        return []
    tasks = [f"task {j + 1}" for j in range(len(result.content["task_names"]))]
    lines = ["", "test accuracy on each task after the last one, mean ± SD over seeds:", ""]
    lines.append(row("method", "c", "seeds", *tasks))
    for method, c in result.curves():
        final = result.final(method, c)
        cells = [plus_minus(accuracy, sd) for accuracy in final.T]
        lines.append(row(method, strength(method, c), len(final), *cells))
    return lines


def of_correlations(result: Any) -> list[str]:
    """Return how alike the tasks' ω is in every hidden layer, as lines; none if it is not known."""
    watched = [run["omega_correlation"] for run in result.runs if run["omega_correlation"]]
    layers = list(watched[0])[:-1] if watched else []  # not the readout
    found = [result.correlations(layer) for layer in layers]
    if not found or not found[0]:
        return []
    lines = ["", "correlation of ω between tasks, mean over all pairs, ± SEM over seeds:", ""]
    lines.append(row("method", "c", "seeds", *layers))
    for method, c in found[0]:
        cells = [with_sem(mean_off_diagonal(of[method, c])) for of in found]
        lines.append(row(method, strength(method, c), len(found[0][method, c]), *cells))
    return lines


def strength(method: str, c: float) -> str:
    """Return the strength as text, if the method has one."""
    return f"{c:g}" if METHODS[method].swept else ""


def row(method: str, c: object, seeds: object, *cells: str) -> str:
    """Return a line of a table."""
    return f"{method:<19} {c:>6} {seeds:>5}  {'  '.join(f'{x:<15}' for x in cells)}".rstrip()


def plus_minus(values: Array, error: Any) -> str:
    """Return the mean over seeds ± an error, as text."""
    found = error(values)
    return f"{np.mean(values):.4f} ± " + ("n/a" if np.isnan(found) else f"{found:.4f}")


def with_sem(values: Array) -> str:
    """Return mean ± SEM over seeds, as text."""
    return plus_minus(values, sem)
