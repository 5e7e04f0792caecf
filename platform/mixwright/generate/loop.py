"""One thread that steps an engine for as long as there is work, and the requests that asyncio brings to it at any moment.

What comes in: requests, from coroutines. What goes out: streams, whose parts arrive as the thread makes them; closing one frees its
row at the next step. There are no batch boundaries: a row enters when there is room and leaves when it ends. What the engine's own
pass does not take is answered between steps, and so is other work on the model; neither side waits for the other for ever.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mixwright.decoding import Decoding
from mixwright.errors import MixwrightError
from mixwright.generate.adapters import adapter_names, check_held
from mixwright.generate.batch import Batch, Ticket
from mixwright.generate.continuous import ContinuousEngine, row_of
from mixwright.generate.engine import Engine, Generated, Request

logger = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_S = 5.0
"""After so long without work the thread ends; the next request starts another."""
TOGETHER = 8
"""Requests of one kind that transformers answers at once while rows are in work."""


class FullError(Exception):
    """So many tokens wait that no more are taken in; the request may come again."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is new of an answer: tokens, or from an engine that answers as a whole, all of it."""

    token_ids: tuple[int, ...] = ()
    whole: Generated | None = None
    done: bool


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step found and did, for those who watch."""

    rows: int
    """In work after it."""
    waiting: int
    waiting_tokens: int
    drafted: int
    accepted: int
    """Of the drafted tokens, those that were kept."""


class Watcher(Protocol):
    """Told after every step, in the stepping thread; must be quick."""

    def stepped(self, report: StepReport) -> None: ...


class Parts:
    """One request on its way, for the coroutine that asked."""

    def __init__(self, request: Request, cancel: Callable[[Parts], None], *, piecewise: bool) -> None:
        self.request, self.piecewise = request, piecewise
        self.home = asyncio.get_running_loop()
        self.cancelled = self.ended = False
        self.ticket: Ticket | None = None
        self.told = 0
        self._cancel = cancel
        self._arrived: asyncio.Queue[Part | BaseException] = asyncio.Queue()

    @property
    def needed(self) -> int:
        """Tokens of prompt and answer to be."""
        return len(self.request.prompt_ids) + self.request.max_new_tokens

    def arrive(self, part: Part | BaseException) -> None:
        """In the coroutine's own thread."""
        self._arrived.put_nowait(part)

    def close(self) -> None:
        """The row leaves at the next step, if it has not ended."""
        if not self.ended:
            self.ended = True
            self._cancel(self)

    async def __aiter__(self) -> AsyncIterator[Part]:
        try:
            while not self.ended:
                part = await self._arrived.get()
                if isinstance(part, BaseException):
                    self.ended = True
                    raise part
                self.ended = part.done
                yield part
        finally:
            self.close()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chore:
    """Other work on the model."""

    work: Callable[[], Any]
    done: asyncio.Future[Any]
    home: asyncio.AbstractEventLoop


