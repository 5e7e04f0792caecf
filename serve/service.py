"""What a replica does with a question, without Ray: its adapter is brought, it is rendered, decoded and cut, within its time.

What comes in: questions and prompts, at any moment, from any number of coroutines. What goes out: texts, whole or piece by piece. A
coroutine that is cancelled takes its rows out of the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.engine import Request
from mixwright.generate.loop import EngineLoop, Part
from serve.engine import Answerer, Completed, Prompt, Question, TokenScores
from serve.schema import NllRow
from serve.texts import TextOfTokens, UpToStop

T = TypeVar("T")


BETWEEN_STEPS = 8
"""Texts that are scored at once, between two steps."""
LATE = "the answer took longer than serve.request_timeout_s allows; ask for less, or ask again"


class LateError(Exception):
    """An answer took longer than it may; asked again, it may be quicker."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of an answer."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    """With the last piece."""
    prompt_tokens: int
    completion_tokens: int
    """So far."""


@dataclass(frozen=True)
class Refusal:
    """An error that a replica hands back as a value: what it raises, Serve writes to its log with a traceback."""

    error: Exception


class Arriving(Protocol):
    """The parts of one answer; see `loop.Parts`."""

    def __aiter__(self) -> AsyncIterator[Part]: ...

    def close(self) -> None: ...


class LiveEngine(Protocol):
    """An engine that requests come to at any moment; see `loop.EngineLoop` and `vllm_engine.VllmEngine`."""

    def submit(self, requests: Sequence[Request], *, piecewise: bool = False) -> Sequence[Arriving]:
        """The parts of each request's answer.

        Raises:
            FullError: there is no room for more.
        """
        ...


class Watcher(Protocol):
    """Told of every answer; see `metrics`."""

    def answered(self, adapter: str, status: str, *, prompt_tokens: int, completion_tokens: int, seconds: float) -> None: ...


def as_it_is(name: str) -> AbstractAsyncContextManager[str]:
    """For engines whose adapters are all there."""
    return nullcontext(name)


