"""Evaluations over an engine whose answers are known: what is asked, what is kept, and what survives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import httpx
import pytest
from serve.adapters import AdapterStore
from serve.engine import Answerer
from serve.errors import AwayError, BusyError, RefusedError
from serve.evaluations.evaluator import MAX_OPEN, Evaluator
from serve.evaluations.folder import Store
from serve.evaluations.plan import Planner
from serve.evaluations.shapes import EvaluationRequest
from serve.front import Front, LocalBackend, make_app

from mixwright.config import DataConfig, EvaluationConfig, SourceConfig, SweepConfig
from mixwright.errors import ModelError
from mixwright.evaluate.retention import ResponseLoss
from mixwright.evaluate.runner import evaluation_rows, predict, score_predictions
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.models import COMPLETE
from mixwright.records import Prediction, from_json
from mixwright.scenarios import load_scenario

SCENARIO = load_scenario("writing")
TASKS = ("clarity", "fluency", "paraphrasing")
CONFIG = SweepConfig(
    name="small",
    data=DataConfig(sources=(SourceConfig(name="embedded", format="embedded", rows=40),)),
    evaluation=EvaluationConfig(dev_rows=6, test_rows=5, max_new_tokens=300, bootstrap_draws=100),
)
ROWS = 4
REQUEST = {"tasks": TASKS, "limit": ROWS, "adapters": ("base", "formal")}
ALL = len(TASKS) * ROWS * 2


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """One for all tests, since the data are read once; a test gives it adapters of its own."""
    made = Planner(CONFIG, SCENARIO, {"model": "echo"}, AdapterStore(None))
    made.plan(EvaluationRequest(adapters=("base",)))
    return made


@pytest.fixture
def formal(planner, tmp_path):
    """The folder of an adapter."""
    folder = tmp_path / "adapters" / "formal"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"formal")
    (folder / COMPLETE).touch()
    planner._adapters = AdapterStore(folder.parent)
    return folder


class Backend(LocalBackend):
    """Counts what it is asked, and does first what a test has it do."""

    def __init__(self, before=None):
        def score(rows, adapter):
            return ResponseLoss(nll=0.0, tokens=1)

        engine = EchoEngine(["formal"])
        super().__init__(Answerer(engine=engine, tokenizer=CharacterTokenizer(), context_length=5000, score=score))
        self.asked, self.under_way, self.most_under_way = Counter(), 0, 0
        self._before = before

    async def answer(self, questions):
        (question,) = questions
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self._before:
                await self._before(self)
            (output,) = self._service.answerer.engine.generate([self._service.answerer.request(question)])
            self.asked[question.adapter, question.instruction, question.text] += 1
            return [output]
        finally:
            self.under_way -= 1


@pytest.fixture
def evaluator(planner, formal, tmp_path):
    def make(backend, *, concurrency=3):
        return Evaluator(Store(tmp_path / "evaluations"), planner, SCENARIO, backend, concurrency=concurrency)

    return make


@contextlib.asynccontextmanager
async def working(evaluator):
    """The evaluator at work; leaving the block ends it as a kill would, between two awaits."""
    task = asyncio.create_task(evaluator.work())
    try:
        yield evaluator
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ended(evaluator, evaluation_id):
    while (found := await evaluator.get(evaluation_id)).status in ("queued", "running"):
        await asyncio.sleep(0.005)
    return found


async def evaluated(evaluator, **changes):
    """The evaluation that was asked for, at its end."""
    async with working(evaluator):
        created = await evaluator.create(EvaluationRequest(**{**REQUEST, **changes}))
        return await ended(evaluator, created.id)


async def predictions_of(evaluator, evaluation_id):
    text = "".join([chunk async for chunk in evaluator.predictions(evaluation_id)])
    return [from_json(Prediction, json.loads(line)) for line in text.splitlines()]


async def until_asked(backend, count):
    while backend.asked.total() < count:
        await asyncio.sleep(0.005)


def test_scores_are_those_of_the_report(evaluator, planner):
    backend = Backend()
    one = evaluator(backend)

    async def run():
        found = await evaluated(one)
        return found, await predictions_of(one, found.id)

    found, predictions = asyncio.run(run())
    assert (found.status, found.progress.done, found.progress.total) == ("completed", ALL, ALL)
    examples = {task: planner._examples["dev"][task] for task in TASKS}
    rows = evaluation_rows(SCENARIO, examples, rows=ROWS, seed=CONFIG.search.seed)
    for system in ("base", "formal"):
        expected = predict(EchoEngine(["formal"]), CharacterTokenizer(), rows, system, CONFIG.evaluation.max_new_tokens)
        mine = [item for item in predictions if item.system == system]
        assert sorted(mine, key=lambda item: (item.task, item.example_id)) == sorted(
            expected, key=lambda item: (item.task, item.example_id)
        )
        scores = score_predictions(SCENARIO, expected, "dev", draws=100, seed=CONFIG.search.seed)
        assert [(score.task, score.metric, score.seen, score.value, score.low, score.high, score.n) for score in scores] == [
            (score.task, score.metric, score.seen, score.value, score.low, score.high, score.rows)
            for score in found.scores
            if score.adapter == system
        ]
        means = found.summary[system]
        seen = [score.value for score in scores if score.seen]
        assert means.seen.value == pytest.approx(sum(seen) / len(seen))
        assert means.seen.low <= means.seen.value <= means.seen.high
        assert means.unseen.value == pytest.approx(next(score.value for score in scores if not score.seen))


def test_what_is_left_out_is_as_the_runs_configuration_says(evaluator):
    found = asyncio.run(evaluated(evaluator(Backend()), tasks="all", limit=None, split="test", adapters=("base",)))
    assert (found.request.limit, found.request.max_new_tokens) == (5, 300)
    assert found.request.tasks == [task.name for task in SCENARIO.tasks]
    assert found.progress.total == 5 * len(SCENARIO.tasks)


def test_the_same_request_is_the_same_evaluation_and_asks_nothing(evaluator):
    backend = Backend()
    one = asyncio.run(evaluated(evaluator(backend)))
    again = asyncio.run(evaluated(evaluator(backend), tasks=tuple(reversed(TASKS)), decoding="greedy"))
    assert again == one
    assert backend.asked.total() == ALL


def test_a_larger_evaluation_asks_only_what_is_new(evaluator):
    backend = Backend()
    asyncio.run(evaluated(evaluator(backend)))
    larger = asyncio.run(evaluated(evaluator(backend), limit=ROWS + 2))
    assert larger.progress.total == len(TASKS) * (ROWS + 2) * 2
    assert backend.asked.total() == larger.progress.total
    assert set(backend.asked.values()) == {1}


@pytest.mark.parametrize("changes", [{"max_new_tokens": 20}, {"decoding": "temperature=0.7"}])
def test_answers_of_another_decoding_are_not_taken(evaluator, changes):
    backend = Backend()
    one = asyncio.run(evaluated(evaluator(backend)))
    other = asyncio.run(evaluated(evaluator(backend), **changes))
    assert other.id != one.id
    assert backend.asked.total() == 2 * ALL


def test_an_adapter_of_other_contents_is_asked_anew_and_base_is_not(evaluator, formal):
    backend = Backend()
    one = asyncio.run(evaluated(evaluator(backend)))
    (formal / "adapter_model.safetensors").write_bytes(b"another")
    other = asyncio.run(evaluated(evaluator(backend)))
    assert other.id != one.id
    assert Counter(adapter for adapter, _, _ in backend.asked.elements()) == {"base": ALL // 2, "formal": ALL}


def test_an_adapter_that_changes_under_way_fails_the_evaluation(evaluator, formal):
    async def change(backend):
        (formal / "adapter_model.safetensors").write_bytes(b"another")

    found = asyncio.run(evaluated(evaluator(Backend(change))))
    assert found.status == "failed"
    assert "adapter 'formal' has other contents than when the evaluation was asked for; ask again" in found.error.message


def test_after_a_death_only_what_is_missing_is_asked(evaluator, tmp_path):
    async def stuck_after_ten(backend):
        if backend.asked.total() >= 10:
            await asyncio.sleep(60)

    dying, living = Backend(stuck_after_ten), Backend()

    async def run():
        one = evaluator(dying)
        async with working(one):
            created = await one.create(EvaluationRequest(**REQUEST))
            await until_asked(dying, 10)
            while (await one.get(created.id)).progress.done < 10:
                await asyncio.sleep(0.005)
        with (tmp_path / "evaluations" / created.id / "predictions.jsonl").open("a") as file:
            file.write('{"example_id": "torn')
        two = evaluator(living)
        async with working(two):
            return await ended(two, created.id), await predictions_of(two, created.id)

    found, predictions = asyncio.run(run())
    assert found.status == "completed"
    assert len(predictions) == len({(item.system, item.task, item.example_id) for item in predictions}) == ALL
    assert living.asked.total() == ALL - 10
    assert not dying.asked.keys() & living.asked.keys()
    fresh = asyncio.run(evaluated(evaluator(Backend())))
    assert fresh.scores == found.scores
    assert len(found.scores) == 2 * len(TASKS)


def test_a_cancelled_evaluation_keeps_its_answers_and_goes_on_when_asked_again(evaluator, monkeypatch):
    monkeypatch.setattr("serve.evaluations.evaluator.LOOK_S", 0.02)

    async def stuck_after_five(backend):
        if backend.asked.total() >= 5:
            await asyncio.sleep(60)

    slow, quick = Backend(stuck_after_five), Backend()

    async def run():
        one = evaluator(slow)
        async with working(one):
            created = await one.create(EvaluationRequest(**REQUEST))
            await until_asked(slow, 5)
            cancelled = await one.cancel(created.id)
            while slow.under_way:
                await asyncio.sleep(0.005)
            assert (await one.get(created.id)).status == cancelled.status == "cancelled"
        return await evaluated(evaluator(quick))

    found = asyncio.run(run())
    assert found.status == "completed"
    assert slow.asked.total() + quick.asked.total() == ALL


def test_questions_under_way_are_bounded(evaluator):
    async def slowly(backend):
        await asyncio.sleep(0.002)

    backend = Backend(slowly)
    asyncio.run(evaluated(evaluator(backend, concurrency=3)))
    assert backend.most_under_way == 3


def test_an_engine_that_is_away_or_full_is_asked_again(evaluator, monkeypatch):
    waited = []
    sleep = asyncio.sleep

    async def remember(seconds):
        waited.append(seconds)
        await sleep(0)

    faults = [AwayError(), BusyError(), AwayError()]

    async def fail_at_first(backend):
        if faults:
            raise faults.pop()

    monkeypatch.setattr("serve.evaluations.evaluator.asyncio.sleep", remember)
    found = asyncio.run(evaluated(evaluator(Backend(fail_at_first), concurrency=1)))
    assert found.status == "completed"
    assert [wait for wait in waited if wait >= 0.5] == [0.5, 1.0, 2.0]


def test_a_row_that_the_engine_refuses_fails_the_evaluation_and_is_named(evaluator):
    async def refuse_the_sixth(backend):
        if backend.asked.total() == 5:
            raise ModelError("a text needs 9 tokens, the model holds 8")

    async def run():
        one = evaluator(Backend(refuse_the_sixth), concurrency=1)
        found = await evaluated(one)
        return found, await evaluated(evaluator(Backend()))

    found, again = asyncio.run(run())
    assert found.status == "failed"
    assert "row 'embedded:" in found.error.message
    assert "adapter 'base': a text needs 9 tokens" in found.error.message
    assert (again.id, again.status, again.error) == (found.id, "completed", None)


def test_a_fault_of_ours_ends_one_evaluation_and_not_the_next(evaluator):
    async def fault_once(backend):
        if not backend.asked:
            backend.asked["x"] += 1
            raise ZeroDivisionError

    backend = Backend(fault_once)
    one = asyncio.run(evaluated(evaluator(backend, concurrency=1)))
    other = asyncio.run(evaluated(evaluator(backend), limit=2))
    assert (one.status, one.error.type, other.status) == ("failed", "server_error", "completed")
    assert "ZeroDivisionError" in one.error.message


def test_evaluations_are_worked_on_in_their_order_by_one_process(evaluator):
    first, second = Backend(), Backend()

    async def run():
        one, two = evaluator(first), evaluator(second)
        created = [await one.create(EvaluationRequest(**{**REQUEST, "limit": limit})) for limit in (1, 2, 3)]
        assert [item.status for item in created] == ["queued"] * 3
        async with working(one), working(two):
            found = [await ended(one, item.id) for item in created]
        assert [item.id for item in await one.list()] == [item.id for item in reversed(created)]
        return found

    found = asyncio.run(run())
    assert {item.status for item in found} == {"completed"}
    assert second.asked.total() == 0 or first.asked.total() == 0


def test_open_evaluations_are_limited(evaluator):
    async def run():
        one = evaluator(Backend())
        for limit in range(1, MAX_OPEN + 1):
            await one.create(EvaluationRequest(tasks=("fluency",), adapters=("base",), limit=limit))
        first = (await one.list())[-1]
        again = await one.create(EvaluationRequest(tasks=("fluency",), adapters=("base",), limit=1))
        assert again.id == first.id
        with pytest.raises(BusyError, match="16 evaluations are open already; wait for one to end, or cancel one"):
            await one.create(EvaluationRequest(tasks=("fluency",), adapters=("base",), limit=MAX_OPEN + 1))
        await one.cancel(first.id)
        await one.create(EvaluationRequest(tasks=("fluency",), adapters=("base",), limit=MAX_OPEN + 1))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ("fluncy",)}, "tasks: unknown task 'fluncy'; the scenario has .*did you mean 'fluency'"),
        ({"adapters": ("formla",)}, "adapters: no adapter 'formla'; there are base, formal; did you mean 'formal'"),
        ({"adapters": ("../formal",)}, "adapters: '../formal': adapters are served by name"),
    ],
)
def test_unknown_names_are_refused(evaluator, changes, words):
    with pytest.raises(RefusedError, match=words) as caught:
        asyncio.run(evaluated(evaluator(Backend()), **changes))
    assert caught.value.status == 404


def test_a_folder_that_cannot_be_read_hides_no_other(evaluator, tmp_path, caplog):
    broken = tmp_path / "evaluations" / "eval-broken"
    broken.mkdir(parents=True)
    (broken / "request.json").write_text("{")
    one = asyncio.run(evaluated(evaluator(Backend())))
    assert [item.id for item in asyncio.run(evaluator(Backend()).list())] == [one.id]
    assert "eval-broken" in caplog.text


def asked_over_http(evaluations, *calls):
    """The answers to some calls, in their order."""
    front = Front(model="embedded", adapters=("formal",), scenario=SCENARIO)
    app = make_app(Backend(), front, evaluations=evaluations)

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [await client.request(method, path, json=body) for method, path, body in calls]

    return asyncio.run(run())


def test_over_http_an_evaluation_is_accepted_and_found_again(evaluator):
    one = evaluator(Backend())
    body = {"tasks": list(TASKS), "limit": ROWS, "adapters": ["base", "formal"]}
    created, *_ = asked_over_http(one, ("POST", "/v1/evaluations", body))
    assert (created.status_code, created.json()["status"]) == (202, "queued")
    path = created.headers["Location"]
    asyncio.run(evaluated(one))
    again, listed, predictions, cancelled = asked_over_http(
        one,
        ("GET", path, None),
        ("GET", "/v1/evaluations", None),
        ("GET", f"{path}/predictions", None),
        ("POST", f"{path}/cancel", None),
    )
    assert again.json()["progress"] == {"done": ALL, "total": ALL, "seconds_left": None}
    assert listed.json() == {"object": "list", "data": [again.json()]}
    assert predictions.headers["Content-Type"].startswith("application/x-ndjson")
    assert len([from_json(Prediction, json.loads(line)) for line in predictions.text.splitlines()]) == ALL
    assert cancelled.json() == again.json()


@pytest.mark.parametrize("name", ["eval-none", "..", "..%2F..%2Fetc", ".lock", "eval-*"])
@pytest.mark.parametrize("call", ["GET ", "GET /predictions", "POST /cancel"])
def test_an_unknown_evaluation_is_not_found(evaluator, name, call):
    method, _, end = call.partition(" ")
    (answer,) = asked_over_http(evaluator(Backend()), (method, f"/v1/evaluations/{name}{end}", None))
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_without_a_run_evaluations_are_refused_with_the_way_out():
    created, listed = asked_over_http(None, ("POST", "/v1/evaluations", {"adapters": ["base"]}), ("GET", "/v1/evaluations", None))
    assert (created.status_code, created.json()["error"]["code"]) == (409, "no_run")
    assert "set run_dir" in created.json()["error"]["message"]
    assert listed.json()["data"] == []