class EngineLoop:
    """An engine and its thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        rows: int = 16,
        max_waiting_tokens: int | None = None,
        company_s: float = 0.0,
        watcher: Watcher | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            engine: a `ContinuousEngine` is stepped; another answers what waits in batches of `rows`.
            max_waiting_tokens: where so many wait, prompts and answers to be, no more are taken in; None: all are.
            company_s: how long the first request after a pause waits for others to begin with.
        """
        self.engine = engine
        self._continuous = engine if isinstance(engine, ContinuousEngine) and engine.batch is not None else None
        if self._continuous is not None:
            self._continuous.read_adapters(adapter_names(self._continuous.model))
        self._rows, self._most, self._company_s, self._watcher = rows, max_waiting_tokens, company_s, watcher
        self.modules = threading.Lock()
        """Held by whoever goes through the model's modules or changes them; our own pass does neither."""
        self._change = threading.Condition()
        self._inbox: deque[Parts] = deque()
        self._whole: deque[Parts] = deque()
        self._chores: deque[_Chore] = deque()
        self._streams: dict[Ticket, Parts] = {}
        self._thread: threading.Thread | None = None
        self._closed, self._rested = False, True
        self._chores_rest_until = 0.0
        self._counted = (0, 0)

    @property
    def waiting_tokens(self) -> int:
        """Of requests that have not been begun."""
        batch = self._continuous.batch if self._continuous else None
        ours = sum(parts.needed for parts in [*self._inbox, *self._whole] if not parts.cancelled)
        return ours + (batch.waiting_tokens if batch else 0)

    @property
    def working(self) -> int:
        """Requests that are waiting or in work."""
        return len(self._inbox) + len(self._whole) + len(self._streams)

    def submit(self, requests: Sequence[Request], *, piecewise: bool = False) -> list[Parts]:
        """A stream a request, in their order; call it from the coroutine that reads them.

        Args:
            piecewise: parts arrive as they are made; otherwise one with everything.

        Raises:
            FullError: too many tokens wait already.
        """
        found = [Parts(request, self._cancel, piecewise=piecewise) for request in requests]
        with self._change:
            if self._most is not None and (waiting := self.waiting_tokens) >= self._most:
                raise FullError(f"{waiting} tokens wait already, {self._most} may")
            self._inbox.extend(found)
            self._wake()
        return found

    async def between(self, work: Callable[[], T]) -> T:
        """What `work` gives, called in the stepping thread between two steps, alone with the model's modules."""
        home = asyncio.get_running_loop()
        chore = _Chore(work=work, done=home.create_future(), home=home)
        with self._change:
            self._chores.append(chore)
            self._wake()
        result: T = await chore.done
        return result

    async def hold(self, name: str, folder: Path) -> None:
        """Takes an adapter in beside the steps of others, in a thread of its own; see `residents.HoldsAdapters`."""
        await asyncio.to_thread(self._with_modules, self.engine.hold, name, folder)  # type: ignore[attr-defined]

    async def release(self, name: str) -> None:
        """Lets go of an adapter; see `residents.HoldsAdapters`."""
        await asyncio.to_thread(self._with_modules, self._forget, name)

    def _forget(self, name: str) -> None:
        self.engine.release(name)  # type: ignore[attr-defined]
        if self._continuous is not None and self._continuous.batch is not None:
            self._continuous.batch.forget(name)

    def _with_modules(self, function: Callable[..., None], *arguments: Any) -> None:
        with self.modules:
            function(*arguments)

    def close(self) -> None:
        """The thread ends after its step; what is in work gets no answer any more."""
        with self._change:
            self._closed = True
            self._change.notify()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()
        self._change.notify()

    def _cancel(self, parts: Parts) -> None:
        parts.cancelled = True
        if parts.ticket is not None:
            parts.ticket.cancelled = True
        with self._change:
            self._change.notify()

    def _run(self) -> None:
        while self._wait():
            self._take_in()
            stepped = self._step()
            if not self._chore(stepped) and not stepped and self._has_work():
                time.sleep(0.001)  # somebody else has the modules

    def _has_work(self) -> bool:
        return bool(self._inbox or self._whole or self._chores or self._streams)

    def _wait(self) -> bool:
        """True once there is work; False where the thread's time is over."""
        with self._change:
            if self._rested or not self._has_work():
                self._change.wait_for(lambda: self._closed or self._has_work(), IDLE_S)
                if self._company_s and self._has_work():
                    self._change.wait_for(lambda: self._closed, self._company_s)
                self._rested = False
            if self._closed or not self._has_work():
                self._thread, self._rested = None, True
                return False
            return True

    def _take_in(self) -> None:
        with self._change:
            new = [parts for parts in self._inbox if not parts.cancelled]
            self._inbox.clear()
        if self._continuous is None:
            self._whole.extend(new)
            return
        # Rows that begin alike enter together, and so share most of what is computed.
        for parts in sorted(new, key=lambda parts: (parts.request.adapter, parts.request.prompt_ids), reverse=True):
            try:
                self._begin(parts, self._continuous)
            except MixwrightError as error:
                self._send([(parts, error)])

    def _begin(self, parts: Parts, engine: ContinuousEngine) -> None:
        check_held(engine.model, {parts.request.adapter} - engine.tuned.keys())
        if engine.unfit(parts.request):
            self._whole.append(parts)
            return
        assert engine.batch is not None
        parts.ticket = engine.batch.submit(row_of(parts.request))
        parts.ticket.cancelled = parts.cancelled
        if parts.ticket.done:
            self._send([(parts, Part(done=True))])
        else:
            self._streams[parts.ticket] = parts

    def _step(self) -> bool:
        """One pass of the batch; False where it has no rows."""
        if self._continuous is None or not self._streams:
            return False
        batch = self._continuous.batch
        assert batch is not None
        try:
            touched = batch.step()
        except Exception as error:  # whatever it was, its rows must hear of it and the next ones find an engine that works
            logger.exception("a step failed; its %d rows get an error", len(self._streams))
            failed, self._streams = list(self._streams.values()), {}
            self._continuous.start_over()
            self._send([(parts, RuntimeError(f"the engine failed: {error}")) for parts in failed])
            return True
        sent: list[tuple[Parts, Part | BaseException]] = []
        for ticket in touched:
            parts = self._streams.get(ticket)
            if parts is None:
                continue
            if ticket.done:
                del self._streams[ticket]
            if parts.piecewise or ticket.done:
                fresh = tuple(ticket.output[parts.told :])
                parts.told += len(fresh)
                sent.append((parts, Part(token_ids=fresh, done=ticket.done)))
        self._send(sent)
        self._report(batch)
        return True

    def _report(self, batch: Batch) -> None:
        if self._watcher is None:
            return
        drafted, accepted = batch.counts.drafted, batch.counts.accepted
        self._watcher.stepped(
            StepReport(
                rows=batch.rows,
                waiting=self.working - batch.rows,
                waiting_tokens=self.waiting_tokens,
                drafted=drafted - self._counted[0],
                accepted=accepted - self._counted[1],
            )
        )
        self._counted = drafted, accepted

    def _chore(self, stepped: bool) -> bool:
        """Something beside the batch, unless rows in work are owed the time that the last such thing took."""
        if not (self._whole or self._chores) or (stepped and time.monotonic() < self._chores_rest_until):
            return False
        if not self.modules.acquire(blocking=False):
            return False
        started = time.monotonic()
        try:
            if self._chores:
                self._do(self._chores.popleft())
            if self._whole:
                self._answer_whole()
        finally:
            self.modules.release()
        self._chores_rest_until = 2 * time.monotonic() - started
        return True

    def _do(self, chore: _Chore) -> None:
        try:
            result = chore.work()
        except Exception as error:  # it belongs to whoever asked
            self._call(chore.home, _settle, chore.done, None, error)
        else:
            self._call(chore.home, _settle, chore.done, result, None)

    def _answer_whole(self) -> None:
        """Requests of the first one's kind, through the engine's whole answer."""
        together = self._rows if self._continuous is None else TOGETHER
        waiting = [parts for parts in self._whole if not parts.cancelled]
        alike = [parts for parts in waiting if self._continuous is None or _kind(parts.request) == _kind(waiting[0].request)]
        chosen = alike[:together]
        self._whole = deque(parts for parts in waiting if parts not in chosen)
        if not chosen:
            return
        engine = self.engine if self._continuous is None else self._continuous.reference
        try:
            answers = engine.answer([parts.request for parts in chosen])
        except Exception as error:  # as for chores
            self._send([(parts, error) for parts in chosen])
            return
        self._send([(parts, Part(whole=answer, done=True)) for parts, answer in zip(chosen, answers, strict=True)])

    def _send(self, sent: Iterable[tuple[Parts, Part | BaseException]]) -> None:
        """Each part to the event loop that waits for it; one call a loop."""
        by_home: dict[asyncio.AbstractEventLoop, list[tuple[Parts, Part | BaseException]]] = {}
        for parts, part in sent:
            by_home.setdefault(parts.home, []).append((parts, part))
        for home, arrived in by_home.items():
            self._call(home, _deliver, arrived)

    def _call(self, home: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the event loop is closed, so nobody waits any more
            home.call_soon_threadsafe(function, *arguments)


def _deliver(arrived: Sequence[tuple[Parts, Part | BaseException]]) -> None:
    for parts, part in arrived:
        parts.arrive(part)


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


def _kind(request: Request) -> tuple[str, Decoding | None, int]:
    """What requests that transformers answers together have in common."""
    beams = request.decoding.num_beams > 1
    return request.adapter, request.decoding if beams else None, request.max_new_tokens if beams else 0
