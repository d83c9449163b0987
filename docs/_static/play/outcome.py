"""Where the networks of all strengths have ended, and what is seen there, in sentences."""

from typing import Any

import numpy as np

from pysi.typing import Array
from two_tasks import RULES, START, STRENGTHS, VIEW, joint, losses


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
