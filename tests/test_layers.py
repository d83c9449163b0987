"""Backward passes, checked by inner products with random directions: ⟨dy, J v⟩ = ⟨Jᵀ dy, v⟩."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.layers import Dense, Dropout, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from strategies import alone, directions, dtypes, leads, seeds

sizes = st.integers(1, 6)


def streams(lead):
    """Return a random generator for each network."""
    return [np.random.default_rng(r) for r in range(lead[0] if lead else 1)]


@given(seeds, leads, sizes, sizes, sizes)
def test_dense_backward_is_the_adjoint(seed, lead, batch, n_in, n_out):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, batch, n_in))
    layer = alone(Dense(n_in, n_out), x.shape, rng, lead)
    s = layer.table
    s.grad[...] = 0
    y = layer.forward(x).copy()
    v_x, v_s, dy = directions(rng, x, s.theta, y)
    dx = layer.backward(dy).copy()
    # linear in x at fixed weights, and affine in the weights at fixed x
    along_x = layer.forward(x + v_x) - y
    assert np.isclose((dy * along_x).sum(), (dx * v_x).sum(), rtol=1e-9, atol=1e-9)
    s.theta[...] += v_s
    along_weights = layer.forward(x) - y
    assert np.isclose((dy * along_weights).sum(), (s.grad * v_s).sum(), rtol=1e-9, atol=1e-9)


@given(seeds, leads, sizes, sizes)
def test_relu_backward_is_the_adjoint_away_from_zero(seed, lead, batch, n):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, batch, n))
    x += np.sign(x)  # at least 1 away from the kink
    layer = alone(ReLU(), x.shape, rng, lead)
    y = layer.forward(x).copy()
    v, dy = directions(rng, x, y)
    dx = layer.backward(dy).copy()
    step = 1 / (2 * abs(v).max())
    along = (layer.forward(x + step * v) - y) / step
    assert np.isclose((dy * along).sum(), (dx * v).sum(), rtol=1e-9, atol=1e-9)


def test_relu_has_gradient_zero_at_zero():
    layer = alone(ReLU(), (1, 3), np.random.default_rng(0))
    layer.forward(np.zeros((1, 3)))
    assert (layer.backward(np.ones((1, 3))) == 0).all()


@given(seeds, leads, sizes, sizes)
def test_tanh_backward_is_the_adjoint_by_complex_steps(seed, lead, batch, n):
    rng = np.random.default_rng(seed)
    x = 3 * rng.standard_normal((*lead, batch, n))
    layer, v, dy = alone(Tanh(), x.shape, rng, lead), *directions(rng, x, x)
    # analytic, so Im f(x + ihv) / h is the derivative up to order h², and nothing cancels
    (slot,) = layer.stage.slots
    slot.dtype = np.dtype(complex)
    along = layer.forward(x + 1e-30j * v).imag / 1e-30
    slot.dtype = np.dtype(float)
    assert np.array_equal(layer.forward(x), np.tanh(x))
    dx = layer.backward(dy)
    assert np.isclose((dy * along).sum(), (dx * v).sum(), rtol=1e-9, atol=1e-9)


def test_the_hidden_nonlinearity_is_rectification_unless_chosen():
    def kinds(**options):
        return [layer.kind for layer in pysi.MLP([3, 4, 4, 2], **options).layers]

    assert kinds() == ["dense", "relu", "dense", "relu", "dense"]
    assert kinds(activation="tanh") == ["dense", "tanh", "dense", "tanh", "dense"]
    smooth, rectified = pysi.MLP([3, 4, 2], seed=5, activation="tanh"), pysi.MLP([3, 4, 2], seed=5)
    assert np.array_equal(smooth.synapses.theta, rectified.synapses.theta)


@given(seeds, leads, st.floats(0.1, 0.9))
def test_dropout_is_linear_with_its_mask_and_idle_in_tests(seed, lead, p):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, 5, 4))
    layer = alone(Dropout(p), x.shape, rng, lead)
    y = layer.forward(x, streams=streams(lead))
    dx = layer.backward(np.ones_like(x))
    assert np.allclose(y, x * dx)
    assert set(np.unique(dx)) <= {0.0, 1 / (1 - p)}
    assert np.array_equal(layer.forward(x, train=False), x)
    assert layer.backward(x) is x
    ((memory,),) = layer.stage.parts
    assert Dropout(p).forward(x, memory)[0] is x  # nothing is copied


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_dropout_keeps_the_mean(p):
    n = 400_000
    layer = alone(Dropout(p), (n, 1), np.random.default_rng(0))
    y = layer.forward(np.ones((n, 1)), streams=[np.random.default_rng(0)])
    # y is 1/(1-p) times a Bernoulli variable: five standard errors of its mean
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)


@given(seeds, dtypes, leads)
def test_dtype_is_preserved_and_backward_overwrites(seed, dtype, lead):
    rng = np.random.default_rng(seed)
    layers = Dense(4, 3), ReLU(), Tanh(), Dropout(0.5)
    net = pysi.Network(layers, seed=list(range(*lead)) if lead else 0, dtype=dtype)
    s = net.synapses
    s.theta[...] = rng.standard_normal(s.theta.shape)
    x = rng.standard_normal((*lead, 5, 4)).astype(dtype)
    y = net.forward(x, train=True)
    dy = rng.standard_normal(y.shape).astype(dtype)
    net.backward(dy)
    grad = s.grad.copy()
    s.grad[...] = np.nan
    net.backward(dy)
    assert np.array_equal(s.grad, grad)
    assert y.dtype == s.grad.dtype == dtype
    for kind in layers:
        layer = alone(kind, (*lead, 5, 4), rng, lead, dtype)
        dy = rng.standard_normal(layer.forward(x, streams=streams(lead)).shape).astype(dtype)
        dx = layer.backward(dy).copy()
        grad, layer.table.grad[...] = layer.table.grad.copy(), np.nan
        grad[..., 0] = np.nan  # of no layer
        assert np.array_equal(layer.backward(dy), dx)
        assert np.array_equal(layer.table.grad, grad, equal_nan=True)
        assert dx.dtype == layer.table.grad.dtype == dtype


@given(
    seeds,
    st.lists(sizes, min_size=2, max_size=4),
    sizes,
    st.sampled_from([0.0, 0.5]),
    st.sampled_from(["relu", "tanh"]),
)
def test_the_network_s_gradient_is_the_derivative_of_its_loss(
    seed, widths, batch, dropout, activation
):
    rng = np.random.default_rng(seed)
    net = pysi.MLP(widths, seed=1, dtype=np.float64, dropout=dropout, activation=activation)
    s = net.synapses
    s.theta[...] = rng.standard_normal(s.theta.shape)
    x = rng.standard_normal((batch, widths[0]))
    labels = rng.integers(0, widths[-1], batch)
    active = np.ones(widths[-1], bool)

    def loss():
        net.restart(0)  # the same dropout masks every time
        return softmax_cross_entropy(net.forward(x, train=True), labels, active)

    _, dlogits = loss()
    net.backward(dlogits)
    grad, theta = s.grad.copy(), s.theta.copy()
    (v,) = directions(rng, theta)
    h = 1e-6
    pre = [m.kept for m in net.last.memories if isinstance(m.slot.layer, ReLU)]
    kinks = min((abs(y[y > 0]).min() for y in pre if (y > 0).any()), default=1.0)
    s.theta[...] = theta + h * v
    up, _ = loss()
    s.theta[...] = theta - h * v
    down, _ = loss()
    if kinks > 1e-3:  # if not, a unit may switch between the two evaluations
        # central differences: truncation h² times a third derivative, rounding ε/h
        assert np.isclose((up - down) / (2 * h), (grad * v).sum(), rtol=1e-5, atol=1e-7)


@pytest.mark.smoke
def test_pixels_are_scaled_to_one():
    net = pysi.MLP([3, 2], seed=0, dtype=np.float64)
    pixels = np.array([[0, 51, 255]], np.uint8)
    expected = net.forward(np.array([[0, 0.2, 1.0]])).copy()
    assert np.allclose(net.forward(pixels), expected, rtol=1e-14)


@given(seeds)
def test_initial_weights_are_glorot_uniform(seed):
    net = pysi.MLP([300, 200, 10], seed=seed, zero_readout=True)
    W, b = net.synapses.group("dense1.W").theta, net.synapses.group("dense1.b").theta
    limit = np.sqrt(6 / 500)
    assert limit * 0.99 < abs(W).max() <= limit
    # the variance of U(-a, a) is a²/3; its estimate from n draws has relative error √(0.8/n)
    assert abs(W.var() / (limit**2 / 3) - 1) < 5 * np.sqrt(0.8 / W.size)
    assert (b == 0).all()
    assert (net.synapses.group("dense2.W").theta == 0).all()


def test_replicas_start_like_single_networks():
    both = pysi.MLP([5, 4, 3], seed=[3, 8])
    for r, seed in enumerate((3, 8)):
        assert np.array_equal(both.synapses.theta[r], pysi.MLP([5, 4, 3], seed=seed).synapses.theta)
    assert not np.array_equal(both.synapses.theta[0], both.synapses.theta[1])


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((3,), {}),
        ((3, 0, 2), {}),
        ((3, 2.5), {}),
        ((3, 2, 2), {"activation": "sigmoid"}),
        ((3, 2), {"dropout": 1.0}),
        ((3, 2), {"dropout": -0.1}),
        ((3, 2), {"seed": -1}),
        ((3, 2), {"seed": []}),
        ((3, 2), {"seed": 1.7}),
        ((3, 2), {"seed": [0, 1.0]}),
        ((3, 2), {"seed": True}),
        ((3, 2), {"seed": [True, False]}),
        ((3, 2), {"seed": "1"}),
        ((3, 2), {"seed": None}),
        ((3, 2), {"seed": [[0, 1]]}),
        ((3, 2), {"dtype": np.int64}),
    ],
)
def test_impossible_networks_are_config_errors(sizes, options):
    with pytest.raises(pysi.ConfigError):
        pysi.MLP(sizes, **options)
