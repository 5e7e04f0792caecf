"""What is running, how far it is, and how long is left: a bar or a table on a terminal, a line every quarter of a minute elsewhere.

Work is counted in training steps. Worker 0 of each trial writes a line a step to metrics.jsonl; counting lines needs no
channel of its own and works the same for any number of nodes that share the run folder.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from tqdm import tqdm

from mixwright.records import TrialRecord
from mixwright.search.board import Board
from mixwright.train.reporter import METRICS_FILE

logger = logging.getLogger(__name__)

INTERVAL_S = 15.0


class Stage:
    """A stretch of work with a name; `done` and `total` are asked for while it runs.

    with Stage("searching", done=count_steps, total=expected_steps):
        ...
    """

    def __init__(
        self,
        name: str,
        *,
        done: Callable[[], float],
        total: Callable[[], float],
        unit: str = "step",
        board: Board | None = None,
        before: str = "workers are starting",
        after: str = "the last evaluation is under way",
    ) -> None:
        """Starts nothing yet.

        Args:
            before, after: what is going on while nothing is done yet, and once everything is.
        """
        self._before, self._after = before, after
        self._name, self._done, self._total, self._unit = name, done, total, unit
        self._board = board
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._started = self._pace_from = time.monotonic()
        self._at_start = self._done()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._started
        if kind is None:
            logger.info("%s: done in %s", self._name, clock(self.seconds))

    def _watch(self) -> None:
        if sys.stderr.isatty() and self._board:
            self._draw_table(self._board)
        elif sys.stderr.isatty():
            self._draw_bar()
        else:
            self._write_lines()

    def _draw_table(self, board: Board) -> None:
        """Log lines go above the table as long as it stands."""
        console = Console(file=sys.stderr)
        with Live(console=console, auto_refresh=False, transient=True) as live, _logged_to(console):
            while not self._stop.wait(1.0):
                live.update(board.drawn(self._name, self._line().removeprefix(f"{self._name}: ")), refresh=True)

    def _draw_bar(self) -> None:
        with tqdm(desc=self._name, total=self._total(), unit=self._unit, leave=False, file=sys.stderr) as bar:
            while not self._stop.wait(1.0):
                bar.total = self._total()
                bar.update(min(self._done(), bar.total) - bar.n)
                if bar.n == bar.total:
                    bar.set_postfix_str(self._after)

    def _write_lines(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            logger.info(self._line())

    def _line(self) -> str:
        now, done, total = time.monotonic(), self._done(), self._total()
        fresh, total, gone = done - self._at_start, max(total, done), now - self._started
        if not fresh:
            self._pace_from = now  # the start of workers says nothing of their pace
        left = f"about {clock((now - self._pace_from) / fresh * (total - done))} left" if fresh > 0 else self._before
        if fresh > 0 and done == total:
            left = self._after
        return f"{self._name}: {done:.0f} of about {total:.0f} {self._unit}s, {clock(gone)} gone, {left}"


@contextmanager
def _logged_to(console: Console) -> Iterator[None]:
    """Stream handlers of the root logger write through the console, which knows where the table stands."""
    handlers = [item for item in logging.getLogger().handlers if type(item) is logging.StreamHandler]
    streams = [handler.setStream(_Lines(console)) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            handler.setStream(stream)


class _Lines:
    """A stream whose lines a console prints."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        if line := text.rstrip("\n"):
            self._console.print(line, markup=False, highlight=False)

    def flush(self) -> None:
        """Nothing is held back."""


def clock(seconds: float) -> str:
    """Minutes and seconds: 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class StepsTaken:
    """Training steps that each trial of a run has taken so far: of those that have ended by their records, else by their files.

    Args:
        ended: grows while the search runs.
    """

    def __init__(self, run_dir: Path, ended: Sequence[TrialRecord]) -> None:
        self._run_dir, self._ended = run_dir, ended
        self._of_ended: dict[str, int] = {}
        self._known = 0

    def by_trial(self) -> dict[str, int]:
        """By trial id."""
        for record in self._ended[self._known :]:
            self._of_ended[record.trial_id] = record.rungs[-1].step if record.rungs else 0
            self._known += 1
        running = {
            folder.name: _lines(folder / METRICS_FILE)
            for folder in (self._run_dir / "trials").glob("trial_*")
            if folder.name not in self._of_ended
        }
        return {**self._of_ended, **{trial: steps for trial, steps in running.items() if steps}}


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:  # not there yet, or the store is away
        return 0
