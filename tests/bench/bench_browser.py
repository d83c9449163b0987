"""How long Python takes in the pages of the built site, and how much a browser loads for it.

PYSI_SITE=DIR python tests/bench/bench_browser.py --out docs/results/bench-browser.json
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import quiet
import turns

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import browser  # noqa: E402
import test_browser_lite as lite  # noqa: E402
from browser import settled  # noqa: E402
from test_browser import command  # noqa: E402

PAGES = ("surfaces", "digits", "terminal")
NOTEBOOKS = (1, 2, 3, 5, 7)

CHANGES = """() => {
    const slider = document.querySelector("input[name=c]"), took = [];
    for (let i = Number(slider.min); i <= Number(slider.max); i++) {
        const began = performance.now();
        slider.value = i;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.getBoundingClientRect();  // the browser lays out what has changed
        took.push(performance.now() - began);
    }
    return took;
}"""


def opened(chromium, address, name):
    """Open a page as a new visitor does; return the page, the seconds it took and the MB loaded."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    done = []
    page.context.on("requestfinished", lambda request: done.append(request))
    began = time.perf_counter()
    page.goto(f"{address}/play/{name}.html")
    page.wait_for_function("document.documentElement.dataset.play !== 'loading'")
    took = time.perf_counter() - began
    settled(page)
    return page, took, sum(each.sizes()["responseBodySize"] for each in done) / 1e6


def spread(values):
    """Return the median of some measurements, and all of them."""
    return {"median": statistics.median(values), "all": values}


def seconds(work):
    """Return how long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pages(chromium, address, rounds):
    """Return for every page the seconds until it can be used, one per round, and its megabytes."""
    ready, loaded = {name: [] for name in PAGES}, {}
    for _ in range(rounds):
        for name in PAGES:
            page, took, loaded[name] = opened(chromium, address, name)
            ready[name].append(took)
            page.context.close()
    return {
        name: {"ready_seconds": spread(ready[name]), "megabytes": loaded[name]} for name in PAGES
    }


def use(chromium, address, rounds):
    """Return the times of what a visitor does on the pages."""
    page, _, _ = opened(chromium, address, "surfaces")
    changes = page.evaluate(CHANGES)
    found = {"change_of_c_ms": {"median": statistics.median(changes), "largest": max(changes)}}

    def turn(angle):
        page.evaluate(f"location.hash = 'rule=si&c=1&turn={angle}'")
        page.wait_for_function("document.documentElement.dataset.play === 'busy'")
        settled(page)

    found["all_strengths_learned_anew_seconds"] = spread(
        [seconds(lambda n=n: turn(10 + n)) for n in range(rounds)]
    )
    page.context.close()

    page, _, _ = opened(chromium, address, "digits")

    def learn():
        page.click("[data-learn]")
        settled(page)

    found["a_pair_of_digits_learned_seconds"] = spread([seconds(learn) for _ in range(5)])
    page.context.close()

    page, _, _ = opened(chromium, address, "terminal")
    first, later = (seconds(lambda: command(page, "pysi theory")) for _ in range(2))
    found["theory_seconds"] = {"first, with SciPy loaded": first, "later": later}
    page.context.close()
    return found


def notebooks(chromium, address):
    """Return the seconds until a notebook's kernel is idle, and in which all its cells run."""
    found = {}
    for number in NOTEBOOKS:
        with browser.page(chromium) as (page, _):
            began = time.perf_counter()
            lite.show(page, address, lite.copy("solution", number))
            lite.start(page)
            idle = time.perf_counter() - began
            began = time.perf_counter()
            _, wrong = lite.run_all(page)
            ran = time.perf_counter() - began
            assert not wrong, wrong
        found[str(number)] = {"kernel_idle_seconds": idle, "all_cells_seconds": ran}
    return found


def size(folder):
    """Return the megabytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)

    from pysi.experiments import machine

    with browser.served(browser.SITE) as address, browser.browser() as chromium:
        result = {
            "benchmark": "Python in the pages of the built site, in headless Chromium",
            "environment": machine.describe("numpy") | {"browser": chromium.version},
            "pages": pages(chromium, address, args.rounds),
            "use": use(chromium, address, args.rounds),
            "notebooks": notebooks(chromium, address),
        }
    result["site_megabytes"] = {
        "whole": size(browser.SITE),
        **{name: size(browser.SITE / name) for name in ("pyodide", "lite")},
    }
    result["machine"] = state.record()
    turns.report(result, args.out)


if __name__ == "__main__":
    main()
