"""Lower rates for shared layers: frozen to the bit at 0, fine-tuning to the bit at 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.rules.rates import LowerRate
from pysi.storage.checkpoint import Checkpoint
from pysi.training import training_step
from strategies import (
    Stopped,
    seeds,
    stops_after,
    toy_cnn,
    toy_image_tasks,
    toy_net,
    toy_run,
    toy_tasks,
)
from test_checkpoint import same

TASKS = toy_tasks()
OPTIMIZERS = {
    "adam": lambda: pysi.Adam(0.01),
    "momentum": lambda: pysi.Momentum(0.05),
    "adagrad": lambda: pysi.Adagrad(0.05),
}
SHARED, READOUT = slice(0, 187), slice(187, 235)
"""Columns of the toy network's hidden layers, and of its readout."""


def theta_after(rule, n, **options):
    """Return θ after n tasks."""
    options = {"net": toy_net(options.pop("seed", 0))} | options
    net, _ = toy_run(rule, tasks=TASKS[:n], **options)
    return net.synapses.theta


@pytest.mark.parametrize("reset", ["full", "moments", "none"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_frozen_layers_are_bit_identical_after_task_1(seed, optimizer, reset):
    make = OPTIMIZERS[optimizer]
    first, last = (
        theta_after(LowerRate(0), n, seed=seed, optimizer=make(), reset_optimizer=reset)
        for n in (1, 3)
    )
    assert first[..., SHARED].tobytes() == last[..., SHARED].tobytes()
    new = toy_net().synapses.group("dense3.b").columns
    assert (first[..., new] != last[..., new]).any()
    # the test can fail: without the rule they move
    plain = theta_after(pysi.FineTuning(), 3, seed=seed, optimizer=make())
    assert (plain[..., SHARED] != first[..., SHARED]).mean() > 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rate_of_1_is_fine_tuning_to_the_bit(optimizer, dtype):
    make, net = OPTIMIZERS[optimizer], lambda: toy_net(dtype=dtype, dropout=0.2)
    lower = theta_after(LowerRate(1), 3, optimizer=make(), net=net())
    plain = theta_after(pysi.FineTuning(), 3, optimizer=make(), net=net())
    assert lower.dtype == dtype
    assert lower.tobytes() == plain.tobytes()


@given(seeds, st.floats(0, 1), st.sampled_from([None, 1, 2]), st.sampled_from([0, 1, 2]))
def test_a_step_is_r_times_that_of_the_optimizer(seed, r, layers, learned):
    """Against a plain loop over synapses: SGD's step, times r in shared layers after task 1."""
    check_step(LowerRate, seed, r, layers, learned)


def check_step(kind, seed, r, layers, learned):
    net, rule, optimizer = toy_net(seed), kind(r, layers=layers), pysi.SGD(0.1)
    s, task = net.synapses, TASKS[learned]
    rule.check(net, TASKS)
    rule.start(s)
    optimizer.start(s)
    net.learned = learned
    rule.start_task(net, task)
    theta = s.theta.copy()
    training_step(net, optimizer, rule, task.x_train, task.y_train, task)
    names = [f"dense{i + 1}" for i in range(layers or 2)]
    for i in range(len(s)):
        factor = r if learned and s[i].group.split(".")[0] in names else 1
        assert np.isclose(s.theta[i], theta[i] - 0.1 * factor * s.grad[i], rtol=1e-12, atol=1e-15)


class ReadoutToo(LowerRate):
    """All layers are slowed, the readout too."""

    def start_task(self, net, task):
        super().start_task(net, task)
        self.rates[...] = self.rates[..., :1]


class WeightsOnly(LowerRate):
    """Biases of shared layers are forgotten."""

    def start_task(self, net, task):
        super().start_task(net, task)
        for name in net.synapses.shapes:
            if name.endswith(".b"):
                self.rates[..., net.synapses.group(name).columns] = 1


class FromTheStart(LowerRate):
    """The first task is slowed too."""

    def start_task(self, net, task):
        super().start_task(net, task)
        self.lowered = True


class SlowGradient(LowerRate):
    """The gradient is scaled, which Adam undoes, and not the step."""

    def total_gradient(self, rows):
        return rows.grad * rows.part(self.rates) if self.lowered else rows.grad

    def modulate(self, delta, rows):
        return delta


@pytest.mark.parametrize(
    ("mistake", "learned"), [(ReadoutToo, 1), (WeightsOnly, 1), (FromTheStart, 0)]
)
def test_known_mistakes_make_other_steps(mistake, learned):
    with pytest.raises(AssertionError):
        check_step(mistake, 0, 0.3, None, learned)


def test_a_scaled_gradient_is_no_lower_rate():
    """Adam's steps do not depend on the size of gradients; scaling these would change little."""

    def moved(rule):
        first, second = (theta_after(rule, n, optimizer=pysi.Adam(1e-3)) for n in (1, 2))
        return abs(second - first)[SHARED].mean()

    plain = moved(pysi.FineTuning())
    assert moved(LowerRate(0.01)) < 0.03 * plain
    assert moved(SlowGradient(0.01)) > 0.5 * plain


@pytest.mark.parametrize("layers", [1, 2])
def test_the_first_n_layers_of_yosinski(layers):
    first, last = (theta_after(LowerRate(0, layers=layers), n) for n in (1, 3))
    groups = {name: toy_net().synapses.group(name).columns for name in toy_net().synapses.shapes}
    frozen = [name for name, c in groups.items() if np.array_equal(first[c], last[c])]
    assert frozen == ["dense1.W", "dense1.b", "dense2.W", "dense2.b"][: 2 * layers]


def test_one_rate_per_network():
    rates = (0, 0.5, 1)
    both, _ = toy_run(LowerRate(rates), net=toy_net([3, 3, 4]))
    for r, (seed, rate) in enumerate(zip((3, 3, 4), rates, strict=True)):
        alone, _ = toy_run(LowerRate(rate), net=toy_net(seed))
        assert np.allclose(both.synapses.theta[r], alone.synapses.theta, rtol=1e-9, atol=1e-12)
    assert not np.allclose(both.synapses.theta[0], both.synapses.theta[1])


def test_convolutions_are_frozen_too():
    tasks = toy_image_tasks(n=9)
    nets = [toy_run(LowerRate(0), net=toy_cnn(), tasks=tasks[:n])[0] for n in (1, 2)]
    one, two = (net.synapses.theta for net in nets)
    readout = nets[0].synapses.group("dense2.W").columns
    assert np.array_equal(one[: readout.start], two[: readout.start])
    assert not np.array_equal(one[readout], two[readout])


def test_omega_of_frozen_synapses_does_not_grow():
    """Δθ is what was really done, so ω, in a rule that has it, stays 0 where nothing moves."""

    class Both(pysi.SynapticIntelligence):
        def start_task(self, net, task):
            lower.start(net.synapses)
            lower.start_task(net, task)

        def modulate(self, delta, rows):
            return lower.modulate(delta, rows)

    lower = LowerRate(0)
    one, two = (toy_run(Both(1.0), tasks=TASKS[:n])[0].synapses.Omega for n in (1, 2))
    assert np.array_equal(one[SHARED], two[SHARED])
    assert (two[READOUT] > one[READOUT]).any()


@pytest.mark.parametrize("xp", [np, strict_array])
@pytest.mark.parametrize("r", [0, (0.1, 0.5)])
def test_runs_that_go_on(r, xp, tmp_path):
    def run(folder, stop=None):
        return toy_run(
            LowerRate(r), net=toy_net([1, 2], xp=xp), tasks=TASKS,
            listeners=[Checkpoint(tmp_path / folder / "run.npz", {}), stops_after(stop)],
        )  # fmt: skip

    whole = run("a")
    with pytest.raises(Stopped):
        run("b", 3)  # in the middle of task 2
    same(whole, run("b"))
    net, rule, optimizer = toy_net([1, 2], xp=xp), LowerRate(r), pysi.Adam(0.01)
    for task in TASKS:
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer)
    assert np.array_equal(to_host(net.synapses.theta), to_host(whole[0].synapses.theta))


def test_a_network_that_is_reset_has_no_old_layers():
    assert np.array_equal(
        theta_after(LowerRate(0), 3, reset_network=True),
        theta_after(pysi.FineTuning(), 3, reset_network=True),
    )


@pytest.mark.parametrize("r", [-0.1, 1.1, (0, 2), float("nan"), "half", None, []])
def test_rates_outside_of_0_to_1_are_refused(r):
    with pytest.raises(pysi.ConfigError, match="r: expected"):
        LowerRate(r)


@pytest.mark.parametrize("layers", [0, -1, 1.5, True, "all"])
def test_layers_that_are_no_number_are_refused(layers):
    with pytest.raises(pysi.ConfigError, match="layers: expected a whole number from 1"):
        LowerRate(0, layers=layers)


@pytest.mark.parametrize(
    ("rule", "net", "message"),
    [
        (LowerRate(0, layers=3), toy_net(), "layers: expected shared layers before the last"),
        (LowerRate(0), toy_net(sizes=(12, 6)), "layers: expected shared layers before the last"),
        (LowerRate((0, 1)), toy_net(), "r: expected one value, or one per network"),
        (LowerRate((0, 1)), toy_net([1, 2, 3]), "r: expected one value, or one per network"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(rule, net, message):
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match=message):
        toy_run(rule, net=net)
    assert np.array_equal(net.synapses.table, before)


def test_it_says_what_it_was_made_with():
    assert repr(LowerRate(0.5)) == "LowerRate(0.5)"
    assert repr(LowerRate((0, 1), layers=2)) == "LowerRate([0.0, 1.0], layers=2)"
