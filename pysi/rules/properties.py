"""What Synaptic Intelligence promises, as a check of your own rule.

A rule learns two tasks of which everything is known: each loss is ½ Σ h (θ - θ*)², without noise.
Every property compares numbers that the rule leaves in the table with those that the paper asks
for. A mistake breaks some properties and keeps others, which tells what the mistake is.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pysi.arguments import instance
from pysi.backend import stream
from pysi.errors import ConfigError
from pysi.optim import SGD, Adam, Optimizer
from pysi.rules.rule import FineTuning, Rule
from pysi.synapses import Synapses
from pysi.training import update
from pysi.typing import Array

LAYERS = {"dense1.W": (3, 4), "dense1.b": (4,), "dense2.W": (4, 2), "dense2.b": (2,)}
RATE, STEPS, EXAMPLES = 0.05, 8, 4

# make(c, xi=ξ) returns a new rule, as the class `SynapticIntelligence` does
Make: TypeAlias = Callable[..., Rule]
# what was found, what is expected, and how far apart they may be
Comparison: TypeAlias = tuple[Any, Any, Any]


class Trial:
    """A new rule on a table of its own; the loss is `a` times as large, and θ `b` times."""

    def __init__(
        self, make: Make, c: float = 1.0, *, xi: float = 1e-3, optimizer: Optimizer | None = None,
        a: float = 1.0, b: float = 1.0,
    ) -> None:  # fmt: skip
        self.rule = instance("make(c, xi=ξ)", make(c, xi=xi), Rule)
        self.s, rng = Synapses(LAYERS, dtype=np.float64), stream(0, "properties")
        self.optimizer = optimizer or SGD(RATE * b * b / a)
        self.h = a / (b * b) * rng.uniform(0.5, 3, (2, len(self.s)))
        self.best = b * rng.standard_normal((2, len(self.s)))
        self.s.theta[...] = b * rng.standard_normal(len(self.s))
        self.rule.examples = np.arange(EXAMPLES)  # of a minibatch; the loss is their mean
        self.rule.start(self.s)

    def learn(self, task: int) -> tuple[Array, Array, Array]:
        """Learn a task; return for each step θ before it, the gradient g, and Δθ, (steps, P)."""
        self.optimizer.start(self.s)
        passed = []
        for _ in range(STEPS):
            before = self.s.theta.copy()
            self.s.grad[...] = self.h[task] * (before - self.best[task])
            update(self.s, self.optimizer, self.rule)
            passed.append((before, self.s.grad.copy(), self.s.theta - before))
        theta, g, delta = map(np.array, zip(*passed, strict=True))
        return theta, g, delta

    def loss(self, task: int) -> float:
        """Return the loss of a task at the present θ."""
        return float((self.h[task] * (self.s.theta - self.best[task]) ** 2).sum() / 2)

    def end(self) -> Array:
        """End a task; return Ω."""
        self.rule.end_task()
        self.rule.refresh()
        return self.s.Omega.copy()

    def complete(self, *tasks: int) -> Array:
        """Learn tasks, and end each; return Ω."""
        for task in tasks:
            self.learn(task)
            self.end()
        return self.s.Omega.copy()


def close(found: Any, expected: Any) -> Comparison:
    """Return a comparison of numbers that are equal up to rounding."""
    return found, expected, 1e-9 * abs(expected).max()


def no_strength(make: Make) -> Comparison:
    """With c = 0, θ is that of plain training, to the bit."""
    plain, rule = Trial(lambda c, xi: FineTuning()), Trial(make, 0.0)
    plain.complete(0, 1), rule.complete(0, 1)
    return rule.s.theta, plain.s.theta, 0


def first_task(make: Make) -> Comparison:
    """The strength c changes nothing in task 1, to the bit."""
    weak, strong = Trial(make, 0.0), Trial(make, 2.0)
    weak.learn(0), strong.learn(0)
    return strong.s.theta, weak.s.theta, 0


def path_integral(make: Make) -> Comparison:
    """ω of task 2 is -Σ g Δθ, with g of its loss alone and the step really made (Eq. 3)."""
    trial = Trial(make, optimizer=Adam(RATE))
    trial.complete(0)
    _, g, delta = trial.learn(1)
    return close(trial.s.omega, -(g * delta).sum(axis=0))


def loss_drop(make: Make) -> Comparison:
    """The sum of ω in task 2 is the drop of its loss, to first order in the steps."""
    trial = Trial(make)
    trial.complete(0)
    before = trial.loss(1)
    _, _, delta = trial.learn(1)
    second_order = (trial.h[1] * delta**2).sum() / 2
    return trial.s.omega.sum(), before - trial.loss(1), second_order * (1 + 1e-9)


def penalty(make: Make) -> Comparison:
    """The optimizer follows g + 2c Ω (θ - θ̃) in task 2 (Eq. 4)."""
    trial = Trial(make)
    Omega, reference = trial.complete(0), trial.s.theta.copy()
    theta, g, delta = trial.learn(1)
    return close(delta, -RATE * (g + 2 * Omega * (theta - reference)))


def importance(make: Make) -> Comparison:
    """Ω of every synapse, the readout's too, is ω / (Δ² + ξ) after task 1 (Eq. 5)."""
    trial = Trial(make, xi=0.1)
    before = trial.learn(0)[0][0]
    omega = trial.s.omega.copy()
    return close(trial.end(), omega / ((trial.s.theta - before) ** 2 + 0.1))


