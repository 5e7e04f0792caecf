"""The routes of evaluations, over anything that keeps them.

What comes in: requests of `shapes`. What goes out: evaluations, and their predictions as NDJSON. An endpoint without a run has no
rows to ask, and says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from serve.errors import RefusedError
from serve.evaluations.shapes import Evaluation, EvaluationList, EvaluationRequest

PATH = "/v1/evaluations"

LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A prediction a line, in the order in which they were answered; those of an open evaluation so far",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


class Evaluations(Protocol):
    """What the routes need; see `evaluator.Evaluator`, whose docstrings say what each raises."""

    async def create(self, request: EvaluationRequest) -> Evaluation: ...

    async def list(self) -> list[Evaluation]: ...

    async def get(self, evaluation_id: str) -> Evaluation: ...

    async def cancel(self, evaluation_id: str) -> Evaluation: ...

    def predictions(self, evaluation_id: str) -> AsyncIterator[str]: ...


def add_evaluation_routes(app: FastAPI, evaluations: Evaluations | None) -> None:
    """Adds the routes to the application.

    Args:
        evaluations: None where the endpoint serves no run.
    """

    def present() -> Evaluations:
        if evaluations is None:
            way_out = "set run_dir in the endpoint's arguments to the folder of a sweep, and start it again"
            raise RefusedError(409, f"this endpoint serves no run, so there are no rows to evaluate; {way_out}", code="no_run")
        return evaluations

    @app.post(PATH, status_code=202)
    async def create(request: EvaluationRequest, response: Response) -> Evaluation:
        evaluation = await present().create(request)
        response.headers["Location"] = f"{PATH}/{evaluation.id}"
        return evaluation

    @app.get(PATH)
    async def evaluations_of_the_run() -> EvaluationList:
        return EvaluationList(data=await evaluations.list() if evaluations else [])

    @app.get(f"{PATH}/{{evaluation_id}}")
    async def evaluation(evaluation_id: str) -> Evaluation:
        return await present().get(evaluation_id)

    @app.post(f"{PATH}/{{evaluation_id}}/cancel")
    async def cancel(evaluation_id: str) -> Evaluation:
        return await present().cancel(evaluation_id)

    @app.get(f"{PATH}/{{evaluation_id}}/predictions", response_class=StreamingResponse, responses=LINES)
    async def predictions(evaluation_id: str) -> StreamingResponse:
        found = present()
        await found.get(evaluation_id)  # a refusal must come before the first byte
        return StreamingResponse(found.predictions(evaluation_id), media_type="application/x-ndjson")
