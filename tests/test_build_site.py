"""The build of the site with Python in it: what it checks before any work, and what it writes."""

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

from pysi.errors import ConfigError, DataError, PysiError

DOCS = Path(__file__).parents[1] / "docs"
pytest.importorskip("jupytext", reason="the course's copies need jupytext")
sys.path.insert(0, str(DOCS))
import build_site  # noqa: E402
import lessons  # noqa: E402
from lite import notebooks, runtime, wheels  # noqa: E402

sys.path.remove(str(DOCS))

PACKAGES = {  # name: what it depends on
    "numpy": [],
    "scipy": ["numpy", "Open_BLAS"],
    "open-blas": [],
    "micropip": [],
    "unneeded": ["numpy"],
}
RUNTIME = ("pyodide.js", "pyodide.asm.wasm")


def digest(content):
    return sha256(content).hexdigest()


@pytest.fixture
def pyodide(tmp_path, monkeypatch):
    """A folder like Pyodide's, with few packages, and what is pinned of it."""
    folder = tmp_path / "pyodide"
    folder.mkdir()
    packages = {}
    for name, depends in PACKAGES.items():
        file = f"{name}-1.0-py3-none-any.whl"
        content = name.encode() * 50
        (folder / file).write_bytes(content)
        packages[name] = {"file_name": file, "sha256": digest(content), "depends": depends}
    info = {"version": runtime.VERSION}
    (folder / runtime.LOCK).write_text(json.dumps({"info": info, "packages": packages}))
    for name in RUNTIME:
        (folder / name).write_text(f"// {name}")
    pinned = {name: digest((folder / name).read_bytes()) for name in (*RUNTIME, runtime.LOCK)}
    monkeypatch.setattr(runtime, "RUNTIME", pinned)
    monkeypatch.setattr(runtime, "OURS", ("scipy",))
    monkeypatch.setattr(runtime, "KERNEL", ("micropip",))
    return folder


@pytest.fixture
def steps(monkeypatch):
    """The names of the steps that were taken; they write only a page each."""
    taken = []

    def step(name):
        def write(to, *args):
            taken.append(name)
            to.mkdir(parents=True, exist_ok=True)
            (to / ("index.html" if name == "pages" else name)).write_text(name)

        return write

    monkeypatch.setattr(build_site, "require", lambda: None)
    monkeypatch.setattr(build_site, "pages", step("pages"))
    monkeypatch.setattr(build_site, "python", step("python"))
    monkeypatch.setattr(notebooks, "build", step("lite"))
    return taken


def test_the_lock_file_is_cut_to_what_is_needed(pyodide):
    lock = runtime.check(pyodide)
    assert list(lock["packages"]) == ["micropip", "numpy", "open-blas", "scipy"]
    (pyodide / "unneeded-1.0-py3-none-any.whl").unlink()
    assert runtime.check(pyodide) == lock
    to = pyodide.parent / "site"
    to.mkdir()
    own = to / "own-1.0-py3-none-any.whl"
    own.write_bytes(b"a wheel")
    lock["packages"] |= wheels.entries(to)
    runtime.copy(pyodide, lock, to)
    assert own.read_bytes() == b"a wheel"
    written = json.loads((to / runtime.LOCK).read_text())
    for package in written["packages"].values():
        assert digest((to / package["file_name"]).read_bytes()) == package["sha256"]
    assert {path.name for path in to.iterdir()} == {
        *RUNTIME, runtime.LOCK, *(each["file_name"] for each in written["packages"].values()),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["pyodide.asm.wasm", "open-blas-1.0-py3-none-any.whl"])
@pytest.mark.parametrize("how", ["missing", "truncated", "changed"])
def test_a_bad_file_is_named_before_any_work(pyodide, steps, name, how):
    path = pyodide / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-3] if how == "truncated" else b"?" + content[1:])
    out = pyodide.parent / "site"
    with pytest.raises(DataError) as caught:
        build_site.build(out, pyodide)
    said = str(caught.value)
    assert said.startswith(f"{path}: expected ") and "found" in said
    assert f"Get Pyodide {runtime.VERSION}" in said
    if how != "missing":
        assert digest(content) in said and digest(path.read_bytes()) in said
    assert not steps and not out.exists()


@pytest.mark.parametrize(
    "content, found",
    [
        (None, "no such file"),
        (b"\xff{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"info": {"version": "0.28.0"}}', "found version 0.28.0"),
    ],
)
def test_another_version_of_pyodide_is_refused(pyodide, steps, content, found):
    path = pyodide / runtime.LOCK
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}: expected ") + f".*{found}"):
        build_site.build(pyodide.parent / "site", pyodide)
    assert not steps


def test_what_is_pinned_is_a_whole_runtime():
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in runtime.RUNTIME.values())
    assert runtime.VERSION in runtime.CDN


def test_a_site_is_replaced_when_all_of_it_is_there(pyodide, steps, monkeypatch):
    out = pyodide.parent / "site"
    build_site.build(out, pyodide)
    assert {path.name for path in out.iterdir()} == {"index.html", "python", "lite"}
    (out / "of-before").touch()

    def fail(to):
        raise PysiError("jupyter lite: failed")

    with monkeypatch.context() as patch:
        patch.setattr(notebooks, "build", fail)
        with pytest.raises(PysiError):
            build_site.build(out, pyodide)
    assert (out / "of-before").exists()
    build_site.build(out)
    assert not (out / "of-before").exists()
    assert steps == ["pages", "python", "lite", "pages", "python", *["pages", "python", "lite"]]
    assert sorted(path.name for path in out.parent.iterdir()) == ["pyodide", "site"]


