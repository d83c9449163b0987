"""Figures 4 and 5 show the numbers of permuted MNIST."""

import numpy as np
import pytest

import pysi
from pysi.experiments.cell import all_cells
from pysi.experiments.methods import METHODS
from pysi.experiments.protocols import PermutedMNIST
from pysi.experiments.run import execute, start
from pysi.figures import draw, figure4, figure5
from test_figures import HEADS, PAPER, average, bars, labels, result


@pytest.mark.parametrize("part", ["test", "train"])
def test_figure_4_shows_the_numbers(part):
    shown = result()
    fig = figure4(shown, part)
    close, whole = fig.axes
    for ax in (close, whole):
        assert len(ax.containers) == 4
        for container, curve in zip(ax.containers, PAPER[1:5], strict=True):
            values = average(shown, curve, part)
            x, y = container[0].get_data()
            assert x.tolist() == [1, 2, 3, 4]
            assert np.allclose(y, values.mean(axis=0))
            assert np.allclose(bars(container), [y - pysi.sem(values), y + pysi.sem(values)])
    dotted = [line for line in close.lines if line.get_linestyle() == ":"]
    assert np.allclose(dotted[0].get_ydata(), shown.select("single", part=part).mean())
    (arrow,) = close.texts
    assert arrow.xy == (4, pytest.approx(shown.select("joint", part=part).mean()))
    assert arrow.arrow_patch.get_arrowstyle().arrow == "-|>"
    assert arrow.get_text() == "all tasks\nat once"
    chance = [line for line in whole.lines if line.get_label() == "chance"]
    assert set(chance[0].get_ydata()) == {0.1}
    assert whole.get_ylim() == (0, 1.02)
    assert part in fig.get_supylabel()
    assert labels(fig) == [
        "single task", "chance", "fine-tuning", "SI, c = 0.1", "EWC, c = 100",
        "fine-tuning, dropout 0.5",
    ]  # fmt: skip


def test_a_curve_has_one_colour_of_its_own_and_strengths_are_its_shades():
    many = [("si", c) for c in (0.01, 0.1, 1.0)] + [("ewc", c) for c in (10.0, 100.0)]
    others = [("online-ewc", 100.0), ("fine-tuning", 0.0), ("dropout", 0.0)]
    shown = result([*many, *others])
    close, whole = (
        {c.get_label(): (*map(float, c[0].get_color()), c[0].get_marker()) for c in ax.containers}
        for ax in figure4(shown).axes
    )
    assert close == whole
    assert len({look[:3] for look in whole.values()}) == len(many) + len(others)
    shades = [np.array(whole[f"SI, c = {c}"][:3]) for c in ("0.01", "0.1", "1")]
    assert (shades[0] > shades[1]).all() and (shades[1] > shades[2]).all()
    alone = figure4(result([("si", 0.5)])).axes[0].containers[0][0]
    assert np.allclose(alone.get_color(), shades[2])  # the strongest has the full colour
    markers = {label.partition(",")[0]: look[3] for label, look in whole.items()}
    assert markers["SI"] != markers["EWC"] != markers["online EWC"]


@pytest.mark.parametrize(
    "curves",
    [PAPER, [("si", 0.1), ("ewc", 100.0)], [("si", 0.1)], [*PAPER, ("si", 0.001, 0.85)]],
    ids=["all", "no fine-tuning", "SI alone", "a strength that forgets"],
)
@pytest.mark.parametrize("tasks", [2, 10])
def test_the_close_up_shows_what_stays_up_and_little_else(curves, tasks):
    shown = result(curves, tasks=tasks)
    low, high = figure4(shown).axes[0].get_ylim()
    top = [x.mean() for x in map(shown.select, ("single", "joint")) if len(x)]
    for curve in [(m, c) for m, c, *_ in curves if (m, c) in (("si", 0.1), ("ewc", 100.0))]:
        values = average(shown, curve)
        for end in (-pysi.sem(values), pysi.sem(values)):
            top += [*(values.mean(axis=0) + end)]
    assert low < min(top) < max(top) < high
    assert high - low < 1.5 * (max(top) - min(top)) + 0.003


