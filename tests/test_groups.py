"""Images in groups, shared out over threads: the numbers are those of all images at once."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysi.images.groups import SHARES, ImageGroups

import pysi
from pysi.backend.arrays import threads
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dropout, ReLU
from pysi.losses import softmax_cross_entropy
from pysi.training import training_step
from strategies import bind, leads, seeds, toy_cnn, toy_image_tasks, toy_run

DROPOUT = (0.25, 0.5)


def in_groups(size, seed=0, **options):
    """A small CNN that takes images in groups of this size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pysi.network.CPU_IMAGES", size)
        return toy_cnn(seed, **options)


def steps(net, *sizes, rule=None):
    """A step of training on as many images as each size says; returns θ and g."""
    task, optimizer = toy_image_tasks(1)[0], pysi.Adam(0.01)
    rule = rule or pysi.SynapticIntelligence(1.0)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.restart(0, 1)
    for n in sizes:
        batch = np.broadcast_to(np.arange(7, 7 + n), (*net.synapses.lead, n))
        training_step(net, optimizer, rule, task.x_train[batch], task.y_train[batch], task.active)
    return net.synapses.theta.copy(), net.synapses.grad.copy()


ROWS = {
    "as in CNN": lambda: [Conv2D(2, 3), ReLU(), WinogradConv2D(3, 4, padding="valid"),
                          MaxPool2D(2), ReLU()],
    "pooling last": lambda: [Conv2D(2, 3), ReLU(), MaxPool2D(2), WinogradConv2D(3, 4)],
    "only convolutions": lambda: [WinogradConv2D(2, 3), Conv2D(3, 4), WinogradConv2D(4, 2)],
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@given(seeds, leads, st.integers(1, 25), st.sampled_from([1, 2, 3, 4, None]))
@settings(max_examples=25)
def test_groups_give_what_the_layers_give_one_by_one(row, seed, lead, n, size):
    rng, layers = np.random.default_rng(seed), [*ROWS[row](), Flatten()]
    tables = [bind(layer, rng, lead) for layer in layers if layer.parameters]
    y = x = rng.standard_normal((*lead, n, 6, 5, 2))
    for layer in layers:
        y = layer.forward(y)
    y, dy = y.copy(), rng.standard_normal(y.shape)
    back = dy
    for layer in reversed(layers):
        back = layer.backward(back)
    expected = [s.grad.copy() for s in tables]
    groups = ImageGroups(layers, y.shape[-1], size)
    for _ in range(2):  # the second time everything has been used
        for s in tables:
            s.grad[...] = np.nan
        assert np.allclose(groups.forward(x, train=True), y, rtol=1e-11, atol=1e-11)
        assert groups.backward(dy) is None
        for s, grad in zip(tables, expected, strict=True):
            assert np.allclose(s.grad, grad, rtol=1e-10, atol=1e-10)
        assert np.allclose(groups.forward(x), y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(dtype):
    assert SHARES < 21 < 3 * SHARES  # groups, and so unequal shares
    expected = steps(in_groups(1, dropout=DROPOUT, dtype=dtype), 21, 21, 5, 21)
    for count in (1, 2, 3):
        with threads(count):
            found = steps(in_groups(1, dropout=DROPOUT, dtype=dtype), 21, 21, 5, 21)
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one, other), count


def test_neither_threads_nor_used_memory_change_a_run():
    whole, _ = toy_run(pysi.FineTuning(), net=toy_cnn(dropout=DROPOUT), tasks=toy_image_tasks(n=9))
    for count in (2, 3):
        net = toy_cnn(dropout=DROPOUT)
        steps(net, 3)  # a few groups have been used already
        net.initialise()
        with threads(count):
            toy_run(pysi.FineTuning(), net=net, tasks=toy_image_tasks(n=9))
        assert np.array_equal(net.synapses.theta, whole.synapses.theta)


def dropout_alone(size, lead=()):
    """Groups whose features are dropout's masks: images of ones, copied by a kernel of one 1."""
    layers = [Conv2D(1, 1, 1), Dropout(0.5), Flatten()]
    bind(layers[0], np.random.default_rng(0), lead).theta[...] = [1, 0]
    return ImageGroups(layers, 36, size)


def masks(groups, n, lead=(), seed=0):
    """Masks after a restart."""
    networks = lead[0] if lead else 1
    groups.restart([[np.random.default_rng((seed, i, r)) for r in range(networks)]
                    for i in range(3)])  # fmt: skip
    return groups.forward(np.ones((*lead, n, 6, 6, 1)), train=True).copy()


def test_every_image_has_a_mask_of_its_own_which_a_restart_repeats():
    groups = dropout_alone(2, (2,))
    first = masks(groups, 8, (2,))
    assert set(np.unique(first)) == {0.0, 2.0}
    assert len(np.unique(first.reshape(16, 36), axis=0)) == 16
    later = groups.forward(np.ones((2, 8, 6, 6, 1)), train=True)
    assert len(np.unique([*first.reshape(16, 36), *later.reshape(16, 36)], axis=0)) == 32
    assert np.array_equal(masks(groups, 8, (2,)), first)
    assert not np.array_equal(masks(groups, 8, (2,), seed=1), first)
    # what has been used before the restart does not matter, as when a run goes on after a stop
    used = dropout_alone(2, (2,))
    masks(used, 4, (2,), seed=5)
    assert np.array_equal(masks(used, 8, (2,)), first)


def test_the_first_group_draws_what_the_layer_would():
    assert np.array_equal(masks(dropout_alone(3), 9)[:3], masks(dropout_alone(None), 3))


@settings(max_examples=5)
@given(seeds)
def test_several_networks_are_as_they_would_be_alone(seed):
    """In groups too each network has streams of its own, and dropout."""
    sizes = (9, 9, 4)
    theta, grad = steps(in_groups(4, [seed, seed + 1], dropout=DROPOUT), *sizes)
    for r in range(2):
        alone = steps(in_groups(4, seed + r, dropout=DROPOUT), *sizes)
        # float64, three steps: a batched product may sum in another order
        assert np.allclose(theta[r], alone[0], rtol=1e-7, atol=1e-10)
        assert np.allclose(grad[r], alone[1], rtol=1e-7, atol=1e-10)


def test_evaluation_in_between_changes_no_bit_of_training():
    expected = steps(in_groups(2, dropout=DROPOUT), 9, 5, 9)
    net, x = in_groups(2, dropout=DROPOUT), toy_image_tasks(1)[0].x_train

    class Curious(pysi.SynapticIntelligence):
        def after_step(self, block, delta):
            super().after_step(block, delta)
            for n in (30, 9, 1):
                net.forward(x[:n])

    found = steps(net, 9, 5, 9, rule=Curious(1.0))
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def arrays():
    """How many arrays there are now, and their bytes."""
    kind = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    traces = tracemalloc.take_snapshot().filter_traces([kind]).traces
    return len(traces), sum(trace.size for trace in traces)


def test_memory_grows_neither_with_the_steps_nor_with_the_images_that_are_evaluated():
    net, rule, found = in_groups(2, dropout=DROPOUT), pysi.SynapticIntelligence(1.0), []
    tracemalloc.start()
    try:
        for n in (20, 20, 200):
            steps(net, 9, 9, 5, rule=rule)
            net.forward(np.zeros((n, 11, 10, 3)))
            net.forward(np.zeros((20, 11, 10, 3)))
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

    net, fresh = in_groups(2), in_groups(2)
    for used in (net, fresh):
        used.synapses.theta[...] = np.random.default_rng(0).standard_normal(len(used.synapses))
        used.restart(0, 1)
    gradient(net, 11)
    assert np.array_equal(gradient(net, 3), gradient(fresh, 3))


def test_an_evaluation_has_no_gradient():
    net = in_groups(2)
    steps(net, 5)
    logits = net.forward(toy_image_tasks(1)[0].x_train[:5])
    with pytest.raises(pysi.ConfigError, match="train: expected True"):
        net.backward(logits)


def test_what_is_refused_in_a_thread_comes_out():
    net = in_groups(1, image=(10, 10, 3))
    net.restart(0)
    with threads(2):
        with pytest.raises(pysi.ConfigError, match="size: expected at most the image's 1 × 1"):
            net.forward(np.zeros((3, 8, 8, 3)), train=True)
        assert np.isfinite(net.forward(np.zeros((3, 10, 10, 3)), train=True)).all()
