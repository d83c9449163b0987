"""Copies of the notebooks: for students, with solutions, and for lecturers.

    python notebooks/copies.py student DIR      # blanks to fill in, no outputs
    python notebooks/copies.py solution DIR     # solutions and answers, with outputs
    python notebooks/copies.py instructor DIR   # and wrong answers, and minutes per section

One script, `NN_name.py`, is the source of them all. What a cell is, its tags say:

- `exercise`: a student writes what stands below the line ``# your code: …``, up to a line
  ``# end`` or the end of the cell; the text after the colon says what is missing.
- `check`: assertions about the exercise before it.
- `answer`: the answer to a question, folded (in ``<details>``).
- `instructor`: wrong answers that students give, each a block of Python to stand in the blank.
- `hide-input`, `remove-cell`: how the site shows a cell.
- `recorded`: what it prints is read from files of results, so every digit is the same anywhere.
"""

import argparse
import re
from copy import deepcopy
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).parent
KINDS = ("student", "solution", "instructor")
BLANK = re.compile(
    r"^(?P<indent> *)# your code: (?P<what>[^\n]*)\n(?P<body>.*?)(?=^ *# end$|\Z)", re.M | re.S
)
WORDS_PER_MINUTE, LINES_PER_MINUTE, MINUTES_PER_EXERCISE = 200, 15, 5


def tags(cell):
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", []))


def names():
    """Return the names of all notebooks, in order."""
    return sorted(path.stem for path in HERE.glob("[0-9]*.py"))


def source(name):
    """Return a notebook as its script has it, without outputs."""
    return jupytext.read(HERE / f"{name}.py")


def fill(code, body):
    """Return an exercise with something else in its blank: code, indented as the blank is."""

    def put(blank):
        lines = body.strip("\n").splitlines()
        inside = "\n".join(f"{blank['indent']}{line}".rstrip() for line in lines)
        return f"{blank['indent']}# your code: {blank['what']}\n{inside}\n"

    return BLANK.sub(put, code).rstrip("\n")


def blanked(code):
    """Return an exercise with its blank empty: it raises an error that says what is missing."""
    (what,) = {blank["what"] for blank in BLANK.finditer(code)} or {""}
    return fill(code, f"raise NotImplementedError({f'your code is missing here: {what}'!r})")


def wrong_answers(cell):
    """Return the answers of a cell for instructors, each a piece of code."""
    return re.findall(r"^```python\n(.*?)^```$", cell.source + "\n", re.M | re.S)


def student(notebook):
    """Return the copy with blanks, without answers and outputs."""
    copy = deepcopy(notebook)
    copy.cells = [cell for cell in copy.cells if not tags(cell) & {"answer", "instructor"}]
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if "exercise" in tags(cell):
                cell.source = blanked(cell.source)
    return copy


def solution(notebook):
    """Return the copy with solutions and answers."""
    copy = deepcopy(notebook)
    copy.cells = [cell for cell in copy.cells if "instructor" not in tags(cell)]
    return copy


def instructor(notebook):
    """Return the copy with everything, and with the minutes that each section takes."""
    copy = deepcopy(notebook)
    spent = iter(minutes(copy).values())
    for cell in copy.cells:
        if cell.cell_type == "markdown" and heading(cell):
            cell.source += f"\n\n*Time: about {max(1, round(next(spent)))} minutes.*"
    return copy


def heading(cell):
    """Return the heading with which a cell begins, if it does."""
    found = re.match(r"#{1,2} (.+)", cell.source) if cell.cell_type == "markdown" else None
    return found and found[1]


def minutes(notebook):
    """Return how long it takes to read each section and do its exercises, by its heading.

    Reading is 200 words of prose, or 15 lines of code, per minute; an exercise is five more.
    """
    spent = {}
    for cell in notebook.cells:
        if "instructor" in tags(cell):
            continue
        if title := heading(cell):
            section = title
        if cell.cell_type == "markdown":
            time = len(cell.source.split()) / WORDS_PER_MINUTE
        else:
            shown = 0 if "hide-input" in tags(cell) - {"exercise"} else cell.source.count("\n") + 1
            time = shown / LINES_PER_MINUTE + MINUTES_PER_EXERCISE * ("exercise" in tags(cell))
        spent[section] = spent.get(section, 0) + time
    return spent


def write(kind, folder):
    """Write this copy of all notebooks into a folder, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    make, paths = {"student": student, "solution": solution, "instructor": instructor}[kind], []
    for name in names():
        copy = make(nbformat.read(HERE / f"{name}.ipynb", 4))
        path = folder / f"{name}.ipynb"
        nbformat.write(copy, path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for path in write(arguments.kind, arguments.folder):
        print(path)