class Service:
    """One replica's work."""

    def __init__(
        self,
        answerer: Answerer,
        engine: LiveEngine,
        *,
        losses: Callable[[Sequence[NllRow], str], Awaitable[ResponseLoss]],
        scores: Callable[[Sequence[Prompt], int], Awaitable[list[TokenScores]]],
        using: Callable[[str], AbstractAsyncContextManager[str]] = as_it_is,
        timeout_s: float | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Holds its parts; loads nothing.

        Args:
            losses: the NLL of rows through an adapter that is in memory.
            scores: the same for how likely prompts are, which name it.
            using: the name in memory of an adapter, which stays there until the block ends.
            timeout_s: an answer that takes longer is given up.
        """
        self.answerer = answerer
        self._engine, self._losses, self._scores, self._using = engine, losses, scores, using
        self._timeout_s, self._watcher = timeout_s, watcher

    @classmethod
    def over(cls, answerer: Answerer, loop: EngineLoop, **further: Any) -> Service:
        """A service whose engine is stepped by `loop`; further arguments as above."""

        async def losses(rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
            answerer.rendered(rows)  # refuses before anything is worked out
            return mean_loss([await loop.between(partial(answerer.nll, some, adapter)) for some in _some_at_a_time(rows)])

        async def scores(prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
            found = [await loop.between(partial(answerer.token_scores, some, top)) for some in _some_at_a_time(prompts)]
            return [score for some in found for score in some]

        return cls(answerer, loop, losses=losses, scores=scores, **further)

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        """Answers in the order of the questions; those of an adapter are taken in together or not at all."""
        requests = [self.answerer.request(question) for question in questions]
        return [answer.text for answer in await self._all(requests, [()] * len(requests))]

    async def complete(self, prompts: Sequence[Prompt]) -> list[Completed]:
        """Continuations in the order of the prompts."""
        requests = [self.answerer.continuation(prompt) for prompt in prompts]
        return await self._all(requests, [prompt.stop for prompt in prompts])

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """One continuation, piece by piece; closing it takes its row out."""
        request = self.answerer.continuation(prompt)
        deadline = self._deadline()
        async with self._prepared(request, deadline) as ready, self._watched(request) as usage:
            (parts,) = self._engine.submit([ready], piecewise=True)
            async for delta in self._deltas(request, parts, prompt.stop, deadline):
                usage.completion_tokens = delta.completion_tokens
                yield delta

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        """How likely the prompts of one adapter are."""
        deadline = self._deadline()
        async with self._named(prompts[0].adapter, deadline) as inner:
            return await _before(deadline, self._scores([replace(prompt, adapter=inner) for prompt in prompts], top))

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        """Mean NLL of the rows' responses."""
        deadline = self._deadline()
        async with self._named(adapter, deadline) as inner:
            return await _before(deadline, self._losses(rows, inner))

    async def _all(self, requests: Sequence[Request], stops: Sequence[Sequence[str]]) -> list[Completed]:
        """An adapter's requests at a time: one that waits for a place in memory must not hold another's."""
        deadline = self._deadline()
        by_adapter: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            by_adapter.setdefault(request.adapter, []).append(index)
        found: dict[int, Completed] = {}

        async def complete(index: int, parts: Arriving) -> None:
            async with self._watched(requests[index]) as usage:
                found[index] = await self._completed(requests[index], parts, stops[index], deadline)
                usage.completion_tokens = found[index].completion_tokens

        async def of_adapter(indices: Sequence[int]) -> None:
            async with self._prepared(requests[indices[0]], deadline) as ready:
                named = [replace(requests[index], adapter=ready.adapter) for index in indices]
                arriving = self._engine.submit(named, piecewise=any(stops[index] for index in indices))
                try:
                    await _together([complete(index, parts) for index, parts in zip(indices, arriving, strict=True)])
                finally:
                    for parts in arriving:
                        parts.close()

        await _together([of_adapter(indices) for indices in by_adapter.values()])
        return [found[index] for index in range(len(requests))]

    async def _completed(self, request: Request, parts: Arriving, stops: Sequence[str], deadline: float | None) -> Completed:
        text, last = [], None
        async for last in self._deltas(request, parts, stops, deadline):
            text.append(last.text)
        assert last is not None
        assert last.finish_reason is not None
        return Completed(
            text="".join(text),
            finish_reason=last.finish_reason,
            prompt_tokens=last.prompt_tokens,
            completion_tokens=last.completion_tokens,
        )

    async def _deltas(
        self, request: Request, parts: Arriving, stops: Sequence[str], deadline: float | None
    ) -> AsyncIterator[Delta]:
        """The last one says why it is the last; before it, none is empty."""
        text, cut = TextOfTokens(self.answerer.text), UpToStop(stops)
        count, ended, arriving = 0, False, aiter(parts)
        try:
            while not (ended or cut.stopped):
                part = await _before(deadline, anext(arriving))
                ended, told = part.done, ""
                for some in _one_by_one(part.token_ids) if stops else (part.token_ids,):
                    if not cut.stopped:  # the tokens that count are those up to the stop, however many came at once
                        count += len(some)
                        told += cut.add(text.add(some))
                if part.whole is not None:
                    count, told = part.whole.tokens, cut.add(part.whole.text)
                if ended and not cut.stopped:
                    told += cut.add(text.rest())
                    told += cut.rest()
                if told and not (ended or cut.stopped):
                    yield Delta(text=told, prompt_tokens=len(request.prompt_ids), completion_tokens=count)
            whole = cut.stopped or (part.whole.ended if part.whole is not None else count < request.max_new_tokens)
            yield Delta(
                text=told,
                finish_reason="stop" if whole else "length",
                prompt_tokens=len(request.prompt_ids),
                completion_tokens=count,
            )
        finally:
            parts.close()

    def _deadline(self) -> float | None:
        return None if self._timeout_s is None else asyncio.get_running_loop().time() + self._timeout_s

    @asynccontextmanager
    async def _named(self, adapter: str, deadline: float | None) -> AsyncIterator[str]:
        """The adapter's name in memory, where it is until the block ends."""
        async with AsyncExitStack() as stack:
            yield await _before(deadline, stack.enter_async_context(self._using(adapter)))

    @asynccontextmanager
    async def _prepared(self, request: Request, deadline: float | None) -> AsyncIterator[Request]:
        """The request by its adapter's name in memory."""
        async with self._named(request.adapter, deadline) as inner:
            yield replace(request, adapter=inner)

    @asynccontextmanager
    async def _watched(self, request: Request) -> AsyncIterator[_Usage]:
        """Tells the watcher how it went."""
        usage, started, status = _Usage(), time.monotonic(), "error"
        try:
            yield usage
            status = "ok"
        except (asyncio.CancelledError, GeneratorExit):
            status = "cancelled"
            raise
        except LateError:
            status = "late"
            raise
        finally:
            if self._watcher is not None:
                self._watcher.answered(
                    request.adapter,
                    status,
                    prompt_tokens=len(request.prompt_ids),
                    completion_tokens=usage.completion_tokens,
                    seconds=time.monotonic() - started,
                )


@dataclass(kw_only=True)
class _Usage:
    completion_tokens: int = 0


def mean_loss(losses: Sequence[ResponseLoss]) -> ResponseLoss:
    """Over all tokens of all of them."""
    tokens = sum(loss.tokens for loss in losses)
    return ResponseLoss(nll=sum(loss.nll * loss.tokens for loss in losses) / tokens, tokens=tokens)


def _some_at_a_time(items: Sequence[T]) -> list[Sequence[T]]:
    """So few that rows in work do not wait long for them."""
    return [items[start : start + BETWEEN_STEPS] for start in range(0, len(items), BETWEEN_STEPS)]


def _one_by_one(token_ids: Sequence[int]) -> list[tuple[int, ...]]:
    return [(token,) for token in token_ids]


async def _before(deadline: float | None, awaited: Awaitable[T]) -> T:
    """What is awaited, if it comes in time.

    Raises:
        LateError: it does not.
    """
    if deadline is None:
        return await awaited
    try:
        return await asyncio.wait_for(awaited, deadline - asyncio.get_running_loop().time())
    except TimeoutError:
        raise LateError(LATE) from None


async def _together(coroutines: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
