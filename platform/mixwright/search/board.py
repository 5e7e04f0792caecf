"""The table of a running search on a terminal: trials and their state, the best so far, the front, and how long is left.

What comes in: what the recorder hears of trials. What goes out: a rich renderable, drawn anew each second by progress.py. Where
nobody looks on, a log line every quarter of a minute says how far the search is, and this file draws nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixwright.records import RungRecord, TrialRecord
from mixwright.search.objective import complete, final_objectives, pareto_front

SHOWN = 12
"""Rows: trials under way first, then those that ended last."""
_STYLES = {"complete": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}


class Board:
    """What is known of a search's trials. Fed from the search's thread and drawn from another.

    Args:
        ended: grows while the search runs.
    """

    def __init__(self, ended: Sequence[TrialRecord], trials: int) -> None:
        self._ended, self._trials = ended, trials
        self._running: dict[str, tuple[Mapping[str, Any], RungRecord | None]] = {}
        self._front: list[TrialRecord] = []
        self._seen = 0
        self._lock = threading.Lock()

    def started(self, trial_id: str, params: Mapping[str, Any]) -> None:
        with self._lock:
            self._running.setdefault(trial_id, (params, None))

    def rung(self, trial_id: str, params: Mapping[str, Any], rung: RungRecord) -> None:
        with self._lock:
            self._running[trial_id] = (params, rung)

    def over(self, trial_id: str) -> None:
        with self._lock:
            self._running.pop(trial_id, None)

    def front(self) -> list[TrialRecord]:
        """Of the trials that have ended: the front so far with those that came since, and not all with all again."""
        if fresh := list(self._ended[self._seen :]):
            self._seen += len(fresh)
            self._front = pareto_front([*self._front, *fresh])
        return self._front

    def best(self) -> TrialRecord | None:
        """The highest `seen` so far; which trial is chosen in the end is for the objective to say."""
        return max(complete(list(self._ended)), key=lambda trial: final_objectives(trial).seen, default=None)

    def drawn(self, name: str, time_left: str) -> RenderableType:
        """The table, and the lines above and below it."""
        with self._lock:
            running = dict(self._running)
        ended = list(self._ended)
        states = Counter(trial.status for trial in ended)
        counted = ", ".join(f"{states[status]} {status}" for status in ("complete", "stopped", "failed") if states[status])
        head = f"{name}: {len(ended)} of {self._trials} ended" + (f" ({counted})" if counted else "") + f", {len(running)} running"
        return Group(Text(head, style="bold"), self._table(running, ended), *self._summary(), Text(time_left, style="dim"))

    def _table(self, running: Mapping[str, tuple[Mapping[str, Any], RungRecord | None]], ended: Sequence[TrialRecord]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("trial", "state", "seen", "unseen", "retention", "searched"):
            table.add_column(column, justify="right" if column in ("seen", "unseen", "retention") else "left", no_wrap=True)
        for trial_id, (params, rung) in list(running.items())[:SHOWN]:
            table.add_row(trial_id, Text("running", style=_STYLES["running"]), *_scores(rung), _searched(params))
        front = {trial.trial_id for trial in self.front()}
        for trial in list(reversed(ended))[: max(0, SHOWN - len(running))]:
            state = trial.status + (" *" if trial.trial_id in front else "")
            scores = _scores(trial.rungs[-1] if trial.rungs else None)
            table.add_row(trial.trial_id, Text(state, style=_STYLES[trial.status]), *scores, trial.cause or _searched(trial.params))
        return table

    def _summary(self) -> list[Text]:
        best = self.best()
        if best is None:
            return [Text("no trial has run its whole budget yet")]
        scores = ", ".join(
            f"{name} {value}" for name, value in zip(("seen", "unseen", "retention"), _scores(best.rungs[-1]), strict=True)
        )
        front = [trial.trial_id for trial in self.front()]
        shown = ", ".join(front[:6]) + (f" and {len(front) - 6} more" if len(front) > 6 else "")
        return [Text(f"highest seen: {best.trial_id} ({scores}; {_searched(best.params)})"), Text(f"front (*): {shown}")]


def _scores(rung: RungRecord | None) -> tuple[str, str, str]:
    if rung is None:
        return "–", "–", "–"
    objectives = rung.objectives
    unseen = "–" if objectives.unseen is None else f"{objectives.unseen:.1f}"
    return f"{objectives.seen:.1f}", unseen, f"{objectives.retention:+.3f}"


def _searched(params: Mapping[str, Any]) -> str:
    shown = (
        f"{key.split('.')[-1]} {value:.3g}" if isinstance(value, float) else f"{key.split('.')[-1]} {value}"
        for key, value in params.items()
    )
    return ", ".join(shown)
