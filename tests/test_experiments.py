"""Protocols, runs in processes, resuming, results: everything between library and CLI."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.experiments.cell import all_cells
from pysi.experiments.protocols import PROTOCOLS, PermutedMNIST, SplitMNIST
from pysi.experiments.replicas import side_by_side
from pysi.experiments.result import Result, checksum, key
from pysi.experiments.run import execute, resume, start
from pysi.experiments.sweep import Sweep, sweep_cells
from pysi.figures import draw
from pysi.training import training_step

SMALL = {"epochs": 1, "hidden": (8,), "batch_size": 64, "dataset": "mnist-5k"}


def run(dataset, out, jobs=1, **settings):
    config = SplitMNIST(**(SMALL | settings))
    cells = all_cells(config)
    result = start(config, dataset, out, cells, jobs=jobs)
    execute(cells, result, dataset, out, jobs=jobs)
    return result


def numbers(result):
    """What must not depend on anything but the configuration: no durations, memory, libraries."""
    drop = {"duration_s", "consolidation_s", "peak_memory_mb", "blas"}
    return [
        {k: v for k, v in entry.items() if k not in drop}
        | {"epochs": [{k: v for k, v in e.items() if k != "seconds"} for e in entry["epochs"]]}
        for entry in result.runs
    ]


@pytest.fixture(scope="module")
def finished(mnist_5k, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "result"
    return run(mnist_5k, out, jobs=1, seeds=2), out


def test_the_result_says_everything(finished, mnist_5k):
    result, out = finished
    content = json.loads((out / "result.json").read_text())
    assert content.pop("sha256") == checksum(result.content)
    assert content == json.loads(json.dumps(result.content))
    assert content["complete"]
    assert content["config"]["c"] == [0.0, 1.0]
    assert content["dataset"]["name"] == "mnist-5k"
    assert content["dataset"]["checksums"] == mnist_5k.checksums
    assert content["environment"]["numpy"] == np.__version__
    assert content["chance"] == 0.5
    runs = content["runs"]
    assert [(r["method"], r["c"], r["xi"], r["seed"]) for r in runs] == [
        ("fine-tuning", 0, 1e-3, 0),
        ("fine-tuning", 0, 1e-3, 1),
        ("si", 1, 1e-3, 0),
        ("si", 1, 1e-3, 1),
    ]
    for entry in runs:
        assert np.shape(entry["test_accuracy"]) == np.shape(entry["train_accuracy"]) == (5, 5)
        assert len(entry["epochs"]) == len(entry["consolidation_s"]) == 5
        assert entry["omega_correlation"].keys() == {"dense1.W", "dense2.W"}
        assert entry["blas"][0]["num_threads"] >= 1
        table = pysi.Synapses.load(out / entry["synapses"])
        assert len(table) == 784 * 8 + 8 + 8 * 10 + 10
        assert (table.omega == 0).all()
        assert (table.Omega > 0).any()
    later = [e for e in runs[2]["epochs"] if e["task"] > 1]
    assert all(e["penalty"] > 0 for e in later)
    assert all(e["penalty"] == 0 for e in runs[0]["epochs"])
    assert not list(out.rglob("*.partial"))


def test_the_library_gives_the_same_numbers_as_the_experiment(finished, mnist_5k):
    net = pysi.MLP((784, 8, 10), seed=1, zero_readout=True)
    tasks = pysi.split_tasks(mnist_5k)
    rule = pysi.SynapticIntelligence(1.0)
    history = pysi.train(net, pysi.Adam(), rule, tasks, epochs=1, batch_size=64)
    (entry,) = (e for e in finished[0].runs if (e["c"], e["seed"]) == (1, 1))
    assert np.allclose(history.test_accuracy, entry["test_accuracy"], atol=0.02)


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(mnist_5k, tmp_path, monkeypatch):
    import joblib

    one = run(mnist_5k, tmp_path / "one", jobs=1, seeds=1, c=(0, 1), tasks=2)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2 * one.runs[0]["blas"][0]["num_threads"])
    two = run(mnist_5k, tmp_path / "two", jobs=2, seeds=1, c=(0, 1), tasks=2)
    assert numbers(one) == numbers(two)
    for name in ("fine-tuning-seed0.npz", "si-c1-seed0.npz"):
        a, b = (pysi.Synapses.load(tmp_path / d / "synapses" / name) for d in ("one", "two"))
        assert np.array_equal(a.table, b.table)


def test_resume_runs_only_what_is_missing(finished, mnist_5k, tmp_path):
    result, out = finished
    partial = Result(json.loads(json.dumps(result.content)))
    kept = partial.content["runs"].pop(1)
    partial.content["complete"] = False
    partial.content["runs"][0]["marker"] = "not run again"
    (tmp_path / "synapses").mkdir()
    partial.save(tmp_path)
    again, config = resume(tmp_path)
    assert config == SplitMNIST(**(SMALL | {"seeds": 2}))
    execute(all_cells(config), again, mnist_5k, tmp_path)
    names = {path.name for path in (tmp_path / "synapses").iterdir()}
    assert names == {"fine-tuning-seed1.npz", "single-seed1.npz"}  # and the task 1 it goes on from
    assert again.content["complete"]
    assert again.runs[0].pop("marker") == "not run again"
    assert numbers(again) == numbers(result)
    assert kept["seed"] == again.runs[1]["seed"] == 1


def test_resuming_with_other_data_is_refused(finished, mnist_5k, tmp_path):
    result, _ = finished
    result.save(tmp_path)
    again, config = resume(tmp_path)
    other = replace(mnist_5k, checksums={"pixels": "sha256:0"})
    with pytest.raises(pysi.DataError, match="begun with"):
        execute(all_cells(config), again, other, tmp_path)


def test_an_old_result_is_never_overwritten(finished, mnist_5k):
    result, out = finished
    before = (out / "result.json").read_bytes()
    with pytest.raises(pysi.ConfigError, match="--resume"):
        run(mnist_5k, out)
    assert (out / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"c": (-1.0,)},
        {"c": (float("nan"),)},
        {"c": ()},
        {"c": (1.0, 1.0)},
        {"ewc_c": (-1.0,)},
        {"ewc_c": ()},
        {"methods": ()},
        {"methods": ("si", "other")},
        {"seeds": 0},
        {"epochs": 0},
        {"epochs": 2.5},
        {"batch_size": 0},
        {"xi": -1e-3},
        {"clamp": "never"},
        {"tasks": 11},
        {"tasks": 3},
        {"tasks": 0},
        {"dtype": "float16"},
        {"device": "tpu"},
        {"dataset": "imagenet"},
        {"lr": 0.0},
        {"hidden": (0,)},
    ],
    ids=str,
)
def test_bad_settings_are_config_errors_before_any_work(settings):
    with pytest.raises(pysi.ConfigError, match=next(iter(settings))):
        SplitMNIST(**settings)


def test_the_default_is_the_paper_s_protocol():
    config = SplitMNIST()
    assert (config.c, config.seeds, config.epochs) == ((0.0, 1.0), 10, 10)
    assert (config.tasks, config.hidden, config.batch_size) == (5, (256, 256), 64)
    assert (config.xi, config.clamp, config.lr) == (1e-3, "cumulative", 1e-3)
    assert (config.methods, config.reset_optimizer) == (("si",), True)
    net, optimizer = config.make_network(0), config.make_optimizer()
    assert len(net.synapses) == 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10
    assert (optimizer.betas, optimizer.eps) == ((0.9, 0.999), 1e-8)


def test_permuted_mnist_in_small(mnist_5k, tmp_path):
    settings = {"methods": ("si",), "tasks": 2, "epochs": 2, "hidden": (30,)}
    config = PermutedMNIST(**(SMALL | settings))
    cells = all_cells(config)
    result = start(config, mnist_5k, tmp_path, cells)
    execute(cells, result, mnist_5k, tmp_path)
    assert result.content["chance"] == 0.1
    assert "domain-incremental" in result.table()
    assert not (tmp_path / "checkpoints").exists()
    for method, c in (("fine-tuning", 0), ("si", 0.1)):
        (accuracy,) = result.select(method, c)
        assert (np.diagonal(accuracy) > 0.6).all()  # each task is learned
        assert accuracy[0, 1] < 0.3  # and not before its turn


def test_the_defaults_of_permuted_mnist_are_the_paper_s():
    config = PermutedMNIST()
    assert (config.c, config.epochs, config.tasks) == ((0.0, 0.1), 20, 10)
    assert (config.hidden, config.batch_size, config.xi) == ((2000, 2000), 256, 0.1)
    assert (config.lr, config.clamp, config.reset_optimizer) == (1e-3, "cumulative", False)
    assert {cell.method for cell in all_cells(config)} == {
        "single", "fine-tuning", "si", "ewc", "dropout", "joint"
    }  # fmt: skip
    net = PermutedMNIST(hidden=(4, 3)).make_network(0)
    assert (net.synapses.group("dense3.W").theta != 0).any()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_quick_preset_is_less_of_the_same_experiment(name):
    protocol = PROTOCOLS[name]
    assert {"full", "quick"} <= protocol.presets.keys()
    full, quick = (protocol(**protocol.presets[preset]) for preset in ("full", "quick"))
    assert full == protocol()
    assert quick.epochs < full.epochs
    assert sum(cell.epochs for cell in all_cells(quick)) < 0.2 * sum(
        cell.epochs for cell in all_cells(full)
    )
    changed = {k for k, v in asdict(quick).items() if v != asdict(full)[k]}
    assert changed == protocol.presets["quick"].keys()
    assert (quick.methods, quick.xi) == (full.methods, full.xi)


PUBLISHED = Path(__file__).parents[1] / "docs" / "results"


@pytest.mark.parametrize(
    "name",
    [
        path.stem
        for path in sorted(PUBLISHED.glob("*.json"))
        if json.loads(path.read_text()).get("format") in Result.older + Sweep.older
    ],
)
def test_published_results_load_draw_and_have_the_names_of_their_runs(name, tmp_path):
    result = Result.load(PUBLISHED / f"{name}.json")
    assert "±" in result.table()
    assert draw(result, tmp_path)
    (tmp_path / result.file).write_text((PUBLISHED / f"{name}.json").read_text())
    if result.content["environment"]["device"] != "numpy":
        return  # its settings need a device
    result, config = resume(tmp_path, experiment=result.content["experiment"], kind=type(result))
    sweep = isinstance(result, Sweep)
    cells = sweep_cells(config, result.content["xi"]) if sweep else all_cells(config)
    names = {cell.key: f"synapses/{cell.name}.npz" for cell in cells}
    if result.content["complete"]:
        assert set(names) <= {key(run) for run in result.runs}
    for run in result.runs:
        if "synapses" in run and key(run) in names:
            assert run["synapses"] == names[key(run)]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "other"}', '{"format": "pysi-result-2"}', b"\xff\xfe"]
)
def test_a_bad_result_file_is_a_data_error(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(pysi.DataError, match="result.json"):
        Result.load(path)
    with pytest.raises(pysi.DataError, match="nowhere"):
        Result.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "changes", [{"experiment": "other"}, {"config": {"unknown": 1}}, {"config": {"epochs": 0}}]
)
def test_a_tampered_result_is_not_resumed(finished, tmp_path, changes):
    Result(finished[0].content | changes).save(tmp_path)
    with pytest.raises(pysi.PysiError):
        resume(tmp_path)


def test_the_table_reports_mean_sem_scenario_and_chance(finished):
    result, _ = finished
    text = result.table()
    assert "task-incremental" in text
    assert "chance level 0.5" in text
    assert "not comparable with the paper" in text
    for method, c in (("fine-tuning", 0), ("si", 1)):
        final = pysi.average_accuracy(result.select(method, c))[:, -1]
        assert f"{final.mean():.4f} ± {pysi.sem(final):.4f}" in text


def line_of(text, *words):
    """The cells of the first table's line that begins with these words."""
    lines = [line.split() for line in text.partition("paired by seed")[0].splitlines()]
    (found,) = (line[len(words) :] for line in lines if line[: len(words)] == list(words))
    return " ".join(found)


