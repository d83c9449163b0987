"""A result as tables, and as a page that can be read on its own: `pysi report`.

In reading order: `table` (text in rows and columns), `tables` (what a result, a sweep or a
landscape says, as tables), `problems` (what it lacks), `page` (one HTML file).
"""
