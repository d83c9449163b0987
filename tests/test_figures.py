"""The figures show the numbers of the result, all of them, and nothing else."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import pysi
from pysi.experiments.course import Method
from pysi.experiments.methods import METHODS
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result
from pysi.figures import draw, figure3, figure4
from pysi.figures.style import SPARE, look_of

PAPER = [
    ("single", 0.0),
    ("fine-tuning", 0.0),
    ("si", 0.1),
    ("ewc", 100.0),
    ("dropout", 0.0),
    ("joint", 0.0),
]
ENDS = {"single": 0.983, "joint": 0.981, "si": 0.972, "ewc": 0.968, "dropout": 0.75}


PAPER_METHODS = [method for method, _ in PAPER]
HEADS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def run(method, c, seed, tasks, end=None):
    """Return a run whose average accuracy falls from about 0.983 to about the given end."""
    rng = np.random.default_rng([len(method), int(1000 * c), seed])
    trains = METHODS[method].trains
    rows, columns = trains.count(tasks), 1 if trains.first_only else tasks
    end = end or ENDS.get(method, 0.6)
    fall = np.linspace(0.983 if rows > 1 else end, end, rows)[:, None]
    test, train = (fall + rng.normal(0, 1e-3, (rows, columns)) + gap for gap in (0, 0.01))
    correlations = {}
    for layer in ("dense1.W", "dense2.W", "dense3.W"):
        matrix = rng.uniform(-1, 1, (rows, rows))
        np.fill_diagonal(matrix, 1)
        correlations[layer] = matrix.tolist()
    return {
        "method": method,
        "c": c,
        "xi": 0.1,
        "seed": seed,
        "test_accuracy": test.tolist(),
        "train_accuracy": train.tolist(),
        "omega_correlation": correlations if METHODS[method].omega else None,
    }


def result(curves=PAPER, tasks=4, seeds=3, experiment="permuted-mnist"):
    """Return a result with these curves: (method, c) or (method, c, last accuracy)."""
    found = Result(
        {
            "experiment": experiment,
            "config": {"epochs": 1, "tasks": tasks},
            "dataset": {"name": "mnist", "n_train": 60000, "n_test": 10000},
            "scenario": "some scenario",
            "chance": 0.1,
            "task_names": [f"name {i}" for i in range(tasks)],
            "runs": [],
        }
    )
    for seed in range(seeds):
        for method, c, *end in curves:
            found.add(run(method, c, seed, tasks, *end))
    return found


def average(result, curve, part="test"):
    return pysi.average_accuracy(result.select(*curve, part))


def bars(container):
    """Return the lower and upper ends of the error bars."""
    return np.array([segment[:, 1] for segment in container[2][0].get_segments()]).T


def labels(fig):
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_figure_3_shows_the_numbers():
    curves = [("fine-tuning", 0.0), ("si", 1.0), ("ewc", 10.0)]
    shown = result(curves, tasks=5, experiment="split-mnist")
    fig = figure3(shown)
    axes = fig.axes
    assert [ax.get_title() for ax in axes] == [
        "Task 1 (name 0)",
        "Task 2 (name 1)",
        "Task 3 (name 2)",
        "Task 4 (name 3)",
        "Task 5 (name 4)",
        "Average",
    ]
    for j, ax in enumerate(axes):
        assert len(ax.containers) == 3
        for container, curve in zip(ax.containers, curves, strict=True):
            accuracy = average(shown, curve) if j == 5 else shown.select(*curve)[:, j:, j]
            x, y = container[0].get_data()
            assert x.tolist() == list(range(1 if j == 5 else j + 1, 6))
            assert np.allclose(y, accuracy.mean(axis=0))
            assert np.allclose(bars(container)[1] - y, pysi.sem(accuracy))
        chance = [line for line in ax.lines if line.get_label() == "chance"]
        assert set(chance[0].get_ydata()) == {0.1}
    assert labels(fig) == ["chance", "c = 0", "c = 1", "EWC, c = 10"]
    assert len({container[0].get_color() for container in axes[0].containers}) == 3


def test_figure_3_shows_what_is_below_chance():
    curves = [("fine-tuning", 0.0, 0.02), ("si", 1.0)]
    shown = result(curves, tasks=5, experiment="split-mnist")
    low = figure3(shown).axes[0].get_ylim()[0]
    assert low < shown.select("fine-tuning")[:, -1].min()


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 9])
def test_figure_3_has_rows_that_are_not_too_wide(tasks):
    fig = figure3(result(PAPER[1:3], tasks=tasks, experiment="split-mnist"))
    assert len(fig.axes) == tasks + 1
    columns = {round(ax.get_subplotspec().colspan.start) for ax in fig.axes}
    assert len(columns) <= 3
    for ax in fig.axes:  # the lowest of a column has the numbers of tasks below it
        below = [o for o in fig.axes if o.get_subplotspec().colspan == ax.get_subplotspec().colspan]
        shown = any(text.get_visible() and text.get_text() for text in ax.get_xticklabels())
        assert shown == (ax is below[-1])


def test_a_single_seed_has_no_error_bars():
    for fig in (figure3(result(PAPER[1:3], seeds=1)), figure4(result(seeds=1))):
        for ax in fig.axes:
            assert ax.containers
            assert not any(container.has_yerr for container in ax.containers)


@pytest.mark.parametrize(
    ("experiment", "curves", "figures"),
    [
        ("split-mnist", PAPER[1:3], ["figure3"]),
        ("permuted-mnist", PAPER, ["figure4", "figure4-train", "figure5"]),
        ("permuted-mnist", [("single", 0.0), ("ewc", 1.0)], ["figure4", "figure4-train"]),
        ("split-cifar", [("si", 0.1), ("scratch", 0.0)], ["figure6", "figure6-train"]),
    ],
)
def test_figures_are_written_whole(experiment, curves, figures, tmp_path):
    folder = tmp_path / "new" / "folder"
    paths = draw(result(curves, experiment=experiment), folder)
    assert paths == [folder / f"{name}.{kind}" for name in figures for kind in HEADS]
    assert sorted(folder.iterdir()) == sorted(paths)
    for path in paths:
        assert path.read_bytes().startswith(HEADS[path.suffix[1:]])


def test_a_figure_that_is_drawn_again_is_the_same_to_the_byte(tmp_path):
    shown = result()
    for folder in ("one", "two"):
        draw(shown, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 9
    for name in names:
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_text_is_text_in_an_svg(tmp_path):
    draw(result(), tmp_path)
    text = (tmp_path / "figure4.svg").read_text()
    assert ">SI, c = 0.1</text>" in text and "<dc:date>" not in text


def test_figures_leave_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    draw(result(), tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_every_experiment_has_figures_and_every_method_a_look_of_its_own():
    assert all(protocol.figures for protocol in PROTOCOLS.values())
    looks = {look_of(name)[:2] for name in METHODS}
    assert len(looks) == len(METHODS)


def test_methods_without_a_look_get_different_ones(monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setitem(METHODS, name, Method(name, lambda config, c: None))
    one, two = (look_of(name).colour for name in ("one", "two"))
    assert one != two and {one, two} <= set(SPARE)
    assert all(METHODS[name].look for name in PAPER_METHODS)
    assert not {look_of(name).colour for name in PAPER_METHODS} & set(SPARE)


def test_an_old_figure_stays_whole_when_writing_fails(tmp_path, monkeypatch):
    def fail(self, path, **options):
        path.write(b"half a fig")
        raise OSError("disk full")

    (tmp_path / "figure4.png").write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(pysi.DataError, match=f"{tmp_path.name}.*writable.*disk full"):
        draw(result(), tmp_path)
    assert (tmp_path / "figure4.png").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_figure_without_runs_without_an_experiment_or_without_a_folder(tmp_path):
    with pytest.raises(pysi.ConfigError, match="finished runs.*found 0"):
        draw(result([]), tmp_path)
    with pytest.raises(pysi.ConfigError, match="found 3 of 'other'"):
        draw(result(PAPER[:1], experiment="other"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(pysi.DataError, match="file"):
        draw(result(), tmp_path / "file" / "figures")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
