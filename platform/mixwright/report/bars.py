"""Scores as bars, a picture a task: every system on one scale of 0 to 100, with the interval of its score.

What comes in: the rows of the final table, or scores of several runs. What goes out: SVG figures. The figures beside the bars are
those of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mixwright.records import BASE, COPY, HUMAN, Score
from mixwright.report import svg, wording
from mixwright.report.table import TableRow

_WIDTH = 340.0
_TOP, _STEP, _BAR = 26.0, 22.0, 12.0
_VALUE_WIDTH, _LETTER, _BOLD_LETTER = 36.0, 6.9, 7.9
_LONGEST_NAME = 18
_CLASSES = {BASE: "of-base", COPY: "of-copy", HUMAN: "of-human"}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One score and how it is named and drawn."""

    name: str
    score: Score
    is_lead: bool

    @property
    def short_name(self) -> str:
        return self.name if len(self.name) <= _LONGEST_NAME else f"{self.name[: _LONGEST_NAME - 1]}…"

    @property
    def name_width(self) -> float:
        return len(self.short_name) * (_BOLD_LETTER if self.is_lead else _LETTER)


def score_bars(rows: Sequence[TableRow]) -> tuple[Markup, ...]:
    """A figure for each task, means left out, since a mean of different metrics is no height to look at."""
    return tuple(run_bars(row.task, row.metric, _bars_of(row), n=row.n) for row in rows if not row.is_mean)


def _bars_of(row: TableRow) -> list[Bar]:
    return [
        Bar(name=wording.system_label(name) if name != COPY else "Copy", score=score, is_lead=name == row.lead)
        for name, score in row.scores.items()
    ]


def run_bars(task: str, metric: str, shown: Sequence[Bar], n: int | None = None) -> Markup:
    """One task's figure; bars from above in the order given."""
    left = 8 + max(bar.name_width for bar in shown)
    scale = svg.scale([0.0, 100.0], "linear")
    foot = _TOP + _STEP * len(shown)

    def across(value: float) -> float:
        return left + scale.place(value) * (_WIDTH - left - _VALUE_WIDTH)

    rows_scored = "" if n is None else f", n = {n:,}"
    parts = [svg.text(f"{wording.task_label(task)}, {wording.metric_label(metric)}{rows_scored}", 0, 13, class_="axis-name")]
    for tick in (0, 25, 50, 75, 100):
        x = across(tick)
        parts += [svg.line(x, _TOP - 5, x, foot, "grid"), svg.text(str(tick), x, foot + 14, anchor="middle")]
    for place, bar in enumerate(shown):
        parts += _bar(bar, across, _TOP + _STEP * place, left)
    spoken = ", ".join(f"{bar.name} {wording.number(bar.score.value)}" for bar in shown)
    return svg.figure(_WIDTH, foot + 18, f"{wording.task_label(task)} by system: {spoken}", *parts)


def _bar(bar: Bar, across: svg.Place, top: float, left: float) -> list[Markup]:
    score, middle = bar.score, top + _BAR / 2
    class_ = "of-lead" if bar.is_lead else _CLASSES.get(score.system, "of-other")
    title = svg.element("title", f"{bar.name}: {wording.number(score.value)}")
    width = max(1.0, across(wording.finite(score.value) or 0.0) - left)
    parts = [
        svg.text(bar.short_name, left - 6, middle + 4, anchor="end", class_="bar-label best" if bar.is_lead else "bar-label"),
        svg.element("rect", title, x=left, y=top, width=width, height=_BAR, class_=f"score-bar {class_}"),
        svg.text(wording.number(score.value), _WIDTH, middle + 4, anchor="end", class_="bar-label"),
    ]
    if score.n > 1 and wording.finite(score.low) is not None and wording.finite(score.high) is not None:
        low, high = across(score.low), across(score.high)
        parts.append(svg.line(low, middle, high, middle, "bar-whisker"))
        parts += [svg.line(x, middle - 3, x, middle + 3, "bar-whisker") for x in (low, high)]
    return parts
