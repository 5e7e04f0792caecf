"""The report in a real browser: nothing is fetched, nothing complains, everything is seen, on a phone too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.report.made_up_run import make_run

from mixwright import report

pytestmark = pytest.mark.browser

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HEADINGS = [
    "Results by task",
    "Ratio and rank",
    "Trade-offs",
    "Learning",
    "Before and after",
    "Trials",
    "Data",
    "Environment and cost",
]
PHONE, DESK = 390, 1200


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with its driver on this machine: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    opened.get("about:blank")
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return report.build(folder).as_uri()


def show(browser: Any, page: str, *, width: int, dark: bool = False) -> None:
    mode = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": mode})
    browser.get(page)


def requested(browser: Any) -> list[str]:
    """Addresses asked for since the last call, other than what a page holds in itself and what the browser's own pages load."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("data:", "chrome:", "about:"))]


def test_the_page_asks_for_itself_alone_and_the_console_is_silent(browser: Any, page: str) -> None:
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
    assert len(boxes) == 10 + 5
    for box in boxes:
        assert box["width"] > 60
        assert box["height"] > 15
        assert box["left"] >= 0
        assert box["right"] <= width


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_the_page_never_scrolls_sideways(browser: Any, page: str, width: int) -> None:
    show(browser, page, width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(item => { item.open = true })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_lettering_of_a_figure_is_cut_off(browser: Any, page: str, width: int) -> None:
    show(browser, page, width=width)
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
def test_text_stands_out_from_the_page_in_light_and_dark(browser: Any, page: str, dark: bool) -> None:
    show(browser, page, width=DESK, dark=dark)
    colours = browser.execute_script(
        """const paper = getComputedStyle(document.body).backgroundColor;
        return ['h1', '.summary', '.note', '.reading', 'figcaption', 'nav a', '.tag', '.remarks']
            .map(name => [name, getComputedStyle(document.querySelector(name)).color, paper])"""
    )
    for name, ink, paper in colours:
        assert contrast(ink, paper) >= 4.5, name


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two opaque `rgb(r, g, b)` colours, 1 to 21 (WCAG 2.2)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
