"""Tasks of unequal sizes, of permuted images, of few examples, and of regression."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.data import Dataset
from pysi.losses import softmax_cross_entropy, squared_error
from strategies import dtypes, leads, seeds, toy_cnn, toy_dataset, toy_run


@given(seeds, st.lists(st.integers(1, 4), min_size=1, max_size=6).filter(lambda s: sum(s) <= 6))
def test_unequal_tasks_are_of_consecutive_classes(seed, sizes):
    dataset = toy_dataset(seed=seed % 100)
    for given_as in (tuple(sizes), list(sizes), np.array(sizes)):
        tasks = pysi.split_tasks(dataset, given_as)
        assert len(tasks) == len(sizes)
        first = 0
        for task, n in zip(tasks, sizes, strict=True):
            classes = list(range(first, first + n))
            assert np.flatnonzero(task.active).tolist() == classes
            assert (len(task.active), task.chance) == (sum(sizes), 1 / n)
            assert task.name == " or ".join(map(str, classes))
            for part in ("train", "test"):
                x, y = task.part(part)
                labels = getattr(dataset, f"y_{part}")
                own = np.isin(labels, classes)
                assert np.array_equal(x, getattr(dataset, f"x_{part}")[own])
                assert np.array_equal(y, labels[own])
            first += n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unequal_tasks_are_learned(dtype):
    tasks = pysi.split_tasks(toy_dataset(), (2, 3, 1))
    net, history = toy_run(pysi.SynapticIntelligence(1.0), net=pysi.MLP((12, 20, 6), dtype=dtype),
                           tasks=tasks, epochs=20)  # fmt: skip
    assert (np.diagonal(history.test_accuracy) > 0.95).all()
    assert net.synapses.theta.dtype == dtype


@pytest.mark.parametrize(
    "sizes", [(7,), (3, 4), (2, 0, 1), (-1, 3), (1.5, 2), (), 7, 0, -2, 1.5, 4]
)
def test_impossible_splits_are_config_errors(sizes):
    with pytest.raises(pysi.ConfigError, match="tasks: expected"):
        pysi.split_tasks(toy_dataset(), sizes)


def images(n=10, shape=(5, 4, 3)):
    """Return a data set of small images; within an image all bytes differ."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.permutation(256)[: np.prod(shape)] for _ in range(2 * n)])
    x = x.astype(np.uint8).reshape(2, n, *shape)
    y = np.arange(n) % 2
    return Dataset("images", x[0], y, x[1], y, n_classes=2, source="made", checksums={})


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 4, 1), (1, 6, 2)])
def test_permuted_images_keep_their_pixels_and_their_channels_together(shape):
    dataset = images(shape=shape)
    tasks = pysi.permuted_tasks(dataset, 4, seed=1)
    for part in ("train", "test"):
        original = getattr(dataset, f"x_{part}")
        for i, task in enumerate(tasks):
            x, y = task.part(part)
            assert x.shape == original.shape
            assert x.dtype == np.uint8
            assert np.array_equal(y, getattr(dataset, f"y_{part}"))
            pixels, before = (a.reshape(len(a), -1, shape[-1]) for a in (x, original))
            for one, other in zip(pixels, before, strict=True):
                assert sorted(map(tuple, one)) == sorted(map(tuple, other))
            # the order is the same for every image, and not the original one
            order = [before[0].tolist().index(p) for p in pixels[0].tolist()]
            assert np.array_equal(pixels, before[:, order])
            assert (order == sorted(order)) == (i == 0)
    shown = [task.part("train")[0].tobytes() for task in tasks]
    assert len(set(shown)) == 4


def test_permuted_images_are_learned_by_a_cnn():
    x = toy_dataset(features=11 * 10 * 3, n=20)
    shaped = {name: getattr(x, name).reshape(-1, 11, 10, 3) for name in ("x_train", "x_test")}
    tasks = pysi.permuted_tasks(replace(x, **shaped), 2)
    _, history = toy_run(pysi.SynapticIntelligence(0.1), net=toy_cnn(hidden=20), tasks=tasks,
                         epochs=8)  # fmt: skip
    assert (np.diagonal(history.test_accuracy) > 0.9).all()


def test_a_dataset_leaves_the_caller_s_arrays_writable():
    arrays = [np.zeros((4, 3), np.uint8), np.arange(4), np.zeros((4, 3), np.uint8), np.arange(4)]
    dataset = Dataset("mine", *arrays, n_classes=4, source="mine", checksums={})
    for name, mine in zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True):
        own = getattr(dataset, name)
        assert mine.flags.writeable
        assert np.shares_memory(own, mine)  # nothing is copied
        with pytest.raises(ValueError, match="read-only"):
            own[...] = 1
        mine[0] = 0


