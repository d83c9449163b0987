"""The result of an experiment: a JSON file that says what was run, with what, and its outcome."""

import json
import os
from pathlib import Path

import numpy as np

from pysi.errors import DataError
from pysi.experiments.methods import METHODS
from pysi.metrics import (
    backward_transfer,
    forgetting,
    forward_transfer,
    intransigence,
    mean_off_diagonal,
    sem,
)

KEYS = {
    "experiment", "config", "dataset", "environment", "scenario", "chance", "task_names",
    "duration_s", "runs",
}  # fmt: skip


def key(run):
    """What tells a run from the others of its result: (method, c, ξ, seed)."""
    return run["method"], run["c"], run["xi"], run["seed"]


class Result:
    """What `pysi run` writes, read or to be written.

    Attributes
    ----------
    content : dict
        As in the file: `format`, `experiment`, `config`, `dataset`, `environment`, `scenario`,
        `chance`, `task_names`, `complete`, `duration_s` and `runs`, a list with one entry a seed
        and curve: `method`, `c`, `seed`, `test_accuracy` and `train_accuracy` ([after
        task][task]), `omega_correlation` (by weight matrix), `epochs` (losses),
        `consolidation_s` (by task), `duration_s`, `blas`.
    """

    format = "pysi-result-2"
    file = "result.json"
    command = "run"

    def __init__(self, content):
        self.content = content

    @property
    def runs(self):
        """The finished runs."""
        return self.content["runs"]

    @property
    def threads(self):
        """How many threads every process uses."""
        environment = self.content["environment"]
        return environment["blas_threads"] * environment.get("image_threads", 1)

    def add(self, run):
        """Put a finished run in its place."""
        names = list(METHODS)
        self.runs.append(run)
        self.runs.sort(key=lambda r: (names.index(r["method"]), r["c"], r["seed"]))

    def curves(self):
        """The pairs (method, c) that have finished runs, in order."""
        return list(dict.fromkeys((run["method"], run["c"]) for run in self.runs))

    def select(self, method, c=0.0, part="test"):
        """Accuracy matrices of every seed of a curve, (seeds, tasks learned, tasks tested)."""
        return np.array([run[f"{part}_accuracy"] for run in self.runs_of(method, c)])

    def final(self, method, c=0.0, part="test"):
        """Accuracy on each task at the end of a curve, (seeds, tasks).

        Where each task is learned alone, that is the end of its own training.
        """
        matrices = self.select(method, c, part)
        if len(matrices) and METHODS[method].trains == "each alone":
            return np.diagonal(matrices, axis1=1, axis2=2)
        return matrices[:, -1] if len(matrices) else matrices

    def runs_of(self, method, c=0.0):
        """The finished runs of a curve, one a seed."""
        return [run for run in self.runs if (run["method"], run["c"]) == (method, c)]

    def correlations(self, layer):
        """Correlations of ω between several tasks in a weight matrix, such as "dense1.W".

        A dict from each curve, (method, c), that has them to an array, (seeds, tasks, tasks).
        """
        found = {}
        for run in self.runs:
            matrix = (run["omega_correlation"] or {layer: []})[layer]
            if len(matrix) > 1:
                found.setdefault((run["method"], run["c"]), []).append(matrix)
        return {curve: np.array(matrices) for curve, matrices in found.items()}

    def save(self, folder):
        """Write the file into a folder; an older one stays whole until the new one is complete."""
        path = Path(folder) / self.file
        partial = path.with_name(path.name + ".partial")
        partial.write_text(dumps(self.content))
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path):
        """Read a result file, or the one in a result folder; a subclass if its format says so.

        Raises
        ------
        DataError
            Missing, unreadable, or not such a file.
        """
        path, kinds = Path(path), (cls, *cls.__subclasses__())
        if path.is_dir():
            found = [path / kind.file for kind in kinds if (path / kind.file).exists()]
            path = found[0] if found else path / cls.file
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as err:
            raise DataError(
                f"{path}: expected a result that `pysi {cls.command}` wrote, found no such file"
            ) from err
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as err:
            raise DataError(
                f"{path}: expected a result that `pysi {cls.command}` wrote, found {err}"
            ) from err
        found = content.get("format") if isinstance(content, dict) else None
        for kind in kinds:
            if kind.format == found:
                if missing := KEYS - content.keys():
                    raise DataError(f"{path}: expected {sorted(missing)} in the result, found none")
                return kind(content)
        raise DataError(f"{path}: expected a result of the format {cls.format!r}, found {found!r}")

    def table(self):
        """A plain-text summary: accuracy ± SEM and forgetting for each c, scenario and chance."""
        config, data = self.content["config"], self.content["dataset"]
        lines = [
            f"{self.content['experiment']} on {data['name']} ({data['n_train']} training and "
            f"{data['n_test']} test examples), {config['epochs']} epochs a task",
            f"scenario: {self.content['scenario']}; chance level {self.content['chance']:g}",
            "average accuracy over all tasks after the last one, and other metrics of the test "
            "accuracy, mean ± SEM over seeds:",
            "",
            row("method", "c", "seeds", "test", "train", "forgetting", "backward", "forward",
                "intransigence"),
        ]  # fmt: skip
        single = self.select("single")
        for method, c in self.curves():
            test = self.select(method, c)
            final = (self.final(method, c, part) for part in ("test", "train"))
            cells = [with_sem(accuracy.mean(axis=-1)) for accuracy in final]
            if test.shape[-1] > 1 and METHODS[method].trains == "sequence":
                cells += [with_sem(f(test)) for f in (forgetting, backward_transfer)]
                cells.append(with_sem(forward_transfer(test, self.content["chance"])))
                if len(single):
                    cells.append(with_sem(intransigence(test, single.mean())))
            strength = f"{c:g}" if METHODS[method].strengths else ""
            lines.append(row(method, strength, len(test), *cells))
        first, second = (self.correlations(f"dense{layer}.W") for layer in (1, 2))
        if first:
            lines += [
                "",
                "correlation of ω between tasks, mean over all pairs, ± SEM over seeds:",
                "",
                row("method", "c", "seeds", "dense1.W", "dense2.W"),
            ]
        for method, c in first:
            cells = [with_sem(mean_off_diagonal(of[method, c])) for of in (first, second)]
            strength = f"{c:g}" if METHODS[method].strengths else ""
            lines.append(row(method, strength, len(first[method, c]), *cells))
        if data["name"] == "mnist-5k":
            lines += [
                "",
                "mnist-5k is a small subset: not comparable with the paper.",
            ]
        return "\n".join(lines)


def row(method, c, seeds, *cells):
    """A line of the table."""
    return f"{method:<12} {c:>6} {seeds:>5}  {'  '.join(f'{x:<15}' for x in cells)}".rstrip()


def with_sem(values):
    """Mean ± SEM over seeds, as text."""
    error = sem(values)
    return f"{np.mean(values):.4f} ± " + ("n/a" if np.isnan(error) else f"{error:.4f}")


def dumps(content):
    """JSON with one run a line and one setting a line: small, and readable in a diff."""
    lines = []
    for key, value in content.items():
        if key == "runs":
            runs = ",\n  ".join(json.dumps(run) for run in value)
            lines.append(f'"runs": [\n  {runs}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
