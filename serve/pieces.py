"""OpenAI's form of an answer that comes in pieces: server-sent events, each with JSON, and `[DONE]` at the end.

What comes in: the pieces of one or several answers. What goes out: events. Whatever goes wrong after the first of them is an event
too, since the status has been sent by then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from mixwright.errors import MixwrightError
from serve.openai_shape import usage as usage_of
from serve.schema import ErrorAnswer, ErrorDetail
from serve.service import Delta, LateError

logger = logging.getLogger(__name__)

DONE = "data: [DONE]\n\n"


class RetryError(Exception):
    """An answer broke off; asked again, it may come."""


class Pieces(Protocol):
    """One route's JSON."""

    kind: str
    prefix: str
    model: str

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Choices that come before the answer's text."""
        ...

    def choices(self, index: int, delta: Delta) -> list[dict[str, Any]]:
        """Choices that tell a piece, one event each."""
        ...


class ChatPieces:
    """/v1/chat/completions."""

    kind, prefix = "chat.completion.chunk", "chatcmpl"

    def __init__(self, model: str) -> None:
        self.model = model

    def opening(self, index: int) -> list[dict[str, Any]]:
        return [_chat_choice(index, {"role": "assistant", "content": "", "refusal": None}, None)]

    def choices(self, index: int, delta: Delta) -> list[dict[str, Any]]:
        said = [_chat_choice(index, {"content": delta.text}, None)] if delta.text else []
        return said + ([_chat_choice(index, {}, delta.finish_reason)] if delta.finish_reason else [])


class CompletionPieces:
    """/v1/completions."""

    kind, prefix = "text_completion", "cmpl"

    def __init__(self, model: str) -> None:
        self.model = model

    def opening(self, index: int) -> list[dict[str, Any]]:
        return []

    def choices(self, index: int, delta: Delta) -> list[dict[str, Any]]:
        return [{"index": index, "text": delta.text, "logprobs": None, "finish_reason": delta.finish_reason}]


def _chat_choice(index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


async def server_sent(streams: Sequence[AsyncGenerator[Delta, None]], pieces: Pieces, *, usage: bool) -> AsyncGenerator[str, None]:
    """The events of answers that come side by side, choice i of `streams[i]`.

    Args:
        usage: the last event but one tells the count of tokens, and the others that they do not.

    Raises:
        Exception: what a stream raises before the first piece.
    """
    head = {"id": f"{pieces.prefix}-{uuid.uuid4().hex}", "object": pieces.kind, "created": int(time.time()), "model": pieces.model}
    more = {"usage": None} if usage else {}
    begun, last = False, dict[int, Delta]()
    async with aclosing(_side_by_side(streams)) as arriving:
        try:
            async for index, delta in arriving:
                opening = [] if index in last else pieces.opening(index)
                last[index] = delta
                for choice in [*opening, *pieces.choices(index, delta)]:
                    begun = True
                    yield _event({**head, "choices": [choice], **more})
        except Exception as error:
            if not begun:
                raise
            yield _event(ErrorAnswer(error=_detail(error)).model_dump())
            return
    if usage:
        counts = usage_of(
            *(sum(getattr(delta, name) for delta in last.values()) for name in ("prompt_tokens", "completion_tokens"))
        )
        yield _event({**head, "choices": [], "usage": counts})
    yield DONE


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _detail(error: Exception) -> ErrorDetail:
    """What broke an answer off, as the client may read it."""
    if isinstance(error, LateError):
        return ErrorDetail(message=str(error), type="timeout_error", code="timeout")
    if isinstance(error, RetryError):
        return ErrorDetail(message=str(error), type="service_unavailable_error", code="retry")
    if isinstance(error, MixwrightError):
        return ErrorDetail(message=str(error), type="invalid_request_error")
    logger.error("an answer broke off", exc_info=error)
    return ErrorDetail(message="the answer broke off; ask again", type="server_error", code="retry")


async def _side_by_side(streams: Sequence[AsyncGenerator[Delta, None]]) -> AsyncGenerator[tuple[int, Delta], None]:
    """Pieces of all streams as they come; the first error ends all."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as only:
            async for delta in only:
                yield 0, delta
        return
    arrived: asyncio.Queue[tuple[int, Delta | BaseException | None]] = asyncio.Queue()

    async def pump(index: int, stream: AsyncGenerator[Delta, None]) -> None:
        try:
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    arrived.put_nowait((index, delta))
        except Exception as error:  # raised where it is read
            arrived.put_nowait((index, error))
        else:
            arrived.put_nowait((index, None))

    pumps = [asyncio.create_task(pump(*item)) for item in enumerate(streams)]
    try:
        open_streams = len(pumps)
        while open_streams:
            index, item = await arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                open_streams -= 1
            else:
                yield index, item
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
