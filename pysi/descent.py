"""Other optimizers, for comparison: momentum, and Adagrad, whose learning rates only fall."""

from typing import Any

import numpy as np

from pysi.arguments import number
from pysi.backend import elementwise
from pysi.optim import Optimizer
from pysi.synapses import Synapses, Update


@elementwise
def momentum_step(g, u, mu, minus_lr):
    """Return u ← μ u + g, and Δθ = -η u."""
    u = u * mu + g
    return u, u * minus_lr


class Momentum(Optimizer):
    """Gradient descent with momentum (Polyak, 1964): u ← μ u + g, Δθ = -η u."""

    kept = ("u",)

    def __init__(self, lr: float, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = number("momentum", momentum, "0 ≤ momentum < 1", lambda mu: 0 <= mu < 1)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.u = synapses.zeros()

    def delta(self, gradient: Any, rows: Update) -> Any:
        u = rows.part(self.u)
        u[...], delta = momentum_step(gradient, u, self.momentum, -self.lr)
        return delta


@elementwise
def adagrad_step(g, G, minus_lr, eps):
    """Return G ← G + g², and Δθ = -η g / (√G + ε)."""
    G = G + g * g
    return G, g * minus_lr / (np.sqrt(G) + eps)


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer, 2011): G ← G + g², Δθ = -η g / (√G + ε).

    The learning rate of a synapse falls with every gradient that it receives. So if the optimizer
    is not reset between tasks, synapses that an old task has used a lot move little.
    """

    kept = ("G",)

    def __init__(self, lr: float = 1e-2, eps: float = 1e-10) -> None:
        super().__init__(lr)
        self.eps = number("eps", eps, "a positive number", lambda eps: eps > 0)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.G = synapses.zeros()

    def delta(self, gradient: Any, rows: Update) -> Any:
        G = rows.part(self.G)
        G[...], delta = adagrad_step(gradient, G, -self.lr, self.eps)
        return delta
