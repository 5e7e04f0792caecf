"""Asks what evaluations want to know, a bounded number of questions at a time, and scores what is whole.

What comes in: requests, and something that answers questions. What goes out: evaluations as clients see them. One evaluation is
worked on at a time, the oldest first. The run folder is the only state: whoever dies and starts again goes on with what is not
answered yet, and an answer that any evaluation has is asked by no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mixwright.errors import MixwrightError
from mixwright.evaluate.intervals import FloatArray, Interval
from mixwright.evaluate.metric import Metric
from mixwright.evaluate.runner import EvaluationRow, make_prediction, mean_scores, task_rows, task_score
from mixwright.records import Prediction
from mixwright.scenarios import Scenario
from serve.engine import Question
from serve.errors import INVALID_REQUEST, SERVER_ERROR, AwayError, BusyError, RefusedError
from serve.evaluations.folder import EvaluationFolder, Keep, Store
from serve.evaluations.plan import Plan, Planned, Planner
from serve.evaluations.shapes import Bounds, Evaluation, EvaluationRequest, Means, Progress, Scores, Status, TaskScore
from serve.schema import ErrorDetail
from serve.service import LateError

logger = logging.getLogger(__name__)

MAX_OPEN = 16
"""Evaluations that may wait or run; more are refused with status 429."""
LONGEST_WAIT_S = 10.0
"""Between two tries while the engine is away."""
LOOK_S = 2.0
"""Between two looks for a cancellation, and for evaluations that another process has written down."""
LATE_TRIES = 3
"""Of a question whose answer takes longer than it may."""
LINES_A_CHUNK = 256


class Asks(Protocol):
    """The part of a backend that evaluations need; see `front.Backend`."""

    async def answer(self, questions: Sequence[Question]) -> list[str]: ...


@dataclass(frozen=True, kw_only=True)
class _Ask:
    """One answer that is missing."""

    adapter: str
    row: EvaluationRow
    key: str


@dataclass(kw_only=True)
class _Running:
    """The evaluation under way."""

    folder: EvaluationFolder
    done: int = 0
    """Answers in its folder."""
    fresh: int = 0
    """Of them asked since `since`."""
    since: float = field(default_factory=time.monotonic)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Adapter and task -> answers."""
    tables: dict[str, dict[str, tuple[Metric, FloatArray]]] = field(default_factory=dict)
    """Adapter -> task -> row statistics, for the means."""
    scores: Scores = field(default_factory=Scores)

    @property
    def seconds_left(self) -> float | None:
        left = self.folder.plan.total - self.done
        return round((time.monotonic() - self.since) / self.fresh * left, 1) if self.fresh else None


class _CancelledError(Exception):
    """The evaluation under way was cancelled."""


