"""Cells that are trained side by side, in one table: each ends where it would have ended alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strict_array
from pysi.cli import main
from pysi.experiments import machine, replicas
from pysi.experiments.cell import Cell, all_cells
from pysi.experiments.outcomes import run_cell
from pysi.experiments.protocols import PermutedMNIST, SplitCIFAR, SplitMNIST
from pysi.experiments.replicas import SHARE, Replicas, bytes_of_one, side_by_side
from pysi.experiments.result import Result
from pysi.experiments.run import execute, resume, start
from pysi.experiments.sweep import Sweep
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.tables import SAVED
from pysi.synapses import Synapses
from pysi.threads import using
from test_cells import Stopped, go_on
from test_experiments import numbers

DIGITS = {"seeds": 2, "epochs": 2, "dataset": "mnist-5k"}
PERMUTED = PermutedMNIST(
    methods=("single", "si", "ewc", "online-ewc", "dropout", "joint"), c=(0, 0.1), ewc_c=(9, 30),
    tasks=3, hidden=(20,), batch_size=47, **DIGITS,
)  # fmt: skip
SPLIT = SplitMNIST(methods=("fine-tuning", "si"), c=(1, 10), tasks=2, hidden=(8,), **DIGITS)
CIFAR = SplitCIFAR(
    methods=("si", "ewc", "scratch"), c=(0, 1e3), ewc_c=(10,), seeds=2, epochs=2, tasks=2,
    hidden=(6,), batch_size=5, examples=11,
)  # fmt: skip
TOGETHER = {
    PERMUTED: {"single": 2, "si": 4, "ewc": 4, "online-ewc": 4, "dropout": 2, "joint": 2},
    SPLIT: {"si": 6},
    CIFAR: {"si": 4, "ewc": 2, "scratch": 2},
}
WORDS = "split-mnist --dataset mnist-5k --epochs 1 --tasks 2 --hidden 8 --seeds 2 --jobs 1"


def run(config, dataset, out, vectorise=True):
    result = start(config, dataset, out, all_cells(config), vectorise=vectorise)
    return result, out, go_on(all_cells(config), result, dataset, out)[1]


@pytest.fixture(scope="module")
def dataset(mnist_5k):
    parts = ("x_train", "y_train", "x_test", "y_test")
    return replace(mnist_5k, **{part: getattr(mnist_5k, part)[::5] for part in parts})


@pytest.fixture(scope="module")
def alone(dataset, small_cifar, tmp_path_factory):
    """By protocol: its data, and what cells that are trained one by one leave."""
    data = {PERMUTED: dataset, SPLIT: dataset, CIFAR: small_cifar}
    return {c: (data[c], run(c, data[c], tmp_path_factory.mktemp(c.name), False)) for c in data}


def check_same(found, expected):
    """All numbers and all files are the same, bit for bit."""
    (result, out, *_), (other, folder, *_) = found, expected
    entries = [{k: v for k, v in entry.items() if k != "replicas"} for entry in numbers(result)]
    assert entries == numbers(other)
    for name in [entry["synapses"] for entry in entries]:
        one, two = (Synapses.load(root / name) for root in (out, folder))
        for row in SAVED:
            assert np.array_equal(getattr(one, row), getattr(two, row)), (name, row)
    files = [sorted(path.name for path in root.glob("omega/*")) for root in (out, folder)]
    assert files[0] == files[1] != []
    for name in files[0]:
        assert np.array_equal(
            *(np.load(root / "omega" / name)["omega"] for root in (out, folder))
        ), name


def on_strict_device(monkeypatch):
    monkeypatch.setattr("pysi.experiments.protocol.device_namespace", lambda name: strict_array)


@pytest.mark.parametrize("config", TOGETHER, ids=lambda config: config.name)
def test_every_cell_ends_where_it_would_have_ended_alone(alone, tmp_path, config):
    data, expected = alone[config]
    result, out, events = run(config, data, tmp_path)
    check_same((result, out), expected)
    counts = TOGETHER[config]
    for entry in result.runs:
        assert entry["replicas"] == counts[entry["method"].replace("fine-tuning", "si")]
    assert len({name for name, *_ in events}) == len(counts)
    # no seed and no c is like another
    tables = [Synapses.load(out / entry["synapses"]).theta for entry in result.runs]
    assert len({theta.tobytes() for theta in tables}) == len(tables) == sum(counts.values())


@pytest.mark.slow
def test_on_a_device_too(alone, tmp_path, monkeypatch):
    on_strict_device(monkeypatch)
    data, expected = alone[PERMUTED]
    check_same(run(PERMUTED, data, tmp_path / "digits"), expected)
    config, (data, _) = replace(CIFAR, methods=("si",)), alone[CIFAR]  # which are not grouped there
    check_same(*(run(config, data, tmp_path / str(how), how) for how in (True, False)))


@settings(max_examples=200)
@given(st.integers(1, 12), st.integers(1, 9), st.none() | st.integers(1, 200), st.integers(1, 4))
def test_there_are_as_few_parts_as_fit_and_one_a_process(n, size, free, jobs):
    cells = all_cells(replace(SPLIT, methods=("si",), c=(1.0,), seeds=n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "free_memory", lambda device: free)
        patch.setattr(replicas, "bytes_of_one", lambda cell, dataset: size)
        parts = side_by_side(cells, None, jobs)
    room = np.inf if free is None else SHARE * free / jobs
    fewest = next(k for k in range(1, n + 1) if -(-n // k) * size <= room or k == n)
    assert len(parts) == min(max(fewest, jobs), n)
    assert [cell for part in parts for cell in part.cells] == cells
    assert len(parts[0].cells) - len(parts[-1].cells) <= 1


@pytest.mark.slow
def test_processes_share_the_parts(alone, tmp_path):
    data, expected = alone[SPLIT]
    result = start(SPLIT, data, tmp_path, all_cells(SPLIT), vectorise=True)
    execute(all_cells(SPLIT), result, data, tmp_path, jobs=2)
    check_same((result, tmp_path), expected)
    assert {entry["replicas"] for entry in result.runs} == {3}


def really(cell, dataset, count):
    """Memory at most while so many networks like a cell's are trained."""
    cells = tuple(replace(cell, seed=seed) for seed in range(count))
    together = Replicas(cell.config, cell.method, (cell.c,) * count, tuple(range(count)), cells)
    with machine.peak_of("numpy") as peak:
        together.train(dataset)
    return peak.bytes


