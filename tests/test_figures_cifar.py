"""Figure 6, and the table below it, show the numbers of split CIFAR-10/100."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer

from pysi.experiments.methods import METHODS
from pysi.figures import draw, figure6
from test_figures import HEADS, result
from test_figures import bars as error_bars

CURVES = [("fine-tuning", 0.0), ("si", 0.01), ("si", 0.1), ("scratch", 0.0)]
LABELS = ["fine-tuning", "SI, c = 0.01", "SI, c = 0.1", "from scratch"]


def split_cifar(curves=CURVES, tasks=6, seeds=5):
    """Return a result whose seeds and tasks differ enough to tell them apart."""
    found = result(curves, tasks, seeds, "split-cifar")
    names = ["CIFAR-10", *(f"CIFAR-100, {k} to {k + 9}" for k in range(0, 100, 10))]
    found.content["task_names"] = names[:tasks]
    rng = np.random.default_rng(0)
    for run in found.runs:
        for part in ("test", "train"):
            accuracy = np.array(run[f"{part}_accuracy"])
            run[f"{part}_accuracy"] = (accuracy - rng.uniform(0, 0.3, accuracy.shape)).tolist()
    return found


def at_the_end(shown, method, c, part="test"):
    """Return the accuracies to be drawn, (seeds, tasks), row by row from the definition."""
    runs = [run for run in shown.runs if (run["method"], run["c"]) == (method, c)]
    if method == "scratch":
        n = len(shown.content["task_names"])
        return np.array([[run[f"{part}_accuracy"][j][j] for j in range(n)] for run in runs])
    return np.array([run[f"{part}_accuracy"][-1] for run in runs])


def bars_of(fig):
    (ax,) = fig.axes
    return [found for found in ax.containers if isinstance(found, BarContainer)]


def heights(container):
    return np.array([bar.get_height() for bar in container])


@pytest.mark.parametrize("part", ["test", "train"])
def test_figure_6_shows_the_numbers(part):
    shown = split_cifar()
    fig = figure6(shown, part)
    (ax,), drawn = fig.axes, bars_of(fig)
    assert [container.get_label() for container in drawn] == LABELS
    for container, curve in zip(drawn, CURVES, strict=True):
        values = at_the_end(shown, *curve, part)
        mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
        assert np.allclose(heights(container), mean)
        assert all(bar.get_y() == 0 for bar in container)
        ends = error_bars(container.errorbar)
        assert np.allclose(ends, [mean - deviation, mean + deviation])
    (chance,) = (line for line in ax.lines if line.get_label() == "chance")
    assert set(chance.get_ydata()) == {0.1} and chance.get_linestyle() == "--"
    assert chance.get_zorder() > max(bar.get_zorder() for bar in drawn[0])
    assert ax.get_ylabel() == f"Accuracy ({part}), mean ± SD, n = 5"
    assert ax.get_ylim() == (0, 1.02)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["chance", *LABELS]


def test_bars_are_grouped_by_task_in_the_order_of_the_legend():
    fig = figure6(split_cifar())
    (ax,), drawn = fig.axes, bars_of(fig)
    assert ax.get_xticks().tolist() == [1, 2, 3, 4, 5, 6]
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names[:3] == ["CIFAR-10", "CIFAR-100\n0 to 9", "CIFAR-100\n10 to 19"]
    for j, group in enumerate(zip(*drawn, strict=True)):
        left = np.array([bar.get_x() for bar in group])
        right = left + [bar.get_width() for bar in group]
        assert j + 0.5 < left[0] and right[-1] < j + 1.5
        assert np.isclose(left[0] + right[-1], 2 * (j + 1))
        assert np.allclose(left[1:], right[:-1])
    assert len({container[0].get_facecolor() for container in drawn}) == len(CURVES)


def test_a_single_seed_has_no_error_bars_and_claims_none():
    fig = figure6(split_cifar(seeds=1))
    assert len(bars_of(fig)) == len(CURVES)
    assert all(container.errorbar is None for container in bars_of(fig))
    assert fig.axes[0].get_ylabel() == "Accuracy (test), one seed"


@pytest.mark.parametrize("several", CURVES)
def test_each_curve_has_the_error_bars_of_its_own_seeds(several):
    shown = split_cifar()
    shown.runs[:] = [
        run for run in shown.runs if run["seed"] == 0 or (run["method"], run["c"]) == several
    ]
    fig = figure6(shown)
    with_bars = [found.get_label() for found in bars_of(fig) if found.errorbar is not None]
    assert with_bars == [f"{LABELS[CURVES.index(several)]} (n = 5)"]
    assert [found.get_label() for found in bars_of(fig)] == [
        f"{label} (n = {5 if curve == several else 1})"
        for label, curve in zip(LABELS, CURVES, strict=True)
    ]
    assert fig.axes[0].get_ylabel() == "Accuracy (test), mean ± SD"


@pytest.mark.parametrize("tasks", [1, 4])
@pytest.mark.parametrize("curve", [("single", 0.0), ("si", 0.1), ("scratch", 0.0)])
def test_what_the_result_lacks_is_not_in_figure_6(curve, tasks):
    shown = split_cifar([curve], tasks)
    (container,) = bars_of(figure6(shown))
    assert container.get_label() == METHODS[curve[0]].label.format(c=curve[1])
    assert np.allclose(heights(container), at_the_end(shown, *curve).mean(axis=0))
    assert container[0].get_center()[0] == pytest.approx(1)


@pytest.mark.parametrize("strengths", [1, 7])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("tasks", [2, 6, 11])
def test_nothing_is_cut_off_or_covered(tasks, seeds, strengths):
    curves = [("fine-tuning", 0.0), ("scratch", 0.0)]
    curves += [("si", 10.0**k) for k in range(-3, strengths - 3)]
    fig = figure6(split_cifar(curves, tasks, seeds))
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    ax, legend = fig.axes[0], fig.legends[0].get_window_extent()
    ticks = [text.get_window_extent() for text in ax.get_xticklabels()]
    for box in (*ticks, legend, ax.xaxis.label.get_window_extent(), ax.get_tightbbox()):
        assert 0 <= box.x0 < box.x1 <= fig.bbox.x1
        assert 0 <= box.y0 < box.y1 <= fig.bbox.y1
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))
    assert not legend.overlaps(ax.get_window_extent())


def test_figure_6_is_drawn_of_test_and_of_training_accuracy(tmp_path):
    shown = split_cifar()
    for name, part in (("figure6", "test"), ("figure6-train", "train")):
        drawn = bars_of(shown.figures[name](shown))
        assert np.allclose(heights(drawn[2]), at_the_end(shown, "si", 0.1, part).mean(axis=0))
    names = [path.name for path in draw(shown, tmp_path)]
    assert names == [f"{name}.{kind}" for name in ("figure6", "figure6-train") for kind in HEADS]


def rows_below(text, heading):
    """Return the lines of the table below this heading, each as a list of words."""
    part = text.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    return [line.split() for line in part.splitlines()]


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_table_has_the_numbers_of_figure_6(seeds):
    curves = [("single", 0.0), *CURVES]
    shown = split_cifar(curves, seeds=seeds)
    head, *rows = rows_below(shown.table(), "test accuracy on each task")
    assert head == "method c seeds task 1 task 2 task 3 task 4 task 5 task 6".split()
    for line, (method, c) in zip(rows, curves, strict=True):
        expected = [method, *([f"{c:g}"] if method == "si" else []), str(seeds)]
        for values in at_the_end(shown, method, c).T:
            spread = f"{values.std(ddof=1):.4f}" if seeds > 1 else "n/a"
            expected += [f"{values.mean():.4f}", "±", spread]
        assert line == expected
    for other in ("split-mnist", "permuted-mnist"):
        assert "each task" not in result(CURVES, experiment=other).table()


def test_what_is_learned_from_scratch_is_not_forgotten_and_says_what_could_be_learned():
    shown = split_cifar([("single", 0.0), *CURVES])
    scratch = at_the_end(shown, "scratch", 0.0)

    def first(method, c):
        """Return the line of a curve, without method, strength, number of seeds, and ±."""
        words = [method, f"{c:g}", "5"] if method == "si" else [method, "5"]
        (line,) = (line for line in rows_below(shown.table(), "average accuracy")
                   if line[: len(words)] == words)  # fmt: skip
        return [word for word in line[len(words) :] if word != "±"]

    columns = first("scratch", 0.0)
    assert len(columns) == 4  # test and training accuracy
    assert columns[0] == f"{scratch.mean():.4f}"
    for method, c in CURVES[:3]:
        learned = [np.diagonal(run["test_accuracy"]) for run in shown.runs_of(method, c)]
        lacking = np.mean(scratch.mean(axis=0) - learned, axis=1)  # task by task
        spread = np.std(lacking, ddof=1) / np.sqrt(5)
        assert first(method, c)[-2:] == [f"{lacking.mean():.4f}", f"{spread:.4f}"]
    # the accuracy on one of several different tasks says nothing about the others
    shown = split_cifar([("single", 0.0), ("si", 0.1)])
    assert len(first("si", 0.1)) == 10


def test_the_table_has_the_correlations_of_all_hidden_layers():
    shown = split_cifar(CURVES[:3])
    layers = ["conv1.W", "conv2.W", "dense1.W", "dense2.W"]
    rng = np.random.default_rng(1)
    for run in shown.runs:
        run["omega_correlation"] = {layer: rng.random((6, 6)).tolist() for layer in layers}
    head, *rows = rows_below(shown.table(), "correlation of ω")
    assert head == ["method", "c", "seeds", *layers[:-1]]
    off = ~np.eye(6, dtype=bool)
    for line, curve in zip(rows, CURVES[:3], strict=True):
        runs = shown.runs_of(*curve)
        means = [
            np.mean([np.array(run["omega_correlation"][layer])[off] for run in runs])
            for layer in layers[:-1]
        ]
        assert line[-9::3] == [f"{mean:.4f}" for mean in means]
