"""What an optimizer forgets between tasks: three modes, and how long the steps after each are."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.resets import RESETS, reset, reset_mode
from pysi.storage.checkpoint import Checkpoint
from strategies import Stopped, stops_after, toy_net, toy_run, toy_tasks
from test_checkpoint import same

TASKS = toy_tasks()
OPTIMIZERS = {
    "adam": lambda: pysi.Adam(0.01),
    "momentum": lambda: pysi.Momentum(0.05),
    "adagrad": lambda: pysi.Adagrad(0.05),
    "sgd": lambda: pysi.SGD(0.1),
}


def theta_after(mode, optimizer="adam", **options):
    net, _ = toy_run(
        pysi.SynapticIntelligence(1.0), optimizer=OPTIMIZERS[optimizer](), reset_optimizer=mode,
        **options,
    )  # fmt: skip
    return net.synapses.theta


def steps_after(mode, before, after, lr=0.1, gradient=0.7):
    """Return the steps of Adam on a constant gradient, after a reset at t = `before`."""
    s, optimizer = pysi.Synapses({"a": (1,)}, dtype=np.float64), pysi.Adam(lr, eps=1e-300)
    optimizer.start(s)
    made = []
    for k in range(before + after):
        if k == before:
            reset(optimizer, s, mode)
        s.grad[...], theta = gradient, s.theta.item()
        pysi.training.update(s, optimizer, pysi.FineTuning())
        made.append(s.theta.item() - theta)
    return np.array(made[before:]), optimizer.t


def factor(k, t):
    """Return how many times η long step k is, after a reset of the moments at t."""
    beta1, beta2 = 0.9, 0.999
    m = (1 - beta1**k) / (1 - beta1 ** (t + k))
    return m / sqrt((1 - beta2**k) / (1 - beta2 ** (t + k)))


@given(st.integers(1, 300), st.floats(0.01, 100))
def test_steps_after_a_reset_of_the_moments_are_this_much_longer(t, gradient):
    full, t_full = steps_after("full", t, 20, gradient=gradient)
    moments, t_moments = steps_after("moments", t, 20, gradient=gradient)
    none, t_none = steps_after("none", t, 20, gradient=gradient)
    assert np.allclose(full, -0.1, rtol=1e-9)
    assert np.allclose(none, -0.1, rtol=1e-9)
    expected = [factor(k, t) for k in range(1, 21)]
    assert np.allclose(moments / full, expected, rtol=1e-9)
    assert (t_full, t_moments, t_none) == (20, t + 20, t + 20)


def test_the_factors_that_the_page_names():
    """At large t: 3.2 at k = 1, 6.6 at k = 12, which is the most, and 3.2 at k = 100."""
    large = 10**6
    factors = [factor(k, large) for k in range(1, 2000)]
    assert [round(factors[k - 1], 1) for k in (1, 12, 100)] == [3.2, 6.6, 3.2]
    assert np.argmax(factors) + 1 == 12
    ratio = steps_after("moments", 20_000, 100)[0] / -0.1
    assert [round(ratio[k - 1], 1) for k in (1, 12, 100)] == [3.2, 6.6, 3.2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("value", "mode"), [(True, "full"), (False, "none")])
def test_true_and_false_are_two_of_the_modes(value, mode, optimizer):
    assert theta_after(value, optimizer).tobytes() == theta_after(mode, optimizer).tobytes()


def test_adam_has_three_different_modes_and_the_others_two():
    for optimizer, different in (("adam", 3), ("momentum", 2), ("adagrad", 2), ("sgd", 1)):
        found = {theta_after(mode, optimizer).tobytes() for mode in RESETS}
        assert len(found) == different, optimizer  # a full reset forgets rows, and Adam its t
        if optimizer != "adam":
            assert np.array_equal(theta_after("moments", optimizer), theta_after("full", optimizer))


def test_t_runs_on_while_the_moments_are_zero():
    s, optimizer = pysi.Synapses({"a": (3,)}), pysi.Adam(0.1)
    optimizer.start(s)
    for _ in range(4):
        s.grad[...] = 1
        pysi.training.update(s, optimizer, pysi.FineTuning())
    M = optimizer.M
    reset(optimizer, s, "none")
    assert (optimizer.M > 0).all() and (optimizer.V > 0).all() and optimizer.t == 4
    reset(optimizer, s, "moments")
    assert optimizer.M is M and (optimizer.M == 0).all() and (optimizer.V == 0).all()
    assert optimizer.t == 4
    reset(optimizer, s, "full")
    assert optimizer.t == 0
    for mode in RESETS:  # on another table it begins anew, whatever the mode
        other = pysi.Synapses({"b": (2,)})
        optimizer.t = 9
        reset(optimizer, other, mode)
        assert (optimizer.t, optimizer.M.shape) == (0, (2,))


def test_a_number_of_numpy_in_the_state_runs_on_too():
    class Counting(pysi.SGD):
        kept = ("count",)

    s, optimizer = pysi.Synapses({"a": (3,)}), Counting(0.1)
    optimizer.start(s)
    optimizer.count = np.float64(7)
    reset(optimizer, s, "moments")
    assert optimizer.count == 7


@pytest.mark.parametrize("mode", RESETS)
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_task_by_task_equals_one_call(mode, optimizer):
    whole = theta_after(mode, optimizer)
    net, rule, used = toy_net(), pysi.SynapticIntelligence(1.0), OPTIMIZERS[optimizer]()
    for task in TASKS:
        toy_run(rule, net=net, tasks=[task], optimizer=used, reset_optimizer=mode)
    assert np.array_equal(net.synapses.theta, whole)


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("mode", RESETS)
def test_a_run_that_was_stopped_in_task_2_ends_with_the_same_bits(mode, seed, tmp_path):
    def run(folder, stop=None):
        return toy_run(
            pysi.SynapticIntelligence(1.0), seed, TASKS, reset_optimizer=mode,
            listeners=[Checkpoint(tmp_path / folder / "run.npz", {}), stops_after(stop)],
        )  # fmt: skip

    whole = run("a")
    with pytest.raises(Stopped):
        run("b", 3)
    same(whole, run("b"))


@pytest.mark.parametrize("value", [True, False, np.True_, np.array(False), *RESETS])
def test_modes_are_understood(value):
    expected = value if isinstance(value, str) else "full" if value else "none"
    assert reset_mode(value) == expected


@pytest.mark.parametrize(
    "value", [None, 1, 0, "all", "Full", 1.0, ["full"], np.array(["full", "none"]), {}]
)
def test_other_values_are_refused_before_any_work(value):
    net = toy_net()
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="reset_optimizer: expected True, False or one of"):
        toy_run(pysi.FineTuning(), net=net, reset_optimizer=value)
    assert np.array_equal(net.synapses.table, before)
    assert net.learned == 0
