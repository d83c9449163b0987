"""What a network promises its callers: its dtype, its memory, its table, and clear errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from pysi.rules.fisher import diagonal_fisher
from strategies import dtypes, toy_cnn, toy_image_tasks, toy_net, toy_run, toy_tasks

ACTIVE = np.ones(6, bool)


def network(kind, dtype, seed=0):
    net = toy_net(seed, dtype=dtype) if kind == "mlp" else toy_cnn(seed, dtype=dtype)
    values = 0.3 * np.random.default_rng(0).standard_normal(net.synapses.theta.shape)
    net.synapses.theta[...] = values
    return net


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_computes_in_its_own_dtype_whatever_it_is_fed(kind, given, dtype):
    net = network(kind, dtype)
    whole = np.random.default_rng(1).integers(0, 2, (5, *net.input_shape))
    fed, numbers = whole.astype(given), whole / 255 if given is np.uint8 else whole
    for call in (net.forward, lambda x: net.forward(x, train=True), net.logits):
        found = call(fed)
        assert found.dtype == dtype
        assert np.array_equal(found, call(numbers.astype(dtype)))
    loss, dlogits = softmax_cross_entropy(net.forward(fed, train=True), np.arange(5), ACTIVE)
    net.backward(dlogits)
    assert loss.dtype == dlogits.dtype == net.synapses.grad.dtype == dtype
    assert np.isfinite(net.synapses.grad).all() and (net.synapses.grad != 0).any()


LAST = {
    "dense": lambda: [Dense(4, 3)],
    "relu": lambda: [Dense(4, 3), ReLU()],
    "idle dropout": lambda: [Dense(4, 3), Dropout(0.5)],
    "only dropout": lambda: [Dropout(0.5)],
    "flatten": lambda: [Conv2D(1, 2), Flatten()],
    "convolution": lambda: [Conv2D(1, 2)],
    "pooling": lambda: [Conv2D(1, 2), MaxPool2D(2)],
    "pooling, flatten": lambda: [Conv2D(1, 2), MaxPool2D(2), Flatten()],
}


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("last", LAST)
def test_no_call_changes_what_another_returned(last, parts, monkeypatch):
    if not parts:
        monkeypatch.setattr("pysi.backend.uses.CPU_IMAGES", None)
    shape = (4,) if last in ("dense", "relu", "idle dropout", "only dropout") else (4, 4, 1)
    net = pysi.Network(LAST[last](), input_shape=shape, dtype=np.float64) if last != (
        "only dropout") else pysi.Network([*LAST[last](), Tanh(), Dense(4, 4), Dropout(0.5)],
                                          input_shape=shape, dtype=np.float64)  # fmt: skip
    rng, found = np.random.default_rng(0), []
    x = [rng.standard_normal((9, *shape)) for _ in range(3)]
    held = [batch.copy() for batch in x]
    for _ in range(2):
        for batch in x:
            for call in (net.forward, lambda x: net.forward(x, train=True), net.logits):
                y = call(batch)
                found.append((y, y.copy()))
            net.backward(np.ones_like(y))
    for y, before in found:
        assert np.array_equal(y, before)
    for batch, before in zip(x, held, strict=True):
        assert np.array_equal(batch, before)
    found[0][0][...] = 7  # changing one result changes neither another result nor the input
    assert np.array_equal(net.logits(x[0]), found[2][1])
    assert np.array_equal(x[0], held[0])


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_wrong_input_shapes_are_config_errors(kind, seed):
    net = network(kind, np.float32, seed)
    shape, lead = net.input_shape, net.synapses.lead
    good = [(3, *shape), (*lead, 3, *shape)]
    bad = [shape, (3, *shape[:-1], shape[-1] + 1), (4, 3, *shape), (1, 1, 3, *shape), ()]
    for call in (net.forward, lambda x: net.forward(x, train=True), net.logits):
        for size in good:
            assert call(np.zeros(size)).shape == (*lead, 3, 6)
        for size in bad:
            with pytest.raises(pysi.ConfigError, match="x: expected inputs of shape"):
                call(np.zeros(size))


def test_a_wrong_shape_leaves_training_alone():
    net = network("mlp", np.float64)
    logits = net.forward(np.ones((2, 12)), train=True)
    with pytest.raises(pysi.ConfigError):
        net.forward(np.ones((2, 11)))
    net.backward(np.ones_like(logits))
    assert (net.synapses.grad != 0).any()


def test_backward_before_forward_is_a_config_error():
    with pytest.raises(pysi.ConfigError, match="expected a forward pass before it, found none"):
        toy_net().backward(np.zeros((2, 6)))


def test_networks_of_the_same_layers_share_no_weights():
    layers = [Dense(12, 7), ReLU(), Dropout(0.4), Dense(7, 6)]
    one, other = (pysi.Network(layers, seed=seed, dtype=np.float64) for seed in (0, 1))
    assert not np.shares_memory(one.synapses.table, other.synapses.table)
    before = other.synapses.table.copy()
    toy_run(pysi.SynapticIntelligence(1.0), net=one)
    assert np.array_equal(other.synapses.table, before)
    # training in turn gives the same as training alone
    alone, _ = toy_run(
        pysi.FineTuning(), net=pysi.Network([Dense(12, 7), ReLU(), Dropout(0.4), Dense(7, 6)],
                                            seed=1, dtype=np.float64))  # fmt: skip
    toy_run(pysi.FineTuning(), net=other)
    assert np.array_equal(other.synapses.theta, alone.synapses.theta)


def test_interleaved_passes_of_networks_of_the_same_layers_do_not_mix():
    layers, rng = [Dense(4, 5), Tanh(), Dense(5, 3)], np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 6, 3))
    nets = [pysi.Network(layers, seed=seed, dtype=np.float64) for seed in (0, 1)]
    for net, batch in zip(nets, x, strict=True):
        net.forward(batch, train=True)
    for net, d in zip(nets, dy, strict=True):
        net.backward(d)
    for seed, net in enumerate(nets):
        fresh = pysi.Network([Dense(4, 5), Tanh(), Dense(5, 3)], seed=seed, dtype=np.float64)
        fresh.forward(x[seed], train=True)
        fresh.backward(dy[seed])
        assert np.array_equal(fresh.synapses.grad, net.synapses.grad)


@pytest.mark.parametrize("make", [toy_net, toy_cnn])
def test_a_loaded_table_goes_on_learning(make, tmp_path):
    """If the table is saved after a task and loaded, the run ends with the same bits."""
    tasks = toy_tasks() if make is toy_net else toy_image_tasks(n=9)
    whole, _ = toy_run(pysi.SynapticIntelligence(1.0), net=make(), tasks=tasks)
    net, _ = toy_run(pysi.SynapticIntelligence(1.0), net=make(), tasks=tasks[:1])
    net.synapses.save(tmp_path / "table.npz")
    x, held = tasks[0].x_test, net.synapses
    expected = net.logits(x)
    net.synapses = pysi.Synapses.load(tmp_path / "table.npz")
    assert net.synapses is not held
    held.table[...] = np.nan  # nothing reads the old table
    assert np.array_equal(net.logits(x), expected)
    assert net.learned == 1
    toy_run(pysi.SynapticIntelligence(1.0), net=net, tasks=tasks[1:])
    for row in ("theta", "Omega", "omega", "theta_ref"):
        assert np.array_equal(getattr(net.synapses, row), getattr(whole.synapses, row)), row


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: toy_net(sizes=(12, 9, 8, 6)).synapses, "shapes"),
        (lambda: toy_net(sizes=(12, 9, 6)).synapses, "shapes"),
        (lambda: toy_net([0, 1]).synapses, "lead"),
        (lambda: toy_net(dtype=np.float32).synapses, "dtype"),
        (lambda: np.zeros(5), "shapes"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(other, what):
    net = toy_net()
    held, x = net.synapses, np.ones((2, 12))
    expected = net.logits(x)
    with pytest.raises(pysi.ConfigError, match=f"synapses: expected a table with {what}"):
        net.synapses = other()
    assert net.synapses is held
    assert np.array_equal(net.logits(x), expected)


@pytest.mark.parametrize(
    "layers", [[], [Dense(3, 2), "relu"], [Dense], [Dense(3, 2), Dense(3, 2)], [ReLU()]]
)
def test_what_are_no_layers_in_a_row_is_a_config_error(layers):
    with pytest.raises(pysi.ConfigError):
        pysi.Network(layers)


def test_features_are_the_input_of_the_last_layer():
    for net in (network("mlp", np.float64), network("cnn", np.float64)):
        x = np.random.default_rng(0).standard_normal((9, *net.input_shape))
        logits = net.forward(x, train=True)
        net.logits(x[:2])
        W, b = (net.synapses.group(f"{net.names[-1]}.{part}").theta for part in "Wb")
        assert np.allclose(net.features @ W + b, logits, rtol=1e-12)


def test_features_of_a_network_whose_images_end_with_it():
    layers = [Conv2D(1, 2), ReLU(), Flatten()]
    net = pysi.Network(layers, input_shape=(4, 4, 1), dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((9, 4, 4, 1))
    y = net.forward(x, train=True)
    assert np.array_equal(net.features.reshape(9, -1), y)


@given(st.integers(1, 12), dtypes, st.sampled_from(["mlp", "cnn"]))
def test_a_second_gradient_at_the_features_is_added_below_the_last_layer(n, dtype, kind):
    """backward(a, b) is linear, and backward(0, b) is the gradient of ⟨b, features⟩."""
    net, rng = network(kind, np.float64), np.random.default_rng(n)
    x = rng.standard_normal((n, *net.input_shape))
    dy = rng.standard_normal(net.forward(x, train=True).shape)
    dfeatures, grads = rng.standard_normal(net.features.shape), {}
    for a, b in ((1, 0), (0, 1), (1, 1)):
        net.backward(a * dy, b * dfeatures)
        grads[a, b] = net.synapses.grad.copy()
    total = grads[1, 0] + grads[0, 1]
    assert np.allclose(grads[1, 1], total, rtol=1e-9, atol=1e-12 * (1 + abs(total).max()))
    last = net.synapses.group(f"{net.names[-1]}.W").columns.start
    assert (grads[0, 1][last:] == 0).all()
    v, theta, h = rng.standard_normal(len(net.synapses)), net.synapses.theta.copy(), 1e-6
    values = []
    for sign in (1, -1):
        net.synapses.theta[...] = theta + sign * h * v
        net.forward(x, train=True)
        values.append((net.features * dfeatures).sum())
    measured, expected = (values[0] - values[1]) / (2 * h), (grads[0, 1] * v).sum()
    scale = np.linalg.norm(grads[0, 1]) * np.linalg.norm(v)
    assert abs(measured - expected) < 1e-5 * (scale + 1)


def test_the_fisher_is_that_of_its_own_pass_though_a_training_pass_is_open():
    x = np.random.default_rng(0).standard_normal((5, 12))
    net = network("mlp", np.float64)
    expected = diagonal_fisher(net, x, ACTIVE)
    net.forward(10 * x, train=True)
    assert np.array_equal(diagonal_fisher(net, x, ACTIVE), expected)


def test_kinds_are_named_after_their_class_unless_said():
    class Gain(Layer):
        pass

    class Loud(Gain):
        kind = "shout"

    assert (Gain().kind, Loud().kind) == ("gain", "shout")
    assert (repr(Gain()), repr(Dense(3, 2))) == ("Gain()", "Dense(3, 2)")
