"""OpenAI's routes: chat and completions over the same backend that rewrites texts.

What comes in: requests of `openai_shape`. What goes out: OpenAI's JSON, with usage and the reason why each answer ended, or the
same in pieces as server-sent events. A chat is rendered by the model's own template, so one user message of `prompts.user_message`
is answered as `/v1/rewrite` answers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from serve.engine import Completed, Prompt, TokenScores
from serve.openai_answers import ChatAnswer, ChatChunk, CompletionAnswer, CompletionChunk, streamed
from serve.openai_shape import DEFAULT_COMPLETION_TOKENS, Answer, ChatRequest, CompletionRequest, usage
from serve.pieces import ChatPieces, CompletionPieces, Pieces, server_sent
from serve.schema import ErrorAnswer, ErrorDetail
from serve.service import Delta, LateError

TIMEOUT = "timeout_error"


class Continues(Protocol):
    """The part of a backend that these routes need; see `front.Backend`."""

    async def complete(self, prompts: Sequence[Prompt]) -> list[Completed]: ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]: ...

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]: ...


def add_completion_routes(app: FastAPI, backend: Continues, adapter_of: Callable[[str], str]) -> None:
    """Adds both routes to the application.

    Args:
        adapter_of: the adapter that a model's id names; refuses ids that are not served.
    """

    @app.exception_handler(LateError)
    async def late(request: Request, error: LateError) -> JSONResponse:
        detail = ErrorDetail(message=str(error), type=TIMEOUT)
        return JSONResponse(ErrorAnswer(error=detail).model_dump(), status_code=504)

    @app.post("/v1/chat/completions", response_model=ChatAnswer, responses=streamed(ChatChunk))
    async def chat(request: ChatRequest) -> Answer | StreamingResponse:
        turns = tuple(turn.plain() for turn in request.messages)
        adapter = adapter_of(request.model)
        prompt = Prompt(content=turns, adapter=adapter, max_new_tokens=request.limit, stop=request.stops, decoding=request.decoding)
        if request.stream:
            return await _streamed([backend.stream(prompt)], ChatPieces(request.model), usage=request.tells_usage)
        (answer,) = await backend.complete([prompt])
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return _answer("chatcmpl", "chat.completion", request.model, [choice], *_tokens([answer]))

    @app.post("/v1/completions", response_model=CompletionAnswer, responses=streamed(CompletionChunk))
    async def completions(request: CompletionRequest) -> Answer | StreamingResponse:
        adapter, limit = adapter_of(request.model), request.max_tokens or DEFAULT_COMPLETION_TOKENS
        decoding = request.decoding
        prompts = [
            Prompt(content=prompt, adapter=adapter, max_new_tokens=limit, stop=request.stops, decoding=decoding)
            for prompt in request.prompts
        ]
        if request.logprobs:
            scores = await backend.token_scores(prompts, request.logprobs)
            choices = [_scored_choice(index, score) for index, score in enumerate(scores)]
            tokens = sum(len(score.tokens) - 1 for score in scores)
            return _answer("cmpl", "text_completion", request.model, choices, tokens, len(scores))
        if request.stream:
            streams = [backend.stream(prompt) for prompt in prompts]
            return await _streamed(streams, CompletionPieces(request.model), usage=request.tells_usage)
        answers = await backend.complete(prompts)
        choices = [
            {"index": index, "text": answer.text, "logprobs": None, "finish_reason": answer.finish_reason}
            for index, answer in enumerate(answers)
        ]
        return _answer("cmpl", "text_completion", request.model, choices, *_tokens(answers))


async def _streamed(streams: Sequence[AsyncGenerator[Delta, None]], pieces: Pieces, *, usage: bool) -> StreamingResponse:
    """The answer in events; what is wrong before its first piece is answered with a status of its own."""
    events = server_sent(streams, pieces, usage=usage)
    first = await anext(events)

    async def all_of_them() -> AsyncIterator[str]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return StreamingResponse(all_of_them(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _scored_choice(index: int, scores: TokenScores) -> dict[str, Any]:
    """The prompt and one token more, each with its log-probability, as evaluation harnesses read them."""
    logprobs = {
        "tokens": list(scores.tokens),
        "token_logprobs": list(scores.logprobs),
        "top_logprobs": [None if best is None else dict(best) for best in scores.top],
        "text_offset": list(accumulate(map(len, scores.tokens[:-1]), initial=0)),
    }
    return {"index": index, "text": "".join(scores.tokens), "logprobs": logprobs, "finish_reason": "length"}


def _tokens(answers: Sequence[Completed]) -> tuple[int, int]:
    """Of prompts and of answers."""
    return sum(answer.prompt_tokens for answer in answers), sum(answer.completion_tokens for answer in answers)


def _answer(
    prefix: str, kind: str, model: str, choices: list[dict[str, Any]], prompt_tokens: int, completion_tokens: int
) -> Answer:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage(prompt_tokens, completion_tokens),
    }
