"""Batches in parts, divided among threads, give the numbers of each example alone."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
from pysi.backend.arrays import threads
from pysi.backend.stages import SHARES
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dense, Dropout, ReLU
from pysi.losses import softmax_cross_entropy
from pysi.training import training_step
from strategies import alone, leads, seeds, toy_cnn, toy_image_tasks, toy_run

DROPOUT = (0.25, 0.5)


def parts_of(size):
    """Return a patch under which new networks take this number of images at a time."""
    patch = pytest.MonkeyPatch()
    patch.setattr("pysi.backend.uses.CPU_IMAGES", size)
    return patch


def in_parts(size, seed=0, **options):
    """Return a small CNN that takes this number of images at a time."""
    patch = parts_of(size)
    try:
        return toy_cnn(seed, **options)
    finally:
        patch.undo()


def steps(net, *sizes, rule=None):
    """Make one step of training per size, on this number of images; return θ and g."""
    task, optimizer = toy_image_tasks(1)[0], pysi.Adam(0.01)
    rule = rule or pysi.SynapticIntelligence(1.0)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.restart(0, 1)
    for n in sizes:
        batch = np.broadcast_to(np.arange(7, 7 + n), (*net.synapses.lead, n))
        training_step(net, optimizer, rule, task.x_train[batch], task.y_train[batch], task)
    return net.synapses.theta.copy(), net.synapses.grad.copy()


ROWS = {
    "as in CNN": lambda: [Conv2D(2, 3), ReLU(), WinogradConv2D(3, 4, padding="valid"),
                          MaxPool2D(2), ReLU()],
    "pooling last": lambda: [Conv2D(2, 3), ReLU(), MaxPool2D(2), WinogradConv2D(3, 4)],
    "only convolutions": lambda: [WinogradConv2D(2, 3), Conv2D(3, 4), WinogradConv2D(4, 2)],
}  # fmt: skip


def one_by_one(net, x, dy):
    """Return the outputs and the summed gradients of every example and layer by itself."""
    rng, outputs, total = np.random.default_rng(0), [], 0
    for n in range(len(x)):
        chain, y, grads = [], x[n : n + 1], {}
        for layer, name in zip(net.layers, net.names, strict=True):
            one = alone(layer, y.shape, rng)
            for part in layer.parameters:
                getattr(one, part).theta[...] = net.synapses.group(f"{name}.{part}").theta
            chain.append((layer, name, one))
            y = one.forward(y).copy()
        outputs.append(y)
        back = dy[n : n + 1]
        for layer, name, one in reversed(chain):
            back = one.backward(back).copy()
            for part in layer.parameters:
                grads[f"{name}.{part}"] = getattr(one, part).grad.ravel()
        total = total + np.concatenate([grads[name] for name in net.synapses.shapes])
    return np.concatenate(outputs), total


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("last", [False, True])
@given(seeds, leads, st.integers(1, 12), st.sampled_from([1, 2, 3, 4, None]))
@settings(max_examples=8)
def test_parts_give_what_every_example_gives_alone(row, last, seed, lead, n, size):
    rng, seeds = np.random.default_rng(seed), list(range(lead[0])) if lead else 0
    patch = parts_of(size)
    features = pysi.Network([*ROWS[row](), Flatten()], input_shape=(6, 5, 2)).output_shape[0]
    layers = [*ROWS[row](), Flatten(), *([] if last else [Dense(features, 3)])]
    net = pysi.Network(layers, input_shape=(6, 5, 2), seed=seeds, dtype=np.float64)
    patch.undo()
    s = net.synapses
    s.theta[...] = rng.standard_normal(s.theta.shape)
    for count in (n, n, 2, n):  # from the second time all memory has been used
        x = rng.standard_normal((*lead, count, 6, 5, 2))
        s.grad[...] = np.nan
        y = net.forward(x, train=True)
        dy, held = rng.standard_normal(y.shape), y.copy()
        evaluated = net.logits(x)
        net.backward(dy)
        assert np.array_equal(y, held)
        assert np.array_equal(evaluated, y)
        for r in np.ndindex(lead):
            alone_net = pysi.Network(layers, input_shape=(6, 5, 2), dtype=np.float64)
            alone_net.synapses.theta[...] = s.theta[r]
            expected, grad = one_by_one(alone_net, x[r], dy[r])
            assert np.allclose(y[r], expected, rtol=1e-11, atol=1e-11)
            assert np.allclose(s.grad[r], grad, rtol=1e-9, atol=1e-10 * (1 + abs(grad).max()))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("n", [1, 4, 13])
def test_parts_agree_with_one_part(row, n):
    """The other network has the same layers and takes a whole batch at once (size None)."""
    rng, found = np.random.default_rng(n), []
    x, dy = rng.standard_normal((n, 6, 5, 2)), None
    for size in (None, 1, 3):
        patch = parts_of(size)
        net = pysi.Network([*ROWS[row](), Flatten()], input_shape=(6, 5, 2), dtype=np.float64)
        patch.undo()
        net.synapses.theta[...] = np.random.default_rng(0).standard_normal(len(net.synapses))
        y = net.forward(x, train=True)
        dy = rng.standard_normal(y.shape) if dy is None else dy
        net.backward(dy)
        found.append((y, net.synapses.grad.copy()))
    for y, grad in found[1:]:
        assert np.allclose(y, found[0][0], rtol=1e-11, atol=1e-11)
        assert np.allclose(grad, found[0][1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(dtype):
    assert SHARES < 21 < 3 * SHARES  # parts, and so unequal shares
    expected = steps(in_parts(1, dropout=DROPOUT, dtype=dtype), 21, 21, 5, 21)
    for count in (1, 2, 3):
        with threads(count):
            found = steps(in_parts(1, dropout=DROPOUT, dtype=dtype), 21, 21, 5, 21)
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one, other), count


def test_neither_threads_nor_used_memory_change_a_run():
    whole, _ = toy_run(pysi.FineTuning(), net=toy_cnn(dropout=DROPOUT), tasks=toy_image_tasks(n=9))
    for count in (2, 3):
        net = toy_cnn(dropout=DROPOUT)
        steps(net, 3)  # a few parts have been used already
        net.initialise()
        with threads(count):
            toy_run(pysi.FineTuning(), net=net, tasks=toy_image_tasks(n=9))
        assert np.array_equal(net.synapses.theta, whole.synapses.theta)


def dropout_alone(size, seed=0):
    """Return a network whose features are dropout's masks, because it copies images of ones."""
    patch = parts_of(size)
    layers = [Conv2D(1, 1, 1), Dropout(0.5), Flatten()]
    net = pysi.Network(layers, input_shape=(6, 6, 1), seed=seed, dtype=np.float64)
    patch.undo()
    net.synapses.theta[...] = [1, 0]
    return net


