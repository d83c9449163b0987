"""Whether formulas are compiled on a CPU, and by what: Numba, where it is installed.

It takes about a second to import Numba and to make loops. A short job would lose time by it, so
formulas run as NumPy passes (`pysi.backend.passes`) until these have done some work, and as
compiled loops (`pysi.backend.loops`) from then on. The numbers are the same.
"""

import hashlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pysi.errors import ConfigError, install

VARIABLE = "PYSI_COMPILED"
PATIENCE = 2**30
"""Operations on single numbers that NumPy's passes do before loops are compiled."""


class Switch:
    """The state of compiling, which is one for the whole process.

    Attributes
    ----------
    chosen : bool or None
        Whether formulas are compiled at once (True), never (False), or as soon as it pays (None).
    done : int
        Operations that passes have done.
    broken : bool
        Whether Numba has failed.
    """

    def __init__(self) -> None:
        self.chosen = {"0": False, "1": True}.get(os.environ.get(VARIABLE, ""))
        self.done, self.broken = 0, False


SWITCH = Switch()


@contextmanager
def compiled(on: bool | None) -> Iterator[None]:
    """Return a context that decides about compiling, also in processes started within it.

    Parameters
    ----------
    on : bool or None
        True: at once. False: not at all. None: as soon as it pays.

    Raises
    ------
    ConfigError
        `on` is True, and Numba is not installed.
    """
    if on and numba() is None and not SWITCH.broken:
        raise ConfigError(f"compiled: expected Numba, found none; {install('fast')}")
    before = SWITCH.chosen, os.environ.get(VARIABLE, "")
    SWITCH.chosen, os.environ[VARIABLE] = on, {None: "", True: "1", False: "0"}[on]
    try:
        yield
    finally:
        SWITCH.chosen, os.environ[VARIABLE] = before


def check() -> None:
    """Raise a ConfigError if the environment variable has a value without meaning."""
    found = os.environ.get(VARIABLE, "")
    if found not in ("", "0", "1"):
        raise ConfigError(
            f"{VARIABLE}: expected 1 (compile formulas at once), 0 (never), or nothing (as soon as "
            f"it pays), found {found!r}"
        )


def ready(work: int = 0) -> bool:
    """Return whether loops are used by now; if not, count the work that passes will do instead."""
    if SWITCH.chosen is False or SWITCH.broken:
        return False
    if SWITCH.chosen is None and SWITCH.done < PATIENCE:
        SWITCH.done += work
        return False
    return numba() is not None


def in_use() -> str | None:
    """Return Numba's version if formulas run as compiled loops by now, else None."""
    return str(numba().__version__) if ready() else None


@cache
def numba() -> Any:
    """Return Numba, or None if it is missing or cannot be imported (with a warning)."""
    try:
        return importlib.import_module("numba")
    except ModuleNotFoundError as err:
        if err.name != "numba":
            give_up(err)
    except Exception as err:  # a version that does not fit NumPy's or Python's: whatever it raises
        give_up(err)
    return None


def give_up(problem: Exception) -> None:
    """Say that Numba does not work, and go on without it."""
    if not SWITCH.broken:
        SWITCH.broken = True
        what = " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
        warnings.warn(
            f"Numba is installed but does not work ({what}). Formulas run as NumPy passes, with "
            f"the same numbers. Install another version of Numba, or set {VARIABLE}=0.",
            stacklevel=3,
        )


def folder() -> Path:
    """Return where compiled code is kept for the next process: beside data sets in the cache.

    It raises a RuntimeError if there is no home directory.
    """
    if own := os.environ.get("PYSI_CACHE"):
        return Path(os.path.expanduser(own)) / "formulas"
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pysi" / "formulas"


def function(source: str, *, keep: bool = True) -> Callable:
    """Return a compiled function, given its source after the name; calls settle its types.

    Numba keeps compiled code on disk beside the source, so the source is written to a file. If no
    file can be written, or with keep=False, the function is compiled again in every process.
    """
    name = "formula_" + hashlib.sha256(source.encode()).hexdigest()[:16]
    source = f"def {name}{source}"
    path = keep and file(name, source)
    # Numba looks for the module of a function that it reads from disk
    scope: dict[str, Any] = {"__name__": __name__, "sqrt": np.sqrt}
    scope |= {kind.__name__: kind for kind in (np.float32, np.float64, np.int64)}
    exec(compile(source, str(path or f"<{name}>"), "exec"), scope)
    try:
        return numba().njit(cache=bool(path), nogil=True, error_model="numpy")(scope[name])
    except RuntimeError:  # what Numba raises if its folder cannot be written to
        return numba().njit(nogil=True, error_model="numpy")(scope[name])


def file(name: str, source: str) -> Path | None:
    """Return a file with this source, or None if it cannot be written."""
    try:
        path = folder() / f"{name}.py"
        if not path.exists() or path.read_text() != source:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(source)
            os.replace(partial, path)
    except (OSError, RuntimeError, UnicodeError):
        return None
    return path
