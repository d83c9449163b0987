"""What a network has in memory ends with the network, not when Python next looks for cycles."""

import gc
import weakref

import numpy as np
import pytest

import pysi
from pysi.backend.arrays import threads
from pysi.training import training_step


@pytest.fixture(autouse=True)
def no_garbage_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def images(n=12):
    x = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return pysi.Task("images", x, np.arange(n) % 4, x, np.arange(n) % 4, np.ones(4, bool))


def features(n=12):
    x = np.random.default_rng(0).random((n, 7), dtype=np.float32)
    return pysi.Task("features", x, np.arange(n) % 4, x, np.arange(n) % 4, np.ones(4, bool))


def cnn():
    return pysi.CNN(4, image=(16, 16, 3), channels=(8, 8), hidden=5)


NETS = {
    "mlp": (lambda: pysi.MLP([7, 5, 4], dropout=0.5), features),
    "side by side": (lambda: pysi.MLP([7, 5, 4], seed=range(3)), features),
    "cnn": (cnn, images),
}
"""A network and a task for it, by name."""


def watched(net, optimizer):
    """Weak references to a network and what it holds; arrays that are no views own memory."""
    lent = [a for m in net.last.memories for a in m.own.values() if isinstance(a, np.ndarray)]
    holders = [net, net.synapses, net.synapses.table, optimizer.M, *lent]
    return [weakref.ref(holder) for holder in holders]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("rule", [pysi.SynapticIntelligence, pysi.EWC])
def test_memory_ends_with_the_network(name, rule):
    make, task = NETS[name]
    net, optimizer, rule, task = make(), pysi.Adam(1e-3), rule(0.1), task()
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    for _ in range(3):
        training_step(net, optimizer, rule, task.x_train, task.y_train, task)
    net.forward(task.x_test)
    rule.end_task(net, task)
    held = watched(net, optimizer)
    assert len(held) > 4 and all(ref() is not None for ref in held)
    del net, optimizer, rule
    assert all(ref() is None for ref in held)


def test_memory_ends_with_the_network_and_not_with_its_history():
    net, optimizer = cnn(), pysi.Adam(1e-3)
    with threads(2):
        history = pysi.train(
            net, optimizer, pysi.SynapticIntelligence(0.1), [images()] * 2, epochs=1, batch_size=6
        )
    held = watched(net, optimizer)
    del net, optimizer
    assert all(ref() is None for ref in held)
    assert np.isfinite(history.test_accuracy).all()


def test_memory_of_what_a_step_no_longer_uses_is_let_go():
    s, optimizer = pysi.Synapses({"W": (3, 2)}), pysi.Adam(1e-3)
    optimizer.start(s)
    first = weakref.ref(optimizer.M)
    for _ in range(2):
        for _ in range(2):
            optimizer.next_step()
            with s.update() as rows:
                rows.advance(optimizer.delta(rows.grad, rows))
        optimizer.start(s)  # with rows of its own
    assert first() is None


def test_a_step_that_failed_leaves_nothing():
    s = pysi.Synapses({"W": (3, 2)})
    with pytest.raises(pysi.ConfigError, match="attribute"), s.update() as rows:
        rows.theta.sum()
    table = weakref.ref(s.table)
    del s
    del rows
    assert table() is None
