"""Show the files of the core as pages: whole files, whose docstrings are set as text.

A page is the file from its first line to its last. Code stays code, with the file's own line
numbers; a docstring of more than one line becomes text, so that its formulas can be drawn.
"""

import ast
import inspect

from numpydoc.docscrape_sphinx import SphinxDocString


def docstrings(tree):
    """Return the nodes of the docstrings that become text, in the order of the file."""
    nodes = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
                and first.end_lineno > first.lineno
            ):
                nodes.append(first)
    return sorted(nodes, key=lambda node: node.lineno)


def pieces(source):
    """Yield the file in pieces: ("code", first line, lines) or ("text", column, docstring)."""
    lines, done = source.splitlines(), 0
    for node in docstrings(ast.parse(source)):
        yield "code", done + 1, lines[done : node.lineno - 1]
        yield "text", node.col_offset, inspect.cleandoc(node.value.value)
        done = node.end_lineno
    yield "code", done + 1, lines[done:]


def indent(lines, by):
    """Return the lines, indented by some columns; blank lines become empty."""
    return [" " * by + line if line.strip() else "" for line in lines]


def page(module, source):
    """Return the page of a module, as reStructuredText."""
    title = f"pysi/{module.replace('.', '/')}.py"
    out = [title, "=" * len(title), ""]
    for form, where, what in pieces(source):
        if form == "text":
            text = str(SphinxDocString(what, config={"show_class_members": False})).splitlines()
            out += [f".. container:: docstring depth{where // 4}", "", *indent(text, 3), ""]
            continue
        blank = next((i for i, line in enumerate(what) if line.strip()), len(what))
        where, what = where + blank, what[blank:]
        if what:
            out += [".. code-block:: python", "   :linenos:", f"   :lineno-start: {where}", ""]
            out += [*indent(what, 3), ""]
    return "\n".join(out) + "\n"
