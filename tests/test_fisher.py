"""Fisher diagonals against plain loops over examples, and against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.layers import Layer
from pysi.losses import softmax, softmax_cross_entropy
from pysi.rules.fisher import (
    diagonal_fisher,
    empirical_fisher,
    square,
    squared_gradients,
    sum_over_examples,
)
from pysi.rules.mas import MAS
from strategies import dtypes, leads, seeds, toy_cnn, toy_image_tasks

widths = st.lists(st.integers(1, 5), min_size=1, max_size=3)
activations = st.sampled_from(["relu", "tanh"])


def problem(seed, hidden, activation="relu", lead=(), dtype=np.float64, n=7, inactive=True):
    """Return a network with random weights, inputs, labels, and active classes."""
    rng = np.random.default_rng(seed)
    sizes = [hidden[0], *hidden[1:], 4]
    options = {"seed": list(range(*lead)) if lead else 0, "activation": activation}
    net = pysi.MLP(sizes, dtype=dtype, **options)
    net.synapses.theta[...] = rng.standard_normal(net.synapses.theta.shape)
    active = np.array([True, True, not inactive, True])
    x = rng.standard_normal((n, sizes[0])).astype(dtype)
    return net, x, rng.choice(active.nonzero()[0], n), active


def example_gradient(net, x, label, active):
    """Return the gradient of one example's loss, by the ordinary backward pass."""
    _, dlogits = softmax_cross_entropy(net.forward(x[None]), np.array([label]), active)
    net.backward(dlogits)
    return net.synapses.grad.copy()


@given(seeds, widths, activations, leads)
def test_empirical_fisher_is_the_mean_of_squared_example_gradients(seed, hidden, activation, lead):
    net, x, labels, active = problem(seed, hidden, activation, lead)
    squares = [example_gradient(net, *pair, active) ** 2 for pair in zip(x, labels, strict=True)]
    fisher = empirical_fisher(net, x, labels, active)
    # sums of at most seven products of squares: a few units in the last place
    assert np.allclose(fisher, np.mean(squares, axis=0), rtol=1e-10, atol=1e-14)


@given(seeds, widths, activations, st.booleans())
def test_exact_fisher_sums_over_the_labels_that_the_model_would_give(
    seed, hidden, activation, inactive
):
    net, x, _, active = problem(seed, hidden, activation, inactive=inactive)
    expected = 0
    for xn in x:
        p = softmax(net.forward(xn[None]), active)[0].copy()
        for k in active.nonzero()[0]:
            expected += p[k] * example_gradient(net, xn, k, active) ** 2 / len(x)
    assert np.allclose(diagonal_fisher(net, x, active), expected, rtol=1e-10, atol=1e-14)


@given(seeds, widths, leads, st.integers(1, 9))
def test_batches_do_not_change_the_result(seed, hidden, lead, batch):
    net, x, labels, active = problem(seed, hidden, lead=lead)
    for whole, parts in (
        (diagonal_fisher(net, x, active), diagonal_fisher(net, x, active, batch=batch)),
        (
            empirical_fisher(net, x, labels, active),
            empirical_fisher(net, x, labels, active, batch=batch),
        ),
    ):
        assert np.allclose(whole, parts, rtol=1e-12, atol=1e-15)


@given(seeds, widths)
def test_replicas_with_their_own_inputs_are_single_networks(seed, hidden):
    net, x, labels, active = problem(seed, hidden, lead=(3,))
    x = np.stack([x, 2 * x, x[::-1]])
    labels = np.stack([labels, labels, labels[::-1]])
    exact = diagonal_fisher(net, x, active)
    empirical = empirical_fisher(net, x, labels, active)
    for r in range(3):
        one, *_ = problem(seed, hidden)
        one.synapses.theta[...] = net.synapses.theta[r]
        assert np.allclose(exact[r], diagonal_fisher(one, x[r], active), rtol=1e-10, atol=1e-14)
        expected = empirical_fisher(one, x[r], labels[r], active)
        assert np.allclose(empirical[r], expected, rtol=1e-10, atol=1e-14)


@given(seeds)
def test_labels_drawn_from_the_model_have_the_exact_fisher_as_mean(seed):
    """The empirical Fisher with sampled labels is a Monte Carlo estimate of the exact one."""
    net, x, _, active = problem(seed, [3], n=2)
    p = softmax(net.forward(x), active).copy()
    exact, rng, draws = diagonal_fisher(net, x, active), np.random.default_rng(seed), 4000
    # the Fisher of every pair of labels is known: draw pairs, and save passes
    table = {}
    for a in range(4):
        for b in range(4):
            if active[a] and active[b]:
                table[a, b] = empirical_fisher(net, x, np.array([a, b]), active)
    first, second = (rng.choice(4, draws, p=q / q.sum()) for q in p)
    samples = np.array([table[a, b] for a, b in zip(first, second, strict=True)])
    mean = sum(p[0, a] * p[1, b] * f for (a, b), f in table.items())
    assert np.allclose(mean, exact, rtol=1e-10, atol=1e-14)  # the expectation, exactly
    # so is the average over draws, up to six standard errors in each of 16 synapses
    spread = np.sqrt(sum(p[0, a] * p[1, b] * (f - mean) ** 2 for (a, b), f in table.items()))
    assert (abs(samples.mean(axis=0) - exact) <= 6 * spread / np.sqrt(draws) + 1e-12).all()


