"""Bad input gets one sentence before any work, which names what is wrong and what was expected."""

from dataclasses import replace

import numpy as np
import pytest

import pysi
from pysi.layers import Dense, ReLU
from strategies import toy_cnn, toy_net, toy_tasks


class Frame:
    """Like a pandas DataFrame: it has a shape, but is no array."""

    shape, dtypes = (80, 12), {}

    def __len__(self):
        return 80


def train(**changes):
    arguments = {"net": toy_net(), "optimizer": pysi.Adam(), "rule": pysi.FineTuning(),
                 "tasks": toy_tasks(), "epochs": 1, "batch_size": 16} | changes  # fmt: skip
    net, *others = (arguments.pop(name) for name in ("net", "optimizer", "rule", "tasks"))
    before = net.synapses.table.copy() if isinstance(net, pysi.Network) else None
    try:
        return pysi.train(net, *others, **arguments)
    finally:
        if before is not None:
            assert np.array_equal(net.synapses.table, before)


def task(**changes):
    return replace(toy_tasks()[0], **changes)


Y = toy_tasks()[0].y_train
X = toy_tasks()[0].x_train


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (Y[:, None], r"\(N,\).*found shape \(80, 1\); use y\[:, 0\]"),
        (np.eye(6, dtype=int)[Y], r"\(80, 6\); y.argmax\(axis=1\) makes labels of one-hot rows"),
        (Y.tolist(), "found builtins.list; use numpy.asarray"),
        (Y.astype(float), "found one of float64"),
        (Y.astype(bool), "found one of bool"),
        (Y.astype(str), "found one of <U"),
        (Y + 2, "labels from 2 to 3"),
        (Y - 1, "labels from -1 to 0"),
        (Y[:-1], "found 80 inputs and 79 labels"),
        (None, "found builtins.NoneType"),
    ],
)
def test_labels(labels, named):
    with pytest.raises(pysi.ConfigError, match=f"task '0 or 1': train.*{named}"):
        task(y_train=labels)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint16, np.int64])
def test_labels_of_any_whole_type_give_the_same_bits(dtype):
    tables = []
    for labels in (Y, Y.astype(dtype)):
        net = toy_net()
        pysi.train(net, pysi.Adam(), pysi.FineTuning(), [task(y_train=labels)], epochs=1,
                   batch_size=16)  # fmt: skip
        tables.append(net.synapses.table.tobytes())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        (X.astype(int), "floats, or unsigned bytes .* found one of int64"),
        (X > 0, "found one of bool"),
        (X.astype(str), "found one of <U"),
        (X.astype(object), "found one of object"),
        (X.astype(np.uint16), "found one of uint16"),
        (X.astype(complex), "found one of complex128"),
        (X.tolist(), "found builtins.list"),
        (Frame(), "found test_bad_input.Frame; use numpy.asarray"),
        ("digits", "found builtins.str"),
        (None, "found builtins.NoneType"),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_inputs(inputs, named, part):
    with pytest.raises(pysi.ConfigError, match=f"task '0 or 1': {part} inputs: expected.*{named}"):
        task(**{f"x_{part}": inputs})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("part", ["train", "test"])
def test_inputs_that_are_not_finite_are_named_with_the_example(value, part):
    x = X.astype(float)
    x[17, 3] = x[19] = value
    named = f"task '0 or 1': {part} inputs: .* in 2 of 80 examples, the first in example 17"
    with pytest.raises(pysi.ConfigError, match=named):
        train(net=toy_net(dtype=np.float32), tasks=[task(**{f"x_{part}": x})])
    if value == 1e39:  # which float64 holds
        net = toy_net(dtype=np.float64)
        wide = [task(x_train=np.minimum(x, 1e3), x_test=x)]
        pysi.train(net, pysi.SGD(1e-9), pysi.FineTuning(), wide, epochs=1, batch_size=16)


@pytest.mark.parametrize("largest", [2, 16, 63])
def test_bytes_that_are_no_pixels_are_said(largest):
    """scikit-learn's digits go from 0 to 16, and are not to be divided by 255."""
    x = (X % (largest + 1)).astype(np.uint8)
    x[0, 0] = largest
    dark = task(x_train=x, x_test=x)
    named = f"unsigned bytes are pixels .* highest here is {largest}.* x / {largest}"
    with pytest.warns(UserWarning, match=named) as told:
        pysi.train(toy_net(), pysi.Adam(), pysi.FineTuning(), [dark] * 3, epochs=1, batch_size=16)
    assert len(told) == 1 and told[0].filename == __file__


def test_masks_and_pictures_are_pixels():
    for x in (X, X * 0, X % 2):  # a black image, and one of bits, are what they are
        pysi.train(toy_net(), pysi.Adam(), pysi.FineTuning(), [task(x_train=x, x_test=x)],
                   epochs=1, batch_size=16)  # fmt: skip


