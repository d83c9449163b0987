"""The page on which networks learn digits, in a real browser: `docs/play/digits.md`."""

import pytest

import browser
from browser import SECONDS, clean, settled
from test_play_digits import digits, two_networks

pytestmark = pytest.mark.slow


def pressed(page, name, key=None):
    """Press a button, or a key on it, and wait until Python has done what it asks for."""
    page.click(f"[data-{name}]") if key is None else page.press(f"[data-{name}]", key)
    assert settled(page) == "ready"


def accuracies(page):
    """Return the accuracies at the end of all curves: of both networks, for each task."""
    values = page.locator("[data-curves] svg").evaluate_all(
        "all => all.map((each) => each.dataset.accuracy)"
    )
    return [[float(share) for share in value.split()] for value in values]


def painted(page):
    """Paint an upright line with the mouse."""
    page.locator("[data-canvas]").scroll_into_view_if_needed()
    box = page.locator("[data-canvas]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"]
    page.mouse.move(x, y + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(x, y + 0.8 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_selector("[data-seen]:not([hidden])")


def test_a_training_is_the_one_of_a_computer(chromium, site):
    native = digits.learn_headless(lambda part: None, c=1.0, tasks=2)
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/digits.html")
        assert settled(page) == "ready"
        found = page.evaluate(
            """async () => {
                const { python } = await import("/_static/play/digits.js");
                return python.call("learn_headless", { c: 1, tasks: 2 });
            }"""
        )
        for row, expected in zip(found, native, strict=True):
            assert row == pytest.approx(expected, abs=0.03)
        clean(log)


def test_a_visitor_sees_one_network_forget(chromium, site):
    with browser.page(chromium, width=390) as (page, log):
        page.goto(f"{site}/play/digits.html#c=1&rule=si&readout=shared&seed=0&more=1")
        assert settled(page) == "ready"
        assert "more=1" in page.inner_text("[data-ignored]")
        assert page.is_hidden(".still") and page.is_disabled("[data-back]")
        empty = page.evaluate("document.querySelector('[data-past]').toDataURL()")
        pressed(page, "learn", "Enter")
        assert page.evaluate("document.activeElement.matches('[data-learn]')")
        assert page.evaluate("document.querySelector('[data-past]').toDataURL()") != empty
        pressed(page, "learn")
        free, held = accuracies(page)[0]
        assert free < 0.9 and held > free + 0.1
        assert f"{two_networks.percent(free)} are still" in page.inner_text("[data-told]")
        assert page.locator("[data-curves] polyline").count() == 4
        pressed(page, "back")
        assert page.inner_text("[data-learn]") == "Learn 2 or 3"
        assert page.locator("[data-curves] svg").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        clean(log)


def test_paint_with_a_pointer_and_with_keys(chromium, site):
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/digits.html#readout=own")
        assert settled(page) == "ready"
        page.click("[data-keep] button")
        assert "no ink" in page.inner_text("[role=alert]:not([hidden])")
        painted(page)
        page.click("[data-keep] button >> nth=1")
        assert settled(page) == "ready"
        assert "learned with the next pair" in page.inner_text("[data-own]")
        pressed(page, "learn")
        assert page.inner_text("[data-own] li").split("\n")[1:3] == ["c = 0: right", "SI: right"]
        assert page.inner_text("[data-answers] th") == "0 or 1?"
        assert page.locator("[data-answers] strong").all_inner_texts() == ["1", "1"]
        page.click("[data-clear]")
        page.wait_for_selector("[data-seen]", state="hidden")
        page.focus("[data-canvas]")
        for key in ["Space", *["ArrowDown"] * 14]:
            page.keyboard.press(key)
        page.wait_for_function(  # answers to the whole stroke: those to its beginning came before
            """[...document.querySelectorAll("[data-answers] strong")]
            .map((each) => each.textContent).join() === "1,1\"""",
            timeout=120 * SECONDS,
        )
        pressed(page, "example")
        page.click("[data-own] button")
        assert settled(page) == "ready"
        assert page.locator("[data-own] li").count() == 0
        clean(log)


def test_learning_can_be_stopped(chromium, site):
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/digits.html")
        assert settled(page) == "ready"
        page.click("[data-learn]")
        page.wait_for_selector("[data-curves] polyline", timeout=120 * SECONDS)
        page.click("[data-stop]", timeout=5 * SECONDS)
        page.wait_for_function(
            "document.querySelector('[data-told]').textContent.startsWith('Stopped')",
            timeout=120 * SECONDS,
        )
        assert settled(page) == "ready"
        assert page.locator("[data-curves] svg").count() == 0
        assert page.inner_text("[data-learn]") == "Learn 0 or 1"
        clean(log)


def test_the_slider_and_the_link(chromium, site):
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/digits.html#c=9&rule=ewc&seed=3")
        assert settled(page) == "ready"
        assert "#c=10&rule=ewc&readout=shared&seed=3" in page.url
        page.press("[data-c]", "End")
        assert page.inner_text("[data-c-is]") == "c = 1,000,000"
        page.press("[data-c]", "Home")
        assert "#c=0&" in page.url
        pressed(page, "learn")
        pressed(page, "learn")
        assert [free - held for free, held in accuracies(page)] == [0, 0]
        page.evaluate("location.hash = '#try-this'")  # a heading, and no settings
        assert page.inner_text("[data-ignored]") == ""
        assert page.inner_text("[data-c-is]") == "c = 0"
        page.click("summary")
        page.select_option("[data-rule]", "si")
        assert settled(page) == "ready"
        assert "#c=1&rule=si" in page.url and page.inner_text("[data-learn]") == "Learn 0 or 1"
        clean(log)
