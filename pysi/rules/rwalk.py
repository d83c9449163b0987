r"""Riemannian walk (Chaudhry et al., 2018): the Fisher information and a path integral together.

Two running numbers say how much a synapse matters. One is the empirical Fisher information, as a
moving average over the gradients of minibatches:

.. math:: F ← α g^2 + (1 - α) F.

The other is a score s. It is a path integral as in Synaptic Intelligence, but taken over intervals
of some steps, and divided by the distance by which the model's *predictions* have moved:

.. math:: s ← s + \frac{\max(0, ΔL)}{\tfrac12 F Δθ^2 + ε}, \qquad ΔL = -\sum g\, δθ,

where the sum is over the steps δθ of the interval, and Δθ is the sum of these steps. (With the
exact Fisher information, ½ F Δθ² is the Kullback-Leibler divergence between the predictions before
and after a small step.) When a task ends, its score is averaged with the old one, s̄ ← ½ (s̄ + s),
and from then on

.. math:: Ω = \tilde F + \tilde s, \qquad \tilde a = \frac{a - \min a}{\max a - \min a},

with minimum and maximum over all synapses of a network, and :math:`\tilde s` made from s̄. F
continues from task to task; s starts again from 0.

These formulas are from memory, not from the paper's text. They were compared with two public
implementations that refer to the paper's Eqs. 6 to 8: the first author's later code (A-GEM, 2019)
and Avalanche. `RWalk` says where these differ.
"""

from typing import Any

import numpy as np

from pysi.arguments import number, whole
from pysi.backend import elementwise
from pysi.rules.quadratic import QuadraticPenalty
from pysi.rules.si import path_integral
from pysi.synapses import Synapses, Update
from pysi.typing import Array, Strengths


@elementwise
def moving_average(F, g, alpha):
    """Return the new average, α g² + (1 - α) F."""
    return alpha * g * g + (1 - alpha) * F


@elementwise
def interval_score(s, gain, F, theta, anchor, eps):
    """Return s + max(0, ΔL) / (½ F Δθ² + ε), with Δθ = θ - anchor."""
    change = theta - anchor
    return s + np.maximum(gain, 0) / (0.5 * F * change * change + eps)


def normalised(row: Array, xp: Any) -> Array:
    """Return each network's row, (..., P), moved and scaled to [0, 1]; 0 if it is constant."""
    row = row - row.min(axis=-1, keepdims=True)
    largest = row.max(axis=-1, keepdims=True)
    return row / xp.where(largest > 0, largest, 1)


class RWalk(QuadraticPenalty):
    """Riemannian walk, without its memory of old examples.

    Parameters
    ----------
    c : float or sequence of float
        Strength c ≥ 0 of the penalty c Σ (F̃ + s̃) (θ - θ̃)², in nats per weight².
    alpha : float
        The weight of the newest gradient in F, 0 < α ≤ 1.
    interval : int
        Steps in an interval; the last one of a task may be shorter.
    eps : float
        Damping ε > 0 of the score, in nats.

    Notes
    -----
    g is the gradient of the task's loss alone, averaged over the minibatch. So F is not the mean of
    the squared gradients of single examples, but an estimate that costs no extra pass.

    The defaults are those of the first author's code for MNIST (for CIFAR it takes 50 steps). That
    code has no ½, updates F once per interval by the mean of g², and from the second task on adds
    the average of both scores to the old score, where we replace the old score by it. Avalanche
    clips the sum over intervals and not each interval, and divides by the maximum alone. Neither
    code halves the score of the first task, nor do we. Both drop the steps after a task's last
    whole interval; here they are an interval, too, so that short tasks have a score.

    References
    ----------
    Chaudhry, Dokania, Ajanthan & Torr (2018), Riemannian walk for incremental learning:
    Understanding forgetting and intransigence, ECCV.
    """

    name = "rwalk"
    kept = ("fisher", "score", "mean_score", "anchor", "steps", "tasks")

    def __init__(
        self, c: Strengths, *, alpha: float = 0.9, interval: int = 10, eps: float = 1e-3
    ) -> None:
        super().__init__(c)
        self.alpha = number("alpha", alpha, "0 < α ≤ 1", lambda alpha: 0 < alpha <= 1)
        self.interval = whole("interval", interval)
        self.eps = number("eps", eps, "a positive number", lambda eps: eps > 0)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.fisher, self.score, self.mean_score = (synapses.zeros() for _ in range(3))
        self.anchor = synapses.theta.copy()  # θ where the interval began
        self.steps = self.tasks = 0

    def before_step(self, net: Any) -> None:
        if self.steps == self.interval:
            self.end_interval()
        self.steps += 1

    def after_step(self, rows: Update, delta: Any) -> None:
        rows.omega[...] = path_integral(rows.omega, rows.grad, delta)
        F = rows.part(self.fisher)
        F[...] = moving_average(F, rows.grad, self.alpha)

    def end_interval(self) -> None:
        """Add the interval's part to the score, and begin the next interval."""
        s, score = self.synapses, self.score
        interval_score(score, s.omega, self.fisher, s.theta, self.anchor, self.eps, out=score)
        self.anchor[...] = s.theta
        s.omega[...] = 0
        self.steps = 0

    def end_task(self, net: Any = None, task: Any = None) -> None:
        s = self.synapses
        self.end_interval()
        self.mean_score += self.score
        if self.tasks:
            self.mean_score /= 2
        self.score[...] = 0
        self.tasks += 1
        s.Omega[...] = normalised(self.fisher, s.xp) + normalised(self.mean_score, s.xp)
        s.theta_ref[...] = s.theta
        self.refresh()
