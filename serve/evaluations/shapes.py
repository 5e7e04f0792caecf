"""The HTTP interface of evaluations as types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mixwright.decoding import Decoding
from serve.schema import MAX_NEW_TOKENS, Body, ErrorDetail, Name

MAX_ADAPTERS = 64
MAX_TASKS = 256
MAX_ROWS = 1_000_000

EvaluationSplit = Literal["dev", "test"]
Status = Literal["queued", "running", "completed", "failed", "cancelled"]


class EvaluationRequest(Body):
    """POST /v1/evaluations."""

    tasks: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_TASKS)] = "all"
    """Tasks of the endpoint's scenario."""
    split: EvaluationSplit = "dev"
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] | None = None
    """Rows a task; left out: as the run's configuration says (evaluation.dev_rows or test_rows)."""
    adapters: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_ADAPTERS)]
    """`base`, or adapters' names."""
    decoding: Decoding | None = None
    """As in /v1/rewrite; left out: as the run's configuration says."""
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    """Left out: as the run's configuration says."""


class SettledRequest(BaseModel):
    """The request with nothing left out."""

    tasks: list[str]
    split: EvaluationSplit
    limit: int
    adapters: list[str]
    decoding: Decoding
    max_new_tokens: int


class Progress(BaseModel):
    """In answers, over all adapters."""

    done: int
    total: int
    seconds_left: float | None = None
    """At the pace so far; null where nothing is under way, or too little was answered to tell."""


class Bounds(BaseModel):
    """A value with the ends of its 95 % bootstrap interval over rows."""

    value: float
    low: float
    high: float


class TaskScore(Bounds):
    """One adapter's score of one task, on a scale of 0 to 100."""

    adapter: str
    task: str
    seen: bool
    """False where the task was held out of training."""
    metric: str
    rows: int


class Means(BaseModel):
    """Over tasks, each weighing the same; null where no task of the kind was asked."""

    seen: Bounds | None
    unseen: Bounds | None


class Scores(BaseModel):
    """What has been scored so far."""

    scores: list[TaskScore] = []
    """A task of an adapter, once all its rows are answered."""
    summary: dict[str, Means] = {}
    """By adapter, once all its tasks are scored."""


class Evaluation(Scores):
    """GET /v1/evaluations/ID."""

    id: str
    object: Literal["evaluation"] = "evaluation"
    status: Status
    request: SettledRequest
    created: int
    """Seconds since 1970."""
    progress: Progress
    error: ErrorDetail | None = None
    """Why it failed."""


class EvaluationList(BaseModel):
    """GET /v1/evaluations, the newest first."""

    object: Literal["list"] = "list"
    data: list[Evaluation]
