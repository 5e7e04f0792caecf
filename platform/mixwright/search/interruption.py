"""Ctrl-C and SIGTERM while trials run: the search ends between two results, with all that it holds written down.

The first signal asks; the second does not wait. Outside the search, where nothing has to be put away, either ends the job at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray import tune

from mixwright.errors import Interrupted


class SearchStoppedError(Exception):
    """Ends Tune's loop, which then stops its lanes."""


class Interruption(tune.Callback):
    """Whether the search has been asked to end, and the callback that ends it."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.signal_number is not None:
            raise SearchStoppedError


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """For the length of the block, signals ask the search to end.

    Raises:
        Interrupted: it was asked, and has.
    """
    interruption = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if interruption.signal_number is not None:
            raise Interrupted(number)
        interruption.signal_number = number

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    except SearchStoppedError:
        assert interruption.signal_number is not None
        raise Interrupted(interruption.signal_number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
