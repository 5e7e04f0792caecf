"""Answers that come in pieces, read by the official client over a real connection from a stepped engine."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import httpx
import jsonschema
import openai
import pytest
from serve.engine import Answerer
from serve.front import BusyError, Front, LocalBackend, make_app
from serve.pieces import RetryError
from serve.service import Delta
from talkative import TEXTS, talkative
from tests.serve.running import running

from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(Task(name="polish", metric="gleu", instructions=Instructions(train=("Polish.",), evaluation=("Make it shine.",))),),
)
FRONT = Front(model="tiny", adapters=(), scenario=SCENARIO)


def answerer_of(tiny, **limits):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(**limits))
    return Answerer(
        engine=engine, tokenizer=tiny.tokenizer, context_length=1024, score=lambda rows, adapter: ResponseLoss(nll=0.0, tokens=1)
    )


@pytest.fixture(scope="module")
def answerer(tiny_model):
    return answerer_of(talkative(tiny_model))


@pytest.fixture(scope="module")
def url(answerer):
    with running(make_app(LocalBackend(answerer), FRONT)) as address:
        yield address


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as connected:
        yield connected


def chat(client, text=TEXTS[0], **changes):
    return client.chat.completions.create(
        **{"model": "base", "messages": [{"role": "user", "content": text}], "max_tokens": 40, **changes}
    )


def test_pieces_of_a_chat_add_up_to_the_answer_that_comes_whole(client):
    for text in TEXTS:
        whole = chat(client, text).choices[0]
        chunks = list(chat(client, text, stream=True))
        deltas = [chunk.choices[0].delta.content or "" for chunk in chunks]
        assert "".join(deltas) == whole.message.content
        assert len([delta for delta in deltas if delta]) > 3
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + [whole.finish_reason]
        assert {(chunk.object, chunk.model, chunk.id) for chunk in chunks} == {("chat.completion.chunk", "base", chunks[0].id)}
        assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_where_it_is_asked_for(client):
    whole = chat(client).usage
    *pieces, last = chat(client, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage == whole
    assert all(piece.usage is None for piece in pieces)


def test_a_stop_ends_a_stream_as_it_ends_a_whole_answer(client):
    text = chat(client).choices[0].message.content
    for stop in (text[10:13], text[20:21], [text[30:36], text[15:19]]):
        whole = chat(client, stop=stop)
        chunks = list(chat(client, stop=stop, stream=True, stream_options={"include_usage": True}))
        told = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert told == whole.choices[0].message.content != text
        assert whole.choices[0].finish_reason == chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage == whole.usage
        assert whole.usage.completion_tokens < 40


def test_prompts_side_by_side_come_by_their_index(client):
    prompts = ["He go home.", "They was", "x"]
    whole = client.completions.create(model="base", prompt=prompts, max_tokens=12)
    told = ["", "", ""]
    reasons = {}
    for chunk in client.completions.create(model="base", prompt=prompts, max_tokens=12, stream=True):
        (choice,) = chunk.choices
        told[choice.index] += choice.text
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert told == [choice.text for choice in whole.choices]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}


def test_a_sampled_stream_is_the_whole_answer_of_its_seed(client):
    settings = {"temperature": 0.8, "top_p": 0.9, "seed": 5}
    whole = chat(client, **settings).choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True, **settings)) == whole


def test_events_are_openais_to_the_letter(url):
    body = {"model": "base", "prompt": "x", "max_tokens": 2, "stream": True}
    answer = httpx.post(f"{url}/v1/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end, rest = answer.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    assert {json.loads(event.removeprefix("data: "))["object"] for event in events} == {"text_completion"}


def described(url, route):
    """What the endpoint's own document says of the JSON in an event."""
    response = httpx.get(f"{url}/openapi.json").json()["paths"][route]["post"]["responses"]["200"]
    end, content = response["content"]["text/event-stream"]["schema"]["properties"]["data"]["anyOf"]
    assert end == {"const": "[DONE]"}
    return content["contentSchema"]


