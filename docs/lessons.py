"""The course on the site: a table of its notebooks, and the copies that a reader can download.

Everything is read from the notebooks at build time: titles, minutes and what they need.
"""

import importlib.util
import re
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
KINDS = ("student", "solution", "instructor")


def copies():
    """Return the module `notebooks/copies.py`, or None where there is none."""
    path = NOTEBOOKS / "copies.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("copies", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_copies(folder):
    """Write all copies of all notebooks, each kind into a folder of its own."""
    if module := copies():
        for kind in KINDS:
            module.write(kind, folder / kind)


def prose(notebook):
    """Return the text of a notebook."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def minutes(notebook):
    """Return how long it takes to work through a notebook, rounded up to five minutes."""
    if module := copies():
        spent = sum(module.minutes(notebook).values())
    else:  # 200 words, or 15 lines of code, per minute
        lines = sum(cell.source.count("\n") + 1 for cell in notebook.cells
                    if cell.cell_type == "code")  # fmt: skip
        spent = len(prose(notebook).split()) / 200 + lines / 15
    return int(-(-spent // 5) * 5)


def needs(notebook, own):
    """Return the numbers of the notebooks that this one says it needs."""
    said = re.search(r"\*\*What you need\.\*\*(.*?)(?=\*\*|\n\n|\Z)", prose(notebook), re.S)[1]
    said = re.sub(r"\([^)]*\)", "", said)  # the addresses of links, and what is said in passing
    named = re.findall(r"\b[Nn]otebooks?\s+((?:\d+(?:\]?,\s|\]?\sand\s|\]?\sto\s)?\[?)+)", said)
    numbers = {int(number) for group in named for number in re.findall(r"\d+", group)}
    return sorted(number for number in numbers if number != own)


def linked(text):
    """Return a page in which [3](notebook) leads to notebook 3; without one, only the 3 is left."""
    pages = {int(path.stem[:2]): path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb")}

    def link(found):
        name = pages.get(int(found[1]))
        return f"[{found[1]}](notebooks/{name})" if name else found[1]

    return re.sub(r"\[(\d+)\]\(notebook\)", link, text)


def table(folder):
    """Return a table of all notebooks, with links to the copies below a folder."""
    head = ["", "notebook", "minutes", "needs"]
    kinds = [kind for kind in KINDS if (HERE / folder / kind).exists()]
    rows = [head + kinds, ["---"] * (len(head) + len(kinds))]
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook, number = nbformat.read(path, 4), int(path.stem[:2])
        title = re.search(r"^# \d+\. (.+)$", prose(notebook), re.M)[1]
        row = [str(number), f"[{title}](notebooks/{path.name})", str(minutes(notebook)),
               ", ".join(map(str, needs(notebook, number))) or "–"]  # fmt: skip
        rows.append(row + [f"{{download}}`{kind} <{folder}/{kind}/{path.name}>`" for kind in kinds])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
