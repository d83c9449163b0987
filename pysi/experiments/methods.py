"""The methods that are compared.

A new method is one entry in `METHODS`; nothing else knows any of them by name.
"""

from typing import Any

from pysi.experiments.course import Course, Method, Register
from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.rule import FineTuning, Rule
from pysi.rules.si import SynapticIntelligence


def synaptic_intelligence(config: Any, c: Any) -> Rule:
    """Return Synaptic Intelligence of strength c; with c = 0 it only watches: fine-tuning."""
    return SynapticIntelligence(c, xi=config.xi, clamp=config.clamp)


def ewc(config: Any, c: Any) -> Rule:
    """Return elastic weight consolidation with one penalty per task."""
    return EWC(c)


def online_ewc(config: Any, c: Any) -> Rule:
    """Return elastic weight consolidation with one running penalty."""
    return OnlineEWC(c)


def no_rule(config: Any, c: Any) -> Rule:
    """Return the rule of plain training."""
    return FineTuning()


# Colours are those of the paper's Figure 4, where it has the method.
METHODS = Register("methods", {
    "single": Method(
        "single task", synaptic_intelligence, None, trains=Course(first_only=True), omega=True,
        family="bound",
        colour="#222222", marker="P", mark="line",
    ),
    "fine-tuning": Method(
        "fine-tuning", synaptic_intelligence, None, trunk="single", omega=True, family="none",
        short="c = {c:g}", colour="#2a9d6f", marker="^",
    ),
    "si": Method(
        "SI, c = {c:g}", synaptic_intelligence, at_zero="fine-tuning", xi=True, trunk="single",
        grid=(0.1, 1.0, 10.0, 100.0),
        omega=True, short="c = {c:g}", colour="#3b6fb6", marker="o", zorder=3,
    ),
    "ewc": Method(
        "EWC, c = {c:g}", ewc, "ewc_c", trunk="single", grid=(1.0, 10.0, 100.0, 1000.0),
        colour="#777777", marker="s",
    ),
    "online-ewc": Method(
        "online EWC, c = {c:g}", online_ewc, "ewc_c", trunk="single",
        grid=(1.0, 10.0, 100.0, 1000.0), colour="#8d6cab", marker="D",
    ),
    "dropout": Method(
        "fine-tuning, dropout 0.5", no_rule, None, dropout=0.5, colour="#c8403a", marker="v",
        family="network",
    ),
    "scratch": Method(
        "from scratch", no_rule, None, trunk="single", trains=Course(reset=True), family="bound",
        colour="#999999", marker="X",
    ),
    "joint": Method(
        "all tasks at once", no_rule, None, trains=Course(together=True), colour="#b8860b",
        family="bound",
        marker="*", mark="arrow",
    ),
})  # fmt: skip
"""All methods by name, in the order of tables."""
