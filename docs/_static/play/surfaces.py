"""Two tasks, two synapses and a rule: what the page of the two loss surfaces asks Python for.

The losses, the start and the training are those of notebook 1. Every strength c of the slider has a
network of its own, and `pysi` trains all of them side by side: the slider then picks one of them.

The page calls `describe` once, and then `begin` and `more`. All numbers that it gets are finite.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import pysi
from pysi.arguments import choice, number, whole
from pysi.backend import stream
from pysi.figures.style import colour, look_of
from pysi.rules.mistakes import Cap
from pysi.rules.rule import Rule
from pysi.training import update
from pysi.typing import Array

START = np.array([-1.9, 1.6])  # θ(t0)
BEST = np.array([[-0.8, -0.6], [1.6, 1.4]])  # θ*, one row per task
ALONG, ACROSS = (0.1, 0.06), 2.0  # curvatures: along the floor of each valley, and across
SECOND = 60  # degrees: where the valley of task 2 runs
VIEW = (-2.5, 2.5, -1.7, 2.3)
FAR = 8.0  # a path is cut where a synapse has gone so far
STEPS, XI = 3000, 1e-3

STRENGTHS = np.array([0.0, *np.logspace(-3, 2, 51)])
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.2)
RANGES = {"c": (0.0, 100.0), "turn": (-90.0, 90.0), "lr": (0.005, 1.2), "noise": (0.0, 0.5)}
DEFAULTS = {"rule": "si", "c": 1.0, "turn": 0.0, "lr": 0.05, "noise": 0.0}


class GaussianEWC(pysi.OnlineEWC):
    """EWC for a loss that is the negative logarithm of a Gaussian likelihood: its Fisher is H."""

    def __init__(self, c: Any, H: Array) -> None:
        super().__init__(c)
        self.H = H

    def estimate(self, net: Any = None, task: Any = None) -> Array:
        """Return the diagonal of H, (P,)."""
        return np.diag(self.H)


class Choice(NamedTuple):
    """A button: its label, the rule for strengths c and task 1's H, and how it finds Ω."""

    label: str
    note: str
    make: Callable[[Array, Array], Rule]
    unit: float = 1.0  # the penalty at strength c is c · unit · Σ Ω (θ - θ̃)²


RULES = {
    "fine-tuning": Choice(
        "None",
        "No rule: task 2 is learned as if there had been no task 1, and c does nothing.",
        lambda c, H: pysi.FineTuning(),
    ),
    "si": Choice(
        "SI",
        "Synaptic Intelligence: Ω is the work ω that a synapse did in task 1, divided by its "
        "squared movement (Eq. 5).",
        lambda c, H: pysi.SynapticIntelligence(c, xi=XI),
    ),
    "ewc": Choice(
        "EWC",
        "Elastic weight consolidation: Ω is the Fisher information. Where a loss is the negative "
        "logarithm of a Gaussian likelihood, that is its curvature. Here c is the paper's λ, and "
        "the penalty has the factor λ/2, so that c = 1 is its natural value.",
        GaussianEWC,
        0.5,
    ),
    "l2": Choice("L2", "L2: Ω is 1 for every synapse, whatever it did.", lambda c, H: pysi.L2(c)),
    "rwalk": Choice(
        "RWalk",
        "Riemannian walk: Ω is the sum of a Fisher information and of a path integral. Both are "
        "scaled to go from 0 to 1 over the synapses, which is coarse with only two of them.",
        lambda c, H: pysi.RWalk(c),
    ),
    "sos": Choice(
        "SOS",
        "SOS: Ω is the root of the mean squared gradient. It is not divided by the movement, so c "
        "has another natural size.",
        lambda c, H: pysi.SOS(c),
    ),
    "cap": Choice(
        "SI, capped",
        "A mistake that was found in a library: SI with Ω cut off at 0.001. What matters much and "
        "what matters little then look the same.",
        lambda c, H: Cap(c, xi=XI),
    ),
}


def valley(angle: float, along: float, across: float = ACROSS) -> Array:
    """Return the Hessian of a valley that runs at `angle` degrees."""
    floor = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return along * np.outer(floor, floor) + across * (np.eye(2) - np.outer(floor, floor))


