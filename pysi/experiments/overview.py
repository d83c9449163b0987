"""What a landscape has found: one file, one table and one figure from many results."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pysi.errors import DataError
from pysi.experiments.course import FAMILIES
from pysi.experiments.methods import METHODS
from pysi.experiments.result import Result, checksum
from pysi.experiments.summary import plus_minus
from pysi.experiments.sweep import Sweep
from pysi.metrics import forgetting, sem
from pysi.scenarios import SCENARIOS
from pysi.storage.files import atomic, open_regular
from pysi.typing import Array, File

FILE = "landscape.json"
FORMAT = "pysi-landscape-1"


class Overview:
    """The content of ``landscape.json``.

    Attributes
    ----------
    content : dict
        `experiment`, `dataset`, `environment`, and `scenarios`: for each, its `config`, the level
        of `chance`, `rows` (a dict per method: `method`, `c`, `parameters`, `seeds`, `final`, the
        test accuracies after the last task, [seed][task], and `forgetting` by seed), `sweeps`
        (what a strength was chosen from: `points`, [strength, accuracies by seed], and `chosen`)
        and `libraries` (what its runs were computed with: `blas` and `numba`, each kind once).
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @property
    def scenarios(self) -> dict[str, Any]:
        """What was found in each scenario."""
        return self.content["scenarios"]

    def rows(self, scenario: str) -> dict[str, dict[str, Any]]:
        """Return the row of each method in a scenario, by name."""
        return {row["method"]: row for row in self.scenarios[scenario]["rows"]}

    def methods(self) -> list[str]:
        """Return all methods, by family, in the order of tables."""
        found = {name for scenario in self.scenarios for name in self.rows(scenario)}
        families = list(FAMILIES)
        ordered = [name for name in METHODS if name in found]
        return sorted(ordered, key=lambda name: families.index(METHODS[name].family))

    def accuracy(self, scenario: str, method: str) -> Array:
        """Return the average accuracy over all tasks after the last one, by seed."""
        return np.mean(self.rows(scenario)[method]["final"], axis=-1)

    def difference(self, scenario: str, method: str, other: str) -> Array:
        """Return the average accuracy of a method minus that of another, seed by seed."""
        rows = [self.rows(scenario)[name] for name in (method, other)]
        shared = [seed for seed in rows[0]["seeds"] if seed in rows[1]["seeds"]]
        a, b = (
            np.array([np.mean(row["final"][row["seeds"].index(seed)]) for seed in shared])
            for row in rows
        )
        return a - b

    def table(self) -> str:
        """Return a table: mean ± SEM and strength of each method in each scenario."""
        names = list(self.scenarios)
        lines = [f"{self.content['experiment']}: average test accuracy over all tasks after the "
                 "last one, mean ± SEM over seeds"]  # fmt: skip
        lines += [
            f"{name}: {SCENARIOS[name]}; chance {self.scenarios[name]['chance']:g}"
            for name in names
        ]
        lines += ["", f"{'family':<18} {'method':<14} " + " ".join(
            f"{name:<18} {'c':<8}" for name in names
        ).rstrip()]  # fmt: skip
        for method in self.methods():
            cells = []
            for name in names:
                row = self.rows(name).get(method)
                value = plus_minus(self.accuracy(name, method), sem) if row else "-"
                c = f"{row['c']:g}" if row and METHODS[method].swept else ""
                cells.append(f"{value:<18} {c:<8}")
            family = FAMILIES[METHODS[method].family]
            lines.append(f"{family:<18} {method:<14} {' '.join(cells)}".rstrip())
        return "\n".join(lines)

    def save(self, folder: File) -> Path:
        """Write the file into a folder, whole or not at all, and return its path."""
        path = Path(folder) / FILE
        with atomic(path, "w", durable=True, encoding="utf-8") as file:
            file.write(dumps(self.content | {"sha256": checksum(self.content)}))
        return path

    @classmethod
    def load(cls, path: File) -> "Overview":
        """Return the overview in a file or folder; raise a DataError if it is none, or damaged."""
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        with open_regular(path, "a landscape that `pysi landscape` wrote") as file:
            try:
                content = json.loads(file.read().decode())
                known = content.pop("sha256")
                fits = content["format"] == FORMAT and known == checksum(content)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                fits = False
        if not fits:
            raise DataError(
                f"{path}: expected a landscape of the format {FORMAT!r} with its checksum, found "
                "another file, or a damaged one. Take it from a copy"
            )
        return cls(content)


