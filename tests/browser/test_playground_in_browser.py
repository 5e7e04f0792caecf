"""The playground in a real browser: asked, read and evaluated by mouse, by keyboard and on a phone; nothing leaves the origin."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import yaml
from fastapi import FastAPI
from serve.engine import Answerer
from serve.errors import BusyError
from serve.evaluations.shapes import EvaluationRequest
from serve.front import Front, LocalBackend, make_app
from serve.safety import NO_KEY, Rules
from tests.browser.chromium import chromium, contrast, requested, show
from tests.browser.made_up_evaluations import MadeUpEvaluations
from tests.serve.running import running

from mixwright.config import ModelConfig, SweepConfig
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.generate.engine import Generated, Request
from mixwright.generate.loading import load_engine
from mixwright.models import load_base
from mixwright.scenarios import load_scenario

pytestmark = pytest.mark.browser

PHONE, DESK = 360, 1200
SCENARIO = load_scenario("writing")
ADAPTERS = ("best", "formal")
KEY = "open-sesame"


class EditingEngine(EchoEngine):
    """Base hands the text back; `best` mends a verb and takes a word away; `formal` writes a script tag before it."""

    def _answer(self, request: Request) -> Generated:
        plain = super()._answer(request)
        text = plain.text.removeprefix(f"{request.adapter}: ")
        if request.adapter == "best":
            text = text.replace("go ", "goes ").replace(" very", "")
        if request.adapter == "formal":
            text = f"<script>document.title = 'caught'</script>{text}"
        return Generated(text=text, tokens=plain.tokens, ended=True)


class BusyBackend(LocalBackend):
    """Has no room for `formal`."""

    async def answer(self, questions: Any) -> list[str]:
        if questions[0].adapter == "formal" and "busy" in questions[0].text:
            raise BusyError
        return await super().answer(questions)


def make(run_dir: str = "", evaluations: MadeUpEvaluations | None = None, rules: Rules = NO_KEY) -> FastAPI:
    loss = ResponseLoss(nll=0.0, tokens=1)
    answerer = Answerer(
        engine=EditingEngine(ADAPTERS), tokenizer=CharacterTokenizer(), context_length=5000, score=lambda rows, adapter: loss
    )
    front = Front(model="made-up", adapters=ADAPTERS, scenario=SCENARIO, run_dir=run_dir)
    return make_app(BusyBackend(answerer), front, evaluations=evaluations, rules=rules)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, MadeUpEvaluations]]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(yaml.safe_dump(SweepConfig.model_validate({"name": "run"}).model_dump(mode="json")))
    evaluations = MadeUpEvaluations(SCENARIO)
    with running(make(str(folder), evaluations)) as url:
        yield url, evaluations


@pytest.fixture
def url(served: tuple[str, MadeUpEvaluations]) -> str:
    return served[0]


@pytest.fixture
def evaluations(served: tuple[str, MadeUpEvaluations]) -> Iterator[MadeUpEvaluations]:
    """None yet, and none is left behind."""
    served[1].clear()
    yield served[1]
    served[1].clear()


def until(browser: Any, condition: str, *, seconds: float = 30.0) -> Any:
    """Waits until an expression of the page is true, and gives it."""
    end = time.monotonic() + seconds
    while not (value := browser.execute_script(f"return {condition}")):
        assert time.monotonic() < end, (
            f"never came true: {condition}; the page says: {browser.find_element('tag name', 'main').text}"
        )
        time.sleep(0.05)
    return value


def opened(browser: Any, url: str, *, width: int = DESK, dark: bool = False) -> None:
    """The page, once it knows its tasks, samples and evaluations."""
    show(browser, url, width=width, dark=dark)
    until(browser, "document.querySelectorAll('#task option').length")
    until(browser, "document.getElementById('sample').options[0].text !== 'reading the dev rows …'")
    until(browser, "document.getElementById('evaluation-line').textContent")


def choose(browser: Any, field: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", field)).select_by_value(value)


def write(browser: Any, text: str) -> None:
    field = browser.find_element("id", "text")
    field.clear()
    field.send_keys(text)


def answered(browser: Any) -> list[dict[str, Any]]:
    """The cards once they are all filled: name, text with marks in brackets, remark."""
    until(browser, "document.querySelector('.card') && !document.querySelector('[aria-busy]')")
    found: list[dict[str, Any]] = browser.execute_script(
        """const read = node => node.nodeType === 3 ? node.data : [...node.childNodes].map(read).join('');
        const marked = node => node.nodeType === 3 ? node.data : ({INS: '[+', DEL: '[-'}[node.tagName] ?? '')
            + [...node.childNodes].map(marked).join('') + ({INS: ']', DEL: ']'}[node.tagName] ?? '');
        return [...document.querySelectorAll('.card')].map(card => ({name: card.querySelector('h3').textContent,
            text: marked(card.querySelector('.output')), remark: card.querySelector('.remark').textContent,
            time: card.querySelector('.time').textContent}))"""
    )
    return found


def rewrite(browser: Any, text: str) -> list[dict[str, Any]]:
    write(browser, text)
    browser.find_element("id", "run").click()
    return answered(browser)


def tick(browser: Any, adapter: str) -> None:
    browser.find_element("css selector", f"#adapters input[value='{adapter}']").click()


def test_base_stands_beside_the_chosen_adapters_with_what_each_changed(browser: Any, url: str) -> None:
    opened(browser, url)
    assert browser.find_element("id", "task").get_property("value") == "grammaticality"
    base, best = rewrite(browser, "He go home very late.")
    assert (base["name"], base["text"], base["remark"]) == ("base", "He go home very late.", "unchanged")
    assert (best["name"], best["text"], best["remark"]) == ("best", "He [-go] [+goes] home [-very] late.", "2 changes")
    assert base["time"].endswith(" s")
    browser.find_element("id", "marks").click()
    assert browser.find_elements("css selector", ".output")[1].text == "He goes home late."
    tick(browser, "formal")
    assert [card["name"] for card in rewrite(browser, "Once more.")] == ["base", "best", "formal"]


def test_the_badge_says_what_was_never_trained_and_samples_are_the_tasks_own(browser: Any, url: str) -> None:
    opened(browser, url)
    taken = browser.find_element("id", "text").get_property("value")
    assert taken
    assert browser.find_element("id", "badge").text == "seen in training"
    choose(browser, "task", "paraphrasing")
    assert browser.find_element("id", "badge").text == "unseen in training"
    another = browser.find_element("id", "text").get_property("value")
    assert another != taken
    assert len(browser.find_elements("css selector", "#sample option")) == 1 + 6
    choose(browser, "sample", "3")
    assert browser.find_element("id", "text").get_property("value") not in (taken, another)
    write(browser, "My own words.")
    choose(browser, "task", "clarity")
    assert browser.find_element("id", "text").get_property("value") == "My own words."


def test_an_answer_is_shown_as_text_whatever_it_holds(browser: Any, url: str) -> None:
    opened(browser, url)
    tick(browser, "formal")
    formal = rewrite(browser, "He was there.")[-1]
    assert "document.title" in formal["text"]
    assert browser.title == "Mixwright playground"


def test_a_refusal_is_told_in_the_endpoints_words_beside_answers_that_came(browser: Any, url: str) -> None:
    opened(browser, url)
    tick(browser, "formal")
    _, best, formal = rewrite(browser, "All are busy.")
    assert best["remark"] == "unchanged"
    assert "the endpoint is busy; ask again in some seconds" in formal["text"]
    browser.execute_script("document.getElementById('text').value = 'x'.repeat(6000)")
    browser.find_element("id", "run").click()
    assert "the model holds 5000; send a shorter one" in answered(browser)[0]["text"]
    browser.get_log("browser")  # Chromium notes each refusal there


def test_no_text_is_not_sent(browser: Any, url: str) -> None:
    opened(browser, url)
    write(browser, "  ")
    browser.find_element("id", "run").click()
    assert browser.find_element("id", "error").text.startswith("There is no text to rewrite")
    assert not browser.find_element("id", "answers").is_displayed()
    write(browser, "Some.")
    assert not browser.find_element("id", "error").is_displayed()


def test_decoding_and_instruction_reach_the_endpoint_as_they_were_chosen(browser: Any, url: str) -> None:
    opened(browser, url)
    browser.execute_script(
        """window.sent = []; const before = window.fetch;
        window.fetch = (path, options) => { window.sent.push(options.body); return before(path, options); }"""
    )
    rewrite(browser, "One.")
    browser.find_element("css selector", ".options summary").click()
    choose(browser, "strategy", "sampling")
    browser.find_element("id", "instruction").send_keys("Write it anew.")
    rewrite(browser, "Two.")
    first, _, third, _ = browser.execute_script("return window.sent.map(JSON.parse)")
    plain = {"task": "grammaticality", "adapter": "base", "max_new_tokens": 128}
    assert first == {**plain, "texts": ["One."]}
    decoding = {"temperature": 0.7, "top_p": 0.9, "seed": 0}
    assert third == {**plain, "texts": ["Two."], "decoding": decoding, "instruction": "Write it anew."}


def test_the_page_is_worked_by_keyboard_alone(browser: Any, url: str, evaluations: MadeUpEvaluations) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, url)
    active = lambda: browser.switch_to.active_element  # noqa: E731
    order = []
    browser.execute_script("document.body.focus()")
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    for _ in range(9):
        order.append(active().get_attribute("id") or active().get_attribute("value") or active().tag_name)
        outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", order
        active().send_keys(Keys.TAB)
    assert order[:6] == ["task", "best", "formal", "sample", "text", "run"]
    browser.execute_script("document.getElementById('text').focus()")
    active().send_keys(Keys.CONTROL, "a")
    active().send_keys("He go home.")
    active().send_keys(Keys.CONTROL, Keys.ENTER)
    assert answered(browser)[1]["text"] == "He [-go] [+goes] home."
    until(browser, "document.getElementById('spoken').textContent.startsWith('base: unchanged')")
    assert "best: 1 change" in browser.execute_script("return document.getElementById('spoken').textContent")


def test_copy_gives_the_answer_without_its_marks(browser: Any, url: str) -> None:
    opened(browser, url)
    browser.execute_script("navigator.clipboard.writeText = async text => { window.copied = text; }")
    rewrite(browser, "He go home very late.")
    browser.find_elements("css selector", ".card button")[1].click()
    assert until(browser, "window.copied") == "He goes home late."


def test_everything_that_can_be_set_has_a_name(browser: Any, url: str, evaluations: MadeUpEvaluations) -> None:
    opened(browser, url)
    nameless = browser.execute_script(
        """return [...document.querySelectorAll('select, input, textarea, button')].filter(item =>
            !item.labels?.length && !item.getAttribute('aria-label') && !item.textContent.trim()).map(item => item.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_the_page_never_scrolls_sideways(browser: Any, url: str, evaluations: MadeUpEvaluations, width: int) -> None:
    evaluations.finished("base", "best", "formal")
    opened(browser, url, width=width)
    tick(browser, "formal")
    browser.execute_script("document.getElementById('text').value = 'Averylongwordwithoutanyend'.repeat(20)")
    browser.execute_script("document.getElementById('run').click()")
    answered(browser)
    browser.execute_script("document.querySelectorAll('details').forEach(item => { item.open = true })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_what_can_be_pressed_is_large_enough_for_a_thumb(browser: Any, url: str, evaluations: MadeUpEvaluations) -> None:
    opened(browser, url, width=PHONE)
    rewrite(browser, "He go home.")
    sizes = browser.execute_script(
        """return [...document.querySelectorAll('select, button, summary, .check, input:not([type=checkbox])')]
            .filter(item => item.checkVisibility()).map(item => item.offsetHeight)"""
    )
    assert min(sizes) >= 24  # WCAG 2.2, target size


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it_in_light_and_dark(
    browser: Any, url: str, evaluations: MadeUpEvaluations, dark: bool
) -> None:
    evaluations.finished("base", "best")
    opened(browser, url, dark=dark)
    rewrite(browser, "He go home very late.")
    colours = browser.execute_script(
        """const behind = item => {
            const colour = getComputedStyle(item).backgroundColor;
            return colour === 'rgba(0, 0, 0, 0)' ? behind(item.parentElement) : colour;
        };
        const names = ['h1', '.run-name', 'label', 'legend', '.tag', '#instruction-shown', '#sample', '#text', 'button.main',
            '#keys', 'h2', '.card h3', '.time', '.remark', 'ins', 'del', '.note', '.tools label', '#evaluated', '.output',
            'footer p', 'footer a'];
        return names.map(name => [name, document.querySelector(name)])
            .map(([name, item]) => [name, getComputedStyle(item).color, behind(item)])"""
    )
    for name, ink, paper in colours:
        assert contrast(ink, paper) >= 4.5, name
    (paper,) = {behind for name, _, behind in colours if name == "h1"}
    assert (contrast(paper, "rgb(0, 0, 0)") < 2) is dark


def test_the_console_is_silent_and_no_request_leaves_the_origin(browser: Any, url: str, evaluations: MadeUpEvaluations) -> None:
    evaluations.finished("base", "best")
    browser.get_log("browser")
    requested(browser)
    opened(browser, url)
    rewrite(browser, "He go home.")
    assert browser.get_log("browser") == []
    asked = requested(browser)
    assert {urlsplit(address).netloc for address in asked} == {urlsplit(url).netloc}
    assert sum(address.endswith("/v1/rewrite") for address in asked) == 2


def test_charts_show_every_score_with_seen_and_unseen_apart_and_a_table_says_the_same(
    browser: Any, url: str, evaluations: MadeUpEvaluations
) -> None:
    found = evaluations.finished("base", "best", "formal")
    opened(browser, url)
    assert [item.text for item in browser.find_elements("css selector", "#charts h3")] == ["Seen in training", "Unseen in training"]
    groups = browser.execute_script(
        """return [...document.querySelectorAll('.bar-figures')].map(group => [...group.querySelectorAll('svg')].map(picture => ({
            said: picture.getAttribute('aria-label'), bars: picture.querySelectorAll('rect').length,
            lines: picture.querySelectorAll('.bar-whisker').length, width: picture.getBoundingClientRect().width})))"""
    )
    assert [len(group) for group in groups] == [1 + len(SCENARIO.seen), len(SCENARIO.unseen)]
    assert {(picture["bars"], picture["lines"]) for group in groups for picture in group} == {(3, 9)}
    said = " ".join(picture["said"] for group in groups for picture in group)
    browser.find_element("css selector", "#figures summary").click()
    table = browser.find_element("id", "scores").text
    for score in found.scores:
        assert f"{score.adapter} {score.value:.1f}, from {score.low:.1f} to {score.high:.1f}" in said
        assert f"{score.value:.1f} {score.low:.1f} to {score.high:.1f}" in table
    assert found.summary["best"].seen is not None
    assert f"{found.summary['best'].seen.value:.1f}" in table


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_lettering_of_a_chart_is_cut_off_and_bars_end_where_their_scores_are(
    browser: Any, url: str, evaluations: MadeUpEvaluations, width: int
) -> None:
    found = evaluations.finished("base", "best", "an-adapter-with-a-long-name")
    opened(browser, url, width=width)
    cut = browser.execute_script(
        """return [...document.querySelectorAll('figure > svg')].flatMap(picture => {
            const frame = picture.getBoundingClientRect();
            return [...picture.querySelectorAll('text')].filter(item => {
                const box = item.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
            }).map(item => item.textContent);
        })"""
    )
    assert cut == []
    ends = browser.execute_script(
        """const picture = document.querySelectorAll('figure > svg')[1], grid = picture.querySelectorAll('.grid');
        const [zero, hundred] = [grid[0], grid[4]].map(line => Number(line.getAttribute('x1')));
        return [...picture.querySelectorAll('rect')].map(bar => 100 * bar.getAttribute('width') / (hundred - zero))"""
    )
    assert ends == pytest.approx([score.value for score in found.scores[:3]])


def test_without_an_evaluation_a_line_says_how_to_start_one_and_one_is_started_and_followed(
    browser: Any, url: str, evaluations: MadeUpEvaluations
) -> None:
    opened(browser, url)
    assert browser.find_element("id", "evaluation-line").text.startswith("None has been completed yet")
    rows = browser.find_element("css selector", "#evaluate [name=limit]")
    rows.clear()
    rows.send_keys("7")
    browser.find_element("css selector", "#evaluate button").click()
    until(browser, "document.getElementById('progress-line').textContent.includes(' of 200 answers, about ')")
    until(browser, "document.querySelectorAll('figure').length")
    assert evaluations.requests == [EvaluationRequest(tasks="all", split="dev", limit=7, adapters=("base", "best"))]
    assert not browser.find_element("id", "progress").is_displayed()
    assert "at most 7 rows a task, greedy" in browser.find_element("id", "evaluation-line").text


def test_something_is_seen_while_the_endpoint_still_reads_the_rows(browser: Any, url: str, evaluations: MadeUpEvaluations) -> None:
    opened(browser, url)
    browser.execute_script(
        """const before = window.fetch;
        window.fetch = (path, options) => new Promise(done => { window.go = () => done(before(path, options)); })"""
    )
    browser.find_element("css selector", "#evaluate button").click()
    until(browser, "!document.getElementById('progress').hidden")
    assert browser.find_element("id", "progress").text == "reading the rows"
    assert not browser.find_element("css selector", "#evaluate button").is_enabled()


def test_one_that_runs_is_found_again_by_a_new_page_and_can_be_cancelled(
    browser: Any, url: str, evaluations: MadeUpEvaluations
) -> None:
    evaluations.steps, before = 1000, evaluations.steps
    try:
        running_one = evaluations.start(EvaluationRequest(split="test", adapters=("base",)))
        opened(browser, url)
        until(browser, "document.getElementById('progress-line').textContent.includes('of 100 answers')")
        browser.find_element("id", "cancel").click()
        until(browser, "document.getElementById('progress').hidden")
    finally:
        evaluations.steps = before
    assert running_one.status == "cancelled"
    assert browser.find_element("css selector", "#evaluate button").is_enabled()


def test_an_endpoint_without_a_run_has_no_samples_and_says_why_nothing_can_be_evaluated(browser: Any) -> None:
    with running(make()) as url:
        opened(browser, url)
        assert not browser.find_element("id", "sample").is_enabled()
        browser.find_element("css selector", "#evaluate button").click()
        until(browser, "!document.getElementById('evaluation-error').hidden")
        assert "serves no run" in browser.find_element("id", "evaluation-error").text
    browser.get_log("browser")  # Chromium notes the refusal there


def test_a_key_is_asked_for_once_and_kept_in_the_tab(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    rules = Rules(key_digest=hashlib.sha256(KEY.encode()).digest())
    with running(make(rules=rules)) as url:
        show(browser, url, width=PHONE)
        for tried, reason in (("wrong", ""), (KEY, "The last one was refused.")):
            until(browser, "document.querySelector('dialog[open]')")
            until(browser, f"document.getElementById('key-reason').textContent === '{reason}'")
            assert browser.switch_to.active_element.get_attribute("id") == "key"
            browser.switch_to.active_element.send_keys(tried, Keys.ENTER)
            until(browser, f"sessionStorage.getItem('mixwright-key') === '{tried}'")
        until(browser, "document.querySelectorAll('#task option').length")
        assert rewrite(browser, "He go home.")[1]["text"] == "He [-go] [+goes] home."
        opened(browser, url)
        assert not browser.find_elements("css selector", "dialog[open]")
        assert browser.execute_script("return Object.keys(localStorage).length + document.cookie.length") == 0
        write(browser, "He go home.")
        browser.execute_script("sessionStorage.clear()")
        browser.find_element("id", "run").click()
        until(browser, "document.querySelector('dialog[open]')")
        browser.find_element("id", "key-cancel").click()
        assert "send the endpoint's key" in answered(browser)[0]["text"]
    browser.get_log("browser")


def test_an_endpoint_that_went_away_is_said_so(browser: Any) -> None:
    with contextlib.ExitStack() as stack:
        opened(browser, stack.enter_context(running(make())))
        stack.close()
        assert "The endpoint does not answer" in rewrite(browser, "Anybody?")[0]["text"]
    browser.get_log("browser")


def differences(browser: Any, url: str, before: str, after: str) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_async_script(
        "const [before, after, done] = arguments; import('./web/diff.js').then(diff => done(diff.difference(before, after)))",
        before,
        after,
    )
    return found


@pytest.mark.parametrize(
    ("before", "after", "marked", "changes"),
    [
        ("He go home.", "He goes home.", "He[- go][+ goes] home.", 1),
        ("a b c", "a b c", "a b c", 0),
        ("a  b\nc", "a b c ", "a b c", 0),
        ("It is it's own.", "It is its own.", "It is[- it's][+ its] own.", 1),
        ("Well, no", "Well no", "Well[-,] no", 1),
        ("one two three four", "zero one two four five", "[+zero] one two[- three] four[+ five]", 3),
        ("", "new words", "[+new words]", 1),
        ("old words", "", "[-old words]", 1),
        ("Été à la mer", "Été à la plage", "Été à la[- mer][+ plage]", 1),
        ("a b c d e f g h", "one two three four five six seven a", "one two three four five six seven a", 1),
    ],
)
def test_words_that_changed_are_marked_and_nothing_else(
    browser: Any, url: str, before: str, after: str, marked: str, changes: int
) -> None:
    opened(browser, url)
    found = differences(browser, url, before, after)
    brackets = {"same": ("", ""), "del": ("[-", "]"), "ins": ("[+", "]")}
    shown = "".join(brackets[piece["kind"]][0] + piece["text"] + brackets[piece["kind"]][1] for piece in found["pieces"])
    assert (shown, found["changes"]) == (marked, changes)
    kept = "".join(piece["text"] for piece in found["pieces"] if piece["kind"] != "del")
    assert kept.split() == after.split()


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Iterator[str]:
    """The page over a real, tiny model, which answers with noise."""
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    loss = ResponseLoss(nll=0.0, tokens=1)
    answerer = Answerer(
        engine=load_engine(base, {}), tokenizer=base.tokenizer, context_length=1024, score=lambda rows, adapter: loss
    )
    with running(make_app(LocalBackend(answerer), Front(model="tiny", adapters=(), scenario=SCENARIO))) as url:
        yield url


def test_a_real_model_answers_and_base_alone_is_said_to_be_alone(browser: Any, tiny: str) -> None:
    opened(browser, tiny)
    assert "serves base alone" in browser.find_element("id", "adapters").text
    (base,) = rewrite(browser, "He go home.")
    assert base["remark"]
    assert base["text"]
    browser.get_log("browser")
