"""Optimizers: from a gradient to a step.

An optimizer is an elementwise formula. It returns the step Δθ and never touches θ, so that whoever
applies the step knows exactly what it was: Synaptic Intelligence integrates over it.
"""

from math import sqrt
from typing import Any

import numpy as np

from pysi.arguments import Arguments, number, refuse
from pysi.backend import elementwise
from pysi.synapses import Synapses, Update


class Optimizer(Arguments):
    """From the gradient of the whole (penalised) loss to the step Δθ, with learning rate η = lr.

    `start` is called once per run (or per task, to forget), `next_step` and `delta` per minibatch.
    """

    kept: tuple[str, ...] = ()
    """Names of what it remembers from step to step: rows like the table's, and numbers."""
    synapses: Synapses | None = None
    """The table that it was started on."""

    def __init__(self, lr: float) -> None:
        self.lr = number("lr", lr, "a positive learning rate", lambda lr: lr > 0)

    def start(self, synapses: Synapses) -> None:
        """Begin with fresh state for this table."""
        self.synapses = synapses

    def next_step(self) -> None:
        """Begin the next minibatch."""

    def delta(self, gradient: Any, rows: Update) -> Any:
        """Return Δθ for the gradient, (..., P); `rows.part(row)` is a row of state."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent, Δθ = -η g."""

    def delta(self, gradient: Any, rows: Update) -> Any:
        return gradient * -self.lr


@elementwise
def adam_step(g, M, V, beta1, beta2, scale, eps):
    """Return M ← β₁M + g, V ← β₂V + g², and Δθ = scale M / (√V + ε); see `Adam`."""
    M = M * beta1 + g
    V = V * beta2 + g * g
    return M, V, M / (np.sqrt(V) + eps) * scale


class Adam(Optimizer):
    r"""Adam (Kingma & Ba, 2015), with the default arguments of that paper.

    The published form, m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², and

    .. math:: Δθ = -η \frac{m / (1-β_1^t)}{\sqrt{v / (1-β_2^t)} + ε},

    is computed with M = m/(1-β₁) and V = v/(1-β₂), which saves two passes over memory: with
    :math:`a = η(1-β_1)/(1-β_1^t)` and :math:`b = \sqrt{(1-β_2)/(1-β_2^t)}`

    .. math:: Δθ = -\frac{a M}{b \sqrt{V} + ε} = -\frac{a}{b} \frac{M}{\sqrt{V} + ε/b}.

    lr is η, betas are the decays (β₁, β₂) of the moments per step, eps is ε, in units of g.
    """

    kept = ("M", "V", "t")

    def __init__(
        self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(lr)
        if np.shape(betas) != (2,):
            raise refuse("betas", "two decays (β₁, β₂)", betas)
        self.betas = tuple(number("betas", b, "0 ≤ beta < 1", lambda b: 0 <= b < 1) for b in betas)
        self.eps = number("eps", eps, "a positive number", lambda eps: eps > 0)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.M, self.V, self.t = synapses.zeros(), synapses.zeros(), 0

    def next_step(self) -> None:
        self.t += 1
        beta1, beta2 = self.betas
        a = self.lr * (1 - beta1) / (1 - beta1**self.t)
        b = sqrt((1 - beta2) / (1 - beta2**self.t))
        self._scale, self._eps = -a / b, self.eps / b

    def delta(self, gradient: Any, rows: Update) -> Any:
        M, V = rows.part(self.M), rows.part(self.V)
        M[...], V[...], delta = adam_step(gradient, M, V, *self.betas, self._scale, self._eps)
        return delta
