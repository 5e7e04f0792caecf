"""An evaluation over HTTP: the same records as locally, whatever the network does on the way."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app

from mixwright.config import EvaluationConfig
from mixwright.decoding import Decoding
from mixwright.errors import ServeError
from mixwright.evaluate.client import EndpointClient, evaluate_over_http
from mixwright.evaluate.retention import ResponseLoss
from mixwright.evaluate.runner import copy_predictions, evaluation_rows, predict
from mixwright.evaluate.systems import Questions, evaluate_systems
from mixwright.evaluate.tables import table_lines
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.records import Example, Prediction, SystemRecord, from_json, read_jsonl, to_json
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(
        Task(
            name="polish", metric="gleu", instructions=Instructions(train=("Polish.",), evaluation=("Make it shine.", "Buff it."))
        ),
        Task(name="reword", metric="sari", seen=False, instructions=Instructions(train=("Reword.",), evaluation=("Say it anew.",))),
    ),
)
EXAMPLES = {
    task: [
        Example(
            id=f"{task}:{number}",
            source="made_up",
            task=task,
            text=f"The {number} dogs was running over the {'long ' * (number % 4)}hill.",
            references=(f"The {number} dogs were running over the hill.",),
        )
        for number in range(30)
    ]
    for task in ("polish", "reword")
}
GENERIC = [
    Example(id=f"g:{n}", source="g", task="generic", instruction="Say it.", text="", references=("x" * n,)) for n in range(1, 41)
]
ROWS = evaluation_rows(SCENARIO, EXAMPLES, rows=25, seed=1)
FRONT = Front(model="embedded", adapters=("formal",), scenario=SCENARIO)


def longer_is_worse(rows, adapter):
    """Each token of a response costs as many nats as the response has tokens."""
    lengths = [len(row.token_ids) - row.prompt_length for row in rows]
    return ResponseLoss(nll=sum(n * n for n in lengths) / sum(lengths) + (adapter == "formal"), tokens=sum(lengths))


@pytest.fixture(scope="module")
def url():
    """An endpoint without Ray on a free port, answering in a thread."""
    engine = EchoEngine(["formal"])
    answerer = Answerer(engine=engine, tokenizer=CharacterTokenizer(), context_length=5000, score=longer_is_worse)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(make_app(LocalBackend(answerer), FRONT), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("system", ["base", "formal"])
def test_http_gives_the_records_that_the_engine_gives(url, system):
    done = []
    with EndpointClient(url) as client:
        answered = evaluate_over_http(client, ROWS, system, max_new_tokens=80, on_progress=done.append)
    assert answered == predict(EchoEngine(["formal"]), CharacterTokenizer(), ROWS, system, 80)
    assert sum(done) == len(ROWS)


def test_how_a_system_answers_is_its_own_and_stands_in_its_records(url, tmp_path):
    questions = Questions(
        scenario=SCENARIO,
        split="dev",
        rows=ROWS,
        generic=(),
        max_new_tokens=80,
        draws=100,
        seed=0,
        interesting_difference=3.0,
        decoding=Decoding(repetition_penalty=1.1),
        own={"formal": EvaluationConfig(max_new_tokens=6, decoding=Decoding(num_beams=3))},
    )
    with EndpointClient(url) as client:
        copy, base, formal = evaluate_systems(client, questions, ["base", "formal"], tmp_path)
    assert copy.decoding == {}
    assert base.decoding == {"strategy": "greedy", "max_new_tokens": 80, "repetition_penalty": 1.1}
    assert formal.decoding == Decoding(num_beams=3).record(6)
    answers = read_jsonl(tmp_path / "predictions" / "dev-formal.jsonl", Prediction)
    assert {(len(answer.output) <= 6, answer.decoding["num_beams"]) for answer in answers} == {(True, 3)}


def test_nll_over_several_requests_weighs_tokens(url):
    with EndpointClient(url) as client:
        loss = client.nll(GENERIC, adapter="base")
    first, second = longer_is_worse_of(GENERIC[:32]), longer_is_worse_of(GENERIC[32:])
    assert loss.tokens == first.tokens + second.tokens == sum(n + 1 for n in range(1, 41))
    assert loss.nll == pytest.approx((first.nll * first.tokens + second.nll * second.tokens) / loss.tokens)


def longer_is_worse_of(rows):
    lengths = [len(row.references[0]) + 1 for row in rows]
    return ResponseLoss(nll=sum(n * n for n in lengths) / sum(lengths), tokens=sum(lengths))


def make_questions(rows=ROWS, generic=()):
    return Questions(
        scenario=SCENARIO,
        split="dev",
        rows=rows,
        generic=generic,
        max_new_tokens=80,
        draws=100,
        seed=0,
        interesting_difference=3.0,
    )


def test_systems_are_scored_beside_the_copy_and_against_base(url, tmp_path):
    questions = make_questions(generic=GENERIC[:5])
    with EndpointClient(url) as client:
        records = evaluate_systems(client, questions, ["base", "formal"], tmp_path)
    copy, base, formal = records
    assert [record.name for record in records] == ["copy", "base", "formal"]
    assert [score.value for score in copy.scores] == [score.value for score in base.scores]
    assert base.differences == ()
    assert [item.task for item in formal.differences] == ["polish", "reword", "mean of seen", "mean of unseen"]
    assert [item.task for item in formal.power] == [item.task for item in formal.differences]
    assert all(item.p_corrected >= item.p_value for item in formal.differences)
    assert {item.interesting for item in formal.power} == {3.0}
    assert base.power == ()
    assert (base.retention, formal.retention) == (0.0, -1.0)
    assert read_jsonl(tmp_path / "predictions" / "dev-copy.jsonl", Prediction) == copy_predictions(ROWS)
    assert len(read_jsonl(tmp_path / "predictions" / "dev-formal.jsonl", Prediction)) == len(ROWS)
    lines = table_lines(records)
    assert lines[0].split() == ["task", "metric", "n", "copy", "base", "formal"]
    assert lines[1].startswith("polish")
    assert lines[2].startswith("reword (unseen)")
    heads = [line.split("  ")[0] for line in lines]
    compared = heads[heads.index("formal - base") :]
    assert compared[:5] == ["formal - base", "polish", "reword", "mean of seen", "mean of unseen"]
    assert "copy - base" in heads
    assert lines[-1] == "formal retention: -1.000 nats a token against base (0: nothing lost)"


def test_tasks_with_several_references_bring_a_human_row(url, tmp_path):
    several = [
        dataclasses.replace(
            row, example=dataclasses.replace(row.example, references=(*row.example.references, "The dogs ran over the hill."))
        )
        if row.task == "polish"
        else row
        for row in ROWS
    ]
    with EndpointClient(url) as client:
        records = evaluate_systems(client, make_questions(several), ["base", "formal"], tmp_path)
    assert [record.name for record in records] == ["copy", "human", "base", "formal"]
    assert [score.task for score in records[1].scores] == ["polish"]
    assert records[1].differences == ()
    assert " - " in table_lines(records)[2]
    assert from_json(SystemRecord, json.loads(json.dumps(to_json(records[3])))) == records[3]


def test_an_adapter_that_is_not_served_is_refused_before_anything_is_asked(url, tmp_path):
    questions = make_questions()
    with (
        EndpointClient(url) as client,
        pytest.raises(ServeError, match="no adapter 'formla'; it serves base, formal; did you mean"),
    ):
        evaluate_systems(client, questions, ["formla"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_comes_back_in_the_endpoints_words(url):
    with EndpointClient(url) as client, pytest.raises(ServeError, match=r"unknown task 'polsh'.*did you mean 'polish'"):
        client.rewrite("polsh", ["x"], adapter="base", instruction="x", max_new_tokens=5)


class Flaky:
    """Fails in turn as told, then answers."""

    def __init__(self, *faults):
        self.faults = list(faults)
        self.calls = 0

    def __call__(self, request):
        self.calls += 1
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, httpx.Response):
            return fault
        if isinstance(fault, int):
            return httpx.Response(fault, json={"error": {"message": "busy", "type": "unavailable"}})
        if fault:
            raise fault
        return httpx.Response(200, json={"outputs": [text.upper() for text in json.loads(request.content)["texts"]]})


def ask(flaky, tries=4):
    with EndpointClient("http://nowhere", tries=tries, first_wait_s=0.001, transport=httpx.MockTransport(flaky)) as client:
        return client.rewrite("polish", ["a", "b"], adapter="base", instruction="x", max_new_tokens=5)


def test_connection_faults_and_busy_answers_are_asked_again():
    flaky = Flaky(httpx.ConnectError("refused"), 503, httpx.ReadError("reset"), 429)
    assert ask(flaky, tries=5) == ["A", "B"]
    assert flaky.calls == 5


def test_the_wait_that_a_busy_endpoint_names_is_kept(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    headers = [{"Retry-After": "7"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {"Retry-After": "99999"}]
    assert ask(Flaky(*(httpx.Response(429, headers=header) for header in headers))) == ["A", "B"]
    assert waits == [7.0, pytest.approx(0.002), 60.0]


@pytest.mark.parametrize(("given", "sent"), [(None, "Bearer from-outside"), ("mine", "Bearer mine"), ("", None)])
def test_the_key_is_that_of_the_environment_unless_one_is_given(monkeypatch, given, sent):
    monkeypatch.setenv("MIXWRIGHT_API_KEY", "from-outside")
    seen = []

    def answer(request):
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(200, json={"status": "ok", "run_dir": ""})

    with EndpointClient("http://nowhere", key=given, transport=httpx.MockTransport(answer)) as client:
        client.health()
    assert seen == [sent]


def test_an_application_that_is_still_starting_is_asked_again():
    flaky = Flaky(httpx.Response(404, text="Path '/v1/rewrite' not found. Ping http://.../-/routes for available routes."))
    assert ask(flaky) == ["A", "B"]


def test_a_refusal_is_not_asked_again():
    flaky = Flaky(400)
    with pytest.raises(ServeError, match="busy"):
        ask(flaky)
    assert flaky.calls == 1


def test_an_endpoint_that_stays_away_is_named_with_the_way_out():
    with pytest.raises(ServeError, match=r"http://nowhere: no answer after 2 tries \(refused\); start it with `serve run"):
        ask(Flaky(*[httpx.ConnectError("refused")] * 2), tries=2)


def test_something_else_on_that_port_is_told_apart():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>hello</html>"))
    with (
        EndpointClient("http://nowhere", transport=transport) as client,
        pytest.raises(ServeError, match="not the answer of a Mixwright"),
    ):
        client.health()


def test_an_address_without_a_protocol_is_refused_at_once():
    with EndpointClient("localhost:8000") as client, pytest.raises(ServeError, match="no address of an endpoint"):
        client.health()


def test_one_failed_request_ends_the_evaluation():
    flaky = Flaky(*[400] * 100)
    with (
        EndpointClient("http://nowhere", transport=httpx.MockTransport(flaky)) as client,
        pytest.raises(ServeError, match="busy"),
    ):
        evaluate_over_http(client, ROWS, "base", max_new_tokens=5, concurrency=1)
