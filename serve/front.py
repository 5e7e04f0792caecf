"""The HTTP front: a FastAPI application over anything that answers questions.

What comes in: requests of `schema` and `openai_shape`. What goes out: their answers, or one JSON error, in OpenAI's shape on every
route: `{"error": {"message", "type", "param", "code"}}`. The front checks names and limits and passes texts on; it holds no model,
so that it stays quick while models work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mixwright.decoding import Decoding
from mixwright.errors import MixwrightError, did_you_mean
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.loop import EngineLoop, FullError
from mixwright.records import BASE
from mixwright.scenarios import Scenario
from serve.completions import add_completion_routes
from serve.docs import add_docs
from serve.engine import Answerer, Completed, Prompt, Question, TokenScores
from serve.errors import (
    INVALID_REQUEST,
    MODEL_NOT_FOUND,
    RETRY_AFTER_S,
    SERVER_ERROR,
    TOO_MANY,
    UNAVAILABLE,
    AwayError,
    BusyError,
    RefusedError,
    unknown_adapter,
    unknown_task,
)
from serve.evaluations.routes import Evaluations, add_evaluation_routes
from serve.evaluations.shapes import EvaluationRequest
from serve.openai_shape import ChatRequest, CompletionRequest, TextPart, Turn
from serve.playground import add_playground_routes
from serve.safety import HEADERS, NO_KEY, Rules, Safety
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
from serve.service import Delta, Service

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "A request that the model cannot answer, such as a text beyond its context",
        401: "The endpoint has a key, and the request another or none",
        403: "The endpoint has no key, and the request is not from its own machine",
        404: "No such route, task, adapter, model or evaluation",
        409: "What is served does not allow it",
        413: "The body is too large",
        422: "The request breaks a rule of its schema",
        429: "A queue is full; see Retry-After",
        503: "The engine is starting, or a replica was lost; see Retry-After",
        504: "The answer took longer than it may",
    }.items()
}
"""What any route may answer beside its own."""
LOCAL_ROWS, LOCAL_WAITING_TOKENS = 256, 1_000_000


class Backend(Protocol):
    """What stands behind the front: a handle on replicas, or an answerer in this process."""

    async def ready(self) -> None:
        """Returns once questions can be answered."""
        ...

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        """Answers in the order of the questions."""
        ...

    async def complete(self, prompts: Sequence[Prompt]) -> list[Completed]:
        """Continuations in the order of the prompts."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """One continuation, piece by piece; closing it gives up what is left."""
        ...

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        """How likely the prompts of one adapter are, with `top` of the likeliest tokens."""
        ...

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        """Mean NLL of the rows' responses."""
        ...


class LocalBackend:
    """An answerer in this process, stepped as a replica steps it; for tests, and for trying things out without Ray."""

    def __init__(self, answerer: Answerer) -> None:
        assert answerer.engine is not None
        loop = EngineLoop(answerer.engine, rows=LOCAL_ROWS, max_waiting_tokens=LOCAL_WAITING_TOKENS)
        self._service = Service.over(answerer, loop)

    async def ready(self) -> None:
        return None

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        with _busy_when_full():
            return await self._service.answer(questions)

    async def complete(self, prompts: Sequence[Prompt]) -> list[Completed]:
        with _busy_when_full():
            return await self._service.complete(prompts)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        with _busy_when_full():
            async with aclosing(self._service.stream(prompt)) as deltas:
                async for delta in deltas:
                    yield delta

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        return await self._service.token_scores(prompts, top)

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        return await self._service.nll(rows, adapter)