def test_logistic_regression_has_the_textbook_fisher():
    """Two classes, weights ±w: p(1 - p) x² for each of the two columns."""
    net = pysi.MLP([1, 2], dtype=np.float64)
    net.synapses.theta[...] = [0.3, -0.3, 0.0, 0.0]
    x = np.array([[0.5], [-2.0]])
    p = 1 / (1 + np.exp(-0.6 * x[:, 0]))
    weight, bias = (p * (1 - p) * x[:, 0] ** 2).mean(), (p * (1 - p)).mean()
    fisher = diagonal_fisher(net, x, np.ones(2, bool))
    assert np.allclose(fisher, [weight, weight, bias, bias], rtol=1e-12)


@given(seeds, dtypes, leads)
def test_the_table_is_left_alone_and_dtype_kept(seed, dtype, lead):
    net, x, labels, active = problem(seed, [3, 4], lead=lead, dtype=dtype)
    net.synapses.table[...] = np.random.default_rng(seed).standard_normal(net.synapses.table.shape)
    before = net.synapses.table.copy()
    exact, empirical = diagonal_fisher(net, x, active), empirical_fisher(net, x, labels, active)
    assert np.array_equal(net.synapses.table, before)
    assert exact.dtype == empirical.dtype == dtype
    assert exact.shape == empirical.shape == net.synapses.theta.shape


@given(seeds, st.floats(0.1, 9))
def test_a_root_counts_an_example_more_than_once(seed, weight):
    net, x, *_ = problem(seed, [3, 2])
    dlogits = np.random.default_rng(seed).standard_normal(net.forward(x).shape)
    one = squared_gradients(net, dlogits)
    more = squared_gradients(net, np.sqrt(weight) * dlogits)
    assert np.allclose(more, weight * one, rtol=1e-12)


@given(seeds, activations, leads, st.integers(1, 4))
def test_of_several_losses_the_squares_are_added_up(seed, activation, lead, n):
    net, x, *_ = problem(seed, [3, 4, 2], activation, lead)
    shape = net.forward(x).shape
    dlogits = np.random.default_rng(seed).standard_normal((n, *shape))
    expected = sum(squared_gradients(net, d) for d in dlogits)
    assert np.allclose(squared_gradients(net, *dlogits), expected, rtol=1e-12)


@pytest.mark.parametrize("f", [square, abs, np.sign])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_sums_over_examples_are_those_of_a_loop(f, lead):
    net, x, labels, active = problem(1, [3, 4], "tanh", lead)
    expected = sum(f(example_gradient(net, *pair, active)) for pair in zip(x, labels, strict=True))
    dlogits = softmax(net.forward(x), active) - (labels[:, None] == np.arange(4))
    found = sum_over_examples(net, f, dlogits * active)
    assert np.allclose(found, expected, rtol=1e-10, atol=1e-14)
    assert abs(expected).max() > 0.1


@given(seeds)
def test_synapses_without_influence_have_none(seed):
    net, x, _, active = problem(seed, [3, 4])
    x[:, 0] = 0  # a dead pixel
    W = net.synapses.group("dense1.W").columns
    fisher = diagonal_fisher(net, x, active)
    assert (fisher[W].reshape(3, 4)[0] == 0).all()
    readout = fisher[net.synapses.group("dense2.W").columns].reshape(4, 4)
    assert (readout[:, 2] == 0).all()  # a class that takes no part
    assert (fisher >= 0).all()


def test_pixels_are_scaled_as_in_training():
    net, _, _, active = problem(0, [3, 2])
    pixels = np.array([[0, 51, 255], [3, 2, 1]], np.uint8)
    assert np.allclose(
        diagonal_fisher(net, pixels, active), diagonal_fisher(net, pixels / 255, active)
    )


def test_a_device_gives_numpy_s_numbers():
    net, x, labels, active = problem(0, [3, 4], "tanh", lead=(2,))
    device = pysi.MLP([3, 4, 4], seed=[0, 1], activation="tanh", dtype=np.float64, xp=strict_array)
    device.synapses.theta[...] = strict_array.asarray(net.synapses.theta)
    x_d, labels_d, active_d = map(strict_array.asarray, (x, labels, active))
    exact = diagonal_fisher(device, x_d, active_d).get()
    assert np.array_equal(exact, diagonal_fisher(net, x, active))
    empirical = empirical_fisher(device, x_d, labels_d, active_d).get()
    assert np.array_equal(empirical, empirical_fisher(net, x, labels, active))


