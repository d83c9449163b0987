r"""Learning without forgetting (Li & Hoiem, 2016).

The old examples are gone, but the old network is not: it can be asked about the *new* examples.
Before a task is learned, we record the outputs :math:`\bar z` that the old network gives for all of
the task's training examples. While the task is learned, units of old tasks must keep giving these:

.. math:: L = \text{CE} + λ_o \sum_{\text{old } G}
          \Bigl\langle - \sum_{k \in G} σ_k(\bar z / T) \log σ_k(z / T) \Bigr\rangle .

The softmax σ is over a group G of classes. Each old task has a group of its own. If a network is
not told the task (`Task.cumulative`), all classes learned so far are one group. Classes that come
again, as with a shared readout, stay in their group.

Then the new network chooses among more classes than the old one, and one has to say among which of
them it chooses in the distillation. As published, among the old ones: what the network gives to the
new ones is not compared with anything. In the comparisons of van de Ven & Tolias it chooses among
all, and the old network gives probability 0 to the new ones. So the distillation pulls against the
labels, and the network learns new classes less and forgets old ones less.
"""

from typing import Any

import numpy as np

from pysi.arguments import choice, whole
from pysi.backend import to_host
from pysi.errors import ConfigError
from pysi.evaluation import EVALUATION_BATCH
from pysi.losses import SoftmaxCrossEntropy
from pysi.rules.distillation import distillation, temperature
from pysi.rules.functional import Functional, old_weights, readout
from pysi.synapses import Synapses, Update
from pysi.typing import Array, Strengths

WEIGHTINGS = ("sum", "tasks")
AMONG = ("old", "all")


class LwF(Functional):
    """Learning without forgetting: distil the old network, on the new task's examples.

    Parameters
    ----------
    c : float or sequence of float
        Strength λ_o ≥ 0 of the distillation; published: 1.
    T : float
        Temperature; published: 2. The loss has no factor T².
    warm_up : int
        Steps at the beginning of every task but the first. In these steps, only those readout units
        learn that are new in the task or, if none is new, that the task uses.
    weighting : {"sum", "tasks"}
        "sum": the loss of the head of this file, as published. "tasks": in task n, counted from 1,
        CE / n + (1 - 1/n) λ_o (distillation), as in the comparisons of van de Ven & Tolias.
    among : {"old", "all"}
        Among which classes the network chooses in the distillation, if it is not told the task:
        the old ones, or all so far, as in the comparisons of van de Ven & Tolias. If it is told,
        both are the same.

    Raises
    ------
    ConfigError
        c is negative, T is not positive, or another argument has an unknown value.

    References
    ----------
    Li & Hoiem (2016), Learning without forgetting, ECCV.
    van de Ven & Tolias (2019), Three scenarios for continual learning.
    """

    name = "lwf"
    kept = ("learned", "groups", "steps")
    recorded: Any = None
    """The old network's logits for all examples of the task, (..., N, K); None in the first one."""
    steps = 0
    """How many steps it has made in the present task."""
    share = 1.0
    """The weight of the task's own loss."""

    def __init__(
        self,
        c: Strengths = 1.0,
        *,
        T: float = 2.0,
        warm_up: int = 0,
        weighting: str = "sum",
        among: str = "old",
    ) -> None:
        super().__init__(c)
        self.T, self.warm_up = temperature(T), whole("warm_up", warm_up, low=0)
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        self.among = choice("among", among, AMONG)

    def check(self, net: Any, tasks: list[Any]) -> None:
        super().check(net, tasks)
        last, (units,) = net.layers[-1], net.output_shape
        if any(shape[-1:] != (units,) for shape in last.parameters.values()):
            raise ConfigError(
                f"layers: {self.name} expected a last layer such as Dense, whose weights have the "
                f"{units} units as their last axis, found {last!r} with {last.parameters}"
            )
        for task in tasks:
            if not isinstance(task.loss, SoftmaxCrossEntropy):
                raise ConfigError(
                    f"task {task.name!r}: {self.name} expected softmax cross-entropy as the loss, "
                    f"because it compares probabilities of classes, found {task.loss!r}"
                )

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        units = list(synapses.shapes.values())[-1][-1]
        self.groups = synapses.xp.zeros(units, np.int64)  # 0: never learned
        self.steps, self.share, self.recorded = 0, 1.0, None
        self._strength = self._c

    def start_task(self, net: Any, task: Any) -> None:
        super().start_task(net, task)
        xp, groups, self.recorded = net.synapses.xp, to_host(self.groups), None
        if not groups.any():
            return
        self._masks = [xp.asarray(groups == group) for group in range(1, groups.max() + 1)]
        everything = self.among == "all" and task.cumulative
        self._among = xp.asarray(to_host(task.active) | (groups > 0)) if everything else None
        self.record(net, task)
        if self.weighting == "tasks":
            self.share = 1 / (self.learned + 1)
            self._strength = self._c * (1 - self.share)
        if self.steps < self.warm_up:
            self.free(to_host(task.active), groups)

    def record(self, net: Any, task: Any) -> None:
        """Record the old network's logits for all training examples of a task."""
        s, (x, _) = net.synapses, task.part("train")
        self.recorded = s.xp.empty((*s.lead, len(x), *net.output_shape), s.dtype)
        with old_weights(s):
            for start in range(0, len(x), EVALUATION_BATCH):
                part = slice(start, start + EVALUATION_BATCH)
                self.recorded[..., part, :] = net.logits(x[part])

    def free(self, active: Array, groups: Array) -> None:
        """Make the row that is 1 for the synapses that learn in the warm-up, and 0 elsewhere."""
        s, row = self.synapses, np.zeros(len(self.synapses), self.synapses.dtype)
        new = active & (groups == 0)
        for group in readout(s):
            units = row[group.columns].reshape(group.shape)
            units[..., new if new.any() else active] = 1
        self._free = s.zeros()
        self._free += s.xp.asarray(row)

    def output_gradient(self, net: Any, x: Array, logits: Array) -> tuple[Any, Any] | None:
        if self.recorded is None or not self.c.any():
            return None
        if self.examples is None:
            raise ConfigError(
                f"examples: {self.name} expected the indices of the minibatch's examples, found "
                "none; use pysi.train, or set rule.examples"
            )
        xp = net.synapses.xp
        recorded = xp.take_along_axis(self.recorded, self.examples[..., None], axis=-2)
        terms = [distillation(logits, recorded, self.T, mask, self._among) for mask in self._masks]
        loss, gradient = (sum(parts) for parts in zip(*terms, strict=True))
        self.value = self._strength * loss
        # if it is not separate, it is part of `rows.grad`, which will be multiplied by the share
        weight = self._strength if self.separate else self._strength / self.share
        return weight[..., None, None] * gradient, None

    def total_gradient(self, rows: Update) -> Any:
        return rows.grad if self.share == 1 else rows.grad * self.share

    def modulate(self, delta: Any, rows: Update) -> Any:
        if self.recorded is None or self.steps >= self.warm_up:
            return delta
        return delta * rows.part(self._free)

    def after_step(self, rows: Update, delta: Any) -> None:
        self.steps += 1

    def end_task(self, net: Any = None, task: Any = None) -> None:
        super().end_task(net, task)
        groups, active = to_host(self.groups), to_host(task.active)
        if task.cumulative:
            groups = (active | (groups > 0)).astype(np.int64)
        else:
            groups = np.where(active & (groups == 0), groups.max() + 1, groups)
        self.groups[...] = self.synapses.xp.asarray(groups)
        self.steps, self.recorded = 0, None
