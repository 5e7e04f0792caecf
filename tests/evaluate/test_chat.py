"""An off-the-shelf model behind an OpenAI-compatible endpoint: asked once a question, whatever the endpoint does."""

from __future__ import annotations

import json
import logging
import socket
from collections import Counter

import pytest
from tests.evaluate.openai_server import KEY, MODEL, Fault, completion, openai_server

from mixwright.errors import ConfigError, RunError, ServeError
from mixwright.evaluate.answer_file import AnswerFile
from mixwright.evaluate.chat import (
    ChatEndpoint,
    ChatSystem,
    Pace,
    check_address,
    key_from_environment,
    price_of,
    system_name,
    usage_lines,
)
from mixwright.evaluate.prices import Price
from mixwright.evaluate.runner import EvaluationRow
from mixwright.evaluate.shots import Shot
from mixwright.records import Example

OPTIONS = {"max_tokens": 30, "temperature": 0}
ROWS = [
    EvaluationRow(
        task="polish",
        instruction="Make it shine.",
        example=Example(id=f"x:{number}", source="x", task="polish", text=f"text {number}", references=("y",)),
    )
    for number in range(12)
]
SOON = {"retry-after-ms": "5"}


@pytest.fixture
def server():
    with openai_server() as running:
        yield running


def endpoint(server, **changes):
    return ChatEndpoint(server.url, changes.pop("model", MODEL), **{"key": KEY, "options": OPTIONS, "retries": 2} | changes)


def system(server, folder, **changes):
    own = {name: changes.pop(name) for name in ("shots", "price") if name in changes}
    return ChatSystem(name="large", endpoint=endpoint(server, **changes), answers=folder / "answers.jsonl", **own)


def ask(server, **changes):
    with endpoint(server, **changes) as asked:
        return asked.ask([{"role": "user", "content": "one"}])


def test_answers_come_in_the_order_of_rows_with_what_they_cost(server, tmp_path):
    done = []
    asked = system(server, tmp_path, price=Price(input=100.0, output=1000.0))
    answered = asked.predict(ROWS, on_progress=done.append)
    assert [item.output for item in answered] == [f"TEXT {number}" for number in range(12)]
    assert {item.system for item in answered} == {"large"}
    assert sum(done) == len(ROWS)
    assert asked.usage == {"requests": 12, "prompt_tokens": 120, "completion_tokens": 48, "usd": pytest.approx(0.06)}
    assert usage_lines("large", asked.usage, 12) == ["large: 12 requests, 120 prompt and 48 completion tokens, 0.0600 USD"]


def test_the_request_is_our_own_prompt_as_one_user_turn(server, tmp_path):
    system(server, tmp_path).predict(ROWS[:1])
    messages = [{"role": "user", "content": "Make it shine.\n\ntext 0"}]
    assert server.requests == [{"model": MODEL, "messages": messages, "max_tokens": 30, "temperature": 0}]
    assert server.keys == [f"Bearer {KEY}"]


def test_shots_stand_before_the_question_as_answered_turns(server, tmp_path):
    asked = system(server, tmp_path, shots={"polish": (Shot(instruction="Buff it.", text="bad", response="good"),)})
    asked.predict(ROWS[:1])
    assert [(turn["role"], turn["content"]) for turn in server.requests[0]["messages"]] == [
        ("user", "Buff it.\n\nbad"),
        ("assistant", "good"),
        ("user", "Make it shine.\n\ntext 0"),
    ]
    assert asked.decoding == {**OPTIONS, "shots": {"polish": 1}}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers=SOON),
        Fault(status=500, headers=SOON),
        Fault(status=503, headers=SOON),
        Fault(cut=True),
        Fault(unannounced=True),
        Fault(body="<html>busy</html>"),
        Fault(body={"choices": []}),
        Fault(body={"choices": [{"message": {}}]}),
        Fault(body=completion(None)),
        Fault(body=[1]),
        Fault(silent_s=0.6),
    ],
    ids=["429", "500", "503", "cut", "half", "html", "no-choices", "no-message", "no-text", "list", "timeout"],
)
def test_a_fault_that_passes_is_asked_again_and_counted(server, fault):
    server.faults = [fault]
    reply = ask(server, timeout_s=0.3)
    assert (reply.output, reply.requests) == ("ONE", 2)
    assert len(server.requests) == 2


