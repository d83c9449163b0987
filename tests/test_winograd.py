"""Winograd's convolution equals convolution, and its matrices follow from six points."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.images.convolution import Conv2D
from pysi.images.winograd import COLUMN, FRACTIONS, ROWS, TAPS, WinogradConv2D
from strategies import alone, leads, seeds

POINTS = [1, -1, 2, -2, 0, None]
"""The last one is ∞."""
paddings = st.sampled_from(["same", "valid"])


def powers(degree):
    """Return for every point the row that evaluates a polynomial there (at ∞: the last entry)."""
    last = [0] * degree + [1]
    return [last if p is None else [p**i for i in range(degree + 1)] for p in POINTS]


def test_the_matrices_follow_from_the_points_exactly():
    assert np.array_equal(ROWS, powers(3))
    fractions = [Fraction(f).limit_denominator(100) for f in FRACTIONS.tolist()]
    assert [float(f) for f in fractions] == FRACTIONS.tolist()
    V, column = powers(5), COLUMN.tolist()
    # V⁻ᵀ = fractions × COLUMN, so that Vᵀ times it is 1
    for i, j in product(range(6), range(6)):
        entry = sum(V[p][i] * fractions[p] * column[p][j] for p in range(6))
        assert entry == (i == j), (i, j)
    values = [[float(f * v) for v in row] for f, row in zip(fractions, powers(2), strict=True)]
    assert np.array_equal(TAPS, values)


def both(rng, lead, n_in, n_out, padding, dtype=np.float64):
    """Return both layers with the same weights, each with a table of its own."""
    pairs, shape = [], (1, 9, 9, n_in)
    for kind in (Conv2D, WinogradConv2D):
        layer = alone(kind(n_in, n_out, padding=padding), shape, rng, lead, dtype)
        pairs.append((layer, layer.table))
    pairs[1][1].theta[...] = pairs[0][1].theta
    return pairs


def results(layer, x):
    """Return y, dx, dW and db of a layer, for images and a dy that depends on their shape."""
    y = layer.forward(x).copy()
    dx = layer.backward(np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)).copy()
    return {"y": y, "dx": dx, "dW": layer.W.grad.copy(), "db": layer.b.grad.copy()}


def check_equal(pairs, x, tolerance):
    """Check that both agree up to rounding, relative to the largest number."""
    expected, found = (results(layer, x) for layer, _ in pairs)
    for name, value in expected.items():
        assert found[name].shape == value.shape and found[name].dtype == x.dtype
        error = abs(found[name] - value).max()
        assert error <= tolerance * max(1, abs(value).max()), (name, error)


@given(
    seeds, leads, paddings, st.integers(1, 5), st.integers(1, 12), st.integers(1, 12),
    st.integers(1, 9), st.integers(1, 9),
)  # fmt: skip
def test_it_equals_convolution(seed, lead, padding, n, height, width, n_in, n_out):
    rng, more = np.random.default_rng(seed), 2 * (padding == "valid")
    x = rng.standard_normal((*lead, n, height + more, width + more, n_in))
    check_equal(both(rng, lead, n_in, n_out, padding), x, 1e-11)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_images_of_every_size_fit_their_tiles(padding, n):
    """All remainders of the rows by four and of the places by three, and less than a tile."""
    rng, more = np.random.default_rng(n), 2 * (padding == "valid")
    pairs = both(rng, (), 2, 1, padding)
    for height, width in product(range(1, 10), range(1, 7)):
        x = rng.standard_normal((n, height + more, width + more, 2))
        check_equal(pairs, x, 1e-11)


@given(seeds, paddings, st.integers(3, 12), st.integers(8, 40))
def test_in_float32_too_up_to_rounding(seed, padding, size, channels):
    # An output is a sum over p of p^i g(p) D_p, which cancels to the three products of a column:
    # in the worst case 48 times the largest product for 3 that remain.
    growth = abs(ROWS).T @ (abs(TAPS).sum(axis=1) * abs(COLUMN).sum(axis=1))
    assert growth.max() == pytest.approx(48)
    # Hence 16 times the rounding, 6e-8, of some ten operations on an entry: products, and sums
    # whose errors are random and so do not add up with the channels.
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, size, size, channels)).astype(np.float32)
    check_equal(both(rng, (), channels, 8, padding, np.float32), x, 1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_other_batches_in_between_leave_nothing_behind(padding):
    rng = np.random.default_rng(0)
    (_, (layer, s)) = both(rng, (), 2, 3, padding)
    for shape in [(5, 6, 7, 2), (2, 6, 7, 2), (5, 6, 7, 2), (5, 7, 6, 2), (1, 3, 3, 2)] * 2:
        (_, (fresh, table)), x = both(rng, (), 2, 3, padding), rng.standard_normal(shape)
        table.theta[...] = s.theta
        used, expected = results(layer, x), results(fresh, x)
        for name, value in expected.items():
            assert np.array_equal(used[name], value), (shape, name)


def test_weights_that_have_changed_are_used():
    rng = np.random.default_rng(0)
    pairs = both(rng, (2,), 3, 4, "same")
    x = rng.standard_normal((2, 3, 5, 5, 3))
    check_equal(pairs, x, 1e-11)
    for _, s in pairs:
        s.theta[...] = s.theta[::-1] + 1
    check_equal(pairs, x, 1e-11)


def test_backward_overwrites_and_need_not_compute_dx():
    rng = np.random.default_rng(0)
    (_, (layer, s)) = both(rng, (2,), 3, 4, "valid")
    x = rng.standard_normal((2, 3, 6, 5, 3))
    dy = np.cos(layer.forward(x))
    s.grad[...] = np.nan  # one synapse is of no layer
    dx, grad = layer.backward(dy).copy(), s.grad.copy()
    s.grad[...] = np.nan
    assert np.array_equal(layer.backward(dy), dx)
    assert np.array_equal(s.grad, grad, equal_nan=True)
    s.grad[...] = np.nan
    assert layer.backward(dy, need_dx=False) is None
    assert np.array_equal(s.grad, grad, equal_nan=True)


@pytest.mark.parametrize("n_networks", [1, 3, 4])
def test_several_networks_may_see_the_same_images(n_networks):
    rng = np.random.default_rng(0)
    pairs = both(rng, (n_networks,), 3, 4, "same")
    x = rng.standard_normal((5, 6, 7, 3))
    one, several = (layer.forward(x).copy() for layer, _ in pairs)
    assert one.shape == several.shape == (n_networks, 5, 6, 7, 4)
    assert np.allclose(one, several, rtol=1e-11, atol=1e-11)
    for layer, _ in pairs:
        layer.backward(np.cos(one), need_dx=False)
    for part in "Wb":
        expected, found = (getattr(layer, part).grad for layer, _ in pairs)
        assert np.allclose(expected, found, rtol=1e-11, atol=1e-11)


def test_it_starts_from_the_weights_of_a_convolution():
    plain, fast = (
        pysi.Network([kind(8, 9)], seed=1, input_shape=(5, 5, 8)).synapses
        for kind in (Conv2D, WinogradConv2D)
    )
    assert np.array_equal(plain.theta, fast.theta)
    assert (fast.group("conv1.W").theta != 0).all()


def test_bad_arguments_are_config_errors():
    with pytest.raises(pysi.ConfigError, match="padding: expected 'same' or 'valid', found 'full'"):
        WinogradConv2D(1, 1, padding="full")
    layer = WinogradConv2D(1, 1, padding="valid")
    with pytest.raises(pysi.ConfigError, match="kernel: expected at most the 2 pixels .* found 3"):
        pysi.Network([layer], input_shape=(2, 5, 1))
