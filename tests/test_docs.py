"""The site's pages: complete, and their examples run. CI builds the site itself."""

import doctest
import inspect
import json
import pkgutil
import re
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

import pysi
from pysi.experiments.methods import METHODS
from pysi.training import training_step, update
from test_core import HOUR, path

DOCS = Path(__file__).parent.parent / "docs"
README = (DOCS.parent / "README.md").read_text()
EXAMPLES = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = [
    DOCS / "start.md",
    DOCS / "extend.md",
    DOCS / "cpu.md",
    DOCS / "scenarios.md",
    DOCS / "mistakes.md",
    *sorted(DOCS.glob("methods/*.md")),
    *sorted(DOCS.glob("derivations/*.md")),
]
with_examples = [page for page in pages if EXAMPLES.search(page.read_text())]


def test_every_module_is_in_the_api_pages_once():
    shown = "".join(page.read_text() for page in DOCS.glob("api/*.md"))
    documented = re.findall(r"^\.\. automodule:: (\S+)$", shown, re.MULTILINE)
    modules = {module.name for module in pkgutil.walk_packages(pysi.__path__, "pysi.")}
    assert sorted(documented) == sorted(modules - {"pysi.__main__"})


def test_every_public_name_is_in_the_list_that_opens_them():
    shown = re.findall(r"`~(pysi[\w.]+)`", (DOCS / "api" / "index.md").read_text())
    places = [f"{getattr(pysi, name).__module__}.{name}" for name in pysi.__all__]
    assert sorted(shown) == sorted(places)


@pytest.mark.parametrize("net", ["split", "permuted", "cnn"])
def test_the_numbers_of_the_page_on_gpus_are_those_of_the_files(net):
    page = (DOCS / "gpu.md").read_text()
    measured = json.loads((DOCS / "results" / f"bench-gpu-{net}.json").read_text())
    rest = {"pysi-replicas / pysi-im2col"}
    for kind in ("milliseconds_per_step_and_network", "ratios"):
        for name in measured[kind].keys() - rest:
            value = measured[kind][name]
            low, high = value["quartiles"]
            assert f"{value['median']:.3g} [{low:.3g}, {high:.3g}]" in page, name
    floor = measured["floor"]
    assert f" {floor['operations_ms'] + floor['update_ms']:.3g} |" in page


def test_the_readme_shows_the_step_as_it_is():
    shown = re.search(r"## The step is the paper\n\n```python\n(.*?)```", README, re.S)[1]
    assert shown == f"{inspect.getsource(update)}\n\n{inspect.getsource(training_step)}"


@pytest.mark.parametrize("module", HOUR)
def test_a_page_of_the_core_is_the_whole_file(module, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    literate = pytest.importorskip("literate", reason="the site needs numpydoc")
    source = path(module).read_text()
    lines, expected = source.splitlines(), 1
    for kind, where, what in literate.pieces(source):
        if kind == "code":
            assert where == expected and what == lines[where - 1 : where - 1 + len(what)]
            expected += len(what)
        else:
            quoted = source.split('"""')[1::2]
            (text,) = (q for q in quoted if inspect.cleandoc(q) == what)
            expected += text.count("\n") + 1
    assert expected == len(lines) + 1
    shown = literate.page(module.removeprefix("pysi."), source)
    assert all(f"   {line}".rstrip() in shown.splitlines() for line in lines if "def " in line)


def test_every_paper_that_is_cited_is_in_the_bibliography():
    # Hsu et al. (2018), Li & Hoiem, 2016: the last name before the year, or before "et al."
    cited = re.compile(r"\b([A-Z][a-zà-ž]{2,})(?: et al\.)?,? \(?((?:19|20)\d\d)\b(?!-)")
    sources = [
        *DOCS.glob("*.md"),
        *DOCS.glob("[dmr]*/*.md"),
        *Path(pysi.__file__).parent.rglob("*.py"),
        *(DOCS.parent / "notebooks").glob("[0-9]*.py"),
    ]
    entries = (DOCS / "bibliography.md").read_text().split("\n- ")
    sources.remove(DOCS / "bibliography.md")
    found = {match for path in sources for match in cited.findall(path.read_text())}
    assert len(found) > 25
    missing = {
        (name, year)
        for name, year in found
        if year < "2026" and not any(name in entry and year in entry for entry in entries)
    }
    assert not missing


def test_every_notebook_has_notes_for_lecturers():
    page = (DOCS / "course.md").read_text()
    notebooks = {path.name[:2] for path in (DOCS.parent / "notebooks").glob("[0-9]*.py")}
    assert notebooks <= {f"{int(n):02}" for n in re.findall(r"^### (\d+)\. ", page, re.M)}


def test_the_table_of_the_course_has_every_notebook(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    lessons = pytest.importorskip("lessons", reason="the site needs nbformat")
    rows = [row.split(" | ") for row in lessons.table("_downloads").splitlines()[2:]]
    notebooks = sorted((DOCS.parent / "notebooks").glob("[0-9]*.ipynb"))
    for notebook, (first, title, minutes, needs, *_) in zip(notebooks, rows, strict=True):
        assert first == f"| {int(notebook.name[:2])}" and notebook.name in title
        assert 5 <= int(minutes) <= 120
        assert notebook.name[:2] not in {f"{int(n):02}" for n in re.findall(r"\d+", needs)}
        opening = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
        assert f"**Time.** About {minutes} minutes" in "".join(opening)
    assert rows[0][3].startswith("–") and rows[6][3].startswith("1, 2")
    assert lessons.linked("[2](notebook), [99](notebook)").endswith("synapse_knows.ipynb), 99")


@pytest.mark.parametrize("page", with_examples, ids=lambda page: page.stem)
def test_examples(page):
    source = "\n".join(EXAMPLES.findall(page.read_text()))
    example = doctest.DocTestParser().get_doctest(source, {}, page.stem, str(page), 0)
    report = []
    with patch.dict(METHODS):  # what an example adds is taken out again
        doctest.DocTestRunner().run(example, out=report.append)
    assert example.examples
    assert not report, "".join(report)
