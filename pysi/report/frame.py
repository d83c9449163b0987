"""One HTML file that needs nothing else: its head, its style sheet, and the parts of its body."""

import base64
import io
import re
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from pysi.experiments.machine import require
from pysi.figures.style import STYLE as LOOK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --soft: #57606a; --line: #d4d9df;
  --fill: #f4f6f8; --page: #fff; --link: #0b57b0; --mark: #b35900; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe4ea; --soft: #9aa5b1; --line: #3a424c;
  --fill: #20262d; --page: #15191e; --link: #7ab4ff; --mark: #f0a64b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 3rem; color: var(--ink);
  background: var(--page); font: 1rem/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
p, ul { max-width: 46rem; margin: .6rem 0; }
li { margin: .3rem 0; }
a { color: var(--link); }
nav { font-size: .9rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
#missing ul { border-left: 4px solid var(--mark); padding: .3rem 1rem .3rem 2rem; }
.table { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem;
  max-width: min(46rem, calc(100vw - 2rem)); }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; }
thead th { color: var(--soft); vertical-align: bottom; white-space: normal; min-width: 4rem; }
tbody th { position: sticky; left: 0; background: var(--page); }
.prose tbody th { position: static; }
.prose th, .prose td { white-space: normal; }
.prose tbody th { min-width: 13rem; font-weight: normal; }
.prose td:nth-child(2), .prose td:nth-child(4) { white-space: nowrap; }
.prose td:nth-child(5) { min-width: 17rem; }
.prose td:nth-child(6) { min-width: 13rem; }
.pairs td { white-space: normal; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; }
figure div { overflow-x: auto; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; padding: .5rem; }
figcaption { color: var(--soft); font-size: .9rem; }
summary { cursor: pointer; padding: .3rem 0; }
pre { background: var(--fill); padding: .7rem 1rem; border-radius: 4px; white-space: pre-wrap; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .9em; }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } nav { display: none; }
  .table { overflow: visible; } tbody th { position: static; }
  table { font-size: 7.5pt; } th, td { padding-right: .5rem; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""
"""It suits light and dark modes, screens and paper. A wide table scrolls in a box of its own."""


def document(title: str, lead: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return a whole HTML file.

    Parameters
    ----------
    title : str
    lead : str
        HTML below the title.
    sections : iterable of (str, str)
        The heading of each section, and its HTML; a section without HTML is left out.
    """
    shown = [(name, body) for name, body in sections if body]
    links = "\n".join(f'<a href="#{anchor(name)}">{escape(name)}</a>' for name, _ in shown)
    parts = "".join(
        f'<section id="{anchor(name)}">\n<h2>{escape(name)}</h2>\n{body}</section>\n'
        for name, body in shown
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{lead}<nav>\n{links}\n</nav>\n</header>\n"
        f"<main>\n{parts}</main>\n</body>\n</html>\n"
    )


def anchor(heading: str) -> str:
    """Return the name of a section in links: the first word of its heading."""
    return re.split(r"\W", heading.lower())[0]


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>\n"


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of plain sentences; nothing if there are none."""
    items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
    return f"<ul>\n{items}</ul>\n" if items else ""


def code(text: str) -> str:
    """Return a line of a terminal."""
    return f"<pre><code>{escape(text)}</code></pre>\n"


def folded(title: str, body: str) -> str:
    """Return what is shown when its title is clicked, and on paper; nothing if it is empty."""
    return f"<details>\n<summary>{escape(title)}</summary>\n{body}</details>\n" if body else ""


def classed(name: str, html: str) -> str:
    """Return HTML in a box of a class that `STYLE` describes."""
    return f'<div class="{name}">{html}</div>\n'


def picture(fig: "Figure", caption: str) -> str:
    """Return a Matplotlib figure above its caption, which is also its alternative text.

    It is an SVG image of its own within the file, so that its ids cannot clash with those of
    another figure. Its letters are shapes: they look the same whatever fonts a reader has.
    """
    file = io.BytesIO()
    with require("matplotlib").rc_context({**LOOK, "svg.fonttype": "path"}):
        about = {"Date": None, "Creator": None}
        fig.savefig(file, format="svg", metadata=about, bbox_inches="tight")
    svg = file.getvalue()
    points = re.search(rb'<svg [^>]*width="([\d.]+)pt"', svg)
    width = round(float(points[1]) * 96 / 72) if points else 600
    return (
        f'<figure>\n<div><img width="{width}" style="min-width: {round(0.55 * width)}px" '
        f'alt="{escape(caption)} The tables have its numbers." '
        f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"></div>\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>\n"
    )