def test_the_table_has_the_differences_that_are_paired_by_seed(finished):
    result, _ = finished
    gained = result.select("si", 1.0)[:, -1] - result.select("fine-tuning")[:, -1]
    (line,) = result.table().partition("paired by seed")[2].splitlines()[3:4]
    assert line.split(maxsplit=3) == ["si", "1", "2", str(pysi.interval(gained.mean(axis=1)))]
    assert (result.difference(("si", 1.0), ("fine-tuning", 0.0)) == gained).all()
    result = Result(result.content | {"runs": result.runs[1:]})  # seed 0 of fine-tuning is missing
    found = result.difference(("si", 1.0), ("fine-tuning", 0.0))
    assert (found == gained[1:]).all()
    assert "(one seed)" in result.table()
    result = Result(result.content | {"runs": result.runs[:2]})  # and now no seed is shared
    assert "paired by seed" not in result.table()


def test_the_table_has_every_metric_by_its_definition():
    rng = np.random.default_rng(0)
    shapes = {"single": (1, 1), "joint": (1, 3)}
    runs = [
        {"method": method, "c": c, "xi": 0.1, "seed": seed, "omega_correlation": None}
        | {f"{part}_accuracy": rng.random(shapes.get(method, (3, 3))).tolist()
           for part in ("test", "train")}
        for method, c in (("single", 0.0), ("si", 0.1), ("si", 0.2), ("joint", 0.0))
        for seed in range(4)
    ]  # fmt: skip
    content = {
        "experiment": "permuted-mnist", "scenario": "any", "chance": 0.1, "config": {"epochs": 1},
        "dataset": {"name": "mnist", "n_train": 1, "n_test": 1}, "runs": runs,
    }  # fmt: skip
    result = Result(content)

    def cells(method, c, *metrics):
        matrices = result.select(method, c)
        values = [[metric(a) for a in matrices] for metric in metrics]
        values.insert(1, [np.mean(a[-1]) for a in result.select(method, c, "train")])
        return " ".join(f"{np.mean(v):.4f} ± {np.std(v, ddof=1) / 2:.4f}" for v in values)

    alone = np.mean([run["test_accuracy"] for run in runs if run["method"] == "single"])
    metrics = [
        lambda a: a[2].mean(),
        lambda a: (max(a[0, 0], a[1, 0]) - a[2, 0] + a[1, 1] - a[2, 1]) / 2,  # forgetting
        lambda a: (a[2, 0] - a[0, 0] + a[2, 1] - a[1, 1]) / 2,  # backward
        lambda a: (a[0, 1] + a[1, 2]) / 2 - 0.1,  # forward
        lambda a: alone - (a[0, 0] + a[1, 1] + a[2, 2]) / 3,  # intransigence
    ]
    text = result.table()
    assert line_of(text, "method", "c", "seeds") == (
        "test train forgetting backward forward intransigence"
    )
    for c in (0.1, 0.2):
        assert line_of(text, "si", str(c), "4") == cells("si", c, *metrics)
    for method in ("single", "joint"):  # there is no later task that could change it
        assert line_of(text, method, "4") == cells(method, 0.0, lambda a: a[0].mean())

    content["runs"] = [run for run in runs if run["method"] != "single"]
    without = result.table()  # nothing to compare intransigence with
    assert line_of(without, "si", "0.1", "4") == cells("si", 0.1, *metrics[:-1])


