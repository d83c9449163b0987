"""The paper's convolutional network: its size, its start, its gradient, and on a device."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import namespace, stream, to_host
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dense, Dropout, ReLU
from pysi.losses import softmax_cross_entropy
from pysi.training import training_step
from strategies import alone, directions, ready, seeds, toy_cnn, toy_image_tasks, toy_run

GROUPS = {  # synapses of the paper's network with six tasks of ten classes
    "conv1": (3, 3, 3, 32), "conv2": (3, 3, 32, 32), "conv3": (3, 3, 32, 64),
    "conv4": (3, 3, 64, 64), "dense1": (2304, 512), "dense2": (512, 60),
}  # fmt: skip


@pytest.fixture(scope="module")
def paper_s():
    return pysi.CNN(60, seed=1)


@pytest.mark.smoke
def test_the_paper_s_network_by_hand(paper_s):
    shapes = {f"{name}.W": shape for name, shape in GROUPS.items()}
    shapes |= {f"{name}.b": shape[-1:] for name, shape in GROUPS.items()}
    assert paper_s.synapses.shapes == shapes
    # 32 × 32 → 32 → 30 → 15 → 15 → 13 → 6, and 6·6·64 = 2304
    convolutions = (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64)
    assert len(paper_s.synapses) == convolutions + (2304 * 512 + 512) + (512 * 60 + 60)
    assert paper_s.input_shape == (32, 32, 3)
    assert [layer.p for layer in paper_s.layers if isinstance(layer, Dropout)] == [0.25, 0.25, 0.5]
    assert " ".join(layer.kind for layer in paper_s.layers) == (
        "conv relu conv pool relu dropout conv relu conv pool relu dropout "
        "flatten dense relu dropout dense"
    )
    kinds = [type(layer) for layer in paper_s.layers if layer.kind == "conv"]
    assert kinds == [Conv2D, WinogradConv2D, WinogradConv2D, WinogradConv2D]
    paddings = [layer.padding for layer in paper_s.layers if layer.kind == "conv"]
    assert paddings == ["same", "valid"] * 2


def test_its_initial_weights(paper_s):
    for name, shape in GROUPS.items():
        W, b = (paper_s.synapses.group(f"{name}.{part}").theta for part in "Wb")
        assert (b == 0).all()
        if name == "dense2":
            assert (W == 0).all()
        else:
            *places, n_in, n_out = shape
            limit = np.sqrt(6 / (np.prod(places) * (n_in + n_out)))
            assert 0.98 * limit < abs(W).max() <= limit
    assert paper_s.forward(np.ones((2, 32, 32, 3), np.float32)).tolist() == [[0] * 60] * 2


def test_replicas_start_like_single_networks_and_can_start_again():
    both = toy_cnn([3, 8])
    for r, seed in enumerate((3, 8)):
        assert np.array_equal(both.synapses.theta[r], toy_cnn(seed).synapses.theta)
    assert not np.array_equal(both.synapses.theta[0], both.synapses.theta[1])
    before = both.synapses.theta.copy()
    both.synapses.theta[...] = np.nan
    both.initialise()
    assert np.array_equal(both.synapses.theta, before)


def gradient(net, x, labels, active):
    """Return loss and gradient in training without dropout, as the network computes them."""
    net.restart(0)
    loss, dlogits = softmax_cross_entropy(net.forward(x, train=True), labels, active)
    net.backward(dlogits)
    return loss, net.synapses.grad.copy()


def example(rng, net, n=7):
    """Return random weights, images, labels, and classes of which only some take part."""
    net.synapses.theta[...] = rng.standard_normal(net.synapses.theta.shape)
    active = np.arange(6) % 2 == 1
    x = rng.standard_normal((*net.synapses.lead, n, *net.input_shape))
    return x, rng.choice(np.flatnonzero(active), x.shape[:-3]), active


def test_every_dropout_has_the_stream_of_its_name(monkeypatch):
    monkeypatch.setattr("pysi.backend.uses.CPU_IMAGES", None)
    net = toy_cnn(5, (0.25, 0.5))
    x, _, _ = example(np.random.default_rng(0), net)
    net.restart(2, 1)
    found, y, count = net.forward(x, train=True).copy(), x, 0
    for layer, name in zip(net.layers, net.names, strict=True):
        streams = None
        if isinstance(layer, Dropout):
            count += 1
            streams = [stream(5, 2, 1, f"dropout{count}")]
        one = alone(layer, y.shape, np.random.default_rng(0))
        for part in layer.parameters:
            getattr(one, part).theta[...] = net.synapses.group(f"{name}.{part}").theta
        y = one.forward(y, streams=streams)
    assert count == 3
    assert np.allclose(found, y, rtol=1e-12)


@settings(max_examples=15)
@given(seeds, st.booleans())
def test_its_gradient_is_the_derivative_of_its_loss_by_a_complex_step(seed, fast):
    rng, net = np.random.default_rng(seed), toy_cnn(fast=fast)
    x, labels, active = example(rng, net)
    loss, grad = gradient(net, x, labels, active)
    s = net.synapses
    (v,) = directions(rng, s.theta)
    # Piecewise analytic, so Im L(θ + ihv) / h is the derivative, with an error of order h². No
    # real part changes, so no unit switches, and no other pixel becomes the largest.
    theta, y = s.theta + 1e-30j * v, x.astype(complex)
    for layer, name in zip(net.layers, net.names, strict=True):
        one = alone(layer, y.shape, rng)
        (slot,) = one.stage.slots
        slot.dtype, slot.weights = (
            np.dtype(complex),
            tuple(
                theta[s.group(f"{name}.{part}").columns].reshape(shape)
                for part, shape in layer.parameters.items()
            ),
        )
        y = one.forward(y)
    along, _ = softmax_cross_entropy(y, labels, active)
    assert np.isclose(along.real, loss, rtol=1e-10)
    assert np.isclose(along.imag / 1e-30, (grad * v).sum(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": (32, 32)}, r"image: expected 3 whole numbers from 1, found \(32, 32\)"),
        ({"image": 32}, "image: .* found 32"),
        ({"channels": ()}, "channels: expected one or more whole numbers from 1"),
        ({"channels": 8}, "channels: .* found 8"),
        ({"channels": (8, "8")}, "channels: .* found"),
        ({"hidden": 0}, "hidden: expected a whole number from 1, found 0"),
        ({"n_classes": 2.5}, "n_classes: .* found 2.5"),
        ({"dropout": 0.5}, "dropout: expected two probabilities, found 0.5"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(options, message):
    with pytest.raises(pysi.ConfigError, match=message):
        pysi.CNN(**{"n_classes": 4} | options)


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_fast_convolutions_change_nothing_but_rounding(seed):
    nets = [toy_cnn(seed, fast=fast) for fast in (True, False)]
    kinds = [{type(layer) for layer in net.layers} for net in nets]
    assert WinogradConv2D in kinds[0] and WinogradConv2D not in kinds[1]
    assert np.array_equal(nets[0].synapses.theta, nets[1].synapses.theta)
    x, labels, active = example(np.random.default_rng(0), nets[0])
    nets[1].synapses.theta[...] = nets[0].synapses.theta
    (loss, grad), (expected, exact) = (gradient(net, x, labels, active) for net in nets)
    assert np.allclose(loss, expected, rtol=1e-10)
    assert np.allclose(grad, exact, rtol=1e-8, atol=1e-9)


def test_rectifying_before_pooling_gives_the_same():
    def network(*kinds):
        first, second = ([kind() for kind in kinds] for _ in range(2))
        row = [Conv2D(3, 8), ReLU(), WinogradConv2D(8, 9, padding="valid"), *first, Dropout(0.0),
               WinogradConv2D(9, 9), *second, Flatten(), Dense(36, 6)]  # fmt: skip
        return pysi.Network(row, input_shape=(11, 10, 3), dtype=np.float64)

    nets = network(MaxPool2D, ReLU), network(ReLU, MaxPool2D)
    x, labels, active = example(np.random.default_rng(0), nets[0], n=40)
    nets[1].synapses.theta[...] = nets[0].synapses.theta
    (loss, grad), (expected, other) = (gradient(net, x, labels, active) for net in nets)
    assert loss == expected
    assert np.array_equal(grad, other)


def test_classes_that_take_no_part_are_not_learned():
    net = toy_cnn()
    x, labels, active = example(np.random.default_rng(0), net)
    _, grad = gradient(net, x, labels, active)
    for part in "Wb":
        group = net.synapses.group(f"dense2.{part}")
        assert (group.grad[..., ~active] == 0).all()
        assert (group.grad[..., active] != 0).any(axis=None)
        group.theta[..., ~active] += 1
    assert np.array_equal(gradient(net, x, labels, active)[1], grad)


@pytest.mark.smoke
def test_pixels_are_scaled_to_one():
    net = toy_cnn()
    net.synapses.theta[...] = np.random.default_rng(0).standard_normal(len(net.synapses))
    pixels = np.random.default_rng(1).integers(0, 256, (3, 11, 10, 3), np.uint8)
    expected = net.forward(pixels / 255).copy()
    assert np.allclose(net.forward(pixels), expected, rtol=1e-14)


def test_images_of_another_shape_are_refused_before_any_work():
    with pytest.raises(pysi.ConfigError, match=r"examples of shape \(11, 10, 3\), as the network"):
        toy_run(pysi.FineTuning(), net=toy_cnn(), tasks=toy_image_tasks(shape=(10, 11, 3)))


def test_it_learns_one_task_after_the_other():
    net, tasks = toy_cnn([0, 1], dtype=np.float32, hidden=20), toy_image_tasks(n=15)
    _, history = toy_run(pysi.SynapticIntelligence(1.0), net=net, tasks=tasks, epochs=5)
    learned = np.diagonal(history.test_accuracy, axis1=-2, axis2=-1)
    assert (learned > 0.9).all()


@pytest.mark.parametrize("seed", [4, [4, 9]])
@pytest.mark.parametrize("dropout", [(0.0, 0.0), (0.25, 0.5)])
def test_a_device_gives_numpy_s_numbers(seed, dropout, monkeypatch):
    monkeypatch.setattr("pysi.backend.uses.CPU_IMAGES", None)  # all at once, as on a device
    runs = [
        toy_run(
            pysi.SynapticIntelligence(1.0),
            net=toy_cnn(seed, dropout, xp=xp),
            tasks=toy_image_tasks(n=9),
        )
        for xp in (np, strict_array)
    ]
    host, device = (net.synapses.table for net, _ in runs)
    assert namespace(device) is strict_array
    assert np.array_equal(host, to_host(device))
    assert np.array_equal(runs[0][1].test_accuracy, runs[1][1].test_accuracy)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dropout", [(0.0, 0.0), (0.25, 0.5)])
def test_nothing_is_transferred_or_waited_for_inside_a_step(dropout, fast):
    net = toy_cnn([0, 1], dropout, xp=strict_array, fast=fast)
    rule, optimizer = ready(net)
    task = toy_image_tasks()[0].to(strict_array)
    batch = strict_array.asarray(np.arange(16).reshape(2, 8))
    # constants are copied to the device once, in the very first step
    training_step(net, optimizer, rule, task.x_train[batch], task.y_train[batch], task)
    theta = to_host(net.synapses.theta)
    before = strict_array.syncs, strict_array.transfers
    for _ in range(3):
        training_step(net, optimizer, rule, task.x_train[batch], task.y_train[batch], task)
    assert (strict_array.syncs, strict_array.transfers) == before
    assert (to_host(net.synapses.theta) != theta).mean() > 0.5


@pytest.mark.parametrize(
    "options", [{"dropout": (1, 0.5)}, {"dropout": (0.2, -0.1)}, {"image": (9, 32, 3)}]
)
def test_impossible_cnns_are_config_errors(options):
    with pytest.raises(pysi.ConfigError, match=next(iter(options))):
        pysi.CNN(10, **options)


def test_initialise_forgets_everything():
    net = pysi.CNN(10, image=(10, 10, 1), channels=(2, 2), hidden=3, seed=4)
    fresh = net.synapses.table.copy()
    net.synapses.table[...] = 7
    net.initialise()
    assert np.array_equal(net.synapses.table, fresh)


def test_winograd_s_algorithm_is_for_a_cpu_unless_it_is_chosen():
    sizes = {"image": (10, 10, 3), "channels": (8, 8), "hidden": 3}

    def fast(**options):
        layers = pysi.CNN(6, **sizes, **options).layers
        return any(isinstance(layer, WinogradConv2D) for layer in layers)

    assert fast() and fast(xp=strict_array, fast=True)
    assert not fast(xp=strict_array) and not fast(fast=False)
