"""The same numbers on a real GPU. Run with `pytest -m gpu`."""

import numpy as np
import pytest

import pysi
from pysi.backend import device_namespace, to_host
from pysi.cli import main
from pysi.experiments.result import Result
from pysi.training import training_step
from strategies import toy_net, toy_run, toy_tasks

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    try:
        return device_namespace("cupy")
    except pysi.ConfigError as err:
        pytest.skip(str(err))


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("optimizer", [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.01)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_one_step_agrees_with_numpy(cupy, seed, optimizer, dtype, tolerance):
    task = toy_tasks()[0]
    tables = []
    for xp in (np, cupy):
        net = toy_net(seed, dtype=dtype, xp=xp)
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


@pytest.mark.parametrize("seed", [2, [2, 5]])
def test_a_run_agrees_with_numpy(cupy, seed):
    runs = [toy_run(pysi.SynapticIntelligence(1.0), net=toy_net(seed, xp=xp)) for xp in (np, cupy)]
    host, device = (to_host(net.synapses.table) for net, _ in runs)
    assert np.allclose(host, device, rtol=1e-6, atol=1e-8)
    assert np.allclose(runs[0][1].test_accuracy, runs[1][1].test_accuracy, atol=0.02)


def test_dropout_draws_on_the_device(cupy):
    net, history = toy_run(pysi.FineTuning(), net=toy_net([0, 1], xp=cupy, dropout=0.3))
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
