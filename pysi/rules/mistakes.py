"""What else is called Synaptic Intelligence: ten rules that differ from it in one thing each.

Public libraries differ from the paper, and from each other, in small ways. Each class has one such
difference and is otherwise `SynapticIntelligence`, so that its effect can be measured by itself.
`pysi.rules.properties` says which promise each of them breaks.
"""

from typing import Any

import numpy as np

from pysi.arguments import number
from pysi.rules.rule import Rule
from pysi.rules.si import SynapticIntelligence, path_integral
from pysi.synapses import Update
from pysi.typing import Strengths


class TotalGradient(SynapticIntelligence):
    """ω is learned from the gradient of the task's loss *and* the penalty.

    A synapse earns importance for being pulled back. Found in a general library of continual
    learning, where a plug-in sees only the gradient of the whole loss.
    """

    name = "total-gradient"

    def modulate(self, delta: Any, rows: Update) -> Any:  # θ is still that before the step
        rows.omega[...] = path_integral(rows.omega, self.total_gradient(rows), delta)
        return delta

    after_step = Rule.after_step


class LearningRateSquared(TotalGradient):
    """ω adds lr g² in place of -g Δθ, with g of the task's loss and the penalty.

    With plain gradient descent at the rate `lr` it equals `TotalGradient`, but Adam and momentum
    make other steps. Found in a framework of benchmarks, before 2024; there g was also clipped.

    Parameters
    ----------
    c, xi
        As for `SynapticIntelligence`.
    lr : float
        The learning rate of the optimizer, which a rule does not know.
    """

    name = "lr-squared"

    def __init__(self, c: Strengths = 1.0, *, xi: float = 1e-3, lr: float = 1e-3) -> None:
        super().__init__(c, xi=xi)
        self.lr = number("lr", lr, "a positive learning rate", lambda lr: lr > 0)

    def modulate(self, delta: Any, rows: Update) -> Any:
        total = self.total_gradient(rows)
        rows.omega[...] = rows.omega + total * total * self.lr
        return delta


class Cap(SynapticIntelligence):
    """Ω is at most 0.001 when a task has ended.

    Synapses that matter much are then as important as those that matter little. Found in a general
    library of continual learning; there a sum without a cap is kept for the next task, and negative
    importance is not cut off.
    """

    name = "cap"

    def end_task(self, net: Any = None, task: Any = None) -> None:
        super().end_task(net, task)
        self.synapses.xp.minimum(self.synapses.Omega, 1e-3, out=self.synapses.Omega)
        self.refresh()


class PerTaskClamp(SynapticIntelligence):
    """Negative importance is cut off from each task's contribution, not from the sum over tasks.

    So a task can never lower Ω. This is a variant: Eq. 5 has no cut-off, the authors' code cuts off
    the sum. Found in code of later papers.
    """

    name = "per-task-clamp"

    def __init__(self, c: Strengths = 1.0, *, xi: float = 1e-3) -> None:
        super().__init__(c, xi=xi, clamp="per_task")


class NoClamp(SynapticIntelligence):
    """Negative importance is kept, and pushes a synapse away from θ̃.

    This is a variant: it is Eq. 5 as printed, while the authors' code cuts off the sum over tasks.
    Found in most libraries and frameworks.
    """

    name = "no-clamp"

    def __init__(self, c: Strengths = 1.0, *, xi: float = 1e-3) -> None:
        super().__init__(c, xi=xi, clamp="none")


class ReadoutLeftOut(SynapticIntelligence):
    """The last layer gets no importance, and may forget what its units meant.

    Found in a framework for class-incremental learning, where each task has a readout of its own.
    """

    name = "readout-left-out"

    def end_task(self, net: Any = None, task: Any = None) -> None:
        layers = [name.partition(".")[0] for name in self.synapses.shapes]
        for name, layer in zip(self.synapses.shapes, layers, strict=True):
            if layer == layers[-1]:
                self.synapses.group(name).omega[...] = 0
        super().end_task(net, task)


class SummedLoss(SynapticIntelligence):
    """The loss is the sum over the minibatch of B examples, not the mean: g is B times as large.

    Adam makes the same steps, so ω and Ω are B times as large, as if c were B times as large. Plain
    gradient descent makes a step that is B times as long. Users of such code ask again and again
    whether a loss is a sum or a mean.
    """

    name = "summed-loss"

    def total_gradient(self, rows: Update) -> Any:
        return super().total_gradient(rows) + rows.grad * (self.examples.shape[-1] - 1.0)

    def after_step(self, rows: Update, delta: Any) -> None:
        g = rows.grad * float(self.examples.shape[-1])
        rows.omega[...] = path_integral(rows.omega, g, delta)


class PenaltyNeverAdded(SynapticIntelligence):
    """Ω is learned, and the penalty reported, but the optimizer never follows it: fine-tuning.

    This slip is hard to notice, because all printed numbers look right.
    """

    name = "penalty-never-added"

    def total_gradient(self, rows: Update) -> Any:
        return rows.grad


class ClippedGradients(SynapticIntelligence):
    """Values of gradients are cut off at ±1: of the whole loss in the step, of the task's in ω.

    Found in a framework of benchmarks.
    """

    name = "clipped-gradients"

    def total_gradient(self, rows: Update) -> Any:
        return np.clip(super().total_gradient(rows), -1.0, 1.0)

    def after_step(self, rows: Update, delta: Any) -> None:
        rows.omega[...] = path_integral(rows.omega, np.clip(rows.grad, -1.0, 1.0), delta)


class Replaced(SynapticIntelligence):
    """Ω is that of the last task, in place of the sum: older tasks are no longer protected.

    This is a slip of one character, = for +=.
    """

    name = "replaced"

    def end_task(self, net: Any = None, task: Any = None) -> None:
        self.synapses.Omega[...] = 0
        super().end_task(net, task)


MISTAKES: dict[str, type[SynapticIntelligence]] = {
    rule.name: rule
    for rule in (
        TotalGradient, LearningRateSquared, Cap, PerTaskClamp, NoClamp, ReadoutLeftOut, SummedLoss,
        PenaltyNeverAdded, ClippedGradients, Replaced,
    )
}  # fmt: skip
"""The mistakes and variants by name; each class takes the arguments (c, xi=ξ)."""