def test_probabilities_survive_huge_logits():
    logits = np.array([[1e4, 0.0, 1e9, -1e4]])
    p = softmax(logits, np.array([True, True, False, True]))
    assert np.array_equal(p, [[1.0, 0.0, 0.0, 0.0]])


class Gain(Layer):
    """A factor for every feature, written for training alone."""

    kind = "gain"
    parameters = {"k": (2,)}

    def initial(self, rng):
        return {"k": rng.uniform(0.5, 1.5, 2)}

    def forward(self, x, memory):
        return x * memory.weights[0][..., None, :], x

    def backward(self, dy, x, memory):
        (k,), (dk,) = memory.weights, memory.gradients
        dk[...] = (dy * x).sum(axis=-2)
        return dy * k[..., None, :]


class SquaringGain(Gain):
    """The same, with the two functions for squares alone."""

    def add_squares(self, total, dy, x, memory):
        return total + (dy * x) ** 2

    def squared_gradients(self, total, x):
        return (total.sum(axis=-2),)


class SummingGain(Gain):
    """The same, with the two functions for every f."""

    def add_examples(self, f, total, dy, x, memory):
        return total + f(dy * x)

    def example_sums(self, f, total, x):
        return (total.sum(axis=-2),)


def gain_network(kind, lead=()):
    seed = list(range(*lead)) if lead else 0
    return pysi.Network([kind(), pysi.layers.Dense(2, 4)], dtype=np.float64, seed=seed)


def test_weights_in_unknown_layers_are_a_config_error():
    net = pysi.Network([Gain()], dtype=np.float64, input_shape=(2,))
    net.forward(np.ones((3, 2)))
    message = "layers: expected layers with add_examples and example_sums, .* found Gain.*; write"
    for work in (
        lambda: pysi.EWC(1.0).check(net, []),
        lambda: MAS(1.0).check(net, []),
        lambda: squared_gradients(net, np.ones((3, 2))),
        lambda: sum_over_examples(net, abs, np.ones((3, 2))),
    ):
        with pytest.raises(pysi.ConfigError, match=message):
            work()


@pytest.mark.parametrize("kind", [SquaringGain, SummingGain])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_a_user_s_layer_takes_part_by_either_pair_of_functions(kind, lead):
    net = gain_network(kind, lead)
    _, x, labels, active = problem(0, [2])
    pysi.EWC(1.0).check(net, [])
    squares = [example_gradient(net, *pair, active) ** 2 for pair in zip(x, labels, strict=True)]
    fisher = empirical_fisher(net, x, labels, active)
    assert np.allclose(fisher, np.mean(squares, axis=0), rtol=1e-10, atol=1e-14)
    assert (fisher[..., net.synapses.group("gain1.k").columns] > 0).all()


def test_functions_for_squares_alone_do_not_serve_the_absolute_value():
    net = gain_network(SquaringGain)
    net.forward(np.ones((3, 2)))
    message = "SquaringGain.* with add_squares and squared_gradients, which serve the square alone"
    with pytest.raises(pysi.ConfigError, match=message):
        MAS(1.0).check(net, [])
    with pytest.raises(pysi.ConfigError, match="write these two functions in their place"):
        sum_over_examples(net, abs, np.ones((3, 4)))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_a_convolution_s_gradient_is_squared_per_example_after_its_sum_over_places(fast, lead):
    """A loop takes every example, with every label, through the backward pass."""
    net = toy_cnn(seed=list(range(2)) if lead else 0, fast=fast)
    task, rng = toy_image_tasks()[0], np.random.default_rng(0)
    net.synapses.theta[...] += 0.1 * rng.standard_normal(net.synapses.theta.shape)
    x, labels = task.x_train[::9][:7], task.y_train[::9][:7]
    exact, empirical = 0, 0
    for xn, label in zip(x, labels, strict=True):
        p = softmax(net.forward(xn[None]), task.active)
        for k in task.active.nonzero()[0]:
            g2 = example_gradient(net, xn, k, task.active) ** 2
            exact = exact + p[..., 0, k, None] * g2 / len(x)
            empirical = empirical + (k == label) * g2 / len(x)
    found = diagonal_fisher(net, x, task.active), empirical_fisher(net, x, labels, task.active)
    for value, expected in zip(found, (exact, empirical), strict=True):
        assert np.allclose(value, expected, rtol=1e-9, atol=1e-13 * expected.max())
    # a sum of squares over places is a different number
    conv = net.synapses.group("conv1.W").columns
    assert (exact[..., conv] > 0).mean() > 0.9


def test_the_table_is_left_alone_by_the_fisher_of_images():
    net, task = toy_cnn(seed=0), toy_image_tasks()[0]
    net.synapses.grad[...] = 3.0
    diagonal_fisher(net, task.x_train[:9], task.active)
    assert (net.synapses.grad == 3.0).all()
