"""The report page in a real browser: offline, without a complaint, by mouse and by keyboard, in both themes."""

import json
import shutil
from itertools import pairwise

import pytest
from playwright.sync_api import expect, sync_playwright
from run_folders import backtest_folder, compare_folder, train_folder

from trendlstm.output.report.make import write_report

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
EVIL = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
KINDS = {
    "train": lambda path: train_folder(path, seeds=2, final_fit=True),
    "rnn": lambda path: train_folder(path, cell="rnn", horizon=2, features=("Close", "Volume")),
    "smallest": lambda path: train_folder(path, lag=1, scaling="standard", epochs=1),
    "compare": lambda path: compare_folder(path, lag=6, seeds=2),
    "backtest": lambda path: backtest_folder(path, tickers=("AA", "BB"), models=("lstm", "rnn")),
}


@pytest.fixture(scope="session")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("These tests need the browser Chromium: install it, as with `apt-get install chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The page of every kind of run."""
    folder = tmp_path_factory.mktemp("runs")
    return {kind: write_report(make(folder / kind)) for kind, make in KINDS.items()}


@pytest.fixture
def show(browser):
    """Open a page; at the end it must have complained about nothing and asked for nothing but itself."""
    opened = []

    def open_page(path, width=1100, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        seen = {"console": [], "errors": [], "requests": []}
        page.on("console", lambda message: seen["console"].append(message.text))
        page.on("pageerror", lambda error: seen["errors"].append(str(error)))
        page.on("request", lambda request: seen["requests"].append(request.url))
        opened.append((page, seen, path.as_uri()))
        page.goto(path.as_uri())
        page.locator("figure[data-chart] .uplot").first.wait_for()
        return page

    yield open_page
    for page, seen, address in opened:
        page.close()
        requests = [url for url in seen["requests"] if url != "data:,"]  # the empty icon
        assert seen == {"console": [], "errors": [], "requests": seen["requests"]} and requests == [address]


def colours_on(page, selector):
    """How many different colours a chart's or map's canvas has."""
    return page.eval_on_selector(
        selector,
        """canvas => new Set(new Uint32Array(
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size""",
    )


def contents(page, selector):
    return [element.inner_text() for element in page.query_selector_all(selector)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_offline_and_draws_every_chart(show, pages, kind, scheme):
    page = show(pages[kind], scheme=scheme)
    data = json.loads(page.inner_text("#data") or page.text_content("#data"))
    assert page.locator("figure[data-chart] .uplot").count() == len(data["charts"])
    for key in data["charts"]:
        assert colours_on(page, f"figure[data-chart='{key}'] canvas") > 5, key
    assert page.locator("#verdict h2").inner_text()
    blank = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert blank == {"light": "rgb(247, 246, 242)", "dark": "rgb(18, 20, 22)"}[scheme]


@pytest.mark.parametrize("width", [320, 400, 768])
@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_page_never_scrolls_sideways(show, pages, kind, width):
    page = show(pages[kind], width=width)
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # what is wider than the page is in something that scrolls by itself
    outside = page.evaluate(
        """width => [...document.querySelectorAll("main *")].filter(element =>
            element.getBoundingClientRect().right > width + 1 && !element.closest(".scroll, .equation")).length""",
        width,
    )
    assert outside == 0


def test_on_a_narrow_page_no_legend_is_taller_than_its_chart(show, pages):
    for kind in ("train", "compare", "backtest"):
        page = show(pages[kind], width=400)
        heights = page.evaluate(
            """[...document.querySelectorAll("figure[data-chart]")].map(figure =>
                [".legend", ".plot"].map(part => figure.querySelector(part).getBoundingClientRect().height))"""
        )
        assert heights and all(legend < plot for legend, plot in heights), kind


def test_the_table_of_errors_shows_its_test_rows_without_scrolling_inside(show, pages):
    page = show(pages["rnn"])
    hidden = page.eval_on_selector_all(
        ".scroll", "boxes => boxes.map(box => box.scrollHeight - box.clientHeight)"
    )
    assert hidden and max(hidden) <= 1


def picture(page, chart):
    """What is drawn."""
    return page.eval_on_selector(f"figure[data-chart='{chart}'] canvas", "canvas => canvas.toDataURL()")


def drag(page, chart, start, end):
    box = page.locator(f"figure[data-chart='{chart}'] .u-over").bounding_box()
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], height)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], height, steps=5)
    page.mouse.up()
    page.mouse.move(2, 2)
    return box["x"] + box["width"] / 2, height