def test_retry_after_is_waited_for(server, caplog):
    server.faults = [Fault(status=429, headers={"retry-after": "0.25"})]
    with caplog.at_level(logging.INFO, logger="openai"):
        ask(server)
    assert "Retrying request in 0.250000 seconds" in caplog.text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=429, headers=SOON), r"429 - no luck; what was answered is kept, run again to go on"),
        (Fault(status=500, headers=SOON), r"500 - no luck; what was answered is kept, run again to go on"),
        (Fault(silent_s=0.3), r"no answer after 2 tries \(.*timed out\); what was answered is kept"),
        (Fault(cut=True), r"no answer after 2 tries \(peer closed connection.*\); what was answered is kept"),
        (Fault(body="nonsense"), r"answered 8 bytes that are no whole chat completion: nonsense; asked 3 times"),
        (Fault(unannounced=True), r"no whole chat completion: \{\"id\".*; asked 3 times"),
        (
            Fault(status=400, body={"error": {"message": "max_tokens is too large"}}),
            r"400 - max_tokens is too large; options are set",
        ),
    ],
    ids=["429", "500", "timeout", "cut", "garbage", "half", "400"],
)
def test_a_fault_that_stays_is_one_clear_line(server, fault, words):
    server.fault_for = lambda body: fault
    with pytest.raises(ServeError, match=words) as caught:
        ask(server, retries=1, timeout_s=0.1 if fault.silent_s else 10.0)
    assert str(caught.value).startswith(f"{server.url}: {MODEL}: ")
    assert "\n" not in str(caught.value)


def test_a_wait_beyond_reason_is_an_error_at_once(server):
    server.fault_for = lambda body: Fault(status=429, headers={"retry-after": "4000"})
    with pytest.raises(ServeError, match="429"):
        ask(server)
    assert len(server.requests) == 1


def test_a_wrong_key_is_told_and_never_shown(server):
    with pytest.raises(ServeError, match=r"refuses the key \(.*Incorrect API key provided: Bearer \*\*\*") as caught:
        ask(server, key="sk-wrong-key")
    assert "sk-wrong" not in str(caught.value)


def test_an_unknown_model_is_told_with_the_way_out(server):
    with pytest.raises(ServeError, match=r"The model `huge` does not exist\); check --openai-model, and that --openai-url ends"):
        ask(server, model="huge")
    assert len(server.requests) == 1


def test_an_endpoint_that_is_not_there_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with (
        ChatEndpoint(url, MODEL, key=KEY, options={}, retries=0) as asked,
        pytest.raises(ServeError, match="no answer after 1 tries"),
    ):
        asked.ask([{"role": "user", "content": "one"}])


@pytest.mark.parametrize(
    ("body", "output", "kind", "words"),
    [
        (completion("half a sen", "length"), "half a sen", "truncated", "3 of 3 answers cut at the token limit"),
        (completion(None, "length"), "", "truncated", "3 of 3 answers cut at the token limit"),
        (completion(None, refusal="I cannot."), "I cannot.", "refused", "3 of 3 answers refusals of the model"),
        (completion(None, "content_filter"), "", "filtered", "3 of 3 answers held back by the endpoint's content filter"),
        (completion(""), "", "empty", "3 of 3 answers empty"),
    ],
    ids=["cut", "cut-before-any-text", "refusal", "filter", "empty"],
)
def test_an_answer_that_is_no_plain_one_is_scored_as_it_stands_and_told(server, tmp_path, body, output, kind, words):
    server.fault_for = lambda request: Fault(body=body)
    asked = system(server, tmp_path)
    assert [item.output for item in asked.predict(ROWS[:3])] == [output] * 3
    assert asked.usage[kind] == 3
    assert words in "\n".join(usage_lines("large", asked.usage, 3))


def test_tokens_that_the_endpoint_does_not_count_are_not_priced(server, tmp_path):
    server.fault_for = lambda body: Fault(body=completion("x", usage=None))
    asked = system(server, tmp_path, price=Price(input=1.0, output=1.0))
    asked.predict(ROWS[:2])
    assert asked.usage == {"requests": 2}
    assert usage_lines("large", asked.usage, 2) == [
        "large: 2 requests, tokens unknown, the endpoint did not count them, no price known"
    ]


def fails_on(text):
    return lambda body: Fault(status=400) if body["messages"][-1]["content"].endswith(text) else None


def test_what_was_answered_before_a_failure_is_not_asked_again(server, tmp_path):
    server.fault_for = fails_on("text 7")
    with pytest.raises(ServeError, match="400"):
        system(server, tmp_path).predict(ROWS, concurrency=2)
    before = [question for question in server.questions if not question.endswith("text 7")]
    server.fault_for = lambda body: None
    asked = system(server, tmp_path)
    answered = asked.predict(ROWS)
    assert [item.output for item in answered] == [f"TEXT {number}" for number in range(12)]
    assert len(before) >= 7
    assert Counter(server.questions) == {f"Make it shine.\n\ntext {number}": 2 if number == 7 else 1 for number in range(12)}
    assert asked.usage["requests"] == 12


