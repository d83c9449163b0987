"""Momentum and Adagrad against plain loops and against PyTorch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.storage.checkpoint import Checkpoint
from strategies import Stopped, seeds, stops_after, toy_net, toy_run, toy_tasks
from test_checkpoint import same
from test_optim import steps

OPTIMIZERS = {"adagrad": lambda: pysi.Adagrad(0.05), "momentum": lambda: pysi.Momentum(0.05, 0.8)}


def gradients_of(seed, n=7, size=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, size)) * 10 ** rng.uniform(-3, 3, size)


def check_adagrad(kind, seed, lr, eps):
    """Compare the steps with a plain loop over synapses."""
    s, gradients = pysi.Synapses({"a": (5,)}, dtype=np.float64), gradients_of(seed)
    made = steps(lambda: kind(lr, eps), s, gradients)
    for i in range(5):
        G = 0.0
        for g, step in zip(gradients[:, i], made, strict=True):
            G += g**2
            assert np.isclose(step[i], -lr * g / (G**0.5 + eps), rtol=1e-12, atol=0)


@given(seeds, st.floats(1e-4, 1), st.floats(1e-10, 1))
def test_adagrad_is_the_published_formula(seed, lr, eps):
    check_adagrad(pysi.Adagrad, seed, lr, eps)


class Forgetful(pysi.Adagrad):
    """G is a running mean, as in RMSprop."""

    def delta(self, gradient, rows):
        delta = super().delta(gradient, rows)
        rows.part(self.G)[...] = rows.part(self.G) * 0.9
        return delta


class Late(pysi.Adagrad):
    """G is that of the steps before."""

    def delta(self, gradient, rows):
        G = rows.part(self.G)
        delta = gradient * -self.lr / (np.sqrt(G) + self.eps)
        G[...] = G + gradient * gradient
        return delta


@pytest.mark.parametrize("mistake", [Forgetful, Late])
def test_known_mistakes_fail_the_loop(mistake):
    with pytest.raises(AssertionError):
        check_adagrad(mistake, 0, 0.1, 1e-10)


@given(seeds, st.floats(1e-4, 1), st.floats(0, 0.99))
def test_momentum_is_the_published_formula(seed, lr, mu):
    s, gradients = pysi.Synapses({"a": (5,)}, dtype=np.float64), gradients_of(seed)
    u = 0
    for g, step in zip(gradients, steps(lambda: pysi.Momentum(lr, mu), s, gradients), strict=True):
        u = mu * u + g
        assert np.allclose(step, -lr * u, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    s, gradients = pysi.Synapses({"a": (5,)}, dtype=np.float64), gradients_of(1)
    theta = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    other = {
        "adagrad": lambda: torch.optim.Adagrad([theta], lr=0.05),
        "momentum": lambda: torch.optim.SGD([theta], lr=0.05, momentum=0.8),
    }[name]()
    for g, step in zip(gradients, steps(OPTIMIZERS[name], s, gradients), strict=True):
        before = theta.detach().clone()
        theta.grad = torch.from_numpy(g.copy())
        other.step()
        assert np.allclose(step, (theta.detach() - before).numpy(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("lr", [0.01, 0.5])
def test_the_rate_of_a_constant_gradient_falls_as_a_root(lr):
    """On a constant gradient G = n g², so that step n of Adagrad is η / √n, whatever g is."""
    s = pysi.Synapses({"a": (3,)}, dtype=np.float64)
    made = steps(lambda: pysi.Adagrad(lr), s, np.tile([1e-3, 1.0, 1e3], (9, 1)))
    for n, step in enumerate(made, start=1):
        assert np.allclose(step, -lr / np.sqrt(n), rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_networks_side_by_side_end_where_each_ends_alone(name):
    net, _ = toy_run(pysi.FineTuning(), net=toy_net([2, 7]), optimizer=OPTIMIZERS[name]())
    for r, seed in enumerate((2, 7)):
        alone, _ = toy_run(pysi.FineTuning(), net=toy_net(seed), optimizer=OPTIMIZERS[name]())
        assert np.allclose(net.synapses.theta[r], alone.synapses.theta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["full", "none"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_was_stopped_ends_with_the_same_bits(name, mode, tmp_path):
    def run(folder, stop=None):
        return toy_run(
            pysi.FineTuning(), [0, 1], toy_tasks(), OPTIMIZERS[name](), reset_optimizer=mode,
            listeners=[Checkpoint(Path(folder) / "run.npz", {}), stops_after(stop)],
        )  # fmt: skip

    whole = run(tmp_path / "a")
    with pytest.raises(Stopped):
        run(tmp_path / "b", 3)
    same(whole, run(tmp_path / "b"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32(name):
    net, _ = toy_run(pysi.FineTuning(), net=toy_net(dtype=np.float32), optimizer=OPTIMIZERS[name]())
    assert net.synapses.theta.dtype == np.float32
    assert np.isfinite(net.synapses.theta).all()
