"""Two tasks, two synapses and a rule: what the page of the two loss surfaces asks Python for.

The losses, the start and the training are those of notebook 1. Every strength c of the slider has a
network of its own, and `pysi` trains all of them side by side: the slider then picks one of them.

The page calls `describe` once, and then `begin` and `more`. All numbers that it gets are finite.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

import pysi
from outcome import Outcome
from pysi.arguments import choice, number, whole
from pysi.backend import stream
from pysi.figures.style import colour, look_of
from pysi.training import update
from pysi.typing import Array
from two_tasks import ACROSS, ALONG, BEST, RULES, SECOND, START, STRENGTHS, VIEW, hessians

FAR = 8.0  # a path is cut where a synapse has gone so far
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.2)
RANGES = {"c": (0.0, 100.0), "turn": (-90.0, 90.0), "lr": (0.005, 1.2), "noise": (0.0, 0.5)}
DEFAULTS = {"rule": "si", "c": 1.0, "turn": 0.0, "lr": 0.05, "noise": 0.0}
STEPS = 3000


def describe(progress: Any = None) -> dict[str, Any]:
    """Return what the page needs to draw its controls and both valleys."""
    roles = ("fine-tuning", "exact", "surrogate", "hessian", "joint", "chance")
    return {
        "rules": [
            {"name": name, "label": rule.label, "note": rule.note, "colour": look_of(name).colour}
            for name, rule in RULES.items()
        ],
        "colours": {role: colour(role) for role in roles},
        "strengths": STRENGTHS.tolist(), "rates": RATES, "ranges": RANGES, "defaults": DEFAULTS,
        "start": START.tolist(), "best": BEST.tolist(), "along": ALONG, "across": ACROSS,
        "second": SECOND, "view": VIEW, "steps": STEPS,
    }  # fmt: skip


def setting(name: str, value: Any) -> float:
    """Return a setting as a float; a ConfigError unless it is in its range."""
    low, high = RANGES[name]
    return number(name, value, f"a number from {low:g} to {high:g}", lambda x: low <= x <= high)


def moments(steps: int) -> set[int]:
    """Return the steps after which a path gets a point: all of the first, then every so many."""
    return {*range(1, min(40, steps) + 1), *range(steps, 0, -max(1, steps // 150))}


def finite(row: Array) -> list[float] | None:
    """Return a list of numbers, or None if one of them is not finite."""
    return row.tolist() if np.isfinite(row).all() else None


def followed(last: Array, theta: Array) -> Array:
    """Return the next points of paths, (R, 2); a path that has left the picture goes no farther."""
    inside = (abs(last) < FAR).all(axis=-1, keepdims=True) & np.isfinite(theta)
    return np.where(inside, np.clip(theta, -FAR, FAR), last)


def learn(
    *, rule: str = "si", turn: float = 0.0, lr: float = 0.05, noise: float = 0.0, steps: int = STEPS
) -> Iterator[dict[str, Any]]:
    """Learn task 1, then task 2, with one network per strength; yield what is known, part by part.

    A part has the task, how many of its steps are done, θ of all networks at some moments,
    (R, moments, 2), and ω where the rule has one. The last part is that of `Outcome.told`. A
    ConfigError names a setting that is out of its range.
    """
    make, unit = RULES[choice("rule", rule, RULES)][2:4]
    turn, lr, noise = setting("turn", turn), setting("lr", lr), setting("noise", noise)
    steps, H = whole("steps", steps), hessians(turn)
    s = pysi.Synapses({"theta": (2,)}, lead=STRENGTHS.shape, dtype=np.float64)
    s.theta[...] = START
    optimizer, consolidation = pysi.SGD(lr), make(STRENGTHS * unit, H[0])
    optimizer.start(s)
    consolidation.start(s)
    earns = isinstance(consolidation, pysi.SynapticIntelligence)
    wanted, points, ends = moments(steps), [s.theta.copy()], []
    for task in (0, 1):
        # a minibatch sees the minimum a little beside its place: the same for all networks
        beside = noise * stream(0, "noise", task).standard_normal((steps, 2))
        for step in range(1, steps + 1):
            with np.errstate(all="ignore"):  # steps that overshoot are named at the end
                s.grad[...] = (s.theta - BEST[task] - beside[step - 1]) @ H[task]
                update(s, optimizer, consolidation, consolidation.before_step(None))
            if step in wanted:
                points.append(followed(points[-1], s.theta))
            if len(points) > 12 or step == steps:
                yield {"task": task, "step": step, "theta": np.stack(points[1:], axis=1),
                       "omega": finite(s.omega[0]) if earns else None}  # fmt: skip
                points = points[-1:]
        ends.append(s.theta.copy())
        if task == 0:
            omega = s.omega[0].copy() if earns else None
            with np.errstate(all="ignore"):
                consolidation.end_task()
            Omega = s.Omega[0].copy()
    yield Outcome(rule, H, lr, noise, steps, *ends, omega, Omega).told()


running: Iterator[dict[str, Any]] = iter(())


def begin(progress: Any = None, **settings: Any) -> dict[str, Any]:
    """Begin to learn with these settings, in place of what was running; return the first part."""
    global running
    running = learn(**settings)
    return next(running)


def more(progress: Any = None) -> dict[str, Any]:
    """Return the next part: small ones, so that the page can begin anew after each of them."""
    return next(running)