def test_a_folder_that_is_no_site_is_not_replaced(pyodide, steps):
    with pytest.raises(ConfigError, match="out: expected a new folder or a built site"):
        build_site.build(pyodide, pyodide)
    assert not steps and (pyodide / "pyodide.js").exists()


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(build_site, "NEEDED", ("json", "no_such_library"))
    with pytest.raises(ConfigError, match=r"no_such_library.*pip install"):
        build_site.require()


@pytest.mark.parametrize("arguments", [[], ["--cdn", "--pyodide", "."]])
def test_one_source_of_pyodide_is_asked_for(arguments, capsys):
    with pytest.raises(SystemExit):
        build_site.main(arguments)
    assert "--pyodide" in capsys.readouterr().err


@pytest.mark.parametrize("hosted", [True, False])
def test_what_pages_and_kernels_are_told(pyodide, monkeypatch, hosted):
    def wheel(to):
        (to / "synaptic_intelligence-0.1.0-py3-none-any.whl").write_bytes(b"pysi")

    def pure(to, *places):
        for name in wheels.PURE:
            (to / f"{name}-py3-none-any.whl").write_bytes(name.encode())

    monkeypatch.setattr(wheels, "build", wheel)
    monkeypatch.setattr(wheels, "fetch", pure)
    monkeypatch.setattr(wheels, "take_kernel", lambda to: None)
    site = pyodide.parent / "site"
    site.mkdir()
    lock = runtime.check(pyodide) if hosted else None
    build_site.python(site, pyodide if hosted else None, lock)
    play = site / "_static" / "play"
    told = json.loads((play / "python.json").read_text())
    assert told["version"] == runtime.VERSION
    assert [Path(each["url"]).name.split("-")[0] for each in told["wheels"]] == [
        "synaptic_intelligence", "joblib", "tqdm",
    ]  # fmt: skip
    for each in told["wheels"]:
        assert digest((play / each["url"]).read_bytes()) == each["sha256"]
    script = (site / "pyodide" / "kernel.js").read_text()
    if hosted:
        assert (play / told["runtime"] / "pyodide.js").exists()
        assert 'RUNTIME = "./"' in script
        written = json.loads((site / "pyodide" / runtime.LOCK).read_text())
        pysi = written["packages"]["synaptic-intelligence"]
        assert pysi["imports"] == ["pysi"] and {"scipy", "joblib", "tqdm"} <= {*pysi["depends"]}
    else:
        assert told["runtime"] == runtime.CDN and f'RUNTIME = "{runtime.CDN}"' in script
        assert not (site / "pyodide" / "pyodide.js").exists()
    with ZipFile(site / "pyodide" / "course.zip") as course:
        for path in (DOCS / "results").glob("*.json"):
            assert course.read(f"docs/results/{path.name}") == path.read_bytes()
        assert "setup.cfg" in course.namelist()


def test_a_wheel_that_was_changed_is_refused(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    for name in wheels.PURE:
        (tmp_path / "from" / f"{name}-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(DataError, match=r"joblib.*expected the SHA-256 .*pypi.org/project/joblib/"):
        wheels.fetch(tmp_path / "to", tmp_path / "from")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The copies for the browser, by kind and number."""
    import nbformat

    folder = tmp_path_factory.mktemp("course")
    notebooks.contents(folder)
    return {
        (kind, int(path.name[:2])): nbformat.read(path, 4)
        for kind in lessons.IN_BROWSER
        for path in (folder / kind).glob("*.ipynb")
    }


def test_every_copy_says_first_where_changes_are_kept(course):
    assert len(course) == 2 * len(list(lessons.NOTEBOOKS.glob("[0-9]*.ipynb")))
    for (_, number), notebook in course.items():
        first, second = notebook.cells[:2]
        assert "saved in this browser" in first.source and "Download" in first.source
        assert second.source.startswith(f"# {number}. ")
        assert ("minutes" in first.source) == (number in lessons.SLOW)
        assert notebook.metadata["kernelspec"]["name"] == "python"


def test_no_link_of_a_copy_leads_to_a_page_of_the_site(course):
    for notebook in course.values():
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        assert not re.search(r"\]\([^):]*\.md", text)


def test_slow_notebooks_open_executed_and_keep_their_blanks(course):
    for (kind, number), notebook in course.items():
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        pictures = [o for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
        assert bool(pictures) == (kind == "solution" or number in lessons.SLOW)
        if kind == "student":
            exercises = [cell for cell in code if "exercise" in lessons.copies.tags(cell)]
            assert exercises and not any(cell.outputs for cell in exercises)


def test_a_page_has_buttons_below_its_title():
    import nbformat

    path = next(lessons.NOTEBOOKS.glob("08*.ipynb"))
    page = lessons.with_buttons(nbformat.read(path, 4), path.stem)
    title, _, links = page.cells[0].source.splitlines()[:3]
    assert title.startswith("# 8. ")
    for kind in lessons.IN_BROWSER:
        assert f'href="../lite/notebooks/index.html?path={kind}/{path.name}"' in links
    assert "opens executed" in links
    assert "opens executed" not in lessons.buttons("01_any")
    assert "lite/" in lessons.table("_downloads", True)
    assert "lite/" not in lessons.table("_downloads")


def test_a_run_is_possible_where_the_memory_cannot_be_measured(monkeypatch):
    from pysi.experiments.machine import peak_memory_mb

    assert peak_memory_mb() > 1
    monkeypatch.setitem(sys.modules, "resource", ModuleType("resource"))  # as a kernel has it
    assert peak_memory_mb() is None
