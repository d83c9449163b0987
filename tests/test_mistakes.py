"""What else is called Synaptic Intelligence: what each rule does, and which properties it breaks.

``python tests/test_mistakes.py`` prints the tables of docs/mistakes.md.
"""

import json
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import to_host
from pysi.backend.arrays import device_namespace
from pysi.losses import SoftmaxCrossEntropy
from pysi.metrics import sem
from pysi.rules.mistakes import MISTAKES
from pysi.rules.properties import PROPERTIES, broken_properties, check_synaptic_intelligence
from pysi.synapses import ROWS
from pysi.training import update
from strategies import toy_net, toy_run, toy_tasks

SI = pysi.SynapticIntelligence
DOCS = Path(__file__).parent.parent / "docs"
every_mistake = pytest.mark.parametrize("name", MISTAKES)

BREAKS = {
    "total-gradient": {"path_integral", "loss_drop"},
    "lr-squared": {"path_integral", "loss_drop", "units_of_loss", "units_of_theta"},
    "cap": {"importance", "sum_over_tasks", "cut_off", "units_of_loss", "units_of_theta"},
    "per-task-clamp": {"cut_off"},
    "no-clamp": {"cut_off"},
    "readout-left-out": {"importance"},
    "summed-loss": {"no_strength", "path_integral", "loss_drop", "penalty"},
    "penalty-never-added": {"penalty"},
    "clipped-gradients": {
        "no_strength", "path_integral", "loss_drop", "penalty", "units_of_loss", "units_of_theta"
    },
    "replaced": {"sum_over_tasks"},
}  # fmt: skip


class Watching(SI):
    """The penalty acts in task 1 too."""

    def start(self, synapses):
        super().start(synapses)
        synapses.Omega[...] = 1
        self.refresh()


class ReferenceKept(SI):
    """θ̃ stays where the first task began."""

    def end_task(self, net=None, task=None):
        reference = self.synapses.theta_ref.copy()
        super().end_task()
        self.synapses.theta_ref[...] = reference


class PathKept(SI):
    """ω runs on from task to task."""

    def end_task(self, net=None, task=None):
        omega = self.synapses.omega.copy()
        super().end_task()
        self.synapses.omega[...] = omega


class TwiceTheImportance(SI):
    """Ω is twice that of Eq. 5."""

    def end_task(self, net=None, task=None):
        self.synapses.omega[...] *= 2
        super().end_task()


class NotFinite(SI):
    """ω is not a number."""

    def after_step(self, rows, delta):
        rows.omega[...] = rows.omega + np.nan * delta


SLIPS = {
    Watching: "first_task",
    ReferenceKept: "fresh_start",
    PathKept: "fresh_start",
    TwiceTheImportance: "importance",
    NotFinite: "loss_drop",
}


def test_synaptic_intelligence_has_every_property():
    check_synaptic_intelligence(SI)


def test_the_mistakes_break_just_these_properties():
    assert {name: set(broken_properties(rule)) for name, rule in MISTAKES.items()} == BREAKS
    assert all(BREAKS.values())


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_other_slips_break_a_property_too(slip):
    assert SLIPS[slip] in broken_properties(slip)


def test_every_property_is_broken_by_something():
    assert set().union(*BREAKS.values(), SLIPS.values()) == set(PROPERTIES)


def test_the_check_says_which_properties_are_missing_with_numbers():
    with pytest.raises(pysi.ConfigError) as error:
        check_synaptic_intelligence(MISTAKES["per-task-clamp"])
    message = str(error.value)
    assert message.startswith("PerTaskClamp: expected the 11 properties")
    assert "found 1 that it does not have:\n  cut_off: Negative Ω" in message
    assert message.endswith("Expected 0, found 1.")
    with pytest.raises(pysi.ConfigError, match="make.*: expected a Rule, found None"):
        check_synaptic_intelligence(lambda c, xi: None)