@pytest.mark.parametrize(
    ("where", "method"),
    [
        ("digits", "si"), ("digits", "ewc"), ("digits", "joint"), ("images", "si"),
        # the double multiplies matrices by addresses, which takes minutes
        *(pytest.param(*both, marks=pytest.mark.slow) for both in (
            ("images", "ewc"), ("images on a device", "si"), ("images on a device", "ewc"),
        )),
    ],
)  # fmt: skip
def test_the_memory_of_one_is_what_one_more_takes(alone, monkeypatch, where, method):
    if "device" in where:
        on_strict_device(monkeypatch)
    config = replace(PERMUTED, hidden=(200, 200), epochs=1, tasks=2)
    if "images" in where:  # 20 and 10 in a task: the last batch is a smaller one
        config = replace(CIFAR, batch_size=8, examples=None)
    assert method in config.offers()
    cell, (data, _) = Cell(config, method, 1.0, 0), alone[CIFAR if "images" in where else PERMUTED]
    with using(1, images=True):
        more = (really(cell, data, 4) - really(cell, data, 1)) / 3
        # up to twice: what all share, as the pixels of a test batch, counts as well
        assert 0.5 < more / bytes_of_one(cell, data) < 1


@pytest.mark.parametrize("change", [{"hidden": (120,)}, {"hidden": (100, 20)}, {"batch_size": 400}])
def test_a_larger_network_or_batch_takes_more(dataset, change):
    cell = Cell(replace(PERMUTED, hidden=(100,)), "si", 0.1, 0)
    larger = replace(cell, config=replace(cell.config, **change))
    assert bytes_of_one(larger, dataset) > 1.02 * bytes_of_one(cell, dataset)


