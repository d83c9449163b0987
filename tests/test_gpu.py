"""The same numbers on a real GPU. Run with `pytest -m gpu`."""

import numpy as np
import pytest

import pysi
from pysi.backend import Scratch, device_namespace, to_host
from pysi.cli import main
from pysi.experiments.result import Result
from pysi.nn.convolution import Conv2D
from pysi.nn.pooling import Flatten, MaxPool2D
from pysi.nn.winograd import WinogradConv2D
from pysi.training import training_step
from strategies import toy_cnn, toy_image_tasks, toy_net, toy_run, toy_tasks

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    try:
        return device_namespace("cupy")
    except pysi.ConfigError as err:
        pytest.skip(str(err))


NETWORKS = {
    "MLP": (toy_net, toy_tasks),
    "CNN": (toy_cnn, toy_image_tasks),
    "CNN, slow": (lambda *args, **options: toy_cnn(*args, fast=False, **options), toy_image_tasks),
}


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("optimizer", [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.01)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("network", NETWORKS)
def test_one_step_agrees_with_numpy(cupy, network, seed, optimizer, dtype, tolerance):
    make, tasks = NETWORKS[network]
    task = tasks()[0]
    tables = []
    for xp in (np, cupy):
        net = make(seed, dtype=dtype, xp=xp)
        net.restart(0, 1)
        net.synapses.theta[...] += 0.01  # a readout of zeros would leave all else without gradient
        rule = pysi.SynapticIntelligence(1.0)
        rule.start(net.synapses)
        optimizer.start(net.synapses)
        here = task.to(xp)
        x = here.x_train[:32]
        labels = xp.broadcast_to(here.y_train[:32], (*net.synapses.lead, 32))
        x = xp.broadcast_to(x, (*net.synapses.lead, *x.shape))
        training_step(net, optimizer, rule, x, labels, here.active)
        tables.append(to_host(net.synapses.grad))
    scale = abs(tables[0]).max()
    assert np.allclose(tables[0] / scale, tables[1] / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2D(3, 4, (2, 3), stride=(2, 1)),
        Conv2D(3, 4, padding="valid"),
        WinogradConv2D(3, 4),
        WinogradConv2D(3, 4, padding="valid"),
        MaxPool2D((2, 3)),
        Flatten(),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("lead", [(), (2,)])
def test_layers_of_images_agree_with_numpy(cupy, layer, lead):
    rng = np.random.default_rng(0)
    x, theta = rng.standard_normal((*lead, 5, 7, 6, 3)), rng.standard_normal((*lead, 112))
    found = []
    for xp in (np, cupy):
        here = layer.twin()
        here.work = Scratch()
        arrays = []
        if layer.parameters:
            s = pysi.Synapses(layer.parameters, lead=lead, dtype=np.float64, xp=xp)
            s.theta[...] = xp.asarray(theta[..., : len(s)])
            here.bind({name: s.group(name) for name in here.parameters})
            arrays = [s.grad]
        y = here.forward(xp.asarray(x))
        dx = here.backward(xp.cos(y))
        found.append([to_host(array).copy() for array in (y, dx, *arrays)])
    for host, device in zip(*found, strict=True):
        assert np.allclose(host, device, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize(("network", "n"), [("MLP", 40), ("CNN", 8), ("CNN, slow", 8)])
def test_a_run_agrees_with_numpy(cupy, network, n, seed):
    make, tasks = NETWORKS[network]  # of a CNN few steps: with each, rounding grows
    runs = [
        toy_run(pysi.SynapticIntelligence(1.0), net=make(seed, xp=xp), tasks=tasks(n=n))
        for xp in (np, cupy)
    ]
    host, device = (to_host(net.synapses.table) for net, _ in runs)
    assert np.allclose(host, device, rtol=1e-6, atol=1e-8)
    assert np.allclose(runs[0][1].test_accuracy, runs[1][1].test_accuracy, atol=0.02)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("MLP", {"dropout": 0.3, "sizes": (12, 60, 60, 6)}),
        ("CNN", {"dropout": (0.1, 0.3), "hidden": 60}),
    ],
)
def test_dropout_draws_on_the_device(cupy, network, options):
    make, tasks = NETWORKS[network]
    net = make([0, 1], xp=cupy, **options)
    _, history = toy_run(pysi.FineTuning(), net=net, tasks=tasks())
    assert isinstance(net.synapses.table, cupy.ndarray)
    assert (np.diagonal(history.train_accuracy, axis1=-2, axis2=-1) > 0.8).all()


def test_tables_travel_between_devices(cupy, tmp_path):
    net = toy_net(xp=cupy)
    net.synapses.save(tmp_path / "s.npz")
    again = pysi.Synapses.load(tmp_path / "s.npz")
    assert np.array_equal(again.theta, to_host(net.synapses.theta))


@pytest.mark.parametrize(
    ("words", "runs"), [("split-mnist", 2), ("permuted-mnist --tasks 2 --hidden 20", 6)]
)
def test_the_command_line(cupy, mnist_5k, tmp_path, words, runs):
    options = "--dataset mnist-5k --epochs 1 --seeds 1 --jobs 1 --device cupy"
    words = ["run", *words.split(), *options.split()]
    assert main([*words, "--out", str(tmp_path / "r")]) == 0
    result = Result.load(tmp_path / "r")
    assert result.content["environment"]["gpu"]
    assert result.content["complete"]
    assert len(result.runs) == runs
