"""The site's pages: complete, and their examples run. CI builds the site itself."""

import doctest
import pkgutil
import re
from pathlib import Path

import pytest

import pysi

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = [DOCS / "start.md", *sorted(DOCS.glob("derivations/*.md"))]
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


@pytest.mark.parametrize("page", with_examples, ids=lambda page: page.stem)
def test_examples(page):
    if page.stem == "start":
        pytest.importorskip("mlxtend")
    source = "\n".join(EXAMPLES.findall(page.read_text()))
    example = doctest.DocTestParser().get_doctest(source, {}, page.stem, str(page), 0)
    report = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert example.examples
    assert not report, "".join(report)
