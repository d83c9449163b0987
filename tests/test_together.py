"""Several rules as one: each does what it does alone, and ω is learned from the task alone."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given

import pysi
import strict_array
from pysi.backend import to_host
from pysi.losses import softmax_cross_entropy
from pysi.rules.distillation import distillation
from pysi.rules.lfl import LFL
from pysi.rules.lwf import WEIGHTINGS, LwF
from pysi.rules.quadratic import QuadraticPenalty
from pysi.rules.rule import FineTuning, Rule
from pysi.rules.together import Together
from pysi.scenarios import in_scenario
from pysi.storage.checkpoint import Checkpoint
from pysi.training import shuffled, training_step
from strategies import seeds, toy_net, toy_run, toy_tasks
from test_lwf import check_against_torch, check_resumed

TASKS = toy_tasks(n=12)
LR, C, XI, LAMBDA = 0.2, 0.6, 1e-2, 1.4


def run(rule, net=None, tasks=TASKS, **options):
    options = {"epochs": 2, "batch_size": 7} | options
    return toy_run(rule, net=net or toy_net(), tasks=tasks, optimizer=pysi.SGD(LR), **options)


def si_and_lwf(weighting="sum", **options):
    return Together(
        pysi.SynapticIntelligence(C, xi=XI), LwF(LAMBDA, weighting=weighting, **options)
    )


# Synaptic Intelligence with distillation, as a loop


def gradient(theta, x, dlogits):
    net = toy_net()
    net.synapses.theta[...] = theta
    net.forward(x)
    net.backward(dlogits)
    return net.synapses.grad.copy()


def loop(weighting):
    """Return (θ, ω, Ω) after each step: plain formulas, with the old network kept as such."""
    net, trace = toy_net(), []
    theta = net.synapses.theta.copy()
    Omega, reference = np.zeros_like(theta), theta.copy()
    for number, task in enumerate(TASKS, start=1):
        omega, old = np.zeros_like(theta), toy_net()
        old.synapses.theta[...] = reference
        for epoch in (1, 2):
            order = shuffled(net, len(task.y_train), number - 1, epoch)
            for start in range(0, len(order), 7):
                rows = order[start : start + 7]
                x, y = task.x_train[rows], task.y_train[rows]
                net.synapses.theta[...] = theta
                z = net.logits(x).copy()
                g = gradient(theta, x, softmax_cross_entropy(z, y, task.active)[1])
                pull = np.zeros_like(theta)
                for earlier in TASKS[: number - 1]:
                    _, dz = distillation(z, old.logits(x), 2.0, earlier.active)
                    pull += LAMBDA * gradient(theta, x, dz)
                own = 1.0
                if weighting == "tasks":
                    own, pull = 1 / number, (1 - 1 / number) * pull
                step = -LR * (own * g + pull + 2 * C * Omega * (theta - reference))
                theta = theta + step
                omega = omega - g * step  # g alone, and not what is added to it
                trace.append([theta, omega, Omega])
        Omega = np.maximum(0, Omega + omega / ((theta - reference) ** 2 + XI))
        reference = theta
    return np.array(trace)


def check_against_loop(rule, weighting):
    trace = []

    def note(event):
        if type(event).__name__ == "Step":
            s = event.run.net.synapses
            trace.append([s.theta.copy(), s.omega.copy(), s.Omega.copy()])

    run(rule, listeners=[note])
    expected = loop(weighting)
    scale = abs(expected).max(axis=(0, 2))[:, None]
    # 1e-16 of rounding, which a hundred steps and the division by Δ² + ξ amplify
    assert np.allclose(trace / scale, expected / scale, rtol=1e-8, atol=1e-10)
    assert scale.min() > 0.01  # a difference would show


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("first", [0, 1])
def test_si_and_lwf_are_the_loop_in_either_order(weighting, first):
    rules = si_and_lwf(weighting).rules
    check_against_loop(Together(rules[first], rules[1 - first]), weighting)


def mistaken(kind):
    rule = si_and_lwf()
    if kind == "ω of the total gradient":
        rule.separate = rule.rules[1].separate = False
    elif kind == "θ̃ is set first":
        rule.end_task = lambda net, task: [r.end_task(net, task) for r in rule.rules[::-1]]
    elif kind == "no second rule":
        rule.rules.pop()
    return rule


@pytest.mark.parametrize("kind", ["ω of the total gradient", "θ̃ is set first", "no second rule"])
def test_known_mistakes_fail_the_loop(kind):
    with pytest.raises(AssertionError):
        check_against_loop(mistaken(kind), "sum")


def test_a_weighted_gradient_in_omega_fails_the_loop():
    class Weighted(pysi.SynapticIntelligence):
        def after_step(self, rows, delta):
            super().after_step(rows, delta * (1 / (1 + self.learned)))

        learned = 0

        def end_task(self, net=None, task=None):
            super().end_task(net, task)
            self.learned += 1

    rule = Together(Weighted(C, xi=XI), LwF(LAMBDA, weighting="tasks"))
    with pytest.raises(AssertionError):
        check_against_loop(rule, "tasks")


# One rule


@pytest.mark.parametrize(
    "make",
    [
        lambda: pysi.SynapticIntelligence(1.0), lambda: pysi.EWC(2.0), FineTuning,
        lambda: LwF(1.0), lambda: LwF(1.0, weighting="tasks", warm_up=3),
    ],
)  # fmt: skip
@given(seeds)
def test_one_rule_has_the_bits_that_it_has_alone(make, seed):
    alone, a = run(make(), toy_net(seed), epochs=1)
    together, b = run(Together(make()), toy_net(seed), epochs=1)
    assert np.array_equal(alone.synapses.table, together.synapses.table)
    assert [e["penalty"] for e in a.epochs] == [e["penalty"] for e in b.epochs]


def test_rules_of_strength_zero_change_no_bit():
    rule = Together(pysi.SynapticIntelligence(0.0), LwF(0.0))
    assert np.array_equal(run(rule)[0].synapses.theta, run(FineTuning())[0].synapses.theta)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_beside_a_rule_that_does_nothing_lwf_is_that_of_pytorch(weighting):
    def kind(c, **options):
        return Together(FineTuning(), LwF(c, **options))

    check_against_torch(kind, weighting=weighting)


def test_two_functional_rules_add_up():
    tasks = in_scenario(TASKS, "domain")
    net, pull = toy_net(sizes=(12, 9, 7, 2)), {}
    for name, rule in {
        "lwf": LwF(1.0, weighting="tasks"), "lfl": LFL(1.0),
        "both": Together(LwF(1.0, weighting="tasks"), LFL(1.0)),
    }.items():  # fmt: skip
        rule.separate, other = True, deepcopy(net)
        run(rule, other, tasks[:1])
        rule.start_task(other, tasks[1])
        rule.examples = np.arange(5)
        rule.before_step(other)
        other.synapses.theta[...] *= 0.9
        x = tasks[1].x_train[:5]
        pull[name] = *rule.output_gradient(other, x, other.forward(x, train=True)), rule.penalty()
    assert np.array_equal(pull["both"][0], pull["lwf"][0])
    assert np.array_equal(pull["both"][1], pull["lfl"][1])
    assert np.isclose(pull["both"][2], pull["lwf"][2] + pull["lfl"][2])


# Every hook


class Noting(Rule):
    """Adds fixed numbers at every place, and notes which hooks are called."""

    def __init__(self, number):
        self.number, self.calls = number, []

    def start(self, synapses):
        super().start(synapses)
        self.row = synapses.zeros() + self.number

    def before_step(self, net):
        self.calls.append("before_step")
        self.seen = self.examples
        return self.row

    def output_gradient(self, net, x, logits):
        return (self.number + 0 * logits, None) if self.number > 1 else (None, 0 * net.features)

    def total_gradient(self, rows):
        return rows.grad + self.number

    def modulate(self, delta, rows):
        return delta * self.number + 1

    def after_step(self, rows, delta):
        self.calls.append("after_step")

    def refresh(self):
        self.calls.append("refresh")

    def check(self, net, tasks):
        self.calls.append("check")

    def start_task(self, net, task):
        self.calls.append("start_task")

    def end_task(self, net=None, task=None):
        self.calls.append("end_task")

    def penalty(self):
        return super().penalty() + self.number


def test_every_hook_of_every_rule_is_followed():
    a, b, net = Noting(2.0), Noting(1.0), toy_net()
    rule, optimizer, task = Together(a, b), pysi.SGD(0.1), TASKS[0]
    s = net.synapses
    rule.start(s)
    optimizer.start(s)
    theta, x = s.theta.copy(), task.x_train[:5]
    rule.examples = np.arange(5)
    training_step(net, optimizer, rule, x, task.y_train[:5], task)
    extra = gradient(theta, x, np.full((5, 6), 2.0))
    step = -0.1 * (s.grad + 2 + 1 + (2 + 1) + extra)
    assert np.allclose(s.theta - theta, (2 * step + 1) * 1 + 1, rtol=1e-9, atol=1e-12)
    assert np.array_equal(a.seen, rule.examples) and np.array_equal(b.seen, rule.examples)
    assert rule.penalty() == 3
    _, history = run(Together(a, b), tasks=TASKS[:1], epochs=1, batch_size=100)
    hooks = ["check", "start_task", "before_step", "after_step", "end_task", "refresh"]
    assert a.calls[-6:] == b.calls[-6:] == hooks
    assert history.epochs[0]["penalty"] == 3


def test_its_name_kept_and_repr_are_those_of_its_rules():
    rule = Together(pysi.OnlineEWC(1.0), Together(LwF(), FineTuning()))
    assert rule.name == "online-ewc+lwf+fine-tuning"
    assert rule.kept == ("0.constant", "1.learned", "1.groups", "1.steps")
    assert repr(rule) == "Together(OnlineEWC(1.0), LwF(c=1.0), FineTuning())"
    rule.start(toy_net().synapses)
    setattr(rule, "1.learned", 4)
    assert rule.rules[1].learned == getattr(rule, "1.learned") == 4
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rule.nothing  # noqa: B018


def test_grad_is_the_task_s_alone_wherever_several_rules_could_need_it():
    assert not Together(LwF()).separate
    assert Together(pysi.SynapticIntelligence()).separate
    lwf = LwF(weighting="tasks")
    assert Together(lwf, LFL(1.0)).separate and lwf.separate


# Stopping, copying, several networks, other devices


@pytest.mark.parametrize("seed", [1, [1, 2]])
@pytest.mark.parametrize("xp", [np, strict_array], ids=["host", "device"])
def test_a_run_goes_on_in_the_middle_of_a_task(seed, xp, tmp_path):
    check_resumed(lambda: si_and_lwf("tasks", warm_up=5), tmp_path, seed=seed, xp=xp)


def test_it_goes_on_from_the_first_task_of_another_rule(tmp_path):
    """All runs of an experiment share the first task, which another rule may have learned."""

    def listeners():
        return [Checkpoint(tmp_path / "run.npz", {})]

    whole, _ = run(si_and_lwf())
    run(pysi.SynapticIntelligence(0.0), tasks=TASKS[:1], listeners=listeners())
    net, _ = run(si_and_lwf(), listeners=listeners())
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)


def test_task_by_task_equals_one_call_and_copies_go_on():
    whole, _ = run(si_and_lwf("tasks", warm_up=3))
    net, rule, optimizer = toy_net(), si_and_lwf("tasks", warm_up=3), pysi.SGD(LR)
    for task in TASKS:
        net, rule, optimizer = deepcopy((net, rule, optimizer))
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer, batch_size=7)
    assert np.array_equal(net.synapses.table, whole.synapses.table)


def test_several_networks_equal_separate_runs():
    def make(c):
        return Together(pysi.SynapticIntelligence(c), LwF(c, weighting="tasks"))

    cs = (0.0, 0.3, 1.0)
    side_by_side, _ = run(make(cs), toy_net([0, 1, 2]))
    own = [run(make(c), toy_net(seed))[0].synapses.theta for seed, c in enumerate(cs)]
    assert np.allclose(side_by_side.synapses.theta, own, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_device_gives_the_same_numbers(seed, dtype):
    nets = [run(si_and_lwf("tasks"), toy_net(seed, xp=xp, dtype=dtype))[0]
            for xp in (np, strict_array)]  # fmt: skip
    tolerance = 1e-3 if dtype == np.float32 else 1e-9
    tables = [to_host(net.synapses.theta) for net in nets]
    assert tables[1].dtype == dtype
    assert np.allclose(*tables, rtol=tolerance, atol=tolerance)


# Bad input


class MyPenalty(QuadraticPenalty):
    name = "mine"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Together(), "rules: expected at least one Rule, found none"),
        (lambda: Together(LwF), "rules: expected a Rule, found the class LwF"),
        (lambda: Together(LwF(), "si"), "rules: expected a Rule, found 'si'"),
        (lambda: Together(pysi.SynapticIntelligence(), MyPenalty(1.0)),
         "one Ω and one θ̃, found si and mine"),
        (lambda: Together(Together(pysi.EWC(1.0)), Together(pysi.OnlineEWC(1.0))),
         "one Ω and one θ̃, found ewc and online-ewc"),
        (lambda: Together(LwF(), pysi.EWC(1.0)), "expected, beside lwf, a rule .* found ewc"),
        (lambda: Together(*[LwF()] * 2), "expected different objects, found one of them twice"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_are_refused(make, message):
    with pytest.raises(pysi.ConfigError, match=message):
        make()


def test_the_checks_of_its_rules_are_made_before_any_work():
    net = toy_net()
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="lfl expected tasks that share one readout"):
        run(Together(pysi.SynapticIntelligence(1.0), LFL(1.0)), net)
    assert np.array_equal(net.synapses.table, before)
    assert Together(pysi.OnlineEWC(1.0), LwF()).name == "online-ewc+lwf"
