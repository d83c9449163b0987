"""The course: each script agrees with its executed copy, and the copy can be read.

Nothing is executed here; `pytest --nbmake notebooks/*.ipynb` does that. If PYSI_EXECUTED names a
folder where that has been done with `--overwrite`, the outputs there are compared with those here.
"""

import os
import re
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="pairs are compared by jupytext")

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))

# "/a/b" or "C:\a", but not a part of an address, a relative path or a closing tag
MACHINE_PATH = re.compile(r"(?<![\w.:/<~)}])/[A-Za-z_][\w.-]*/[\w.-]+|\b[A-Z]:\\\w")


def read(name, kind):
    return jupytext.read(FOLDER / f"{name}.{kind}")


def code_cells(name):
    return [cell for cell in read(name, "ipynb").cells if cell.cell_type == "code"]


def texts(output):
    """Yield all texts of an output."""
    yield from (output.get("text", ""), output.get("evalue", ""))
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield content


def test_the_pattern_finds_paths_of_a_machine():
    for text in ("see /home/ann/pysi", "'/usr/lib/x.py'", r"C:\Users", "File /opt/a/b.py:3"):
        assert MACHINE_PATH.search(text), text
    for text in ("https://example.org/a/b", "docs/results/x.json", "</b>", "a / b", "and/or/not"):
        assert not MACHINE_PATH.search(text), text


def test_there_are_pairs_only_and_the_index_names_them_all():
    assert NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    index = re.findall(r"^\d+\. \[.*?\]\((\w+)\.ipynb\)", (FOLDER / "README.md").read_text(), re.M)
    assert index == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_agrees(name):
    script, executed = (
        [(cell.cell_type, cell.source, cell.metadata.get("tags", []))
         for cell in read(name, kind).cells]
        for kind in ("py", "ipynb")
    )  # fmt: skip
    assert script == executed, "write the .ipynb again, as notebooks/README.md says"


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_with_its_number_and_what_you_will_do_learn_and_need(name):
    opening = read(name, "py").cells[0].source
    assert opening.startswith(f"# {int(name[:2])}. ")
    for promise in ("will do", "will learn", "need"):
        assert f"**What you {promise}.**" in opening


@pytest.mark.parametrize("name", NAMES)
def test_it_was_executed_from_top_to_bottom(name):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error", output.evalue
        assert output.get("name") != "stderr", output.text


NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def printed(cells):
    """What each cell has printed: its words, and its numbers."""
    for cell in cells:
        text = "\n".join(output.get("text", "") for output in cell.outputs)
        yield NUMBER.sub("#", text).split(), NUMBER.findall(text)


def differing(old, new):
    """The cells that print other words about the same numbers, or other numbers from a file."""
    recorded = ["recorded" in cell.metadata.get("tags", []) for cell in old]
    cells = zip(recorded, printed(old), printed(new), strict=True)
    return [(a, b) for exact, a, b in cells if a != b and (exact or a[1] == b[1])]


def test_other_words_about_the_same_numbers_are_found():
    v4 = pytest.importorskip("nbformat").v4

    def cells(text, *tags):
        shown = [v4.new_output("stream", text=text)]
        return [v4.new_code_cell(outputs=shown, metadata={"tags": list(tags)})]

    for text in ("slope 0.10: partly, n = 2", "slope 0.1: yes, n = 2", "slope 0.10:\nyes, n =  2"):
        found = differing(cells("slope 0.10: yes, n = 2"), cells(text))
        assert bool(found) == ("partly" in text)
        found = differing(cells("slope 0.10: yes, n = 2", "recorded"), cells(text))
        assert bool(found) == ("\n" not in text)


READS = re.compile(r"\b(Result\.load|json\.loads|load|saved|recorded)\(")


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_that_prints_what_it_reads_from_a_file_says_so(name):
    for cell, (words, _) in zip(code_cells(name), printed(code_cells(name)), strict=True):
        if words and READS.search(cell.source):
            assert "recorded" in cell.metadata.get("tags", []), cell.source


@pytest.mark.skipif("PYSI_EXECUTED" not in os.environ, reason="PYSI_EXECUTED names no folder")
@pytest.mark.parametrize("name", NAMES)
def test_its_outputs_are_those_of_the_code(name):
    executed = jupytext.read(Path(os.environ["PYSI_EXECUTED"]) / f"{name}.ipynb").cells
    executed = [cell for cell in executed if cell.cell_type == "code"]
    found = differing(code_cells(name), executed)
    assert not found, "execute it again, as notebooks/README.md says"


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_assertions_of_its_claim(name):
    assert "assert " in code_cells(name)[-1].source


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_no_path_of_a_machine(name):
    for cell in read(name, "ipynb").cells:
        for text in (cell.source, *(t for out in cell.get("outputs", ()) for t in texts(out))):
            assert not MACHINE_PATH.search(text), text


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_its_colours_and_sizes_from_the_style_of_the_figures(name):
    script = (FOLDER / f"{name}.py").read_text()
    assert re.search(r"^(style\.)?use\(\)$", script, re.M)
    assert not re.search(r"""["']#[0-9a-fA-F]{3,8}["']|\bC\d["']|rcParams""", script)
    named = re.findall(r"""\bcolor=["']([a-z:]+)["']""", script)
    assert set(named) <= {"black", "white"}
    assert min(map(int, re.findall(r"fontsize=(\d+)", script)), default=9) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_record_when_it_was_run(name):
    assert not [cell.metadata for cell in read(name, "ipynb").cells if "execution" in cell.metadata]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 400_000