TASKS, STEPS, RATE, B = 3, 7, 0.05, 4
SHAPES = {"dense1.W": (4, 5), "dense2.W": (5, 1), "dense2.b": (1,)}


def run_rule(rule):
    """Return θ, ω, Ω and θ̃ after every step and task, learned by the package."""
    s = pysi.Synapses(SHAPES, dtype=np.float64)
    s.theta[...], kicks, gradient = problem()
    rule.examples = np.arange(B)
    rule.start(s)
    trace, optimizer = [], pysi.SGD(RATE)
    for task in range(TASKS):
        for step in range(STEPS):
            s.grad[...] = gradient(task, step, s.theta)
            update(s, optimizer, rule, kicks[task, step])
            trace.append(np.array([s.theta, s.omega, s.Omega, s.theta_ref]))
        rule.end_task()
        trace.append(np.array([s.theta, s.omega, s.Omega, s.theta_ref]))
    return np.array(trace)


def problem(size=26):
    """Return θ, gradients of something else than the loss, and noisy ones, some larger than 1.

    A step that follows something else may go uphill, so that some importance is negative.
    """
    rng = np.random.default_rng(3)
    h, best = rng.uniform(0.1, 2, (TASKS, size)), rng.standard_normal((TASKS, size))
    noise = 0.5 * rng.standard_normal((TASKS, STEPS, size))
    kicks = 2 * rng.standard_normal((TASKS, STEPS, size))
    return rng.standard_normal(size), kicks, lambda task, step, theta: (
        h[task] * (theta - best[task]) + noise[task, step])  # fmt: skip


def run_plainly(name, c, xi, lr):
    """Return what `run_rule` does for a mistake, written out in one loop of its own."""
    theta, kicks, gradient = problem()
    omega, Omega, reference, trace = 0 * theta, 0 * theta, theta.copy(), []
    for task in range(TASKS):
        for step in range(STEPS):
            g = gradient(task, step, theta) * (B if name == "summed-loss" else 1)
            pull = 2 * c * Omega * (theta - reference)
            total = g if name == "penalty-never-added" else g + pull
            if name == "clipped-gradients":
                g, total = (np.where(abs(x) > 1, np.sign(x), x) for x in (g, total))
            delta = -RATE * (total + kicks[task, step])
            theta = theta + delta
            if name == "lr-squared":
                omega = omega + lr * total * total
            elif name == "total-gradient":
                omega = omega - total * delta
            else:
                omega = omega - g * delta
            trace.append(np.array([theta, omega, Omega, reference]))
        if name == "readout-left-out":
            omega[20:] = 0
        contribution = omega / ((theta - reference) ** 2 + xi)
        if name == "per-task-clamp":
            contribution = np.where(contribution < 0, 0, contribution)
        Omega = contribution if name == "replaced" else Omega + contribution
        if name != "no-clamp":
            Omega = np.where(Omega < 0, 0, Omega)
        if name == "cap":
            Omega = np.where(Omega > 1e-3, 1e-3, Omega)
        reference, omega = theta.copy(), 0 * omega
        trace.append(np.array([theta, omega, Omega, reference]))
    return np.array(trace)


