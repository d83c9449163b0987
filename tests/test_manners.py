"""What users see: networks that are saved, copied and asked; objects that say what they are."""

import copy
import json
import pickle

import numpy as np
import pytest

import pysi
from pysi.layers import Dense, Dropout, Layer, ReLU
from strategies import toy_cnn, toy_net, toy_run, toy_tasks


class Scale(Layer):
    """A user's layer, which keeps its argument."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def forward(self, x, memory):
        return x * self.factor, None

    def backward(self, dy, kept, memory):
        return dy * self.factor


class Forgetful(Scale):
    """A user's layer that does not keep what it was made with."""

    def __init__(self, by):
        super().__init__(by)


def learned(net):
    net, _ = toy_run(pysi.SynapticIntelligence(1.0), net=net, epochs=1)
    return net


NETWORKS = {
    "mlp": lambda: learned(toy_net(3)),
    "several": lambda: learned(toy_net([3, 4], dtype=np.float64)),
    "cnn": lambda: toy_cnn(2),
    "user": lambda: pysi.Network([Dense(12, 5), ReLU(), Scale(0.5), Dropout(0.25), Dense(5, 6)]),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_saved_network_is_the_same_network(kind, tmp_path):
    net = NETWORKS[kind]()
    net.save(tmp_path / "net.npz")
    for cls in (pysi.Network, type(net)):
        loaded = cls.load(tmp_path / "net.npz")
        assert type(loaded) is cls
        assert repr(loaded.layers) == repr(net.layers)
        assert (loaded.seeds, loaded.learned, loaded.shapes) == (net.seeds, net.learned, net.shapes)
        for row in ("theta", "omega", "Omega", "theta_ref"):
            held, read = getattr(net.synapses, row), getattr(loaded.synapses, row)
            assert held.dtype == read.dtype and held.tobytes() == read.tobytes()
        x = np.random.default_rng(0).random((3, *net.input_shape), np.float32)
        assert np.array_equal(net.logits(x), loaded.logits(x))


def test_a_layer_that_cannot_be_written_down_is_a_config_error(tmp_path):
    net = pysi.Network([Dense(12, 5), Forgetful(3), Dense(5, 6)])
    with pytest.raises(pysi.ConfigError, match="Forgetful: expected its argument 'by'"):
        net.save(tmp_path / "net.npz")
    assert not list(tmp_path.iterdir())
    assert "Forgetful(…)" in repr(net)


def test_a_file_with_unknown_layers_imports_nothing(tmp_path):
    class Local(Scale):
        pass

    pysi.Network([Dense(12, 5), Local(), Dense(5, 6)]).save(tmp_path / "net.npz")
    name = Local.__qualname__
    Local.__qualname__ = "Elsewhere"
    with pytest.raises(pysi.ConfigError, match=f"found '.*{name}'; import .* first"):
        pysi.Network.load(tmp_path / "net.npz")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"text"])
def test_a_file_that_is_no_network_is_a_data_error(content, tmp_path):
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(pysi.DataError, match="net.npz"):
        pysi.Network.load(tmp_path / "net.npz")


def test_a_table_is_no_network(tmp_path):
    toy_net().synapses.save(tmp_path / "table.npz")
    with pytest.raises(pysi.DataError, match="table.npz: expected a network"):
        pysi.Network.load(tmp_path / "table.npz")


@pytest.mark.parametrize("make", [lambda net: net.copy(), copy.deepcopy])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_copy_has_no_ties(kind, make):
    net = NETWORKS[kind]()
    other, before = make(net), net.synapses.table.copy()
    assert type(other) is type(net) and other.learned == net.learned
    assert np.array_equal(other.synapses.table, before)
    other.initialise()
    other.synapses.table[...] = 0.1
    assert np.array_equal(net.synapses.table, before)
    x = np.random.default_rng(0).random((3, *net.input_shape), np.float32)
    net.synapses.theta[...] = 0
    assert (net.logits(x) == 0).all() and (other.logits(x) != 0).any()


def test_copies_that_are_made_together_stay_together():
    """A network, its optimizer and its rule go on as the originals do, bit for bit."""
    tasks, options = toy_tasks(), {"epochs": 1, "batch_size": 16, "reset_optimizer": False}
    first = toy_net(1), pysi.Adam(0.01), pysi.SynapticIntelligence(1.0)
    pysi.train(*first, tasks[:1], **options)
    second = copy.deepcopy(first)
    assert second[2].synapses is second[0].synapses is second[1].synapses
    for trio in (first, second):
        pysi.train(*trio, tasks[1:], **options)
    assert first[0].synapses.table.tobytes() == second[0].synapses.table.tobytes()


