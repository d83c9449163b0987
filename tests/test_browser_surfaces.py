"""The page of the two loss surfaces in a real browser: it moves, and shows what Python computes."""

import pytest

import browser
from browser import clean, settled
from test_play import run, surfaces

pytestmark = pytest.mark.slow

COUNT = """() => {
    window.counts = [];
    const line = document.querySelector("[data-path=shared]");
    const note = () => counts.push(line.points.length);
    new MutationObserver(note).observe(line, { attributes: true });
}"""
GO = """(settings) => new Promise((done) => {
    history.replaceState(null, "", "#");
    addEventListener("hashchange", () => setTimeout(done), { once: true });
    location.hash = settings;
})"""


@pytest.fixture(scope="module")
def opened(chromium, site):
    """The page and its log. It is loaded once, and a link changes its settings."""
    with browser.page(chromium) as (page, log):
        page.goto(f"{site}/play/surfaces.html#c=0.5")
        assert settled(page) == "ready"
        assert page.inner_text("output[name=c-is]") == "0.5"
        yield page, log


@pytest.fixture
def play(opened):
    """Open the page with settings, and give it; nothing may have gone wrong until the end."""
    page, log = opened

    def go(settings="c=1"):
        page.evaluate(GO, settings)
        assert settled(page) == "ready"
        return page

    yield go
    clean(log)


def move(page, name, value):
    """Move a slider as a visitor does; return what the page says then."""
    slider = page.locator(f"input[name={name}]")
    slider.evaluate("(each, to) => { each.value = to; }", str(value))
    slider.dispatch_event("input")
    settled(page)
    return page.inner_text("[data-says]")


def points(page, path):
    """Return the points of a path, in the first plane."""
    return page.locator(f"[data-path={path}]").first.get_attribute("points")


def table(page):
    """Return the numbers of the table of losses, a row for each line."""
    rows = page.locator("[data-losses] tr").all()
    return [[float(cell) for cell in row.locator("td").all_inner_texts()] for row in rows]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(play, width, scheme):
    page = play()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    root = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert root[0] <= root[1]
    assert page.is_visible("[data-planes]") and page.is_hidden(".still")
    low = page.locator("#surfaces button:visible, #surfaces input[type=range]").evaluate_all(
        "all => all.filter((each) => each.getBoundingClientRect().height < 44).length"
    )
    assert low == 0


def test_the_strength_moves_the_path_and_nothing_is_trained_anew(play):
    page = play()
    before = {path: points(page, path) for path in ("shared", "free", "held")}
    page.focus("input[name=c]")
    page.keyboard.press("ArrowLeft")
    after = {path: points(page, path) for path in ("shared", "free", "held")}
    assert after["held"] != before["held"]
    assert after["shared"] == before["shared"] and after["free"] == before["free"]
    assert page.evaluate("document.documentElement.dataset.play") == "ready"
    assert page.inner_text("output[name=c-is]") == "0.79"
    page.wait_for_function("location.hash.includes('c=0.79')")


@pytest.mark.parametrize("rule", ["si", "ewc", "rwalk"])
def test_the_numbers_are_those_of_a_computer(play, rule):
    page = play(f"rule={rule}&c=0.1&turn=30&lr=0.1&noise=0.1")
    _, told = run(rule=rule, turn=30, lr=0.1, noise=0.1)
    k = int(abs(surfaces.STRENGTHS - 0.1).argmin())
    expected = [told["ends"][0][2:], told["ends"][k][2:], told["joint"][2:]]
    for found, native in zip(table(page), expected, strict=True):
        assert found == pytest.approx([float(x) for x in native], abs=0.006)
    assert page.inner_text("[data-says]") == told["says"][k]


def test_the_paths_grow_while_the_networks_learn(play):
    page = play()
    page.evaluate(COUNT)
    move(page, "turn", 45)
    counts = page.evaluate("counts")
    assert counts[0] < 20 < 150 < counts[-1]
    assert counts == sorted(counts) and len(set(counts)) > 5


def test_a_slider_that_is_moved_on_ends_what_was_learned_before(play):
    page = play()
    for turn in range(1, 31):
        page.locator("input[name=turn]").evaluate("(each, to) => { each.value = to; }", str(turn))
        page.dispatch_event("input[name=turn]", "input")
    settled(page)
    _, told = run(turn=30)
    k = int(abs(surfaces.STRENGTHS - 1).argmin())
    assert page.inner_text("[data-says]") == told["says"][k]


def test_links_set_the_page_and_what_they_cannot_is_said(play):
    page = play("rule=ewc&c=1e9&turn=-30&lr=fast&noise=0.2&colour=red")
    assert page.is_checked("input[value=ewc]")
    assert page.inner_text("output[name=turn-is]") == "-30°"
    assert page.inner_text("output[name=c-is]") == "1"
    ignored = page.inner_text("[data-ignored]")
    assert all(part in ignored for part in ("c=1e9", "lr=fast", "colour=red"))
    page.click(".tries a >> nth=1")
    page.wait_for_function("document.querySelector('[name=turn]').value === '45'")
    settled(page)
    assert "worse than none" in page.inner_text("[data-says]")
    page.click("[data-reset]")
    settled(page)
    assert "as low as training on both tasks at once" in page.inner_text("[data-says]")


@pytest.mark.parametrize("settings", ["turn=-90&lr=0.005", "turn=90&lr=1.2&noise=0.5", "noise=0.5"])
@pytest.mark.parametrize("rule", ["fine-tuning", "si", "rwalk"])
def test_the_ends_of_the_sliders_give_a_picture_and_a_sentence(play, rule, settings):
    page = play(f"rule={rule}&{settings}")
    for k in (0, len(surfaces.STRENGTHS) - 1):
        assert move(page, "c", k)
        drawn = page.inner_html("#surfaces")
        assert not any(word in drawn for word in ("NaN", "Infinity", "undefined"))
        assert points(page, "shared").count(",") > 2


def test_the_keyboard_is_enough(play):
    page = play()
    page.focus("input[name=rule]:checked")
    page.keyboard.press("ArrowRight")
    settled(page)
    assert page.is_checked("input[value=ewc]")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(document.activeElement.name || document.activeElement.tagName)")
        )
    assert reached == ["turn", "lr", "noise", "c", *["A"] * 3, *["BUTTON"] * 2]


def test_without_scripts_there_is_a_picture_and_a_sentence(chromium, site):
    with browser.page(chromium, width=390, java_script_enabled=False) as (page, log):
        page.goto(f"{site}/play/surfaces.html")
        assert page.is_visible(".still img") and page.is_hidden("[data-planes]")
        assert "need JavaScript" in page.inner_text("noscript")
        clean(log)