def test_dragging_zooms_and_a_double_click_shows_all_again(show, pages):
    page = show(pages["train"])
    page.locator("figure[data-chart='prices']").scroll_into_view_if_needed()
    page.mouse.move(2, 2)
    before = picture(page, "prices")
    middle = drag(page, "prices", 0.4, 0.6)
    zoomed = picture(page, "prices")
    assert zoomed != before
    page.mouse.dblclick(*middle)
    page.mouse.move(2, 2)
    assert picture(page, "prices") == before


def test_a_chart_is_read_and_zoomed_by_keyboard(show, pages):
    page = show(pages["train"])
    figure = page.locator("figure[data-chart='losses']")
    plot = figure.locator(".plot")
    plot.focus()
    before = picture(page, "losses")
    page.keyboard.press("ArrowRight")
    first = figure.locator("[aria-live]").inner_text()
    page.keyboard.press("ArrowRight")
    second = figure.locator("[aria-live]").inner_text()
    assert first.startswith("epoch 1, training loss ") and second.startswith("epoch 2, training loss ")
    assert "validation loss" in first and figure.locator(".value").first.inner_text() in second
    page.keyboard.press("+")
    assert picture(page, "losses") != before
    page.keyboard.press("0")
    assert picture(page, "losses") == before
    for name in ("Zoom in", "Show all"):
        figure.get_by_role("button", name=name).press("Enter")
    assert picture(page, "losses") == before


def test_a_line_is_hidden_by_its_name(show, pages):
    page = show(pages["train"])
    button = page.locator("figure[data-chart='losses'] .legend button").first
    before = picture(page, "losses")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false" and picture(page, "losses") != before
    button.press("Enter")
    assert picture(page, "losses") == before


def test_the_table_behind_a_chart_has_its_values(show, pages):
    page = show(pages["train"])
    chart = json.loads(page.text_content("#data"))["charts"]["losses"]
    figure = page.locator("figure[data-chart='losses']")
    figure.locator("summary").press("Enter")
    shown = chart["sets"][0]
    expect(figure.locator("tbody tr")).to_have_count(len(shown["x"]))
    cells = figure.locator("tbody tr").first.locator("th, td").all_inner_texts()
    assert cells[0] == "1"
    assert [float(cell) for cell in cells[1:]] == pytest.approx([row[0] for row in shown["values"]], rel=1e-2)
    # and another network's when it is chosen
    figure.locator("select").select_option(index=2)
    again = figure.locator("tbody tr").first.locator("th, td").all_inner_texts()
    assert [float(cell) for cell in again[1:]] == pytest.approx(
        [row[0] for row in chart["sets"][2]["values"]], rel=1e-2
    )


def test_charts_that_ask_for_the_same_are_chosen_together(show, pages):
    page = show(pages["backtest"])
    equity, drawdown = (page.locator(f"figure[data-chart='{key}']") for key in ("equity", "drawdown"))
    before = picture(page, "drawdown")
    equity.locator("select").select_option("BB")
    assert drawdown.locator("select").input_value() == "BB" and picture(page, "drawdown") != before
    assert page.locator("figure[data-chart='forecasts-lstm'] select").input_value() == "AA"


@pytest.mark.parametrize(("kind", "letters"), [("train", "figcoh"), ("rnn", "h")])
def test_the_slider_walks_through_the_window_by_keyboard(show, pages, kind, letters):
    page = show(pages[kind])
    gates = json.loads(page.text_content("#data"))["gates"]
    slider, said = page.get_by_label("Step", exact=True), page.locator("#step-text")
    assert page.locator(".gate").count() == len(letters) and page.locator(".gate math").count() == len(
        letters
    )
    slider.focus()
    page.keyboard.press("Home")
    assert said.inner_text() == gates["steps"][0] and slider.get_attribute("aria-valuetext") == "1 of 4"
    first = contents(page, ".gate .now")
    place = page.locator(".gate .map span").first.bounding_box()["x"]
    before = picture(page, "means")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert said.inner_text() == gates["steps"][2]
    second = contents(page, ".gate .now")
    assert all(one and one != other for one, other in zip(first, second))
    assert page.locator(".gate .map span").first.bounding_box()["x"] > place
    assert picture(page, "means") != before
    values = gates["values"]["h"][2]
    hidden = second[-1]
    assert f"{min(values) / 1000:.2f}" in hidden and f"{max(values) / 1000:.2f}" in hidden
    page.locator("#units summary").click()
    expect(page.locator("#units tbody tr")).to_have_count(len(gates["values"]["h"][0]))
    rows = page.locator("#units tbody tr").first.locator("td").all_inner_texts()
    assert [float(text) for text in rows] == [gates["values"][letter][2][0] / 1000 for letter in letters]
    page.locator(".gate .map").first.click(position={"x": 3, "y": 20})
    assert said.inner_text() == gates["steps"][0]
    for key in letters:
        assert colours_on(page, f".gate[data-gate='{key}'] canvas") > 3