@pytest.mark.parametrize("what", [lambda net: net, lambda net: net.synapses])
def test_pickling_says_what_to_do_instead(what):
    with pytest.raises(pysi.ConfigError, match="method save"):
        pickle.dumps(what(toy_net()))


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_a_network_predicts_active_classes(seed):
    net, x = toy_net(seed), np.random.default_rng(0).random((9, 12))
    active = np.array([False, True, False, True, False, False])
    classes = net.predict(x, active)
    assert classes.shape == (*net.synapses.lead, 9) and set(np.unique(classes)) <= {1, 3}
    assert np.array_equal(classes, net.logits(x)[..., [1, 3]].argmax(axis=-1) * 2 + 1)
    assert np.array_equal(net.predict(x[4], active), classes[..., 4])
    assert np.array_equal(net.predict(x), net.logits(x).argmax(axis=-1))


@pytest.mark.parametrize("active", [[1, 3], np.array([1, 3]), np.ones(5, bool), np.zeros(6, bool)])
def test_active_must_be_a_mask(active):
    with pytest.raises(pysi.ConfigError, match="active: expected"):
        toy_net().predict(np.zeros((2, 12)), active)


def test_a_network_s_repr_is_a_table():
    lines = repr(pysi.MLP((784, 256, 10), dropout=0.5, seed=3)).splitlines()
    assert lines[0] == "MLP: 203,530 synapses, float32, input (784,), seed 3"
    assert lines[2].split() == ["dense1", "(256,)", "200,960", "Dense(784,", "256)"]
    assert [line.split()[0] for line in lines[1:]] == [
        "layer", "dense1", "relu1", "dropout1", "dense2"
    ]  # fmt: skip
    assert "seeds [1, 2]" in repr(pysi.MLP((4, 2), seed=[1, 2]))


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (pysi.Adam(), "Adam(lr=0.001)"),
        (pysi.Adam(0.01, betas=(0.5, 0.9)), "Adam(lr=0.01, betas=(0.5, 0.9))"),
        (pysi.Momentum(0.1), "Momentum(0.1)"),
        (pysi.SynapticIntelligence([0.5, 1], xi=0.1), "SynapticIntelligence(c=[0.5, 1.0], xi=0.1)"),
        (pysi.EWC(100), "EWC(100.0)"),
        (pysi.FineTuning(), "FineTuning()"),
        (Dense(3, 2, zero=True), "Dense(3, 2, zero=True)"),
    ],
)
def test_objects_show_what_they_were_made_with(made, shown):
    assert repr(made) == shown


def test_a_repr_follows_what_changes():
    optimizer = pysi.SGD(0.1)
    optimizer.lr = 0.05
    assert repr(optimizer) == "SGD(0.05)"


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_a_history_comes_out_as_rows(seed):
    _, history = toy_run(pysi.FineTuning(), net=toy_net(seed), epochs=1)
    rows = history.rows()
    several = isinstance(seed, list)
    assert len(rows) == 9 * (2 if several else 1)
    assert json.loads(json.dumps(rows)) == rows
    last = rows[-1]
    assert (last["learned"], last["tested"], last["name"]) == (3, 3, "4 or 5")
    assert last["test_accuracy"] == history.test_accuracy.reshape(-1)[-1]
    assert last.get("network") == (2 if several else None)
    assert json.loads(json.dumps(history.as_dict()))["task_names"] == ["0 or 1", "2 or 3", "4 or 5"]
    assert repr(history).startswith("<History of 3 of 3 tasks") and len(repr(history)) < 120


def test_an_unfinished_history_is_json_too():
    run = pysi.training.Run(
        toy_net(), pysi.Adam(), pysi.FineTuning(), toy_tasks(), epochs=1, batch_size=16
    )
    assert run.history.rows() == []
    assert (
        json.loads(json.dumps(run.history.as_dict(), allow_nan=False))["test_accuracy"]
        == [[None] * 3] * 3
    )
    assert repr(run.history) == "<History of 0 of 3 tasks>"


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_accuracy_per_epoch_without_a_loop(seed):
    def run(*listeners):
        return toy_run(pysi.SynapticIntelligence(1.0), net=toy_net(seed), epochs=2,
                       listeners=listeners)  # fmt: skip

    net, history = run(pysi.EpochAccuracy(), pysi.EpochAccuracy("train"))
    plain, _ = run()
    assert net.synapses.table.tobytes() == plain.synapses.table.tobytes()  # it only looks
    for part in ("test", "train"):
        found = np.array([entry[f"{part}_accuracy"] for entry in history.epochs])
        assert found.shape == (6, *net.synapses.lead, 3)
        # at a task's last epoch it is what the history has
        accuracy = np.moveaxis(getattr(history, f"{part}_accuracy"), -2, 0)
        assert np.array_equal(found[1::2], accuracy)
    json.dumps(history.epochs)
