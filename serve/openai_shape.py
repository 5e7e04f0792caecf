"""The part of OpenAI's interface that is served, as types; the official clients and evaluation harnesses speak it.

What a client may send is checked here. Keys that would change an answer in a way that is not there yet are refused by name
instead of being ignored. A temperature left out is 0, and not OpenAI's 1: evaluations want greedy answers. `seed`, `top_p` and
`user` make no difference to these and are taken.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mixwright.decoding import GREEDY, LOWEST_TEMPERATURE, Decoding
from serve.schema import MAX_CHARACTERS, MAX_NEW_TOKENS, MAX_TEXTS, Body, Text

MAX_TURNS = 256
MAX_STOPS = 16
DEFAULT_COMPLETION_TOKENS = 16
"""OpenAI's own default of max_tokens for completions."""

Limit = Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)]
TokenIds = Annotated[tuple[int, ...], Field(min_length=1, max_length=MAX_CHARACTERS)]


class StreamOptions(Body):
    """What a stream tells beside pieces."""

    include_usage: bool | None = None
    """A last piece with the count of tokens."""


class Options(Body):
    """What chat and completions have in common."""

    model: str
    """`base`, or `base:ADAPTER`."""
    max_tokens: Limit | None = None
    stop: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    """Pieces of the answer as they come, as server-sent events."""
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Left out means 0, greedy."""
    n: int | None = None
    """Only 1."""
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    """Only 0, both of them."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    seed: int | None = None
    """Of a sampled answer; left out, the same request draws another answer each time."""
    user: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop texts; an empty one stops nothing."""
        found = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        return tuple(stop for stop in found if stop)

    @property
    def decoding(self) -> Decoding:
        if not self.temperature:
            return GREEDY
        seed = secrets.randbits(31) if self.seed is None else self.seed % 2**31
        return Decoding(temperature=self.temperature, top_p=1.0 if self.top_p is None else self.top_p, seed=seed)

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the count of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options are of a stream; send stream: true, or leave them out")
        return self

    @field_validator("temperature")
    @classmethod
    def _warm_or_greedy(cls, value: float | None) -> float | None:
        if value and value < LOWEST_TEMPERATURE:
            raise ValueError(f"must be 0 or at least {LOWEST_TEMPERATURE}, got {value:g}; 0 is greedy")
        return value

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _no_penalty(cls, value: float | None) -> float | None:
        if value:
            raise ValueError(f"is not there, got {value:g}; leave it out or send 0")
        return value

    @field_validator("n")
    @classmethod
    def _one(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError(f"a request has one answer, got {value}; leave it out or send 1")
        return value


class TextPart(Body):
    """A piece of a message; pictures and sound are not taken."""

    type: Literal["text"]
    text: Text


class Turn(Body):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[tuple[TextPart, ...], Field(min_length=1)]
    name: str | None = None
    """Not shown to the model."""

    def plain(self) -> dict[str, str]:
        """Role and content as chat templates take them; a developer's message is a system's."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class ChatRequest(Options):
    """POST /v1/chat/completions."""

    messages: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=MAX_TURNS)]
    max_completion_tokens: Limit | None = None
    """OpenAI's newer name of max_tokens."""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are two names of one limit; send one of them")
        return self

    @property
    def limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(Options):
    """POST /v1/completions."""

    prompt: Text | TokenIds | Annotated[tuple[Text | TokenIds, ...], Field(min_length=1, max_length=MAX_TEXTS)]
    echo: bool | None = None
    """The prompt comes back before its answer; only together with `logprobs` and one new token."""
    logprobs: Annotated[int, Field(ge=1, le=5)] | None = None
    """So many of the likeliest tokens of each place; only with `echo`."""

    @model_validator(mode="after")
    def _scores_prompts_alone(self) -> Self:
        if bool(self.echo) != (self.logprobs is not None):
            raise ValueError("echo and logprobs score a given text and go together; send both or neither")
        if self.echo and self.stream:
            raise ValueError("echo and logprobs score a given text at once; leave stream out")
        if self.echo and self.max_tokens != 1:
            raise ValueError("echo and logprobs score a given text, not an answer; send max_tokens: 1")
        return self

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """One prompt or many, as many."""
        if isinstance(self.prompt, str):
            return (self.prompt,)
        ids = tuple(item for item in self.prompt if isinstance(item, int))
        return (ids,) if ids else tuple(item for item in self.prompt if not isinstance(item, int))


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


Answer = dict[str, Any]
"""An answer's JSON; its keys are OpenAI's and stand in `completions`, where it is made."""