@pytest.mark.parametrize(
    ("route", "asked"),
    [("/v1/completions", {"prompt": "x"}), ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})],
)
def test_every_event_is_as_the_document_says(url, route, asked):
    schema = described(url, route)
    body = {"model": "base", "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}, **asked}
    *events, _, _ = httpx.post(f"{url}{route}", json=body).text.split("\n\n")
    told = [json.loads(event.removeprefix("data: ")) for event in events]
    assert len(told) >= 2
    for event in [*told, {"error": {"message": "broke off", "type": "server_error", "param": None, "code": "retry"}}]:
        jsonschema.validate(event, schema)
    for wrong in ({**told[0], "object": "other"}, {**told[0], "choices": [{"index": 0}]}, {"error": "broke off"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_what_is_wrong_before_the_first_piece_has_a_status_of_its_own(client):
    with pytest.raises(openai.BadRequestError, match="the model holds 1024"):
        chat(client, "x" * 3000, stream=True)
    with pytest.raises(openai.NotFoundError):
        chat(client, model="base:nobody", stream=True)
    with pytest.raises(openai.UnprocessableEntityError, match="leave stream out"):
        client.completions.create(model="base", prompt="x", echo=True, logprobs=1, max_tokens=1, stream=True)


class BreaksOff(LocalBackend):
    """Says something, then fails as it is told to."""

    def __init__(self, error, said=1):
        self.error, self.said = error, said

    async def stream(self, prompt):
        for _ in range(self.said):
            yield Delta(text="He ", prompt_tokens=1, completion_tokens=1)
        raise self.error


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (RetryError("the replica is gone; ask again"), "the replica is gone; ask again", "retry"),
        (ZeroDivisionError("secret"), "the answer broke off; ask again", "retry"),
    ],
)
def test_what_goes_wrong_in_the_middle_is_an_event_that_the_client_raises(error, words, code):
    with (
        running(make_app(BreaksOff(error), FRONT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        told = []
        stream = (told.append(chunk.choices[0].delta.content) for chunk in chat(client, stream=True))
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert told == ["", "He "]
        assert caught.value.message == words
        assert caught.value.code == code


def test_a_busy_engine_is_told_by_status_even_to_a_stream():
    with (
        running(make_app(BreaksOff(BusyError(), said=0), FRONT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        chat(client, stream=True)
    assert int(caught.value.response.headers["Retry-After"]) > 0


def test_a_client_that_goes_away_frees_its_row(tiny_model):
    answerer = answerer_of(talkative(tiny_model), drafts=False)
    batch = answerer.engine.batch
    with (
        running(make_app(LocalBackend(answerer), FRONT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        stream = chat(client, max_tokens=900, stream=True)
        next(iter(stream))
        assert batch.rows == 1
        stream.close()
        until = time.monotonic() + 10
        while not batch.idle and time.monotonic() < until:
            time.sleep(0.01)
        assert batch.idle
        assert batch.counts.decoding_passes < 800


def test_many_streams_of_one_client_share_passes(tiny_model):
    answerer = answerer_of(talkative(tiny_model))
    with (
        running(make_app(LocalBackend(answerer), FRONT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        threads = [threading.Thread(target=lambda text=text: list(chat(client, text, stream=True))) for text in TEXTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts = answerer.engine.batch.counts
    assert counts.decoded_rows > 1.5 * counts.decoding_passes


def test_an_answer_that_takes_too_long_is_given_up_and_its_row_is_freed(tiny_model):
    from serve.engine import Prompt
    from serve.service import LateError, Service

    from mixwright.generate.loop import EngineLoop

    answerer = answerer_of(talkative(tiny_model), drafts=False)
    service = Service.over(answerer, EngineLoop(answerer.engine), timeout_s=0.05)

    async def ask():
        prompt = Prompt(content="x", adapter="base", max_new_tokens=900)
        with pytest.raises(LateError, match="request_timeout_s"):
            await service.complete([prompt])
        with pytest.raises(LateError, match="request_timeout_s"):
            async for _ in service.stream(prompt):
                pass
        while not answerer.engine.batch.idle:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(ask(), 10))
