"""The result of an experiment: a JSON file with what was run, on what machine, and the outcome."""

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from pysi.errors import DataError
from pysi.experiments.methods import METHODS
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.schema import Unfit, check_content
from pysi.experiments.summary import summary
from pysi.storage.files import atomic, open_regular
from pysi.storage.lock import Lock
from pysi.typing import Array, File


def key(run: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a run from the others of its result: (method, c, ξ, seed)."""
    return run["method"], run["c"], run["xi"], run["seed"]


class Result:
    """What `pysi run` writes: read from a file, or still growing.

    Attributes
    ----------
    content : dict
        As in the file: `format`, `experiment`, `config`, `dataset`, `environment`, `scenario`,
        `chance`, `task_names`, `complete`, `duration_s` and `runs`, a list with one entry per seed
        and curve: `method`, `c`, `seed`, `test_accuracy` and `train_accuracy` ([after
        task][task]), `omega_correlation` (by weight matrix), `epochs` (losses),
        `consolidation_s` (by task), `duration_s`, `blas`, `numba`.
    lock : Lock, optional
        The lock of its folder, while runs are being added to it.
    """

    format = "pysi-result-3"
    older = ("pysi-result-2",)
    """Formats that are read, too; they have no checksum."""
    file = "result.json"
    command = "run"
    accuracy = "test_accuracy"
    """The entry by which its runs are measured."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.lock: Lock | None = None

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The finished runs."""
        return self.content["runs"]

    @property
    def protocol(self) -> type[Protocol]:
        """The class of its experiment's settings; `Protocol` if the experiment is unknown."""
        return PROTOCOLS.get(self.content["experiment"], Protocol)

    @property
    def figures(self) -> Mapping[str, Any]:
        """The functions that draw it, by name."""
        return self.protocol.figures if self.protocol is not Protocol else {}

    @property
    def threads(self) -> int:
        """How many threads each process uses."""
        environment = self.content["environment"]
        return environment["blas_threads"] * environment.get("image_threads", 1)

    def add(self, run: dict[str, Any]) -> None:
        """Put a finished run in its place."""
        names = list(METHODS)
        self.runs.append(run)
        self.runs.sort(key=lambda r: (names.index(r["method"]), r["c"], r["seed"]))

    def curves(self) -> list[tuple[str, float]]:
        """Return the pairs (method, c) that have finished runs, in order."""
        return list(dict.fromkeys((run["method"], run["c"]) for run in self.runs))

    def select(self, method: str, c: float = 0.0, part: str = "test") -> Array:
        """Return the accuracies of a curve, (seeds, tasks learned, tasks tested)."""
        return np.array([run[f"{part}_accuracy"] for run in self.runs_of(method, c)], float)

    def final(self, method: str, c: float = 0.0, part: str = "test") -> Array:
        """Return the accuracy on each task at the end of a curve, (seeds, tasks).

        Where each task is learned alone, that is the end of its own training.
        """
        matrices = self.select(method, c, part)
        if len(matrices) and METHODS[method].trains.reset:
            return np.diagonal(matrices, axis1=1, axis2=2)
        return matrices[:, -1] if len(matrices) else matrices

    def runs_of(self, method: str, c: float = 0.0) -> list[dict[str, Any]]:
        """Return the finished runs of a curve, one per seed."""
        return [run for run in self.runs if (run["method"], run["c"]) == (method, c)]

    def difference(
        self, curve: tuple[str, float], other: tuple[str, float], part: str = "test"
    ) -> Array:
        """Return the final accuracies of one curve, (method, c), minus those of another.

        The difference is taken on each task, seed by seed, for the seeds that both have:
        (seeds, tasks).
        """
        a, b = (
            dict(zip((run["seed"] for run in self.runs_of(*each)), self.final(*each, part=part),
                     strict=True))
            for each in (curve, other)
        )  # fmt: skip
        shared = [seed for seed in a if seed in b]
        return np.array([a[seed] - b[seed] for seed in shared])

    def correlations(self, layer: str) -> dict[tuple[str, float], Array]:
        """Return the correlations of ω between several tasks in the weight matrix `layer`.

        The dict goes from each curve, (method, c), that has correlations to an array,
        (seeds, tasks, tasks).
        """
        found: dict[tuple[str, float], list[Any]] = {}
        for run in self.runs:
            matrix = (run["omega_correlation"] or {}).get(layer, [])
            if len(matrix) > 1:
                found.setdefault((run["method"], run["c"]), []).append(matrix)
        return {curve: np.array(matrices, float) for curve, matrices in found.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per run, task learned and task tested, as for `pandas.DataFrame`.

        Its entries are `method`, `c`, `xi`, `seed`, the numbers of the tasks (from 1), `learned`
        and `tested`, and two accuracies. Where all tasks are learned at once, `learned` is 1.
        """
        return [
            {name: run[name] for name in ("method", "c", "xi", "seed")}
            | {"learned": i + 1, "tested": j + 1}
            | {part: run[part][i][j] for part in (self.accuracy, "train_accuracy")}
            for run in self.runs
            for i, after in enumerate(run[self.accuracy])
            for j in range(len(after))
        ]

    def write_csv(self, path: File) -> Path:
        """Write the `rows` to a file with a line of names, and return its path."""
        names = ["method", "c", "xi", "seed", "learned", "tested", self.accuracy, "train_accuracy"]
        with atomic(path, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows(self.rows())
        return Path(path)

    def save(self, folder: File) -> Path:
        """Write the file into a folder; an older one stays whole until the new one is complete."""
        path = Path(folder) / self.file
        self.content["format"] = self.format
        with atomic(path, "w", durable=True, encoding="utf-8") as file:
            file.write(dumps(self.content | {"sha256": checksum(self.content)}))
        return path

    @classmethod
    def load(cls, path: File) -> Self:
        """Read a result file, or the one in a result folder; a subclass if its format says so.

        Raises
        ------
        DataError
            It is missing, unreadable, damaged, or another kind of file.
        """
        path, kinds = Path(path), (cls, *cls.__subclasses__())
        if path.is_dir():
            there = [path / kind.file for kind in kinds if (path / kind.file).exists()]
            path = there[0] if there else path / cls.file
        expected = f"a result that `pysi {cls.command}` wrote"
        with open_regular(path, expected) as file:
            try:
                content = json.loads(file.read().decode())
                if not isinstance(content, dict):
                    raise Unfit(f"expected named entries, found {type(content).__name__}")
                return cls._checked(content, kinds)
            except Unfit as err:
                raise DataError(f"{path}: {err}") from err
            # ValueError: no JSON, not UTF-8, or a number of thousands of digits
            except (OSError, ValueError, RecursionError, MemoryError) as err:
                found = str(err) or type(err).__name__
                raise DataError(
                    f"{path}: expected {expected}, found: {found}. Name another file, or take this "
                    "one from a copy"
                ) from err

    @classmethod
    def _checked(cls, content: dict[str, Any], kinds: tuple[type[Self], ...]) -> Self:
        """Return the result with this content. Raises `Unfit` if it is not one, or was changed."""
        known, made = content.pop("sha256", None), content.get("format")
        for kind in kinds:
            if made not in (kind.format, *kind.older):
                continue
            if (made == kind.format or known is not None) and known != checksum(content):
                raise Unfit(
                    "expected the content that its checksum (sha256) belongs to, found another: "
                    "the file was damaged or changed. Take it from a copy"
                )
            check_content(content, kind.accuracy)
            return kind(content)
        raise Unfit(
            f"expected a result of the format {cls.format!r}, found {str(made)[:60]!r}. Name a "
            "file that this version of pysi wrote, or the version before it"
        )

    def alone(self) -> float | None:
        """Return the mean accuracy of networks that learn one task each; None if one is missing."""
        curves = [(METHODS[method].trains, self.final(method, c)) for method, c in self.curves()]
        each = [accuracy.mean() for trains, accuracy in curves if trains.reset]
        first = [accuracy.mean() for trains, accuracy in curves if trains.first_only]
        # the first task stands for the others only where all are equally hard
        return next(iter(each + (first if self.protocol.equal_tasks else [])), None)

    def table(self) -> str:
        """Return a plain-text summary: accuracy ± SEM and forgetting, scenario and chance."""
        return summary(self)


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a result's content, however its file is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def dumps(content: dict[str, Any]) -> str:
    """Return JSON with one run or setting per line, which is small, and readable in a diff."""
    lines = []
    for name, value in content.items():
        if name == "runs":
            runs = ",\n  ".join(json.dumps(run) for run in value)
            lines.append(f'"runs": [\n  {runs}\n]')
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
