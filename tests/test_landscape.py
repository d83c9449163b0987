"""The landscape: strengths chosen in each scenario, nothing run twice, one file that tells all."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pysi
from pysi.cli import main
from pysi.experiments.landscape import Landscape, Plan, beyond, compared
from pysi.experiments.methods import METHODS
from pysi.experiments.overview import Overview, collect
from pysi.experiments.protocols import PROTOCOLS, SplitMNIST
from pysi.experiments.result import Result
from pysi.experiments.sweep import Sweep

WORDS = (
    "landscape split-mnist --dataset mnist-5k --epochs 1 --methods si fine-tuning joint "
    "--seeds 2 --sweep-seeds 1 --jobs 1 --scenarios task class"
)


@pytest.fixture(scope="module")
def grid():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "si", replace(METHODS["si"], grid=(0.0, 1.0, 10.0)))
        patch.setitem(SplitMNIST.presets, "hsu", {"hidden": (10,), "batch_size": 64})
        yield


@pytest.fixture(scope="module")
def made(grid, tmp_path_factory):
    out = tmp_path_factory.mktemp("landscape") / "out"
    assert main([*WORDS.split(), "--out", str(out)]) == 0
    return out


def test_strengths_are_chosen_in_every_scenario_and_on_held_out_data(made):
    for scenario in ("task", "class"):
        sweep, result = (
            kind.load(made / scenario / name)
            for kind, name in ((Sweep, "sweep-si"), (Result, "run"))
        )
        assert {run["c"] for run in sweep.runs} >= {0, 1, 10}
        assert {one.content["config"]["scenario"] for one in (sweep, result)} == {scenario}
        assert sweep.content["dataset"]["n_test"] < result.content["dataset"]["n_train"]
        assert (
            sweep.content["dataset"]["n_train"] + sweep.content["dataset"]["n_test"]
            == result.content["dataset"]["n_train"]
        )
        (c,) = {run["c"] for run in result.runs if run["method"] == "si"} or {0.0}
        assert c == sweep.choose()["c"]


def test_the_file_holds_the_numbers_of_the_results(made):
    overview = Overview.load(made)
    assert list(overview.scenarios) == ["task", "class"]
    for scenario in overview.scenarios:
        result = Result.load(made / scenario / "run")
        for method, row in overview.rows(scenario).items():
            final = result.final(method, row["c"])
            assert np.allclose(row["final"], final, atol=1e-6)
            assert np.allclose(overview.accuracy(scenario, method), final.mean(axis=1), atol=1e-6)
            assert row["seeds"] == [0, 1]
            assert row["parameters"] == 784 * 10 + 10 + 10 * 10 + 10
        chance = overview.scenarios[scenario]["chance"]
        assert chance == {"task": 0.5, "class": 0.1}[scenario]
        kinds = overview.scenarios[scenario]["libraries"]
        for run in result.runs:
            assert {"blas": sorted(run["blas"], key=str), "numba": run["numba"]} in kinds
        assert len(kinds) <= 2  # formulas may have become loops in some runs
    assert overview.content == collect(made).content


def test_differences_are_paired_by_seed(made):
    overview = Overview.load(made)
    row = overview.rows("task")["joint"]
    before = overview.difference("task", "joint", "fine-tuning")
    row["seeds"], row["final"] = row["seeds"][::-1], row["final"][::-1]  # the same, told otherwise
    assert np.array_equal(overview.difference("task", "joint", "fine-tuning"), before[::-1])


def test_what_is_there_is_not_run_again(made, capsys, monkeypatch):
    before = {path: path.read_bytes() for path in made.rglob("*.json")}
    monkeypatch.setattr("pysi.training.Run.learn", None)  # whoever trains fails
    assert main(["landscape", "split-mnist", "--resume", str(made), "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "class-incremental" in told and "chance 0.1" in told
    for path, text in before.items():
        a, b = (json.loads(t) for t in (text, path.read_bytes()))
        assert a.get("runs") == b.get("runs") and a.get("scenarios") == b.get("scenarios")


def test_it_goes_on_with_more_seeds_and_methods(made, tmp_path):
    words = f"landscape split-mnist --resume {made} --jobs 1 --seeds 3 --scenarios task"
    assert main([*words.split(), "--methods", "fine-tuning", "ewc"]) == 0
    rows = Overview.load(made).rows("task")
    assert rows["fine-tuning"]["seeds"] == [0, 1, 2]
    assert rows["joint"]["seeds"] == [0, 1]
    assert rows["ewc"]["seeds"] == [0, 1, 2]


def test_the_figure_is_drawn_again(made, tmp_path):
    assert main(["figure", str(made), "--out", str(tmp_path)]) == 0
    assert main(["figure", str(made / "landscape.json"), "--out", str(tmp_path / "b")]) == 0
    (tmp_path / "mine.json").write_bytes((made / "landscape.json").read_bytes())
    assert main(["figure", str(tmp_path / "mine.json"), "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c" / "landscape.svg").exists()
    for ending in ("png", "pdf", "svg"):
        assert (tmp_path / f"landscape.{ending}").stat().st_size > 1000


def test_a_grid_grows_in_equal_ratios():
    assert beyond((0.1, 1.0, 10.0), 10.0) == 100.0
    assert beyond((0.1, 1.0, 10.0), 0.1) == 0.01
    assert beyond((0.0, 0.25, 0.5, 1.0), 1.0) == 2.0


def test_a_strength_at_the_edge_extends_the_grid(grid, tmp_path, monkeypatch):
    dataset = pysi.load_dataset("mnist-5k")
    config = SplitMNIST(methods=("si",), epochs=1, hidden=(5,), dataset="mnist-5k", seeds=1)
    made = Landscape(Plan(config, ("si",), ("task",), 1), dataset, tmp_path)

    def rising(*args):
        cell = args[0]
        accuracy = [[cell.c / 1e6] * 5] * 5
        run = {"method": cell.method, "c": cell.c, "xi": cell.config.xi, "seed": cell.seed}
        return [run | {"validation_accuracy": accuracy, "train_accuracy": accuracy}]

    monkeypatch.setattr("pysi.experiments.landscape.validate", rising)
    monkeypatch.setattr("pysi.experiments.run.run_cell", rising)
    assert made.choose("si", config, tmp_path) == 1000.0  # 10 and two more


def test_every_method_is_compared_where_it_fits():
    for name in ("split-mnist", "permuted-mnist"):
        protocol = PROTOCOLS[name]
        for scenario in protocol.scenarios:
            methods = compared(protocol, scenario)
            assert {"fine-tuning", "si", "ewc", "joint"} <= set(methods)
            assert not {"single", "scratch"} & set(methods)
            assert all(METHODS[m].family != "mistake" for m in methods)
            protocol(methods=tuple(methods), scenario=scenario)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--scenarios klass", "scenario"),
        ("--methods nothing", "methods: expected one of"),
        ("--sweep-seeds 0", "sweep_seeds"),
        ("--seeds 0", "seeds"),
        ("--jobs 0", "jobs"),
        ("--jobs 2 --dask tcp://127.0.0.1:1", "jobs"),
        ("--resume somewhere", "plan"),
    ],
)
def test_what_is_wrong_is_refused_before_any_work(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(f"landscape split-mnist --dataset mnist-5k {words}".split()) in (1, 2)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("results/*/*"))


def test_other_settings_and_a_second_landscape_are_refused(made, capsys):
    assert main([*WORDS.split(), "--out", str(made)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["landscape", "permuted-mnist", "--resume", str(made)]) == 2
    assert "expected permuted-mnist" in capsys.readouterr().err
    words = ["landscape", "split-mnist", "--resume", str(made), "--epochs", "3", "--jobs", "1"]
    assert main(words) == 2
    assert "expected results with epochs 3, found 1" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["landscape.json", "plan.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_a_damaged_file_is_told(file, damage, tmp_path):
    (tmp_path / file).write_bytes(damage)
    with pytest.raises(pysi.DataError, match=file):
        Overview.load(tmp_path) if file == "landscape.json" else Plan.load(tmp_path)
