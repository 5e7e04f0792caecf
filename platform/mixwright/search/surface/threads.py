"""One thread for the surface's linear algebra."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function with BLAS kept to one thread while it runs.

    Its matrices are small, and the processors belong to the trials that train beside it: threads that wait for one another on busy
    processors were measured to take ten times as long.
    """

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@functools.cache
def _libraries() -> ThreadpoolController:
    """Found once: to look for them takes milliseconds, and they are loaded by the time of the first call."""
    return ThreadpoolController()
