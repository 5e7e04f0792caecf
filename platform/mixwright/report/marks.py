"""How a trial is drawn, the same in every figure.

What comes in: TrialRecords. What goes out: SVG marks. Complete trials are filled discs, stopped ones small and dashed, failed ones
crosses; the best has a ring and its name. Colour repeats what is written beside the mark and never stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from mixwright.records import Objectives, TrialRecord
from mixwright.report import svg, wording

COLOUR_STEPS = 6
_RADIUS = {"complete": 9.0, "stopped": 6.0, "failed": 5.0}
_LABEL_WIDTH, _LABEL_HEIGHT = 7.0, 14.0
"""Room for one character and one line at the size that figures are lettered in."""

ObjectiveName = Literal["seen", "unseen", "retention"]
OBJECTIVE_LABELS: dict[ObjectiveName, str] = {
    "seen": "seen tasks, mean score on dev (0–100)",
    "unseen": "unseen tasks, mean score on dev (0–100)",
    "retention": "retention on dev (nats a token; base = 0)",
}


@dataclass(frozen=True, kw_only=True)
class PlacedTrial:
    """A trial and where its mark stands, in the units of the figure."""

    trial: TrialRecord
    x: float
    y: float


def objectives(trial: TrialRecord) -> Objectives | None:
    """The objectives at the trial's last rung; a stopped trial's are those of a short budget."""
    return trial.rungs[-1].objectives if trial.rungs else None


def objective(trial: TrialRecord, name: ObjectiveName) -> float | None:
    """One objective at the last rung; None where there is none or it is not a number."""
    values = objectives(trial)
    return wording.finite(getattr(values, name)) if values else None


def colour_steps(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """Trial id -> step of the colour scale, by the seen objective; trials without one are left out."""
    scores = {trial.trial_id: score for trial in trials if (score := objective(trial, "seen")) is not None}
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    span = (high - low) or 1.0
    return {name: min(COLOUR_STEPS - 1, int(COLOUR_STEPS * (score - low) / span)) for name, score in scores.items()}


def describe(trial: TrialRecord) -> str:
    """What a mark says when it is pointed at."""
    parts = (f"trial {trial.number}, {trial.status}", wording.mix_phrase(trial.params), _scores(trial), trial.cause)
    return "; ".join(part for part in parts if part)


def _scores(trial: TrialRecord) -> str:
    values = objectives(trial)
    if values is None:
        return ""
    seen, unseen, retention = wording.number(values.seen), wording.number(values.unseen), wording.signed(values.retention, 3)
    return f"seen {seen}, unseen {unseen}, retention {retention}"


def draw(
    placed: Sequence[PlacedTrial], *, best_id: str, colours: dict[str, int], labels: dict[str, str], size: float = 1.0
) -> Markup:
    """All marks, the best on top, and as many labels as fit without touching one another."""
    ordered = sorted(placed, key=lambda item: (item.trial.trial_id == best_id, item.trial.status == "complete"))
    shapes = [_shape(item, best_id, colours, size) for item in ordered]
    return Markup("").join([*shapes, *_labels(list(reversed(ordered)), labels, best_id, size)])


def _shape(item: PlacedTrial, best_id: str, colours: dict[str, int], size: float) -> Markup:
    trial, radius = item.trial, _RADIUS[item.trial.status] * size
    title = svg.element("title", describe(trial))
    if trial.status == "failed":
        side = 2 * radius
        arms = f"M{item.x - radius:.1f} {item.y - radius:.1f}l{side:.1f} {side:.1f}m0 {-side:.1f}l{-side:.1f} {side:.1f}"
        return svg.element("g", title, svg.element("path", d=arms, class_="mark failed"))
    step = colours.get(trial.trial_id, 0)
    parts = [title, svg.element("circle", cx=item.x, cy=item.y, r=radius, class_=f"mark {trial.status} q{step}")]
    if trial.trial_id == best_id:
        parts.append(svg.element("circle", cx=item.x, cy=item.y, r=radius + 4, class_="ring"))
    return svg.element("g", *parts)


def _labels(placed: Sequence[PlacedTrial], labels: dict[str, str], best_id: str, size: float) -> list[Markup]:
    """Labels in order of importance, each at the first free side of its mark; where none is free it is left to the tooltip."""
    taken = [_box_around(item.x, item.y, 2 * _RADIUS[item.trial.status] * size) for item in placed]
    written: list[Markup] = []
    for item in placed:
        label = labels.get(item.trial.trial_id, "")
        width, gap = _LABEL_WIDTH * len(label), _RADIUS[item.trial.status] * size + (9 if item.trial.trial_id == best_id else 5)
        sides = (
            (item.x - width / 2, item.y - gap - _LABEL_HEIGHT),
            (item.x - width / 2, item.y + gap),
            (item.x + gap, item.y - _LABEL_HEIGHT / 2),
            (item.x - gap - width, item.y - _LABEL_HEIGHT / 2),
        )
        for x, y in sides if label else ():
            box = (x, y, x + width, y + _LABEL_HEIGHT)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                class_ = "mark-label best" if item.trial.trial_id == best_id else "mark-label"
                written.append(svg.text(label, x + width / 2, y + _LABEL_HEIGHT - 3, class_=class_, anchor="middle"))
                break
    return written


Box = tuple[float, float, float, float]


def _box_around(x: float, y: float, width: float) -> Box:
    return x - width / 2, y - width / 2, x + width / 2, y + width / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
