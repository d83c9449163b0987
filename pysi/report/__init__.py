"""A result as tables, and as a page that can be read on its own: `pysi report`.

In reading order: `table` (text in rows and columns), `tables` (what a result, a sweep or a
landscape says, as tables), `command` (its settings), `wording` (runs in words), `problems` (what
it lacks), `frame` (parts of an HTML file), `provenance` (where it comes from), `page` (the whole
file).
"""
