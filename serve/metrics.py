"""Figures for Prometheus, through Ray's exporter: each node tells those of its replicas at its metrics port.

What comes in: what the ingress and the replicas tell of requests, steps and adapters. What goes out: counters, gauges and
histograms, named `ray_mixwright_...` there. Labels are bounded: routes are those of the application, and beyond so many adapters
the further ones are counted together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from mixwright.generate.loop import StepReport
from mixwright.generate.residents import Counts
from mixwright.records import BASE

MOST_ADAPTERS = 50
"""Names of adapters that figures are told apart by."""
OTHER = "other"
EVERY_S = 0.25
"""So often what a step looks like is told; steps take milliseconds."""
SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
ROWS = [1.0, 2, 4, 8, 16, 32, 64, 128, 256]
TOKENS = [0.25, 0.5, 1, 2, 3, 4, 6, 8]

_ASKED: ContextVar[list[str]] = ContextVar("asked")
"""Of the request in hand at the ingress, the adapters that it asked; tasks that work on it share the list."""


def asks_for(adapter: str) -> None:
    """Says which adapter the request in hand is for; nothing outside of a request."""
    _ASKED.get([]).append(adapter)


class AdapterLabels:
    """Names of adapters as labels, of which there are never more than so many."""

    def __init__(self) -> None:
        self._known: set[str] = {BASE}

    def of(self, adapter: str) -> str:
        if adapter not in self._known:
            if "/" in adapter or len(self._known) >= MOST_ADAPTERS:
                return OTHER
            self._known.add(adapter)
        return adapter


class ReplicaMetrics:
    """A replica's figures; a `loading.Watcher`."""

    def __init__(self) -> None:
        self._labels = AdapterLabels()
        self._answers = Counter("mixwright_answers", "Answers of replicas by adapter and status.", ("adapter", "status"))
        self._seconds = Histogram(
            "mixwright_answer_seconds", "From a replica's taking a request in to its last token.", SECONDS, ("adapter",)
        )
        self._prompt_tokens = Counter("mixwright_prompt_tokens", "Tokens of prompts.", ("adapter",))
        self._completion_tokens = Counter("mixwright_completion_tokens", "Tokens of answers.", ("adapter",))
        self._rows = Histogram("mixwright_batch_rows", "Rows in work in a step.", ROWS)
        self._rows_now = Gauge("mixwright_rows", "Rows in work.")
        self._accepted = Histogram("mixwright_accepted_draft_tokens", "Draft tokens that were kept, a row and step.", TOKENS)
        self._drafted_tokens = Counter("mixwright_drafted_tokens", "Tokens that were drafted.")
        self._accepted_tokens = Counter("mixwright_kept_draft_tokens", "Draft tokens that were kept.")
        self._waiting = Gauge("mixwright_waiting_requests", "Requests that have not been begun.")
        self._waiting_tokens = Gauge("mixwright_waiting_tokens", "Prompts and answers to be of these.")
        self._adapters = Gauge("mixwright_adapters", "Adapters in memory.")
        self._loaded = Counter("mixwright_adapter_loads", "Adapters that were loaded.")
        self._evicted = Counter("mixwright_adapter_evictions", "Adapters that were evicted.")
        self._told_at = float("-inf")
        self._drafted = self._kept = self._told_loads = self._told_evictions = 0
        self._row_steps = 0
        self._last = StepReport(rows=0, waiting=0, waiting_tokens=0, drafted=0, accepted=0)
        self.counts: Callable[[], Counts] | None = None
        """Of the replica's adapters, once they are there."""

    def stepped(self, report: StepReport) -> None:
        """Sums up, and tells now and then; at once where the work is done."""
        self._drafted, self._kept = self._drafted + report.drafted, self._kept + report.accepted
        self._row_steps += report.rows
        now = time.monotonic()
        if report.rows and now - self._told_at < EVERY_S:
            return
        self._told_at = now
        if report.rows:
            self._rows.observe(report.rows)
        if self._row_steps:
            self._accepted.observe(self._kept / self._row_steps)
        self._add(self._drafted_tokens, self._drafted)
        self._add(self._accepted_tokens, self._kept)
        self._drafted = self._kept = self._row_steps = 0
        self._last = report
        self.refresh()

    def refresh(self) -> None:
        """Tells the gauges again: those that nobody has set for a while Ray drops, and an idle replica would look gone."""
        self._rows_now.set(self._last.rows)
        self._waiting.set(self._last.waiting)
        self._waiting_tokens.set(self._last.waiting_tokens)
        if self.counts is not None:
            self._adapters.set(self.counts().held)

    def answered(self, adapter: str, status: str, *, prompt_tokens: int, completion_tokens: int, seconds: float) -> None:
        """One answer, or what there is of it."""
        label = {"adapter": self._labels.of(adapter)}
        self._answers.inc(tags={**label, "status": status})
        self._add(self._prompt_tokens, prompt_tokens, label)
        self._add(self._completion_tokens, completion_tokens, label)
        self._seconds.observe(seconds, tags=label)
        if self.counts is not None:
            counts = self.counts()
            self._add(self._loaded, counts.loaded - self._told_loads)
            self._add(self._evicted, counts.evicted - self._told_evictions)
            self._told_loads, self._told_evictions = counts.loaded, counts.evicted

    @staticmethod
    def _add(counter: Counter, value: float, tags: dict[str, str] | None = None) -> None:
        if value > 0:  # Ray refuses a step of 0
            counter.inc(value, tags=tags or {})


class RequestMetrics:
    """ASGI middleware of the ingress: requests by route, status and adapter."""

    def __init__(self, app: Any) -> None:
        self._app, self._labels = app, AdapterLabels()
        names = ("route", "status", "adapter")
        self._requests = Counter("mixwright_requests", "HTTP requests by route, status and adapter.", names)
        self._seconds = Histogram("mixwright_request_seconds", "From a request to the end of its answer.", SECONDS, ("route",))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked: list[str] = []
        _ASKED.set(asked)
        status, started = "gone", time.monotonic()

        async def told(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._requests.inc(tags={"route": route, "status": status, "adapter": self._labels.of(asked[0]) if asked else "none"})
            self._seconds.observe(time.monotonic() - started, tags={"route": route})
