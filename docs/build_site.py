"""Build the site with Python in its pages, and the course as notebooks in the browser.

    python docs/build_site.py --pyodide DIR    # self-hosted: DIR holds Pyodide, which is copied
    python docs/build_site.py --cdn            # small: browsers load Pyodide from its publisher

`sphinx-build docs build/site` builds the same site without Python.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from lite import runtime, wheels
from pysi.errors import ConfigError, PysiError, install

DOCS = Path(__file__).parent
NEEDED = ("sphinx", "jupyterlite_core", "jupyterlite_pyodide_kernel", "jupyter_server", "build")


def require() -> None:
    """Check that what builds the site is installed.

    Raises
    ------
    ConfigError
        A library is missing.
    """
    for name in NEEDED:
        if find_spec(name) is None:
            raise ConfigError(f"this needs {name}, which is not installed: {install('docs')}")


def pages(to: Path) -> None:
    """Build the pages, with buttons that lead to the notebooks in the browser."""
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-t", "browser"]
    command += ["-d", str(to.with_name("doctrees")), str(DOCS), str(to)]
    if subprocess.run([sys.executable, *command]).returncode:
        raise PysiError("sphinx: expected a build without a warning, found those above")


def python(to: Path, pyodide: Path | None, lock: dict | None) -> None:
    """Put into a site what its pages and notebooks run Python with.

    Parameters
    ----------
    to : Path
        The site.
    pyodide : Path, optional
        The folder of Pyodide's files, which are copied; without it, browsers load Pyodide from
        its public address.
    lock : dict, optional
        Its lock file, cut.
    """
    folder = to / "pyodide"
    folder.mkdir()
    wheels.build(folder)
    wheels.fetch(folder, *filter(None, [pyodide]))
    wheels.take_kernel(folder)
    own = wheels.entries(folder)
    (folder / "wheels.json").write_text(json.dumps(own))
    if pyodide:
        lock["packages"] |= own
        runtime.copy(pyodide, lock, folder)
    with ZipFile(folder / "course.zip", "w", ZIP_DEFLATED) as course:
        course.writestr("setup.cfg", "")  # the root that the notebooks look for
        for path in sorted((DOCS / "results").glob("*.json")):
            course.write(path, f"docs/results/{path.name}")
    script = (DOCS / "lite" / "kernel.js").read_text()
    script = script.replace("@RUNTIME@", "./" if pyodide else runtime.CDN)
    (folder / "kernel.js").write_text(script)
    settings = {
        "version": runtime.VERSION,
        "runtime": "../../pyodide/" if pyodide else runtime.CDN,
        "wheels": [
            {"url": f"../../pyodide/{own[name]['file_name']}", "sha256": own[name]["sha256"]}
            for name in ("synaptic-intelligence", "joblib", "tqdm")
        ],
    }
    play = to / "_static" / "play"
    play.mkdir(parents=True, exist_ok=True)
    (play / "python.json").write_text(json.dumps(settings, indent=2) + "\n")


def build(out: Path, pyodide: Path | None = None) -> None:
    """Build the whole site; the folder `out` is replaced once everything is there.

    Raises
    ------
    PysiError
        A file of Pyodide is not what it should be, a library is missing, or a step fails.
    """
    require()
    from lite import notebooks

    lock = runtime.check(pyodide) if pyodide else None
    if out.exists() and not (out / "index.html").exists() and any(out.iterdir()):
        raise ConfigError(f"out: expected a new folder or a built site, found {out}; name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.with_name(f".{out.name}.{os.getpid()}")  # on the same disk, so it can be renamed
    site = building / "html"
    try:
        pages(site)
        python(site, pyodide, lock)
        notebooks.build(site / "lite")
        shutil.rmtree(out, ignore_errors=True)
        site.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def main(arguments: list[str] | None = None) -> None:
    """Build the site as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pyodide", type=Path, metavar="DIR", help="copy Pyodide from this folder")
    source.add_argument("--cdn", action="store_true", help=f"load Pyodide from {runtime.CDN}")
    parser.add_argument("--out", type=Path, default=DOCS.parent / "build" / "site", metavar="DIR")
    given = parser.parse_args(arguments)
    try:
        build(given.out.resolve(), given.pyodide)
    except PysiError as err:
        sys.exit(f"build_site: {err}")
    megabytes = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file()) / 1e6
    print(f"{given.out}: {megabytes:.0f} MB; serve it with: python -m http.server -d {given.out}")


if __name__ == "__main__":
    main()
