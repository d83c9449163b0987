"""The pages' numbers: read from files, filled in everywhere, and the same in README.md."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2", reason='pages are filled in by Jinja: pip install ".[test]"')

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))
import evidence  # noqa: E402

README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
PAGES = [page for page in sorted(DOCS.glob("**/*.md")) if "{{" in page.read_text(encoding="utf-8")]


def runs(name, method, c):
    content = json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return [run for run in content["runs"] if (run["method"], run["c"]) == (method, c)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_number_of_a_page_is_there(page):
    filled = evidence.fill(page.read_text(encoding="utf-8"))
    assert "{{" not in filled
    assert not re.search(r"\bnan\b|\binf\b|None|<bound|Interval\(", filled)


@pytest.mark.parametrize("page", sorted(DOCS.glob("results/*.md")), ids=lambda page: page.stem)
def test_no_accuracy_or_ratio_is_typed(page):
    """Settings and bounds have fewer digits; what others recorded is written without a zero."""
    typed = re.sub(r"\{\{.*?\}\}", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = set(re.findall(r"(?<![\w.-])[01]\.\d{3,}", typed))
    assert found <= {"0.001", "0.999", "0.014"}  # η, ξ; β₂; the error of 1,000 images


def test_the_readme_has_the_numbers_of_the_files():
    assert evidence.fill(evidence.README).strip() in README


def test_an_accuracy_is_the_mean_over_seeds_of_the_mean_over_tasks():
    last = [np.mean(run["test_accuracy"][-1]) for run in runs("split-mnist", "si", 1.0)]
    error = np.std(last, ddof=1) / np.sqrt(len(last))
    assert evidence.accuracy("split-mnist", "si", 1.0) == f"{np.mean(last):.4f} ± {error:.4f}"
    (only,) = runs("split-cifar-quick", "scratch", 0.0)
    alone = np.mean([only["test_accuracy"][j][j] for j in range(3)])
    assert evidence.accuracy("split-cifar-quick", "scratch") == f"{alone:.4f}"


def test_a_task_after_a_task():
    values = [run["test_accuracy"][1][0] for run in runs("split-mnist", "fine-tuning", 0.0)]
    found = evidence.on_task("split-mnist", "fine-tuning", 0.0, 1, after=2, digits=3)
    assert found.startswith(f"{np.mean(values):.3f} ± ")
    values = [run["test_accuracy"][-1][1] for run in runs("split-mnist", "fine-tuning", 0.0)]
    assert evidence.on_task("split-mnist", "fine-tuning", 0.0, 2).startswith(
        f"{np.mean(values):.4f} ± "
    )


def test_a_difference_between_results_is_paired_by_seed():
    kept, reset = ({run["seed"]: np.mean(run["test_accuracy"][-1])
                    for run in runs(f"permuted-mnist-400-adam-{mode}", "si", 0.1)}
                   for mode in ("kept", "reset"))  # fmt: skip
    differences = np.array([kept[seed] - reset[seed] for seed in kept])
    found = evidence.difference(
        "permuted-mnist-400-adam-kept", ("si", 0.1), ("si", 0.1), "permuted-mnist-400-adam-reset"
    )
    half = 4.302653 * differences.std(ddof=1) / np.sqrt(3)  # Student's t with two degrees
    low, high = differences.mean() - half, differences.mean() + half
    assert found == f"{differences.mean():.4f} [{low:.4f}, {high:.4f}]"


def test_a_ratio_is_that_of_the_file():
    measured = json.loads((DOCS / "results" / "bench-step.json").read_text(encoding="utf-8"))
    one = measured["ratios"]["pysi, one run / torch-idiomatic, one run"]
    low, high = one["quartiles"]
    rows = evidence.benchmarks.ratios("one run").splitlines()
    (row,) = (row for row in rows if "with Numba" in row)
    assert row.split(" | ")[1] == f"{one['median']:.2f} [{low:.2f}, {high:.2f}]"
    (row,) = (row for row in rows if "idiomatic" in row)
    assert row.split(" | ")[1] == "1"
    assert not measured["machine"]["busy"]


def test_the_verdict_on_equations_is_that_of_the_checks(monkeypatch):
    assert evidence.theory("10") == "1 of 1 rows agree"
    assert evidence.agreed("10") == "**yes**"
    failing = [type("", (), {"equation": "9, 10", "passed": False})]
    monkeypatch.setattr(evidence, "equations", lambda: failing)
    assert evidence.theory("10") == "0 of 1 rows agree"
    assert evidence.agreed("9") == "**no**"


def test_recorded_numbers_stand_beside_those_of_their_scenario():
    head, _, *rows = evidence.beside_elsewhere("landscape-split").splitlines()
    cells = {row.split(" | ")[0].strip("| `"): row.strip("| ").split(" | ")[1:] for row in rows}
    columns = head.strip("| ").split(" | ")[1:]
    assert columns[1::2] == ["Hsu et al."] * (len(columns) // 2)
    for i, scenario in enumerate(columns[::2]):
        recorded = evidence.ELSEWHERE["si"][evidence.SCENARIOS.index(scenario)]
        assert cells["si"][2 * i + 1] == recorded
        own, other = (float(each.split(" ±")[0]) for each in cells["joint"][2 * i : 2 * i + 2])
        assert own == pytest.approx(other, abs=0.02), scenario


def test_what_is_said_of_single_tasks_of_cifar():
    free, moments, weak, strong = (
        np.mean([run["test_accuracy"][-1] for run in runs(name, method, c)], axis=0)
        for name, method, c in (
            ("split-cifar", "fine-tuning", 0.0), ("split-cifar-adam-moments", "fine-tuning", 0.0),
            ("split-cifar", "si", 0.01), ("split-cifar", "si", 0.1),
        )
    )  # fmt: skip
    assert (moments < np.minimum(weak, strong))[:-1].all() and moments[-1] > strong[-1]
    assert (strong < free)[3:].all() and (strong > free)[:3].all()
