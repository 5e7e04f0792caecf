"""OpenAI's routes: chat and completions over the same backend that rewrites texts.

What comes in: requests of `openai_shape`. What goes out: OpenAI's JSON, with usage and the reason why each answer ended. A chat is
rendered by the model's own template, so one user message of `prompts.user_message` is answered as `/v1/rewrite` answers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI

from serve.engine import Completed, Prompt
from serve.openai_shape import DEFAULT_COMPLETION_TOKENS, Answer, ChatRequest, CompletionRequest, usage

Complete = Callable[[Sequence[Prompt]], Awaitable[list[Completed]]]


def add_completion_routes(app: FastAPI, complete: Complete, adapter_of: Callable[[str], str]) -> None:
    """Adds both routes to the application.

    Args:
        complete: continues prompts, in their order.
        adapter_of: the adapter that a model's id names; refuses ids that are not served.
    """

    @app.post("/v1/chat/completions")
    async def chat(request: ChatRequest) -> Answer:
        turns = tuple(turn.plain() for turn in request.messages)
        adapter = adapter_of(request.model)
        prompt = Prompt(content=turns, adapter=adapter, max_new_tokens=request.limit, stop=request.stops)
        (answer,) = await complete([prompt])
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return _answer("chatcmpl", "chat.completion", request.model, [choice], [answer])

    @app.post("/v1/completions")
    async def completions(request: CompletionRequest) -> Answer:
        adapter, limit = adapter_of(request.model), request.max_tokens or DEFAULT_COMPLETION_TOKENS
        prompts = [Prompt(content=prompt, adapter=adapter, max_new_tokens=limit, stop=request.stops) for prompt in request.prompts]
        answers = await complete(prompts)
        choices = [
            {"index": index, "text": answer.text, "logprobs": None, "finish_reason": answer.finish_reason}
            for index, answer in enumerate(answers)
        ]
        return _answer("cmpl", "text_completion", request.model, choices, answers)


def _answer(prefix: str, kind: str, model: str, choices: list[dict[str, Any]], answers: Sequence[Completed]) -> Answer:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage(sum(answer.prompt_tokens for answer in answers), sum(answer.completion_tokens for answer in answers)),
    }