def test_error_bars_end_within_the_close_up():
    shown = result([("si", 0.1)], seeds=2)
    shown.runs[1]["test_accuracy"] = (np.array(shown.runs[1]["test_accuracy"]) - 0.03).tolist()
    close = figure4(shown).axes[0]
    low, high = close.get_ylim()
    ends = bars(close.containers[0])
    assert low < ends.min() < ends.max() < high


def test_without_a_curve_that_stays_up_the_close_up_shows_the_one_that_falls():
    shown = result(PAPER[:2])
    low, high = figure4(shown).axes[0].get_ylim()
    values = average(shown, PAPER[1]).mean(axis=0)
    assert 0.5 < low < min(values) < max(values) < high < 1.1


@pytest.mark.parametrize("curve", PAPER, ids=lambda curve: curve[0])
def test_what_the_result_lacks_is_not_in_figure_4(curve):
    fig = figure4(result([curve]))
    close, whole = fig.axes
    label = METHODS[curve[0]].label.format(c=curve[1])
    alone = {"single": ["single task", "chance"], "joint": ["chance"]}
    assert labels(fig) == alone.get(curve[0], ["chance", label])
    assert len(close.texts) == (curve[0] == "joint")
    assert len(close.containers) == len(whole.containers) == (curve[0] not in alone)


def test_figure_4_draws_ewc_above_si_so_that_both_are_seen():
    for ax in figure4(result()).axes:
        lines = {container.get_label(): container[0] for container in ax.containers}
        below, above = lines["SI, c = 0.1"], lines["EWC, c = 100"]
        assert ax.lines.index(above) > ax.lines.index(below)
        assert above.get_zorder() >= below.get_zorder()
        assert above.get_linestyle() == "--" != below.get_linestyle()
        assert above.get_markerfacecolor() == "white"
        assert above.get_markersize() < below.get_markersize()
        assert above.get_linewidth() < below.get_linewidth()


def test_figure_4_says_how_many_seeds_a_curve_has():
    shown = result()
    assert shown.runs and "n = 3" in figure4(shown).get_supylabel()
    shown.runs[:] = [run for run in shown.runs if run["seed"] == 0 or run["method"] == "si"]
    fig = figure4(shown)
    assert "n = " not in fig.get_supylabel()
    assert labels(fig) == [
        "single task (n = 1)", "chance", "fine-tuning (n = 1)", "SI, c = 0.1 (n = 3)",
        "EWC, c = 100 (n = 1)", "fine-tuning, dropout 0.5 (n = 1)",
    ]  # fmt: skip
    assert fig.axes[0].texts[0].get_text() == "all tasks\nat once\n(n = 1)"
    with_bars = [found.get_label() for found in fig.axes[1].containers if found.has_yerr]
    assert with_bars == ["SI, c = 0.1 (n = 3)"]
    shown.runs[:] = [run for run in shown.runs if run["seed"] == 0]
    assert figure4(shown).get_supylabel() == "Average accuracy (test), one seed"


def test_figure_4_is_drawn_of_test_and_of_training_accuracy():
    shown = result()
    for name, part in (("figure4", "test"), ("figure4-train", "train")):
        line = shown.figures[name](shown).axes[1].containers[1][0]
        assert np.allclose(line.get_ydata(), average(shown, ("si", 0.1), part).mean(axis=0))