def test_play_walks_to_the_last_step(show, pages):
    page = show(pages["train"])
    steps = json.loads(page.text_content("#data"))["gates"]["steps"]
    button = page.locator("#play")
    button.click()
    assert button.inner_text() == "Pause" and page.locator("#step-text").inner_text() == steps[0]
    expect(button).to_have_text("Play")
    assert page.locator("#step-text").inner_text() == steps[-1]


def column(page, section, heading):
    table = page.locator(f"{section} table").last
    headings = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    index = headings.index(heading)
    rows = table.locator("tbody tr")
    return [rows.nth(row).locator("th, td").nth(index).inner_text() for row in range(rows.count())]


def test_a_table_sorts_by_numbers_with_dashes_last(show, pages):
    page = show(pages["train"])
    for heading in ("RMSE", "Skill", "DM p"):
        button = page.locator("#errors thead").get_by_role("button", name=heading, exact=True)
        unsorted = column(page, "#errors", heading)
        for sort, sign in (("ascending", 1), ("descending", -1)):
            button.press("Enter")
            assert button.locator("..").get_attribute("aria-sort") == sort
            found = column(page, "#errors", heading)
            assert sorted(found) == sorted(unsorted)
            numbers = [float(text.split()[0].replace("<", "")) for text in found if text != "–"]
            assert numbers == sorted(numbers, key=lambda value, sign=sign: sign * value)
            assert "–" not in found[: len(numbers)]
    assert (
        page.locator("#errors th[aria-sort='none']").count() == page.locator("#errors thead th").count() - 1
    )


def test_a_table_sorts_dates_and_words(show, pages):
    page = show(pages["train"])
    for section, heading in (("#forecast", "Session"), ("#errors", "Forecast")):
        before = column(page, section, heading)
        button = page.locator(f"{section} thead").get_by_role("button", name=heading, exact=True)
        button.click()
        button.click()
        found = [text.split()[-1] for text in column(page, section, heading)]
        assert found == sorted((text.split()[-1] for text in before), reverse=True)


def test_the_theme_is_the_systems_until_it_is_chosen(show, pages):
    page = show(pages["compare"], scheme="dark")

    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark, drawn = background(), picture(page, "predictions")
    button = page.get_by_role("button", name="Light colours")
    button.press("Enter")
    assert background() != dark and picture(page, "predictions") != drawn
    page.get_by_role("button", name="Dark colours").click()
    assert background() == dark and picture(page, "predictions") == drawn
    page.emulate_media(color_scheme="light")
    assert background() == dark  # chosen is chosen


def test_a_changed_system_theme_repaints_the_charts(show, pages):
    page = show(pages["train"])
    before = picture(page, "losses"), picture(page, "prices")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("#theme")).to_have_text("Light colours")
    assert all(now != then for now, then in zip((picture(page, "losses"), picture(page, "prices")), before))


def test_everything_can_be_reached_and_has_a_name(show, pages):
    for kind in ("train", "backtest"):
        page = show(pages[kind])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, select, input, a, [role=region], [role=application]")]
                .filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).length"""
        )
        assert nameless == 0
        levels = [
            int(tag[1])
            for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")
        ]
        assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))


def test_a_script_in_a_name_is_shown_and_never_runs(show, tmp_path):
    folder = train_folder(tmp_path / "train")
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"WALK"', json.dumps(EVIL)))
    other = backtest_folder(tmp_path / "backtest", tickers=("AA", "BB"))
    for path in (*other.glob("*.json"), *other.glob("*.csv")):
        name = json.dumps(EVIL)[1:-1] if path.suffix == ".json" else f'"{EVIL}"'
        path.write_text(path.read_text().replace("AA", name))
    for path in (folder, other):
        page = show(write_report(path))
        assert EVIL in page.inner_text("h1")
        for summary in page.query_selector_all("summary"):
            summary.click()
        assert page.evaluate("window.ran === undefined")
        assert page.locator("img").count() == 0
    assert EVIL in page.locator("select").last.inner_text()


def test_the_policy_stops_what_it_does_not_name(browser, pages, tmp_path):
    content = pages["train"].read_text()
    changed = tmp_path / "changed.html"
    changed.write_text(content.replace("</body>", "<script>window.ran = 1</script></body>"))
    page = browser.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(changed.as_uri())
    assert page.evaluate("window.ran === undefined") and any(
        "Content Security Policy" in text for text in refused
    )
    page.close()
