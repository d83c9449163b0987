"""The experiment in one file that the page on one's own code shows."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from pysi.cli import main
from pysi.errors import ConfigError
from pysi.experiments.protocols import PROTOCOLS, SplitMNIST
from pysi.experiments.result import Result

FILE = Path(__file__).parents[1] / "docs" / "examples" / "split_mnist_hsu.py"
NAME = "split-mnist-hsu"
SMALL = "--dataset mnist-5k --methods si --epochs 1 --tasks 2 --hidden 8 --seeds 1 --jobs 1"


@pytest.fixture
def protocol(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, NAME, None)  # so that the entry is gone after the test
    runpy.run_path(str(FILE))
    return PROTOCOLS[NAME]


def test_its_inputs_are_shifted_and_scaled(protocol, mnist_5k):
    for inputs, pixels, background in (
        ("padded", 1024, -0.1 / 0.2752), ("standardised", 784, -0.1307 / 0.3081), ("pixels", 784, 0)
    ):  # fmt: skip
        task, *_ = protocol(inputs=inputs).make_tasks(mnist_5k)
        assert task.x_train.shape[1] == pixels and task.x_train.dtype == np.float32
        assert task.x_train.min() == pytest.approx(background)
    tasks = protocol().make_tasks(mnist_5k)
    seen = np.concatenate([task.x_train for task in tasks])
    assert abs(seen.mean()) < 0.05 and abs(seen.std() - 1) < 0.05
    square = seen.reshape(-1, 32, 32)
    assert np.ptp(square[:, [0, 1, 30, 31]]) == np.ptp(square[:, :, [0, 1, 30, 31]]) == 0
    plain, *_ = SplitMNIST().make_tasks(mnist_5k)
    middle = square[: len(plain.x_train), 2:30, 2:30].reshape(-1, 784)
    np.testing.assert_allclose(middle * 0.2752 + 0.1, plain.x_train / 255, atol=1e-6)


def test_its_weights_and_biases_start_as_those_of_pytorch(protocol):
    synapses = protocol(weights="pytorch").make_network(0).synapses
    for group, n_in in (("dense1", 1024), ("dense2", 400), ("dense3", 400)):
        for name in ("W", "b"):
            theta = synapses.group(f"{group}.{name}").theta
            assert abs(theta).max() <= n_in**-0.5
            assert abs(theta).max() > 0.4 * n_in**-0.5  # the last layer has ten biases
    theirs = protocol(inputs="pixels", weights="glorot", hidden=(256, 256)).make_network(0)
    ours = SplitMNIST().make_network(0)
    assert np.array_equal(theirs.synapses.theta, ours.synapses.theta)


@pytest.mark.parametrize("weights", ["pytorch", "glorot"])
def test_its_network_has_the_dropout_and_the_units_that_are_asked_for(protocol, weights):
    net = protocol(weights=weights, units="maxout").make_network(0, dropout=0.5)
    kinds = [layer.kind for layer in net.layers]
    assert kinds == ["dense", "competition", "dropout"] * 2 + ["dense"]


@pytest.mark.parametrize("setting", ["inputs", "weights"])
def test_an_unknown_setting_is_refused(protocol, setting):
    with pytest.raises(ConfigError, match=f"^{setting}: expected one of .*, found 'other'"):
        protocol(**{setting: "other"})


def test_it_runs_and_goes_on_from_the_command_line(protocol, tmp_path, capsys):
    words = f"run {NAME} {SMALL} --scenario domain --out {tmp_path / 'one'}"
    assert main(words.split()) == 0
    assert main(f"run {NAME} --resume {tmp_path / 'one'} --seeds 2".split()) == 0
    found = Result.load(tmp_path / "one")
    assert found.content["config"]["inputs"] == "padded" and len(found.runs) == 2
    assert "3000     2 " in capsys.readouterr().out
