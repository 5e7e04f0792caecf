"""The text of table cells, spelled once for the page, `report.md` and the comparison of runs.

What comes in: scores, differences and power records. What goes out: short strings.
"""

from __future__ import annotations

from mixwright.records import PowerRecord, Score
from mixwright.report import wording

NONE = "–"


def score_interval(score: Score | None) -> str:
    """`28.0–34.2`; empty where there is no interval."""
    if score is None or score.n < 2 or wording.finite(score.low) is None or wording.finite(score.high) is None:
        return ""
    return f"{wording.number(score.low)}–{wording.number(score.high)}"


def p_value(value: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash where none was recorded."""
    if wording.finite(value) is None or value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def rows_needed(power: PowerRecord) -> str:
    return NONE if power.rows_needed is None else f"{power.rows_needed:,}"
