"""Hypothesis strategies and small real objects that several test modules use."""

from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import pysi
from pysi.backend.memory import Slot
from pysi.backend.stages import Stage
from pysi.data import Dataset
from pysi.history import Epoch, TaskLearned

settings.register_profile("pysi", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("pysi")

seeds = st.integers(0, 2**32 - 1)
leads = st.sampled_from([(), (1,), (3,)])
dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def shape_tables(draw):
    """Draw names and shapes of one to five groups, some with a single synapse."""
    shapes = draw(
        st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=5)
    )
    return {f"g{i}": tuple(shape) for i, shape in enumerate(shapes)}


@st.composite
def tables(draw, leads=leads, dtype=np.float64):
    """Draw a table of random numbers, cut into blocks of random size; Ω is not negative."""
    shapes = draw(shape_tables())
    s = pysi.Synapses(shapes, lead=draw(leads), dtype=dtype, block_size=draw(st.integers(1, 300)))
    s.table[...] = np.random.default_rng(draw(seeds)).standard_normal(s.table.shape)
    s.Omega[...] = abs(s.Omega)
    return s


def toy_dataset(n_classes=6, n=40, features=12, seed=0, noise=0.3):
    """Return noisy copies of one random byte pattern per class: easy, small, shaped like MNIST."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 256, (n_classes, features))
    parts = []
    for _ in range(2):
        y = np.repeat(np.arange(n_classes), n)
        x = patterns[y] * (1 - noise) + noise * rng.integers(0, 256, (len(y), features))
        parts += [x.astype(np.uint8), y]
    return Dataset("toy", *parts, n_classes=n_classes, source="generated", checksums={})


def toy_tasks(n_tasks=3, **options):
    return pysi.split_tasks(toy_dataset(**options), n_tasks)


def toy_net(seed=0, sizes=(12, 9, 7, 6), dtype=np.float64, **options):
    return pysi.MLP(sizes, seed=seed, dtype=dtype, **options)


def ready(net, optimizer=None):
    """Return a rule whose penalty is in force, and an optimizer, for the next step of a network."""
    rule, optimizer = pysi.SynapticIntelligence(1.0), optimizer or pysi.Adam(0.01)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.synapses.Omega[...] = 1
    rule.refresh()
    net.restart(0, 1)
    return rule, optimizer


def every_epoch(call):
    """Return a listener that calls call(task, epoch) after every epoch."""
    return lambda event: call(event.task, event.epoch) if isinstance(event, Epoch) else None


class Stopped(Exception):
    """A run was stopped."""


def stops_after(count):
    """Return a listener that raises Stopped after so many epochs; with None, never."""
    left = [count]

    def on_epoch(task, epoch):
        left[0] = left[0] and left[0] - 1
        if left[0] == 0:
            raise Stopped

    return every_epoch(on_epoch)


def every_task(call):
    """Return a listener that calls call(task) when a task is learned, before Ω is updated."""
    return lambda event: call(event.task) if isinstance(event, TaskLearned) else None


def toy_run(rule, seed=0, tasks=None, optimizer=None, net=None, **options):
    """Train a small network on small tasks; return the network and the history."""
    net = net or toy_net(seed)
    options = {"epochs": 2, "batch_size": 16} | options
    history = pysi.train(net, optimizer or pysi.Adam(0.01), rule, tasks or toy_tasks(), **options)
    return net, history


def toy_image_tasks(n_tasks=3, shape=(11, 10, 3), **options):
    """Return small tasks whose patterns are images, for `toy_cnn`."""
    dataset = toy_dataset(features=prod(shape), **options)
    images = {x: getattr(dataset, x).reshape(-1, *shape) for x in ("x_train", "x_test")}
    return pysi.split_tasks(replace(dataset, **images), n_tasks)


def toy_cnn(seed=0, dropout=(0.0, 0.0), dtype=np.float64, **options):
    """Return the paper's network in small: odd sizes, both algorithms, and a row that is lost."""
    sizes = {"channels": (8, 9), "hidden": 7, "image": (11, 10, 3), "fast": True}
    return pysi.CNN(6, dropout=dropout, seed=seed, dtype=dtype, **sizes | options)


class Alone:
    """A layer by itself, with a table of its own and random weights."""

    def __init__(self, layer, shape, rng, lead, dtype, xp, size):
        shapes = {f"layer.{name}": shape for name, shape in layer.parameters.items()}
        self.table = pysi.Synapses({"none": (1,)} | shapes, lead=lead, dtype=dtype, xp=xp)
        self.table.theta[...] = xp.asarray(
            rng.standard_normal(self.table.theta.shape).astype(dtype)
        )
        slot = Slot(layer, "layer", self.table)
        axes = 3 if len(shape) > 3 else 1
        out = layer.output_shape(tuple(shape[-axes:]))
        self.stage = Stage([slot], out, axes, size, keeps=True, last=True)
        for name, group in zip(layer.parameters, slot.groups, strict=True):
            setattr(self, name, group)

    def forward(self, x, *, train=True, streams=None):
        self.stage.restart([streams])
        return self.stage.forward(x, train)

    def backward(self, dy, *, need_dx=True):
        return self.stage.gradients(dy, need_dx)


def alone(layer, shape, rng, lead=(), dtype=np.float64, xp=np, size=None):
    """Return a layer by itself for inputs of a shape (..., examples, ...); see `Alone`."""
    return Alone(layer, shape, rng, lead, dtype, xp, size)


def directions(rng, *arrays):
    """Return a random direction for each array, with its shape and dtype."""
    return [rng.standard_normal(a.shape).astype(a.dtype) for a in arrays]
