"""A browser opens the page: pictures change, keys work, nothing is fetched."""

import shutil

import page_runs
import pytest

from jnf_jax.page.page import write_page

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with sync_api.sync_playwright() as playwright:
        options = dict(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = playwright.chromium.launch(**options)
        yield found
        found.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    runs = [
        page_runs.write(folder / name, judged=page_runs.record(), labels=labels)
        for name, labels in (("first", (1, 0, 1)), ("second", None))
    ]
    return write_page(runs, folder / "page.html")


@pytest.fixture
def opened(browser, written):
    """Opens the page; afterwards there was no fault and no request."""
    heard, contexts = [], []

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(written.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    fetched = [x for x in heard if x != written.as_uri() and x[:5] != "data:"]
    assert not fetched


def cells(page, view):
    """Where each picture of a view lies in its sheet, or what a text says."""
    return page.evaluate(
        """view => [...document.querySelectorAll("#views .view")]
          .find(card => card.querySelector("h3").firstChild.textContent === view)
          .querySelectorAll(".cell").values().map(cell => {
            const pixels = cell.querySelector(".pixels");
            const style = pixels && getComputedStyle(pixels);
            return style ? style.backgroundPosition + style.backgroundImage.slice(0, 9)
              : cell.querySelector("p").textContent;
          }).toArray()""",
        view,
    )


def test_clicks_change_pictures_texts_and_sounds(opened):
    page = opened()
    assert page.locator("#told").inner_text().startswith("Given image:")
    before = cells(page, "text")
    assert len(before) == 3 and all(text.startswith("<b>0.") for text in before)
    page.get_by_label("sound", exact=True).check()
    after = cells(page, "text")
    assert after[0] == before[0] and set(after[1:]).isdisjoint(before)
    page.get_by_label("image", exact=True).uncheck()
    drawn = cells(page, "image")
    assert len(drawn) == 3 and len(set(drawn)) == 3
    assert all(cell.endswith('url("data') for cell in drawn)
    page.get_by_label("1 (class 0)").check()
    assert set(cells(page, "image")).isdisjoint(drawn)
    assert page.locator("audio").count() == 1
    page.get_by_label("sound", exact=True).uncheck()
    assert page.locator("#told").inner_text().startswith("Nothing is given")
    assert len(cells(page, "image")) == 2
    assert page.locator("audio").count() == 2
    for view in ("sound", "text"):
        page.get_by_label(view, exact=True).check()
    told = page.locator("#told").inner_text()
    assert told.startswith("Nothing was drawn given sound, text")
    page.get_by_label("image", exact=True).check()
    assert "nothing is left to generate" in page.locator("#told").inner_text()
    page.locator("#run").select_option("second")
    assert page.get_by_label("1", exact=True).count() == 1  # it has no classes


def test_keys_do_what_clicks_do(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#run").focus()
    page.keyboard.press("Tab")
    before = cells(page, "image")
    page.keyboard.press("Space")  # the first view is given no more
    assert len(cells(page, "image")) > len(before)
    for _ in page_runs.VIEWS:
        page.keyboard.press("Tab")
    drawn = cells(page, "image")
    page.keyboard.press("ArrowRight")  # the next tuple
    assert cells(page, "image") != drawn
    assert page.evaluate("document.activeElement.value") == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_overflow(opened, scheme):
    page = opened(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, paper[4:-1].split(",")))
    assert (lightness > 600) == (scheme == "light")