def test_a_finished_evaluation_asks_nothing_again(server, tmp_path, caplog):
    first = system(server, tmp_path).predict(ROWS)
    with caplog.at_level(logging.INFO):
        assert system(server, tmp_path).predict(ROWS) == first
    assert len(server.requests) == len(ROWS)
    assert "large: 12 of 12 answers are in" in caplog.text


def test_half_a_last_line_is_dropped_and_that_question_asked_again(server, tmp_path):
    system(server, tmp_path).predict(ROWS[:3])
    path = tmp_path / "answers.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert [item.output for item in system(server, tmp_path).predict(ROWS[:3])] == ["TEXT 0", "TEXT 1", "TEXT 2"]
    assert len(server.requests) == 4
    assert [json.loads(line)["reply"]["finish"] for line in path.read_text().splitlines()] == ["stop"] * 3


def test_another_model_option_or_shot_is_another_question(server, tmp_path):
    system(server, tmp_path).predict(ROWS[:1])
    system(server, tmp_path, options={**OPTIONS, "max_tokens": 31}).predict(ROWS[:1])
    system(server, tmp_path, shots={"polish": (Shot(instruction="Buff it.", text="bad", response="good"),)}).predict(ROWS[:1])
    assert len(server.requests) == 3


def test_rows_that_ask_the_same_share_one_answer(server, tmp_path):
    done = []
    asked = system(server, tmp_path)
    answered = asked.predict([*ROWS[:2], *ROWS[:2]], on_progress=done.append)
    assert [item.output for item in answered] == ["TEXT 0", "TEXT 1"] * 2
    assert (len(server.requests), sum(done), asked.usage["requests"]) == (2, 4, 2)


def test_one_evaluation_at_a_time_writes_to_an_answer_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerFile(path), pytest.raises(RunError, match="another evaluation is writing to it"):
        AnswerFile(path)
    with AnswerFile(path):
        pass


def test_the_key_is_in_no_file_and_no_log(server, tmp_path, caplog):
    server.faults = [Fault(status=500, headers=SOON), Fault(body=f"you sent Bearer {KEY}")]
    with caplog.at_level(logging.DEBUG):
        system(server, tmp_path).predict(ROWS[:2])
    assert KEY not in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text()] == []


def test_requests_keep_an_even_pace():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(120, clock=lambda: now[0], sleep=sleep)
    for _ in range(4):
        pace.wait()
    now[0] += 60.0
    pace.wait()
    assert slept == [0.0, 0.5, 0.5, 0.5, 0.0]
    with pytest.raises(ConfigError, match="--requests-per-minute: must be above 0, got 0"):
        Pace(0)


def test_retries_keep_the_pace_too(server):
    server.faults = [Fault(status=500, headers=SOON)] * 2
    waits = []
    with endpoint(server, requests_per_minute=60_000) as asked:
        asked._pace.wait = lambda: waits.append(1)
        asked.ask([{"role": "user", "content": "one"}])
    assert len(waits) == 3


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_key_that_is_not_set_names_its_variable(monkeypatch, value):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ConfigError, match="the environment variable MY_KEY is not set; set it to the endpoint's key"):
        key_from_environment("MY_KEY")


def test_a_key_that_no_header_can_hold_is_refused_unshown(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-1\nsk-2")
    with pytest.raises(ConfigError, match="MY_KEY must hold plain ASCII") as caught:
        key_from_environment("MY_KEY")
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="is no http address"):
        check_address(url)


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "http://host/v1?api-key=secret"])
def test_an_address_that_holds_a_key_is_refused_unshown(url):
    with pytest.raises(ConfigError, match="must hold no user, password or query") as caught:
        check_address(url)
    assert "secret" not in str(caught.value)


def test_what_the_evaluation_itself_says_cannot_be_set(server):
    with pytest.raises(ConfigError, match="--openai-set: messages, n cannot be set"):
        endpoint(server, options={"n": 2, "messages": []})


def test_a_row_is_named_after_model_and_shots():
    assert system_name("gpt-4o", 0) == "gpt-4o"
    assert system_name("meta-llama/Llama-3.1:70b", 4) == "meta-llama_Llama-3.1_70b-4shot"
    for taken in ("base", "human", "best"):
        with pytest.raises(ConfigError, match=f"the row '{taken}' stands in the table already; give another name"):
            system_name(taken, 0, ["best"])


def test_a_model_without_a_price_has_no_cost_and_that_is_said(tmp_path, caplog):
    prices = {"gpt-4o": Price(input=1.0, output=2.0)}
    assert price_of(prices, "gpt-4o", tmp_path / "prices.yaml") == prices["gpt-4o"]
    assert price_of(prices, "gpt-4", tmp_path / "prices.yaml") is None
    assert "no price for 'gpt-4', so its cost is left out; did you mean 'gpt-4o'?" in caplog.text
