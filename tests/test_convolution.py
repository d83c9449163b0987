"""Convolution against its definition, index by index, and its backward pass as the adjoint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import pysi
from pysi.images.convolution import Conv2D
from strategies import alone, directions, dtypes, leads, seeds

small = st.integers(1, 3)
pairs = st.tuples(small, small)
kernels = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def convolutions(draw):
    """Draw a layer, random weights for it, images (..., N, H, W, C), and the generator."""
    rng, lead = np.random.default_rng(draw(seeds)), draw(leads)
    kernel, padding = draw(kernels), draw(st.sampled_from(["same", "valid"]))
    least = kernel if padding == "valid" else (1, 1)
    height, width = (draw(st.integers(n, n + 4)) for n in least)
    n_in, n_out = draw(small), draw(small)
    layer = Conv2D(n_in, n_out, kernel, stride=draw(pairs), padding=padding)
    x = rng.standard_normal((*lead, draw(small), height, width, n_in))
    used = alone(layer, x.shape, rng, lead)
    used.table.grad[...] = 0
    return layer, used, x, rng


@given(convolutions())
def test_it_is_the_definition(drawn):
    layer, used, x, _ = drawn
    y = used.forward(x)
    W, b = used.W.theta, used.b.theta
    for *lead, n in np.ndindex(x.shape[:-3]):
        r = tuple(lead)
        expected = oracle.convolution(x[*r, n], W[r], b[r], layer.stride, layer.padding)
        assert y[*r, n].shape == expected.shape
        # sums of at most 4·4·3 products in another order
        assert np.allclose(y[*r, n], expected, rtol=1e-12, atol=1e-12)


@given(convolutions())
def test_backward_is_the_adjoint(drawn):
    _, layer, x, rng = drawn
    s = layer.table
    y = layer.forward(x).copy()
    v_x, v_s, dy = directions(rng, x, s.theta, y)
    dx = layer.backward(dy).copy()
    # linear in x at fixed weights, and affine in the weights at fixed x
    along_x = layer.forward(x + v_x) - y
    assert dx.shape == x.shape
    assert np.isclose((dy * along_x).sum(), (dx * v_x).sum(), rtol=1e-9, atol=1e-9)
    s.theta[...] += v_s
    along_weights = layer.forward(x) - y
    assert np.isclose((dy * along_weights).sum(), (s.grad * v_s).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        # as in TensorFlow: ⌈size / stride⌉ places, and an odd zero is behind the image
        (5, 3, 1, (5, 1, 1)),
        (5, 3, 2, (3, 1, 1)),
        (6, 3, 2, (3, 0, 1)),
        (4, 2, 1, (4, 0, 1)),
        (7, 4, 3, (3, 1, 2)),
        (5, 1, 3, (2, 0, 0)),
        (1, 3, 1, (1, 1, 1)),
    ],
)
def test_same_margins(size, kernel, stride, expected):
    layer = Conv2D(1, 1, kernel, stride=stride)
    other = Conv2D(1, 1, (kernel, 1), stride=(stride, 1))
    assert layer.margins((1, size, size, 1)) == [expected, expected]
    assert other.margins((1, size, 9, 1)) == [expected, (9, 0, 0)]


@pytest.mark.smoke
def test_an_impulse_is_answered_by_the_mirrored_kernel():
    x = np.zeros((1, 5, 5, 1))
    x[0, 2, 2] = 1
    layer = alone(Conv2D(1, 1), x.shape, np.random.default_rng(0))
    layer.b.theta[...] = 0
    y = layer.forward(x)[0, :, :, 0]
    assert np.array_equal(y[1:4, 1:4], layer.W.theta[::-1, ::-1, 0, 0])
    y[1:4, 1:4] = 0
    assert (y == 0).all()


@given(convolutions(), dtypes)
def test_dtype_is_preserved_and_backward_overwrites(drawn, dtype):
    layer, _, x, rng = drawn
    layer = alone(layer, x.shape, rng, x.shape[:-4], dtype)
    s, x = layer.table, x.astype(dtype)
    s.grad[...] = np.nan
    y = layer.forward(x)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, grad = layer.backward(dy).copy(), s.grad.copy()
    s.grad[...] = np.nan
    assert np.array_equal(layer.backward(dy), dx)
    assert np.array_equal(s.grad, grad, equal_nan=True)  # one synapse is of no layer
    assert y.dtype == dx.dtype == s.grad.dtype == dtype
    assert layer.backward(dy, need_dx=False) is None
    assert np.array_equal(s.grad, grad, equal_nan=True)  # one synapse is of no layer


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_other_batches_in_between_leave_nothing_behind(padding):
    rng = np.random.default_rng(0)
    layer = Conv2D(2, 3, (3, 4), stride=(2, 1), padding=padding)
    used = alone(layer, (4, 6, 5, 2), rng)
    # with margins, images of five and of six rows have equally many rows
    for shape in [(4, 6, 5, 2), (4, 5, 5, 2), (2, 6, 5, 2), (1, 7, 9, 2), (4, 6, 5, 2)]:
        x, fresh = rng.standard_normal(shape), alone(layer, shape, rng)
        fresh.table.theta[...] = used.table.theta
        found = []
        for one in (used, fresh):
            y = one.forward(x).copy()
            found.append((y, one.backward(np.cos(y)).copy(), one.table.grad.copy()))
        for one, other in zip(*found, strict=True):
            assert np.array_equal(one, other)


def test_several_networks_may_see_the_same_images():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 6, 7, 2))
    layer = alone(Conv2D(2, 3), x.shape, rng, (4,))
    s = layer.table
    shared = layer.forward(x).copy()
    dy = rng.standard_normal(shared.shape)
    layer.backward(dy, need_dx=False)
    grad = s.grad.copy()
    assert np.array_equal(shared, layer.forward(np.stack([x] * 4)))
    layer.backward(dy)
    assert np.allclose(grad, s.grad, rtol=1e-12, atol=1e-12)


@given(seeds)
def test_initial_weights_are_glorot_uniform(seed):
    net = pysi.Network([Conv2D(30, 20, (3, 4))], seed=[seed, seed + 1], input_shape=(5, 5, 30))
    W = net.synapses.group("conv1.W").theta[0]
    limit = np.sqrt(6 / (12 * 30 + 12 * 20))  # a unit has 12·30 inputs and 12·20 outputs
    assert limit * 0.99 < abs(W).max() <= limit
    # the variance of U(-a, a) is a²/3; its estimate from n draws has relative error √(0.8/n)
    assert abs(W.var() / (limit**2 / 3) - 1) < 5 * np.sqrt(0.8 / W.size)
    assert (net.synapses.group("conv1.b").theta == 0).all()
    assert not np.array_equal(W, net.synapses.group("conv1.W").theta[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 0}, "kernel: .* found 0"),
        ({"kernel": (3,)}, r"kernel: .* found \(3,\)"),
        ({"kernel": (3, 3, 3)}, "kernel: expected one or two"),
        ({"kernel": 2.5}, "kernel: .* found 2.5"),
        ({"kernel": (3, 2.5)}, "kernel: .* found"),
        ({"kernel": "x"}, "kernel: .* found 'x'"),
        ({"kernel": None}, "kernel: .* found None"),
        ({"stride": float("inf")}, "stride: .* found inf"),
        ({"n_in": 0}, "n_in: expected a whole number from 1, found 0"),
        ({"n_out": "4"}, "n_out: .* found '4'"),
        ({"stride": -1}, "stride: .* found -1"),
        ({"padding": "full"}, "padding: expected 'same' or 'valid', found 'full'"),
    ],
)
def test_bad_arguments_are_config_errors(options, message):
    with pytest.raises(pysi.ConfigError, match=message):
        Conv2D(**{"n_in": 1, "n_out": 1} | options)


def test_an_image_smaller_than_the_kernel_is_a_config_error():
    layer = Conv2D(1, 1, (2, 4), padding="valid")
    assert pysi.Network([layer], input_shape=(2, 4, 1)).output_shape == (1, 1, 1)
    with pytest.raises(pysi.ConfigError, match="kernel: expected at most the 3 pixels .* found 4"):
        pysi.Network([layer], input_shape=(2, 3, 1))


@pytest.mark.parametrize("shape", [(5, 5, 3), (25, 2), (2,), (1, 5, 5, 2)])
def test_other_than_images_of_its_channels_is_a_config_error(shape):
    with pytest.raises(pysi.ConfigError, match=r"images of shape \(rows, columns, 2\), found \("):
        pysi.Network([Conv2D(2, 3)], input_shape=shape)