@pytest.mark.parametrize(
    ("active", "named"),
    [
        ([0, 1], "found builtins.list"),
        (np.array([0, 1]), "found one of int64"),
        (np.zeros(6, bool), "with 0 True"),
        (np.ones((2, 3), bool), r"shape \(2, 3\)"),
        (None, "found builtins.NoneType"),
    ],
)
def test_active_is_a_mask(active, named):
    with pytest.raises(pysi.ConfigError, match=f"task '0 or 1': active: .*{named}"):
        task(active=active)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [2.0, 1.5, 0, -1, np.inf, np.nan, None, "3", True, [1], 1e3])
def test_counts_are_whole_numbers(name, value):
    with pytest.raises(pysi.ConfigError, match=f"{name}: expected a whole number from 1, found"):
        train(**{name: value})


@pytest.mark.parametrize("count", [np.int64(1), np.array(1)])
def test_counts_may_be_numpy_s(count):
    pysi.train(toy_net(), pysi.Adam(), pysi.FineTuning(), toy_tasks(), epochs=count, batch_size=16)


@pytest.mark.parametrize("threads", [0, 1.0, "2", -1])
def test_threads_are_a_whole_number(threads):
    with pytest.raises(pysi.ConfigError, match="threads: expected a whole number from 1"):
        train(threads=threads, rule=pysi.SynapticIntelligence(1.0))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"net": None}, "net: expected a Network, found None"),
        ({"net": pysi.MLP}, r"net: expected a Network, found the class MLP; write MLP\(…\)"),
        ({"optimizer": pysi.Adam}, "optimizer: expected an Optimizer, found the class Adam"),
        ({"optimizer": "adam"}, "optimizer: expected an Optimizer, found 'adam'"),
        ({"rule": pysi.EWC}, "rule: expected a Rule, found the class EWC"),
        ({"rule": None}, "rule: expected a Rule, found None"),
        ({"tasks": toy_tasks()[0]}, r"tasks: .* found Task.*; write it in brackets"),
        ({"tasks": "mnist"}, "tasks: expected a list of Task objects, found 'mnist'"),
        ({"tasks": [toy_tasks()]}, "tasks: expected a Task, found"),
        ({"tasks": None}, "tasks: expected a list of Task objects, found None"),
        ({"tested": []}, "tested: expected at least one Task"),
        ({"listeners": ["cp.npz"]}, "listeners: expected functions of an event, found 'cp.npz'"),
        ({"listeners": "cp.npz"}, "listeners: expected a list of functions of an event"),
        ({"listeners": [pysi.EpochAccuracy]}, "found the class EpochAccuracy"),
        ({"listeners": print}, "listeners: expected a list"),
        ({"checkpoint": "cp.npz"}, "checkpoint"),
    ],
)
def test_what_is_trained(changes, named):
    with pytest.raises(pysi.ConfigError, match=named):
        train(**changes)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: pysi.Adam("1e-3"), "lr: expected a positive learning rate, found '1e-3'"),
        (lambda: pysi.Adam(-1), "lr: .* found -1"),
        (lambda: pysi.Adam(np.nan), "lr: .* found nan"),
        (lambda: pysi.Adam(None), "lr: .* found None"),
        (lambda: pysi.Adam(True), "lr: .* found True"),
        (lambda: pysi.SGD([0.1]), r"lr: .* found \[0.1\]"),
        (lambda: pysi.SGD(10**400), "lr: expected a positive learning rate"),
        (lambda: pysi.Adam(betas=0.9), "betas: expected two decays"),
        (lambda: pysi.Adam(betas=(0.9,)), "betas: expected two decays"),
        (lambda: pysi.Adam(betas=(0.9, 1.0)), "betas: expected 0 ≤ beta < 1, found 1.0"),
        (lambda: pysi.Adam(betas=("0.9", 0.9)), "betas: expected 0 ≤ beta < 1, found '0.9'"),
        (lambda: pysi.Adam(betas=(np.nan, 0.9)), "betas: expected 0 ≤ beta < 1, found nan"),
        (lambda: pysi.Adam(eps=np.inf), "eps: expected a positive number, found inf"),
        (lambda: pysi.Adam(eps=0), "eps: expected a positive number, found 0"),
        (lambda: pysi.Momentum(0.1, 1), "momentum: expected 0 ≤ momentum < 1, found 1"),
        (lambda: pysi.SynapticIntelligence("1"), "c: expected a finite strength c ≥ 0.*'1'"),
        (lambda: pysi.SynapticIntelligence(None), "c: expected .* found None"),
        (lambda: pysi.SynapticIntelligence([]), "c: expected"),
        (lambda: pysi.SynapticIntelligence(True), "c: expected .* found True"),
        (lambda: pysi.SynapticIntelligence([1, [2]]), "c: expected"),
        (lambda: pysi.SynapticIntelligence(xi="0"), "xi: expected"),
        (lambda: pysi.SynapticIntelligence(clamp=None), "clamp: expected one of"),
        (lambda: pysi.SynapticIntelligence(clamp=["none"]), "clamp: expected one of"),
        (lambda: pysi.MLP((12, 6), dtype=np.float16), "dtype: expected float32 or float64"),
        (lambda: pysi.MLP((12, 6), dtype=int), "dtype: expected float32 or float64"),
        (lambda: pysi.MLP((12, 6), dtype="float"), None),
        (lambda: pysi.MLP((12, 6), dtype="real"), "dtype: expected float32 or float64, found 'r"),
        (lambda: pysi.MLP(12), "sizes: expected two or more"),
        (lambda: pysi.MLP((12,)), "sizes: expected two or more"),
        (lambda: pysi.MLP((12, 4.0, 6)), "sizes: expected a whole number from 1, found 4.0"),
        (lambda: pysi.MLP((12, 0, 6)), "sizes: expected a whole number from 1, found 0"),
        (lambda: pysi.MLP("12"), "sizes: expected"),
        (lambda: pysi.MLP((12, 6), seed=-1), "seed: expected whole numbers from 0, found -1"),
        (lambda: pysi.MLP((12, 6), seed=1.0), "seed: expected whole numbers"),
        (lambda: pysi.MLP((12, 6), seed=None), "seed: expected whole numbers"),
        (lambda: pysi.MLP((12, 6), seed=True), "seed: expected whole numbers"),
        (lambda: pysi.MLP((12, 6), dropout="0.5"), "dropout: expected 0 ≤ dropout < 1"),
        (lambda: pysi.MLP((12, 6), dropout=1), "dropout: expected 0 ≤ dropout < 1"),
        (lambda: pysi.MLP((12, 6), activation=ReLU), "activation: expected one of .* ReLU"),
        (lambda: pysi.Network([]), "layers: expected at least one Layer"),
        (lambda: pysi.Network(None), "layers: expected a list of Layer objects, found None"),
        (
            lambda: pysi.Network(Dense(2, 3)),
            "layers: .* of Layer objects, found Dense",
        ),
        (lambda: pysi.Network([Dense(12, 6), ReLU]), "layers: .* found the class ReLU"),
        (lambda: pysi.Network([Dense(12, 5), Dense(4, 3)]), r"expected 4 features .* \(5,\)"),
        (lambda: pysi.Network([ReLU()], input_shape=3), "input_shape: expected whole numbers"),
        (lambda: pysi.Network([ReLU()], input_shape=(3.0,)), "input_shape: .* found 3.0"),
        (lambda: pysi.MLP(((3, 4), (1, 2))), "sizes: expected two or more"),
        (lambda: pysi.MLP(((3, 4), (1,))), "sizes: expected two or more"),
        (lambda: pysi.Network([ReLU()]), "input_shape: expected the shape of one example"),
        (lambda: Dense(3.0, 2), "n_in: expected a whole number from 1, found 3.0"),
        (lambda: Dense(3, "2"), "n_out: expected a whole number from 1, found '2'"),
        (lambda: pysi.split_tasks("mnist"), "dataset: expected a data set, as load_dataset"),
        (lambda: pysi.permuted_tasks(None), "dataset: expected a data set"),
    ],
)
def test_what_is_made(make, named):
    if named is None:
        make()
        return
    with pytest.raises(pysi.ConfigError, match=named):
        make()