def test_figure_5_shows_the_numbers():
    shown = result([*PAPER, ("si", 1.0)], tasks=10)
    fig = figure5(shown)
    panels, off = fig.axes[:6], ~np.eye(10, dtype=bool)
    curves, every = [("fine-tuning", 0.0), ("si", 0.1), ("si", 1.0)], []
    for row, curve in enumerate(curves):
        assert METHODS[curve[0]].label.format(c=curve[1]) in panels[2 * row].get_ylabel()
        for column, layer in enumerate(("dense1.W", "dense2.W")):
            ax = panels[2 * row + column]
            matrices = [run["omega_correlation"][layer] for run in shown.runs_of(*curve)]
            assert len(matrices) == 3
            expected = np.mean(matrices, axis=0)
            (image,) = ax.images
            drawn = image.get_array()
            assert np.array_equal(drawn.mask, np.eye(10, dtype=bool))
            assert np.allclose(drawn[off], expected[off])
            every.append((expected[off].min(), expected[off].max()))
            assert image.get_clim() == panels[0].images[0].get_clim()
            assert tuple(image.get_extent()) == (0.5, 10.5, 10.5, 0.5)
            assert ax.get_title().endswith(f"mean off-diagonal {expected[off].mean():.3f}")
    low, high = np.transpose(every)
    assert panels[0].images[0].get_clim() == pytest.approx((low.min(), high.max()))
    assert panels[0].get_title().startswith("First layer")
    assert panels[1].get_title().startswith("Second layer")
    assert panels[0].get_xticks().tolist() == panels[0].get_yticks().tolist() == [1, 5, 10]
    assert len(fig.axes) == 7  # and the colour bar


def test_figure_5_shows_the_layers_that_the_experiment_compares(monkeypatch):
    shown = result(tasks=5)
    assert figure5(result([("ewc", 1.0)])) is None  # these methods have no ω
    monkeypatch.setattr(PermutedMNIST, "compared", {"dense3.W": "Readout"})
    panels = figure5(shown).axes[:-1]
    assert len(panels) == 2
    (image,) = panels[1].images
    matrices = [run["omega_correlation"]["dense3.W"] for run in shown.runs_of("si", 0.1)]
    off = ~np.eye(5, dtype=bool)
    assert np.allclose(image.get_array()[off], np.mean(matrices, axis=0)[off])
    assert panels[0].get_title().startswith("Readout")
    monkeypatch.setattr(PermutedMNIST, "compared", {"conv1.W": "None such"})
    assert figure5(shown) is None


def test_the_close_up_of_what_is_below_chance_or_of_nothing():
    low, high = figure4(result([("si", 0.1, 0.05)])).axes[0].get_ylim()
    assert low < 0.06 < 0.9 < high
    assert figure4(result([("scratch", 0.0)])).axes[0].get_ylim() == (0, 1.02)


def test_the_table_has_the_numbers_of_figure_5():
    shown = result()
    head, *rows = shown.table().partition("correlation of ω")[2].splitlines()[2:]
    assert head.split() == "method c seeds dense1.W dense2.W".split()
    assert len(rows) == 2
    for line, (method, c) in zip(rows, (("fine-tuning", 0.0), ("si", 0.1)), strict=True):
        cells = []
        for layer in ("dense1.W", "dense2.W"):
            matrices = [run["omega_correlation"][layer] for run in shown.runs_of(method, c)]
            means = [np.array(matrix)[~np.eye(4, dtype=bool)].mean() for matrix in matrices]
            cells.append(f"{np.mean(means):.4f} ± {pysi.sem(means):.4f}")
        strength = [f"{c:g}"] if method == "si" else []
        assert line.split() == [method, *strength, "3", *" ".join(cells).split()]
    assert "correlation" not in result([("ewc", 100.0), ("single", 0.0)]).table()


def test_the_figures_of_a_real_run(mnist_5k, tmp_path):
    config = PermutedMNIST(
        epochs=1,
        tasks=2,
        hidden=(8,),
        batch_size=64,
        methods=("single", "si", "ewc", "online-ewc", "dropout", "scratch"),
        dataset="mnist-5k",
    )
    cells = all_cells(config)
    found = start(config, mnist_5k, tmp_path, cells)
    execute(cells, found, mnist_5k, tmp_path)
    names = [path.name for path in draw(found, tmp_path)]
    assert names == [
        f"{name}.{kind}" for name in ("figure4", "figure4-train", "figure5") for kind in HEADS
    ]  # fmt: skip
    assert len(figure4(found).axes[0].containers) == 5
    (image,) = figure5(found).axes[3].images
    matrix = found.runs_of("si", 0.1)[0]["omega_correlation"]["dense2.W"]
    assert np.allclose(image.get_array()[0, 1], matrix[0][1])
