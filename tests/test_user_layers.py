"""A user's layer of a few lines is right wherever it stands, and `check_layer` finds mistakes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
from pysi.backend.arrays import threads
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from strategies import seeds


class Softplus(Layer):
    """Keeps x and returns a new array."""

    def forward(self, x, memory):
        return np.log1p(np.exp(x)), x

    def backward(self, dy, x, memory):
        return dy / (1 + np.exp(-x))


class GELU(Layer):
    """Keeps two things in a dict, and takes an array from the memory."""

    def forward(self, x, memory):
        t = np.tanh(0.8 * (x + 0.04 * x**3))
        y = memory("y", x.shape)
        y[...] = 0.5 * x * (1 + t)
        return y, {"x": x, "t": t}

    def backward(self, dy, kept, memory):
        x, t = kept["x"], kept["t"]
        slope = 0.8 * (1 + 0.12 * x**2) * (1 - t**2)
        return dy * 0.5 * (1 + t + x * slope)


class Square(Layer):
    """Keeps x in an object, and passes its result on."""

    class Kept:
        def __init__(self, x):
            self.x = x

    def forward(self, x, memory):
        y = memory.passing("y", x.shape)
        y[...] = x * x
        return y, self.Kept(x)

    def backward(self, dy, kept, memory):
        dx = memory.passing("dx", dy.shape)
        dx[...] = 2 * dy * kept.x
        return dx


class LeakyReLU(Layer):
    """Keeps a function that remembers x."""

    def forward(self, x, memory):
        return np.where(x > 0, x, 0.1 * x), lambda dy: np.where(x > 0, dy, 0.1 * dy)

    def backward(self, dy, back, memory):
        return back(dy)


class Gain(Layer):
    """A factor for every feature, or channel: a layer with weights of its own."""

    def __init__(self, n):
        self.parameters = {"k": (n,)}

    def initial(self, rng):
        return {"k": rng.uniform(0.5, 1.5, self.parameters["k"])}

    def forward(self, x, memory):
        (k,) = memory.weights
        return x * k.reshape(*k.shape[:-1], *[1] * (x.ndim - k.ndim), k.shape[-1]), x

    def backward(self, dy, x, memory):
        (k,), (dk,) = memory.weights, memory.gradients
        lead = k.ndim - 1
        dk[...] = (dy * x).sum(axis=tuple(range(lead, dy.ndim - 1)))
        return dy * k.reshape(*k.shape[:-1], *[1] * (dy.ndim - k.ndim), k.shape[-1])


KINDS = {
    "softplus": lambda n: Softplus(),
    "gelu": lambda n: GELU(),
    "square": lambda n: Square(),
    "leaky": lambda n: LeakyReLU(),
    "gain": Gain,
}
PLACES = {
    "after conv": lambda f: [Conv2D(2, 3), f(3), MaxPool2D(2), Flatten(), Dense(12, 4)],
    "after winograd": lambda f: [WinogradConv2D(2, 3), f(3), Conv2D(3, 2), Flatten(),
                                 Dense(40, 4)],
    "after a valid one": lambda f: [Conv2D(2, 3), f(3), WinogradConv2D(3, 3, padding="valid"),
                                    f(3), Flatten(), Dense(18, 4)],
    "after pooling": lambda f: [Conv2D(2, 3), MaxPool2D(2), f(3), WinogradConv2D(3, 2),
                                Flatten(), Dense(8, 4)],
    "twice after pooling": lambda f: [Conv2D(2, 3), MaxPool2D(2), f(3), f(3), Flatten(),
                                      Dense(12, 4)],
    "first": lambda f: [f(2), Conv2D(2, 3), Flatten(), Dense(60, 4)],
    "after flatten": lambda f: [Conv2D(2, 3), Flatten(), f(60), Dense(60, 4)],
    "after dense": lambda f: [Conv2D(2, 3), Flatten(), Dense(60, 5), f(5), Dense(5, 4)],
    "last": lambda f: [Conv2D(2, 3), ReLU(), Flatten(), Dense(60, 4), f(4)],
    "last of images": lambda f: [WinogradConv2D(2, 3), MaxPool2D(2), f(3), Flatten()],
}  # fmt: skip


def network(kind, place, seed=0):
    return pysi.Network(PLACES[place](KINDS[kind]), input_shape=(4, 5, 2), seed=seed,
                        dtype=np.float64)  # fmt: skip


def check_gradient(net, x, rng):
    """Compare the gradient with central differences of the loss, along a random direction."""
    s, n = net.synapses, net.output_shape[0]
    labels, active = rng.integers(0, n, x.shape[:-3]), np.ones(n, bool)
    net.logits(rng.standard_normal((7, 4, 5, 2)))
    _, dlogits = softmax_cross_entropy(net.forward(x, train=True), labels, active)
    net.logits(rng.standard_normal((3, 4, 5, 2)))
    net.forward(rng.standard_normal((9, 4, 5, 2)))
    s.grad[...] = np.nan
    net.backward(dlogits)
    grad, theta, h = s.grad.copy(), s.theta.copy(), 1e-6
    v, losses = rng.standard_normal(theta.shape), []
    for sign in (1, -1):
        s.theta[...] = theta + sign * h * v
        losses.append(softmax_cross_entropy(net.logits(x), labels, active)[0])
    s.theta[...] = theta
    measured = (losses[0] - losses[1]) / (2 * h)
    # at most a few units cross a kink within h: each changes the slope by some h of the norm
    scale = np.linalg.norm(grad, axis=-1) * np.linalg.norm(v, axis=-1)
    assert np.all(abs(measured - (grad * v).sum(axis=-1)) <= 1e-5 * scale + 1e-8)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_is_right_in_every_place(kind, place, count):
    rng, net = np.random.default_rng(0), network(kind, place)
    with threads(count):
        for n in (5, 5, 12, 1, 3, 12, 4, 12):
            check_gradient(net, rng.standard_normal((n, 4, 5, 2)), rng)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_the_past_change_no_bit(kind, place, n):
    rng, net = np.random.default_rng(0), network(kind, place)
    batches, fresh = rng.standard_normal((4, n, 4, 5, 2)), []
    dy = rng.standard_normal((n, *net.output_shape))
    for x in batches:
        new = network(kind, place)
        fresh.append((new.forward(x, train=True), new.backward(dy), new.synapses.grad.copy()))
    for count in (1, 3):
        with threads(count):
            for more in (1, 12):
                net.forward(rng.standard_normal((more, 4, 5, 2)), train=True)
            for x, (y, _, grad) in zip(batches, fresh, strict=True):
                assert np.array_equal(net.forward(x, train=True), y)
                net.logits(rng.standard_normal((7, 4, 5, 2)))
                net.backward(dy)
                assert np.array_equal(net.synapses.grad, grad)


@pytest.mark.parametrize("place", ["after conv", "after a valid one", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_several_networks_have_the_gradients_of_each(kind, place):
    rng, net = np.random.default_rng(0), network(kind, place, [3, 4])
    for n in (5, 9):
        check_gradient(net, rng.standard_normal((2, n, 4, 5, 2)), rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_trained_like_any_other(dtype):
    from strategies import toy_run, toy_tasks

    layers = [Dense(12, 20), GELU(), Gain(20), Dense(20, 6)]
    net = pysi.Network(layers, dtype=dtype)
    _, history = toy_run(pysi.SynapticIntelligence(0.1), net=net, tasks=toy_tasks(), epochs=20)
    assert (np.diagonal(history.test_accuracy) > 0.95).all()
    assert net.synapses.theta.dtype == dtype
    assert (net.synapses.group("gain1.k").Omega > 0).any()


# pysi.check_layer


def smooth(rng, shape):
    """Return distinct numbers, none of them near 0 or near each other."""
    values = rng.permutation(np.prod(shape)).reshape(shape) - np.prod(shape) / 2 + 0.25
    return values * 4 / np.prod(shape)


PACKAGE = [
    (Dense(4, 3), (5, 4)), (ReLU(), (5, 4)), (Tanh(), (5, 4)), (Dropout(0.4), (5, 4)),
    (Dropout(0.0), (5, 4)), (Conv2D(2, 3), (5, 4, 5, 2)),
    (Conv2D(2, 3, (2, 3), stride=(2, 1), padding="valid"), (3, 5, 6, 2)),
    (Conv2D(2, 3, 4, stride=3), (3, 5, 6, 2)), (WinogradConv2D(2, 3), (5, 4, 5, 2)),
    (WinogradConv2D(2, 3, padding="valid"), (5, 7, 5, 2)), (MaxPool2D(2), (3, 5, 6, 2)),
    (MaxPool2D((3, 1)), (3, 5, 6, 2)), (Flatten(), (3, 5, 6, 2)), (ReLU(), (3, 5, 6, 2)),
    (Softplus(), (5, 4)), (GELU(), (3, 5, 6, 2)), (Square(), (5, 4)), (LeakyReLU(), (5, 4)),
    (Gain(4), (5, 4)), (Gain(2), (3, 5, 6, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), PACKAGE, ids=repr)
@pytest.mark.parametrize("seed", [0, 1])
def test_right_layers_pass(layer, shape, seed):
    for n in (1, 2, shape[0]):
        x = smooth(np.random.default_rng(seed), (n, *shape[1:]))
        before = x.copy()
        pysi.check_layer(layer, x, seed=seed)
        assert np.array_equal(x, before)


class Halved(Tanh):
    def backward(self, dy, y, memory):
        return super().backward(dy, y, memory) / 2


class Transposed(Dense):
    """Forgets to transpose its matrix, which is square."""

    def input_gradient(self, dy, x, memory):
        return dy @ memory.weights[0]


class HalfDW(Dense):
    def backward(self, dy, x, memory):
        dx = super().backward(dy, x, memory)
        memory.gradients[0][...] /= 2
        return dx


class NoBias(Dense):
    """Forgets to write the gradient of its bias."""

    def backward(self, dy, x, memory):
        memory.gradients[0][...] = x.swapaxes(-1, -2) @ dy
        return self.input_gradient(dy, x, memory)


class AddsUp(Dense):
    """Adds to the gradient, as PyTorch does, instead of writing it."""

    def backward(self, dy, x, memory):
        dW, db = memory.gradients
        dW[...] = np.nan_to_num(dW) + x.T @ dy
        db[...] = np.nan_to_num(db) + dy.sum(axis=0)
        return self.input_gradient(dy, x, memory)


class Overwrites(Layer):
    def forward(self, x, memory):
        x *= 2
        return x, None

    def backward(self, dy, kept, memory):
        return 2 * dy


class OverwritesDy(Layer):
    def forward(self, x, memory):
        return 2 * x, None

    def backward(self, dy, kept, memory):
        dy *= 2
        return dy


class WrongShape(Layer):
    def forward(self, x, memory):
        return x[:, :-1].copy(), None

    def backward(self, dy, kept, memory):
        return np.concatenate([dy, 0 * dy[:, :1]], axis=1)


class NoDx(Tanh):
    def backward(self, dy, y, memory):
        super().backward(dy, y, memory)


class Remembers(Layer):
    """Keeps its input in itself, where an evaluation overwrites it."""

    def forward(self, x, memory):
        self.x = x
        return x * x, None

    def backward(self, dy, kept, memory):
        return 2 * dy * self.x


class Mean(Dense):
    """Divides by its number of examples, which the loss has done already."""

    def backward(self, dy, x, memory):
        dx = super().backward(dy, x, memory)
        for gradient in memory.gradients:
            gradient /= len(x)
        return dx


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Halved(), "dx"), (Transposed(4, 4), "dx"), (HalfDW(4, 3), "∂L/∂W"),
        (NoBias(4, 3), "∂L/∂b"), (AddsUp(4, 3), "the same gradient at every call"),
        (Overwrites(), "forward: expected x to be only read"),
        (OverwritesDy(), "backward: expected dy to be only read"),
        (WrongShape(), r"y: expected shape \(5, 4\)"), (NoDx(), "dx: expected shape"),
        (Remembers(), "dx"), (Mean(4, 3), "∂L/∂W"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_wrong_layers_fail(layer, message):
    with pytest.raises(pysi.ConfigError, match=message):
        pysi.check_layer(layer, smooth(np.random.default_rng(0), (5, 4)))


def test_a_class_in_place_of_a_layer_is_refused():
    with pytest.raises(pysi.ConfigError, match="layer: expected a Layer object, found <class"):
        pysi.check_layer(Tanh, [[0.3]])


class WrongForParts(Gain):
    """Right for a whole batch, but not if the batch comes in parts."""

    def backward(self, dy, x, memory):
        dx = super().backward(dy, x, memory)
        memory.gradients[0][...] *= 1 + (len(x) < 5)
        return dx


def test_what_is_wrong_only_in_parts_fails_too():
    with pytest.raises(pysi.ConfigError, match="in two parts"):
        pysi.check_layer(WrongForParts(4), smooth(np.random.default_rng(0), (5, 4)))


@st.composite
def networks(draw):
    """Draw a shape and layers in a random order, of the package and of users."""
    shape, layers = (draw(st.integers(3, 6)), draw(st.integers(3, 6)), 2), []
    user = st.sampled_from([ReLU, Tanh, Softplus, GELU, Square, LeakyReLU])
    first = shape
    for _ in range(draw(st.integers(1, 4))):
        n_out = draw(st.integers(1, 3))
        if min(shape[:2]) > 2:
            make = st.sampled_from([Conv2D, WinogradConv2D])
            padding = draw(st.sampled_from(["same", "valid"]))
            layers.append(draw(make)(shape[-1], n_out, padding=padding))
            shape = layers[-1].output_shape(shape)
        if draw(st.booleans()) and min(shape[:2]) > 1:
            layers.append(MaxPool2D(2))
            shape = layers[-1].output_shape(shape)
        layers += [make() for make in draw(st.lists(user, max_size=2))]
    layers.append(Flatten())
    n = int(np.prod(shape))
    for _ in range(draw(st.integers(0, 2))):
        layers.append(Dense(n, n := draw(st.integers(2, 4))))
        layers += [make() for make in draw(st.lists(user, max_size=1))]
    return first, layers


@settings(max_examples=40)
@given(networks(), seeds, st.integers(1, 9), st.sampled_from([1, 3]))
def test_random_networks_have_the_gradient_of_their_outputs(drawn, seed, n, count):
    """⟨dy, J v⟩ is measured by central differences, for networks of all sorts of layers."""
    (shape, layers), rng = drawn, np.random.default_rng(seed)
    net = pysi.Network(layers, input_shape=shape, dtype=np.float64, seed=seed)
    s = net.synapses
    s.theta[...] = rng.standard_normal(len(s)) / 2
    for rows in (n, 5, n):
        x = rng.standard_normal((rows, *shape))
        with threads(count):
            dy = rng.standard_normal(net.forward(x, train=True).shape)
            net.logits(x[:2])
            net.backward(dy)
            grad, theta, v = s.grad.copy(), s.theta.copy(), rng.standard_normal(len(s))
            h, slopes = 1e-7, []
            for step in (h, h / 2):
                ends = []
                for sign in (1, -1):
                    s.theta[...] = theta + sign * step * v
                    ends.append(net.logits(x))
                slopes.append((dy * (ends[0] - ends[1])).sum() / (2 * step))
            s.theta[...] = theta
        size = max(abs(end).max() for end in ends)
        rounding = 1e-16 * (1 + size) * np.abs(dy).sum() / h
        scale = np.linalg.norm(grad) * np.linalg.norm(v)
        if abs(slopes[0] - slopes[1]) <= 1e-6 * scale + rounding:  # if not, a unit has switched
            assert abs(slopes[1] - (grad * v).sum()) <= 1e-5 * scale + 10 * rounding
    assert np.isfinite(s.grad).all()


class Normalised(Layer):
    """x / |x|; its gradient is twice what it should be, and 0 in the direction of x."""

    def forward(self, x, memory):
        size = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        return x / size, (x / size, size)

    def backward(self, dy, kept, memory):
        y, size = kept
        return 2 * (dy - y * (y * dy).sum(axis=-1, keepdims=True)) / size


def test_the_check_s_directions_are_no_input_that_a_user_draws():
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((1, 40))
        with pytest.raises(pysi.ConfigError, match="dx"):
            pysi.check_layer(Normalised(), x, seed=seed)
