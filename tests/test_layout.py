"""The built site in a browser: nothing is wider than the page, figures can be read, and no request
leaves the host. `PYSI_SITE` names its folder, which is else ``build/site``.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from functools import partial
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
]

FAULTY = """<!doctype html><html lang="en"><title>faulty</title>
<body style="background: black"><article>
<p style="width: 1500px">wide</p>
<div style="overflow-x: auto"><p style="width: 1500px">scrolls</p></div>
<img src="picture.svg"><img src="http://elsewhere.invalid/picture.svg" alt="a picture">
</article></body></html>"""


def pages_of(site):
    """The files of a site's own pages; those of JupyterLite are another program's."""
    return [path for path in site.rglob("*.html") if site / "lite" not in path.parents]


class Site(SimpleHTTPRequestHandler):
    """Serves a site, and beside it the page that measures, its list of pages, and its answer."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, found, **options):
        self.found = found
        super().__init__(*args, **options)

    def do_GET(self):
        site = Path(self.directory)
        pages = sorted(f"/{path.relative_to(site).as_posix()}" for path in pages_of(site))
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


def measure(site, profile):
    """What a browser that prefers dark pages finds on every page of a site."""
    found = Queue()
    handler = partial(Site, found=found, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"{address}/layout.html"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **silent) as browser:
        try:
            pages = found.get(timeout=900)
        except Empty:
            pytest.fail("the browser measured nothing in 15 minutes")
        finally:
            browser.terminate()
            server.shutdown()
            server.server_close()
    assert isinstance(pages, list), pages
    for page in pages:
        page["others"] = [
            each for each in page["requests"] if not each.startswith((address, "data:"))
        ]
    return {page["page"]: page for page in pages}


def too_wide(pages, width):
    """The pages that are wider than the window, or hold something that is, and how wide it is."""
    measured = {name: page["widths"][str(width)] for name, page in pages.items()}
    assert {each["client"] for each in measured.values()} == {width}
    return {
        name: each
        for name, each in measured.items()
        if each["scroll"] > each["client"] or each["out"]
    }


def faulty_images(pages, fault):
    """The images with a fault, after their pages."""
    return [(name, image) for name, page in pages.items() for image in page["images"]
            if fault(image)]  # fmt: skip


def nameless(image):
    """Whether an image has no alt text, or the name of a file, which Sphinx puts in its place."""
    return not re.search(r"\w \w", image["alt"])


def test_faults_are_found(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "faulty.html").write_text(FAULTY)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="9"/></svg>'
    (tmp_path / "site" / "picture.svg").write_text(svg)
    pages = measure(tmp_path / "site", tmp_path / "profile")
    (page,) = pages.values()
    assert [len(too_wide(pages, width)) for width in WIDTHS] == [1, 1, 0]
    assert page["widths"]["390"]["out"] == ['p. "wide"']
    assert [name for name, _ in faulty_images(pages, nameless)] == ["/faulty.html"]
    assert len(faulty_images(pages, lambda image: image["behind"] < 230)) == 2
    assert len(faulty_images(pages, lambda image: not image["loaded"])) == 1
    assert page["others"] == ["http://elsewhere.invalid/picture.svg"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages of the site."""
    if not (SITE / "index.html").exists():
        pytest.skip(f"there is no built site in {SITE}")
    return measure(SITE, tmp_path_factory.mktemp("profile"))


def test_every_page_was_opened(pages):
    assert len(pages) == len(pages_of(SITE)) > 50
    assert all(page["dark"] for page in pages.values())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page(pages, width):
    wide = too_wide(pages, width)
    assert not wide, "\n".join(f"{name}: {each}" for name, each in wide.items())


def test_every_image_is_there_and_says_in_words_what_it_shows(pages):
    assert len(faulty_images(pages, lambda image: True)) > 20
    assert not faulty_images(pages, lambda image: not image["loaded"])
    assert not faulty_images(pages, nameless)


def test_figures_are_on_white_where_pages_are_dark(pages):
    assert not faulty_images(pages, lambda image: image["behind"] < 230)


def test_no_request_leaves_the_host(pages):
    assert sum(len(page["requests"]) for page in pages.values()) > len(pages)
    assert not {each for page in pages.values() for each in page["others"]}
