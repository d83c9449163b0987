"""Split CIFAR: its protocol, and a small run in which some networks begin from scratch."""

import re
import threading
from dataclasses import replace

import numpy as np
import pytest

import pysi
from pysi.backend.arrays import share_out
from pysi.cli import main
from pysi.experiments import machine
from pysi.experiments.cell import all_cells
from pysi.experiments.protocols import SplitCIFAR
from pysi.experiments.result import Result, key
from pysi.experiments.run import resume, start
from pysi.storage.checkpoint import Checkpoint
from pysi.threads import using
from test_cells import go_on
from test_experiments import numbers

CONFIG = SplitCIFAR(
    methods=("single", "si", "ewc", "online-ewc", "scratch"), c=(0.0, 0.1), seeds=1, epochs=2,
    tasks=3, hidden=(6,), batch_size=7, examples=9,
)  # fmt: skip
CELLS = {cell.name: cell for cell in all_cells(CONFIG)}


def run(dataset, out, tell=lambda event: None):
    result = start(CONFIG, dataset, out, list(CELLS.values()))
    return go_on(list(CELLS.values()), result, dataset, out, tell=tell)


@pytest.fixture(scope="module")
def finished(small_cifar, tmp_path_factory):
    """The result of all cells, its folder, and all epochs."""
    out = tmp_path_factory.mktemp("run") / "result"
    return *run(small_cifar, out)[::-1], out


def entry_of(result, name):
    (found,) = (entry for entry in result.runs if key(entry) == CELLS[name].key)
    return found


def test_the_default_is_the_paper_s_protocol():
    config = SplitCIFAR()
    assert (config.tasks, config.epochs, config.batch_size) == (6, 60, 256)
    assert (config.lr, config.hidden, config.seeds) == (1e-3, (512,), 5)
    assert (config.xi, config.clamp, config.reset_optimizer) == (1e-3, "cumulative", True)
    assert (config.methods, config.c) == (("si", "scratch"), (0.0, 0.01, 0.1))
    assert (config.dataset, config.examples, config.dtype) == ("cifar10-100", None, "float32")
    assert {cell.method for cell in all_cells(config)} == {"fine-tuning", "si", "scratch"}
    net, paper_s = (config.make_network(0, dropout=0.9), pysi.CNN(60, seed=0))
    assert net.synapses.shapes == paper_s.synapses.shapes
    assert np.array_equal(net.synapses.theta, paper_s.synapses.theta)
    assert [layer.p for layer in net.layers if layer.kind == "dropout"] == [0.25, 0.25, 0.5]


@pytest.mark.smoke
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": (512, 512)},
        {"tasks": 12},
        {"tasks": 0},
        {"examples": 0},
        {"examples": 2.5},
        {"methods": ("si", "dropout")},
        {"methods": ("progressive",)},
        {"scenario": "domain"},
        {"dataset": "mnist"},
    ],
    ids=str,
)
def test_bad_settings_are_config_errors_before_any_work(settings):
    with pytest.raises(pysi.ConfigError, match=f"^{next(iter(settings))}: "):
        SplitCIFAR(**settings)


def test_the_result_says_everything(finished):
    events, result, out = finished
    content = Result.load(out).content
    assert content["complete"]
    assert (content["experiment"], content["chance"]) == ("split-cifar", 0.1)
    assert content["task_names"][-1] == "CIFAR-100, 10 to 19"
    assert (content["environment"]["blas_threads"], result.threads) == (1, machine_threads())
    assert content["environment"]["image_threads"] == machine_threads()
    shapes = {entry["method"]: np.shape(entry["test_accuracy"]) for entry in result.runs}
    assert shapes.pop("single") == (1, 1)
    others = ("fine-tuning", "si", "ewc", "online-ewc", "scratch")
    assert shapes == dict.fromkeys(others, (3, 3))
    assert all(blas["num_threads"] == 1 for entry in result.runs for blas in entry["blas"])
    correlations = entry_of(result, "si-c0.1-seed0")["omega_correlation"]
    assert list(correlations) == [*(f"conv{i}.W" for i in (1, 2, 3, 4)), "dense1.W", "dense2.W"]
    assert entry_of(result, "scratch-seed0")["omega_correlation"] is None


def machine_threads():
    """One job has all cores."""
    return machine.require("joblib").cpu_count()


def test_task_1_is_trained_once_for_all(finished):
    events, result, _ = finished
    assert len(events) == len(set(events)) == 2 + 5 * 4
    assert {name for name, task, _ in events if task == 1} == {"single-seed0"}
    for name in CELLS:
        assert entry_of(result, name)["epochs"][:2] == entry_of(result, "single-seed0")["epochs"]


def alone(task, tasks):
    """Return a network that learns only this task."""
    net, sizes = CONFIG.make_network(0), {"epochs": 2, "batch_size": CONFIG.batch_size}
    with using(1, images=True):
        history = pysi.train(
            net, CONFIG.make_optimizer(), pysi.FineTuning(), [task], tested=tasks, **sizes
        )
    losses = [epoch["loss"] for epoch in history.epochs]
    return net, losses, history.test_accuracy[0].tolist()


