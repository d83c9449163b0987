"""Every method of the register: alone, side by side, stopped, swept, and where it does not fit."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.cli.options import parser
from pysi.experiments.cell import Cell, all_cells
from pysi.experiments.course import FAMILIES
from pysi.experiments.methods import METHODS
from pysi.experiments.outcomes import run_cell
from pysi.experiments.protocols import PROTOCOLS, PermutedMNIST, SplitCIFAR, SplitMNIST
from pysi.experiments.replicas import side_by_side
from pysi.experiments.result import Result
from pysi.experiments.run import execute, start
from pysi.experiments.sweep import Sweep, sweep_cells, validate
from pysi.history import Epoch

DOCS = Path(__file__).parents[1] / "docs"
EVERY = pytest.mark.parametrize("name", list(METHODS))
SMALL = {"hidden": (8,), "epochs": 1, "batch_size": 20, "dataset": "mnist-5k", "seeds": 1}


@pytest.fixture(scope="module")
def few():
    """A little of mnist-5k, of every digit."""
    whole = pysi.load_dataset("mnist-5k")
    picked = np.concatenate([np.flatnonzero(whole.y_train == k)[:24] for k in range(10)])
    tested = np.concatenate([np.flatnonzero(whole.y_test == k)[:5] for k in range(10)])
    return replace(
        whole, x_train=whole.x_train[picked], y_train=whole.y_train[picked],
        x_test=whole.x_test[tested], y_test=whole.y_test[tested],
    )  # fmt: skip


def config_of(name, scenario=None, **more):
    scenario = scenario or next(s for s in SplitMNIST.scenarios if s not in METHODS[name].unfit)
    return SplitMNIST(methods=(name,), scenario=scenario, **SMALL | more)


def histories(cells, dataset):
    return [history for cell in cells for history in cell.train(dataset)[1].replicas()]


@EVERY
def test_a_method_learns_in_every_scenario_that_it_fits(name, few):
    for scenario in SplitMNIST.scenarios:
        if scenario in METHODS[name].unfit:
            with pytest.raises(pysi.ConfigError, match=f"expected {name} with the scenario"):
                config_of(name, scenario)
            continue
        (cell, *_) = all_cells(config_of(name, scenario))
        (history,) = histories([cell], few)
        assert np.isfinite(history.train_accuracy).all()
        assert history.train_accuracy[-1].max() > 0


@EVERY
def test_networks_side_by_side_end_where_each_ends_alone(name, few):
    config = config_of(name, seeds=2, dtype="float64")
    cells = all_cells(config)
    together = side_by_side(cells, few)
    assert len(together) <= len({cell.c for cell in cells})
    if METHODS[name].alike:
        assert all(len(set(one.c)) == 1 for one in together)
    order = [cell.key for one in together for cell in one.cells]
    cells.sort(key=lambda cell: order.index(cell.key))
    for alone, beside in zip(histories(cells, few), histories(together, few), strict=True):
        assert np.allclose(alone.test_accuracy, beside.test_accuracy, atol=1e-12)
        for a, b in zip(alone.epochs, beside.epochs, strict=True):
            assert np.allclose(a["loss"], b["loss"], rtol=1e-9)


@EVERY
def test_a_method_that_was_stopped_within_a_task_goes_on_with_the_same_bits(name, few, tmp_path):
    config = config_of(name, epochs=2)
    (cell, *_) = all_cells(config)
    whole, expected = cell.train(few)
    stop_in = 1 if cell.how.trains.together or cell.how.trains.first_only else 3

    def stop(event):
        if isinstance(event, Epoch) and (event.task, event.epoch) == (stop_in, 1):
            raise KeyboardInterrupt

    saved = cell.resumable(tmp_path, 1)
    saved.interval = 0
    with pytest.raises(KeyboardInterrupt):
        cell.train(few, [saved, stop])
    again = cell.resumable(tmp_path, 1)
    net, history = cell.train(few, [again])
    assert np.array_equal(history.test_accuracy, expected.test_accuracy)
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.trunk])
def test_a_branch_from_the_trunk_ends_where_a_whole_run_ends(name, few, tmp_path):
    (cell, *_) = all_cells(config_of(name))
    (tmp_path / "checkpoints").mkdir()
    run_cell(cell.trunk, few, tmp_path, 1, lambda told: None)
    (found,) = run_cell(cell, few, tmp_path, 1, lambda told: None)
    assert np.array_equal(found["test_accuracy"], cell.train(few)[1].test_accuracy)


def test_all_methods_are_run_and_told_in_one_table(few, tmp_path):
    names = tuple(n for n in SplitMNIST.offers() if "task" not in METHODS[n].unfit)
    config = SplitMNIST(methods=names, **SMALL)
    cells = all_cells(config)
    result = start(config, few, tmp_path, cells)
    execute(cells, result, few, tmp_path)
    table = Result.load(tmp_path).table()
    for method, _ in result.curves():
        assert re.search(rf"^{method} ", table, re.MULTILINE)
    assert result.content["chance"] == 0.5


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.grid])
def test_a_strength_is_chosen_by_a_sweep(name, few, tmp_path):
    grid = METHODS[name].grid[:2]
    config = config_of(name, strengths=tuple(f"{name}={c}" for c in grid))
    held = few.hold_out()
    cells = sweep_cells(config, [config.xi])
    sweep = start(config, held, tmp_path, cells, kind=Sweep, xi=[config.xi], chosen=None)
    execute(cells, sweep, held, tmp_path, work=validate)
    assert Sweep.load(tmp_path).choose()["c"] in grid
    assert f"{grid[0]:g}" in sweep.table()


def test_strengths_of_single_methods_take_the_place_of_lists():
    config = SplitMNIST(
        methods=("si", "ewc", "lwf"), strengths=("ewc=5", "ewc=7", "lwf=2"), **SMALL
    )
    found = {(cell.method, cell.c) for cell in all_cells(config)}
    assert found == {("fine-tuning", 0.0), ("si", 1.0), ("ewc", 5.0), ("ewc", 7.0), ("lwf", 2.0)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strengths": ("mas",)}, "strengths: expected entries such as mas=0.1, found mas"),
        ({"strengths": ("nothing=1",)}, "methods: expected one of"),
        ({"strengths": ("mas=much",)}, "strengths: expected numbers for mas, found much"),
        ({"strengths": ("mas=1", "mas=1")}, "strengths of mas: expected one or more different"),
        ({"strengths": ("lower-rate=1.5",)}, "r: expected a rate from 0 to 1"),
        ({"strengths": ("replay=0",)}, "per_class"),
        ({"strengths": ("replay=2.5",)}, "per_class"),
        ({"strengths": ("sgd=0",)}, "lr: expected a positive learning rate"),
        ({"scenario": "klass"}, "scenario: expected task or domain or class"),
        ({"methods": ("progressive",), "scenario": "domain"}, "the network must be told the task"),
        ({"methods": ("lfl",), "scenario": "task"}, "it needs one readout for all tasks"),
        ({"units": "sigmoid"}, "units: expected relu or maxout or lwta"),
        ({"units": "maxout", "pieces": 3, "hidden": (8,)}, "3"),
        ({"classes": (4, 4, 4)}, "classes: expected at most 10 digits"),
        ({"classes": (0, 4)}, "classes: expected a whole number"),
        ({"reset_optimizer": "half"}, "reset_optimizer: expected True, False or one of"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(settings, message):
    with pytest.raises(pysi.ConfigError, match=re.escape(message)):
        SplitMNIST(**SMALL | settings)


def test_methods_that_need_split_tasks_are_refused_elsewhere():
    with pytest.raises(pysi.ConfigError, match="methods: expected some of"):
        PermutedMNIST(methods=("progressive",))
    for name in ("progressive", "maxout"):
        with pytest.raises(pysi.ConfigError, match="methods: expected"):
            SplitCIFAR(methods=(name,))


def test_unequal_tasks_are_learned_in_every_scenario(few):
    for scenario, units in (("task", 10), ("domain", 5), ("class", 10)):
        config = config_of("si", scenario, classes=(2, 3, 5))
        (cell, *_) = all_cells(config)
        net, history = cell.train(few)
        assert net.output_shape == (units,)
        assert history.test_accuracy.shape == (3, 3)


@pytest.mark.parametrize("value", [True, False, "full", "moments", "none"])
def test_a_reset_is_recorded_as_older_results_have_it(value):
    expected = {"full": True, "none": False}.get(value, value) if isinstance(value, str) else value
    assert SplitMNIST(**SMALL, reset_optimizer=value).reset_optimizer == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", None), ("--reset-optimizer", True), ("--no-reset-optimizer", False),
        ("--reset-optimizer moments", "moments"), ("--reset-optimizer none", "none"),
    ],
)  # fmt: skip
def test_the_command_line_takes_all_three_modes(words, expected):
    args = vars(parser().parse_args(f"run split-mnist {words}".split()))
    assert args.get("reset_optimizer") == expected


COMMANDS = [
    (page.name, line)
    for page in sorted([*DOCS.glob("methods/*.md"), DOCS / "scenarios.md", DOCS / "reset.md"])
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("pysi ")
]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_the_commands_of_the_pages_are_understood(page, line):
    args = vars(parser().parse_args(shlex.split(line, comments=True)[1:]))
    if args.pop("command") in ("run", "sweep"):
        protocol = PROTOCOLS[args.pop("experiment")]
        all_cells(protocol(**protocol.fitting(args) | args))


def test_every_method_has_a_page_and_a_family():
    page = (DOCS / "methods" / "index.md").read_text()
    for name, method in METHODS.items():
        assert method.family in FAMILIES
        if method.family != "mistake" and name not in ("single", "scratch"):
            assert f"`{name}`" in page, name


def test_a_method_has_one_cell_of_its_own():
    cell = Cell(config_of("lwf"), "lwf", 1.0, 0)
    assert cell.name == "lwf-c1-seed0"
    assert METHODS["lwf"].title(2) == "LwF, λ = 2"
