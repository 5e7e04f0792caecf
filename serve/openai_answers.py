"""OpenAI's answers as types, so that `/docs` says what comes back and nothing else can."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from serve.schema import ErrorAnswer

FinishReason = Literal["stop", "length"]


class Usage(BaseModel):
    """OpenAI's count of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The one answer of a chat."""

    index: int
    message: AnswerMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatAnswer(BaseModel):
    """POST /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(BaseModel):
    """What a piece of a chat adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None


class ChatPiece(BaseModel):
    """A piece of the one answer of a chat; the last has the reason."""

    index: int
    delta: ChatDelta
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(BaseModel):
    """An event of POST /v1/chat/completions; the one with the count of tokens has no piece."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatPiece]
    usage: Usage | None = None


class Logprobs(BaseModel):
    """How likely each token of a prompt is, and the one that would follow."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One prompt's answer."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: FinishReason


class CompletionAnswer(BaseModel):
    """POST /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class CompletionPiece(BaseModel):
    """A piece of one prompt's answer; the last has the reason."""

    index: int
    text: str
    logprobs: None
    finish_reason: FinishReason | None


class CompletionChunk(BaseModel):
    """An event of POST /v1/completions; the one with the count of tokens has no piece."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionPiece]
    usage: Usage | None = None


def streamed(chunk: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route that answers whole or, with `stream`, in events, each of which the schema describes."""
    said = [_without_references(kind.model_json_schema()) for kind in (chunk, ErrorAnswer)]
    content = {"contentMediaType": "application/json", "contentSchema": {"anyOf": said}}
    event = {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "string", "anyOf": [{"const": "[DONE]"}, content]}},
    }
    return {
        200: {
            "description": "The answer; with `stream`, its pieces as server-sent events, and `[DONE]` after the last",
            "content": {"text/event-stream": {"schema": event}},
        }
    }


def _without_references(schema: Any, definitions: dict[str, Any] | None = None) -> Any:
    """A schema with its definitions in their places: within another document nothing would resolve what refers to them."""
    if isinstance(schema, list):
        return [_without_references(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    definitions = schema.get("$defs", definitions)
    if "$ref" in schema:
        return _without_references((definitions or {})[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _without_references(part, definitions) for key, part in schema.items() if key != "$defs"}
