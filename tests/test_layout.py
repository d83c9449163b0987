"""The built site in a browser: nothing is wider than the page, figures can be read, and no request
leaves the host. `PYSI_SITE` names its folder, which is else ``build/site``.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

import pytest

HERE = Path(__file__).parent
SITE = Path(os.environ.get("PYSI_SITE", HERE.parent / "build" / "site"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
WIDTHS = (390, 1280, 1920)  # a phone, a laptop, a projector
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync
    --blink-settings=preferredColorScheme=0""".split()  # dark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not (SITE / "index.html").exists(), reason=f"there is no built site in {SITE}"
    ),
]


class Site(SimpleHTTPRequestHandler):
    """Serves the site, and beside it the page that measures, its list of pages, and its answer."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, found, **options):
        self.found = found
        super().__init__(*args, directory=SITE, **options)

    def do_GET(self):
        pages = sorted(f"/{path.relative_to(SITE).as_posix()}" for path in SITE.rglob("*.html"))
        made = {
            "/layout.html": ("text/html", (HERE / "layout.html").read_text()),
            "/layout.json": ("application/json", json.dumps({"pages": pages, "widths": WIDTHS})),
        }
        if self.path not in made:
            return super().do_GET()
        self.answer(*made[self.path])

    def do_POST(self):
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer("text/plain", "")

    def answer(self, kind, text):
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served():
    """The address of the site, and where answers arrive."""
    found = Queue()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args, **options: Site(*args, found=found, **options)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", found
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pages(served, tmp_path_factory):
    """What a browser that prefers dark pages finds on every page."""
    address, found = served
    folder = f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"
    command = [CHROMIUM, *FLAGS, folder, f"{address}/layout.html"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **silent) as browser:
        try:
            measured = found.get(timeout=900)
        except Empty:
            pytest.fail("the browser measured nothing in 15 minutes")
        finally:
            browser.terminate()
    assert isinstance(measured, list), measured
    return measured


def test_every_page_was_opened(pages):
    assert len(pages) > 50
    assert len({page["page"] for page in pages}) == len(list(SITE.rglob("*.html")))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page(pages, width):
    measured = {page["page"]: page["widths"][str(width)] for page in pages}
    assert {each["client"] for each in measured.values()} == {width}
    wide = {
        name: each
        for name, each in measured.items()
        if each["scroll"] > each["client"] or each["out"]
    }
    assert not wide, "\n".join(f"{name}: {each}" for name, each in wide.items())


def test_every_image_is_there_and_says_in_words_what_it_shows(pages):
    images = [(page["page"], image) for page in pages for image in page["images"]]
    assert len(images) > 20
    assert not [where for where in images if not where[1]["loaded"]]
    # where there is no text Sphinx writes the name of the file, which has no spaces
    assert not [where for where in images if not re.search(r"\w \w", where[1]["alt"])]


def test_figures_are_on_white_where_pages_are_dark(pages):
    assert all(page["dark"] for page in pages)
    images = [(page["page"], image) for page in pages for image in page["images"]]
    assert not [where for where in images if where[1]["behind"] < 230]


def test_no_request_leaves_the_host(pages, served):
    requests = {request for page in pages for request in page["requests"]}
    assert len(requests) > 5
    assert not {each for each in requests if not each.startswith((served[0], "data:"))}
