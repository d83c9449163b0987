r"""Synaptic Intelligence and the noise of its minibatches (Benzing, 2022).

In Eq. 3 the same minibatch B gives the step Δθ and the gradient :math:`g_B` that is multiplied with
it. The step follows the noise of this gradient, so ω is biased: it adds up squared noise, which is
there even where the loss no longer falls. A second minibatch B′ of the same task, drawn
independently, splits ω into two parts:

.. math:: -g_B Δθ = \underbrace{-g_{B'} Δθ}_{\text{SIU, unbiased}}
          + \underbrace{-(g_B - g_{B'}) Δθ}_{\text{SIB, the bias alone}} .

Averaged over B′, the first part is the loss drop of Eq. 3. If the second part explains what
Synaptic Intelligence does, then so does the size of the gradients, which SOS takes directly:
:math:`Ω ← Ω + \sqrt{\langle g_B^2 \rangle}`.

Source: Benzing (2022), Unifying importance based regularisation methods for continual learning,
AISTATS, with its released code.
"""

from typing import Any

import numpy as np

from pysi.arguments import number
from pysi.backend import stream
from pysi.errors import ConfigError
from pysi.network import Network
from pysi.rules.quadratic import QuadraticPenalty
from pysi.rules.si import SynapticIntelligence, path_integral
from pysi.synapses import Synapses, Update
from pysi.tasks import Task
from pysi.typing import Array, Strengths


class SIU(SynapticIntelligence):
    """Synaptic Intelligence whose ω takes the gradient of a second minibatch: ω ← ω - g_B′ Δθ.

    B′ is as large as B, and its examples are drawn from the task's with replacement. Its gradient
    is taken at the same θ and never enters the step. It costs a second pass in every step, in
    training mode like the first. So random layers, such as dropout, draw twice as many numbers, and
    the first pass of a step gets other numbers than with plain Synaptic Intelligence.

    Parameters
    ----------
    c, xi, clamp
        As for `SynapticIntelligence`.
    """

    name = "siu"
    kept = ("steps",)
    data: Any = None
    """The task's training examples: (inputs, targets)."""

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.second, self.steps = synapses.zeros(), 0

    def start_task(self, net: Network, task: Task) -> None:
        self.task, self.data = task, task.part("train")

    def before_step(self, net: Network) -> Array | None:
        if self.data is None or self.examples is None:
            raise ConfigError(f"before_step: {self.name} needs a task and its examples, found none")
        inputs, targets = self.data
        which = self.draw(net, len(targets))
        logits = net.forward(inputs[which], train=True)
        _, dlogits = self.task.loss(logits, targets[which], self.task.active)
        net.backward(dlogits)
        self.second[...] = net.synapses.grad
        return None

    def draw(self, net: Network, n: int) -> Array:
        """Return which of the task's n examples are in B′, (..., B), independently of B."""
        s, size = net.synapses, self.examples.shape[-1]
        drawn = [stream(seed, "second", self.steps).integers(n, size=size) for seed in net.seeds]
        self.steps += 1
        return s.xp.asarray(np.reshape(drawn, (*s.lead, size)))

    def after_step(self, rows: Update, delta: Any) -> None:
        rows.omega[...] = path_integral(rows.omega, rows.part(self.second), delta)

    def end_task(self, net: Any = None, task: Any = None) -> None:
        super().end_task(net, task)
        self.data = None


class SIB(SIU):
    """The bias of Synaptic Intelligence alone: ω ← ω - (g_B - g_B′) Δθ; see `SIU`."""

    name = "sib"

    def after_step(self, rows: Update, delta: Any) -> None:
        rows.omega[...] = path_integral(rows.omega, rows.grad - rows.part(self.second), delta)


class SOS(QuadraticPenalty):
    """Benzing's SOS: Ω ← Ω + √⟨g²⟩ at the end of a task, without a division by Δ².

    ⟨g²⟩ is the running mean of the squared gradient of the task's minibatches, v / (1 - βᵗ) after t
    steps with v ← β v + (1 - β) g². The row ω of the table holds v.

    Parameters
    ----------
    c : float or sequence of float
        Strength, in units of 1 / weight; it is much larger than that of Synaptic Intelligence.
    beta : float
        The share of v that stays in a step, 0 ≤ β < 1.
    """

    name = "sos"
    kept = ("t",)

    def __init__(self, c: Strengths = 1.0, *, beta: float = 0.999) -> None:
        super().__init__(c)
        self.beta = number("beta", beta, "a share 0 ≤ β < 1", lambda beta: 0 <= beta < 1)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.t = 0

    def after_step(self, rows: Update, delta: Any) -> None:
        self.t += 1
        rows.omega[...] = rows.omega * self.beta + rows.grad * rows.grad * (1 - self.beta)

    def end_task(self, net: Any = None, task: Any = None) -> None:
        s = self.synapses
        if self.t:
            s.Omega[...] += s.xp.sqrt(s.omega / (1 - self.beta**self.t))
        s.theta_ref[...] = s.theta
        s.omega[...], self.t = 0, 0
        self.refresh()