def test_a_stopped_run_goes_on_side_by_side_with_the_same_bits(alone, tmp_path, monkeypatch):
    (data, expected), other = alone[SPLIT], replace(SPLIT, c=(1, 3))
    free = int(3.5 * bytes_of_one(all_cells(SPLIT)[0], data) / SHARE)
    monkeypatch.setattr(machine, "free_memory", lambda device: free)
    save, seen, begun = Checkpoint.save, [], []
    monkeypatch.setattr(Checkpoint, "save", lambda *args, due: save(*args, due=True))

    def stop(event):
        seen.append(event)
        # before another c is asked for, in a task, at its end, at a part's end, in the next part
        if len(seen) in (1, 2, 3, 5, 8):
            raise Stopped

    def work(part, *args):
        begun.append(part.name)
        if len(set(begun)) == 3 and begun.count(part.name) == 1:  # between the two parts
            assert not list(tmp_path.glob(f"checkpoints/{begun[-2]}*"))
            raise Stopped
        return run_cell(part, *args)

    cells, finished = all_cells(other), False
    result = start(other, data, tmp_path, cells, vectorise=True)
    while not finished:
        try:
            finished = go_on(cells, result, data, tmp_path, work, stop)
        except Stopped:
            result, config = resume(tmp_path, c=SPLIT.c)
            cells = all_cells(config)
    others, first, second = dict.fromkeys(begun)
    epochs = [(task, epoch) for task in (1, 2) for epoch in (1, 2)]
    assert seen == [(others, 1, 1)] + [(n, *epoch) for n in (first, second) for epoch in epochs]
    check_same((result, tmp_path), expected)


@pytest.fixture
def loaded(dataset, monkeypatch):
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: dataset)


def test_a_resumed_result_goes_on_as_it_was_begun(loaded, tmp_path):
    for name, more in (("one", ""), ("two", "--vectorise")):
        assert main(f"run {WORDS} --c 1 {more} --out {tmp_path / name}".split()) == 0
        assert main(f"run split-mnist --c 0 1 3 --jobs 1 --resume {tmp_path / name}".split()) == 0
    one, two = ((Result.load(tmp_path / name), tmp_path / name) for name in ("one", "two"))
    check_same(two, one)
    assert [entry["replicas"] for entry in two[0].runs] == [4, 4, 2, 2, 4, 4]


def test_a_sweep_chooses_the_same(loaded, tmp_path, capsys):
    found = []
    for epochs, more in ((2 + 10, ""), (4, "--vectorise")):
        words = f"sweep {WORDS} --c 0 1 10 --xi 1e-3 1e-2 {more} --out {tmp_path / str(epochs)}"
        assert main(words.split()) == 0
        assert f"{epochs}/{epochs}" in capsys.readouterr().err
        content = Sweep.load(tmp_path / str(epochs)).content
        found.append((content["chosen"], [run | {"duration_s": 0} for run in content["runs"]]))
    assert found[0] == found[1]


@pytest.mark.smoke
@pytest.mark.parametrize("words", ["run --resume x", "sweep --resume x", "sweep --dask tcp://x:1"])
def test_what_does_not_go_together_is_refused(words, capsys):
    command, *options = words.split()
    assert main([command, "split-mnist", "--vectorise", *options]) == 2
    assert "--vectorise" in capsys.readouterr().err


@pytest.mark.parametrize(("device", "processes"), [("numpy", 2), ("cupy", 1)])
def test_a_gpu_is_not_shared_out_over_processes(loaded, tmp_path, monkeypatch, device, processes):
    seen = []
    on_strict_device(monkeypatch)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    monkeypatch.setattr(machine, "describe", lambda device: {"device": device})
    monkeypatch.setattr("pysi.cli.execute", lambda *args, jobs, **more: seen.append(jobs))
    monkeypatch.setattr("pysi.cli.draw", lambda *args: [])
    words = f"run {WORDS} --vectorise --device {device} --out {tmp_path}".replace("--jobs 1", "")
    for again in (words, f"run split-mnist --resume {tmp_path}"):
        assert main(again.split()) == 0
    assert seen == [processes] * 2
    assert Result.load(tmp_path).threads == 1  # more would not pay for a small network
