"""The wheels that Pyodide lacks: pysi's own, and pure ones from PyPI and the notebooks' kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from lite import runtime
from pysi.errors import DataError, PysiError, install

ROOT = Path(__file__).parents[2]

PURE = {
    "joblib-1.6.0": "3dbbf9f6e4b592a2357b854608e980fe6390d131d7a82f011a377ef2ebef7aba",
    "tqdm-4.70.1": "c293e525e6fef9c20e8728fd4612df02a0aa31bb5fe91ecd93e123b1b7bffa73",
    "comm-0.2.2": "e6fb86cb70ff661ee8c9c14e7d36d6de3b4066f1441be4063df9c5009f0a64d3",
}
"""The SHA-256 of what PyPI has: two packages that `pysi run` imports, and one for the kernel.

Pyodide has a joblib of its own, which is too old for `pysi run`.
"""
KERNEL = ("piplite", "pyodide_kernel", "ipykernel")
"""What comes with jupyterlite-pyodide-kernel as wheels."""
EXTENSION = "@jupyterlite/pyodide-kernel-extension"
DEPENDS = {"synaptic-intelligence": [*runtime.OURS, "joblib", "tqdm"]}
IMPORTS = {"synaptic-intelligence": ["pysi"]}


def build(to: Path) -> None:
    """Build pysi's wheel into a folder, from a copy of what it is made of.

    Setuptools leaves files beside its sources.
    """
    with TemporaryDirectory() as copy:
        for name in ("setup.cfg", "pyproject.toml", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        (Path(copy) / "docs").mkdir()
        shutil.copy(ROOT / "docs" / "pypi.md", Path(copy) / "docs")
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "pysi", Path(copy) / "pysi", ignore=unwanted)
        run("-m", "build", "--wheel", "--outdir", str(to), copy)


def fetch(to: Path, *places: Path) -> None:
    """Copy the pure wheels from one of these folders; download those that none has.

    Raises
    ------
    DataError
        A wheel is not what it was when its SHA-256 was pinned.
    """
    for name, expected in PURE.items():
        path = to / f"{name}-py3-none-any.whl"
        for place in places:
            if (place / path.name).is_file():
                shutil.copyfile(place / path.name, path)
                break
        else:
            pip = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
            run(*pip, "--dest", str(to), name.replace("-", "=="))
        runtime.check_file(path, expected, f"Get it from https://pypi.org/project/{name[:-6]}/")


def kernel() -> Path:
    """Return the folder of the kernel's extension of JupyterLab."""
    return Path(sys.prefix, "share", "jupyter", "labextensions", EXTENSION)


def take_kernel(to: Path) -> None:
    """Copy the wheels that the kernel brings."""
    folder = kernel() / "static" / "pypi"
    for name in KERNEL:
        found = sorted(folder.glob(f"{name}-*.whl"))
        if not found:
            raise DataError(f"{folder}: expected the wheel {name}, found none: {install('docs')}")
        shutil.copy(found[-1], to)


def entries(folder: Path) -> dict:
    """Return the entries of all wheels of a folder for Pyodide's lock file."""
    found = {}
    for path in sorted(folder.glob("*-none-any.whl")):
        name, version, *_ = path.name.split("-")
        key = runtime.normal(name)
        found[key] = {
            "name": name,
            "version": version,
            "file_name": path.name,
            "install_dir": "site",
            "sha256": runtime.sha256(path),
            "package_type": "package",
            "imports": IMPORTS.get(key, [name]),
            "depends": DEPENDS.get(key, []),
            "unvendored_tests": False,
        }
    return found


def run(*arguments: str) -> None:
    """Run Python with these arguments; where that fails, say what it printed.

    Raises
    ------
    PysiError
        The command failed.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-3000:]
        command = " ".join(("python", *arguments))
        raise PysiError(f"{command}: expected to succeed, found exit {done.returncode}:\n{said}")
