"""A result's rows as a table of comma-separated values."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pysi.errors import ConfigError, DataError
from pysi.storage.files import atomic


def check_place(path: Path) -> None:
    """Raise a ConfigError if no file can be written there."""
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"csv: expected a file in a folder that is there, found {path}")


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one line per row, below a line with the names of all columns.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    columns = dict.fromkeys(name for row in rows for name in row)
    try:
        with atomic(path, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(columns))
            table.writeheader()
            table.writerows(rows)
    except OSError as err:
        raise DataError(f"{path}: expected a file that can be written, found {err}") from err