def hessians(turn: float = 0.0) -> Array:
    """Return H of both tasks, with the valley of task 1 turned by some degrees."""
    return np.array([valley(turn, ALONG[0]), valley(SECOND, ALONG[1])])


def losses(theta: Array, H: Array) -> Array:
    """Return the loss of task 1, that of task 2 and their sum, (..., 3), at weights (..., 2)."""
    d = theta[..., None, :] - BEST
    both = 0.5 * np.einsum("...ti,tij,...tj->...t", d, H, d)
    return np.concatenate([both, both.sum(axis=-1, keepdims=True)], axis=-1)


def joint(H: Array) -> Array:
    """Return the weights with the lowest sum of both losses."""
    return np.linalg.solve(H.sum(axis=0), np.einsum("tij,tj->i", H, BEST))


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


def short(x: float) -> str:
    """Return a number with two digits, such as "0.0063", "21" or "100"."""
    return f"{float(f'{x:.2g}'):g}"


class Outcome:
    """Where the networks of all strengths have ended, and what is seen there.

    Parameters
    ----------
    rule, H, lr, noise, steps
        As for `learn`; H of both tasks.
    t1, t2 : array, (R, 2)
        θ at the end of task 1 and of task 2.
    omega, Omega : array, (2,)
        What a synapse remembers of task 1, the same for every strength. Some rules have no ω.
    """

    def __init__(
        self, rule: str, H: Array, lr: float, noise: float, steps: int, t1: Array, t2: Array,
        omega: Array | None, Omega: Array,
    ) -> None:  # fmt: skip
        self.rule, self.H, self.noise, self.steps = rule, H, noise, steps
        self.t1, self.t2, self.omega, self.Omega = t1[0], t2, omega, Omega
        self.steepness = Omega * RULES[rule].unit  # of the rule's parabolas, at c = 1
        with np.errstate(all="ignore"):
            self.after, self.losses = losses(self.t1, H), losses(t2, H)
        self.joint = joint(H)
        self.lowest = losses(self.joint, H)[2]
        # descent is stable while learning rate times curvature is below 2
        self.products = [lr * np.linalg.eigvalsh(h)[-1] for h in H]
        self.learned = self.products[0] < 2 and np.isfinite([*self.after, *Omega]).all()
        self.pulled = np.full(len(STRENGTHS), np.inf)
        if self.learned:
            pull = 2 * STRENGTHS[:, None, None] * np.diag(self.steepness)
            self.pulled = lr * np.linalg.eigvalsh(H[1] + pull)[:, -1]
        self.good = (self.pulled < 2) & np.isfinite(self.losses).all(axis=-1)

    def told(self) -> dict[str, Any]:
        """Return all that the page shows, with None in place of what is not finite."""
        ends = zip(self.t2, self.losses, self.good, strict=True)
        told = {
            "ends": [[*theta, *found] if good else None for theta, found, good in ends],
            "joint": [*self.joint, *losses(self.joint, self.H)],
            "says": [self.sentences(k) for k in range(len(STRENGTHS))],
            "memory": None,
        }
        if self.learned:
            told["memory"] = {
                "omega": self.omega, "Omega": self.Omega, "theta_ref": self.t1,
                "half": np.diag(self.H[0]) / 2, "after": self.after, "slices": self.slices(),
            }  # fmt: skip
        return told

    def slices(self) -> Array:
        """Return for each synapse x, task 1's loss along it through θ(t1), and the surrogate."""
        found = np.empty((2, 3, 61))
        for k in (0, 1):
            x = np.linspace(*VIEW[2 * k : 2 * k + 2], 61)
            line = np.tile(self.t1, (61, 1))
            line[:, k] = x
            parabola = self.after[0] + self.steepness[k] * (x - self.t1[k]) ** 2
            found[k] = x, losses(line, self.H)[:, 0], parabola
        return found

    def sentences(self, k: int) -> str:
        """Return what is seen with the k-th strength, in sentences that its numbers prove."""
        if not self.learned:
            return overshoot(1, self.products[0], "Choose a smaller learning rate.")
        if not self.good[k]:
            if self.products[1] >= 2:
                return overshoot(2, self.products[1], "Choose a smaller learning rate.")
            remedy = "The pull adds 2cΩ to the curvature: choose a smaller c or learning rate."
            return overshoot(2, self.pulled[k], remedy)
        said = []
        start = losses(START, self.H)
        if self.after[0] > 0.02 * start[0]:
            said.append(f"After {self.steps} steps task 1 still has a loss of {self.after[0]:.2f}.")
        if self.rule == "fine-tuning" or STRENGTHS[k] == 0:
            return " ".join([*said, *self.forgetting(k, start[0])])
        return " ".join([*said, *self.compared(k), *self.held(), *self.better(k)])

    def forgetting(self, k: int, start: float) -> list[str]:
        """Return what becomes of task 1 where nothing holds the synapses."""
        old, new, _ = self.losses[k]
        rise = (
            f"Without consolidation the loss of task 1 goes from {self.after[0]:.2f} to {old:.2f}"
        )
        if old > 0.5 * start:
            return [f"{rise}: this is catastrophic forgetting."]
        if old > 0.15 * start:
            return [f"{rise}. Before training it was {start:.2f}."]
        if new > 0.05 * self.after[1]:
            return [f"{rise}.", f"But task 2 is not learned yet: its loss is {new:.2f}."]
        return [f"{rise}.", "Little is forgotten: task 2's minimum lies low in task 1's valley."]

    def compared(self, k: int) -> list[str]:
        """Return how good the sum of both losses is, beside no rule and beside joint training."""
        old, new, total = self.losses[k]
        free, lowest = self.losses[0, 2], self.lowest
        sum_is = f"The sum of both losses is {total:.2f}"
        if total <= 1.02 * lowest or f"{total:.2f}" == f"{lowest:.2f}":
            return [f"{sum_is}, as low as training on both tasks at once can make it."]
        if total > 1.02 * free:
            worse = f"{sum_is}, and without any rule it is {free:.2f}: the rule is worse than none."
            gets = f"and task 2 only gets from {self.after[1]:.2f} to {new:.2f}."
            return [worse, f"Task 1 ends at {old:.2f}, {gets}"] if new > old else [worse]
        if total >= 0.98 * free:
            return [f"{sum_is}, about as much as without any rule ({free:.2f})."]
        return [f"{sum_is}. Without any rule it is {free:.2f}, and at best {lowest:.2f}."]

    def held(self) -> list[str]:
        """Return what Ω says of both synapses, and what it cannot say or gets wrong."""
        low, high = np.argsort(self.steepness)
        least, most = self.steepness[[low, high]]
        if not most:
            return []
        times = most / least if least else np.inf
        names = f"θ{'₁₂'[high]} matters"
        said = [
            f"By Ω, only {names}." if times > 1000
            else f"By Ω, {names} {short(times)} times as much as θ{'₁₂'[low]}." if times >= 2
            else "By Ω, both synapses matter about equally."
        ]  # fmt: skip
        h = np.diag(self.H[0])
        if abs(self.H[0, 0, 1]) > 0.5 * np.sqrt(h.prod()):
            said.append("But task 1 stays solved if both move at once, along the floor of its "
                        "valley: one number per synapse cannot say so.")  # fmt: skip
        excess = (self.steepness / (h / 2)).max()
        if self.noise and self.rule == "si" and excess > 1.2:
            said.append("With noise, ω also adds up squared noise. Ω is up to "
                        f"{short(excess)} times half the curvature.")  # fmt: skip
        return said

    def better(self, k: int) -> list[str]:
        """Return which strength has the lowest sum of both losses, unless this one is as good."""
        totals = np.where(self.good, self.losses[:, 2], np.inf)
        at = int(totals.argmin())
        if totals[at] > 0.98 * totals[k]:
            return []
        return [
            f"The lowest sum on this slider is {totals[at]:.2f}, at c = {short(STRENGTHS[at])}."
        ]


def overshoot(task: int, product: float, remedy: str) -> str:
    """Return what happens where learning rate times curvature is 2 or more."""
    if not np.isfinite(product):
        return f"In task {task} the numbers become too large to be shown. {remedy}"
    return (
        f"In task {task} the steps overshoot: learning rate times curvature is {product:.3g}, "
        f"and from 2 on each step leads farther away. {remedy}"
    )


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
