"""Evaluations with made-up scores for the real routes: each look at a running one finds it a step further."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from serve.evaluations.shapes import Bounds, Evaluation, EvaluationRequest, Means, Progress, SettledRequest, TaskScore

from mixwright.decoding import GREEDY
from mixwright.scenarios import Scenario

CREATED = 1_780_000_000
ANSWERS = 100
"""Of each adapter."""


class MadeUpEvaluations:
    """What `serve.evaluations.routes` needs; one ends after `steps` looks at it."""

    def __init__(self, scenario: Scenario, *, steps: int = 3) -> None:
        self.scenario, self.steps = scenario, steps
        self.evaluations: list[Evaluation] = []
        """Newest first."""
        self.requests: list[EvaluationRequest] = []

    def clear(self) -> None:
        self.evaluations.clear()
        self.requests.clear()

    def start(self, request: EvaluationRequest) -> Evaluation:
        settled = SettledRequest(
            tasks=[task.name for task in self.scenario.tasks],
            split=request.split,
            limit=request.limit or 200,
            adapters=list(request.adapters),
            decoding=request.decoding or GREEDY,
            max_new_tokens=128,
        )
        evaluation = Evaluation(
            id=f"evaluation-{len(self.evaluations)}",
            status="queued",
            request=settled,
            created=CREATED + len(self.evaluations),
            progress=Progress(done=0, total=ANSWERS * len(request.adapters)),
        )
        self.evaluations.insert(0, evaluation)
        return evaluation

    def finished(self, *adapters: str) -> Evaluation:
        """One more that has ended."""
        evaluation = self.start(EvaluationRequest(split="dev", limit=20, adapters=adapters))
        while evaluation.status != "completed":
            self._move_on(evaluation)
        return evaluation

    async def create(self, request: EvaluationRequest) -> Evaluation:
        self.requests.append(request)
        return self.start(request)

    async def list(self) -> list[Evaluation]:
        return self.evaluations

    async def get(self, evaluation_id: str) -> Evaluation:
        evaluation = self._find(evaluation_id)
        if evaluation.status in ("queued", "running"):
            self._move_on(evaluation)
        return evaluation

    async def cancel(self, evaluation_id: str) -> Evaluation:
        evaluation = self._find(evaluation_id)
        evaluation.status = "cancelled"
        return evaluation

    async def predictions(self, evaluation_id: str) -> AsyncIterator[str]:
        yield '{"adapter": "base"}\n'

    def _find(self, evaluation_id: str) -> Evaluation:
        return next(evaluation for evaluation in self.evaluations if evaluation.id == evaluation_id)

    def _move_on(self, evaluation: Evaluation) -> None:
        progress = evaluation.progress
        progress.done = min(progress.total, progress.done + progress.total // self.steps + 1)
        progress.seconds_left = (progress.total - progress.done) / 10
        evaluation.status = "running"
        if progress.done == progress.total:
            evaluation.status, progress.seconds_left = "completed", None
            evaluation.scores = made_up_scores(self.scenario, evaluation.request.adapters)
            evaluation.summary = {name: _means(evaluation.scores, name) for name in evaluation.request.adapters}


def made_up_scores(scenario: Scenario, adapters: list[str]) -> list[TaskScore]:
    draw = random.Random(0)
    values = {(task.name, name): draw.uniform(10, 40) + 15 * (name != "base") for task in scenario.tasks for name in adapters}
    return [
        TaskScore(
            adapter=name, task=task.name, seen=task.seen, metric=task.metric, value=value, low=value - 6, high=value + 6, rows=20
        )
        for task in scenario.tasks
        for name in adapters
        for value in [values[task.name, name]]
    ]


def _means(scores: list[TaskScore], adapter: str) -> Means:
    def mean(seen: bool) -> Bounds | None:
        values = [score.value for score in scores if score.adapter == adapter and score.seen == seen]
        value = sum(values) / len(values) if values else None
        return None if value is None else Bounds(value=value, low=value - 3, high=value + 3)

    return Means(seen=mean(True), unseen=mean(False))
