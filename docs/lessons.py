"""The course on the site: a table of its notebooks, and the copies that a reader can download.

Everything is read from the notebooks at build time: titles, minutes and what they need.
"""

import re
import sys
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
import copies  # noqa: E402

IN_BROWSER = ("student", "solution")
"""The copies that can be worked on in the browser."""
SLOW = dict.fromkeys((8, 9, 11, 14), "several minutes")
"""How long all cells of a notebook take in a browser, where that is long."""


def address(kind, name):
    """Return where a copy opens in the browser, from the site's first page."""
    return f"lite/notebooks/index.html?path={kind}/{name}.ipynb"


def buttons(name):
    """Return links from a notebook's page to its copies in the browser, as HTML."""
    student, solution = (f"../{address(kind, name)}" for kind in IN_BROWSER)
    slow = SLOW.get(int(name[:2]))
    said = f" It opens executed: all its cells take {slow} there." if slow else ""
    return (
        f'<p class="browser"><a href="{student}">Work on it in the browser</a> '
        f'<a href="{solution}">Solution</a>{said}</p>'
    )


def with_buttons(notebook, name):
    """Return a notebook with those links below its title."""
    first = notebook.cells[0]
    title, _, rest = first.source.partition("\n")
    first.source = f"{title}\n\n{buttons(name)}\n{rest}"
    return notebook


def write_copies(folder):
    """Write all copies of all notebooks, each kind into a folder of its own."""
    for kind in copies.KINDS:
        copies.write(kind, folder / kind)


def prose(notebook):
    """Return the text of a notebook."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def minutes(notebook):
    """Return how long it takes to work through a notebook, rounded up to five minutes."""
    return int(-(-sum(copies.minutes(notebook).values()) // 5) * 5)


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


def table(folder, in_browser=False):
    """Return a table of all notebooks, with links to the copies below a folder.

    Where the site has notebooks in the browser, a column leads there.
    """
    head = ["", "notebook", "minutes", "needs", *copies.KINDS]
    head += ["in the browser"] if in_browser else []
    rows = [head, ["---"] * len(head)]
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook, number = nbformat.read(path, 4), int(path.stem[:2])
        title = re.search(r"^# \d+\. (.+)$", prose(notebook), re.M)[1]
        needed = ", ".join(map(str, needs(notebook, number))) or "–"
        row = [str(number), f"[{title}](notebooks/{path.name})", str(minutes(notebook)), needed]
        of = f"{folder}/{{0}}/{path.name}"
        row += [f"{{download}}`{kind} <{of.format(kind)}>`" for kind in copies.KINDS]
        row += [f'<a href="{address("student", path.stem)}">open</a>'] if in_browser else []
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