class Evaluator:
    """The evaluations of one run."""

    def __init__(self, store: Store, planner: Planner, scenario: Scenario, backend: Asks, *, concurrency: int) -> None:
        """Starts nothing; `work` does.

        Args:
            concurrency: questions under way at once. Fewer than the engine takes into a batch leave room for everyone else.
        """
        self._store, self._planner, self._scenario, self._backend = store, planner, scenario, backend
        self._concurrency = concurrency
        self._running: _Running | None = None
        self._wake = asyncio.Event()
        self._planning = asyncio.Lock()
        self._known: dict[str, str] = {}
        """Key -> answer, of all evaluations of the run."""

    async def create(self, request: EvaluationRequest) -> Evaluation:
        """The evaluation that the request describes, new or as far as it has come.

        Raises:
            RefusedError: an unknown task or adapter.
            BusyError: too many are open.
            MixwrightError: the run's data cannot be read.
        """
        async with self._planning:
            planned = await asyncio.to_thread(self._planner.plan, request)
            folder = await asyncio.to_thread(self._opened, planned)
        self._wake.set()
        return await asyncio.to_thread(self._seen, folder)

    def _opened(self, planned: Planned) -> EvaluationFolder:
        present = self._store.find(planned.plan.id)
        if present and present.end in (None, "completed"):
            return present
        if len(self._store.open()) >= MAX_OPEN:
            raise BusyError(f"{MAX_OPEN} evaluations are open already; wait for one to end, or cancel one")
        return self._store.add(planned)

    async def list(self) -> list[Evaluation]:
        """All, the newest first."""
        return await asyncio.to_thread(lambda: [self._seen(folder) for folder in reversed(self._store.all())])

    async def get(self, evaluation_id: str) -> Evaluation:
        """One.

        Raises:
            RefusedError: there is none of that id.
        """
        return await asyncio.to_thread(lambda: self._seen(self._find(evaluation_id)))

    async def cancel(self, evaluation_id: str) -> Evaluation:
        """Ends it where it has not ended; what was answered is kept.

        Raises:
            RefusedError: as `get`.
        """
        folder = self._find(evaluation_id)
        if folder.end is None:
            folder.finish("cancelled")
            self._wake.set()
        return self._seen(folder)

    async def predictions(self, evaluation_id: str) -> AsyncIterator[str]:
        """What is answered, as NDJSON in pieces of many lines.

        Raises:
            RefusedError: as `get`.
        """
        lines = self._find(evaluation_id).lines()
        while chunk := await asyncio.to_thread(_next_lines, lines):
            yield chunk

    async def work(self) -> None:
        """Works on open evaluations until it is cancelled. Of several processes at one run folder, one works."""
        async with _only_one(self._store.root):
            self._known = await asyncio.to_thread(self._answers)
            while True:
                self._wake.clear()
                folders = await asyncio.to_thread(self._store.open)
                if folders:
                    await self._evaluate(folders[0])
                else:
                    await _set_or_late(self._wake)

    def _find(self, evaluation_id: str) -> EvaluationFolder:
        if folder := self._store.find(evaluation_id):
            return folder
        raise RefusedError(404, f"no evaluation '{evaluation_id}'; GET /v1/evaluations lists them", code="evaluation_not_found")

    def _seen(self, folder: EvaluationFolder) -> Evaluation:
        """As clients see it."""
        plan, running, end = folder.plan, self._running, folder.end
        is_running = end is None and running is not None and running.folder.plan.id == plan.id
        status: Status = end or ("running" if is_running else "queued")
        progress = Progress(done=plan.total if end == "completed" else folder.answered, total=plan.total)
        if is_running and running:
            progress = Progress(done=running.done, total=plan.total, seconds_left=running.seconds_left)
        scores = folder.scores
        return Evaluation(
            id=plan.id,
            status=status,
            request=plan.settled,
            created=int(plan.created),
            progress=progress,
            scores=scores.scores,
            summary=scores.summary,
            error=folder.error,
        )

    def _answers(self) -> dict[str, str]:
        known = {}
        for folder in self._store.all():
            for item in folder.predictions():
                known[folder.plan.key(item.system, item.instruction, item.text)] = item.output
        return known

    async def _evaluate(self, folder: EvaluationFolder) -> None:
        """Takes one evaluation to its end, whichever that is."""
        running = self._running = _Running(folder=folder)
        try:
            with folder.appending() as keep:
                await self._answer_and_score(running, keep)
            folder.finish("completed")
        except _CancelledError:
            logger.info("%s: cancelled", folder.plan.id)
        except RefusedError as error:
            folder.finish("failed", error.detail.model_dump_json())
        except MixwrightError as error:
            folder.finish("failed", ErrorDetail(message=str(error), type=INVALID_REQUEST).model_dump_json())
        except Exception as error:  # a fault of ours ends the evaluation that met it, and not those behind it
            logger.exception("%s: failed", folder.plan.id)
            message = f"a fault of the endpoint ({type(error).__name__}); its log says more. Ask for the evaluation again"
            folder.finish("failed", ErrorDetail(message=message, type=SERVER_ERROR).model_dump_json())
        finally:
            self._running = None

    async def _answer_and_score(self, running: _Running, keep: Keep) -> None:
        plan = running.folder.plan
        await self._check_contents(plan)
        asks = await asyncio.to_thread(self._missing, running, keep)
        whole: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        for pair in ((adapter, task) for adapter in plan.adapters for task in plan.tasks):
            if not running.missing[pair]:
                whole.put_nowait(pair)
        scoring = asyncio.create_task(self._score_all(running, whole))

        def look() -> None:
            if running.folder.end == "cancelled":
                raise _CancelledError
            if scoring.done():
                scoring.result()

        try:
            async with contextlib.aclosing(self._answered(plan, asks, look)) as arriving:
                async for answers in arriving:
                    for pair in await asyncio.to_thread(self._take, running, answers, keep):
                        whole.put_nowait(pair)
            whole.put_nowait(None)
            await scoring
        finally:
            # A thread cannot be cut off, and what it writes must not meet what another one writes to the same folder.
            while not whole.empty():
                whole.get_nowait()
            whole.put_nowait(None)
            await asyncio.wait([scoring])
        look()
        await self._check_contents(plan)

    def _missing(self, running: _Running, keep: Keep) -> deque[_Ask]:
        """What is to be asked; answers that another evaluation has are taken over first."""
        folder, plan = running.folder, running.folder.plan
        present = {(item.system, item.task, item.example_id) for item in folder.predictions()}
        rows = _in_groups(folder.rows())
        asks, taken = deque[_Ask](), list[Prediction]()
        for adapter, row in ((adapter, row) for adapter in plan.adapters for row in rows):
            key = plan.key(adapter, row.instruction, row.example.text)
            if (adapter, row.task, row.example.id) in present:
                running.done += 1
            elif key in self._known:
                taken.append(_prediction(plan, adapter, row, self._known[key]))
            else:
                asks.append(_Ask(adapter=adapter, row=row, key=key))
                running.missing[adapter, row.task] += 1
        keep(taken)
        running.done += len(taken)
        return asks

    async def _answered(self, plan: Plan, asks: deque[_Ask], look: Callable[[], None]) -> AsyncGenerator[dict[_Ask, str], None]:
        """Keeps so many questions under way, and yields what has come in since the last time.

        Args:
            look: is called at least every other second; what it raises ends the asking.
        """
        under_way: dict[asyncio.Task[str], _Ask] = {}
        try:
            while asks or under_way:
                while asks and len(under_way) < self._concurrency:
                    ask = asks.popleft()
                    under_way[asyncio.create_task(self._asked(plan, ask))] = ask
                done, _ = await asyncio.wait(under_way, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                look()
                if done:
                    yield {under_way.pop(task): task.result() for task in done}
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _take(self, running: _Running, answers: Mapping[_Ask, str], keep: Keep) -> Sequence[tuple[str, str]]:
        """Puts answers on disk; returns adapters and tasks that are whole now."""
        keep([_prediction(running.folder.plan, ask.adapter, ask.row, text) for ask, text in answers.items()])
        found = []
        for ask, text in answers.items():
            self._known[ask.key] = text.strip()
            running.done += 1
            running.fresh += 1
            running.missing[ask.adapter, ask.row.task] -= 1
            if not running.missing[ask.adapter, ask.row.task]:
                found.append((ask.adapter, ask.row.task))
        return found

    async def _asked(self, plan: Plan, ask: _Ask) -> str:
        """The answer, however often the engine is away or full before it comes."""
        question = Question(
            instruction=ask.row.instruction,
            text=ask.row.example.text,
            adapter=ask.adapter,
            max_new_tokens=plan.max_new_tokens,
            decoding=plan.decoding,
        )
        wait_s, late = 0.5, 0
        while True:
            try:
                (output,) = await self._backend.answer([question])
                return output
            except (AwayError, BusyError) as error:
                logger.info("%s: %s; asking again in %.1f s", plan.id, type(error).__name__, wait_s)
            except LateError as error:
                late += 1
                if late == LATE_TRIES:
                    raise RefusedError(504, f"row '{ask.row.example.id}' of {ask.row.task}: {error}") from None
            except MixwrightError as error:
                raise type(error)(f"row '{ask.row.example.id}' of {ask.row.task}, adapter '{ask.adapter}': {error}") from None
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _check_contents(self, plan: Plan) -> None:
        """Refuses to mix the answers of two adapters of one name."""
        for adapter, contents in plan.adapters.items():
            if await asyncio.to_thread(self._planner.digest, adapter) != contents:
                changed = f"adapter '{adapter}' has other contents than when the evaluation was asked for; ask again"
                raise RefusedError(409, changed, param="adapters")

    async def _score_all(self, running: _Running, whole: asyncio.Queue[tuple[str, str] | None]) -> None:
        """Scores each task of an adapter as it comes, off the loop, until None comes."""
        while pair := await whole.get():
            await asyncio.to_thread(self._score, running, *pair)

    def _score(self, running: _Running, adapter: str, task: str) -> None:
        """Scores one task of one adapter, and the adapter's means once it has all tasks."""
        plan, scores = running.folder.plan, running.scores
        answered = [item for item in running.folder.predictions() if (item.system, item.task) == (adapter, task)]
        rows = task_rows(self._scenario, answered)[task]
        statistics = rows.statistics()
        scored = task_score(self._scenario.task(task), rows, statistics, adapter, plan.split, draws=plan.draws, seed=plan.seed)
        entry = TaskScore(
            adapter=adapter,
            task=task,
            seen=scored.seen,
            metric=scored.metric,
            value=scored.value,
            low=scored.low,
            high=scored.high,
            rows=scored.n,
        )
        order = [(name, asked) for name in plan.adapters for asked in plan.tasks]
        scores.scores = sorted([*scores.scores, entry], key=lambda item: order.index((item.adapter, item.task)))
        tables = running.tables.setdefault(adapter, {})
        tables[task] = (rows.metric, statistics)
        if len(tables) == len(plan.tasks):
            means = mean_scores(self._scenario, tables, draws=plan.draws, seed=plan.seed)
            scores.summary = {**scores.summary, adapter: Means(seen=_bounds(means.seen), unseen=_bounds(means.unseen))}
        running.folder.write_scores(scores)


def _prediction(plan: Plan, adapter: str, row: EvaluationRow, output: str) -> Prediction:
    return make_prediction(row, adapter, output, plan.decoding.record(plan.max_new_tokens))


def _in_groups(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Task by task in their order; within one, rows of a wording and of like length meet in a batch."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    return sorted(rows, key=lambda row: (tasks.index(row.task), row.instruction, len(row.example.text), row.example.id))


def _bounds(interval: Interval | None) -> Bounds | None:
    return Bounds(value=interval.value, low=interval.low, high=interval.high) if interval else None


def _next_lines(lines: Iterator[str]) -> str:
    """Some lines with their line ends; empty where none are left."""
    return "".join(f"{line}\n" for _, line in zip(range(LINES_A_CHUNK), lines, strict=False))


async def _set_or_late(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), LOOK_S)


@contextlib.asynccontextmanager
async def _only_one(root: Path) -> AsyncIterator[None]:
    """Waits until no other process works here, as one does that is being replaced. The system lets go of the lock of a dead one."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOOK_S)
        yield
