"""The HTTP front: a FastAPI application over anything that answers questions.

What comes in: requests of `schema`. What goes out: their answers, or one JSON error of the same shape everywhere:
`{"error": {"message", "type"}}`. The front checks names and limits and passes texts on; it holds no model, so that it stays
quick while models work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mixwright.decoding import Decoding
from mixwright.errors import MixwrightError, did_you_mean
from mixwright.evaluate.retention import ResponseLoss
from mixwright.records import BASE
from mixwright.scenarios import Scenario
from serve.engine import Answerer, Question
from serve.schema import (
    ErrorAnswer,
    ErrorDetail,
    Health,
    ModelCard,
    ModelList,
    NllAnswer,
    NllRequest,
    NllRow,
    RewriteAnswer,
    RewriteRequest,
    model_id,
)

INVALID_REQUEST, NOT_FOUND, UNAVAILABLE = "invalid_request", "not_found", "unavailable"


class BusyError(Exception):
    """A backend has no room for more; the client may ask again."""


class Backend(Protocol):
    """What stands behind the front: a handle on replicas, or an answerer in this process."""

    async def ready(self) -> None:
        """Returns once questions can be answered."""
        ...

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        """Answers in the order of the questions."""
        ...

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        """Mean NLL of the rows' responses."""
        ...


class LocalBackend:
    """An answerer in this process, a batch a request; for tests, and for trying things out without Ray."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._alone = asyncio.Lock()

    async def ready(self) -> None:
        return None

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        requests = [self._answerer.request(question) for question in questions]
        async with self._alone:
            return await asyncio.to_thread(self._answerer.engine.generate, requests)

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        async with self._alone:
            return await asyncio.to_thread(self._answerer.nll, rows, adapter)


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the front knows of the endpoint without asking its backend."""

    model: str
    adapters: tuple[str, ...]
    scenario: Scenario
    run_dir: str = ""


class _RefusedError(Exception):
    """A request that breaks a rule, with the status to answer it with."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


def make_app(backend: Backend, front: Front, *, ready_timeout_s: float = 5.0) -> FastAPI:
    """The application, ready to be served by Ray Serve, uvicorn or a test client."""
    app = FastAPI(title="Mixwright", description="Rewrites texts with a base model and its adapters.")
    _add_error_answers(app)

    @app.get("/healthz")
    async def healthz() -> Health:
        try:
            await asyncio.wait_for(backend.ready(), ready_timeout_s)
        except TimeoutError:
            raise _RefusedError(503, UNAVAILABLE, "the engine is not ready yet; ask again in some seconds") from None
        return Health(status="ok", model=front.model, scenario=front.scenario.name, run_dir=front.run_dir)

    @app.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(data=[ModelCard(id=model_id(name)) for name in (BASE, *front.adapters)])

    @app.post("/v1/rewrite")
    async def rewrite(request: RewriteRequest) -> RewriteAnswer:
        questions = _questions(request, front)
        outputs = await backend.answer(questions)
        return RewriteAnswer(outputs=outputs, model=model_id(request.adapter), task=request.task)

    @app.post("/v1/nll")
    async def nll(request: NllRequest) -> NllAnswer:
        _check_adapter(request.adapter, front)
        loss = await backend.nll(request.rows, request.adapter)
        return NllAnswer(nll=loss.nll, tokens=loss.tokens, model=model_id(request.adapter))

    return app


def _questions(request: RewriteRequest, front: Front) -> list[Question]:
    names = [task.name for task in front.scenario.tasks]
    if request.task not in names:
        known = f"the scenario has {', '.join(names)}{did_you_mean(request.task, names)}"
        raise _RefusedError(400, INVALID_REQUEST, f"task: unknown task '{request.task}'; {known}")
    _check_adapter(request.adapter, front)
    instruction = request.instruction or front.scenario.task(request.task).instructions.train[0]
    return [
        Question(
            instruction=instruction,
            text=text,
            adapter=request.adapter,
            max_new_tokens=request.max_new_tokens,
            decoding=request.decoding,
        )
        for text in request.texts
    ]


def _check_adapter(name: str, front: Front) -> None:
    known = (BASE, *front.adapters)
    if name not in known:
        message = f"adapter: no adapter '{name}'; there are {', '.join(known)}{did_you_mean(name, known)}"
        raise _RefusedError(404, NOT_FOUND, message)


def _add_error_answers(app: FastAPI) -> None:
    @app.exception_handler(_RefusedError)
    async def refused(request: Request, error: _RefusedError) -> JSONResponse:
        return _error(error.status, error.kind, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _error(400, INVALID_REQUEST, "; ".join(_problem(item) for item in error.errors()))

    @app.exception_handler(MixwrightError)
    async def ours(request: Request, error: MixwrightError) -> JSONResponse:
        return _error(400, INVALID_REQUEST, str(error))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        return _error(503, UNAVAILABLE, "the endpoint is busy; ask again in some seconds")

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, NOT_FOUND, f"{request.method} {request.url.path}: {error.detail}; see /docs")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse(ErrorAnswer(error=ErrorDetail(message=message, type=kind)).model_dump(), status_code=status)


def _problem(item: dict[str, object]) -> str:
    location = [str(part) for part in item["loc"] if part != "body"]  # type: ignore[attr-defined]
    if item["type"] == "json_invalid":
        return "the body is not valid JSON"
    if item["type"] == "extra_forbidden":
        bodies = (RewriteRequest, NllRequest, NllRow, Decoding)
        known = tuple({field for body in bodies for field in body.model_fields})
        return f"unknown key `{'.'.join(location)}`{did_you_mean(location[-1], known)}"
    rule = str(item["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(location) or 'body'}: {rule[0].lower()}{rule[1:]}"
