"""The curves of Figures 3, 4 and 6: with which rule each is trained, and on what."""

from collections.abc import Callable
from dataclasses import dataclass

from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.rule import FineTuning
from pysi.rules.si import SynapticIntelligence


@dataclass(frozen=True)
class Method:
    """One way to learn a sequence of tasks.

    Attributes
    ----------
    label : str
        For figures; `{c:g}` stands for the strength.
    rule : callable
        From a protocol and a strength c to a new rule.
    strengths : str, optional
        The protocol's setting that lists the values of c; without one there is nothing to vary.
    branches : bool
        Whether task 1 is trained just as by fine-tuning, so that it need be trained only once.
    dropout : float
        Probability of switching a hidden unit off while training.
    trains : {"sequence", "each alone", "first task", "all at once"}
    """

    label: str
    rule: Callable
    strengths: str | None = None
    branches: bool = False
    dropout: float = 0.0
    trains: str = "sequence"


def synaptic_intelligence(config, c):
    """Synaptic Intelligence of strength c; with c = 0 it only watches, and is fine-tuning."""
    return SynapticIntelligence(c, xi=config.xi, clamp=config.clamp)


def no_rule(config, c):
    """Plain training."""
    return FineTuning()


METHODS = {
    "single": Method("single task", synaptic_intelligence, branches=True, trains="first task"),
    "fine-tuning": Method("fine-tuning", synaptic_intelligence, branches=True),
    "si": Method("SI, c = {c:g}", synaptic_intelligence, "c", branches=True),
    "ewc": Method("EWC, c = {c:g}", lambda config, c: EWC(c), "ewc_c", branches=True),
    "online-ewc": Method(
        "online EWC, c = {c:g}", lambda config, c: OnlineEWC(c), "ewc_c", branches=True
    ),
    "dropout": Method("fine-tuning, dropout 0.5", no_rule, dropout=0.5),
    "scratch": Method("from scratch", no_rule, branches=True, trains="each alone"),
    "joint": Method("all tasks at once", no_rule, trains="all at once"),
}
