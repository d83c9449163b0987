"""Optimizers: properties that all of them share, and Adam's formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from strategies import seeds, tables

OPTIMIZERS = {
    "sgd": lambda: pysi.SGD(0.1),
    "momentum": lambda: pysi.Momentum(0.1, 0.8),
    "adam": lambda: pysi.Adam(0.1, eps=1e-3),
    "adagrad": lambda: pysi.Adagrad(0.1),
}
optimizers = st.sampled_from(sorted(OPTIMIZERS))


def steps(make, synapses, gradients):
    """Return the steps that an optimizer makes on a sequence of gradients, as whole rows."""
    optimizer, made = make(), []
    optimizer.start(synapses)
    for gradient in gradients:
        made.append(one_step(optimizer, synapses, gradient))
    return made


def one_step(optimizer, synapses, gradient):
    optimizer.next_step()
    step = synapses.zeros()
    with synapses.update() as rows:
        rows.part(step)[...] = optimizer.delta(rows.part(gradient), rows)
    return step


@given(optimizers, tables(), seeds)
def test_elementwise_so_permutation_equivariant_and_blind_to_blocks(name, s, seed):
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((4, *s.theta.shape))
    order = rng.permutation(len(s))
    whole = pysi.Synapses(s.shapes, lead=s.lead, dtype=s.dtype, block_size=len(s))
    straight = steps(OPTIMIZERS[name], s, gradients)
    permuted = steps(OPTIMIZERS[name], whole, np.ascontiguousarray(gradients[..., order]))
    for a, b in zip(straight, permuted, strict=True):
        assert np.array_equal(a[..., order], b)


@given(optimizers, tables())
def test_fresh_state_and_zero_gradient_give_a_zero_step(name, s):
    """An optimizer that decays weights would fail here, and so leak into Δθ."""
    for step in steps(OPTIMIZERS[name], s, np.zeros((3, *s.theta.shape))):
        assert (step == 0).all()


@given(optimizers, tables(), seeds)
def test_the_gradient_and_theta_are_left_alone(name, s, seed):
    gradient = np.random.default_rng(seed).standard_normal((1, *s.theta.shape))
    before, theta = gradient.copy(), s.theta.copy()
    steps(OPTIMIZERS[name], s, gradient)
    assert np.array_equal(gradient, before)
    assert np.array_equal(s.theta, theta)


@given(seeds, st.floats(1e-4, 1), st.floats(0, 0.99), st.floats(0, 0.9999), st.floats(1e-9, 1))
def test_adam_is_the_published_formula(seed, lr, beta1, beta2, eps):
    rng = np.random.default_rng(seed)
    s = pysi.Synapses({"a": (5,)}, dtype=np.float64)
    gradients = rng.standard_normal((6, 5)) * 10 ** rng.uniform(-3, 3, 5)
    m = v = 0
    made = steps(lambda: pysi.Adam(lr, (beta1, beta2), eps), s, gradients)
    for t, (g, step) in enumerate(zip(gradients, made, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        expected = -lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        assert np.allclose(step, expected, rtol=1e-9, atol=0)


def test_start_forgets_the_past():
    s = pysi.Synapses({"a": (3,)}, dtype=np.float64)
    for make in OPTIMIZERS.values():
        first = steps(make, s, np.ones((1, 3)))[0]
        used = make()
        for _ in range(2):
            used.start(s)
            again = one_step(used, s, np.ones(3))
        assert np.array_equal(first, again)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pysi.SGD(0),
        lambda: pysi.SGD(float("nan")),
        lambda: pysi.Momentum(0.1, 1.0),
        lambda: pysi.Momentum(0.1, -0.1),
        lambda: pysi.Adagrad(0),
        lambda: pysi.Adagrad(eps=0),
        lambda: pysi.Adagrad(eps=float("inf")),
        lambda: pysi.Adam(-1),
        lambda: pysi.Adam(betas=(0.9, 1.0)),
        lambda: pysi.Adam(eps=0),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError):
        make()
