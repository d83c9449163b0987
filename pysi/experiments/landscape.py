"""All methods in all scenarios: strengths chosen on held-out data, then several seeds of each.

A landscape is a folder. For each scenario it holds a sweep per method that has a strength, and one
result with all methods. Each of them is an ordinary sweep or result, which can be read by itself,
and goes on where it was stopped. ``landscape.json`` puts them together.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pysi.arguments import whole
from pysi.data.dataset import Dataset
from pysi.errors import ConfigError, DataError
from pysi.experiments.cell import all_cells
from pysi.experiments.methods import METHODS
from pysi.experiments.outcomes import run_cell
from pysi.experiments.overview import Overview, collect
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result
from pysi.experiments.run import execute, resume, start
from pysi.experiments.sweep import Sweep, sweep_cells, validate
from pysi.storage.files import atomic, cannot_write, open_regular

PLAN = "plan.json"
"""The file that says what is to be run."""
EXTENSIONS = 2
"""How often a grid is extended, if the best strength is at its edge."""


def compared(protocol: type[Protocol], scenario: str) -> list[str]:
    """Return the methods of a landscape: all that fit, and that learn all tasks in one network."""
    return [
        name
        for name in protocol.offers()
        if scenario not in (method := METHODS[name]).unfit
        and method.family != "mistake"
        and (method.trains.sequence or method.trains.together)
    ]


@dataclass(frozen=True)
class Plan:
    """What a landscape compares, written to its folder as ``plan.json``.

    Attributes
    ----------
    config : Protocol
        The settings of all runs; its methods, strengths and scenario are ignored.
    methods, scenarios : tuple of str
        In each scenario, the methods that fit it are compared.
    sweep_seeds : int
        Seeds per strength, on held-out training data.

    Raises
    ------
    ConfigError
        A scenario that the experiment does not have, or that no method fits; or wrong settings.
    """

    config: Protocol
    methods: tuple[str, ...]
    scenarios: tuple[str, ...]
    sweep_seeds: int = 2

    def __post_init__(self) -> None:
        whole("sweep_seeds", self.sweep_seeds)
        for scenario in self.scenarios:
            self.within(scenario)
        if not self.scenarios:
            raise ConfigError(f"scenarios: expected some of {self.config.scenarios}, found none")

    def within(self, scenario: str) -> Protocol:
        """Return the settings in a scenario, with the methods that fit it."""
        fitting = tuple(name for name in self.methods if scenario not in METHODS[name].unfit)
        if not fitting:
            raise ConfigError(f"methods: expected some that fit {scenario}, found {self.methods}")
        return replace(self.config, scenario=scenario, methods=fitting)

    def save(self, out: Path) -> None:
        """Write the plan into a folder."""
        content = {"experiment": self.config.name} | asdict(self)
        with atomic(out / PLAN, "w", encoding="utf-8") as file:
            json.dump(content, file)

    @classmethod
    def load(cls, out: Path) -> "Plan":
        """Return the plan in a folder; raise a DataError if there is none, or it is damaged."""
        path = out / PLAN
        with open_regular(path, "the plan of a landscape") as file:
            try:
                plan = json.loads(file.read().decode())
                plan["config"] = PROTOCOLS[plan.pop("experiment")](**plan["config"])
                for name in ("methods", "scenarios"):
                    plan[name] = tuple(plan[name])
                return cls(**plan)
            except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as err:
                raise DataError(f"{path}: expected the plan of a landscape, found {err}") from err


class Landscape:
    """Where a landscape is made, and how.

    Parameters
    ----------
    plan : Plan
    dataset : Dataset
    out : Path
        The folder. Runs that it already holds are not repeated.
    jobs, cluster
        See `pysi.experiments.run.execute`.
    """

    def __init__(
        self, plan: Plan, dataset: Dataset, out: Path, *, jobs: int = 1, cluster: str | None = None
    ) -> None:
        self.plan, self.dataset, self.out = plan, dataset, out
        self.jobs, self.cluster = jobs, cluster

    def run(self) -> Overview:
        """Run what is missing, scenario by scenario; write and return the overview after each."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise cannot_write(self.out, err) from err
        self.plan.save(self.out)
        for scenario in self.plan.scenarios:
            config, folder = self.plan.within(scenario), self.out / scenario
            swept = [name for name in config.methods if METHODS[name].grid]
            chosen = {name: self.choose(name, config, folder) for name in swept}
            listed = tuple(f"{name}={c!r}" for name, c in chosen.items())
            self.work(replace(config, strengths=listed), folder / "run", Result)
            overview = collect(self.out)
            overview.save(self.out)
        return overview

    def choose(self, name: str, config: Protocol, folder: Path) -> float:
        """Return the best strength of a method, by a sweep whose grid grows if necessary."""
        grid = METHODS[name].grid
        for extension in range(EXTENSIONS + 1):
            listed = tuple(f"{name}={c!r}" for c in sorted(grid))
            try:
                one = replace(
                    config, methods=(name,), strengths=listed, seeds=self.plan.sweep_seeds
                )
            except ConfigError:
                if not extension:
                    raise
                break  # the grid has reached the end of what makes sense
            sweep = self.work(one, folder / f"sweep-{name}", Sweep)
            chosen = sweep.choose()
            if "c" not in chosen["at_the_edge_of"] or extension == EXTENSIONS:
                break
            grid = (*grid, beyond(grid, chosen["c"]))
        return chosen["c"]

    def work(self, config: Protocol, folder: Path, kind: type[Result]) -> Any:
        """Run what a result or sweep lacks, and return it."""
        sweep = kind is Sweep
        dataset = self.dataset.hold_out() if sweep else self.dataset
        cells = sweep_cells(config, [config.xi]) if sweep else all_cells(config)
        if (folder / kind.file).exists():
            lists = {name: getattr(config, name) for name in config.lists()}
            result, held = resume(folder, experiment=config.name, kind=kind, **lists)
            if held != config:
                if result.lock:
                    result.lock.release()
                pairs = [(k, v, asdict(held)[k]) for k, v in asdict(config).items()]
                other = "; ".join(f"{k} {a}, found {b}" for k, a, b in pairs if a != b)
                raise ConfigError(f"{folder}: expected results with {other}")
        else:
            more: dict[str, Any] = {"xi": [config.xi], "chosen": None} if sweep else {}
            result = start(
                config, dataset, folder, cells, kind=kind, jobs=self.jobs,
                threads=1 if self.cluster else None, **more,
            )  # fmt: skip
        work = validate if sweep else run_cell
        print(f"{folder}: {len(cells)} runs of {' '.join(config.methods)}", flush=True)
        execute(
            cells, result, dataset, folder, work=work, jobs=self.jobs, cluster=self.cluster
        )  # fmt: skip
        return result


def beyond(grid: Sequence[float], best: float) -> float:
    """Return the next strength after the best one, which is at the edge of a grid."""
    ordered = sorted(c for c in grid if c > 0)
    ratio = (ordered[-1] / ordered[0]) ** (1 / (len(ordered) - 1))
    return float(f"{best * ratio if best == ordered[-1] else best / ratio:.1g}")
