"""The methods that are compared.

A new method is one entry in `METHODS`; nothing else knows any of them by name.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pysi.descent import Adagrad, Momentum
from pysi.errors import ConfigError
from pysi.experiments.course import Course, Method, Register
from pysi.experiments.palette import PALETTE
from pysi.network import Network
from pysi.optim import SGD, Optimizer
from pysi.progressive import ProgressiveNetwork
from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.l2 import L2
from pysi.rules.lfl import LFL
from pysi.rules.lwf import LwF
from pysi.rules.mas import MAS
from pysi.rules.minibatch import SIB, SIU, SOS
from pysi.rules.mistakes import MISTAKES, LearningRateSquared
from pysi.rules.rates import LowerRate
from pysi.rules.replay import Replay
from pysi.rules.rule import FineTuning, Rule
from pysi.rules.rwalk import RWalk
from pysi.rules.si import SynapticIntelligence
from pysi.rules.together import Together
from pysi.typing import Seeds


def synaptic_intelligence(config: Any, c: Any) -> Rule:
    """Return Synaptic Intelligence of strength c; with c = 0 it only records ω: fine-tuning."""
    return SynapticIntelligence(c, xi=config.xi, clamp=config.clamp)


def no_rule(config: Any, c: Any) -> Rule:
    """Return the rule of plain training."""
    return FineTuning()


def of_strength(rule: Callable[[Any], Rule]) -> Callable[[Any, Any], Rule]:
    """Return a function of a protocol and a strength c, for a rule that depends on c alone."""
    return lambda config, c: rule(c)


def damped(rule: Callable[..., Rule]) -> Callable[[Any, Any], Rule]:
    """Return a function of a protocol and a strength c, for a rule with the protocol's ξ."""
    return lambda config, c: rule(c, xi=config.xi)


def mistaken(rule: type[SynapticIntelligence]) -> Callable[[Any, Any], Rule]:
    """Return a function of a protocol and a strength c, for a rule in `MISTAKES`."""

    def make(config: Any, c: Any) -> Rule:
        rate = {"lr": config.lr} if issubclass(rule, LearningRateSquared) else {}
        return rule(c, xi=config.xi, **rate)

    return make


def weighted_lwf(config: Any, c: Any) -> Rule:
    """Return LwF of strength c as van de Ven & Tolias have it in their comparisons."""
    return LwF(c, weighting="tasks", among="all")


def with_lwf(config: Any, c: Any) -> Rule:
    """Return Synaptic Intelligence of strength c together with LwF, λ = 1."""
    return Together(synaptic_intelligence(config, c), LwF(1.0))


def replay(config: Any, c: Any) -> Rule:
    """Return replay of c examples per class."""
    return Replay(per_class=int(c) if float(c).is_integer() else c)


def at_rate(optimizer: Callable[[float], Optimizer]) -> Callable[[Any, Any], Optimizer]:
    """Return a function of a protocol and a learning rate, which makes an optimizer."""
    return lambda config, lr: optimizer(lr)


def competing(units: str) -> Callable[[Any, Seeds], Network]:
    """Return a function of a protocol and seeds, for a network of these units."""

    def make(config: Any, seed: Seeds) -> Network:
        if not hasattr(config, "units"):
            raise ConfigError(f"methods: expected an experiment on digits for {units}")
        plain = {"methods": ("fine-tuning",), "strengths": ()}
        return replace(config, units=units, **plain).make_network(seed)

    return make


def progressive(adapters: bool) -> Callable[[Any, Seeds], Network]:
    """Return a function of a protocol and seeds, for a network with a column per task."""

    def make(config: Any, seed: Seeds) -> Network:
        if not hasattr(config, "class_counts"):
            raise ConfigError(f"methods: expected no progressive networks for {config.name}")
        more = config.building(seed) | {"adapters": adapters}
        return ProgressiveNetwork(784, config.hidden, config.class_counts, **more)

    return make


TOLD = "the network must be told the task"
SHARED = "it needs one readout for all tasks"