def masks(net, n, epoch=0):
    """Return the masks after a restart."""
    net.restart(epoch)
    return net.forward(np.ones((*net.synapses.lead, n, 6, 6, 1)), train=True).copy()


def test_every_image_has_a_mask_of_its_own_which_a_restart_repeats():
    net = dropout_alone(2, [0, 1])
    first = masks(net, 8)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert len(np.unique(first.reshape(16, 36), axis=0)) == 16
    later = net.forward(np.ones((2, 8, 6, 6, 1)), train=True)
    assert len(np.unique([*first.reshape(16, 36), *later.reshape(16, 36)], axis=0)) == 32
    assert np.array_equal(masks(net, 8), first)
    assert not np.array_equal(masks(net, 8, epoch=1), first)
    # the past before the restart does not matter, as when a stopped run is resumed
    used = dropout_alone(2, [0, 1])
    masks(used, 4, epoch=5)
    assert np.array_equal(masks(used, 8), first)


def test_the_first_part_draws_what_the_layer_would():
    assert np.array_equal(masks(dropout_alone(3), 9)[:3], masks(dropout_alone(None), 3))


@settings(max_examples=5)
@given(seeds)
def test_several_networks_are_as_they_would_be_alone(seed):
    """With batches in parts, too, each network has its own streams and dropout."""
    sizes = (9, 9, 4)
    theta, grad = steps(in_parts(4, [seed, seed + 1], dropout=DROPOUT), *sizes)
    for r in range(2):
        one = steps(in_parts(4, seed + r, dropout=DROPOUT), *sizes)
        # float64, three steps: a batched product may sum in another order
        assert np.allclose(theta[r], one[0], rtol=1e-7, atol=1e-10)
        assert np.allclose(grad[r], one[1], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("when", ["before backward", "after backward"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_evaluation_in_between_changes_no_bit_of_training(when, dtype):
    expected = steps(in_parts(2, dropout=DROPOUT, dtype=dtype), 9, 5, 9)
    net, x = in_parts(2, dropout=DROPOUT, dtype=dtype), toy_image_tasks(1)[0].x_train

    class Curious(pysi.SynapticIntelligence):
        def look(self):
            for n in (30, 9, 5, 1):
                net.forward(x[:n])
                net.logits(x[:n])

        def output_gradient(self, net, x, logits):
            if when == "before backward":
                self.look()

        def after_step(self, rows, delta):
            super().after_step(rows, delta)
            if when == "after backward":
                self.look()

    found = steps(net, 9, 5, 9, rule=Curious(1.0))
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def arrays():
    """Return the present number of arrays, and their bytes."""
    numpys = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    traces = tracemalloc.take_snapshot().filter_traces([numpys]).traces
    return len(traces), sum(trace.size for trace in traces)


def test_memory_grows_neither_with_the_steps_nor_with_the_images_that_are_evaluated():
    net, rule, found = in_parts(2, dropout=DROPOUT), pysi.SynapticIntelligence(1.0), []
    tracemalloc.start()
    try:
        for n in (20, 20, 200):
            steps(net, 9, 9, 5, rule=rule)
            net.logits(np.zeros((n, 11, 10, 3)))
            net.logits(np.zeros((20, 11, 10, 3)))
            found.append(arrays())
    finally:
        tracemalloc.stop()
    assert found[0][0] > 100
    assert found[1] == found[2]


def test_the_gradient_of_a_smaller_batch_is_its_own():
    def gradient(net, n):
        task = toy_image_tasks(1)[0]
        logits = net.forward(task.x_train[:n], train=True)
        net.backward(softmax_cross_entropy(logits, task.y_train[:n], task.active)[1])
        return net.synapses.grad.copy()

    net, fresh = in_parts(2), in_parts(2)
    for used in (net, fresh):
        used.synapses.theta[...] = np.random.default_rng(0).standard_normal(len(used.synapses))
        used.restart(0, 1)
    gradient(net, 11)
    assert np.array_equal(gradient(net, 3), gradient(fresh, 3))


def test_what_only_predicts_has_no_gradient():
    net = in_parts(2)
    logits = net.logits(toy_image_tasks(1)[0].x_train[:5])
    with pytest.raises(pysi.ConfigError, match="backward: expected a forward pass before it"):
        net.backward(logits)


class Picky(ReLU):
    """Refuses an image that contains a 7."""

    def forward(self, x, memory):
        if (x == 7).any():
            raise pysi.ConfigError("picky: expected no 7")
        return super().forward(x, memory)


def test_what_is_refused_in_a_thread_comes_out():
    patch = parts_of(1)
    net = pysi.Network([Picky(), Conv2D(1, 2), Flatten()], input_shape=(4, 4, 1))
    patch.undo()
    good, bad = np.zeros((6, 4, 4, 1)), np.zeros((6, 4, 4, 1))
    bad[4] = 7
    with threads(2):
        net.forward(good, train=True)
        with pytest.raises(pysi.ConfigError, match="expected no 7"):
            net.forward(bad, train=True)
        assert np.isfinite(net.forward(good, train=True)).all()
