"""The command line of pysi for a page: one command at a time, and the files that it writes."""

import contextlib
import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pysi.cli import main
from pysi.errors import ConfigError

tqdm.monitor_interval = 0  # it would start a thread, and a browser has none

NEEDS = {
    "theory": ["scipy"],
    "run": ["scipy", "matplotlib", "threadpoolctl"],
    "figure": ["scipy", "matplotlib"],
    "report": ["scipy", "matplotlib"],
}
NEEDS["sweep"] = NEEDS["landscape"] = NEEDS["run"]


class Stream(io.TextIOBase):
    """A stream whose text is sent at once."""

    encoding = "utf-8"

    def __init__(self, send: Callable[[dict[str, str]], Any]) -> None:
        self.send = send

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Send a text and return its length."""
        if text:
            self.send({"text": text})
        return len(text)


def words(line: str) -> list[str]:
    """Return the words of a command line, without the name of the program."""
    try:
        found = shlex.split(line)
    except ValueError as err:
        raise ConfigError(f"command: expected words and closed quotes, found {line!r}") from err
    if found[:1] != ["pysi"]:
        raise ConfigError(f"command: expected one that begins with pysi, found {line!r}")
    return found[1:]


def needs(progress: Any, line: str) -> list[str]:
    """Return the packages of Pyodide that a command needs, besides NumPy."""
    return next((NEEDS[word] for word in words(line) if word in NEEDS), [])


def files(folder: Path) -> dict[str, float]:
    """Return when every file below a folder was written, by its path."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    return {str(path.relative_to(folder)): path.stat().st_mtime for path in paths}


def run(progress: Callable[[dict[str, str]], Any], line: str) -> dict[str, Any]:
    """Run a command; send its output as it comes, and return its exit status and its files."""
    arguments, before, stream = words(line), files(Path.cwd()), Stream(progress)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            status = main(arguments)
        except SystemExit as err:  # of argparse
            status = err.code if isinstance(err.code, int) else 1
    after = files(Path.cwd())
    written = sorted(path for path, when in after.items() if before.get(path) != when)
    return {"status": status, "files": [path for path in written if "__pycache__" not in path]}


def read(progress: Any, path: str) -> np.ndarray:
    """Return the bytes of a file."""
    return np.frombuffer(Path(path).read_bytes(), np.uint8)
