"""Python in the pages of the built site, in a real browser; see `browser` for where that lies."""

import json
import re

import pytest

import browser
from browser import SECONDS, clean, settled
from pysi.cli import main

pytestmark = pytest.mark.slow

NAMES = ["surfaces", "digits", "terminal"]


def told(page):
    """Wait for an error on a page, and return its sentence."""
    page.wait_for_selector("[data-error]:not([hidden])", timeout=120 * SECONDS)
    return page.inner_text("[data-error] p")


def command(page, line):
    """Run a command in the terminal; return what it has printed."""
    before = len(page.inner_text("[data-output]"))
    page.fill("#command", line)
    page.press("#command", "Enter")
    settled(page, 300)
    return page.inner_text("[data-output]")[before:]


def test_the_theory_agrees_in_the_terminal(chromium, site, capsys):
    main(["theory"])
    native = capsys.readouterr().out
    with browser.page(chromium, width=390) as (page, log):
        page.goto(f"{site}/play/terminal.html")
        assert settled(page) == "ready"
        printed = command(page, "pysi theory")
        agree = re.search(r"(\d+) of (\d+) agree", printed)
        assert agree and agree[1] == agree[2]
        assert agree[0] in native
        assert printed.count("pass") == int(agree[1]) >= 26
        clean(log)


def test_a_training_in_the_terminal_is_the_one_of_a_computer(chromium, site, tmp_path, capsys):
    line = "run split-mnist --dataset mnist-5k --methods si fine-tuning --seeds 1 --epochs 1"
    line += " --hidden 32"
    main([*line.split(), "--jobs", "1", "--out", str(tmp_path / "result")])
    accuracy = r"^(si +1|fine-tuning) +1 +(\d\.\d+)"
    native = dict(re.findall(accuracy, capsys.readouterr().out, re.M))
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/terminal.html")
        assert settled(page) == "ready"
        found = dict(re.findall(accuracy, command(page, f"pysi {line}"), re.M))
        assert len(found) == 2
        for name, value in found.items():  # other kernels of the matrix product, other last bits
            assert float(value) == pytest.approx(float(native[name]), abs=0.02)
        pictures = page.locator("[data-pictures] img")
        assert pictures.evaluate_all("all => all.map((each) => each.naturalWidth > 100)") == [True]
        page.click("summary")
        with page.expect_download() as download:
            page.click("[data-files] a:text('result.json')")
        assert json.loads(download.value.path().read_text())["runs"]
        assert "expected one that begins with pysi" in command(page, "rm -rf /")
        assert "invalid choice" in command(page, "pysi run nothing")
        page.press("#command", "ArrowUp")
        assert page.input_value("#command") == "pysi run nothing"
        clean(log)


def test_a_command_can_be_stopped(chromium, site):
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/terminal.html")
        settled(page)
        page.fill("#command", "pysi run split-mnist --dataset mnist-5k --seeds 9 --hidden 300")
        page.press("#command", "Enter")
        page.wait_for_function(
            "document.querySelector('[data-output]').textContent.includes('results go to')",
            timeout=120 * SECONDS,
        )
        page.click("button:text-is('Stop')")
        page.wait_for_function(
            "document.querySelector('[data-output]').textContent.includes('Stopped')"
        )
        assert settled(page) == "ready"
        assert "usage: pysi" in command(page, "pysi --help")
        clean(log)


@pytest.mark.parametrize("name", NAMES)
class TestWithout:
    """What a page says where Python cannot be had."""

    def test_webassembly(self, chromium, site, name):
        with browser.page(chromium, width=390) as (page, log):
            page.add_init_script("delete window.WebAssembly")
            page.goto(f"{site}/play/{name}.html")
            assert "no WebAssembly" in told(page)
            clean(log)

    def test_the_connection(self, chromium, site, name):
        with browser.page(chromium) as (page, log):
            page.route("**/pyodide.asm.wasm", lambda route: route.abort())
            page.goto(f"{site}/play/{name}.html")
            assert "could not be loaded" in told(page)
            page.unroute("**/pyodide.asm.wasm")
            page.click("[data-error] button")
            assert settled(page) == "ready"
            assert page.is_hidden("[data-error]")

    @pytest.mark.parametrize("file", ["synaptic_intelligence-*.whl", "numpy-*.whl"])
    def test_the_right_files(self, chromium, site, name, file):
        with browser.page(chromium) as (page, log):

            def damage(route):
                content = bytearray(route.fetch().body())
                content[len(content) // 2] ^= 1
                route.fulfill(body=bytes(content))

            page.route(f"**/{file}", damage)
            page.goto(f"{site}/play/{name}.html")
            assert "not the file that this site was built with" in told(page)

    def test_a_build_with_python(self, chromium, site, name):
        with browser.page(chromium) as (page, log):
            page.route("**/python.json", lambda route: route.fulfill(status=404))
            page.goto(f"{site}/play/{name}.html")
            assert "was built without Python" in told(page)


def test_nobody_waits_for_a_worker_that_is_gone(chromium, site):
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/terminal.html")
        settled(page)
        sentence = page.evaluate(
            """async () => {
                const { Python } = await import("/_static/play/client.js");
                const python = new Python("terminal", { all: true });
                await python.ready;
                python.patience = 500;
                python.worker.terminate();
                return python.call("needs", { line: "pysi theory" })
                    .catch((error) => error.message);
            }"""
        )
        assert sentence == "For 0.5 seconds nothing came from Python, so it was ended."
        clean(log)