@pytest.mark.smoke
def test_importing_pysi_imports_nothing_heavy():
    heavy = "matplotlib cupy pooch mlxtend tqdm joblib scipy torch pandas"
    code = f"import sys, pysi; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_file_is_longer_than_250_lines():
    for path in Path(pysi.__file__).parent.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 250, path


def test_what_diverges_says_which_run_it_is(mnist_5k, tmp_path, monkeypatch):
    def diverge(*args, **kwargs):
        raise pysi.DivergenceError("the loss is not finite")

    monkeypatch.setattr("pysi.experiments.cell.train", diverge)
    with pytest.raises(pysi.DivergenceError, match="^dropout-seed0: the loss is not finite"):
        run(mnist_5k, tmp_path, methods=("dropout",), seeds=1)


def test_of_networks_side_by_side_it_names_the_one_that_diverges(mnist_5k, monkeypatch):
    step, steps = training_step, []

    def poison(*args):
        losses = step(*args)
        steps.append(losses)
        if len(steps) == 3:
            losses[1] = np.nan
        return losses

    monkeypatch.setattr("pysi.training.training_step", poison)
    config = SplitMNIST(c=(0.0, 3.0), seeds=2, hidden=(8,), dataset="mnist-5k")
    (together,) = side_by_side(all_cells(config), mnist_5k)
    with pytest.raises(pysi.DivergenceError, match=r"^si-c3-seed0: the loss .* epoch 1, step 3 "):
        together.train(mnist_5k)
