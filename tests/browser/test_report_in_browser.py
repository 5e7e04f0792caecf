"""The report in a real browser: nothing is fetched, nothing complains, everything is seen, on a phone too."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.browser.chromium import chromium, contrast, requested, show
from tests.report.made_up_run import make_run
from tests.report.made_up_systems import make_full_run

from mixwright import report

pytestmark = pytest.mark.browser

HEADINGS = [
    "Results by task",
    "What these rows can show",
    "Edits behind the scores",
    "Systems",
    "Ratio and rank",
    "Trade-offs",
    "Learning",
    "Row by row",
    "Trials",
    "Data",
    "Environment and cost",
]
PHONE, DESK, PAPER = 390, 1200, 720
PAGES = ("page", "full_page", "comparison_page")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return report.build(folder).as_uri()


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five systems, everything recorded, one of them with a long name."""
    folder = tmp_path_factory.mktemp("full")
    make_full_run(folder)
    return report.build(folder).as_uri()


@pytest.fixture(scope="module")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    for name in ("monday", "a-second-run-with-a-long-name", "third"):
        make_full_run(folder / name)
    return report.compare([folder / "monday", folder / "a-second-run-with-a-long-name", folder / "third"]).as_uri()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_asks_for_itself_alone_and_the_console_is_silent(browser: Any, name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    requested(browser)
    show(browser, page, width=DESK)
    assert set(requested(browser)) == {page}
    assert browser.get_log("browser") == []


def test_all_headings_stand_in_order(browser: Any, page: str) -> None:
    show(browser, page, width=DESK)
    assert browser.execute_script("return [...document.querySelectorAll('h2')].map(item => item.innerText)") == HEADINGS
    assert "11.2 points better" in browser.execute_script("return document.querySelector('h1').innerText")


def test_a_script_that_a_model_wrote_has_not_run(browser: Any, page: str) -> None:
    show(browser, page, width=DESK)
    assert browser.title == "made-up · Mixwright report"
    assert "document.title" in browser.execute_script("return document.querySelector('#samples').textContent")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_figure_has_a_size_and_stays_within_the_page(browser: Any, page: str, width: int) -> None:
    show(browser, page, width=width)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('figure > svg, svg.forest')].map(item => item.getBoundingClientRect().toJSON())"
    )
    assert len(boxes) == 4 + 10 + 5
    for box in boxes:
        assert box["width"] > 60
        assert box["height"] > 15
        assert box["left"] >= 0
        assert box["right"] <= width


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_the_page_never_scrolls_sideways(browser: Any, name: str, width: int, request: pytest.FixtureRequest) -> None:
    show(browser, request.getfixturevalue(name), width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(item => { item.open = true })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_print_fits_the_paper(browser: Any, name: str, request: pytest.FixtureRequest) -> None:
    show(browser, request.getfixturevalue(name), width=PAPER, printed=True)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER


def test_print_holds_closed_tables_and_open_rows_and_no_tools(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=PAPER, printed=True)
    tables = "details.more:not([open]) table"
    assert browser.execute_script(f"return document.querySelector('{tables}').checkVisibility({{contentVisibilityAuto: true}})")
    assert browser.execute_script("return document.querySelector('nav').offsetHeight") == 0
    assert browser.execute_script("return document.getElementById('row-tools').offsetHeight") == 0
    heights = "return [...document.querySelectorAll('.sample')].map(item => [item.firstElementChild.open, item.offsetHeight > 0])"
    assert {tuple(item) for item in browser.execute_script(heights)} == {(True, True), (False, False)}


def test_the_page_becomes_a_pdf(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=DESK)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 25


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_lettering_of_a_figure_is_cut_off(browser: Any, name: str, width: int, request: pytest.FixtureRequest) -> None:
    show(browser, request.getfixturevalue(name), width=width)
    cut = browser.execute_script(
        """return [...document.querySelectorAll('figure > svg')].flatMap(picture => {
            const frame = picture.getBoundingClientRect();
            return [...picture.querySelectorAll('text')].filter(item => {
                const box = item.getBoundingClientRect();
                const isWide = box.left < frame.left - 1 || box.right > frame.right + 1;
                return isWide || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
            }).map(item => item.textContent);
        })"""
    )
    assert cut == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it_in_light_and_dark(browser: Any, full_page: str, dark: bool) -> None:
    show(browser, full_page, width=DESK, dark=dark)
    colours = browser.execute_script(
        """const behind = item => {
            const colour = getComputedStyle(item).backgroundColor;
            return colour === 'rgba(0, 0, 0, 0)' ? behind(item.parentElement) : colour;
        };
        const names = ['h1', '.summary', '.note', '.reading.good', '.reading.bad', '.reading.even', 'figcaption', 'nav a', '.tag',
            '.remarks', '.signs', 'td.lead small', 'tr.mean .n', '.small tr.lead td', '.small td.lead small', '.facts .good span',
            '.facts .good strong', '.gain', '.of-task', '.tools label', '.tools output', '.tools select', 'ins', 'del', 'dt small'];
        return names.map(name => [name, document.querySelector(name)])
            .map(([name, item]) => [name, getComputedStyle(item).color, behind(item)])"""
    )
    for name, ink, paper in colours:
        assert contrast(ink, paper) >= 4.5, name


def rows(browser: Any) -> list[dict[str, Any]]:
    """What can be seen of the rows, from above."""
    found: list[dict[str, Any]] = browser.execute_script(
        """return [...document.querySelectorAll('.sample')].filter(item => item.offsetHeight > 0).map(item => ({
            task: item.dataset.task, gain: Number(item.querySelector('.gain').textContent.replace('−', '-')),
            kind: item.className, tags: [...item.querySelectorAll('summary .tag')].map(tag => tag.textContent)}))"""
    )
    return found


def choose(browser: Any, name: str, value: str) -> None:
    """Picks an entry as a hand does, so that the page hears of it."""
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("css selector", f"#row-tools [name={name}]")).select_by_value(value)


