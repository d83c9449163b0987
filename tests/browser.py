"""A real browser for tests: a site that is served, and pages that record what goes wrong."""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SITE = Path(os.environ.get("PYSI_SITE", Path(__file__).parents[1] / "build" / "site"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
SECONDS = 1000
"""In the milliseconds of Playwright."""
FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]


class Handler(SimpleHTTPRequestHandler):
    """Serves files with the types that browsers insist on, whatever this machine's table says."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".whl": "application/zip",
    }

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """A server that says nothing when a browser closes its connection."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@contextmanager
def served(folder):
    """Serve a folder on this machine, and give its address, without a slash at its end."""
    handler = partial(Handler, directory=str(folder))
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def browser():
    """Give a headless Chromium; where there is none, skip the test and say why."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium
        finally:
            chromium.close()


class Log:
    """What pages of a browser have done: their errors, and the hosts that they asked."""

    def __init__(self, context):
        self.errors, self.console, self.requests = [], [], []
        context.on("console", self.said)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))

    def said(self, message):
        self.console.append(f"{message.type}: {message.text}")
        if message.type == "error":
            self.errors.append(message.text)

    def hosts(self):
        """The hosts that were asked."""
        asked = {urlsplit(url).netloc for url in self.requests if url.startswith("http")}
        return {netloc.partition(":")[0] for netloc in asked}


@contextmanager
def page(chromium, width=1280, height=900, **options):
    """Give a page of its own and its log."""
    context = chromium.new_context(viewport={"width": width, "height": height}, **options)
    log = Log(context)
    try:
        yield context.new_page(), log
    finally:
        context.close()


def settled(page, seconds=120):
    """Wait until a page no longer loads or computes, and return its state."""
    page.wait_for_function(
        "['ready', 'failed'].includes(document.documentElement.dataset.play)",
        timeout=seconds * SECONDS,
    )
    return page.evaluate("document.documentElement.dataset.play")


def clean(log):
    """Assert that a page has asked this machine alone, and that nothing went wrong."""
    assert log.errors == []
    assert log.hosts() == {"127.0.0.1"}
