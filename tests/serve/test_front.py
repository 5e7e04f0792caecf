"""The HTTP interface, over an engine whose answers are known and without Ray."""

from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient
from serve.engine import Answerer
from serve.errors import AwayError, BusyError
from serve.front import Front, LocalBackend, make_app
from serve.schema import MAX_TEXTS

from mixwright.decoding import GREEDY, Decoding
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(
        Task(name="polish", metric="gleu", instructions=Instructions(train=("Polish.", "Buff."), evaluation=("Make it shine.",))),
        Task(name="shorten", metric="sari", instructions=Instructions(train=("Shorten.",), evaluation=("Trim it.",))),
    ),
)
FRONT = Front(model="embedded", adapters=("formal", "plain"), scenario=SCENARIO, run_dir="/runs/one")


def response_characters(rows, adapter):
    """A made-up NLL that shows which rows and adapter arrived."""
    return ResponseLoss(nll=float(len(adapter)), tokens=sum(len(row.token_ids) - row.prompt_length for row in rows))


@pytest.fixture
def engine():
    return EchoEngine(["formal", "plain"])


@pytest.fixture
def client(engine):
    answerer = Answerer(engine=engine, tokenizer=CharacterTokenizer(), context_length=2000, score=response_characters)
    return TestClient(make_app(LocalBackend(answerer), FRONT))


def rewrite(client, **body):
    return client.post("/v1/rewrite", json={"task": "polish", "texts": ["one", "two"], **body})


def refusal(answer):
    return answer.status_code, answer.json()["error"]["message"]


def test_health_names_what_is_served(client):
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "model": "embedded", "scenario": "made_up", "run_dir": "/runs/one"}


def test_models_are_base_and_each_adapter_in_openais_shape(client):
    answer = client.get("/v1/models").json()
    assert answer["object"] == "list"
    assert [card["id"] for card in answer["data"]] == ["base", "base:formal", "base:plain"]
    assert {card["object"] for card in answer["data"]} == {"model"}


def test_texts_come_back_in_order_from_the_adapter_that_was_asked(client):
    assert rewrite(client).json() == {"outputs": ["one", "two"], "model": "base", "task": "polish"}
    assert rewrite(client, adapter="plain").json() == {
        "outputs": ["plain: one", "plain: two"],
        "model": "base:plain",
        "task": "polish",
    }


def test_the_instruction_is_the_callers_or_a_wording_of_the_task_that_was_trained(client, engine):
    rewrite(client)
    rewrite(client, instruction="Write it anew.")
    prompts = [CharacterTokenizer().decode(batch[0].prompt_ids) for batch in engine.batches]
    assert "### Instruction:\nPolish.\n" in prompts[0]
    assert "### Instruction:\nWrite it anew.\n" in prompts[1]


def test_the_limit_of_new_tokens_is_passed_on(client):
    assert rewrite(client, max_new_tokens=2).json()["outputs"] == ["on", "tw"]


@pytest.mark.parametrize("sent", [{"temperature": 0.7, "top_p": 0.9}, "temperature=0.7,top_p=0.9"])
def test_decoding_is_passed_on_and_greedy_where_it_is_left_out(client, engine, sent):
    rewrite(client)
    rewrite(client, decoding=sent)
    assert [batch[0].decoding for batch in engine.batches] == [GREEDY, Decoding(temperature=0.7, top_p=0.9)]


def test_nll_passes_rows_and_adapter_on(client):
    rows = [{"instruction": "Say it.", "response": "four"}, {"instruction": "Say it.", "text": "x", "response": "sixsix"}]
    answer = client.post("/v1/nll", json={"rows": rows, "adapter": "formal"})
    assert answer.json() == {"nll": 6.0, "tokens": 4 + 6 + 2, "model": "base:formal"}


def test_an_unknown_task_names_the_nearest(client):
    assert refusal(rewrite(client, task="polsh")) == (
        404,
        "task: unknown task 'polsh'; the scenario has polish, shorten; did you mean 'polish'?",
    )


@pytest.mark.parametrize("path", ["/v1/rewrite", "/v1/nll"])
def test_an_unknown_adapter_is_not_found(client, path):
    body = {"task": "polish", "texts": ["x"]} if path == "/v1/rewrite" else {"rows": [{"instruction": "a", "response": "b"}]}
    status, message = refusal(client.post(path, json={**body, "adapter": "formla"}))
    assert (status, message) == (404, "adapter: no adapter 'formla'; there are base, formal, plain; did you mean 'formal'?")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"texts": []}, "texts: "),
        ({"texts": ["x"] * (MAX_TEXTS + 1)}, f"at most {MAX_TEXTS}"),
        ({"texts": "x"}, "texts: "),
        ({"texts": ["x", 3]}, "texts.1: "),
        ({"max_new_tokens": 0}, "max_new_tokens: "),
        ({"decoding": {"num_beams": 99}}, "decoding.num_beams: input should be less than or equal to 16"),
        ({"decoding": {"top_p": 0.9}}, "decoding: top_p 0.9 would be ignored, since this is greedy; give a temperature above 0"),
        ({"decoding": {"temprature": 0.9}}, "unknown key `decoding.temprature`; did you mean 'temperature'?"),
        ({"adaptor": "base"}, "unknown key `adaptor`; did you mean 'adapter'?"),
    ],
)
def test_a_body_that_breaks_a_rule_is_told_which(client, engine, body, words):
    status, message = refusal(rewrite(client, **body))
    assert status == 422
    assert words in message
    assert engine.batches == []


@pytest.mark.parametrize("body", ["{", "", "nonsense"])
def test_a_body_that_is_not_json_is_told_so(client, body):
    status, message = refusal(client.post("/v1/rewrite", content=body, headers={"Content-Type": "application/json"}))
    assert status == 422
    assert "JSON" in message or "required" in message


def test_a_text_longer_than_the_models_context_is_refused(client):
    status, message = refusal(rewrite(client, texts=["x" * 3000]))
    assert status == 400
    assert "the model holds 2000" in message


def test_an_unknown_path_and_a_wrong_method_are_json_too(client):
    assert refusal(client.get("/v1/rewrit"))[0] == 404
    assert refusal(client.get("/v1/rewrite"))[0] == 405


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (BusyError(), 429, "the endpoint is busy; ask again in some seconds"),
        (AwayError(), 503, "the engine is starting again; ask again in some seconds"),
        (AwayError("the engine is on holiday"), 503, "the engine is on holiday"),
    ],
)
def test_what_may_pass_asks_to_come_back_and_says_when(fault, status, message):
    class Failing(LocalBackend):
        def __init__(self):
            pass

        async def answer(self, questions):
            raise fault

    answer = rewrite(TestClient(make_app(Failing(), FRONT)))
    assert refusal(answer) == (status, message)
    assert int(answer.headers["Retry-After"]) > 0


def test_health_is_unavailable_until_the_engine_is_ready():
    class Loading(LocalBackend):
        def __init__(self):
            pass

        async def ready(self):
            await asyncio.sleep(60)

    client = TestClient(make_app(Loading(), FRONT, ready_timeout_s=0.01))
    status, message = refusal(client.get("/healthz"))
    assert (status, message) == (503, "the engine is not ready yet; ask again in some seconds")
