"""A consolidation rule: a handful of hooks around the training step, all of which do nothing here.

The hooks::

    start           before the first task
    total_gradient  g of the task  →  g of the whole loss, for the optimizer
    after_step      what a synapse remembers of the step that it has just made
    end_task        what it keeps of the task
    penalty         the value whose gradient total_gradient adds
"""


class Rule:
    """Plain fine-tuning: no consolidation. The base class of every other rule."""

    name = "fine-tuning"
    kept = ()
    """Names of arrays that it remembers from task to task, besides the rows of the table."""

    def start(self, synapses):
        """Prepare for a sequence of tasks on this table."""
        self.synapses = synapses

    def refresh(self):
        """Recompute what follows from the table, after somebody else has changed it."""

    def total_gradient(self, block):
        """Gradient of task loss plus penalty. Never written into `block.grad`."""
        return block.grad

    def after_step(self, block, delta):
        """Learn from the step Δθ that the block has just made."""

    def end_task(self, net=None, task=None):
        """Learn from the task that has just ended; some rules need the network and the data."""

    def penalty(self):
        """The penalty's value at the present θ: a number, or (R,) with R networks."""
        return self.synapses.xp.zeros(self.synapses.lead)


class FineTuning(Rule):
    """Train on one task after the other and remember nothing: the baseline."""
