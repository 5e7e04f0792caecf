"""Differences to base with their intervals, drawn on one scale.

What comes in: the rows of the final table. What goes out: a small SVG a difference; decoration beside the figures, so that screen
readers skip it.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mixwright.records import Difference
from mixwright.report import svg, wording
from mixwright.report.table import TableRow

_WIDTH, _HEIGHT = 170.0, 22.0


def forest(rows: Sequence[TableRow]) -> dict[str, dict[str, Markup]]:
    """System -> task -> picture; all share a scale, so that any two can be compared."""
    shown = [item for row in rows for item in row.differences.values()]
    ends = [0.0, *(end for item in shown for end in (item.low, item.high, item.value) if wording.finite(end) is not None)]
    place = svg.scale(ends, "linear", pad=0.05).place
    pictures: dict[str, dict[str, Markup]] = {}
    for row in rows:
        for system, item in row.differences.items():
            pictures.setdefault(system, {})[row.task] = _picture(item, place, is_mean=row.is_mean)
    return pictures


def _picture(change: Difference, place: svg.Place, *, is_mean: bool) -> Markup:
    middle, class_ = _HEIGHT / 2, {"better": "good", "worse": "bad"}.get(wording.outcome(change), "even")
    low, high, at, zero = (_WIDTH * place(value) for value in (change.low, change.high, change.value, 0.0))
    return svg.element(
        "svg",
        svg.line(zero, -_HEIGHT, zero, 2 * _HEIGHT, "zero"),
        svg.line(low, middle, high, middle, f"whisker {class_}"),
        svg.element("circle", cx=at, cy=middle, r=5 if is_mean else 4, class_=f"estimate {class_}"),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        class_="forest",
        aria_hidden="true",
    )
