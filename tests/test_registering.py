"""A new method is one entry in METHODS, a new experiment one in PROTOCOLS, and nothing else."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

import pysi
from pysi.cli import main
from pysi.experiments.cell import Cell, all_cells
from pysi.experiments.course import Method
from pysi.experiments.methods import METHODS
from pysi.experiments.protocol import Protocol
from pysi.experiments.protocols import PROTOCOLS, SplitMNIST
from pysi.experiments.result import Result, key
from pysi.experiments.settings import option
from pysi.experiments.sweep import Sweep
from pysi.figures import figure4, figure6
from pysi.rules.quadratic import QuadraticPenalty
from pysi.storage.tables import SAVED
from strategies import toy_dataset
from test_experiments import numbers

EXAMPLES = 8
WORDS = "--dataset mnist-5k --epochs 1 --tasks 2 --hidden 8"


class MAS(QuadraticPenalty):
    """Memory aware synapses (Aljundi et al., 2018), on a few examples: Ω = ⟨|∂‖z‖²/∂θ|⟩."""

    name = "mas"

    def end_task(self, net=None, task=None):
        s, (x, _) = self.synapses, task.part("train")
        for i in range(EXAMPLES):
            net.backward(2 * net.forward(x[i : i + 1]))
            s.Omega[...] += abs(s.grad) / EXAMPLES
        s.theta_ref[...] = s.theta


def mas(config, c):
    return MAS(c)


@dataclass(frozen=True)
class Patterns(Protocol):
    """Random patterns, a few classes at a time."""

    name = "patterns"
    datasets = {"toy": "Patterns are not digits."}
    tabulates_tasks = True
    compared = {"dense1.W": "The only hidden layer"}
    presets = {"full": {}, "tiny": {"noise": 0.2, "seeds": 1}}

    methods: tuple = ("si", "ewc")
    c: tuple = (0.0, 2.0)
    seeds: int = 2
    epochs: int = 2
    tasks: int = 3
    hidden: tuple = (9,)
    batch_size: int = 16
    dataset: str = "toy"
    noise: float = option(0.3, "how noisy the patterns are", type=float)

    @staticmethod
    def load_dataset(name, folder=None):
        return toy_dataset(noise=0.4)

    def make_tasks(self, dataset):
        return pysi.split_tasks(dataset, self.tasks)

    def make_network(self, seed, *, dropout=0.0):
        return pysi.MLP((12, *self.hidden, 6), dropout=dropout, **self.building(seed))


@pytest.fixture
def with_mas(monkeypatch, mnist_5k):
    parts = ("x_train", "y_train", "x_test", "y_test")
    few = replace(mnist_5k, **{part: getattr(mnist_5k, part)[::5] for part in parts})
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: few)
    monkeypatch.setitem(METHODS, "mas", Method("MAS, c = {c:g}", mas, trunk="single"))
    return few


@pytest.fixture
def with_patterns(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "patterns", Patterns)


def rows(out, entry):
    table = pysi.Synapses.load(out / entry["synapses"])
    return [getattr(table, row) for row in SAVED]


@pytest.mark.slow
def test_a_method_is_run_alone_side_by_side_and_in_processes_and_drawn(
    with_mas, tmp_path, capsys, monkeypatch
):
    found = {}
    for cores, how in ((1, "--jobs 1"), (1, "--jobs 1 --vectorise"), (2, "--jobs 2")):
        monkeypatch.setattr("joblib.cpu_count", lambda cores=cores: cores)
        found[how] = out = tmp_path / how
        words = f"run split-mnist {WORDS} --methods mas si --c 0 0.5 --seeds 2 {how}"
        assert main([*words.split(), "--out", str(out)]) == 0
        assert "mas" in capsys.readouterr().out
        assert (out / "figure3.png").stat().st_size > 0
    plain, together, processes = (Result.load(out) for out in found.values())
    assert [key(entry)[:2] for entry in plain.runs[::2]] == [
        ("fine-tuning", 0), ("si", 0.5), ("mas", 0), ("mas", 0.5),
    ]  # fmt: skip
    assert [entry.pop("replicas") for entry in together.runs] == [4] * 8
    assert numbers(plain) == numbers(together) == numbers(processes)
    for entry in plain.runs:
        one, *others = (rows(out, entry) for out in found.values())
        for other in others:
            assert all(map(np.array_equal, one, other))
    (entry,) = (e for e in plain.runs if key(e)[:2] == ("mas", 0.5) and e["seed"] == 0)
    assert entry["omega_correlation"] is None
    assert entry["epochs"][-1]["penalty"] > 0


def test_a_branch_of_a_method_has_the_bits_of_a_run_of_its_own(with_mas, tmp_path):
    words = f"run split-mnist {WORDS} --methods mas --c 0.5 --seeds 1 --jobs 1".split()
    assert main([*words, "--out", str(tmp_path / "branch")]) == 0
    METHODS["mas"] = replace(METHODS["mas"], trunk=None)
    assert main([*words, "--out", str(tmp_path / "own")]) == 0
    folders = [tmp_path / name for name in ("branch", "own")]
    assert (folders[0] / "omega").exists() and not (folders[1] / "omega").exists()
    (one,), (other,) = (Result.load(folder).runs for folder in folders)
    theta, omega, Omega, _ = rows(folders[0], one)
    assert all(map(np.array_equal, rows(folders[0], one), rows(folders[1], other)))
    assert not omega.any() and Omega.any() and theta.any()


def test_a_method_is_swept(with_mas, tmp_path, capsys):
    out = tmp_path / "sweep"
    words = f"sweep split-mnist {WORDS} --methods mas --c 0.1 1 --seeds 1 --jobs 1 --out {out}"
    assert main(words.split()) == 0
    found = Sweep.load(out)
    assert [key(run) for run in found.runs] == [("mas", c, 1e-3, 0) for c in (0.1, 1)]
    assert found.choose()["method"] == "mas"
    assert (out / "sweep.png").exists()
    assert main([*words.split()[:-1], f"{out}-2", "--xi", "1", "2"]) == 2
    assert "mas has none" in capsys.readouterr().err


def test_a_method_is_in_the_figures_and_tables_and_help_of_every_experiment(with_mas, capsys):
    for name, protocol in PROTOCOLS.items():
        assert "mas" in protocol.offers()
        with pytest.raises(SystemExit):
            main(["run", name, "--help"])
        assert " mas" in " ".join(capsys.readouterr().out.split())
        protocol(methods=("mas",))
    run = {"method": "mas", "c": 0.5, "xi": 1, "seed": 0, "omega_correlation": None}
    run |= {f"{part}_accuracy": [[0.9, 0.1], [0.8, 0.7]] for part in ("test", "train")}
    content = {
        "experiment": "split-cifar", "scenario": "", "chance": 0.1, "config": {"epochs": 1},
        "dataset": {"name": "any", "n_train": 1, "n_test": 1}, "task_names": ["a", "b"],
        "runs": [run, run | {"method": "si"}],
    }  # fmt: skip
    result = Result(content)
    assert "mas" in result.table()
    curve, other = figure4(result).axes[1].containers
    assert curve.get_label() == "MAS, c = 0.5"
    assert not np.array_equal(curve[0].get_color(), other[0].get_color())
    bars = [bar for bar in figure6(result).axes[0].containers if hasattr(bar, "patches")]
    assert [bar.get_label() for bar in bars] == ["MAS, c = 0.5", "SI, c = 0.5"]


def test_a_method_that_is_not_registered_is_named(with_mas, tmp_path, capsys):
    out = tmp_path / "result"
    words = f"run split-mnist {WORDS} --methods mas --c 1 --seeds 1 --jobs 1 --out {out}"
    assert main(words.split()) == 0
    del METHODS["mas"]
    capsys.readouterr()
    for again in (f"figure {out}", f"run split-mnist --resume {out}"):
        assert main(again.split()) == 1
        assert "'mas'" in capsys.readouterr().err


def test_an_experiment_is_run_drawn_resumed_and_swept(with_patterns, tmp_path, capsys):
    outs = [tmp_path / name for name in ("one", "two")]
    for out, how in zip(outs, ("", "--vectorise"), strict=True):
        words = f"run patterns --preset tiny --noise 0.1 --ewc-c 10 --jobs 1 {how} --out {out}"
        assert main(words.split()) == 0
        assert "Patterns are not digits." in capsys.readouterr().out
        assert (out / "accuracy.png").stat().st_size > 0
    one, two = map(Result.load, outs)
    assert one.content["config"]["noise"] == 0.1
    assert {key(entry)[0] for entry in one.runs} == {"fine-tuning", "si", "ewc"}
    for entry in two.runs:
        entry.pop("replicas", None)  # of a single network there is none
    assert numbers(one) == numbers(two)
    assert "test accuracy on each task" in one.table()
    assert main(f"run patterns --resume {outs[0]} --methods joint --seeds 1".split()) == 0
    assert "joint" in capsys.readouterr().out
    assert main(f"run patterns --resume {outs[0]} --methods scratch --jobs 1".split()) == 0
    assert "intransigence" in capsys.readouterr().out
    out = tmp_path / "sweep"
    words = f"sweep patterns --c 1 2 --xi 0.1 1 --seeds 1 --jobs 1 --out {out}"
    assert main(words.split()) == 0
    assert len(Sweep.load(out).runs) == 4


def test_a_setting_of_an_experiment_is_an_option_and_no_other_experiment_has_it(
    with_patterns, capsys
):
    for name, protocol in PROTOCOLS.items():
        assert ("noise" in protocol.options()) == (name == "patterns")
    with pytest.raises(SystemExit):
        main(["run", "patterns", "--help"])
    assert "how noisy the patterns are (default: 0.3)" in " ".join(capsys.readouterr().out.split())
    assert Patterns.lists() == SplitMNIST.lists() == ("methods", "c", "ewc_c", "strengths", "seeds")


def test_a_list_of_strengths_of_its_own(monkeypatch):
    @dataclass(frozen=True)
    class WithMAS(Patterns):
        mas_c: tuple = option((3, 4), "strengths of MAS", strengths=True)

    monkeypatch.setitem(METHODS, "mas", Method("MAS", mas, "mas_c"))
    assert "mas" not in Patterns.offers()
    assert [cell.c for cell in all_cells(WithMAS(methods=("mas",), seeds=1))] == [3, 4]
    assert "mas_c" in WithMAS.lists()
    with pytest.raises(pysi.ConfigError, match="^mas_c: "):
        WithMAS(mas_c=(-1,))


def test_another_process_need_not_know_the_entry(monkeypatch):
    monkeypatch.setitem(METHODS, "mas", Method("MAS", mas))
    sent = pickle.dumps(Cell(SplitMNIST(), "mas", 1.0, 0))
    del METHODS["mas"]
    cell = pickle.loads(sent)
    assert cell.how.rule is mas
    assert cell.name == "mas-c1-seed0"