def sum_over_tasks(make: Make) -> Comparison:
    """Ω adds up: the same task, learned twice from the same θ, gives twice the Ω (Eq. 5)."""
    trial = Trial(make, 0.0)
    start = trial.s.theta.copy()
    once = trial.complete(0)
    trial.s.theta[...] = trial.s.theta_ref[...] = start
    return close(trial.complete(0), 2 * once)


def cut_off(make: Make) -> Comparison:
    """Negative Ω is cut off from the sum over tasks: from 1, -2, 0.5 it becomes 1, 0, 0.5."""
    trial, found = Trial(make, xi=0.0), []
    for contribution in (1.0, -2.0, 0.5):
        trial.s.theta[...] += 1.0
        trial.s.omega[...] = contribution
        found.append(trial.end()[0])
    return close(np.array(found), np.array([1.0, 0.0, 0.5]))


def units_of_loss(make: Make) -> Comparison:
    """A loss that is 4 times as large gives 4 times the Ω, if the steps are the same."""
    return close(Trial(make, a=4.0).complete(0, 1), 4 * Trial(make).complete(0, 1))


def units_of_theta(make: Make) -> Comparison:
    """θ in other units, 2 θ, gives Ω / 4, if ξ = 0."""
    two, one = (Trial(make, xi=0.0, b=b).complete(0, 1) for b in (2.0, 1.0))
    return close(two, one / 4)


def fresh_start(make: Make) -> Comparison:
    """When a task has ended, θ̃ is θ, ω is 0, and the penalty is 0 and does not pull."""
    trial = Trial(make)
    trial.complete(0)
    s, before = trial.s, trial.s.theta.copy()
    found = [s.theta_ref - before, s.omega.copy(), s.zeros() + trial.rule.penalty()]
    s.grad[...] = 0
    update(s, SGD(RATE), trial.rule)
    return np.array([*found, s.theta - before]), np.zeros(1), 0


PROPERTIES: dict[str, Callable[[Make], Comparison]] = {
    compare.__name__: compare
    for compare in (
        no_strength, first_task, path_integral, loss_drop, penalty, importance, sum_over_tasks,
        cut_off, units_of_loss, units_of_theta, fresh_start,
    )
}  # fmt: skip
"""The properties by name; the docstring of each says what holds."""


def broken_properties(make: Make) -> dict[str, str]:
    """Return the properties that a rule does not have, each with a sentence and two numbers."""
    broken = {}
    for name, compare in PROPERTIES.items():
        found, expected, allowed = map(np.atleast_1d, compare(make))
        error = np.where(np.isfinite(found), abs(found - expected) - allowed, np.inf)
        if error.max() > 0:
            i = np.unravel_index(error.argmax(), error.shape)
            wanted = np.broadcast_to(expected, error.shape)[i]
            broken[name] = f"{compare.__doc__} Expected {wanted:.6g}, found {found[i]:.6g}."
    return broken


def check_synaptic_intelligence(make: Make) -> None:
    """Check that a rule has every property of Synaptic Intelligence.

    The rule must work on a table alone, without a network, and keep ω, Ω and θ̃ there.

    Parameters
    ----------
    make : callable
        make(c, xi=ξ) returns a new rule, as the class `SynapticIntelligence` does.

    Raises
    ------
    ConfigError
        Some properties do not hold; the message names them, with an expected and a found number.

    Examples
    --------
    >>> from pysi.rules.si import SynapticIntelligence
    >>> check_synaptic_intelligence(SynapticIntelligence)
    """
    if broken := broken_properties(make):
        raise ConfigError(
            f"{getattr(make, '__name__', make)}: expected the {len(PROPERTIES)} properties of "
            f"Synaptic Intelligence, found {len(broken)} that it does not have:"
            + "".join(f"\n  {name}: {sentence}" for name, sentence in broken.items())
        )
