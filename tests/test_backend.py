"""The same lines run on NumPy, on a strict stand-in for a device, and on CuPy."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import namespace, stream, to_host
from pysi.backend.arrays import device_namespace
from pysi.training import Run, training_step
from strategies import (
    ready,
    seeds,
    toy_cnn,
    toy_dataset,
    toy_image_tasks,
    toy_net,
    toy_run,
    toy_tasks,
)

OPTIMIZERS = [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.01)]


@pytest.mark.smoke
def test_the_module_is_taken_from_the_array():
    assert namespace(np.zeros(2)) is np
    assert namespace(np.zeros(2).sum()) is np
    assert namespace(strict_array.zeros(2)) is strict_array


@pytest.mark.parametrize(
    "mix",
    [
        lambda a: a + np.ones(2),
        lambda a: np.ones(2) + a,
        lambda a: np.add(a, 1),
        lambda a: strict_array.add(a, np.ones(2)),
        lambda a: np.asarray(a),
        lambda a: float(a[0]),
        lambda a: list(a),
        lambda a: np.ones(2)[a],
        lambda a: a.__setitem__(0, np.ones(2)),
        lambda a: a.__iadd__(np.ones(2)),
    ],
)
def test_the_strict_double_refuses_implicit_conversion(mix):
    with pytest.raises(TypeError):
        mix(strict_array.zeros(2))


def kernel(operation, outputs="float32 o", inputs="float32 a, int64 k, bool c"):
    arrays = {"float32": np.full(2, 3, "f"), "int64": np.full(2, 7), "bool": np.full(2, True)}
    given = [entry.split()[0] for entry in (inputs + ", " + outputs).split(", ")]
    given = [strict_array.ndarray(arrays[dtype].copy()) for dtype in given]
    made = strict_array.ElementwiseKernel(inputs, outputs, operation, "test", preamble="")
    made(*given)
    return to_host(given[-1])[0].item()


@pytest.mark.parametrize(
    ("operation", "outputs", "expected"),
    [
        ("o = a + k;", "float32 o", 10),
        ("o = c + c;", "float32 o", 2),  # conditions become whole numbers
        ("o = c + c;", "bool o", True),
        ("int t = a / 2;\no = t;", "float32 o", 1),
        ("o = (float)k / a;", "float32 o", np.float32(7) / np.float32(3)),
        ("o = -c;", "float32 o", -1),
        ("bool t = k == 7;\no = t ? a : 5;", "float32 o", 3),
        ("o = 9;\nfloat t = o;\no = t + 1;", "float32 o", 10),  # a value that was written is read
        ("o = 0.1;", "float32 o", float(np.float32(0.1))),
        ("o = 0.1 * a;", "float32 o", float(np.float32(0.1 * 3))),  # in double
        ("o = sqrt(a) == sqrt(3.0);", "bool o", False),
    ],
)
def test_the_strict_double_computes_with_the_types_of_c(operation, outputs, expected):
    assert kernel(operation, outputs) == expected


@pytest.mark.parametrize(
    "operation",
    [
        "o = k / 2;", "o = sqrt(k);", "o = pow(a, 2.0);", "o = b;", "a = o;", "o = sin(a);",
        "o = pysi_abs(a);", "float a = 1;", "o = k if c else a;", "o = a",
    ],
)  # fmt: skip
def test_the_strict_double_refuses_what_is_not_c_or_loses_numbers(operation):
    with pytest.raises(
        (TypeError, KeyError, AssertionError, NameError, AttributeError, SyntaxError)
    ):
        kernel(operation)


def test_the_strict_double_wants_arrays_of_the_declared_types():
    made = strict_array.ElementwiseKernel("float32 a", "float32 o", "o = a;", "test")
    one, other = strict_array.ndarray(np.ones(2, "f")), strict_array.ndarray(np.ones(2))
    with pytest.raises(TypeError, match="expected float32"):
        made(one, other)
    with pytest.raises(ValueError, match="expected shape"):
        made(one, strict_array.ndarray(np.ones(1, "f")))


def test_the_strict_double_keeps_views_and_counts():
    a = strict_array.zeros((2, 3))
    a[1, :2][...] = 5
    assert a.get().tolist() == [[0, 0, 0], [5, 5, 0]]
    before = strict_array.syncs, strict_array.transfers
    assert a.max().item() == 5
    strict_array.asarray(np.ones(2))
    assert (strict_array.syncs, strict_array.transfers) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("seed", [4, [4, 9]])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_device_gives_numpy_s_numbers(optimizer, seed, dropout):
    nets, histories = zip(
        *(
            toy_run(
                pysi.SynapticIntelligence(1.0),
                net=toy_net(seed, xp=xp, dropout=dropout),
                optimizer=optimizer,
            )
            for xp in (np, strict_array)
        ),
        strict=True,
    )
    host, device = nets[0].synapses.table, nets[1].synapses.table
    assert namespace(device) is strict_array
    # the double and NumPy each have one block, and compute in the same order
    assert np.array_equal(host, to_host(device))
    assert np.array_equal(histories[0].test_accuracy, histories[1].test_accuracy)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_nothing_is_transferred_or_waited_for_inside_a_step(dropout):
    net = toy_net([0, 1], xp=strict_array, dropout=dropout)
    rule, optimizer = ready(net)
    task = toy_tasks()[0].to(strict_array)
    before = strict_array.syncs, strict_array.transfers
    for _ in range(3):
        training_step(net, optimizer, rule, task.x_train[:8], task.y_train[:8], task)
    assert (strict_array.syncs, strict_array.transfers) == before


@pytest.mark.parametrize(
    ("make", "tasks", "options", "launches"),
    [
        (toy_net, toy_tasks, {}, 30),
        (toy_net, toy_tasks, {"dropout": 0.5}, 36),
        (toy_cnn, toy_image_tasks, {}, 168),
        (toy_cnn, toy_image_tasks, {"fast": False}, 117),
    ],
)
def test_a_step_has_few_launches_and_copies_no_factor(make, tasks, options, launches):
    net, task = make(xp=strict_array, **options), tasks()[0].to(strict_array)
    rule, optimizer = ready(net)
    for again in (False, True):
        before = strict_array.launches, strict_array.copies
        training_step(net, optimizer, rule, task.x_train[:8], task.y_train[:8], task)
        if again:  # the first step makes the memory
            assert strict_array.launches - before[0] == launches
        assert strict_array.copies == before[1]


def test_an_epoch_copies_its_order_to_the_device_and_nothing_else():
    net, tasks = toy_net([0, 1], xp=strict_array), toy_tasks()[:1]
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.Adam(0.01)
    run, seen = Run(net, optimizer, rule, tasks, epochs=2, batch_size=16), []
    for event in run.learn():
        seen.append((type(event).__name__, strict_array.syncs, strict_array.transfers))
    steps = [counts for name, *counts in seen if name == "Step"]
    assert len(steps) == 2 * 5
    for epoch in (steps[:5], steps[5:]):
        assert all(counts == epoch[0] for counts in epoch)  # none in any step
    assert steps[5][1] == steps[0][1] + 1  # at its beginning an epoch copies only an order
    # its losses, whether the weights are finite, the mean loss, the penalty
    assert steps[5][0] == steps[0][0] + 4


def test_tasks_that_share_their_data_share_them_on_a_device_too():
    tasks, moved, before = pysi.permuted_tasks(toy_dataset(), 3), {}, strict_array.transfers
    here = [task.to(strict_array, moved) for task in [*tasks, *tasks]]
    assert strict_array.transfers == before + 4 + 1 + 2  # data, active classes, two orders
    assert here[0].x_train is here[2].x_train
    assert here[1].pixels is here[4].pixels is not here[2].pixels
    for task, one in zip(tasks, here, strict=False):
        assert np.array_equal(to_host(one.part("test")[0]), task.part("test")[0])


def test_tables_are_saved_from_and_loaded_to_a_device(tmp_path):
    net = toy_net(xp=strict_array)
    net.synapses.save(tmp_path / "s.npz")
    again = pysi.Synapses.load(tmp_path / "s.npz", xp=strict_array)
    assert np.array_equal(to_host(again.theta), to_host(net.synapses.theta))


@given(seeds, st.lists(st.one_of(st.text(min_size=1), st.integers(0, 99)), max_size=3))
def test_streams_depend_on_seed_and_key_alone(seed, key):
    a, b = (stream(seed, *key).random(4) for _ in range(2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, stream(seed, *key, "other").random(4))
    assert not np.array_equal(a, stream(seed + 1, *key).random(4))


def test_unknown_devices_are_config_errors(monkeypatch):
    with pytest.raises(pysi.ConfigError, match="'tpu'"):
        device_namespace("tpu")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(pysi.ConfigError, match="gpu-cuda13"):
        device_namespace("cupy")
