"""Maxout and local winner-take-all, against a loop over units, alone and in networks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.competition import LWTA, Maxout
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.layers import Dense
from pysi.rules.rule import FineTuning
from strategies import alone, leads, seeds, toy_image_tasks, toy_run, toy_tasks


def loop(kind, x, dy, k):
    """Return y and dx, block by block: the definition."""
    y, dx = [], np.zeros_like(x)
    for block in range(x.shape[-1] // k):
        for at in np.ndindex(x.shape[:-1]):
            winner = block * k
            for i in range(block * k, block * k + k):
                if x[(*at, i)] > x[(*at, winner)]:
                    winner = i
            dx[(*at, winner)] = dy[(*at, block if kind is Maxout else winner)]
            y.append((*at, block, winner, x[(*at, winner)]))
    out = np.zeros((*x.shape[:-1], x.shape[-1] // k)) if kind is Maxout else np.zeros_like(x)
    for *at, block, winner, value in y:
        out[(*at, block if kind is Maxout else winner)] = value
    return out, dx


def compare(layer, x, rng, xp=np, lead=()):
    """Compare a layer with the loop, bit by bit."""
    kind = Maxout if isinstance(layer, Maxout) else LWTA
    here = alone(layer, x.shape, rng, lead, xp=xp)
    y = to_host(here.forward(xp.asarray(x)))
    dy = rng.standard_normal(y.shape)
    dx = to_host(here.backward(xp.asarray(dy)))
    for found, expected in zip((y, dx), loop(kind, x, dy, layer.k), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [Maxout, LWTA])
@given(lead=leads, k=st.integers(2, 5), blocks=st.integers(1, 4), images=st.booleans(), seed=seeds)
def test_they_are_the_loop_with_ties_too(kind, lead, k, blocks, images, seed):
    rng = np.random.default_rng(seed)
    shape = (*lead, 3, *((2, 3) if images else ()), k * blocks)
    compare(kind(k), rng.integers(-2, 2, shape).astype(float), rng, lead=lead)


@pytest.mark.parametrize("kind", [Maxout, LWTA])
@pytest.mark.parametrize("shape", [(5, 12), (2, 5, 12), (5, 3, 4, 6)])
def test_they_are_the_loop_on_a_device(kind, shape):
    rng, lead = np.random.default_rng(0), shape[:-2] if len(shape) == 3 else ()
    compare(kind(3), rng.integers(-2, 2, shape).astype(float), rng, strict_array, lead)


class LastOfEquals(Maxout):
    """Gives ties to the highest index."""

    def compete(self, x, memory):
        largest, wins = super().compete(x[..., ::-1], memory)
        return largest[..., ::-1], wins[..., ::-1]


class EveryOfEquals(LWTA):
    """Gives the gradient to all that are equal to the largest."""

    def compete(self, x, memory):
        largest, wins = super().compete(x, memory)
        wins[...] = x == np.repeat(largest, self.k, axis=-1)
        return largest, wins


class Strided(Maxout):
    """Lets units i, i + F/k, … compete, which are not adjacent."""

    def rivals(self, array):
        n = array.shape[-1] // self.k
        return [array[..., i * n : i * n + n] for i in range(self.k)]


class Rectified(Maxout):
    """Adds another nonlinearity."""

    def forward(self, x, memory):
        y, wins = super().forward(x, memory)
        return np.maximum(y, 0), wins


class ToAll(LWTA):
    """Lets the losers learn."""

    def backward(self, dy, wins, memory):
        return dy.copy()


class LosersPass(LWTA):
    def forward(self, x, memory):
        return x.copy(), super().forward(x, memory)[1]


@pytest.mark.parametrize("kind", [LastOfEquals, EveryOfEquals, Strided, Rectified, ToAll,
                                  LosersPass])  # fmt: skip
def test_the_loop_finds_their_known_mistakes(kind):
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError):
        compare(kind(2), rng.integers(-2, 2, (6, 8)).astype(float), rng)


PLACES = {
    "features": lambda layer, n: [Dense(7, 6), layer, Dense(n, 4)],
    "first": lambda layer, n: [layer, Dense(n, 4)],
    "after a convolution": lambda layer, n: [Conv2D(2, 6), layer, Conv2D(n, 3), Flatten(),
                                             Dense(60, 4)],
    "before pooling": lambda layer, n: [Conv2D(2, 6), layer, MaxPool2D(2), Flatten(),
                                        Dense(4 * n, 4)],
    "last of images": lambda layer, n: [Conv2D(2, 6), layer, Flatten()],
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("layer", [Maxout(2), Maxout(3), LWTA(2), LWTA(3)], ids=repr)
@pytest.mark.parametrize("seed", [3, [3, 4]])
def test_gradients_are_right_in_every_place(layer, place, seed):
    rng, n = np.random.default_rng(0), layer.output_shape((6,))[0]
    features = {"features": (7,), "first": (6,)}
    shape = features.get(place, (4, 5, 2))
    net = pysi.Network(PLACES[place](layer, n), input_shape=shape, seed=seed, dtype=np.float64)
    s = net.synapses
    for count in (5, 12, 3):  # parts of a batch share memory
        x, v = rng.standard_normal((count, *shape)), rng.standard_normal(s.theta.shape)
        dy = rng.standard_normal(net.forward(x, train=True).shape)
        s.grad[...] = np.nan
        net.backward(dy)
        theta, values, h = s.theta.copy(), [], 1e-7
        for sign in (1, -1):
            s.theta[...] = theta + sign * h * v
            values.append((net.logits(x) * dy).sum())
        s.theta[...] = theta
        assert np.isclose((values[0] - values[1]) / (2 * h), (s.grad * v).sum(), rtol=1e-5)


@pytest.mark.parametrize("layer", [Maxout(2), Maxout(5), LWTA(2), LWTA(5)], ids=repr)
@pytest.mark.parametrize("shape", [(5, 10), (3, 2, 3, 10)])
def test_check_layer_passes(layer, shape):
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) / 50 - 0.5
    pysi.check_layer(layer, x)


RULES = [
    FineTuning, lambda: pysi.SynapticIntelligence(0.1), lambda: pysi.EWC(1.0),
    lambda: pysi.OnlineEWC(1.0),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda make: make().name)
@pytest.mark.parametrize("layer", [Maxout(2), LWTA(2)], ids=repr)
def test_any_rule_trains_them_side_by_side(rule, layer):
    """R networks of one table learn what each learns by itself."""

    def make(seed):
        return pysi.MLP([12, 40, 20, 6], activation=layer, seed=seed, dtype=np.float64)

    both, history = toy_run(rule(), net=make([1, 2]), epochs=10)
    assert (np.diagonal(history.test_accuracy, axis1=-2, axis2=-1) > 0.9).all()
    for r, seed in enumerate((1, 2)):
        one, _ = toy_run(rule(), net=make(seed), epochs=10)
        assert np.allclose(one.synapses.theta, both.synapses.theta[r], rtol=1e-6, atol=1e-9)


def test_they_are_trained_on_images_and_on_a_device():
    found = []
    for xp in (np, strict_array):
        layers = [Conv2D(3, 8), Maxout(2), MaxPool2D(3), Flatten(), Dense(36, 8), LWTA(2),
                  Dense(8, 6)]  # fmt: skip
        net = pysi.Network(layers, input_shape=(11, 10, 3), dtype=np.float64, xp=xp)
        toy_run(pysi.SynapticIntelligence(0.5), net=net, tasks=toy_image_tasks(n=6), epochs=1)
        found.append(to_host(net.synapses.table))
    assert np.allclose(*found, rtol=1e-7, atol=1e-9)


def test_hidden_sizes_of_maxout_count_filters():
    net = pysi.MLP([12, 20, 16, 6], activation=Maxout(4))
    assert net.shapes == [(12,), (20,), (5,), (16,), (4,), (6,)]
    net = pysi.MLP([12, 20, 16, 6], activation=LWTA(4))
    assert net.shapes == [(12,), (20,), (20,), (16,), (16,), (6,)]


def test_networks_are_saved_and_copied(tmp_path):
    layers = [Dense(12, 9), Maxout(3), Dense(3, 6), LWTA(2)]
    net, x = pysi.Network(layers), toy_tasks()[0].x_test
    net.save(tmp_path / "net.npz")
    again, copied = pysi.Network.load(tmp_path / "net.npz"), net.copy()
    assert repr(again) == repr(net)
    for other in (again, copied):
        assert np.array_equal(other.logits(x), net.logits(x))


@pytest.mark.parametrize("kind", [Maxout, LWTA])
def test_bad_sizes_are_refused(kind):
    with pytest.raises(pysi.ConfigError, match=r"k = 3 divides, found 20"):
        pysi.MLP([12, 20, 6], activation=kind(3))
    for k in (1, 0, 2.0, "2", True):
        with pytest.raises(pysi.ConfigError, match="k: expected a whole number from 2"):
            kind(k)