def test_from_scratch_is_each_task_alone(finished, small_cifar):
    _, result, out = finished
    tasks, entry = CONFIG.make_tasks(small_cifar), entry_of(result, "scratch-seed0")
    for i, task in enumerate(tasks):
        net, losses, found = alone(task, tasks)
        assert [epoch["loss"] for epoch in entry["epochs"][2 * i :][:2]] == losses
        assert entry["test_accuracy"][i] == found
    saved = pysi.Synapses.load(out / entry["synapses"])
    assert np.array_equal(saved.theta, net.synapses.theta)
    assert not np.array_equal(saved.theta, CONFIG.make_network(0).synapses.theta)


class Stopped(Exception):
    pass


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_other_threads_and_ends_with_the_same_bits(
    finished, small_cifar, tmp_path, monkeypatch
):
    _, expected, folder = finished
    save = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda *args, due: save(*args, due=True))
    seen = []

    def stop(event):
        seen.append(event)
        if len(seen) in (1, 4, 12, 19):
            raise Stopped

    for threads in (1, 3, 2, 1, 3):
        try:
            if seen:
                again, config = resume(tmp_path)
                assert config == CONFIG
                again.content["environment"]["image_threads"] = threads  # a machine with more cores
                result, _ = go_on(list(CELLS.values()), again, small_cifar, tmp_path, tell=stop)
            else:
                result, _ = run(small_cifar, tmp_path, stop)
        except Stopped:
            continue
    assert len(seen) == len(set(seen)) == 22
    assert numbers(result) == numbers(expected)
    for path in (folder / "synapses").iterdir():
        one, other = (pysi.Synapses.load(root / "synapses" / path.name)
                      for root in (folder, tmp_path))  # fmt: skip
        assert np.array_equal(one.table, other.table), path


def test_other_settings_are_refused(small_cifar, tmp_path):
    cell = CELLS["scratch-seed0"]
    cell.checkpoint(tmp_path, 2).save({}, {}, due=True)
    assert cell.checkpoint(tmp_path, 3).load() == ({}, {})
    other = replace(cell, config=replace(CONFIG, examples=8))
    with pytest.raises(pysi.ConfigError, match="examples = 8, found 9"):
        other.checkpoint(tmp_path, 2).load()


@pytest.mark.parametrize(("images", "blas", "others"), [(True, 1, 2), (False, 2, 1)])
def test_cores_are_shared_out_as_threads_for_images_or_for_blas(
    small_cifar, tmp_path, monkeypatch, images, blas, others
):
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.setattr(SplitCIFAR, "takes_images", images)
    result = start(CONFIG, small_cifar, tmp_path, list(CELLS.values()), jobs=2)
    environment = result.content["environment"]
    assert (environment["blas_threads"], environment["image_threads"]) == (blas, others)
    assert result.threads == 2
    seen = set()
    with using(result.threads, images=images):
        barrier = threading.Barrier(others, timeout=30)
        share_out(lambda i: seen.add((barrier.wait(), threading.get_ident())), others)
        assert {pool["num_threads"] for pool in machine.blas()} == {blas}
    assert len({thread for _, thread in seen}) == others


def test_the_end_of_a_curve_is_the_last_row_or_what_each_task_reached_alone():
    matrices = np.random.default_rng(0).random((2, 3, 3))
    runs = [
        {"method": method, "c": 0.0, "seed": seed, "xi": 1, "test_accuracy": matrix.tolist()}
        for method in ("scratch", "fine-tuning")
        for seed, matrix in enumerate(matrices)
    ]
    result = Result({"runs": runs})
    expected = [[matrix[i, i] for i in range(3)] for matrix in matrices]
    assert np.array_equal(result.final("scratch"), expected)
    assert np.array_equal(result.final("fine-tuning"), matrices[:, 2])
    assert len(result.final("single")) == 0


@pytest.mark.smoke
def test_help_shows_the_settings_that_an_experiment_has(capsys):
    shown = {}
    for words in ("run split-cifar", "sweep split-cifar", "run split-mnist"):
        with pytest.raises(SystemExit):
            main([*words.split(), "--help"])
        shown[words] = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    common = (
        "--help --methods --c --seeds --epochs --xi --clamp --tasks --hidden --reset-optimizer "
        "--no-reset-optimizer --dtype --device --tf32 --dataset --preset --data --out --csv --jobs "
        "--resume --vectorise --no-compile --scenario --strengths"
    ).split()
    assert shown["run split-cifar"] == {*common, "--examples", "--ewc-c"}
    assert shown["sweep split-cifar"] == {*common, "--examples", "--ewc-c", "--dask"}
    assert shown["run split-mnist"] == {*common, "--ewc-c", "--classes", "--units", "--pieces"}
