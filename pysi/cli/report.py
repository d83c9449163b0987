"""`pysi report`: one HTML file of a result, a sweep or a landscape."""

import hashlib
from pathlib import Path
from typing import Any

from pysi.errors import ConfigError
from pysi.experiments import overview
from pysi.report.page import page
from pysi.storage.files import atomic, open_regular

NAME = "report.html"
"""What a report is called by default."""


def write_report(path: Path, out: Path | None = None) -> Path:
    """Write the report of what a folder holds, or of a file, and return its path.

    Parameters
    ----------
    path : Path
        A folder with a landscape, a result or a sweep; or the file itself.
    out : Path, optional
        The new file; by default ``report.html`` beside the file that it is about.

    Raises
    ------
    ConfigError
        `out` is a folder, or the file that the report is about, or its folder does not exist.
    DataError
        The file is missing, damaged or of an old format, or the report cannot be written.
    """
    path = overview.file_in(path)
    out = out or path.with_name(NAME)
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"out: expected a file in an existing folder, found {out}")
    found, sha256 = read(path)
    if out.exists() and out.samefile(path):
        raise ConfigError(f"out: expected another file than {path}, which the report is about")
    with atomic(out, "w", encoding="utf-8") as file:  # opened before the work begins
        file.write(page(found, path.name, sha256, path.parent))
    return out


def read(path: Path) -> tuple[Any, str]:
    """Return a result, sweep or landscape, and the SHA-256 of the file that it was read from."""
    content = None
    while content != (content := raw(path)):  # a run that goes on may have replaced it
        found = overview.read(path)
    return found, hashlib.sha256(content).hexdigest()


def raw(path: Path) -> bytes:
    """Return the bytes of a regular file; raise a DataError for anything else."""
    with open_regular(path, "what `pysi run`, `sweep` or `landscape` wrote") as file:
        return file.read()
