"""Tables of the pages: every number comes from a file that a program wrote.

    PYTHONPATH=tests python tests/test_tables.py

prints the tables, to be pasted into the pages.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pysi.experiments.course import FAMILIES
from pysi.experiments.methods import METHODS
from pysi.experiments.overview import Overview
from pysi.experiments.result import Result
from pysi.metrics import sem

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"

RESETS = {
    "full": "split-mnist.json",
    "moments": "split-mnist-adam-moments.json",
    "none": "split-mnist-adam-kept.json",
}


def with_error(values, digits=3):
    return f"{np.mean(values):.{digits}f} ± {sem(values):.{digits}f}"


def reset_rows():
    """Figure 3 in the three modes of Adam's reset."""
    for c, method in ((0.0, "fine-tuning"), (1.0, "si")):
        for mode, name in RESETS.items():
            test = Result.load(RESULTS / name).select(method, c)
            cells = [with_error(test[:, 1, 0])]
            cells += [with_error(test[:, -1, task]) for task in (0, 1)]
            cells.append(with_error(test[:, -1].mean(axis=-1), 4))
            yield f"| {c:g} | `{mode}` | {len(test)} | {' | '.join(cells)} |"


def landscape_rows(name):
    """Every method in every scenario, by family."""
    overview = Overview.load(RESULTS / name)
    for method in overview.methods():
        cells = [FAMILIES[METHODS[method].family], f"`{method}`"]
        for scenario in overview.scenarios:
            row = overview.rows(scenario).get(method)
            if row is None:
                cells += ["–", ""]
                continue
            cells.append(with_error(overview.accuracy(scenario, method), 4))
            cells.append(f"{row['c']:g}" if METHODS[method].swept else "")
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def cost_rows():
    """What each method costs, relative to plain training."""
    bench = json.loads((RESULTS / "bench-methods.json").read_text())
    for method, about in bench["methods"].items():
        found = bench["relative"].get(f"{method} / joint")
        low, high = found["quartiles"] if found else (1, 1)
        ratio = f"{found['median']:.2f} [{low:.2f}, {high:.2f}]" if found else "1"
        yield (
            f"| `{method}` | {ratio} | {about['megabytes']:.1f} | {about['parameters']:,} |"
        )  # fmt: skip


TABLES = {
    "reset.md": ("split-mnist-adam-moments.json", reset_rows),
    "landscape.md": ("landscape-split.json", lambda: landscape_rows("landscape-split.json")),
    "methods/costs.md": ("bench-methods.json", cost_rows),
}
"""Each page, the file that its table needs, and the rows."""


@pytest.mark.parametrize("page", TABLES)
def test_the_page_has_this_table(page):
    file, rows = TABLES[page]
    if not (RESULTS / file).exists():
        pytest.skip(f"{file} has not been measured yet")
    text = (DOCS / page).read_text()
    missing = [row for row in rows() if row not in text]
    assert not missing, "\n".join(missing)


if __name__ == "__main__":
    for page, (file, rows) in TABLES.items():
        if (RESULTS / file).exists():
            print(f"{page}\n" + "\n".join(rows()))
