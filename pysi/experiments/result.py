"""The result of an experiment: a JSON file that says what was run, with what, and its outcome."""

import json
import os
from pathlib import Path

import numpy as np

from pysi.errors import DataError
from pysi.metrics import average_accuracy, forgetting, sem

FORMAT = "pysi-result-1"
KEYS = {
    "experiment", "config", "dataset", "environment", "scenario", "chance", "task_names",
    "duration_s", "runs",
}  # fmt: skip


class Result:
    """What `pysi run` writes, read or to be written.

    Attributes
    ----------
    content : dict
        As in the file: `format`, `experiment`, `config`, `dataset`, `environment`, `scenario`,
        `chance`, `task_names`, `complete`, `duration_s` and `runs`, a list with one entry a seed
        and c: `rule`, `c`, `seed`, `test_accuracy` and `train_accuracy` ([after task][task]),
        `epochs` (losses), `duration_s`, `blas`.
    """

    def __init__(self, content):
        self.content = content

    @property
    def runs(self):
        """The finished runs."""
        return self.content["runs"]

    def select(self, c, part="test"):
        """Accuracy matrices of every seed at this c, (seeds, tasks, tasks)."""
        return np.array([run[f"{part}_accuracy"] for run in self.runs if run["c"] == c])

    def strengths(self):
        """The values of c that have finished runs, ascending."""
        return sorted({run["c"] for run in self.runs})

    def save(self, folder):
        """Write `result.json`; an older one stays whole until the new one is complete."""
        path = Path(folder) / "result.json"
        partial = path.with_name("result.json.partial")
        partial.write_text(dumps(self.content))
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path):
        """Read a result file, or the one in a result folder.

        Raises
        ------
        DataError
            Missing, unreadable, or not such a file.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "result.json"
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as err:
            raise DataError(
                f"{path}: expected a result that `pysi run` wrote, found no such file"
            ) from err
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as err:
            raise DataError(
                f"{path}: expected a result that `pysi run` wrote, found {err}"
            ) from err
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(
                f"{path}: expected a result of the format {FORMAT!r}, found another kind of file"
            )
        if missing := KEYS - content.keys():
            raise DataError(f"{path}: expected {sorted(missing)} in the result, found none")
        return cls(content)

    def table(self):
        """A plain-text summary: accuracy ± SEM and forgetting for each c, scenario and chance."""
        config, data = self.content["config"], self.content["dataset"]
        lines = [
            f"{self.content['experiment']} on {data['name']} ({data['n_train']} training and "
            f"{data['n_test']} test examples), {config['epochs']} epochs a task",
            f"scenario: {self.content['scenario']}; chance level {self.content['chance']:g}",
            "average accuracy over all tasks after the last one, mean ± SEM over seeds:",
            "",
            f"{'c':>8} {'rule':<12} {'seeds':>5}  {'test':<17} {'train':<17} {'forgetting (test)'}",
        ]
        for c in self.strengths():
            test, train = self.select(c), self.select(c, "train")
            rule = next(run["rule"] for run in self.runs if run["c"] == c)
            lines.append(
                f"{c:>8g} {rule:<12} {len(test):>5}  "
                f"{with_sem(average_accuracy(test)[:, -1]):<17} "
                f"{with_sem(average_accuracy(train)[:, -1]):<17} {with_sem(forgetting(test))}"
            )
        if data["name"] == "mnist-5k":
            lines += [
                "",
                "mnist-5k is a small subset: not comparable with the paper.",
            ]
        return "\n".join(lines)


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
