"""Several rules as one, such as Synaptic Intelligence with distillation."""

from typing import Any

from pysi.arguments import several
from pysi.errors import ConfigError
from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.functional import Functional
from pysi.rules.quadratic import QuadraticPenalty
from pysi.rules.rule import Rule
from pysi.synapses import Synapses, Update
from pysi.typing import Array


class Together(Rule):
    """Follow several rules at once: what they add to the gradient is added up.

    Steps are changed by one rule after the other (`modulate`), in the order in which they are
    given. SI learns ω from the gradient of the task alone, whatever else pulls at the synapses.

    Parameters
    ----------
    *rules : Rule
        At most one of them may have a quadratic penalty, since there is one row Ω and one row θ̃.

    Raises
    ------
    ConfigError
        There are no rules, or they need the same row of the table for different things.

    Examples
    --------
    >>> from pysi.rules.lwf import LwF
    >>> from pysi.rules.si import SynapticIntelligence
    >>> rule = Together(SynapticIntelligence(c=0.1), LwF())
    >>> rule.name
    'si+lwf'
    """

    def __init__(self, *rules: Rule) -> None:
        self.rules: list[Rule] = []
        for rule in several("rules", rules, Rule):
            self.rules += rule.rules if isinstance(rule, Together) else [rule]
        check_rows(self.rules)
        self.name = "+".join(rule.name for rule in self.rules)
        self.kept = tuple(f"{i}.{name}" for i, rule in enumerate(self.rules) for name in rule.kept)
        # one rule may scale `grad`, which then must not hold what another one adds
        self.separate = len(self.rules) > 1 or self.rules[0].separate
        for rule in self.rules:
            rule.separate = self.separate

    def __repr__(self) -> str:
        return f"Together({', '.join(map(repr, self.rules))})"

    def __getattr__(self, name: str) -> Any:
        """Return what a rule remembers, such as "1.groups", for a checkpoint."""
        i, dot, own = name.partition(".")
        if not dot:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.rules[int(i)], own)

    def __setattr__(self, name: str, value: Any) -> None:
        i, dot, own = name.partition(".")
        if dot:
            setattr(self.rules[int(i)], own, value)
        else:
            super().__setattr__(name, value)

    def check(self, net: Any, tasks: list[Any]) -> None:
        for rule in self.rules:
            rule.check(net, tasks)

    def start(self, synapses: Synapses) -> None:
        super().start(synapses)
        for rule in self.rules:
            rule.start(synapses)

    def start_task(self, net: Any, task: Any) -> None:
        for rule in self.rules:
            rule.start_task(net, task)

    def refresh(self) -> None:
        for rule in self.rules:
            rule.refresh()

    def before_step(self, net: Any) -> Array | None:
        total = None
        for rule in self.rules:
            rule.examples = self.examples
            total = added(total, rule.before_step(net))
        return total

    def output_gradient(self, net: Any, x: Array, logits: Array) -> tuple[Any, Any] | None:
        pulls = [rule.output_gradient(net, x, logits) for rule in self.rules]
        dlogits, dfeatures = None, None
        for pull in pulls:
            if pull is not None:
                dlogits, dfeatures = added(dlogits, pull[0]), added(dfeatures, pull[1])
        return None if dlogits is None and dfeatures is None else (dlogits, dfeatures)

    def total_gradient(self, rows: Update) -> Any:
        g = total = rows.grad
        for rule in self.rules:
            own = rule.total_gradient(rows)
            if own is not g:
                total = own if total is g else total + (own - g)
        return total

    def modulate(self, delta: Any, rows: Update) -> Any:
        for rule in self.rules:
            delta = rule.modulate(delta, rows)
        return delta

    def after_step(self, rows: Update, delta: Any) -> None:
        for rule in self.rules:
            rule.after_step(rows, delta)

    def end_task(self, net: Any = None, task: Any = None) -> None:
        # functional rules set θ̃, from which SI still needs to measure how far θ has moved
        for rule in sorted(self.rules, key=lambda rule: isinstance(rule, Functional)):
            rule.end_task(net, task)

    def penalty(self) -> Array:
        first, *others = (rule.penalty() for rule in self.rules)
        return sum(others, start=first)


def added(total: Any, part: Any) -> Any:
    """Return the sum of two arrays, either of which may be None."""
    return part if total is None else total if part is None else total + part


def check_rows(rules: list[Rule]) -> None:
    """Raise a ConfigError for rules that need one row of the table for different things."""
    if len(set(map(id, rules))) < len(rules):
        raise ConfigError(
            f"rules: expected different objects, found one of them twice in {rules}; make a new one"
        )
    quadratic = [rule for rule in rules if isinstance(rule, QuadraticPenalty)]
    if len(quadratic) > 1:
        found = " and ".join(rule.name for rule in quadratic)
        raise ConfigError(
            f"rules: expected at most one with a quadratic penalty, since a table has one Ω and "
            f"one θ̃, found {found}"
        )
    merging = [rule for rule in rules if isinstance(rule, EWC) and not isinstance(rule, OnlineEWC)]
    functional = [rule for rule in rules if isinstance(rule, Functional)]
    if merging and functional:
        raise ConfigError(
            f"rules: expected, beside {functional[0].name}, a rule whose θ̃ is the network at the "
            f"end of the last task, found {merging[0].name}, whose θ̃ is a mean over tasks; use "
            f"OnlineEWC"
        )
