"""The site: `pip install ".[docs]" && sphinx-build -W -b html docs build/site`."""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

import pysi

here = Path(__file__).parent
sys.path.insert(0, str(here))
import evidence  # noqa: E402
import lessons  # noqa: E402
import literate  # noqa: E402

in_browser = tags.has("browser")  # noqa: F821 - build_site.py sets it, and Sphinx gives the name

# Sphinx reads only what lies below this folder, so the course is copied into it; git ignores that.
shutil.rmtree(here / "notebooks", ignore_errors=True)
(here / "notebooks").mkdir()
for path in (here.parent / "notebooks").glob("*.ipynb"):
    notebook = nbformat.read(path, 4)
    if in_browser:
        lessons.with_buttons(notebook, path.stem)
    nbformat.write(notebook, here / "notebooks" / path.name)

# What can be downloaded of the course, and the table that links to it.
shutil.rmtree(here / "_downloads", ignore_errors=True)
lessons.write_copies(here / "_downloads")
(here / "_downloads" / "table.md").write_text(lessons.table("_downloads", in_browser))

# The core, in the order of reading.md, as pages that show whole files; git ignores them too.
shutil.rmtree(here / "core", ignore_errors=True)
(here / "core").mkdir()
core = re.findall(r"\]\(core/([\w.]+)\) \|", (here / "reading.md").read_text())
for module in core:
    source = (Path(pysi.__file__).parent / f"{module.replace('.', '/')}.py").read_text()
    (here / "core" / f"{module}.rst").write_text(literate.page(module, source))
contents = ["The core", "========", "", ".. toctree::", "", *(f"   {module}" for module in core)]
(here / "core" / "index.rst").write_text("\n".join(contents) + "\n")

project = "pysi"
release = version = pysi.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
# For the package index; part of a page; what is downloaded or included.
exclude_patterns = ["pypi.md", "results/README.md", "_downloads"]

html_theme = "furo"
html_title = "pysi"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_merge_streams = True
nb_execution_mode = "off"  # the notebooks are stored with their outputs, and CI executes them

highlight_language = "text"  # of blocks that name no language; "none" would strip source pages too
smartquotes_action = "qD"  # not the dots of shapes such as (..., P)

# `name` in a docstring is a link where there is such an object, and plain code elsewhere.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False  # what a subclass overrides is explained once, by its base
autodoc_preserve_defaults = True  # xp=np, and not where NumPy lies on this machine
numpydoc_show_class_members = False  # autodoc shows them

# Formulas become MathML, which browsers draw by themselves: nothing is fetched when a page is read.
html_math_renderer = "mathml"

converter = LatexToMathML(fancy_error=False)
# Symbols are written as themselves. Of these, three would be slanted and one not be understood.
commands = str.maketrans({"Ω": r"\Omega ", "Δ": r"\Delta ", "Π": r"\Pi ", "⊤": r"\top "})


def to_mathml(node, **options):
    """MathML of a formula's LaTeX; what cannot be translated is a warning that names its place."""
    try:
        return converter.convert_with_local_state(node.astext().translate(commands), **options)
    except LatexError as err:
        logging.getLogger(__name__).warning("formula: %s", err, location=node)
        return node.astext()


def visit_math(self, node):
    """A formula inside a line."""
    self.body.append(to_mathml(node, displaystyle=False))
    raise nodes.SkipNode


def visit_math_block(self, node):
    """A formula on its own line."""
    self.body.append(f'<div class="math">{to_mathml(node, displaystyle=True)}</div>\n')
    raise nodes.SkipNode


def keep_together(app, pagename, templatename, context, doctree):
    """Let no line begin with the comma that follows a formula."""
    context["body"] = re.sub(
        r"(<math>(?:(?!<math).)*?</math>)([.,:;)’]+)",
        r'<span class="unbroken">\1\2</span>',
        context.get("body", ""),
        flags=re.DOTALL,
    )


def describe(app, doctree):
    """Give every figure of a notebook that has no alt text the words that lead to it."""
    said = ""
    for node in doctree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.image)):
        if isinstance(node, nodes.paragraph):
            said = " ".join(node.astext().split()) or said
        elif not node.get("alt"):
            node["alt"] = f"Figure. {said}"


def fill(app, docname, source):
    """Put numbers and tables from files where a page asks for them, and links to notebooks."""
    source[0] = lessons.linked(evidence.fill(source[0]))


def setup(app):
    """Register the renderer of formulas, and what fills in numbers and alt texts."""
    app.connect("source-read", fill)
    app.connect("doctree-read", describe)
    app.connect("html-page-context", keep_together)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