@pytest.mark.parametrize(
    "layers", [[Dense(12, 6), ReLU()], [Dense(12, 6), pysi.layers.Dropout(0.5)]]
)
def test_a_network_that_is_trained_ends_in_weights(layers):
    with pytest.raises(pysi.ConfigError, match="net: expected a last layer with weights"):
        train(net=pysi.Network(layers))


def test_a_network_that_is_trained_ends_in_units():
    net = pysi.Network(toy_cnn().layers[:2], input_shape=toy_cnn().input_shape)
    with pytest.raises(pysi.ConfigError, match="one output per class.* output "):
        train(net=net)


@pytest.mark.parametrize(
    ("x", "named"),
    [
        ([[0.0] * 12], "found builtins.list"),
        ([0.0] * 12, "found builtins.list"),
        (np.zeros((2, 12), int), "found one of int64"),
        (np.zeros((2, 12), bool), "found one of bool"),
        (np.zeros((2, 12), object), "found one of object"),
        (np.full((2, 12), "a"), "found one of <U1"),
        (Frame(), "found test_bad_input.Frame"),
        (np.zeros((2, 11)), "expected inputs of shape"),
        (np.zeros(12), "expected inputs of shape"),
    ],
)
@pytest.mark.parametrize("call", ["forward", "logits", "predict"])
def test_what_a_network_is_asked(x, named, call):
    if call == "predict" and np.shape(x) == (12,) and isinstance(x, np.ndarray):
        assert toy_net().predict(x) in range(6)  # a single example
        return
    with pytest.raises(pysi.ConfigError, match=f"x: .*{named}"):
        getattr(toy_net(), call)(x)


def test_forward_by_hand_has_random_streams_of_its_own():
    """Dropout by hand neither needs a stream nor takes numbers away from training's."""
    x = np.random.default_rng(0).random((4, 12))
    tables = []
    for by_hand in (False, True):
        net = pysi.MLP((12, 20, 6), dropout=0.5)
        if by_hand:
            assert (net.forward(x, train=True) != net.forward(x, train=True)).any()
        pysi.train(net, pysi.Adam(), pysi.FineTuning(), toy_tasks(), epochs=1, batch_size=16)
        tables.append(net.synapses.table.tobytes())
    assert tables[0] == tables[1]
