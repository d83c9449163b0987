"""Choosing c and ξ on held-out data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pysi import ConfigError, DivergenceError
from pysi.cli import main
from pysi.data.dataset import Dataset
from pysi.experiments.cell import Cell
from pysi.experiments.protocols import SplitMNIST
from pysi.experiments.result import key
from pysi.experiments.run import start
from pysi.experiments.sweep import Sweep, sweep_cells, validate
from pysi.figures import figure_sweep
from pysi.training import Run, train

SMALL = {"epochs": 1, "hidden": (8,), "dataset": "mnist-5k"}
WORDS = "--dataset mnist-5k --epochs 1 --hidden 8"
GRID = "--c 0 1 10 --xi 1e-4 1e-3 --seeds 2"


def sweep(words, out, *, jobs="--jobs 1"):
    """The exit status of `pysi sweep split-mnist`, and what it wrote."""
    status = main(["sweep", "split-mnist", *words.split(), *jobs.split(), *out])
    return status, Sweep.load(out[-1])


def numbers(result):
    """What must be the same wherever a sweep is run."""
    return [{k: v for k, v in run.items() if k != "duration_s"} for run in result.runs]


class Poison:
    """Stands for a test set that must not be looked at."""

    def __array__(self, *args, **kwargs):
        raise AssertionError("the test set was looked at")


def poison(dataset):
    """A copy of a data set without a test set."""
    dataset = replace(dataset)
    for name in ("x_test", "y_test"):
        object.__setattr__(dataset, name, Poison())
    return dataset


@pytest.fixture(scope="module", autouse=True)
def poisoned(mnist_5k):
    """What every sweep below is given."""
    dataset = poison(mnist_5k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: dataset)
        yield dataset


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "sweep"
    status, found = sweep(f"{WORDS} {GRID}", ["--out", str(out)])
    assert status == 0
    return found, out


# Held-out data


def test_the_held_out_part_and_the_rest_are_the_training_set(poisoned):
    held = poisoned.hold_out()
    n = len(poisoned.y_train)
    assert len(held.y_test) == round(n / 6)
    assert len(held.y_train) == n - round(n / 6)
    examples = np.column_stack([poisoned.x_train, poisoned.y_train])
    parts = np.vstack([
        np.column_stack([held.x_train, held.y_train]),
        np.column_stack([held.x_test, held.y_test]),
    ])  # fmt: skip
    assert np.array_equal(np.unique(parts, axis=0), np.unique(examples, axis=0))
    assert sorted(map(bytes, parts)) == sorted(map(bytes, examples))  # each as often


def test_the_held_out_part_is_always_the_same_random_one():
    x, y = np.arange(600, dtype=np.uint8)[:, None], np.arange(600)
    dataset = poison(Dataset("numbers", x, y, x, y, 600, "here", {}))
    first, second = dataset.hold_out(), dataset.hold_out()
    assert np.array_equal(first.y_test, second.y_test)
    assert set(first.y_train).isdisjoint(first.y_test)
    assert 200 < np.mean(first.y_test) < 400  # from all over the training set
    assert not first.x_test.flags.writeable


# The grid


def test_the_grid_is_run_seed_by_seed_and_c_0_only_once():
    config = SplitMNIST(**SMALL, c=(0, 1), seeds=2)
    keys = [cell.key for cell in sweep_cells(config, [1e-4, 1e-3, 1e-2])]
    for seed in (0, 1):
        assert keys[4 * seed : 4 * seed + 4] == [
            ("fine-tuning", 0, 1e-3, seed),
            ("si", 1, 1e-4, seed),
            ("si", 1, 1e-3, seed),
            ("si", 1, 1e-2, seed),
        ]
    assert len(keys) == 8


def test_cells_of_a_grid_share_no_file_but_their_trunk():
    config = SplitMNIST(**SMALL, c=(0, 0.1, 1, 1.0000001), seeds=2)
    cells = sweep_cells(config, [1e-4, 1.0000001e-4, 1e-3])
    assert len({cell.name for cell in cells}) == len(cells) == 2 * (1 + 3 * 3)
    assert {cell.trunk.name for cell in cells} == {"single-seed0", "single-seed1"}


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("split-mnist --xi 0.1 0.1", "xi"),
        ("split-mnist --xi -1", "xi"),
        ("split-mnist --xi nan", "xi"),
        ("split-mnist --c 1 1", "c"),
        ("split-mnist --c -1", "c"),
        ("split-mnist --seeds 0", "seeds"),
        ("split-mnist --methods joint", "methods"),
        ("split-mnist --methods ewc --xi 1 2", "xi"),
        ("split-mnist --methods ewc --resume somewhere", "methods"),
        ("split-mnist --jobs 0", "jobs"),
        ("split-mnist --jobs 2 --dask tcp://127.0.0.1:1", "--dask"),
    ],
)
def test_bad_settings_exit_with_2_before_any_work(words, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pysi.experiments.protocol.load_dataset", lambda *args: pytest.fail("data was loaded")
    )
    assert main(["sweep", *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"pysi: {named}")
    assert not list(tmp_path.iterdir())


def test_lists_that_the_command_line_cannot_give():
    config = SplitMNIST(**SMALL)
    with pytest.raises(ConfigError, match="xi"):
        sweep_cells(config, [])
    with pytest.raises(ConfigError, match="methods"):
        sweep_cells(replace(config, methods=("si", "ewc")), [1e-3])


# One machine


def test_a_sweep_end_to_end_without_the_test_set(tmp_path, capsys):
    out = tmp_path / "sweep"
    status, found = sweep(f"{WORDS} --c 0 1 --seeds 1", ["--out", str(out)])
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "sweep.json",
        "sweep.pdf",
        "sweep.png",
        "sweep.svg",
    ]
    content = found.content
    assert content["complete"]
    assert content["xi"] == [1e-3]
    assert (content["dataset"]["n_train"], content["dataset"]["n_test"]) == (3333, 667)
    assert content["chosen"] == found.choose()
    assert list(content)[-2:] == ["chosen", "runs"]  # what a reader wants comes before the rest
    for run in found.runs:
        assert np.shape(run["validation_accuracy"]) == (5, 5)
        assert "test_accuracy" not in run
    printed = capsys.readouterr().out
    assert found.table() in printed
    assert "667 held-out" in printed
    assert str(out / "sweep.png") in printed


def test_permuted_mnist_is_swept_for_synaptic_intelligence_if_not_told_otherwise(tmp_path):
    out = tmp_path / "sweep"
    words = f"sweep permuted-mnist {WORDS} --tasks 2 --c 0.1 --xi 0.1 --seeds 1 --jobs 1 --out"
    assert main([*words.split(), str(out)]) == 0
    assert [key(run) for run in Sweep.load(out).runs] == [("si", 0.1, 0.1, 0)]
    with pytest.raises(SystemExit):
        main([*words.split(), str(out), "--methods", "si", "ewc"])


def test_a_sweep_gives_the_numbers_of_training_on_the_held_out_split(finished, mnist_5k):
    from threadpoolctl import threadpool_limits

    found, _ = finished
    threads = found.content["environment"]["blas_threads"]
    for run in (found.runs[0], found.runs[-1]):  # fine-tuning, and the largest c with the largest ξ
        config = SplitMNIST(**SMALL, xi=run["xi"])
        with threadpool_limits(threads, user_api="blas"):
            cell = Cell(config, run["method"], run["c"], run["seed"])
            _, history = cell.train(mnist_5k.hold_out())
        assert run["validation_accuracy"] == history.test_accuracy.tolist()
        assert run["train_accuracy"] == history.train_accuracy.tolist()
    assert key(found.runs[-1]) == ("si", 10, 1e-3, 1)


def test_ewc_has_strengths_and_no_xi(tmp_path):
    words = f"{WORDS} --methods ewc --ewc-c 0 100 --seeds 1"
    _, found = sweep(words, ["--out", str(tmp_path / "sweep")])
    assert [key(run) for run in found.runs] == [("ewc", 0, 1e-3, 0), ("ewc", 100, 1e-3, 0)]
    assert "xi" not in found.choose()["at_the_edge_of"]
    assert "0.001" not in found.table()


def test_task_1_is_trained_once_a_seed_for_all_c_and_xi(tmp_path, monkeypatch):
    trained = []

    def counted(self, task, *args):
        trained.append(task.name)
        return learn_epoch(self, task, *args)

    learn_epoch = Run.learn_epoch
    monkeypatch.setattr(Run, "learn_epoch", counted)
    sweep(f"{WORDS} {GRID}", ["--out", str(tmp_path / "sweep")])
    assert trained.count("0 or 1") == 2
    assert trained.count("2 or 3") == 2 * 5


def test_nothing_is_left_to_do_in_a_finished_sweep_but_to_draw(finished, monkeypatch):
    monkeypatch.setattr("pysi.cli.validate", lambda *args: pytest.fail("a run was done again"))
    found, out = finished
    before = (out / "sweep.json").read_text()
    (out / "sweep.png").unlink()
    assert main(["figure", str(out)]) == 0
    assert (out / "sweep.png").stat().st_size > 0
    (out / "sweep.png").unlink()
    status, again = sweep("", ["--resume", str(out)])
    assert status == 0
    assert (out / "sweep.png").stat().st_size > 0
    assert again.runs == found.runs
    assert json.loads(before)["chosen"] == again.content["chosen"]


def test_resume_runs_the_missing_cells_only(finished, tmp_path, monkeypatch):
    found, _ = finished
    part = Sweep(json.loads(json.dumps(found.content)))
    del part.runs[1::2]
    part.save(tmp_path)
    done = []

    def watched(cell, *args):
        done.append(cell.key)
        return validate(cell, *args)

    monkeypatch.setattr("pysi.cli.validate", watched)
    status, again = sweep("", ["--resume", str(tmp_path)])
    assert status == 0
    assert again.content["complete"]
    assert sorted(k for k in done if k[0] != "single") == [key(run) for run in found.runs[1::2]]
    assert numbers(again) == numbers(found)
    assert [run for run in again.runs if run in part.runs] == part.runs


def test_a_grid_can_be_extended(finished, tmp_path):
    found, _ = finished
    out = str(tmp_path / "sweep")
    sweep(f"{WORDS} --c 0 1 --xi 1e-4 --seeds 1", ["--out", out])
    for words in ("--c 0 1 10", "--xi 1e-4 1e-3", "--seeds 2"):
        status, again = sweep(words, ["--resume", out])
        assert status == 0
    assert numbers(again) == numbers(found)
    for name in ("config", "xi", "chosen"):
        assert again.content[name] == found.content[name]


def test_ctrl_c_says_how_to_go_on_with_the_grid_that_was_asked_for(
    finished, tmp_path, capsys, monkeypatch
):
    found, _ = finished
    found.save(tmp_path)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pysi.cli.validate", interrupted)
    status, again = sweep("--c 0 10 100 --xi 1e-4", ["--resume", str(tmp_path)])
    assert status == 130
    printed = capsys.readouterr().err
    assert "Stopped: 4 of 6 runs are finished" in printed  # and others, that are not asked for
    assert f"pysi sweep split-mnist --resume {tmp_path}\n" in printed
    assert not again.content["complete"]
    assert again.content["config"]["c"] == [0, 10, 100]
    assert again.content["xi"] == [1e-4]
    assert again.runs == found.runs


def test_a_run_and_a_sweep_are_not_mixed(finished, mnist_5k, tmp_path, capsys):
    _, out = finished
    before = (out / "sweep.json").read_bytes()
    assert main(["run", "split-mnist", "--resume", str(out)]) == 2
    assert "pysi sweep" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="already holds a result"):
        start(SplitMNIST(**SMALL), mnist_5k, out, [None])
    assert (out / "sweep.json").read_bytes() == before
    start(SplitMNIST(**SMALL), mnist_5k, tmp_path, [None])
    assert main(["sweep", "split-mnist", *WORDS.split(), "--out", str(tmp_path)]) == 2
    assert main(["sweep", "split-mnist", "--resume", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_what_diverges_says_at_which_c(tmp_path, capsys, monkeypatch):
    def diverge(net, optimizer, rule, *args, **kwargs):
        if rule.c == 10:
            raise DivergenceError("the loss is not finite")
        return train(net, optimizer, rule, *args, **kwargs)

    monkeypatch.setattr("pysi.experiments.cell.train", diverge)
    status, found = sweep(f"{WORDS} --c 1 10 --seeds 1", ["--out", str(tmp_path / "sweep")])
    assert status == 1
    assert "pysi: si-c10-seed0: the loss is not finite" in capsys.readouterr().err
    assert [run["c"] for run in found.runs] == [1]


# The choice


def a_sweep(accuracies, **content):
    """A sweep with these final accuracies: lists over seeds by (c, ξ)."""
    found = Sweep({"runs": [], **content})
    for (c, xi), values in accuracies.items():
        for seed, value in enumerate(values):
            found.add({
                "method": "si" if c else "fine-tuning", "c": c, "xi": xi, "seed": seed,
                "validation_accuracy": [[1.0, 0.0], [value - 0.1, value + 0.1]],
            })  # fmt: skip
    return found


def test_the_choice_is_the_best_mean_and_says_how_sure_it_is():
    chosen = a_sweep({
        (0.0, 0.1): [0.5, 0.6],
        (0.1, 0.1): [0.85, 0.87],
        (1.0, 0.1): [0.9, 0.88],
        (10.0, 0.1): [0.93, 0.84],
        (100.0, 0.1): [0.99],  # the best, but tried only once
    }).choose()  # fmt: skip
    assert (chosen["method"], chosen["c"], chosen["xi"]) == ("si", 1.0, 0.1)
    assert chosen["validation_accuracy"] == pytest.approx(0.89)
    assert chosen["sem"] == pytest.approx(0.01)
    assert chosen["seeds"] == 2
    assert chosen["by_seed"] == pytest.approx([0.9, 0.88])
    assert chosen["next_best"] == pytest.approx(0.885)
    assert chosen["within_one_sem"] == 1
    assert chosen["at_the_edge_of"] == []
    assert json.loads(json.dumps(chosen)) == chosen


def test_with_one_seed_nothing_is_known_about_the_error():
    found = a_sweep({(1.0, 0.1): [0.9]})
    chosen = found.choose()
    assert (chosen["seeds"], chosen["by_seed"]) == (1, pytest.approx([0.9]))
    for name in ("sem", "within_one_sem", "next_best"):
        assert chosen[name] is None
    assert Sweep({"runs": []}).choose() is None


@pytest.mark.parametrize(
    ("best", "edges"),
    [
        ((0.0, 2.0), []),
        ((0.0, 1.0), []),
        ((0.1, 0.1), []),
        ((1.0, 0.1), ["c"]),
        ((0.1, 0.01), ["xi"]),
        ((1.0, 1.0), ["c", "xi"]),
    ],
)
def test_a_choice_at_the_edge_is_said_to_be_there(best, edges):
    grid = {(c, xi): [0.5] for c in (0.1, 1.0) for xi in (0.01, 0.1, 1.0)} | {(0.0, 2.0): [0.5]}
    assert a_sweep(grid | {best: [0.9]}).choose()["at_the_edge_of"] == edges
    alone = {best: [0.9]}
    assert a_sweep(alone).choose()["at_the_edge_of"] == []
    del grid[0.0, 2.0]
    if best == (0.1, 0.1):  # now it is the smallest
        assert a_sweep(grid | {best: [0.9]}).choose()["at_the_edge_of"] == ["c"]


def test_the_same_run_is_counted_once():
    found = a_sweep({(1.0, 0.1): [0.9, 0.8], (0.1, 0.1): [0.5]})
    before = list(found.runs)
    for run in before[::-1]:
        found.add(run | {"duration_s": 1.0})
    assert found.runs == before
    assert [key(run) for run in before] == sorted(map(key, before))


def test_the_table_has_every_point_and_the_choice():
    grid = {(0.0, 0.3): [0.5], (1.0, 0.1): [0.9, 0.8], (1.0, 0.2): [0.7, 0.6]}
    data = {"name": "digits", "n_train": 5, "n_test": 1}
    found = a_sweep(grid, experiment="split-mnist", dataset=data, config={"tasks": 5, "epochs": 3})
    lines = found.table().splitlines()
    assert "5 training and 1 held-out training examples, 5 tasks, 3 epochs" in lines[0]
    assert [line.split() for line in lines[4:7]] == [
        "fine-tuning 0 - 1 0.5000 ± n/a".split(),
        "si 1 0.1 2 0.8500 ± 0.0500 <- chosen".split(),
        "si 1 0.2 2 0.6500 ± 0.0500".split(),
    ]
    assert "within one SEM of the best: 0" in lines[8]
    assert "c is at the edge" in lines[10]
    assert "xi is at the edge" in lines[12]


def test_the_figure_shows_every_seed_the_means_and_the_choice():
    grid = {(0.0, 0.1): [0.2, 0.3]} | {
        (c, xi): [c / 2 + xi, c / 2 - xi] for c in (0.5, 1.0) for xi in np.arange(1, 9) / 100
    }
    found = a_sweep(grid)
    fig = figure_sweep(found)
    (ax,) = fig.axes
    lines = {line.get_label(): line for line in ax.lines}
    lines |= {container.get_label(): container[0] for container in ax.containers}
    for xi in np.arange(1, 9) / 100:  # more curves than a list of colours might have
        line = lines[f"ξ = {xi:g}"]
        assert list(line.get_xdata()) == [0, 0.5, 1]
        assert np.allclose(line.get_ydata(), [0.25, 0.25, 0.5])
    assert len({tuple(lines[f"ξ = {xi / 100:g}"].get_color()) for xi in range(1, 9)}) == 8
    dots = [line for line in ax.lines if line.get_marker() == "."]
    shown = {(x, round(y, 6)) for line in dots for x, y in line.get_xydata()}
    assert shown == {(c, round(v, 6)) for (c, _), values in grid.items() for v in values}
    chosen = found.choose()
    ring = [(chosen["c"], chosen["validation_accuracy"])]
    assert lines["chosen"].get_xydata().tolist() == [pytest.approx(point) for point in ring]
    assert {text.get_text() for text in fig.legends[0].texts} >= {"ξ = 0.08", "chosen"}


def test_the_figure_of_a_sweep_that_has_only_begun():
    (ax,) = figure_sweep(a_sweep({(0.0, 0.1): [0.5]})).axes
    assert [container.get_label() for container in ax.containers] == ["mean"]
    assert ax.lines[-1].get_label() == "chosen"
    assert "one seed" in ax.get_ylabel()