METHODS = Register("methods", {
    "single": Method(
        "single task", synaptic_intelligence, None, trains=Course(first_only=True), omega=True,
        family="bound", look=PALETTE["single"], mark="line",
    ),
    "fine-tuning": Method(
        "fine-tuning", synaptic_intelligence, None, trunk="single", omega=True, family="none",
        short="c = {c:g}", look=PALETTE["fine-tuning"],
    ),
    "si": Method(
        "SI, c = {c:g}", synaptic_intelligence, at_zero="fine-tuning", xi=True, trunk="single",
        grid=(0.1, 1.0, 10.0, 100.0), omega=True, short="c = {c:g}", look=PALETTE["si"],
    ),
    "ewc": Method(
        "EWC, c = {c:g}", of_strength(EWC), "ewc_c", trunk="single",
        grid=(1.0, 10.0, 100.0, 1000.0), look=PALETTE["ewc"],
    ),
    "online-ewc": Method(
        "online EWC, c = {c:g}", of_strength(OnlineEWC), "ewc_c", trunk="single",
        grid=(1.0, 10.0, 100.0, 1000.0), look=PALETTE["online-ewc"],
    ),
    "l2": Method(
        "L2, c = {c:g}", of_strength(L2), at_zero="fine-tuning", trunk="single",
        grid=(1e-4, 1e-3, 1e-2, 1e-1),
    ),
    "mas": Method(
        "MAS, c = {c:g}", of_strength(MAS), at_zero="fine-tuning", trunk="single",
        grid=(0.01, 0.1, 1.0, 10.0),
    ),
    "rwalk": Method("RWalk, c = {c:g}", of_strength(RWalk), grid=(0.01, 0.1, 1.0, 10.0)),
    "siu": Method("SIU, c = {c:g}", damped(SIU), xi=True, grid=(0.1, 1.0, 10.0, 100.0)),
    "sib": Method("SIB, c = {c:g}", damped(SIB), xi=True, grid=(0.1, 1.0, 10.0, 100.0)),
    "sos": Method("SOS, c = {c:g}", of_strength(SOS), grid=(1.0, 10.0, 100.0, 1000.0)),
    "lwf": Method(
        "LwF, λ = {c:g}", of_strength(LwF), None, values=(1.0,), trunk="single",
        family="functional", grid=(0.3, 1.0, 3.0, 10.0), look=PALETTE["lwf"],
    ),
    "lwf-van-de-ven": Method(
        "LwF of van de Ven, λ = {c:g}", weighted_lwf, None, values=(1.0,), trunk="single",
        family="functional", grid=(0.3, 1.0, 3.0, 10.0),
    ),
    "lfl": Method(
        "LFL, λ = {c:g}", of_strength(LFL), None, values=(1.6e-3,), trunk="single",
        family="functional", grid=(1e-4, 1e-3, 1e-2, 1e-1),
        unfit={"task": SHARED, "class": SHARED},
    ),
    "si-lwf": Method(
        "SI and LwF, c = {c:g}", with_lwf, xi=True, trunk="single", family="functional",
        omega=True, grid=(0.1, 1.0, 10.0, 100.0),
    ),
    "freezing": Method(
        "freezing", lambda config, c: LowerRate(0.0), None, trunk="single", family="rates"
    ),
    "lower-rate": Method(
        "lower rate, r = {c:g}", of_strength(LowerRate), None, values=(0.1,), trunk="single",
        family="rates", grid=(0.01, 0.03, 0.1, 0.3),
    ),
    "sgd": Method(
        "SGD, η = {c:g}", no_rule, None, values=(0.01,), optimizer=at_rate(SGD), alike=True,
        family="none", grid=(0.003, 0.01, 0.03, 0.1),
    ),
    "momentum": Method(
        "momentum, η = {c:g}", no_rule, None, values=(0.001,), optimizer=at_rate(Momentum),
        alike=True, family="none", grid=(0.0003, 0.001, 0.003, 0.01),
    ),
    "adagrad": Method(
        "Adagrad, η = {c:g}", no_rule, None, values=(0.001,), optimizer=at_rate(Adagrad),
        alike=True, family="none", grid=(0.0003, 0.001, 0.003, 0.01),
    ),
    "dropout": Method(
        "fine-tuning, dropout 0.5", no_rule, None, dropout=0.5, family="network",
        look=PALETTE["dropout"],
    ),
    "maxout": Method("maxout", no_rule, None, network=competing("maxout"), family="network"),
    "lwta": Method("LWTA", no_rule, None, network=competing("lwta"), family="network"),
    "progressive": Method(
        "progressive network", no_rule, None, network=progressive(False), family="network",
        unfit={"domain": TOLD, "class": TOLD},
    ),
    "progressive-adapters": Method(
        "progressive, adapters", no_rule, None, network=progressive(True), family="network",
        unfit={"domain": TOLD, "class": TOLD},
    ),
    "replay": Method(
        "replay, {c:g} per class", replay, None, values=(20.0,), alike=True, trunk="single",
        family="replay", look=PALETTE["replay"],
    ),
    "scratch": Method(
        "from scratch", no_rule, None, trunk="single", trains=Course(reset=True), family="bound",
        unfit={"class": "a network that knows one task alone cannot tell its classes from others"},
        look=PALETTE["scratch"],
    ),
    "joint": Method(
        "all tasks at once", no_rule, None, trains=Course(together=True), family="bound",
        look=PALETTE["joint"], mark="arrow",
    ),
} | {
    name: Method(f"{name}, c = {{c:g}}", mistaken(rule), xi=True, family="mistake")
    for name, rule in MISTAKES.items()
})  # fmt: skip
"""All methods by name, in the order of tables."""
