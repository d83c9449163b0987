"""A consolidation rule: a handful of hooks around the training step, all of which do nothing here.

In the order in which `pysi.train` calls them::

    check            before any work: can this rule work on this network and these tasks?
    start            before the first task
    start_task       before each task
    before_step      per step: what it adds from a pass of its own, such as over old examples
    output_gradient  per step: what it adds at the logits, or at the last hidden layer
    total_gradient   per step: g of the task  →  g of the whole loss, for the optimizer
    modulate         per step: Δθ of the optimizer  →  Δθ that is applied
    after_step       per step: what a synapse remembers of the step that it has just made
    end_task         after each task: what it keeps of the task
    penalty          per epoch: the value whose gradient total_gradient adds

`total_gradient`, `modulate` and `after_step` are called once per step, for all synapses together.
They receive `rows`, the table as formulas (see `pysi.synapses.Update`): ``rows.theta`` and so on,
(..., P), and ``rows.part(row)``, any other row. Only elementwise mathematics is possible there.
"""

from typing import Any

from pysi.arguments import Arguments
from pysi.synapses import Synapses, Update
from pysi.typing import Array


class Rule(Arguments):
    """Plain fine-tuning: no consolidation. The base class of every other rule."""

    name = "fine-tuning"
    kept: tuple[str, ...] = ()
    """Names of arrays that it remembers from task to task, besides the rows of the table."""
    synapses: Any = None
    """The table that it was started on."""
    examples: Any = None
    """Indices of the present minibatch among the task's training examples, (..., B)."""
    separate = True
    """Whether `grad` must be the task's gradient alone. If not, `output_gradient` costs less."""

    def check(self, net: Any, tasks: list[Any]) -> None:
        """Raise a ConfigError if the rule cannot work on this network with these tasks."""

    def start(self, synapses: Synapses) -> None:
        """Prepare for a sequence of tasks on this table; called once, before the first task."""
        self.synapses = synapses

    def start_task(self, net: Any, task: Any) -> None:
        """Prepare for a task; its data are on the network's device."""

    def refresh(self) -> None:
        """Recompute what the rule derives from the table, after the table was changed by hand."""

    def before_step(self, net: Any) -> Array | None:
        """Return a row (..., P) to add to the total gradient, or None.

        It is called before the forward pass; the rule may use the network and write to `grad`.
        """
        return None

    def output_gradient(self, net: Any, x: Array, logits: Array) -> tuple[Any, Any] | None:
        """Return gradients of what the rule adds to the loss of a minibatch x, or None.

        They are (dlogits, dfeatures): with respect to the `logits`, (..., B, K), and to
        `net.features`, the input of the last layer, (..., B, features); either may be None. They
        take part in the total gradient. They never enter `grad`, from which ω is learned, unless
        the rule says that it is not `separate`.
        """
        return None

    def total_gradient(self, rows: Update) -> Any:
        """Return the gradient of task loss plus penalty, (..., P); `rows.grad` is only read."""
        return rows.grad

    def modulate(self, delta: Any, rows: Update) -> Any:
        """Return the step that is applied, for the step Δθ that the optimizer proposes."""
        return delta

    def after_step(self, rows: Update, delta: Any) -> None:
        """Learn from the step Δθ that all synapses have just made; θ is already the new one."""

    def end_task(self, net: Any = None, task: Any = None) -> None:
        """Learn from the task that has just ended; some rules need the network and the data."""

    def penalty(self) -> Array:
        """Return the penalty's value at the present θ: a number, or (R,) with R networks."""
        return self.synapses.xp.zeros(self.synapses.lead)


class FineTuning(Rule):
    """Train on one task after the other and remember nothing: the baseline."""
