"""Files that appear whole or not at all."""

import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pysi.errors import DataError


@contextmanager
def atomic(path, mode="wb", **options):
    """Open a file beside `path`, which takes its place once this context has ended well.

    Other processes may write the same path: each has a file of its own. Its folder must exist.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open(mode, **options) as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_arrays(path, expected):
    """All arrays of an ``.npz`` file by name; nothing is unpickled.

    Raises
    ------
    DataError
        The file is missing, unreadable or no such file; the message says what was `expected`.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as err:
        raise DataError(f"{path}: expected {expected}, found {type(err).__name__}: {err}.") from err
