"""The result of an experiment: a JSON file that says what was run, with what, and its outcome."""

import json
from pathlib import Path

import numpy as np

from pysi.errors import DataError
from pysi.experiments.correlation import mean_off_diagonal
from pysi.experiments.methods import METHODS
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS
from pysi.metrics import (
    backward_transfer,
    forgetting,
    forward_transfer,
    intransigence,
    sd,
    sem,
)
from pysi.storage.files import atomic

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
    def protocol(self):
        """The class of its experiment's settings; of an unknown experiment, what all have."""
        return PROTOCOLS.get(self.content["experiment"], Protocol)

    @property
    def figures(self):
        """The functions that draw it, by name."""
        return self.protocol.figures if self.protocol is not Protocol else {}

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
        if len(matrices) and METHODS[method].trains.reset:
            return np.diagonal(matrices, axis1=1, axis2=2)
        return matrices[:, -1] if len(matrices) else matrices

    def runs_of(self, method, c=0.0):
        """The finished runs of a curve, one a seed."""
        return [run for run in self.runs if (run["method"], run["c"]) == (method, c)]

    def correlations(self, layer):
        """Correlations of ω between several tasks in one weight matrix, by its name.

        A dict from each curve, (method, c), that has them to an array, (seeds, tasks, tasks).
        """
        found = {}
        for run in self.runs:
            matrix = (run["omega_correlation"] or {}).get(layer, [])
            if len(matrix) > 1:
                found.setdefault((run["method"], run["c"]), []).append(matrix)
        return {curve: np.array(matrices) for curve, matrices in found.items()}

    def save(self, folder):
        """Write the file into a folder; an older one stays whole until the new one is complete."""
        path = Path(folder) / self.file
        with atomic(path, "w") as file:
            file.write(dumps(self.content))
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

    def alone(self):
        """Mean accuracy of networks that learn a single task, or None if not of every task."""
        curves = [(METHODS[method].trains, self.final(method, c)) for method, c in self.curves()]
        each = [accuracy.mean() for trains, accuracy in curves if trains.reset]
        first = [accuracy.mean() for trains, accuracy in curves if trains.first_only]
        # the first task stands for the others only where all are equally hard
        return next(iter(each + (first if self.protocol.equal_tasks else [])), None)

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
        alone = self.alone()
        for method, c in self.curves():
            test = self.select(method, c)
            final = (self.final(method, c, part) for part in ("test", "train"))
            cells = [with_sem(accuracy.mean(axis=-1)) for accuracy in final]
            if test.shape[-1] > 1 and METHODS[method].trains.sequence:
                cells += [with_sem(f(test)) for f in (forgetting, backward_transfer)]
                cells.append(with_sem(forward_transfer(test, self.content["chance"])))
                if alone is not None:
                    cells.append(with_sem(intransigence(test, alone)))
            lines.append(row(method, strength(method, c), len(test), *cells))
        lines += self.table_of_tasks() + self.table_of_correlations()
        if remark := self.protocol.datasets.get(data["name"]):
            lines += ["", remark]
        return "\n".join(lines)

    def table_of_tasks(self):
        """The numbers of Figure 6, as lines; none for an experiment without that table."""
        if not self.protocol.tabulates_tasks:
            return []
        tasks = [f"task {j + 1}" for j in range(len(self.content["task_names"]))]
        lines = ["", "test accuracy on each task after the last one, mean ± SD over seeds:", ""]
        lines.append(row("method", "c", "seeds", *tasks))
        for method, c in self.curves():
            final = self.final(method, c)
            cells = [plus_minus(accuracy, sd) for accuracy in final.T]
            lines.append(row(method, strength(method, c), len(final), *cells))
        return lines

    def table_of_correlations(self):
        """How alike the tasks' ω is in every hidden layer, as lines; none if that is not known."""
        watched = [run["omega_correlation"] for run in self.runs if run["omega_correlation"]]
        layers = list(watched[0])[:-1] if watched else []  # not the readout
        found = [self.correlations(layer) for layer in layers]
        if not found or not found[0]:
            return []
        lines = ["", "correlation of ω between tasks, mean over all pairs, ± SEM over seeds:", ""]
        lines.append(row("method", "c", "seeds", *layers))
        for method, c in found[0]:
            cells = [with_sem(mean_off_diagonal(of[method, c])) for of in found]
            lines.append(row(method, strength(method, c), len(found[0][method, c]), *cells))
        return lines


def strength(method, c):
    """The strength as text, if the method has one."""
    return f"{c:g}" if METHODS[method].strengths else ""


def row(method, c, seeds, *cells):
    """A line of a table."""
    return f"{method:<12} {c:>6} {seeds:>5}  {'  '.join(f'{x:<15}' for x in cells)}".rstrip()


def plus_minus(values, error):
    """Mean over seeds ± an error, as text."""
    found = error(values)
    return f"{np.mean(values):.4f} ± " + ("n/a" if np.isnan(found) else f"{found:.4f}")


def with_sem(values):
    """Mean ± SEM over seeds, as text."""
    return plus_minus(values, sem)


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
