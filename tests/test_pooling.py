"""Pooling against its definition, pixel by pixel, ties included; and the end of being an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import pysi
from pysi.images.pooling import Flatten, MaxPool2D
from strategies import alone, directions, dtypes, leads, seeds

small = st.integers(1, 3)


@st.composite
def poolings(draw, values=lambda rng, shape: rng.standard_normal(shape)):
    """Draw a layer, images (..., N, H, W, C) whose sides may leave a rest, and the generator."""
    rng, size = np.random.default_rng(draw(seeds)), (draw(small), draw(small))
    height, width = (draw(st.integers(n, 3 * n + 1)) for n in size)
    shape = (*draw(leads), draw(small), height, width, draw(small))
    return MaxPool2D(size), values(rng, shape), rng


def check(layer, x, rng, used=None):
    """Check that every output, and the pixel that gets its dy, are those of the definition."""
    used = used or alone(layer, x.shape, rng, x.shape[:-4], x.dtype)
    y = used.forward(x)
    dy = rng.permutation(np.arange(1, 1 + y.size)).reshape(y.shape).astype(x.dtype)
    dx, expected = used.backward(dy), np.zeros_like(x)
    for image in np.ndindex(x.shape[:-3]):
        pooled, where = oracle.largest(x[image], layer.size)
        assert np.array_equal(y[image], pooled)
        for (p, q, c), (row, column) in where.items():
            expected[*image, row, column, c] = dy[*image, p, q, c]
    assert y.dtype == dx.dtype == x.dtype
    assert np.array_equal(dx, expected)


@given(poolings(), dtypes)
def test_it_is_the_definition(drawn, dtype):
    layer, x, rng = drawn
    check(layer, x.astype(dtype), rng)


@given(poolings(lambda rng, shape: rng.integers(0, 2, shape).astype(float)))
def test_among_equals_it_is_the_first_in_the_first_column_that_has_one(drawn):
    check(*drawn)


@pytest.mark.smoke
def test_where_dy_goes():
    x = np.array([[1, 5, 0], [5, 4, 9], [5, 5, 9]], float)[None, :, :, None]
    layer = alone(MaxPool2D(2), x.shape, np.random.default_rng(0))
    assert layer.forward(x)[0, :, :, 0].tolist() == [[5]]
    dx = layer.backward(np.ones((1, 1, 1, 1)))
    # one of the window's two fives gets dy; pixels outside whole windows get nothing
    assert dx[0, :, :, 0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    column = alone(MaxPool2D((3, 1)), x.shape, np.random.default_rng(0))
    assert column.forward(x)[0, :, :, 0].tolist() == [[5, 5, 9]]
    dx = column.backward(np.ones((1, 1, 3, 1)))
    assert dx[0, :, :, 0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


@given(poolings(lambda rng, shape: rng.permutation(np.prod(shape)).reshape(shape) + 0.0))
def test_backward_is_the_adjoint_away_from_ties(drawn):
    layer, x, rng = drawn  # whole numbers in random order: at least 1 apart
    layer = alone(layer, x.shape, rng, x.shape[:-4])
    y = layer.forward(x).copy()
    v, dy = directions(rng, x, y)
    dx = layer.backward(dy).copy()
    step = 1 / (4 * abs(v).max())
    along = (layer.forward(x + step * v) - y) / step
    assert np.isclose((dy * along).sum(), (dx * v).sum(), rtol=1e-9, atol=1e-9)


def test_other_batches_in_between_leave_nothing_behind():
    rng, layer = np.random.default_rng(0), MaxPool2D(2)
    used = alone(layer, (4, 5, 7, 2), rng)
    for shape in [(4, 5, 7, 2), (4, 5, 14, 1), (3, 6, 6, 2), (4, 5, 7, 2), (2, 3, 4, 5, 7, 2)]:
        check(layer, rng.standard_normal(shape), rng, used)


@pytest.mark.parametrize("size", [0, -1, 1.5, (2,), (2, 2, 2), (2, 0)])
def test_bad_sizes_are_config_errors(size):
    with pytest.raises(pysi.ConfigError, match="size: expected one or two whole numbers from 1"):
        MaxPool2D(size)


@pytest.mark.parametrize("size", [(3, 1), (1, 5), 5])
def test_an_image_smaller_than_a_window_is_a_config_error(size):
    with pytest.raises(pysi.ConfigError, match=r"hold a window, found \(2, 4, 1\)"):
        pysi.Network([MaxPool2D(size)], input_shape=(2, 4, 1))


@given(seeds, leads, dtypes)
def test_flatten_puts_an_image_in_a_row_and_back(seed, lead, dtype):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, 5, 2, 3, 4)).astype(dtype)
    layer = alone(Flatten(), x.shape, rng, lead, dtype)
    y = layer.forward(x)
    assert np.array_equal(y, x.reshape(*lead, 5, 24))
    (dy,) = directions(rng, y)
    dx = layer.backward(dy)
    assert dx.shape == x.shape
    assert dx.dtype == dtype
    assert np.array_equal(dx.ravel(), dy.ravel())
