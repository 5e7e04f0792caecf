"""Evaluations in the shape of the interface over made-up scores: each look at a running one finds it a step further."""

from __future__ import annotations

import random
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from mixwright.scenarios import Scenario

CREATED = 1_780_000_000


class MadeUpEvaluations:
    """Each look at a running one finds it a step further, so that it ends after `steps` of them."""

    def __init__(self, scenario: Scenario, *, steps: int = 3) -> None:
        self.scenario, self.steps = scenario, steps
        self.evaluations: list[dict[str, Any]] = []
        """Newest first."""
        self.requests: list[dict[str, Any]] = []

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        total = 100 * len(request["adapters"])
        evaluation = {
            "id": f"evaluation-{len(self.evaluations)}",
            "status": "queued",
            "request": {"tasks": [task.name for task in self.scenario.tasks], "decoding": {}, **request},
            "created": CREATED + len(self.evaluations),
            "progress": {"done": 0, "total": total, "seconds_left": None},
            "scores": [],
            "summary": {},
            "error": None,
        }
        self.evaluations.insert(0, evaluation)
        return evaluation

    def look(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        progress = evaluation["progress"]
        if evaluation["status"] in ("queued", "running"):
            progress["done"] = min(progress["total"], progress["done"] + progress["total"] // self.steps + 1)
            progress["seconds_left"] = (progress["total"] - progress["done"]) / 10
            evaluation["status"] = "completed" if progress["done"] == progress["total"] else "running"
        if evaluation["status"] == "completed" and not evaluation["scores"]:
            evaluation.update(made_up_scores(self.scenario, evaluation["request"]["adapters"]))
        return evaluation

    def add_routes(self, app: FastAPI) -> None:
        @app.get("/v1/evaluations")
        def listed() -> dict[str, Any]:
            return {"object": "list", "data": self.evaluations}

        @app.post("/v1/evaluations", status_code=202)
        async def started(request: Request) -> dict[str, Any]:
            body = await request.json()
            self.requests.append(body)
            return self.start(body)

        @app.get("/v1/evaluations/{name}")
        def one(name: str) -> dict[str, Any]:
            return self.look(self._find(name))

        @app.post("/v1/evaluations/{name}/cancel")
        def cancelled(name: str) -> dict[str, Any]:
            evaluation = self._find(name)
            evaluation["status"] = "cancelled"
            return evaluation

        @app.get("/v1/evaluations/{name}/predictions")
        def predictions(name: str) -> PlainTextResponse:
            return PlainTextResponse('{"adapter": "base"}\n', media_type="application/x-ndjson")

    def _find(self, name: str) -> dict[str, Any]:
        return next(evaluation for evaluation in self.evaluations if evaluation["id"] == name)


def made_up_scores(scenario: Scenario, adapters: list[str]) -> dict[str, Any]:
    draw = random.Random(0)
    scores = [
        {
            "adapter": adapter,
            "task": task.name,
            "seen": task.seen,
            "metric": task.metric,
            "value": (value := draw.uniform(10, 40) + 15 * (adapter != "base")),
            "low": value - 6,
            "high": value + 6,
            "rows": 20,
        }
        for task in scenario.tasks
        for adapter in adapters
    ]

    def mean(adapter: str, seen: bool) -> dict[str, float] | None:
        values = [score["value"] for score in scores if score["adapter"] == adapter and score["seen"] == seen]
        value = sum(values) / len(values) if values else None
        return None if value is None else {"value": value, "low": value - 3, "high": value + 3}

    summary = {adapter: {"seen": mean(adapter, True), "unseen": mean(adapter, False)} for adapter in adapters}
    return {"scores": scores, "summary": summary}


def locked(app: FastAPI, key: str) -> None:
    """Every API call needs the key from here on; the page and its files do not."""

    @app.middleware("http")
    async def with_key(request: Request, call_next: Any) -> Any:
        if request.url.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {key}":
            error = {"message": "the key is missing or wrong", "type": "authentication_error", "param": None, "code": None}
            return JSONResponse({"error": error}, status_code=401)
        return await call_next(request)