def dumps(content: dict[str, Any]) -> str:
    """Return JSON with one row or sweep per line."""
    text = json.dumps(content)
    for mark in ('{"method": ', '"rows": [', '"sweeps": {', '"config": {', '"chance": '):
        text = text.replace(mark, "\n" + mark)
    return text + "\n"


def collect(out: Path) -> Overview:
    """Return the overview of the results in a landscape's folder."""
    scenarios: dict[str, Any] = {}
    content: dict[str, Any] = {"format": FORMAT}
    for scenario in SCENARIOS:
        folder = out / scenario
        if not (folder / "run" / Result.file).exists():
            continue
        result = Result.load(folder / "run")
        content |= {name: result.content[name] for name in ("experiment", "dataset", "environment")}
        config = result.protocol(**result.content["config"])
        sweeps = {path.name: Sweep.load(path) for path in sorted(folder.glob("sweep-*"))}
        scenarios[scenario] = {
            "chance": result.content["chance"],
            "complete": result.content["complete"],
            "config": result.content["config"],
            "rows": [row(result, config, *curve) for curve in result.curves()],
            "sweeps": {
                name.removeprefix("sweep-"): evidence(sweep) for name, sweep in sweeps.items()
            },
            "libraries": libraries(result, *sweeps.values()),
        }
    return Overview(content | {"scenarios": scenarios})


def row(result: Result, config: Any, method: str, c: float) -> dict[str, Any]:
    """Return the row of a curve; see `Overview`."""
    test, runs = result.select(method, c), result.runs_of(method, c)
    make = METHODS[method].network or (lambda config, seed: config.make_network(seed))
    sequence = test.shape[-1] > 1 and METHODS[method].trains.sequence
    return {
        "method": method,
        "c": c,
        "parameters": len(make(config, 0).synapses),
        "seeds": [run["seed"] for run in runs],
        "final": result.final(method, c).round(6).tolist(),
        "forgetting": forgetting(test).round(6).tolist() if sequence else None,
    }


def evidence(sweep: Sweep) -> dict[str, Any]:
    """Return what a strength was chosen from."""
    points = [[c, values.round(6).tolist()] for (_, c, _), values in sweep.points().items()]
    return {"method": sweep.content["config"]["methods"][0], "points": points,
            "chosen": sweep.choose()}  # fmt: skip


def libraries(*results: Result) -> list[dict[str, Any]]:
    """Return what the runs of some results were computed with, each kind once."""
    found: list[dict[str, Any]] = []
    for run in (run for result in results for run in result.runs):
        kind = {"blas": sorted(run.get("blas", []), key=str), "numba": run.get("numba")}
        found += [kind] if kind not in found else []
    return found


def file_in(path: File) -> Path:
    """Return the file of a landscape, result or sweep in a folder; a file as it is."""
    path = Path(path)
    kinds: list[type[Result]] = [Result, *Result.__subclasses__()]
    names = [FILE, *(kind.file for kind in kinds)]
    there = (path / name for name in names if (path / name).exists())
    return next(there, path / Result.file) if path.is_dir() else path


def read(path: File) -> Any:
    """Return the landscape, result or sweep in a file or folder, whatever the file is called."""
    path = file_in(path)
    with open_regular(path, "what `pysi run`, `sweep` or `landscape` wrote") as file:
        try:
            made = json.loads(file.read().decode()).get("format")
        except (ValueError, AttributeError, RecursionError):
            made = None  # the class that reads it says what is wrong with it
    return (Overview if made == FORMAT else Result).load(path)
