"""The same numbers on a device: on the strict double always, on a real GPU with `pytest -m gpu`."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import stream, to_host
from pysi.backend.arrays import device_namespace
from pysi.backend.matmul import matmul, tensor_float_32
from pysi.cli import main
from pysi.competition import LWTA, Maxout
from pysi.experiments.cell import Cell
from pysi.experiments.protocols import SplitMNIST
from pysi.experiments.replicas import bytes_of_one, side_by_side
from pysi.experiments.result import Result
from pysi.experiments.sweep import Sweep
from pysi.images.convolution import Conv2D
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dense, Dropout, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from pysi.rules.fisher import diagonal_fisher, empirical_fisher
from pysi.rules.rule import FineTuning
from pysi.storage.checkpoint import Checkpoint
from pysi.synapses import ROWS
from pysi.theory import claims
from pysi.training import training_step
from strategies import (
    alone,
    every_epoch,
    ready,
    toy_cnn,
    toy_dataset,
    toy_image_tasks,
    toy_net,
    toy_run,
    toy_tasks,
)


@pytest.fixture(params=["double", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request, monkeypatch):
    """Put the device's module under the name that the command line gives it."""
    if request.param == "double":
        monkeypatch.setitem(sys.modules, "cupy", strict_array)
    try:
        return device_namespace("cupy")
    except pysi.ConfigError as err:
        pytest.skip(str(err))


DIGITS = toy_dataset(n_classes=10, features=784)
NETWORKS = {
    "MLP": (toy_net, toy_tasks),
    "tanh": (lambda *args, **options: toy_net(*args, activation="tanh", **options), toy_tasks),
    "CNN": (toy_cnn, toy_image_tasks),
    "CNN, slow": (lambda *args, **options: toy_cnn(*args, fast=False, **options), toy_image_tasks),
}
RULES = [
    FineTuning(), pysi.SynapticIntelligence(1.0), pysi.SynapticIntelligence(0.5, clamp="per_task"),
    pysi.EWC(5.0), pysi.EWC(5.0, fisher="empirical"), pysi.OnlineEWC(5.0, gamma=0.9),
]  # fmt: skip