@contextmanager
def _busy_when_full() -> Iterator[None]:
    try:
        yield
    except FullError as error:
        raise BusyError from error


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the front knows of the endpoint without asking its backend."""

    model: str
    adapters: Sequence[str]
    """Names, as they are when they are asked for; what is `in` it is served, listed or not."""
    scenario: Scenario
    run_dir: str = ""


def make_app(
    backend: Backend,
    front: Front,
    *,
    evaluations: Evaluations | None = None,
    rules: Rules = NO_KEY,
    ready_timeout_s: float = 5.0,
) -> FastAPI:
    """The application, ready to be served by Ray Serve, uvicorn or a test client.

    Args:
        evaluations: those of the run that is served; None where none is.
        rules: who may ask, and how much.
    """
    app = FastAPI(
        title="Mixwright",
        description="Rewrites texts with a base model and its adapters.",
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    app.add_middleware(Safety, rules=rules)
    _add_error_answers(app)
    add_docs(app)

    @app.get("/healthz")
    async def healthz() -> Health:
        try:
            await asyncio.wait_for(backend.ready(), ready_timeout_s)
        except TimeoutError:
            raise AwayError("the engine is not ready yet; ask again in some seconds") from None
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

    add_completion_routes(app, backend, lambda model: _adapter_of(model, front))
    add_evaluation_routes(app, evaluations)
    add_playground_routes(app, front)
    return app


def _questions(request: RewriteRequest, front: Front) -> list[Question]:
    names = [task.name for task in front.scenario.tasks]
    if request.task not in names:
        raise unknown_task(request.task, names)
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
    if name != BASE and name not in front.adapters:
        raise unknown_adapter(name, (BASE, *front.adapters))


def _adapter_of(model: str, front: Front) -> str:
    name = BASE if model == BASE else model.removeprefix(f"{BASE}:")
    if model != model_id(name) or (name != BASE and name not in front.adapters):
        known = [model_id(name) for name in (BASE, *front.adapters)]
        message = f"model: no model '{model}'; there are {', '.join(known)}{did_you_mean(model, known)}"
        raise RefusedError(404, message, param="model", code=MODEL_NOT_FOUND)
    return name


def _add_error_answers(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return _error(error.status, error.detail)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = list(dict.fromkeys(_problem(item) for item in error.errors()))
        return _error(422, ErrorDetail(message="; ".join(problems), type=INVALID_REQUEST, param=_param(error)))

    @app.exception_handler(MixwrightError)
    async def ours(request: Request, error: MixwrightError) -> JSONResponse:
        return _error(400, ErrorDetail(message=str(error), type=INVALID_REQUEST))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        message = str(error) or "the endpoint is busy; ask again in some seconds"
        return _come_back(429, ErrorDetail(message=message, type=TOO_MANY))

    @app.exception_handler(AwayError)
    async def away(request: Request, error: AwayError) -> JSONResponse:
        message = str(error) or "the engine is starting again; ask again in some seconds"
        return _come_back(503, ErrorDetail(message=message, type=UNAVAILABLE))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}; see /docs"
        answer = _error(error.status_code, ErrorDetail(message=message, type=INVALID_REQUEST))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        message = f"a fault of the endpoint ({type(error).__name__}); its log says more"
        answer = _error(500, ErrorDetail(message=message, type=SERVER_ERROR))
        answer.headers.update(HEADERS)  # it is made outside of every layer
        return answer


def _error(status: int, detail: ErrorDetail) -> JSONResponse:
    # Half a character, as JSON can hold one, may be quoted in it, and cannot be sent.
    sendable = {name: value and value.encode("utf-8", "replace").decode() for name, value in detail.model_dump().items()}
    return JSONResponse({"error": sendable}, status_code=status)


def _come_back(status: int, detail: ErrorDetail) -> JSONResponse:
    answer = _error(status, detail)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _param(error: RequestValidationError) -> str | None:
    """The key that the first problem is about."""
    location = [str(part) for part in error.errors()[0]["loc"] if part != "body"]
    return location[0] if location else None


def _problem(item: dict[str, object]) -> str:
    location = [str(part) for part in item["loc"] if part != "body"]  # type: ignore[attr-defined]
    if item["type"] == "json_invalid":
        return "the body is not valid JSON"
    if item["type"] == "extra_forbidden":
        bodies = (RewriteRequest, NllRequest, NllRow, ChatRequest, CompletionRequest, Turn, TextPart, Decoding, EvaluationRequest)
        known = tuple({field for body in bodies for field in body.model_fields})
        return f"unknown key `{'.'.join(location)}`{did_you_mean(location[-1], known)}"
    rule = str(item["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(location) or 'body'}: {rule[0].lower()}{rule[1:]}"
