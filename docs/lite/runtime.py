"""Pyodide, which is Python for the browser: what the site needs of it, checked file by file."""

import hashlib
import json
import re
import shutil
from pathlib import Path

from pysi.errors import DataError

VERSION = "0.27.7"
CDN = f"https://cdn.jsdelivr.net/pyodide/v{VERSION}/full/"

LOCK = "pyodide-lock.json"
RUNTIME = {
    "pyodide.js": "b4cb23a53aba19c221659b9fb40a2f18281d685691dc06647fb0afd0681baf98",
    "pyodide.asm.js": "6b4c90de5b7172873f04f21884d0e9d2274e305fe32116558fe3e4fbe3618d51",
    "pyodide.asm.wasm": "a50dd1843f805a0b7c45b61037ee0d7b26dfe85efe0e18ef95a34ad24e401f5f",
    "python_stdlib.zip": "16611534726e5d8ac2bd8f926410b2dcb8d6f49aa24913463533b457a2115c16",
    LOCK: "9c45b916001a750f4102fc287494f3eab215909c7535c626a20db80fd6333e2c",
}
"""The SHA-256 of the runtime's own files, those of the npm package `pyodide` of this version.

The lock file names the SHA-256 of every package.
"""

OURS = ("numpy", "matplotlib", "scipy", "threadpoolctl")
"""Packages of Pyodide that pysi and its course need."""
KERNEL = ("micropip", "ssl", "sqlite3", "jedi", "ipython")
"""Packages of Pyodide that the notebooks' kernel needs."""

GET = f"Get Pyodide {VERSION}: https://github.com/pyodide/pyodide/releases/tag/{VERSION}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def normal(name: str) -> str:
    """Return the name of a package as the keys of the lock file have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(lock: dict) -> dict:
    """Return the lock file's entries of what is needed, and of all that this depends on."""
    found, waiting = {}, [*OURS, *KERNEL]
    while waiting:
        name = normal(waiting.pop())
        if name not in found:
            found[name] = lock["packages"][name]
            waiting += found[name]["depends"]
    return dict(sorted(found.items()))


def check_version(folder: Path) -> None:
    """Check that a folder holds this version of Pyodide.

    Raises
    ------
    DataError
        It is no folder, holds no Pyodide, or another version.
    """
    path = folder / LOCK
    if not path.is_file():
        raise DataError(f"{path}: expected Pyodide's lock file, found no such file. {GET}")
    try:
        found = json.loads(path.read_bytes())["info"]["version"]
    except (ValueError, KeyError, TypeError) as err:
        raise DataError(
            f"{path}: expected Pyodide's lock file, found one that cannot be read "
            f"({type(err).__name__}). {GET}"
        ) from err
    if found != VERSION:
        raise DataError(f"{path}: expected Pyodide {VERSION}, found version {found}. {GET}")


def check_file(path: Path, expected: str, advice: str = GET) -> None:
    """Check that a file is there and has this SHA-256.

    Raises
    ------
    DataError
        It is missing, truncated or changed.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a file, found none. {advice}")
    if (found := sha256(path)) != expected:
        raise DataError(
            f"{path}: expected the SHA-256 {expected}, found {found} "
            f"({path.stat().st_size:,} bytes): it is truncated or was changed. {advice}"
        )


def check(folder: Path) -> dict:
    """Check every file that the site needs of a folder with Pyodide, and return the cut lock file.

    The runtime is compared with the pinned SHA-256, and each package with the lock file's.

    Raises
    ------
    DataError
        A file is missing, truncated or changed, or the folder holds another version.
    """
    check_version(folder)
    for name, expected in RUNTIME.items():
        check_file(folder / name, expected)
    lock = json.loads((folder / LOCK).read_bytes())
    lock["packages"] = needed(lock)
    for package in lock["packages"].values():
        check_file(folder / package["file_name"], package["sha256"])
    return lock


def copy(folder: Path, lock: dict, to: Path) -> None:
    """Copy what the cut lock file names, and the runtime, and write the lock file itself."""
    names = RUNTIME.keys() - {LOCK} | {each["file_name"] for each in lock["packages"].values()}
    for name in names - {path.name for path in to.iterdir()}:
        shutil.copyfile(folder / name, to / name)
    (to / LOCK).write_text(json.dumps(lock))
