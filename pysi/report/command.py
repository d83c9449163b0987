"""The settings of a result: in words, beside the paper's, and as the command that makes it."""

from collections.abc import Mapping
from dataclasses import fields
from shlex import quote
from typing import Any

from pysi.errors import ConfigError
from pysi.experiments.landscape import compared
from pysi.experiments.methods import METHODS
from pysi.experiments.overview import Overview
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS
from pysi.resets import reset_mode

HOW = ("device", "tf32", "dtype", "dataset")
"""Settings that say on what a protocol is run."""


def words(value: Any, name: str = "") -> str:
    """Return the value of a setting as text; for Adam's reset, in the words of `pysi.resets`."""
    if isinstance(value, tuple | list):
        return " ".join(map(words, value)) or "none"
    if isinstance(value, bool) and name == "reset_optimizer":
        return reset_mode(value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def settings(content: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Protocol:
    """Return the settings of a result, or those in `config`, as its experiment's class.

    The device is always "numpy", since this machine may not have the device of the result.

    Raises
    ------
    ConfigError
        The experiment is unknown, or these are not its settings.
    """
    protocol = PROTOCOLS[content["experiment"]]
    here = {"device": "numpy", "tf32": False}
    try:
        return protocol(**{**(config or content["config"]), **here})
    except TypeError as err:
        raise ConfigError(f"config: expected the settings of {protocol.name}, found {err}") from err


def deviations(content: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that change a run and are not the paper's: by name, ours and theirs."""
    ours = settings(content, config)
    left_out = {*ours.lists(), *HOW}
    names = [field.name for field in fields(ours)]
    pairs = {name: (getattr(ours, name), getattr(type(ours), name)) for name in names}
    return {k: (a, b) for k, (a, b) in pairs.items() if k not in left_out and a != b}


def options(
    content: Mapping[str, Any], ours: Protocol, base: Protocol, **more: Any
) -> dict[str, Any]:
    """Return the settings that are not those of a preset, by name; the device is the file's."""
    config = content["config"]
    values = {f.name: getattr(ours, f.name) for f in fields(ours)} | more
    values |= {name: config.get(name, getattr(base, name)) for name in ("device", "tf32")}
    if (used := content["dataset"]["name"]) in ours.datasets:
        values["dataset"] = used  # which may have taken the place of one that was not found
    return {name: value for name, value in values.items() if value != getattr(base, name)}


def option(name: str, value: Any) -> str:
    """Return a setting as an option of the command line."""
    flag = f"--{name.replace('_', '-')}"
    if name == "tf32":
        return flag
    several = value if isinstance(value, tuple | list) else [value]
    return " ".join([flag, *(quote(words(one, name)) for one in several)])


def command(result: Any) -> tuple[str, dict[str, Any]]:
    """Return the command that makes such a result again, and the settings that it cannot give.

    It names the preset that needs the fewest further options.

    Raises
    ------
    ConfigError
        The experiment is unknown, or these are not its settings.
    """
    if isinstance(result, Overview):
        return of_landscape(result)
    content = result.content
    protocol, sweep = PROTOCOLS[content["experiment"]], result.command == "sweep"
    ours = settings(content)
    chosen_for = {"methods": protocol.swept} if sweep else {}
    # a sweep's values of ξ are an entry of their own
    more = {"xi": tuple(content["xi"])} if sweep and "xi" in content else {}
    found = {}
    for name, preset in protocol.presets.items():
        base = protocol(**{**chosen_for, **preset})
        given = options(content, ours, base, **more)
        if sweep and given.get("xi") == (base.xi,):
            del given["xi"]
        able = protocol.options()
        beyond = {k: v for k, v in given.items() if k not in able or v in (None, ())}
        found[name] = (len(beyond), len(given), given, beyond)
    best = min(found, key=lambda name: found[name][:2])
    *_, given, beyond = found[best]
    parts = ["pysi", result.command, content["experiment"]]
    parts += [f"--preset {best}"] if best != "full" else []
    parts += [option(name, value) for name, value in given.items() if name not in beyond]
    parts += ["--vectorise"] if content["environment"].get("vectorise") else []
    return " ".join(parts), beyond


def of_landscape(overview: Overview) -> tuple[str, dict[str, Any]]:
    """Return the command that makes such a landscape again, and what it cannot give."""
    content, scenarios = overview.content, overview.scenarios
    protocol = PROTOCOLS[content["experiment"]]
    first: Any = next(iter(scenarios.values()), None)
    if first is None:
        raise ConfigError("scenarios: expected some, found none")
    # each method's strengths are those of its sweep
    alone = {"methods": ("fine-tuning",), "c": protocol.c, "ewc_c": protocol.ewc_c, "strengths": ()}
    own = {f.name for f in fields(protocol)} & {"seeds", "epochs", "dataset"}
    found = {}
    for name, preset in protocol.presets.items():
        base = protocol(**{"seeds": 10, **preset, **alone})
        config = {**first["config"], **alone, "scenario": base.scenario}
        given = options(content | {"config": config}, settings(content, config), base)
        found[name] = (len(given.keys() - own), len(given), given)
    best = min(found, key=lambda name: (*found[name][:2], name != protocol.landscape))
    beyond = {name: value for name, value in found[best][2].items() if name not in own}
    given = {name: value for name, value in found[best][2].items() if name in own}
    named = {name for scenario in scenarios.values() for name in scenario["config"]["methods"]}
    methods = [name for name in METHODS if name in named]
    if set(methods) != {name for s in protocol.scenarios for name in compared(protocol, s)}:
        given["methods"] = methods
    if tuple(scenarios) != protocol.scenarios:
        given["scenarios"] = list(scenarios)
    sweeps = [sweep for scenario in scenarios.values() for sweep in scenario["sweeps"].values()]
    seeds = max((len(values) for sweep in sweeps for _, values in sweep["points"]), default=2)
    given |= {"sweep_seeds": seeds} if seeds != 2 else {}
    parts = ["pysi", "landscape", content["experiment"]]
    parts += [f"--preset {best}"] if best != protocol.landscape else []
    return " ".join(parts + [option(name, value) for name, value in given.items()]), beyond
