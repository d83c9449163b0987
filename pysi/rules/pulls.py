"""What a rule adds to the loss at the outputs, in a backward pass of its own or in the task's."""

from typing import Any

from pysi.network import Network
from pysi.rules.rule import Rule
from pysi.typing import Array


def pulled(
    net: Network, rule: Rule, x: Array, logits: Array, dlogits: Array
) -> tuple[Array | None, Array, Array | None]:
    """Return a row of gradient or None, and the arguments for the network's backward pass.

    If `grad` must be the task's gradient alone, the rule's `output_gradient` first gets a backward
    pass of its own, whose result is the row, (..., P). If not, it is added to the task's gradients
    at the outputs.
    """
    pull: Any = rule.output_gradient(net, x, logits)
    if pull is None:
        return None, dlogits, None
    dextra, dfeatures = pull
    if not rule.separate:
        return None, dlogits if dextra is None else dlogits + dextra, dfeatures
    net.backward(0 * dlogits if dextra is None else dextra, dfeatures)
    net.synapses.extra[...] = net.synapses.grad
    return net.synapses.extra, dlogits, None
