"""JupyterLite with the course: notebooks that run in the browser, without an installation."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

import lessons
from lessons import copies
from lite import runtime, wheels
from pysi.errors import PysiError

HERE = Path(__file__).parent

SAVED = """\
*Your changes are saved in this browser: they are still here when you close the tab and come back. \
File ▸ Download keeps a copy of your own. To begin afresh, choose View ▸ Open in JupyterLab and \
delete the notebook in the list of files: the original takes its place.*"""
SLOW = """

*All cells of this notebook take {} in a browser, so it opens with the outputs that it has given \
elsewhere. Whoever runs a cell must first run those before it.*"""
KERNELSPEC = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}

APPS = ["lab", "notebooks"]
PLUGIN = "@jupyterlite/pyodide-kernel-extension:kernel"
PRELOADED = [*runtime.KERNEL, *wheels.KERNEL, "comm", "synaptic_intelligence"]
CONFIG = {
    "appName": "The pysi course",
    "exposeAppInBrowser": True,
    "litePluginSettings": {
        PLUGIN: {
            "pyodideUrl": "./../pyodide/kernel.js",
            "disablePyPIFallback": True,
            "loadPyodideOptions": {"packages": PRELOADED},
        }
    },
}
OVERRIDES = {
    # seconds; the work of whoever closes the tab is kept up to here
    "@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": 10},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def contents(to: Path) -> None:
    """Write the copies of the course that are opened in the browser."""
    for kind in lessons.IN_BROWSER:
        for path in copies.write(kind, to / kind):
            notebook = nbformat.read(path, 4)
            adapt(notebook, path.stem)
            nbformat.write(notebook, path)


def adapt(notebook: nbformat.NotebookNode, name: str) -> None:
    """Make a copy of a notebook one for the browser."""
    notebook.metadata["kernelspec"] = KERNELSPEC
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # the site's pages are not among the notebooks' files
            cell.source = re.sub(r"\[([^]]+)\]\(\.\./[^)]*\)", r"\1", cell.source)
    said = SAVED
    if slow := lessons.SLOW.get(int(name[:2])):
        executed(notebook, name)
        said += SLOW.format(slow)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(said, id="in-the-browser"))


def executed(notebook: nbformat.NotebookNode, name: str) -> None:
    """Give a student's copy the outputs of all cells but the exercises."""
    whole = nbformat.read(lessons.NOTEBOOKS / f"{name}.ipynb", 4)
    outputs = {cell.id: cell.get("outputs") for cell in whole.cells}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "exercise" not in copies.tags(cell):
            cell.outputs = outputs[cell.id]


def build(to: Path) -> None:
    """Build JupyterLite with the course into a folder.

    Raises
    ------
    PysiError
        `jupyter lite` failed.
    """
    with TemporaryDirectory() as folder:
        lite = Path(folder)
        contents(lite / "contents")
        config = {"jupyter-lite-schema-version": 0, "jupyter-config-data": CONFIG}
        (lite / "jupyter-lite.json").write_text(json.dumps(config))
        (lite / "overrides.json").write_text(json.dumps(OVERRIDES))
        settings = {
            "apps": APPS,
            "contents": [str(lite / "contents")],
            "ignore_sys_prefix": True,  # this one extension, and no other that is installed
            "federated_extensions": [str(wheels.kernel())],
            "no_sourcemaps": True,
            "no_unused_shared_packages": True,
            "output_dir": str(to),
        }
        (lite / "jupyter_lite_config.json").write_text(json.dumps({"LiteBuildConfig": settings}))
        command = [sys.executable, "-m", "jupyter", "lite", "build"]
        done = subprocess.run(command, cwd=lite, capture_output=True, text=True)
        if done.returncode:
            raise PysiError(
                f"jupyter lite build: expected to succeed, found:\n{done.stderr[-3000:]}"
            )
    finish(to)


def finish(to: Path) -> None:
    """Give every page of JupyterLite the script that says what fails, and icons, which it lacks."""
    shutil.copyfile(HERE / "page.js", to / "page.js")
    added = '  <link rel="icon" href="favicon.ico" />\n    '
    added += '<script type="module" src="../page.js"></script>\n  </head>'
    for app in APPS:
        page = to / app / "index.html"
        page.write_text(page.read_text().replace("</head>", added, 1))
    icons = to / "static" / "favicons"
    icons.mkdir(parents=True)
    for name in ("favicon-notebook.ico", "favicon-busy-1.ico"):
        shutil.copyfile(to / "notebooks" / "favicon.ico", icons / name)
