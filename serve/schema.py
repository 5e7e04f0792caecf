"""The HTTP interface as types: what a request may hold, what an answer holds.

Limits stand here and are checked before anything reaches a model.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mixwright.decoding import GREEDY, Decoding
from mixwright.records import BASE

MAX_TEXTS = 256
"""Texts of one rewrite, and rows of one NLL request."""
MAX_CHARACTERS = 20_000
"""Of one text, instruction or response; the model's own context may be shorter."""
MAX_NEW_TOKENS = 1024

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
"""Of a task or an adapter."""


class Body(BaseModel):
    """Base of what clients send: unknown keys are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RewriteRequest(Body):
    """POST /v1/rewrite."""

    task: Name
    """A task of the endpoint's scenario."""
    texts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_TEXTS)]
    adapter: Name = BASE
    """`base`, or an adapter's name."""
    instruction: Text | None = None
    """Left out: the first of the task's training wordings."""
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 128
    decoding: Decoding = GREEDY
    """{"temperature": 0.7, "top_p": 0.9}, or in short "temperature=0.7,top_p=0.9"; left out: greedy."""


class RewriteAnswer(BaseModel):
    """Outputs in the order of the texts."""

    outputs: list[str]
    model: str
    task: str


class NllRow(Body):
    """One instruction with its response."""

    instruction: Text
    text: Text = ""
    response: Text


class NllRequest(Body):
    """POST /v1/nll."""

    rows: Annotated[tuple[NllRow, ...], Field(min_length=1, max_length=MAX_TEXTS)]
    adapter: Name = BASE


class NllAnswer(BaseModel):
    """Mean negative log-likelihood of the responses, nats a token, end tokens included."""

    nll: float
    tokens: int
    model: str


class ModelCard(BaseModel):
    """An entry of GET /v1/models, in OpenAI's shape."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "mixwright"


class ModelList(BaseModel):
    """GET /v1/models."""

    object: str = "list"
    data: list[ModelCard]


class Health(BaseModel):
    """GET /healthz."""

    status: str
    model: str
    scenario: str
    run_dir: str
    """Folder of the run that is served, as the endpoint's machine knows it; empty where it serves none."""


class ErrorDetail(BaseModel):
    """In OpenAI's shape, on every route."""

    message: str
    type: str
    param: str | None = None
    """The part of the request that broke a rule."""
    code: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer of status 400 and above."""

    error: ErrorDetail


def model_id(adapter: str) -> str:
    """`base` for base, `base:NAME` for an adapter."""
    return BASE if adapter == BASE else f"{BASE}:{adapter}"
