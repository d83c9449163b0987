"""The course as notebooks of the built site, in a real browser; `browser` says where that is."""

import mimetypes
import re
import sys
from pathlib import Path

import pytest

import browser
from browser import SECONDS

pytestmark = pytest.mark.slow

CDN = "https://cdn.jsdelivr.net/pyodide/"
DOCS = Path(__file__).parents[1] / "docs"

WIDGET = "window.jupyterapp?.shell?.currentWidget"
RUN_ALL = """() => {
    window.finished = null;
    jupyterapp.commands.execute("notebook:run-all-cells")
        .then((done) => (window.finished = `${done}`), (error) => (window.finished = `${error}`));
}"""
CELLS = f"""() => [...{WIDGET}.content.widgets].map(({{ model }}) => ({{
    source: model.sharedModel.getSource(),
    code: model.type === "code",
    count: model.executionCount,
    outputs: model.type === "code" ? model.outputs.toJSON() : [],
}}))"""


@pytest.fixture(scope="module")
def site():
    """The address of the site, if it has notebooks and Pyodide in it."""
    for name in ("lite/notebooks/index.html", "pyodide/pyodide.js"):
        if not (browser.SITE / name).exists():
            pytest.skip(f"there is no {name} in {browser.SITE}: docs/build_site.py builds it")
    with browser.served(browser.SITE) as address:
        yield address


def copy(kind, number):
    """The path of a copy of a notebook, without its ending."""
    (path,) = (browser.SITE / "lite" / "files" / kind).glob(f"{number:02}_*.ipynb")
    return f"{kind}/{path.stem}"


def wait(page, expression, seconds=300):
    """Wait until an expression is true in a page."""
    page.wait_for_function(expression, timeout=seconds * SECONDS, polling=250)


def show(page, site, path):
    """Open a notebook, and wait until its cells are there."""
    page.goto(f"{site}/lite/notebooks/index.html?path={path}.ipynb")
    wait(page, f"{WIDGET}?.context?.isReady && {WIDGET}.content.widgets.length > 0")
    return page.evaluate(CELLS)


def start(page):
    """Wait until a notebook's kernel is ready."""
    wait(page, f"{WIDGET}?.sessionContext?.session?.kernel?.status === 'idle'")


def run_all(page):
    """Run all cells of a notebook; return them, and what they have printed as an error."""
    page.evaluate(RUN_ALL)
    wait(page, "window.finished !== null", 900)
    cells = page.evaluate(CELLS)
    outputs = [output for cell in cells for output in cell["outputs"]]
    wrong = [output.get("traceback") or output["text"] for output in outputs
             if output["output_type"] == "error" or output.get("name") == "stderr"]  # fmt: skip
    return cells, wrong


def notice(page):
    """Wait for the sentence that says what went wrong, and return it."""
    page.wait_for_selector("#pysi-notice[role=alert]:not([hidden])", timeout=300 * SECONDS)
    return page.inner_text("#pysi-notice")


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7])
def test_a_notebook_runs_from_top_to_bottom(chromium, site, number):
    with browser.page(chromium) as (page, log):
        show(page, site, copy("solution", number))
        start(page)
        cells, wrong = run_all(page)
        assert not wrong
        code = [cell for cell in cells if cell["code"] and cell["source"].strip()]
        assert [cell["count"] for cell in code] == list(range(1, len(code) + 1))
        assert any("image/png" in output.get("data", {})
                   for cell in code for output in cell["outputs"])  # fmt: skip
        assert page.is_hidden("#pysi-notice")
        assert log.errors == []
        assert log.hosts() == {"127.0.0.1"}


@pytest.mark.parametrize("width", [390, 1280])
def test_a_button_opens_the_notebook_of_a_page(chromium, site, width):
    path = copy("student", 2)
    with browser.page(chromium, width=width) as (page, log):
        page.goto(f"{site}/notebooks/{path.partition('/')[2]}.html")
        assert page.locator("p.browser a").first.bounding_box()["height"] >= 44
        page.click("text=Work on it in the browser")
        wait(page, f"{WIDGET}?.context?.isReady")
        assert page.evaluate(f"{WIDGET}.context.path") == f"{path}.ipynb"
        cells = page.evaluate(CELLS)
        assert "saved in this browser" in cells[0]["source"]
        assert "your code is missing here" in "".join(cell["source"] for cell in cells)
        assert log.hosts() == {"127.0.0.1"}