def counted(browser: Any) -> str:
    text: str = browser.find_element("css selector", "#row-tools output").text
    return text


def test_rows_are_sorted_by_what_they_gained_and_back_again(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=DESK)
    before = rows(browser)
    assert len(before) == 48
    choose(browser, "order", "gained")
    gains = [row["gain"] for row in rows(browser)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 0 > gains[-1]
    choose(browser, "order", "lost")
    assert [row["gain"] for row in rows(browser)] == sorted(gains)
    choose(browser, "order", "file")
    assert rows(browser) == before


def test_rows_are_filtered_by_task_and_by_being_copied(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=DESK)
    assert counted(browser) == "48 of 48 rows"
    choose(browser, "task", "clarity")
    assert {row["task"] for row in rows(browser)} == {"clarity"}
    assert counted(browser) == "12 of 48 rows"
    choose(browser, "copied", "0")
    assert counted(browser) == "3 of 48 rows"
    assert all("base: unchanged" in row["tags"] for row in rows(browser))
    choose(browser, "copied", "1")
    assert counted(browser) == "0 of 48 rows"
    choose(browser, "task", "")
    choose(browser, "copied", "")
    assert counted(browser) == "48 of 48 rows"


def test_gains_of_another_system_can_be_chosen(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=DESK)
    of_best = [row["gain"] for row in rows(browser)]
    choose(browser, "system", "1")
    of_outsider = [row["gain"] for row in rows(browser)]
    assert min(of_best) < 0
    assert min(of_outsider) == 0  # it always answers with a reference
    assert {row["kind"] for row in rows(browser)} == {"sample closer", "sample alike"}


def test_figures_of_the_script_are_those_of_the_page(browser: Any, full_page: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, full_page, width=DESK)
        plain = [item.text for item in browser.find_elements("css selector", ".gain")]
        assert not browser.find_element("id", "row-tools").is_displayed()
        assert len(browser.find_elements("css selector", ".sample")) == 48
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    show(browser, full_page, width=DESK)
    assert [item.text for item in browser.find_elements("css selector", ".gain")] == plain


def test_rows_are_worked_by_keyboard_alone(browser: Any, full_page: str) -> None:
    from selenium.webdriver.common.keys import Keys

    show(browser, full_page, width=DESK)
    browser.execute_script("document.querySelector('#row-tools [name=task]').focus()")
    active = browser.switch_to.active_element
    active.send_keys("c")
    assert {row["task"] for row in rows(browser)} == {"clarity"}
    for expected in ("order", "system", "copied", "open", "close"):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("name") == expected
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.querySelectorAll('#rows details[open]').length") == 0
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.tag_name == "summary"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.querySelectorAll('#rows details[open]').length") == 1


def test_what_can_be_pressed_is_large_enough_for_a_thumb(browser: Any, full_page: str) -> None:
    show(browser, full_page, width=PHONE)
    pressed = "#row-tools select, #row-tools button, .sample summary"
    sizes = browser.execute_script(f"return [...document.querySelectorAll('{pressed}')].map(item => item.offsetHeight)")
    assert min(sizes) >= 24  # WCAG 2.2, target size
