"""Two tasks for two synapses, and the rules that can protect the first: those of notebook 1."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import pysi
from pysi.rules.mistakes import Cap
from pysi.rules.rule import Rule
from pysi.typing import Array

START = np.array([-1.9, 1.6])  # θ(t0)
BEST = np.array([[-0.8, -0.6], [1.6, 1.4]])  # θ*, one row per task
ALONG, ACROSS = (0.1, 0.06), 2.0  # curvatures: along the floor of each valley, and across
SECOND = 60  # degrees: where the valley of task 2 runs
VIEW = (-2.5, 2.5, -1.7, 2.3)
XI = 1e-3

STRENGTHS = np.array([0.0, *np.logspace(-3, 2, 51)])


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