def test_a_slow_notebook_opens_executed(chromium, site):
    with browser.page(chromium) as (page, _):
        for kind in ("student", "solution"):
            cells = show(page, site, copy(kind, 8))
            assert "minutes in a browser" in cells[0]["source"]
            assert any(cell["outputs"] for cell in cells)


def test_what_was_written_is_there_after_the_tab_was_closed(chromium, site):
    change = f"""() => {{
        {WIDGET}.content.widgets[0].model.sharedModel.setSource("mine");
        return {WIDGET}.context.save();
    }}"""
    with browser.page(chromium) as (page, _):
        path = copy("student", 1)
        before = show(page, site, path)[0]["source"]
        page.evaluate(change)
        page.close(run_before_unload=False)
        again = page.context.new_page()
        assert show(again, site, path)[0]["source"] == "mine"
        again.evaluate(f"jupyterapp.serviceManager.contents.delete('{path}.ipynb')")
        again.close()
        assert show(page.context.new_page(), site, path)[0]["source"] == before


# A service worker would answer in the place of what these tests put between page and site.
ALONE = {"service_workers": "block"}


def test_a_file_that_does_not_arrive_is_named(chromium, site):
    with browser.page(chromium, **ALONE) as (page, _):
        page.context.route("**/scipy-*.whl", lambda route: route.abort())
        show(page, site, copy("student", 1))
        said = notice(page)
        assert "Python could not be loaded" in said and "scipy" in said and "Try again" in said


def test_a_missing_runtime_is_told(chromium, site):
    with browser.page(chromium, **ALONE) as (page, _):
        page.context.route("**/pyodide.asm.wasm", lambda route: route.fulfill(status=404))
        show(page, site, copy("student", 1))
        assert "Python could not be loaded" in notice(page)


def test_a_missing_kernel_is_told(chromium, site):
    with browser.page(chromium, **ALONE) as (page, _):
        page.context.route("**/pyodide/kernel.js", lambda route: route.fulfill(status=404))
        show(page, site, copy("student", 1))
        assert "pyodide/kernel.js" in notice(page)


def test_a_kernel_that_dies_says_so(chromium, site):
    code = "import js, pyodide_js; pyodide_js._api.fatal_error(js.Error.new('out of memory'))"
    with browser.page(chromium) as (page, _):
        show(page, site, copy("student", 1))
        start(page)
        kernel = f"{WIDGET}.sessionContext.session.kernel"
        page.evaluate(f"code => void {kernel}.requestExecute({{ code }})", code)
        said = notice(page)
        assert "Python has stopped" in said and "out of memory" in said and "Restart" in said


def test_a_published_site_takes_pyodide_from_its_public_address(chromium, site, tmp_path):
    pytest.importorskip("jupyterlite_core", reason="JupyterLite is not installed")
    sys.path.insert(0, str(DOCS))
    try:
        import build_site
        from lite import notebooks
    finally:
        sys.path.remove(str(DOCS))
    build_site.python(tmp_path, None, None)
    notebooks.build(tmp_path / "lite")

    def from_folder(route):
        assert re.match(CDN + r"v[\d.]+/full/", route.request.url)
        path = browser.SITE / "pyodide" / route.request.url.rpartition("/")[2]
        kind = mimetypes.types_map | {".wasm": "application/wasm"}
        route.fulfill(
            path=path,
            content_type=kind.get(path.suffix, "application/octet-stream"),
            headers={"Access-Control-Allow-Origin": "*"},
        )

    with browser.page(chromium) as (page, log), browser.served(tmp_path) as address:
        page.context.route(f"{CDN}**", from_folder)
        show(page, address, copy("solution", 1))
        start(page)
        _, wrong = run_all(page)
        assert not wrong
        assert log.hosts() == {"127.0.0.1", "cdn.jsdelivr.net"}
        local = {url.rpartition("/")[2] for url in log.requests if url.startswith(address)}
        assert {"wheels.json", "course.zip"} <= local
        assert any(name.startswith("synaptic_intelligence") for name in local)
        assert not any(name.startswith(("numpy", "pyodide.asm")) for name in local)
