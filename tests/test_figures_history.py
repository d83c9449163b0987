"""Figures of a history: they show its numbers, all of them, and nothing else."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import pysi
from pysi.figures import learning_curve, matrix
from pysi.history import History
from pysi.metrics import sem


def history(tasks=3, epochs=2, networks=None, learned=None, **more):
    """A history of random numbers, of one network or of several."""
    rng, lead = np.random.default_rng(0), () if networks is None else (networks,)
    test, train = rng.uniform(0.3, 1, (2, *lead, tasks, tasks))
    for part in (test, train):
        part[..., tasks if learned is None else learned :, :] = np.nan
    entries = [
        {
            "task": task + 1,
            "epoch": epoch + 1,
            "loss": rng.uniform(0, 2, lead).tolist(),
            "penalty": rng.uniform(0, 1, lead).tolist(),
            "seconds": 1.0,
        }
        | {name: rng.uniform(0.5, 1, (*lead, tasks)).tolist() for name in more.get("measures", ())}
        for task in range(tasks)
        for epoch in range(epochs)
    ]
    made = History(test, train, entries)
    if "names" in more:
        made.task_names = more["names"]
    return made


def cells(fig):
    """The numbers in the cells, by their place (task learned, task tested)."""
    return {(text.get_position()[::-1]): text.get_text() for text in fig.axes[0].texts}


@pytest.mark.parametrize("networks", [None, 1, 4])
def test_the_matrix_shows_the_mean_over_networks(networks):
    shown = history(4, networks=networks, learned=3)
    fig = matrix(shown)
    assert type(fig) is Figure
    mean = shown.test_accuracy if networks is None else shown.test_accuracy.mean(axis=0)
    expected = {(i, j): f"{mean[i, j]:.3f}" for i in range(3) for j in range(4)}
    assert cells(fig) == expected
    (image,) = fig.axes[0].images
    assert np.array_equal(image.get_array().filled(np.nan), mean, equal_nan=True)
    assert image.get_clim()[0] <= np.nanmin(mean) and image.get_clim()[1] == 1
    label = "Accuracy (test)" + (f", mean of {networks} networks" if networks else "")
    assert fig.axes[1].get_ylabel() == label


def test_numbers_in_the_matrix_can_be_read_on_their_colours():
    fig = matrix(history(6))
    (image,) = fig.axes[0].images
    fig.canvas.draw()
    for text in fig.axes[0].texts:
        behind = np.array(image.cmap(image.norm(float(text.get_text()))))[:3]
        front = {"white": 1.0, "black": 0.0}[text.get_color()]
        # the contrast of the WCAG, whose least for large text is 3
        light = sorted(relative_luminance(colour) + 0.05 for colour in (behind, np.full(3, front)))
        assert light[1] / light[0] > 3


def relative_luminance(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def labels(ticks):
    return [text.get_text() for text in ticks]


def test_tasks_are_called_by_name_or_by_number():
    for shown, expected in (
        (history(2, names=["0 or 1", "2 or 3"]), ["0 or 1", "2 or 3"]),
        (history(2), ["task 1", "task 2"]),
    ):
        ax = matrix(shown).axes[0]
        assert labels(ax.get_xticklabels()) == labels(ax.get_yticklabels()) == expected
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Task tested", "Task learned last")
        assert [text.get_text() for text in learning_curve(shown).axes[0].texts] == expected


def test_scores_of_a_regression_have_colours_too():
    shown = history(2)
    shown.test_accuracy -= 3
    fig = matrix(shown)
    low, high = fig.axes[0].images[0].get_clim()
    assert low == shown.test_accuracy.min() and high == 0
    assert fig.axes[1].get_ylabel() == "Score (test)"


def drawn(ax):
    """The points of each line that is in the legend, by its label: (epochs, values)."""
    found, label = {}, None
    for line in ax.lines:
        if line.get_linestyle() == ":":
            continue
        label = label if line.get_label().startswith("_") or not line.get_label() else (
            line.get_label()
        )  # fmt: skip
        found.setdefault(label, []).append(np.array(line.get_data()))
    return {label: np.concatenate(parts, axis=1) for label, parts in found.items()}


@pytest.mark.parametrize("networks", [None, 4])
def test_the_learning_curve_shows_loss_and_penalty_of_every_epoch(networks):
    shown = history(3, epochs=2, networks=networks)
    (ax,) = learning_curve(shown).axes
    lines = drawn(ax)
    assert list(lines) == ["loss", "penalty"]
    for name, (epochs, values) in lines.items():
        expected = np.array([np.mean(entry[name]) for entry in shown.epochs])
        assert epochs.tolist() == [1, 2, 3, 4, 5, 6]
        assert np.allclose(values, expected)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Loss")
    assert labels(ax.get_legend().get_texts()) == ["loss", "penalty"]
    bands = ax.collections
    assert len(bands) == (0 if networks is None else 6)
    if networks:
        values = np.array([entry["loss"] for entry in shown.epochs[:2]])
        upper = (values.mean(axis=1) + sem(values.T)).max()
        assert np.isclose(bands[0].get_paths()[0].vertices[:, 1].max(), upper)


def test_lines_end_where_a_task_ends():
    (ax,) = learning_curve(history(3, epochs=4)).axes
    between = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert between == [4.5, 8.5]
    curves = [line.get_xdata() for line in ax.lines if line.get_linestyle() != ":"]
    assert not any((min(x) < edge < max(x)) for x in curves for edge in between)


def test_no_penalty_and_no_line_for_it():
    shown = history()
    for entry in shown.epochs:
        entry["penalty"] = 0.0
    assert list(drawn(learning_curve(shown).axes[0])) == ["loss"]


def test_accuracy_per_epoch_has_a_panel_if_the_history_has_it():
    shown = history(2, networks=3, measures=("test_accuracy", "train_accuracy"))
    upper, lower = learning_curve(shown).axes
    assert list(drawn(upper)) == ["loss", "penalty"]
    lines = drawn(lower)
    assert list(lines) == [f"task {n} ({part})" for part in ("test", "train") for n in (1, 2)]
    expected = [np.mean(entry["train_accuracy"], axis=0)[1] for entry in shown.epochs]
    assert np.allclose(lines["task 2 (train)"][1], expected)
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("Loss", "Accuracy")
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "Epoch")


@pytest.mark.parametrize("draw", [matrix, learning_curve])
def test_a_figure_is_saved_where_it_is_asked_for(draw, tmp_path):
    heads = {".png": b"\x89PNG", ".PDF": b"%PDF", ".svg": b"<?xml"}
    for ending, head in heads.items():
        path = tmp_path / "new" / f"figure{ending}"
        draw(history(), str(path))
        assert path.read_bytes().startswith(head)
    with pytest.raises(pysi.ConfigError, match=r"path: expected .* \.png, \.pdf, \.svg, found .*x"):
        draw(history(), tmp_path / "x")
    (tmp_path / "file").touch()
    with pytest.raises(pysi.DataError, match="file: expected a writable folder"):
        draw(history(), tmp_path / "file" / "x.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]


def test_a_history_without_content_is_a_config_error():
    empty = History(np.full((2, 2), np.nan), np.full((2, 2), np.nan))
    with pytest.raises(pysi.ConfigError, match="history: expected at least one task learned"):
        matrix(empty)
    with pytest.raises(pysi.ConfigError, match="history: expected at least one epoch"):
        learning_curve(empty)


def test_a_real_run_is_drawn():
    x = np.random.default_rng(0).random((20, 5), dtype=np.float32)
    tasks = [pysi.Task(name, x, np.arange(20) % 2, x, np.arange(20) % 2, np.ones(2, bool))
             for name in ("a", "b")]  # fmt: skip
    net = pysi.MLP([5, 4, 2], seed=[0, 1])
    run = pysi.train(
        net, pysi.SGD(0.1), pysi.SynapticIntelligence(1.0), tasks, epochs=2, batch_size=5
    )
    assert len(cells(matrix(run))) == 4
    assert drawn(learning_curve(run).axes[0])["loss"].shape == (2, 4)