# Regression


@given(seeds, leads, dtypes)
def test_squared_error_and_its_gradient(seed, lead, dtype):
    rng = np.random.default_rng(seed)
    batch, K = rng.integers(1, 6, 2)
    z, y, v = rng.standard_normal((3, *lead, batch, K)).astype(dtype)
    active = rng.integers(0, 2, K).astype(bool)
    active[rng.integers(K)] = True
    loss, dz = squared_error(z, y, active)
    expected = sum((z[..., k].astype(float) - y[..., k]) ** 2 for k in np.flatnonzero(active))
    assert np.allclose(loss, expected.sum(axis=-1) / (2 * batch), rtol=1e-5)
    assert loss.shape == lead
    assert loss.dtype == dz.dtype == dtype
    assert (dz[..., ~active] == 0).all()
    # the loss is quadratic: central differences are exact up to rounding
    z, y, v = (a.astype(np.float64) for a in (z, y, v))
    slope = squared_error(z + v, y, active)[0] - squared_error(z - v, y, active)[0]
    _, dz = squared_error(z, y, active)
    assert np.allclose(slope / 2, (dz * v).sum(axis=(-2, -1)), rtol=1e-9, atol=1e-12)
    score = squared_error.score(z, y, active)
    assert np.allclose(score, -expected / active.sum(), rtol=1e-4, atol=1e-6)
    assert np.allclose(squared_error.score(y, y, active), 0)


def linear_task(seed=0, dtype=np.float64, n=60):
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((5, 3)), rng.standard_normal(3)
    x = rng.standard_normal((2, n, 5))
    y = (x @ W + b).astype(dtype)
    x = x.astype(dtype)
    task = pysi.Task("linear", x[0], y[0], x[1], y[1], np.ones(3, bool), loss=squared_error)
    return task, W, b


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_learns_a_linear_map(dtype, given, seed):
    task, W, b = linear_task(dtype=given)
    net = pysi.MLP((5, 3), dtype=dtype, seed=seed)
    losses = []
    _, history = toy_run(
        pysi.FineTuning(),
        net=net,
        tasks=[task],
        optimizer=pysi.SGD(0.1),
        epochs=200,
        listeners=[lambda e: losses.append(getattr(e, "loss", 0))],
    )
    tolerance = 1e-4 if dtype == np.float32 or given == np.float32 else 1e-9
    assert np.allclose(net.synapses.group("dense1.W").theta, W, atol=tolerance)
    assert np.allclose(net.synapses.group("dense1.b").theta, b, atol=tolerance)
    assert np.allclose(history.test_accuracy, 0, atol=tolerance)
    assert (history.test_accuracy <= 0).all()
    assert losses[0].dtype == net.synapses.theta.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_regression_works_with_hidden_layers_and_synaptic_intelligence(dtype, given):
    tasks = [linear_task(seed, given)[0] for seed in (0, 1)]
    net = pysi.MLP((5, 30, 3), dtype=dtype, seed=0, activation="relu", dropout=0.1)
    rule = pysi.SynapticIntelligence(0.01)
    _, history = toy_run(rule, net=net, tasks=tasks, epochs=30)
    start = toy_run(pysi.FineTuning(), net=pysi.MLP((5, 30, 3), dtype=dtype), tasks=tasks,
                    optimizer=pysi.SGD(1e-12), epochs=1)[1]  # fmt: skip
    learned, untrained = (np.diagonal(h.test_accuracy) for h in (history, start))
    assert (learned > 0.3 * untrained).all()  # minus the error: closer to 0
    assert (net.synapses.Omega > 0).any()
    assert net.synapses.theta.dtype == dtype


@pytest.mark.parametrize(
    "targets",
    [np.zeros(60), np.zeros((60, 2)), np.zeros((60, 3), int), np.zeros((59, 3)), np.zeros((0, 3))],
)
def test_targets_that_do_not_fit_the_loss_are_config_errors(targets):
    task, _, _ = linear_task()
    with pytest.raises(pysi.ConfigError, match="task 'linear': train: expected"):
        replace(task, y_train=targets)


def test_labels_are_the_default():
    task = pysi.split_tasks(toy_dataset(), 3)[0]
    assert task.loss is softmax_cross_entropy
    with pytest.raises(pysi.ConfigError, match="whole numbers as labels"):
        replace(task, y_train=task.y_train * 1.0)
