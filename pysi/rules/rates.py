"""A lower learning rate for shared layers, after the first task; with a rate of 0 they are frozen.

The features that the first task has learned should suit the next tasks, too. So these learn their
readouts, and change the layers below slowly or not at all.

Sources: Donahue et al. (2014), DeCAF; Yosinski et al. (2014), How transferable are features in deep
neural networks?
"""

from typing import Any

from pysi.arguments import refuse, strengths, whole
from pysi.errors import ConfigError
from pysi.network import Network
from pysi.rules.rule import Rule
from pysi.synapses import Synapses, Update
from pysi.tasks import Task
from pysi.typing import Strengths


class LowerRate(Rule):
    """From the second task on, Δθ of shared layers is r times the optimizer's.

    Parameters
    ----------
    r : float or sequence of float
        From 0 to 1: with 0 shared layers stay exactly as they are (freezing), with 1 this is
        fine-tuning. With R networks, one value for all or one per network.
    layers : int, optional
        How many layers are shared, counted from the first layer with weights: the n of Yosinski's
        networks AnB (r = 0) and AnB⁺ (r = 1). By default, all but the last are shared.

    Raises
    ------
    ConfigError
        r is not from 0 to 1; or, before any work, `layers` includes the network's last layer.
    """

    name = "lower-rate"
    separate = False  # it learns nothing from `grad`
    lowered = False
    """Whether the present task is not the first."""

    def __init__(self, r: Strengths, *, layers: int | None = None) -> None:
        self.r = strengths("r", r)
        if self.r.max() > 1:
            raise refuse("r", "a rate from 0 to 1, or one per network", r)
        self.layers = None if layers is None else whole("layers", layers)

    def check(self, net: Network, tasks: list[Task]) -> None:
        lead = net.synapses.lead
        if self.r.ndim and self.r.shape != lead:
            found = f"{len(self.r)} for networks of leading axes {lead}"
            raise ConfigError(f"r: expected one value, or one per network, found {found}")
        count = sum(bool(layer.parameters) for layer in net.layers)
        if (self.layers or 1) >= count:
            raise ConfigError(
                f"layers: expected shared layers before the last of the network's {count} layers "
                f"with weights, found {self.layers or 'all but the last'}"
            )

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        self.rates = synapses.zeros()

    def start_task(self, net: Network, task: Task) -> None:
        self.lowered = net.learned > 0
        weighty = [
            f"{name}.{parameter}"
            for name, layer in zip(net.names, net.layers, strict=True)
            for parameter in list(layer.parameters)[-1:]
        ]
        last = weighty[: self.layers or -1][-1]  # the last group of the last shared layer
        s, r = net.synapses, self.r[..., None] if self.r.ndim else self.r
        self.rates[...] = 1
        self.rates[..., : s.group(last).columns.stop] = s.xp.asarray(r, dtype=s.dtype)

    def modulate(self, delta: Any, rows: Update) -> Any:
        return delta * rows.part(self.rates) if self.lowered else delta