@pytest.mark.parametrize("name", ["si", *MISTAKES])
@pytest.mark.parametrize("c", [0.0, 0.3])
def test_each_does_what_its_name_says(name, c):
    rule = MISTAKES.get(name, SI)
    options = {"lr": 0.03} if name == "lr-squared" else {}
    found, expected = run_rule(rule(c, xi=0.1, **options)), run_plainly(name, c, 0.1, 0.03)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-11)
    if c and name != "si":  # and that is not what Synaptic Intelligence does
        assert not np.allclose(found, run_plainly("si", c, 0.1, 0.03), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("other", [n for n in MISTAKES if n != "no-clamp"])
def test_the_plain_loop_tells_them_apart(other):
    """The comparison above can fail: no mistake is mistaken for another."""
    found = run_rule(MISTAKES["no-clamp"](0.3, xi=0.1))
    assert not np.allclose(found, run_plainly(other, 0.3, 0.1, 0.03), rtol=1e-9, atol=1e-11)


def test_lr_g_squared_is_right_for_plain_descent_on_the_task_alone():
    """With the optimizer's rate, SGD and c = 0, -g Δθ is lr g²; with c > 0, g is the total."""
    lr_squared, total_gradient = MISTAKES["lr-squared"], MISTAKES["total-gradient"]
    options = {"optimizer": pysi.SGD(0.05)}

    def table(rule):
        return toy_run(rule, **options)[0].synapses.table

    assert np.allclose(table(lr_squared(0.0, lr=0.05)), table(SI(0.0)), rtol=1e-6, atol=1e-9)
    penalised = table(lr_squared(0.3, lr=0.05))
    assert np.allclose(penalised, table(total_gradient(0.3)), rtol=1e-6, atol=1e-9)
    assert not np.allclose(penalised, table(SI(0.3)), rtol=1e-3, atol=1e-6)


class Sum(SoftmaxCrossEntropy):
    """The loss of a minibatch is the sum over its examples."""

    def __call__(self, logits, labels, active):
        loss, dlogits = super().__call__(logits, labels, active)
        return loss * logits.shape[-2], dlogits * logits.shape[-2]


@pytest.mark.parametrize("optimizer", [pysi.SGD(0.005), pysi.Adam(0.01)], ids=["sgd", "adam"])
def test_the_summed_loss_is_that_of_tasks_whose_loss_is_the_sum(optimizer):
    """The last minibatch is smaller: 80 examples are three of 24, and one of 8."""
    sums = [replace(task, loss=Sum()) for task in toy_tasks()]
    real, _ = toy_run(SI(0.05), tasks=sums, optimizer=optimizer, batch_size=24)
    rule, _ = toy_run(MISTAKES["summed-loss"](0.05), optimizer=optimizer, batch_size=24)
    mean, _ = toy_run(SI(0.05), optimizer=optimizer, batch_size=24)
    for row in ("theta", "Omega"):
        expected = getattr(real.synapses, row)
        assert np.allclose(getattr(rule.synapses, row), expected, rtol=1e-6, atol=1e-9)
        assert not np.allclose(getattr(mean.synapses, row), expected, rtol=1e-2, atol=1e-3)


@every_mistake
def test_several_networks_side_by_side_learn_what_each_learns_alone(name):
    both, _ = toy_run(MISTAKES[name]([0.5, 0.0]), net=toy_net([3, 4]))
    for i, (seed, c) in enumerate(((3, 0.5), (4, 0.0))):
        one, _ = toy_run(MISTAKES[name](c), seed)
        assert np.allclose(both.synapses.table[:, i], one.synapses.table, rtol=1e-6, atol=1e-9)


@every_mistake
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_agrees_with_numpy_on_a_device(name, dtype, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", strict_array)
    tolerance = 1e-3 if dtype is np.float32 else 1e-10
    host, device = (
        toy_run(MISTAKES[name](0.2), net=toy_net([1, 2], xp=xp, dtype=dtype),
                optimizer=pysi.SGD(0.02))[0].synapses
        for xp in (np, device_namespace("cupy"))
    )  # fmt: skip
    for row in ROWS:
        expected, found = getattr(host, row), to_host(getattr(device, row))
        assert found.dtype == expected.dtype == dtype
        scale = abs(expected).max() or 1
        assert np.allclose(found / scale, expected / scale, rtol=tolerance, atol=tolerance), row


@every_mistake
def test_task_by_task_with_a_copy_of_the_rule_gives_the_same_bits(name):
    at_once, _ = toy_run(MISTAKES[name](0.5))
    net, optimizer, rule = toy_net(), pysi.Adam(0.01), deepcopy(MISTAKES[name](0.5))
    for task in toy_tasks():
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer)
        deepcopy(rule)  # it keeps nothing of a step that cannot be copied
    assert np.array_equal(net.synapses.table, at_once.synapses.table)


@pytest.mark.parametrize("lr", [0, -1, float("nan"), "fast"])
def test_a_bad_learning_rate_is_refused(lr):
    with pytest.raises(pysi.ConfigError, match="lr: expected a positive learning rate"):
        MISTAKES["lr-squared"](lr=lr)


@every_mistake
def test_bad_arguments_are_refused(name):
    for arguments in ({"c": -1}, {"xi": -1}):
        with pytest.raises(pysi.ConfigError, match=f"{next(iter(arguments))}: expected a finite"):
            MISTAKES[name](**arguments)
    assert repr(MISTAKES[name](0.5)) == f"{MISTAKES[name].__name__}(c=0.5)"


def matrix():
    """Return the table of mistakes and properties, in Markdown: ✗ where one breaks the other."""
    shown = [name for name in PROPERTIES if any(name in broken for broken in BREAKS.values())]
    lines = [f"| | {' | '.join(f'`{name}`' for name in shown)} |", "|---" * (len(shown) + 1) + "|"]
    for name, rule in {"si": SI, **MISTAKES}.items():
        broken = broken_properties(rule)
        lines.append(f"| {name} | {' | '.join('✗' if p in broken else ' ' for p in shown)} |")
    return "\n".join(lines)


RESULTS = ("mistakes-split.json", "mistakes-permuted.json")


def accuracies(file):
    """Return {(method, c): average accuracy after the last task, by seed} of a result file."""
    found = {}
    if (path := DOCS / "results" / file).exists():
        for run in json.loads(path.read_text())["runs"]:
            by_seed = found.setdefault((run["method"], run["c"]), {})
            by_seed[run["seed"]] = float(np.mean(run["test_accuracy"][-1]))
    return found


def costs():
    """Return the table of what mistakes cost, in Markdown, with – where no result is stored."""
    results = [accuracies(file) for file in RESULTS]
    lines = ["| | split MNIST | minus SI | permuted MNIST | minus SI |", "|---|---|---|---|---|"]
    for name in ("si", *MISTAKES, "fine-tuning"):
        cells = [cell for result in results for cell in compared(result, name)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compared(result, name):
    """Return a method's accuracy ± SEM, and its difference to SI's of the same seed ± SEM."""
    curves = {method: by_seed for (method, _), by_seed in result.items()}
    assert len(curves) == len(result)  # one strength per method
    if name not in curves:
        return "–", "–"
    values = np.array(list(curves[name].values()))
    cell = f"{values.mean():.4f} ± {sem(values):.4f}"
    if name == "si" or "si" not in curves:
        return cell, "–"
    difference = np.array([value - curves["si"][seed] for seed, value in curves[name].items()])
    return cell, f"{difference.mean():+.4f} ± {sem(difference):.4f}"


def test_a_cost_is_the_mean_of_the_differences_of_seeds():
    result = {("si", 1.0): {0: 0.9, 1: 0.8}, ("cap", 1.0): {1: 0.5, 0: 0.7}}
    assert compared(result, "cap") == ("0.6000 ± 0.1000", "-0.2500 ± 0.0500")
    assert compared(result, "si") == ("0.8500 ± 0.0500", "–")
    assert compared(result, "replaced") == ("–", "–")


@pytest.mark.parametrize("table", [matrix, costs])
def test_the_page_has_this_table(table):
    assert table() in (DOCS / "mistakes.md").read_text()


def test_the_page_shows_every_mistake():
    page = (DOCS / "mistakes.md").read_text()
    for name, rule in MISTAKES.items():
        assert f":pyobject: {rule.__name__}\n" in page
        assert f"{name}" in page


if __name__ == "__main__":
    print(matrix(), costs(), sep="\n\n")
