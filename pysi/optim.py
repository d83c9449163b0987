"""Optimizers: from a gradient to a step.

An optimizer is an elementwise formula. It returns the step Δθ and never touches θ, so that whoever
applies the step knows exactly what it was: Synaptic Intelligence integrates over it.
"""

from math import sqrt

import numpy as np

from pysi.errors import ConfigError


class Optimizer:
    """From the gradient of the whole (penalised) loss to the step Δθ.

    Use: `start` once a run (or a task, to forget the past), `next_step` once a minibatch, then
    `delta` once a block. A step is returned in scratch memory and lives until the next block.
    """

    kept = ()
    """Names of what it remembers from step to step: rows of the table's shape, and numbers."""

    def __init__(self, lr):
        if not (np.isfinite(lr) and lr > 0):
            raise ConfigError(f"lr: expected a positive learning rate, found {lr}")
        self.lr = lr

    def start(self, synapses):
        """Begin with fresh state for this table."""

    def next_step(self):
        """Begin the next minibatch."""

    def delta(self, gradient, block):
        """Δθ of the block's columns. `gradient` is read, never written."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent, Δθ = -η g."""

    def delta(self, gradient, block):
        delta = block.scratch("delta")
        return block.xp.multiply(gradient, -self.lr, out=delta)


class Momentum(Optimizer):
    """Gradient descent with momentum (Polyak, 1964): u ← μ u + g, Δθ = -η u."""

    kept = ("u",)

    def __init__(self, lr, momentum=0.9):
        super().__init__(lr)
        if not 0 <= momentum < 1:
            raise ConfigError(f"momentum: expected 0 ≤ momentum < 1, found {momentum}")
        self.momentum = momentum

    def start(self, synapses):
        self.u = synapses.zeros()

    def delta(self, gradient, block):
        u = block.part(self.u)
        u *= self.momentum
        u += gradient
        return block.xp.multiply(u, -self.lr, out=block.scratch("delta"))


class Adam(Optimizer):
    r"""Adam (Kingma & Ba, 2015), with the authors' default arguments.

    The published form, m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², and

    .. math:: Δθ = -η \frac{m / (1-β_1^t)}{\sqrt{v / (1-β_2^t)} + ε},

    is computed with the moments M = m/(1-β₁) and V = v/(1-β₂). That saves two passes over memory:
    M ← β₁M + g, V ← β₂V + g², and with :math:`a = η(1-β_1)/(1-β_1^t)` and
    :math:`b = \sqrt{(1-β_2)/(1-β_2^t)}`

    .. math:: Δθ = -\frac{a M}{b \sqrt{V} + ε} = -\frac{a}{b} \frac{M}{\sqrt{V} + ε/b}.

    Parameters
    ----------
    lr : float
        Learning rate η.
    betas : (float, float)
        Decay (β₁, β₂) of the two moments, a step.
    eps : float
        ε, in the units of the gradient.
    """

    kept = ("M", "V", "t")

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"betas: expected 0 ≤ beta < 1, found {betas}")
        if not eps > 0:
            raise ConfigError(f"eps: expected a positive number, found {eps}")
        self.betas, self.eps = tuple(betas), eps

    def start(self, synapses):
        self.M, self.V, self.t = synapses.zeros(), synapses.zeros(), 0

    def next_step(self):
        self.t += 1
        beta1, beta2 = self.betas
        a = self.lr * (1 - beta1) / (1 - beta1**self.t)
        b = sqrt((1 - beta2) / (1 - beta2**self.t))
        self._scale, self._eps = -a / b, self.eps / b

    def delta(self, gradient, block):
        xp, (beta1, beta2) = block.xp, self.betas
        M, V = block.part(self.M), block.part(self.V)
        delta, root = block.scratch("delta"), block.scratch("root")
        M *= beta1
        M += gradient
        V *= beta2
        V += xp.multiply(gradient, gradient, out=root)
        xp.sqrt(V, out=root)
        root += self._eps
        xp.divide(M, root, out=delta)
        delta *= self._scale
        return delta