def close(host, device, tolerance):
    """Return whether arrays agree, relative to the largest entry."""
    host, device = np.asarray(host), to_host(device)
    assert host.shape == device.shape
    scale = abs(host).max() or 1.0
    return np.allclose(host / scale, device / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("optimizer", [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.01)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("network", NETWORKS)
def test_one_step_agrees_with_numpy(xp, network, seed, optimizer, dtype, tolerance):
    make, tasks = NETWORKS[network]
    task, tables, losses = tasks()[0], [], []
    for module in (np, xp):
        net = make(seed, dtype=dtype, xp=module)
        s = net.synapses
        s.theta[...] += 0.01  # with a readout of zeros all other layers would have no gradient
        rule, optimizer = ready(net, optimizer)
        s.theta_ref[...] -= 0.1
        here = task.to(module)
        x, labels = (
            module.broadcast_to(array[:32], (*s.lead, *array[:32].shape))
            for array in (here.x_train, here.y_train)
        )
        losses.append(training_step(net, optimizer, rule, x, labels, here))
        tables.append(s)
    assert close(losses[0], losses[1], tolerance)
    assert close(tables[0].grad, tables[1].grad, tolerance)
    if type(optimizer) is not pysi.Adam:  # which makes a full step even if the gradient is tiny
        for row in ("theta", "omega"):
            assert close(getattr(tables[0], row), getattr(tables[1], row), tolerance)


LAYERS = [
    Dense(3, 4), ReLU(), Tanh(), Dropout(0.0), Conv2D(3, 4, (2, 3), stride=(2, 1)),
    Conv2D(3, 4, padding="valid"), WinogradConv2D(3, 4), WinogradConv2D(3, 4, padding="valid"),
    MaxPool2D((2, 3)), Flatten(), Maxout(3), LWTA(3),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("lead", [(), (2,)])
def test_layers_agree_with_numpy(xp, layer, lead):
    shape = (*lead, *((5, 7, 6, 3) if layer.kind in ("conv", "pool", "flatten") else (5, 3)))
    x, found = np.random.default_rng(0).standard_normal(shape), []
    for module in (np, xp):
        here = alone(layer, shape, np.random.default_rng(1), lead, xp=module)
        y = here.forward(module.asarray(x))
        dx = here.backward(module.cos(y))
        found.append([to_host(array).copy() for array in (y, dx, here.table.grad)])
    for host, device in zip(*found, strict=True):
        assert np.allclose(host, device, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_loss_agrees_with_numpy(xp, lead, dtype, tolerance):
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((*lead, 7, 5)).astype(dtype)
    logits[..., 0, 3] = 1e30  # not active
    labels, active = rng.integers(0, 3, (*lead, 7)), np.arange(5) < 3
    host = softmax_cross_entropy(logits, labels, active)
    device = softmax_cross_entropy(*map(xp.asarray, (logits, labels, active)))
    assert all(close(one, other, tolerance) for one, other in zip(host, device, strict=True))
    assert not to_host(device[1])[..., 3:].any()


@pytest.mark.parametrize("layout", ["plain", "transposed", "columns", "two axes", "every second"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_matrix_products_of_views_agree_with_numpy(xp, layout, dtype, tolerance):
    rng = np.random.default_rng(2)
    a, table = (rng.standard_normal(s).astype(dtype) for s in ((3, 6, 8), (3, 2, 100)))
    found = []
    for module in (np, xp):
        x, rows, out = module.asarray(a), module.asarray(table), module.zeros((3, 50), dtype)
        W, y = rows[:, 1, 10:58].reshape(3, 8, 6), out[:, 5:41].reshape(3, 6, 6)
        x, W, y = {
            "plain": (x, module.asarray(table[:, 0, :48].reshape(3, 8, 6)), None),
            "transposed": (W.swapaxes(1, 2), x.swapaxes(1, 2), y),
            "columns": (x, W, y),
            "two axes": (x[:, None], rows[:, :, :48].reshape(3, 2, 8, 6), None),
            "every second": (x[..., ::2], W[:, ::2], y),
        }[layout]
        found.append(matmul(x, W, out=y))
        if y is not None:
            assert not to_host(out)[:, [4, 41]].any()
    assert close(*found, tolerance)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint16])
def test_labels_may_be_of_any_whole_type(xp, dtype):
    tables = []
    for kind in (np.int64, dtype):
        tasks = [
            replace(t, y_train=t.y_train.astype(kind), y_test=t.y_test.astype(kind))
            for t in toy_tasks()
        ]
        net, history = toy_run(FineTuning(), net=toy_net(xp=xp), tasks=tasks, epochs=1)
        tables.append((to_host(net.synapses.table).tobytes(), history.test_accuracy.tobytes()))
    assert tables[0] == tables[1]


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize(("network", "n"), [("MLP", 40), ("CNN", 8), ("CNN, slow", 8)])
def test_a_run_agrees_with_numpy(xp, network, n, seed):
    make, tasks = NETWORKS[network]  # few steps of a CNN: rounding grows with each
    runs = [
        toy_run(pysi.SynapticIntelligence(1.0), net=make(seed, xp=module), tasks=tasks(n=n))
        for module in (np, xp)
    ]
    host, device = (to_host(net.synapses.table) for net, _ in runs)
    assert np.allclose(host, device, rtol=1e-6, atol=1e-8)
    assert np.allclose(runs[0][1].test_accuracy, runs[1][1].test_accuracy, atol=0.02)


def both_devices(xp, rule, optimizer):
    """Return tables and penalties after the same run on NumPy and on the device."""
    tables, penalties = [], []
    for module in (np, xp):
        net, history = toy_run(rule, net=toy_net([1, 2], xp=module), optimizer=optimizer)
        tables.append(net.synapses)
        penalties.append(history.epochs[-1]["penalty"])
    return tables, penalties


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_agrees_with_numpy(xp, rule):
    """With SGD, a relative change of θ by 1e-15 changes no row by more than 2e-14 (relative)."""
    (host, device), penalties = both_devices(xp, rule, pysi.SGD(0.1))
    for row in ROWS:
        assert close(getattr(host, row), getattr(device, row), 1e-11), row
    assert np.allclose(*penalties, rtol=1e-9)
    assert (np.array(penalties[0]) > 0).all() or rule.name == "fine-tuning"


OTHERS = [
    pysi.L2(0.5), pysi.MAS(0.1), pysi.RWalk(0.5), pysi.SIU(0.5), pysi.SIB(0.5), pysi.SOS(0.5),
    pysi.LwF(1.0), pysi.LwF(1.0, warm_up=2, weighting="tasks"), pysi.Replay(3),
    pysi.Replay(capacity=9, weighting="tasks"), pysi.LowerRate(0.1),
    pysi.Together(pysi.SynapticIntelligence(0.5), pysi.LwF(1.0)),
]  # fmt: skip


@pytest.mark.parametrize("rule", OTHERS, ids=repr)
def test_every_other_rule_agrees_with_numpy(xp, rule):
    (host, device), penalties = both_devices(xp, rule, pysi.SGD(0.1))
    for row in ROWS:
        assert close(getattr(host, row), getattr(device, row), 1e-10), row
    assert np.allclose(*penalties, rtol=1e-9)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_agrees_with_numpy_under_adam(xp, rule):
    """Adam makes full steps even if gradients are tiny, such as rounding errors at EWC's optimum.

    A synapse on which the new task does not depend rests at θ̃, up to rounding. Its only gradient
    is 2cΩ(θ - θ̃), and as long as that is small beside ε, Adam steps over θ̃ to a larger distance:
    each step multiplies it by η 2cΩ / ε. So on NumPy, too, a change of θ by 1e-15 becomes 5e-3
    after the last task; no other row changes by more than 1e-13.
    """
    (host, device), _ = both_devices(xp, rule, pysi.Adam(0.01))
    for row in ROWS[1:] if rule.name == "ewc" else ROWS:
        assert close(getattr(host, row), getattr(device, row), 1e-10), row


def test_fishers_agree_with_numpy(xp):
    task, found = toy_tasks(n_tasks=1)[0], []
    for module in (np, xp):
        net, here = toy_net([3, 4], xp=module), task.to(module)
        exact = diagonal_fisher(net, here.x_train, here.active)
        found.append((exact, empirical_fisher(net, here.x_train, here.y_train, here.active)))
    assert all(close(host, device, 1e-12) for host, device in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("MLP", {"dropout": 0.3, "sizes": (12, 60, 60, 6)}),
        ("CNN", {"dropout": (0.1, 0.3), "hidden": 60}),
    ],
)
def test_dropout_draws_on_the_device(xp, network, options):
    make, tasks = NETWORKS[network]
    net = make([0, 1], xp=xp, **options)
    _, history = toy_run(pysi.FineTuning(), net=net, tasks=tasks())
    assert isinstance(net.synapses.table, xp.ndarray)
    assert (np.diagonal(history.train_accuracy, axis1=-2, axis2=-1) > 0.8).all()


def test_streams_of_a_device_depend_on_seed_and_key_alone(xp):
    one, again, other = (
        to_host(stream(0, "dropout", key, xp=xp).random(50, dtype=np.float32)) for key in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.isclose(one, other).any()
    assert 0.3 < one.mean() < 0.7


def test_tables_travel_between_devices(xp, tmp_path):
    net = toy_net(xp=xp)
    net.synapses.save(tmp_path / "s.npz")
    for module in (np, xp):
        again = pysi.Synapses.load(tmp_path / "s.npz", xp=module)
        assert np.array_equal(to_host(again.theta), to_host(net.synapses.theta))


@pytest.mark.parametrize("seed", [1, [1, 2]])
def test_a_stopped_run_goes_on_from_its_checkpoint(xp, seed, tmp_path):
    def run(name, stop=None):
        def interrupt(task, epoch):
            if (task, epoch) == stop:
                raise KeyboardInterrupt

        listeners = Checkpoint(tmp_path / name, {}), every_epoch(interrupt)
        rule = pysi.SynapticIntelligence(1.0)
        return toy_run(rule, net=toy_net(seed, xp=xp), listeners=listeners)[0]

    with pytest.raises(KeyboardInterrupt):
        run("a.npz", stop=(2, 1))
    tables = [to_host(run(name).synapses.table) for name in ("a.npz", "b.npz")]
    assert np.array_equal(*tables)


@pytest.mark.slow
def test_the_theory_agrees(xp):
    checks = claims.run(0, xp)
    assert len(checks) == len(claims.run(0))
    assert all(check.passed for check in checks)
    assert main(["theory", "--device", "cupy"]) == 0


def test_tf32_is_off_unless_it_is_asked_for(xp):
    rng = np.random.default_rng(0)
    a, b = (xp.asarray(rng.standard_normal((256, 256)).astype(np.float32)) for _ in range(2))
    exact, errors = to_host(a).astype(float) @ to_host(b).astype(float), {}
    for on in (False, True):
        with tensor_float_32(xp, on):
            errors[on] = abs(to_host(matmul(a, b)) - exact).max()
    assert errors[False] < 1e-4
    assert errors[True] > errors[False] or xp is strict_array
    config = SplitMNIST(device="cupy", tf32=True)
    assert config.tf32
    for wrong in ({"device": "numpy"}, {"device": "cupy", "dtype": "float64"}):
        with pytest.raises(pysi.ConfigError, match="tf32"):
            SplitMNIST(tf32=True, **wrong)


def test_replicas_fit_into_the_memory(xp, monkeypatch):
    config = SplitMNIST(device="cupy", hidden=(50,))
    cells = [Cell(config, "si", 1.0, seed) for seed in range(6)]
    one = bytes_of_one(cells[0], DIGITS)
    assert one > 8 * 4 * 784 * 50
    # the memory that a GPU's pool takes differs from one measurement to the next
    monkeypatch.setattr("pysi.experiments.replicas.bytes_of_one", lambda cell, dataset: one)
    monkeypatch.setattr("pysi.experiments.machine.free_memory", lambda device: 4 * one)
    assert [len(part.cells) for part in side_by_side(cells, DIGITS)] == [3, 3]


OPTIONS = "--epochs 1 --seeds 2 --jobs 1 --device cupy"


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "--vectorise"])
@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("split-mnist --tf32", 4),
        ("permuted-mnist --tasks 2 --hidden 20", 12),
        ("split-cifar --tasks 2 --hidden 9", 8),
    ],
)
def test_the_command_line(xp, small_cifar, tmp_path, monkeypatch, words, runs, more):
    data = small_cifar if "cifar" in words else DIGITS
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: data)
    out = str(tmp_path / "r")
    assert main(["run", *words.split(), *OPTIONS.split(), *more.split(), "--out", out]) == 0
    result = Result.load(out)
    assert result.content["environment"].keys() >= {"gpu", "cuda", "cupy"}
    assert result.content["complete"]
    assert len(result.runs) == runs
    assert main(["run", words.split()[0], "--resume", out]) == 0


def test_a_sweep(xp, tmp_path, monkeypatch):
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: DIGITS)
    words = f"sweep split-mnist --c 0 1 {OPTIONS} --vectorise"
    assert main([*words.split(), "--out", str(tmp_path / "s")]) == 0
    assert Sweep.load(tmp_path / "s").content["chosen"]["seeds"] == 2


@pytest.mark.gpu
def test_products_cannot_be_captured_in_a_cuda_graph_but_formulas_can():
    pytest.importorskip("cupy")
    try:
        cupy = device_namespace("cupy")
    except pysi.ConfigError as err:
        pytest.skip(str(err))
    net = toy_net(xp=cupy)
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.SGD(0.1)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    a = cupy.ones((4, 4))
    update = pysi.training.update
    update(net.synapses, optimizer, rule)  # compiles the kernel
    matmul(a, a)
    capture = cupy.cuda.Stream(non_blocking=True)
    with capture:
        capture.begin_capture()
        update(net.synapses, optimizer, rule)
        graph = capture.end_capture()
        graph.launch()
        capture.synchronize()
        capture.begin_capture()
        with pytest.raises(NotImplementedError, match="capture"):
            matmul(a, a)
        capture.end_capture()
