"""The front's view of the replicas: one is asked, and another where that one is lost.

What comes in: questions of one request. What goes out: their answers. Asking twice changes nothing, so an answer that was lost with
its replica is asked for again, a bounded number of times. A client that goes away takes its rows out of the replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.loop import FullError
from serve.engine import Completed, Prompt, Question, TokenScores
from serve.errors import AwayError, BusyError
from serve.metrics import asks_for
from serve.pieces import RetryError
from serve.schema import NllRow
from serve.service import LATE, Delta, LateError, Refusal

T = TypeVar("T")

TRIES = 4
FIRST_WAIT_S = 0.25
"""Before the second try; doubled before each further one, for the router has to learn of the loss."""
SPARE_S = 5.0
"""After a replica should have given an answer up by itself."""
LOST = (RayActorError, ReplicaUnavailableError)
BROKEN_OFF = "the replica that was answering is gone; ask again"


class HandleBackend:
    """A handle on the replicas, as `front.Backend`."""

    def __init__(self, engine: DeploymentHandle[Any], *, timeout_s: float = 600.0) -> None:
        self._engine = engine
        self._piecewise = engine.options(stream=True)
        self._timeout_s = timeout_s + SPARE_S

    async def ready(self) -> None:
        await self._ask(self._engine.ready)

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        asks_for(questions[0].adapter)
        return await self._ask_all(self._engine.answer, questions)

    async def complete(self, prompts: Sequence[Prompt]) -> list[Completed]:
        asks_for(prompts[0].adapter)
        return await self._ask_all(self._engine.complete, prompts)

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        asks_for(prompts[0].adapter)
        scores: list[TokenScores] = await self._in_time(self._ask(self._engine.token_scores, prompts, top))
        return scores

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        asks_for(adapter)
        loss: ResponseLoss = await self._in_time(self._ask(self._engine.nll, rows, adapter))
        return loss

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        asks_for(prompt.adapter)
        return self._stream(prompt)

    async def _stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """A replica's pieces. Where it is lost on the way, the answer is asked for again and what was told already is left out,
        unless it is drawn: then it is broken off."""
        told = ""
        for attempt in range(TRIES):
            response: Any = self._piecewise.stream.remote(prompt)
            seen = ""
            try:
                async for item in response:
                    delta: Delta = _unwrapped(item)
                    seen += delta.text
                    if not (seen.startswith(told) or told.startswith(seen)):
                        raise RetryError(BROKEN_OFF)  # another replica's arithmetic flipped a tie
                    fresh = seen[len(told) :]
                    told += fresh
                    if fresh or delta.finish_reason:
                        yield replace(delta, text=fresh)
                return
            except LOST as error:
                if told and prompt.decoding.strategy == "sampling":
                    raise RetryError(BROKEN_OFF) from error
                if attempt == TRIES - 1:
                    raise (RetryError(BROKEN_OFF) if told else AwayError()) from error
            except Exception as error:
                raise _cause(error) from None
            finally:
                response.cancel()  # of no effect once it has ended
            await asyncio.sleep(FIRST_WAIT_S * 2**attempt)

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """One replica's answer, or another's.

        Raises:
            BusyError: there is no room.
            AwayError: the replicas are lost.
        """
        for attempt in range(TRIES):
            response = method.remote(*arguments)
            try:
                return _unwrapped(await response)
            except asyncio.CancelledError:
                response.cancel()
                raise
            except LOST as error:
                if attempt == TRIES - 1:
                    raise AwayError from error
            except Exception as error:
                raise _cause(error) from None
            await asyncio.sleep(FIRST_WAIT_S * 2**attempt)
        raise AssertionError("the last try returns or raises")

    async def _in_time(self, answer: Any) -> Any:
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            raise LateError(LATE) from None

    async def _ask_all(self, method: Any, items: Sequence[T]) -> list[Any]:
        """All of a request's items at once. One that finds no room comes again when another of them has its answer, so that a
        request of many texts is not refused for its own sake."""
        found: dict[int, Any] = {}
        asked: set[int] = set()
        change = asyncio.Condition()

        async def moved_on(before: int) -> None:
            async with change:
                change.notify_all()
                await change.wait_for(lambda: len(found) > before or not asked)

        async def ask(index: int) -> None:
            while index not in found:
                before = len(found)
                asked.add(index)
                try:
                    found[index] = await self._ask(method, items[index])
                except BusyError:
                    asked.discard(index)
                    if not asked and len(found) == before:
                        raise
                    await moved_on(before)
                asked.discard(index)
            async with change:
                change.notify_all()

        await self._in_time(_all_of(ask, len(items)))
        return [found[index] for index in range(len(items))]


async def _all_of(function: Callable[[int], Coroutine[Any, Any, None]], count: int) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                group.create_task(function(index))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _cause(error: Exception) -> Exception:
    """What a replica's error says to the front."""
    if isinstance(error, BackPressureError):
        return BusyError()
    if isinstance(error, DeploymentUnavailableError):
        return AwayError()
    return BusyError() if isinstance(error, FullError) else error


def _unwrapped(answer: Any) -> Any:
    """What a replica gave, unless it refused."""
    if isinstance(answer, Refusal):
        raise answer.error
    return answer
