"""What the endpoint refuses: exceptions that the front turns into one JSON error with its status.

    RefusedError    a request that breaks a rule; nothing changes by asking again
    BusyError       429: a queue is full
    AwayError       503: what answers is starting, or died over the request

They cross from a replica to the ingress, so each of them pickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixwright.errors import did_you_mean
from serve.schema import ErrorDetail

INVALID_REQUEST, UNAVAILABLE = "invalid_request_error", "service_unavailable_error"
TOO_MANY, SERVER_ERROR = "rate_limit_error", "server_error"
ADAPTER_NOT_FOUND, MODEL_NOT_FOUND, TASK_NOT_FOUND = "adapter_not_found", "model_not_found", "task_not_found"
RETRY_AFTER_S = 2
"""What a client is told to wait: about what a full queue takes to move on, or a replica's death to be noticed."""


class BusyError(Exception):
    """A queue has no room for more; the client may ask again. Its text, where it has one, says which."""


class AwayError(Exception):
    """A backend is starting, or died over the request; the client may ask again, and nothing of the answer was sent."""


class RefusedError(Exception):
    """A request that breaks a rule, with the status to answer it with."""

    def __init__(
        self, status: int, message: str, *, kind: str = INVALID_REQUEST, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.detail = status, ErrorDetail(message=message, type=kind, param=param, code=code)

    def __reduce__(self) -> tuple[Any, ...]:
        return _refused, (self.status, self.detail)


def _refused(status: int, detail: ErrorDetail) -> RefusedError:
    return RefusedError(status, detail.message, kind=detail.type, param=detail.param, code=detail.code)


def unknown_task(name: str, scenario_tasks: Sequence[str], *, param: str = "task") -> RefusedError:
    """404, with the nearest name."""
    known = f"the scenario has {', '.join(scenario_tasks)}{did_you_mean(name, scenario_tasks)}"
    return RefusedError(404, f"{param}: unknown task '{name}'; {known}", param=param, code=TASK_NOT_FOUND)


def unknown_adapter(name: str, served: Sequence[str], *, param: str = "adapter") -> RefusedError:
    """404, with the nearest name."""
    message = f"{param}: no adapter '{name}'; there are {', '.join(served)}{did_you_mean(name, served)}"
    return RefusedError(404, message, param=param, code=ADAPTER_NOT_FOUND)
