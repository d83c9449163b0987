"""One cell of a grid at a time: what it trains on, what it shares with others, what it leaves."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.experiments.cell import Cell, all_cells
from pysi.experiments.methods import METHODS
from pysi.experiments.omega import omega_file
from pysi.experiments.outcomes import run_cell
from pysi.experiments.protocols import PermutedMNIST, SplitCIFAR, SplitMNIST
from pysi.experiments.result import Result, key
from pysi.experiments.run import execute, resume, start
from pysi.experiments.sweep import Sweep, sweep_cells, validate
from pysi.history import TaskLearned
from pysi.layers import Dropout
from pysi.scenarios import joint_task
from pysi.storage.tables import SAVED
from strategies import toy_dataset, toy_tasks
from test_experiments import numbers

CONFIG = PermutedMNIST(
    methods=("single", "si", "ewc", "online-ewc", "dropout", "joint"),
    c=(0.0, 0.1), ewc_c=(30.0,), seeds=2, epochs=2, tasks=3, hidden=(20,), batch_size=50,
    dataset="mnist-5k",
)  # fmt: skip
CELLS = {cell.name: cell for cell in all_cells(CONFIG)}
BRANCHES = ["fine-tuning-seed0", "si-c0.1-seed0", "si-c0.1-seed1", "ewc-c30-seed0",
            "online-ewc-c30-seed0"]  # fmt: skip
STATE = {"synapses.omega": np.ones(3)}
WATCHED = ["single-seed1", *BRANCHES[:3]]


def run(cells, dataset, out, config=CONFIG):
    """Run cells into a new folder. Returns the result, and what was reported of every epoch."""
    return go_on(cells, start(config, dataset, out, cells), dataset, out)


def go_on(cells, result, dataset, out, work=run_cell, tell=lambda event: None):
    events = []

    def watched(cell, dataset, out, threads, report):
        def both(event):
            events.append(event)
            tell(event)

        return work(cell, dataset, out, threads, both)

    execute(cells, result, dataset, out, work=watched)
    return result, events


@pytest.fixture(scope="module")
def dataset(mnist_5k):
    """Real digits, but few."""
    parts = ("x_train", "y_train", "x_test", "y_test")
    return replace(mnist_5k, **{part: getattr(mnist_5k, part)[::5] for part in parts})


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """The result of all cells, its folder, and all epochs."""
    out = tmp_path_factory.mktemp("cells") / "result"
    result, events = run(list(CELLS.values()), dataset, out)
    return result, out, events


def entry_of(result, cell):
    (found,) = (entry for entry in result.runs if key(entry) == cell.key)
    return found


def alone(cell, dataset, result):
    """Train a cell in one go, without files. Returns its table, history and ω after every task."""
    from threadpoolctl import threadpool_limits

    omega = []

    def keep(event):
        if isinstance(event, TaskLearned):
            omega.append(event.run.net.synapses.omega.copy())

    threads = result.content["environment"]["blas_threads"]
    with threadpool_limits(threads, user_api="blas"):
        net, history = cell.train(dataset, [keep])
    return net.synapses, history, omega


def check_same_bits(cell, result, out, dataset):
    """What a run has left equals the cell trained alone, bit for bit."""
    entry = entry_of(result, cell)
    table, history, omega = alone(cell, dataset, result)
    saved = pysi.Synapses.load(out / entry["synapses"])
    for row in SAVED:
        assert np.array_equal(getattr(saved, row), getattr(table, row)), row
    for part in ("test_accuracy", "train_accuracy"):
        assert entry[part] == getattr(history, part).tolist()
    for one, other in zip(entry["epochs"], history.epochs, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    files = [omega_file(out, cell, task) for task in range(1, 1 + len(omega))]
    if cell.how.omega:
        for path, row in zip(files, omega, strict=True):
            assert np.array_equal(np.load(path)["omega"], row), path
    else:
        assert entry["omega_correlation"] is None
        assert not list((out / "omega").glob(f"{cell.name}-*"))


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_of_a_shared_task_1_has_the_bits_of_a_run_of_its_own(finished, dataset, name):
    result, out, _ = finished
    cell = CELLS[name]
    check_same_bits(cell, result, out, dataset)
    penalties = [epoch["penalty"] for epoch in entry_of(result, cell)["epochs"]]
    assert penalties[:2] == [0, 0]
    assert all(penalty > 0 for penalty in penalties[2:]) == (cell.c > 0)


@pytest.mark.parametrize("name", ["single-seed0", "dropout-seed0", "joint-seed0"])
def test_the_others_too_have_the_bits_of_a_run_of_their_own(finished, dataset, name):
    result, out, _ = finished
    check_same_bits(CELLS[name], result, out, dataset)


def test_task_1_is_trained_once_a_seed_for_all_branches(finished):
    result, _, events = finished
    assert set(Counter(events).values()) == {1}
    assert len(events) == sum(cell.epochs for cell in CELLS.values())
    began = {name for name, task, _ in events if task == 1}
    assert began == {f"{n}-seed{s}" for n in ("single", "dropout", "joint") for s in (0, 1)}
    for cell in CELLS.values():
        if cell.trunk:
            # their seconds too, which no two trainings share
            shared = entry_of(result, cell.trunk)["epochs"]
            assert entry_of(result, cell)["epochs"][: CONFIG.epochs] == shared


def test_one_task_1_serves_every_c_and_xi(dataset, tmp_path):
    config = replace(CONFIG, methods=("si",), c=(0.1, 0.3), seeds=1, tasks=2)
    cells = [cell for xi in (0.1, 0.01) for cell in all_cells(replace(config, xi=xi))]
    result, events = run(cells, dataset, tmp_path, config)
    assert sorted(entry["xi"] for entry in result.runs) == [0.01, 0.01, 0.1, 0.1]
    finals = set()
    for cell in cells:
        check_same_bits(cell, result, tmp_path, dataset)
        finals.add(entry_of(result, cell)["epochs"][-1]["loss"])
    assert len(finals) == 4
    assert [event for event in events if event[1] == 1] == [
        ("single-seed0", 1, 1),
        ("single-seed0", 1, 2),
    ]


@pytest.mark.parametrize("name", ["si-c0.1-seed0", "ewc-c30-seed0", "joint-seed0"])
def test_a_device_gives_numpy_s_bits(finished, dataset, tmp_path, monkeypatch, name):
    result, out, _ = finished
    cell = CELLS[name]
    monkeypatch.setattr("pysi.experiments.protocol.device_namespace", lambda name: strict_array)
    found, _ = run([cell], dataset, tmp_path)
    assert numbers(found) == numbers(Result({"runs": [entry_of(result, cell)]}))
    one, other = (pysi.Synapses.load(folder / "synapses" / f"{name}.npz")
                  for folder in (out, tmp_path))  # fmt: skip
    for row in SAVED:
        assert np.array_equal(getattr(one, row), getattr(other, row)), row


def test_a_sweep_shares_task_1_as_well(dataset, tmp_path):
    config = replace(CONFIG, methods=("si",), c=(0.1, 0.3), seeds=1, tasks=2)
    dataset, cells = dataset.hold_out(), sweep_cells(config, [0.1, 0.01])
    begun = start(config, dataset, tmp_path, cells, kind=Sweep, xi=[0.1, 0.01])
    result, events = go_on(cells, begun, dataset, tmp_path, work=validate)
    assert len(result.runs) == 4
    assert [task for _, task, _ in events] == [1] * 2 + [2] * 8
    for entry, cell in ((entry_of(result, cell), cell) for cell in cells):
        _, history, _ = alone(cell, dataset, result)
        assert entry["validation_accuracy"] == history.test_accuracy.tolist()


def test_c_0_is_fine_tuning_and_nothing_is_run_twice():
    config = replace(CONFIG, methods=("fine-tuning", "si", "single"), c=(0.0, 0.1), seeds=2)
    assert [(cell.seed, cell.method, cell.c) for cell in all_cells(config)] == [
        (0, "fine-tuning", 0), (0, "si", 0.1), (0, "single", 0),
        (1, "fine-tuning", 0), (1, "si", 0.1), (1, "single", 0),
    ]  # fmt: skip


def test_which_tasks_a_method_learns_and_which_it_is_tested_on(finished):
    result, _, _ = finished
    shapes = {cell.method: np.shape(entry_of(result, cell)["test_accuracy"])
              for cell in CELLS.values()}  # fmt: skip
    assert shapes == {
        "single": (1, 1), "fine-tuning": (3, 3), "si": (3, 3), "ewc": (3, 3),
        "online-ewc": (3, 3), "dropout": (3, 3), "joint": (1, 3),
    }  # fmt: skip


@pytest.mark.parametrize("reset", [True, False])
def test_it_is_the_library_s_training_and_adam_is_reset_as_configured(dataset, reset):
    config = replace(CONFIG, reset_optimizer=reset, tasks=2, epochs=1)
    net, _ = Cell(config, "si", 0.1, 5).train(dataset)
    own, rule = pysi.MLP((784, 20, 10), seed=5), pysi.SynapticIntelligence(0.1, xi=0.1)
    tasks = pysi.permuted_tasks(dataset, 2)
    pysi.train(own, pysi.Adam(), rule, tasks, epochs=1, batch_size=50, reset_optimizer=reset)
    assert np.array_equal(net.synapses.theta, own.synapses.theta)


def test_joint_training_learns_all_tasks_at_once(finished, dataset):
    (accuracy, *_) = finished[0].select("joint")
    (forgetful, *_) = finished[0].select("fine-tuning")
    assert accuracy.min() > 0.6
    assert forgetful[0, 1:].max() < 0.3  # a task must have been seen


def test_the_joint_task_holds_every_example_as_its_task_shows_it():
    tasks = pysi.permuted_tasks(toy_dataset(n=5), 3)
    together = joint_task(tasks)
    for name in ("train", "test"):
        x, y = together.part(name)
        rows = zip(np.split(x, 3), np.split(y, 3), tasks, strict=True)
        for inputs, labels, task in rows:
            assert np.array_equal(inputs, task.part(name)[0])
            assert np.array_equal(labels, task.part(name)[1])
    assert len(np.unique(np.split(together.x_train, 3), axis=0)) == 3
    assert together.active.all()


def test_tasks_that_share_some_classes_are_not_learned_jointly():
    first, second, *_ = toy_tasks()
    both = replace(second, active=first.active | second.active)
    third = replace(toy_tasks()[2], active=second.active | toy_tasks()[2].active)
    with pytest.raises(pysi.ConfigError, match="class 0 in both '2 or 3' and '0 or 1'"):
        joint_task([both, third, first])
    last = toy_tasks()[2]
    some = replace(second, active=second.active | last.active)
    with pytest.raises(pysi.ConfigError, match="class 4 in both '2 or 3' and '4 or 5'"):
        joint_task([first, some, last])


def test_dropout_has_its_own_task_1(dataset):
    probabilities = {}
    for cell in CELLS.values():
        net, _ = replace(cell, config=replace(CONFIG, epochs=1, tasks=1)).train(dataset)
        found = [layer.p for layer in net.layers if isinstance(layer, Dropout)]
        probabilities[cell.method] = found
    assert probabilities.pop("dropout") == [0.5]
    assert not any(probabilities.values())
    without = {cell.method for cell in CELLS.values() if cell.trunk is None}
    assert without == {"single", "dropout", "joint"}


@pytest.mark.parametrize("name", WATCHED)
def test_correlations_are_those_of_the_omega_that_is_kept(finished, name):
    result, out, _ = finished
    cell = CELLS[name]
    found = entry_of(result, cell)["omega_correlation"]
    n = 1 if cell.method == "single" else 3
    omega = np.array([np.load(omega_file(out, cell, task))["omega"] for task in range(1, n + 1)])
    table = pysi.Synapses.load(out / entry_of(result, cell)["synapses"])
    assert found.keys() == {"dense1.W", "dense2.W"}
    for group, matrix in found.items():
        expected = np.corrcoef(omega[:, table.group(group).columns])
        # they are stored with six decimals
        assert np.allclose(matrix, expected, rtol=0, atol=6e-7)
        assert n == 1 or (abs(expected - np.eye(n)) > 1e-3).sum() == n * (n - 1)


def test_a_result_is_extended_by_what_is_missing(finished, dataset, tmp_path):
    whole, folder, _ = finished
    small = replace(CONFIG, methods=("si",), c=(0.1,), seeds=1)
    first, events = run(all_cells(small), dataset, tmp_path, small)
    assert {name for name, *_ in events} == {"single-seed0", "si-c0.1-seed0"}
    (kept,) = json.loads(json.dumps(first.runs))

    lists = {"methods": ("single", "si", "ewc"), "c": (0.0, 0.1), "seeds": 2}
    again, config = resume(tmp_path, **lists)
    assert config == replace(CONFIG, **lists)
    again, events = go_on(all_cells(config), again, dataset, tmp_path)
    assert "si-c0.1-seed0" not in {name for name, *_ in events}
    assert kept in again.runs
    assert Result.load(tmp_path).content["config"] == json.loads(
        json.dumps(again.content["config"])
    )
    names = [cell.key for cell in all_cells(config)]
    expected = Result({"runs": [entry for entry in whole.runs if key(entry) in names]})
    assert len(expected.runs) == len(names) == 8
    assert numbers(again) == numbers(expected)
    for path in [*tmp_path.glob("omega/*"), *tmp_path.glob("synapses/*")]:
        one, other = np.load(path), np.load(folder / path.relative_to(tmp_path))
        for row in one.files:
            assert np.array_equal(one[row], other[row]), path

    fewer, config = resume(tmp_path, methods=("si",), c=(0.1,), seeds=1)
    fewer, events = go_on(all_cells(config), fewer, dataset, tmp_path)
    assert not events
    assert fewer.runs == again.runs


@pytest.mark.parametrize("setting", ["epochs", "xi", "hidden", "lr"])
def test_a_result_is_extended_with_its_own_settings_only(finished, setting):
    _, out, _ = finished
    with pytest.raises(pysi.ConfigError, match=f"^{setting}: "):
        resume(out, seeds=1, **{setting: getattr(CONFIG, setting)})


class Stopped(Exception):
    pass


def test_a_stopped_cell_goes_on_in_the_middle(finished, dataset, tmp_path):
    def stop(event):
        if event == ("si-c0.1-seed0", 3, 1):
            raise Stopped

    config = replace(CONFIG, methods=("si",), c=(0.1,), seeds=1)
    begun = start(config, dataset, tmp_path, all_cells(config))
    with pytest.raises(Stopped):
        go_on(all_cells(config), begun, dataset, tmp_path, tell=stop)
    again, config = resume(tmp_path)
    assert not again.content["complete"]
    again, events = go_on(all_cells(config), again, dataset, tmp_path)
    # what is lost is what has happened since the last task's end
    assert events == [("si-c0.1-seed0", 3, 1), ("si-c0.1-seed0", 3, 2)]
    (cell,) = all_cells(config)
    check_same_bits(cell, again, tmp_path, dataset)
    whole = Result({"runs": [entry_of(finished[0], cell)]})
    assert numbers(again) == numbers(whole)
    assert len(again.runs[0]["consolidation_s"]) == 3


def test_consolidation_is_timed_once_a_task(finished):
    for entry in finished[0].runs:
        assert len(entry["consolidation_s"]) == len(entry["test_accuracy"])
        assert 0 < sum(entry["consolidation_s"]) < entry["duration_s"]


strengths = st.floats(0, 1e6)
methods = st.sampled_from(sorted(METHODS))


@st.composite
def close_cells(draw):
    """Two different cells, often with strengths or dampings that differ in the last bit only."""

    def near(value):
        return draw(st.one_of(st.just(value), st.just(np.nextafter(value, 2)), strengths))

    c, xi, method = draw(strengths), draw(strengths), draw(methods)
    config = replace(CONFIG, xi=xi)
    one = Cell(config, method, c, draw(st.integers(0, 20)))
    other = Cell(
        replace(config, xi=float(near(xi))),
        draw(st.one_of(st.just(method), methods)),
        float(near(c)),
        draw(st.one_of(st.just(one.seed), st.integers(0, 20))),
    )
    return one, other


@given(close_cells())
def test_different_cells_share_no_file(tmp_path_factory, cells):
    def meaning(cell):
        """The key, without what has no effect."""
        c = cell.c if METHODS[cell.method].strengths else None
        return cell.method, c, None if cell.method == "single" else cell.config.xi, cell.seed

    one, other = cells
    assume(meaning(one) != meaning(other))
    out = tmp_path_factory.getbasetemp()
    assert one.name != other.name
    paths = [cell.checkpoint(out, 1).path for cell in cells]
    assert paths[0] != paths[1]
    assert {path.name for path in paths} == {f"{cell.name}.npz" for cell in cells}
    assert omega_file(out, one, 2) != omega_file(out, other, 2)
    assert omega_file(out, one, 1) != omega_file(out, one, 2)


def test_names_are_short_for_round_numbers():
    names = [Cell(replace(CONFIG, xi=xi), method, c, 3).name
             for method, c, xi in (("si", 1.0, 0.1), ("si", 1e-7, 1e-3), ("ewc", 30.0, 0.1),
                                   ("fine-tuning", 0.0, 0.1), ("single", 0.0, 1e-3))]  # fmt: skip
    assert names == [
        "si-c1-seed3", "si-c1e-07-xi0.001-seed3", "ewc-c30-seed3", "fine-tuning-seed3",
        "single-seed3",
    ]  # fmt: skip


def test_the_end_of_a_cell_removes_its_own_checkpoint_only(tmp_path):
    ends, stays = (Cell(CONFIG, "si", 0.1, seed).checkpoint(tmp_path, 1) for seed in (1, 10))
    for checkpoint in (ends, stays):
        for _ in range(2):
            checkpoint.save({}, {}, due=True)
    ends.remove()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["si-c0.1-seed10.npz", "si-c0.1-seed10.previous.npz"]


@pytest.mark.parametrize(
    "change",
    [
        {"c": (0.5,)},
        {"ewc_c": (7.0,)},
        {"xi": 0.5},
        {"clamp": "none"},
        {"methods": ("ewc",)},
        {"seeds": 1},
        {"tasks": 2},
    ],
    ids=str,
)
def test_what_does_not_touch_task_1_may_change_after_it(tmp_path, change):
    CELLS["si-c0.1-seed0"].trunk.checkpoint(tmp_path, 1).save(STATE, {"epoch": 2}, due=True)
    for cell in all_cells(replace(CONFIG, **change)):
        if cell.trunk and cell.seed == 0:
            assert cell.resumable(tmp_path, 1).load()[1] == {"epoch": 2}


@pytest.mark.parametrize(
    ("change", "threads"), [({"lr": 1e-4}, 1), ({"epochs": 3}, 1), ({"hidden": (21,)}, 1), ({}, 2)]
)
def test_what_does_is_refused(tmp_path, change, threads):
    CELLS["si-c0.1-seed0"].trunk.checkpoint(tmp_path, 1).save({}, {}, due=True)
    named = next(iter(change), "blas_threads")
    with pytest.raises(pysi.ConfigError, match=f"with {named} = "):
        Cell(replace(CONFIG, **change), "si", 0.1, 0).resumable(tmp_path, threads).load()


@pytest.mark.parametrize("protocol", [SplitMNIST, SplitCIFAR])
def test_where_the_number_of_tasks_is_part_of_task_1_it_may_not_change(tmp_path, protocol):
    whole, half = (Cell(protocol(tasks=tasks, xi=tasks), "si", 0.1, 0) for tasks in (2, 5))
    whole.trunk.checkpoint(tmp_path, 1).save({}, {}, due=True)  # another ξ is no matter
    with pytest.raises(pysi.ConfigError, match="with tasks = 5, found 2"):
        half.resumable(tmp_path, 1).load()


def test_a_branch_prefers_its_own_checkpoint(tmp_path):
    cell = CELLS["si-c0.1-seed0"]
    branch = cell.resumable(tmp_path, 1)
    assert branch.load() is None
    cell.trunk.checkpoint(tmp_path, 1).save(STATE, {"task": 0}, due=True)
    assert branch.load()[1] == {"task": 0}
    branch.save({}, {"task": 1}, due=True)
    assert branch.load()[1] == {"task": 1}
    assert cell.trunk.checkpoint(tmp_path, 1).load()[1] == {"task": 0}
