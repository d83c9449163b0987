"""Reports: they say what is missing before any number, and nothing stops them."""

import json
import random
import re
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser

import numpy as np
import pytest

import pysi
import test_verdicts as verdicts
from pysi.cli import main
from pysi.cli.options import parser
from pysi.cli.report import read, write_report
from pysi.errors import ConfigError, DataError
from pysi.experiments.cell import all_cells
from pysi.experiments.overview import FORMAT, Overview
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result, checksum
from pysi.experiments.sweep import Sweep, sweep_cells
from pysi.report import page as pages
from pysi.report import tables
from pysi.report.command import command, settings
from pysi.report.frame import document
from pysi.report.problems import problems
from pysi.report.wording import numbers
from test_damage import VALUES, changed, places
from test_experiments import PUBLISHED
from test_verdicts import EWC, FREE, JOINT, SCRATCH, SI

VOID = {"meta", "img"}
BLAS = {"internal_api": "openblas", "version": "0.3", "architecture": "Zen", "num_threads": 1}


class Reader(HTMLParser):
    """Checks that tags close in order, that names are unique, and that nothing is fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert set(self.links) <= {f"#{name}" for name in self.ids}

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.open += [] if tag in VOID else [tag]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        assert tag not in ("script", "link", "iframe", "object")
        assert not [name for name in attrs if name.startswith("on")]
        if tag == "img":
            assert attrs["src"].startswith("data:image/svg+xml;base64,") and attrs["alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data):
        self.text += "" if self.open[-1:] == ["style"] else data


def read_page(text):
    """Check a report, and return its words."""
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert 'name="viewport"' in text and "@import" not in text and "url(" not in text
    found = Reader(text)
    assert {"title", "h1", "h2", "main"} <= set(found.tags)
    assert not re.search(r"\b(nan|inf|None)\b", found.text)
    assert "could not be drawn" not in found.text
    return " ".join(found.text.split())


def made(experiment, curves, seeds=(0, 1, 2), n=None, **config):
    """Return a whole result with these curves, as the full protocol would have them."""
    found = verdicts.result(experiment, curves, seeds, n)
    protocol, n = PROTOCOLS[experiment], len(found.content["task_names"])
    full = {field.name: getattr(protocol, field.name) for field in fields(protocol)}
    seeds = seeds[next(iter(seeds))] if isinstance(seeds, dict) else seeds
    lists = {"methods": list(dict.fromkeys(m for m, _ in curves)), "seeds": len(seeds) or 1}
    for name, methods in (("c", ("si",)), ("ewc_c", ("ewc",))):
        lists[name] = [c for m, c in curves if m in methods] or full[name]
    for run in found.runs:
        run["xi"] = full["xi"]
        run |= {"blas": [BLAS], "numba": None, "duration_s": 1.0, "consolidation_s": [0.1]}
        run["epochs"] = [
            {"task": task + 1, "epoch": 1, "loss": 0.25 + task, "penalty": 0.5}
            for task in range(len(run["test_accuracy"]))
        ]
        if run["omega_correlation"]:
            run["omega_correlation"] = {k: v.tolist() for k, v in run["omega_correlation"].items()}
    return Result(json.loads(json.dumps({
        "format": Result.format, "experiment": experiment, "started": "2026-01-02T03:04:05",
        "complete": True, "duration_s": 3.0, "config": full | lists | {"tasks": n} | config,
        "dataset": {"name": full["dataset"], "checksums": {"some file": "md5:abc"},
                    "n_train": 60000, "n_test": 10000},
        "environment": {"pysi": pysi.__version__, "blas_threads": 1, "vectorise": False},
        "scenario": "some scenario", **found.content,
    })))  # fmt: skip


GOOD = {FREE: {(4, 0): 0.5, (4, 1): 0.5}, SI: {}}


@pytest.fixture
def good(monkeypatch):
    """A result of split MNIST with five tasks, of which nothing is unusual."""
    return made("split-mnist", GOOD)


@pytest.fixture
def no_figures(monkeypatch):
    """Figures take most of the time, and have tests of their own."""
    monkeypatch.setattr(pages, "figure", lambda *args: "")


def report(result):
    """Check a report, and return its words."""
    return read_page(pages.page(result, "result.json", "0" * 64))


# What it says


def test_a_whole_result(good):
    text = pages.page(good, "result.json", "0123")
    words = read_page(text)
    assert "nothing is unusual" in words
    for start in ("split-mnist: report of a result", "Split MNIST: Section 5.1",
                  "on mnist, 60,000 training examples and 10,000", "seeds 0 to 2",
                  "begun 2026-01-02T03:04:05", "Of 7 verdicts, 6 are “yes”, 1 is “no”",
                  "Figure 3", "pysi run split-mnist --methods fine-tuning si --c 1 --seeds 3",
                  "md5:abc", "0123", "OMP_NUM_THREADS=1", "Zenke, B. Poole"):  # fmt: skip
        assert start in words, start
    shown = [tables.finals, tables.after_each, tables.by_task, tables.differences, tables.losses]
    for table in [*(make(good) for make in shown), *tables.matrices(good)]:
        assert table.rows and table.html() in text
    for row in tables.verdicts(good).rows:
        assert f"{pages.SIGNS[row[4]]} {row[4]}" in words and row[0] in words and row[1] in words
    order = [text.index(f'id="{name}"') for name in
             ("missing", "verdicts", "figures", "accuracy", "details", "settings", "environment",
              "command", "citing")]  # fmt: skip
    assert order == sorted(order)
    assert text.count("<img ") == 1 and text.count("<details>") == 2 and "<caption>" in text


def test_the_same_result_gives_the_same_bytes(good):
    assert pages.page(good, "a", "b") == pages.page(good, "a", "b")


def test_the_numbers_are_right(good, no_figures):
    words = report(good)
    final = good.final(*SI).mean(axis=1)
    assert f"{final.mean():.4f} ± {pysi.sem(final):.4f}" in words
    gain = good.difference(SI, FREE).mean(axis=1)
    assert str(pysi.interval(gain)).replace(", ", ",\xa0").replace("\xa0", " ") in words


@pytest.mark.parametrize(
    ("experiment", "curves", "images"),
    [
        ("permuted-mnist", {("single", 0.0): {}, FREE: {}, SI: {}, EWC: {}, JOINT: {}}, 3),
        ("split-cifar", {FREE: {}, SI: {}, SCRATCH: {}}, 2),
        ("permuted-mnist", {("single", 0.0): {}}, 2),
    ],
)
def test_every_figure_and_table(experiment, curves, images):
    result = made(experiment, curves)
    if list(curves) == [("single", 0.0)]:
        for run in result.runs:
            for part in ("test_accuracy", "train_accuracy"):
                run[part] = [run[part][0][:1]]
            run["omega_correlation"] = {"dense1.W": [[1.0]], "dense2.W": [[1.0]]}
            run["epochs"] = run["epochs"][:1]
    text = pages.page(result, "result.json", "0")
    words = read_page(text)
    assert text.count("<img ") == images
    assert all(tables.title(curve) in words for curve in result.curves())
    for make in (tables.by_task, tables.finals, tables.correlations, tables.after_each):
        table = make(result)
        assert all(len(row) == len(table.head) for row in table.rows)


# What is missing, or unusual


def without(result, *keys):
    """Return a result without the runs of these (method, seed)."""
    result.content["runs"] = [r for r in result.runs if (r["method"], r["seed"]) not in keys]
    return result


def put(result, *way):
    """Return a result with another value at some place: its path, and then the value."""
    *way, last, value = way
    place = result.content
    for name in way:
        place = place[name]
    place[last] = value
    return result


UNUSUAL = {
    "no runs": (lambda r: without(r, *((m, s) for m in ("si", "fine-tuning") for s in range(3))),
                ["No run has finished", "Runs are missing, 6 of 6: "]),
    "a seed": (lambda r: without(r, ("si", 2)),
               ["Runs are missing, 1 of 6: SI, c = 1: seed 2.",
                "Seeds differ: seeds 0 to 2 (fine-tuning), seeds 0, 1 (SI, c = 1)."]),
    "a curve": (lambda r: without(r, ("si", 0), ("si", 1), ("si", 2)),
                ["Runs are missing, 3 of 6: SI, c = 1: seeds 0 to 2."]),
    "one seed": (lambda r: without(r, ("si", 1), ("si", 2)),
                 ["SI, c = 1 has one seed only.", "carries no verdict"]),
    "stopped": (lambda r: put(r, "complete", False), ["says that it is incomplete"]),
    "beyond": (lambda r: put(r, "config", "seeds", 2),
               ["The file also holds 2 runs that the settings do not list: fine-tuning: seed 2; "
                "SI, c = 1: seed 2."]),
    "version": (lambda r: put(r, "environment", "pysi", "0.0.7"), ["pysi 0.0.7 wrote the file"]),
    "no version": (lambda r: put(r, "environment", {"blas_threads": 2}),
                   ["does not say which version"]),
    "format": (lambda r: put(r, "format", "pysi-result-2"), ["older format pysi-result-2"]),
    "data": (lambda r: put(r, "dataset", "name", "mnist-5k"),
             ["mnist-5k is a small subset: not comparable with the paper.",
              "settings or data are not those of the paper"]),
    "settings": (lambda r: put(put(r, "config", "epochs", 2), "config", "reset_optimizer", False),
                 ["epochs 2 instead of 10; reset_optimizer none instead of full",
                  "a verdict is about these, not about the paper"]),
    "class": (lambda r: put(r, "config", "scenario", "class"), ["scenario class instead of task"]),
    "domain": (lambda r: put(r, "config", "scenario", "domain"),
               ["scenario domain instead of task"]),
    "loss": (lambda r: put(r, "runs", 0, "epochs", 0, "loss", float("nan")),
             ["Losses or penalties are not finite in fine-tuning: seed 0.", "not a number"]),
    "penalty": (lambda r: put(r, "runs", 3, "epochs", 0, "penalty", float("inf")),
                ["Losses or penalties are not finite in SI, c = 1: seed 0.", "not a number"]),
    "blas": (lambda r: put(r, "runs", 0, "blas", [BLAS | {"architecture": "Haswell"}]),
             ["Runs differ in the BLAS library", "1 run with openblas 0.3 Haswell (threads: 1); "
              "5 runs with openblas 0.3 Zen (threads: 1)"]),
    "no blas": (lambda r: (r.runs[1].pop("blas"), r)[1], ["that is not recorded"]),
    "numba": (lambda r: put(r, "runs", 0, "numba", "0.68"),
              ["1 run with Numba 0.68; 5 runs with plain NumPy"]),
    "experiment": (lambda r: put(r, "experiment", "another"), ["experiment another is not known"]),
    "huge": (lambda r: put(put(r, "runs", 0, "epochs", 0, "loss", 10**20),
                           "runs", 0, "test_accuracy", 0, 0, 10**20), ["nothing is unusual"]),
    "odd settings": (lambda r: put(r, "config", "epochs", 2.5 * 10**6 // 1),
                     ["Missing runs are unknown", "The command is unknown"]),
    "unknown setting": (lambda r: put(r, "config", "colour", "red"),
                        ["Missing runs are unknown", "colour"]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_missing_or_unusual_is_said_before_any_number(good, name, no_figures):
    change, sentences = UNUSUAL[name]
    words = report(change(good))
    assert ("nothing is unusual" in words) == (name == "huge")  # a number like any other
    for sentence in sentences:
        assert sentence in words, sentence
    assert words.index(sentences[0]) < words.index("setting here full protocol")
    if "Verdicts" in words:
        assert words.index(sentences[0]) < words.index("The paper's claims")


@pytest.mark.parametrize("name", ["a seed", "a curve", "one seed", "loss"])
def test_the_figures_of_such_a_result(good, name):
    report(UNUSUAL[name][0](good))


def test_the_order_of_the_libraries_is_no_difference(good):
    two = [BLAS, BLAS | {"version": "0.2"}]
    for i, run in enumerate(good.runs):
        run["blas"] = two[:: -1 if i % 2 else 1]
    assert "Runs differ" not in " ".join(problems(good))
    good.runs[0]["blas"] = two[:1]
    assert "Runs differ in the BLAS library" in " ".join(problems(good))


@pytest.mark.parametrize("experiment", PROTOCOLS)
@pytest.mark.parametrize(("seeds", "n"), [((0,), 1), ((0, 1), 2)])
def test_one_task_or_two_and_one_seed(experiment, seeds, n):
    curves = {FREE: {}, SI: {}, SCRATCH: {}, JOINT: {}}
    words = report(made(experiment, curves, seeds, n))
    assert ("There is a single task" in words) == (n == 1)
    assert ("Everything has one seed only" in words) == (len(seeds) == 1)
    assert "instead of" in words
    if len(seeds) == 1 or n == 1:
        assert not re.search("“(yes|no|partly)”", words)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_correlations_that_are_not_numbers(seeds, tmp_path):
    result = made("permuted-mnist", {FREE: {}, SI: {}}, seeds)
    for run in result.runs[: len(seeds)]:
        run["omega_correlation"]["dense2.W"][0][1] = float("nan")
    result.save(tmp_path)
    words = report(Result.load(tmp_path))
    assert "Correlations of ω are not finite in fine-tuning: seed" in words
    assert "not a number" in words


def test_runs_without_correlations(no_figures):
    result = made("permuted-mnist", {FREE: {}, SI: {}})
    for run in result.runs:
        run["omega_correlation"] = None
    words = report(result)
    assert "No run holds correlations of ω between tasks for dense1.W and dense2.W" in words


def test_curves_with_different_seeds(no_figures):
    result = made("split-mnist", GOOD, {FREE: (0, 1, 2), SI: (1, 2, 3)})
    words = report(result)
    assert "Seeds differ: seeds 0 to 2 (fine-tuning), seeds 1 to 3 (SI, c = 1)." in words
    (row,) = tables.differences(result).rows
    assert row[2] == "2"


def test_an_experiment_that_is_not_registered_has_tables_all_the_same(good):
    good.content["experiment"] = "my <b>own</b>"
    text = pages.page(good, "result.json", "0")
    words = read_page(text)
    assert "Verdicts" not in words and "<img" not in text
    assert "my <b>own</b>: report of a result" in words and "<b>" not in text
    assert tables.finals(good).html() in text


def test_everything_from_the_file_is_escaped(good, tmp_path):
    nasty = "<script>alert('1')</script>&amp;\"<img src=x onerror=y>"

    def spoilt(value):
        if isinstance(value, dict):
            return {k if k in KEYS else f"{k}{nasty}": spoilt(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoilt(one) for one in value]
        return f"{value}{nasty}" if isinstance(value, str) and value not in KEYS else value

    KEYS = {*good.content, *good.content["config"], *good.content["dataset"], *good.runs[0],
            *good.content["environment"], *good.runs[0]["epochs"][0], *BLAS, "si", "fine-tuning",
            Result.format}  # fmt: skip
    (tmp_path / "made").mkdir()
    content = spoilt(good.content)
    Result(content).save(tmp_path / "made")
    text = write_report(tmp_path / "made").read_text(encoding="utf-8")
    assert nasty in Reader(text).text
    assert "<script" not in text and "<img src=x" not in text


def test_a_figure_that_fails_is_a_sentence(good, monkeypatch):
    def figure3(result):
        """Draw Figure 3: something."""
        raise ValueError("<oh>")

    monkeypatch.setattr(PROTOCOLS["split-mnist"], "figures", {"figure3": figure3})
    text = pages.page(good, "result.json", "0")
    assert "Figure 3: something. It could not be drawn: ValueError: &lt;oh&gt;" in text


@pytest.mark.parametrize("name", ["split-cifar-quick", "sweep-cifar-quick"])
def test_an_edited_result_is_refused_or_has_a_report(tmp_path, name, no_figures):
    content = json.loads((PUBLISHED / f"{name}.json").read_text())
    path, reports, rng = tmp_path / "result.json", 0, random.Random(0)
    for place, value in rng.sample([(p, v) for p in places(content) if p for v in VALUES], 80):
        path.write_text(json.dumps(changed(content, place, value)))
        try:
            Reader(write_report(path, tmp_path / "report.html").read_text(encoding="utf-8"))
            reports += 1
        except pysi.PysiError as err:
            assert "result.json" in str(err)
    assert reports > 10


# The kinds of files


WHOLE = [path.stem for path in PUBLISHED.glob("*.json") if '"complete": true' in path.read_text()]


@pytest.mark.parametrize(
    "name",
    ["split-mnist", "split-cifar", "permuted-mnist-gpu", "sweep-permuted-ewc", "mistakes-split"],
)  # fmt: skip
def test_published_results(name, tmp_path):
    text = write_report(PUBLISHED / f"{name}.json", tmp_path / "r.html").read_text("utf-8")
    words = read_page(text)
    assert text.count("<img ") >= 1
    assert ("Runs are missing, " in words) == (name not in WHOLE)
    if name == "sweep-permuted-ewc":
        assert "The best point is EWC, c = 100" in words and "Everything has one seed" in words


def sweep(runs=((0.0, 0.5), (0.1, 0.6), (1.0, 0.7)), seeds=2, **more):
    """Return a sweep: (c, held-out accuracy) of each point."""
    base = made("split-mnist", {SI: {}}, tuple(range(seeds)))
    base.content |= {"format": Sweep.format, "xi": [0.001], "chosen": None} | more
    base.content["config"]["c"] = [c for c, _ in runs]
    base.content["runs"] = [
        {"method": "si" if c else "fine-tuning", "c": c, "xi": 0.001, "seed": seed,
         "validation_accuracy": [[value + 0.001 * seed] * 5] * 5, "train_accuracy": [[0.9] * 5] * 5}
        for c, value in runs for seed in range(seeds)
    ]  # fmt: skip
    return Sweep(base.content)


def test_a_sweep(tmp_path):
    sweep().save(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    words = read_page(text)
    for sentence in ("split-mnist: report of a sweep", "The best point is SI, c = 1, ξ = 0.001",
                     "0.7005 ± 0.0005 (2 seeds)", "The next best point has 0.6005.",
                     "Within one SEM of the best there are 0 other points",
                     "The chosen c is at the edge of the grid",
                     "pysi sweep split-mnist --c 0 0.1 1 --seeds 2"):  # fmt: skip
        assert sentence in words, sentence
    assert tables.points(Sweep.load(tmp_path)).html() in text and text.count("<img ") == 1


def test_a_sweep_that_lacks_runs(no_figures):
    found = sweep()
    del found.content["runs"][-1]
    words = report(found)
    assert "Runs are missing, 1 of 6: SI, c = 1: seed 1." in words
    assert "Only points with the most seeds can be chosen." in words
    assert "The best point is SI, c = 0.1" in words
    found.content["runs"] = []
    assert "No run has finished" in report(found)


def overview(scenarios=("task", "class"), seeds=(0, 1)):
    """Return a small landscape."""
    config = made("split-mnist", {FREE: {}, SI: {}}).content
    config["config"] |= {
        "hidden": [400, 400],
        "epochs": 4,
        "batch_size": 128,
        "reset_optimizer": False,
        "seeds": len(seeds),
        "strengths": ["si=1.0"],
    }
    chosen = {"method": "si", "c": 1.0, "xi": 0.001, "validation_accuracy": 0.75, "sem": None,
              "seeds": 1, "by_seed": [0.75], "next_best": 0.5, "within_one_sem": None,
              "at_the_edge_of": ["c"]}  # fmt: skip
    one = {
        "chance": 0.5, "complete": True, "config": config["config"],
        "rows": [
            {"method": m, "c": c, "parameters": 7, "seeds": list(seeds), "forgetting": None,
             "final": [[0.5 + 0.25 * c + 0.01 * seed] * 5 for seed in seeds]}
            for m, c in (FREE, SI)
        ],
        "sweeps": {"si": {"method": "si", "points": [[0.1, [0.5]], [1.0, [0.75]]],
                          "chosen": chosen}},
    }  # fmt: skip
    kept = {name: config[name] for name in ("experiment", "dataset", "environment")}
    found = {name: one | {"config": one["config"] | {"scenario": name}} for name in scenarios}
    return Overview({"format": FORMAT, **kept, "scenarios": found})


def test_a_landscape(tmp_path):
    overview().save(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    words = read_page(text)
    for sentence in ("split-mnist: report of a landscape", "2 methods in 2 scenarios, seeds 0, 1",
                     "In the scenario task the best strength is at the edge of the grid",
                     "In the scenario class these strengths were chosen from one seed each: si.",
                     "The best point is SI, c = 1", "si in the scenario class",
                     "pysi landscape split-mnist --seeds 2 --methods fine-tuning si "
                     "--scenarios task class --sweep-seeds 1"):  # fmt: skip
        assert sentence in words, sentence
    assert tables.landscape(overview()).html() in text and text.count("<img ") == 1
    again = tmp_path / "by another name.json"
    (tmp_path / "landscape.json").rename(again)
    assert "report of a landscape" in write_report(again).read_text(encoding="utf-8")


def test_a_landscape_that_lacks_things(tmp_path, no_figures):
    found = overview(seeds=(0,))
    one = found.scenarios["task"]
    one["complete"], one["rows"] = False, one["rows"][:1]
    words = report(found)
    assert "The results in the scenario task are incomplete." in words
    assert "In the scenario task these methods are missing: si." in words
    assert "Scenario class: Everything has one seed only." in words
    plan = {
        "experiment": "split-mnist",
        "config": found.scenarios["class"]["config"],
        "methods": ["si"],
        "scenarios": ["task", "domain", "class"],
        "sweep_seeds": 2,
    }
    for text, sentence in (
        (json.dumps(plan), "These scenarios are missing: domain."),
        ("{", "Its plan cannot be read, so missing scenarios are unknown"),
    ):
        (tmp_path / "plan.json").write_text(text)
        assert any(said.startswith(sentence) for said in problems(found, tmp_path))
    assert "No scenario has finished" in report(overview(scenarios=()))


# The command that makes it again


def asked(line):
    """Return what a command line asks for: its settings and its cells."""
    args = vars(parser().parse_args(line.split()[1:]))
    kind, protocol = args.pop("command"), PROTOCOLS[args.pop("experiment")]
    preset, xi = protocol.presets[args.pop("preset", "full")], None
    vectorise = args.pop("vectorise", False)
    if kind == "sweep":
        xi = args.pop("xi", None)
        config = protocol(**{"methods": protocol.swept, **preset, **args})
        return vectorise, config, sweep_cells(config, xi or [config.xi])
    config = protocol(**protocol.fitting(args) | dict(preset) | args)
    return vectorise, config, all_cells(config)


@pytest.mark.parametrize(
    "name",
    ["split-mnist", "split-mnist-adam-kept", "split-mnist-adam-moments", "split-mnist-vectorise",
     "permuted-mnist", "permuted-mnist-400-adam-reset", "mistakes-permuted", "split-cifar-quick",
     "split-cifar", "split-cifar-adam-moments", "sweep-cifar-quick", "sweep-permuted-ewc"],
)  # fmt: skip
def test_the_command_asks_for_the_same_runs(name):
    result = Result.load(PUBLISHED / f"{name}.json")
    line, beyond = command(result)
    vectorise, config, cells = asked(line)
    assert not beyond
    assert vectorise == bool(result.content["environment"].get("vectorise"))
    theirs = settings(result.content)
    if isinstance(result, Sweep):
        assert replace(config, xi=theirs.xi) == theirs
        assert cells == sweep_cells(theirs, result.content["xi"])
    else:
        assert config == theirs and cells == all_cells(theirs)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"xi": 1e-4, "clamp": "none", "hidden": [8]}, "--xi 0.0001 --clamp none --hidden 8"),
        ({"classes": [2, 3, 1, 1, 3]}, "--classes 2 3 1 1 3"),
        ({"strengths": ["mas=0.1"], "dtype": "float64"}, "--strengths mas=0.1 --dtype float64"),
        ({"device": "cupy", "tf32": True}, "--device cupy --tf32"),
        ({"hidden": [400, 400], "epochs": 21, "batch_size": 128, "reset_optimizer": False},
         "--preset van-de-ven"),
    ],
)  # fmt: skip
def test_settings_as_options(config, expected):
    result = made("split-mnist", GOOD, **config)
    line, beyond = command(result)
    assert set(expected.split()) <= set(line.split()) and not beyond
    if "device" not in config:
        assert asked(line)[1] == settings(result.content)


def test_what_the_command_line_cannot_give_is_said(no_figures):
    words = report(made("split-mnist", GOOD, batch_size=17))
    assert "The command line cannot set batch_size = 17: use Python for that." in words


def test_the_data_that_took_the_place_of_others_are_in_the_command(good):
    good.content["dataset"]["name"] = "mnist-5k"
    assert "--dataset mnist-5k" in command(good)[0]


# Files


def test_the_report_is_beside_the_file_or_where_it_is_told(good, tmp_path, capsys, no_figures):
    path = good.save(tmp_path)
    for args, out in (
        ([str(tmp_path)], tmp_path / "report.html"),
        ([str(path)], tmp_path / "report.html"),
        ([str(path), "--out", str(tmp_path / "other.html")], tmp_path / "other.html"),
    ):
        assert main(["report", *args]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        read_page(out.read_text(encoding="utf-8"))
        out.unlink()
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_the_checksum_is_that_of_the_file(good, tmp_path, no_figures):
    import hashlib

    path = good.save(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_file_that_a_run_replaces_is_read_again(good, tmp_path, monkeypatch):
    import hashlib

    path, load = good.save(tmp_path), Result.load

    def replaced(place):
        found = load(place)
        monkeypatch.setattr(Result, "load", load)
        without(good, ("si", 2)).save(tmp_path)
        return found

    monkeypatch.setattr(Result, "load", replaced)
    found, digest = read(path)
    assert len(found.runs) == 5
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def damaged(path):
    path.write_text(path.read_text().replace("0.99", "0.98", 1))


def cut(path):
    path.write_text(path.read_text()[:-9])


def oldest(path):
    path.write_text((PUBLISHED / "permuted-mnist-si.json").read_text())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (damaged, "checksum"),
        (cut, "result.json: expected a result"),
        (oldest, "expected a result of the format 'pysi-result-3', found 'pysi-result-1'"),
        (lambda path: path.unlink(), "result.json: expected .* found no such file"),
        (lambda path: path.write_text("[]"), "result.json: expected named entries"),
    ],
    ids=["damaged", "cut", "oldest", "missing", "no result"],
)
def test_a_file_that_cannot_be_read(good, tmp_path, capsys, spoil, sentence, monkeypatch):
    spoil(good.save(tmp_path))
    monkeypatch.setattr("pysi.cli.report.page", None)  # no work is done
    assert main(["report", str(tmp_path)]) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert not list(tmp_path.glob("report*"))


def test_a_damaged_landscape(tmp_path, capsys):
    path = overview().save(tmp_path)
    path.write_text(path.read_text().replace("0.75", "0.76", 1))
    assert main(["report", str(tmp_path)]) == 1
    assert "landscape.json: expected a landscape" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["a folder", "result.json", "no/such/report.html"])
def test_a_place_where_no_report_can_be(good, tmp_path, monkeypatch, out):
    path = good.save(tmp_path)
    before = path.read_bytes()
    (tmp_path / "a folder").mkdir()
    monkeypatch.setattr("pysi.cli.report.page", None)
    with pytest.raises(ConfigError, match="^out: expected"):
        write_report(tmp_path, tmp_path / out)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_to(good, tmp_path, monkeypatch):
    path = good.save(tmp_path)

    @contextmanager
    def refuse(place, *args, **options):
        raise DataError(f"{place}: expected a writable place")
        yield

    monkeypatch.setattr("pysi.cli.report.atomic", refuse)
    monkeypatch.setattr("pysi.cli.report.page", None)  # the place is tried before any work
    with pytest.raises(DataError, match="report.html: expected a writable place"):
        write_report(path)


def test_a_report_is_written_whole_or_not_at_all(good, tmp_path, monkeypatch):
    good.save(tmp_path)
    (tmp_path / "report.html").write_text("the old one")

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pysi.cli.report.page", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert len(list(tmp_path.iterdir())) == 2


# Parts


def test_whole_numbers_as_text():
    assert numbers([]) == ""
    assert numbers([3]) == "3"
    assert numbers([1, 0]) == "0, 1"
    assert numbers([0, 1, 2, 5, 7, 8, 9]) == "0 to 2, 5, 7 to 9"


def test_a_section_without_content_is_left_out():
    text = document("A <title>", "", [("One", ""), ("Two: more", "<p>x</p>")])
    assert "One" not in text and 'href="#two"' in text and "A &lt;title&gt;" in text


def test_the_maker_above_makes_what_pysi_run_would_write(good, tmp_path):
    path = good.save(tmp_path)
    assert json.loads(path.read_text())["sha256"] == checksum(good.content)
    assert Result.load(path).content == good.content
    assert asdict(settings(good.content))["c"] == (1.0,)
    assert np.isfinite(good.select(*SI)).all()
