"""The benchmarks' program in JAX computes what pysi computes, step by step."""

import sys
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.training import shuffled, training_step
from strategies import toy_tasks

jax = pytest.importorskip("jax", reason="JAX is not installed: it is a benchmark's contestant")
sys.path.append(str(Path(__file__).parent / "bench"))
import jax_si  # noqa: E402

BATCH, EPOCHS, LR, XI = 16, 2, 0.01, 1e-3


@pytest.fixture(autouse=True)
def double():
    """Let JAX compute in float64."""
    with jax.enable_x64(True):
        yield


def like(net, sizes, c=1.0):
    """Return JAX's trainer with the network's weights, and without dropout."""
    trainer = jax_si.Trainer(sizes, c, XI, lr=LR, p=(0, 0))
    theta = [jax.numpy.array(net.synapses.group(name).theta) for name in net.synapses.shapes]
    assert [w.shape for w in theta] == [w.shape for w in trainer.theta]
    trainer.ref = [jax.numpy.copy(w) for w in theta]
    trainer.state = (theta, *trainer.state[1:])
    return trainer


def check_rows(s, trainer):
    for name in ("theta", "omega", "Omega", "theta_ref"):
        arrays = trainer.ref if name == "theta_ref" else getattr(trainer, name)
        row = np.concatenate([np.ravel(array) for array in arrays])
        # rounding, amplified over at most 30 steps of Adam, whose first steps are ±η whatever the
        # size of g; Ω divides by Δ² + ξ ≥ 1e-3
        assert np.allclose(getattr(s, name), row, rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_a_training_run_equals_jax_s_step_by_step(c):
    sizes = (12, 9, 7, 6)
    net = pysi.MLP(sizes, seed=3, dtype=np.float64)
    rule, optimizer = pysi.SynapticIntelligence(c, xi=XI), pysi.Adam(LR)
    trainer, s = like(net, sizes, c), net.synapses
    rule.start(s)
    for i, task in enumerate(toy_tasks()[:2]):
        optimizer.start(s)
        trainer.reset()
        for epoch in range(EPOCHS):
            order = shuffled(net, len(task.y_train), i, epoch)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                x, y = task.x_train[batch], task.y_train[batch]  # bytes: both divide them by 255
                expected = training_step(net, optimizer, rule, x, y, task)
                loss = trainer.step(x, y, task.active)
                assert np.isclose(float(loss), expected, rtol=1e-8, atol=1e-12)
                check_rows(s, trainer)
        rule.end_task()
        trainer.end_task()
        check_rows(s, trainer)
    assert (s.Omega > 0).any()
    x, y = task.part("test")
    share = (net.predict(x, task.active) == y).mean()
    assert trainer.accuracy(x, y, task.active) == share


@pytest.mark.slow
def test_steps_of_the_cnn_equal_jax_s():
    net = pysi.CNN(60, dtype=np.float64, dropout=(0, 0))
    rule, optimizer, s = pysi.SynapticIntelligence(1.0, xi=XI), pysi.Adam(LR), net.synapses
    rng = np.random.default_rng(0)
    s.theta[...] += rng.normal(0, 0.02, s.theta.shape)  # also the readout
    x = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    y, active = rng.integers(0, 10, 3), np.arange(60) < 10
    task, trainer = pysi.Task("images", x, y, x[:1], y[:1], active), like(net, "cnn")
    rule.start(s)
    optimizer.start(s)
    for _ in range(2):
        expected = training_step(net, optimizer, rule, x, y, task)
        assert np.isclose(float(trainer.step(x, y, active)), expected, rtol=1e-8)
        theta = np.concatenate([np.ravel(w) for w in trainer.theta])
        # Adam's first steps are ±η, whatever the size of g: rounding in place of g is left out
        sure = abs(s.grad) > 1e-8 * abs(s.grad).max()
        assert sure.mean() > 0.1
        assert np.allclose(s.theta[sure], theta[sure], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("margin", [True, False])
def test_both_convolutions_of_jax_are_equal_with_their_gradients(margin):
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(shape) for shape in ((3, 5, 6, 2), (3, 3, 2, 4), (4,)))

    def values(conv):
        def loss(*args):
            return (conv(*args, margin) ** 3).sum()

        return conv(x, W, b, margin), *jax.grad(loss, (0, 1, 2))(x, W, b)

    for one, other in zip(values(jax_si.conv_xla), values(jax_si.conv_columns), strict=True):
        assert one.shape == other.shape
        assert np.allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_dropout_in_jax_keeps_the_mean_and_changes_from_step_to_step():
    key = jax.random.key(0)
    x = np.ones(10_000)
    y = jax_si.dropout(key, x, 0.25)
    assert set(np.unique(y).round(6)) == {0, round(1 / 0.75, 6)}
    assert abs(float(y.mean()) - 1) < 0.03  # five standard errors
    trainer = jax_si.Trainer((2, 3, 2))
    before = jax.random.key_data(trainer.state[-1]).tolist()
    trainer.step(np.ones((1, 2)), np.zeros(1, int), np.ones(2, bool))
    assert jax.random.key_data(trainer.state[-1]).tolist() != before
