"""`pysi landscape`: all methods in all scenarios, with one command that can be stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pysi.errors import ConfigError
from pysi.experiments import machine
from pysi.experiments.landscape import PLAN, Landscape, Plan, compared
from pysi.experiments.overview import Overview
from pysi.experiments.parallel import connect
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.run import default_out
from pysi.figures.landscape import figure_landscape
from pysi.figures.style import FORMATS, save

ALONE = {"methods": ("fine-tuning",)}
"""The plan lists the methods, since not all of them fit all scenarios."""


def compare(
    experiment: str, *, out: Path | None = None, resume: Path | None = None,
    data: str | None = None, jobs: int | None = None, dask: str | None = None,
    preset: str | None = None, scenarios: list[str] | None = None, sweep_seeds: int | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Choose strengths, run all methods, write the overview and draw it."""
    protocol = PROTOCOLS[experiment]
    if resume and (out or preset):
        raise ConfigError("--resume goes on with what it finds: give no --out or --preset with it")
    if jobs is not None and (dask or jobs < 1):
        raise ConfigError("jobs: expected a whole number from 1, and none with --dask")
    given: dict[str, Any] = {"scenarios": scenarios, "methods": settings.pop("methods", None)}
    given = {name: tuple(names) for name, names in given.items() if names}
    given |= {} if sweep_seeds is None else {"sweep_seeds": sweep_seeds}
    if resume:
        out, plan = resume, Plan.load(resume)
        if plan.config.name != experiment:
            raise ConfigError(f"{out}: expected {experiment}, found {plan.config.name}")
        plan = replace(plan, config=replace(plan.config, **settings), **given)
    else:
        out = out or default_out(f"{experiment}-landscape")
        if (out / PLAN).exists():
            raise ConfigError(f"out: {out} holds a landscape: use --resume {out}, or name another")
        chosen = given.get("scenarios", protocol.scenarios)
        fitting = dict.fromkeys(name for s in chosen for name in compared(protocol, s))
        preset = preset or protocol.landscape
        config = protocol(**{"seeds": 10, **protocol.presets[preset], **ALONE, **settings})
        plan = Plan(config, **({"methods": tuple(fitting), "scenarios": chosen} | given))
    machine.require("matplotlib")
    if dask:
        with connect(dask):
            pass
    dataset = plan.config.load_dataset(plan.config.dataset, data)
    jobs = jobs or machine.require("joblib").cpu_count()
    made = Landscape(plan, dataset, out, jobs=jobs, cluster=dask)
    print(f"{dataset.name} from {dataset.source}; the landscape goes to {out}")
    try:
        overview = made.run()
    except BaseException:
        if (out / PLAN).exists():
            print(f"\nStopped. Continue with\n    pysi landscape {experiment} --resume {out}")
        raise
    print(f"\n{overview.table()}\n")
    print("\n".join(map(str, draw_overview(overview, out))))


def draw_overview(overview: Overview, folder: Path) -> list[Path]:
    """Write the figure of a landscape in every format, and return the paths."""
    fig = figure_landscape(overview)
    return [save(fig, Path(folder) / f"landscape{ending}") for ending in FORMATS]
