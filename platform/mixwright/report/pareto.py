"""What one objective costs in another: seen against unseen, and seen against retention.

What comes in: a RunFolder. What goes out: two figures. Trials on the run's Pareto front (over all objectives at once) are
ringed; the stepped line joins those that no other complete trial beats in both objectives of that picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

from mixwright.records import TrialRecord
from mixwright.report import marks, svg
from mixwright.report.landscape import base_objective, limit_of
from mixwright.report.run_folder import RunFolder

_WIDTH, _HEIGHT = 400.0, 300.0


def pareto_figures(folder: RunFolder) -> tuple[Markup, ...]:
    """Empty where fewer than two trials ran their whole budget."""
    complete = [trial for trial in folder.trials if trial.status == "complete"]
    names: tuple[marks.ObjectiveName, ...] = ("unseen", "retention")
    return tuple(figure for name in names if (figure := _pareto_figure(folder, complete, name)) is not None)


def _pareto_figure(folder: RunFolder, complete: Sequence[TrialRecord], across: marks.ObjectiveName) -> Markup | None:
    scored = [(trial, marks.objective(trial, across), marks.objective(trial, "seen")) for trial in complete]
    points = {trial.trial_id: (x, y) for trial, x, y in scored if x is not None and y is not None}
    if len(points) < 2:
        return None
    base, limit = (base_objective(folder, across), base_objective(folder, "seen")), limit_of(folder, across)
    frame = _frame([*points.values()], base, limit)
    trials = [trial for trial in complete if trial.trial_id in points]
    placed = [marks.PlacedTrial(trial=trial, x=x, y=y) for trial in trials for x, y in [frame.at(*points[trial.trial_id])]]
    up_label, across_label = marks.OBJECTIVE_LABELS["seen"], marks.OBJECTIVE_LABELS[across]
    spoken = f"{up_label} against {across_label}, {len(points)} complete trials; higher is better in both"
    layers = (
        svg.axes(frame, f"{across_label} →", f"↑ {up_label}"),
        _limit(frame, limit),
        svg.path([frame.at(*point) for point in _stairs(list(points.values()))], "front"),
        _front_rings(folder, placed),
        _base_mark(frame, base),
        _drawn(folder, placed),
    )
    return svg.figure(_WIDTH, _HEIGHT, spoken, *layers)


def _drawn(folder: RunFolder, placed: Sequence[marks.PlacedTrial]) -> Markup:
    labels = {item.trial.trial_id: f"{item.trial.number}" for item in placed}
    return marks.draw(placed, best_id=folder.best_id, colours=marks.colour_steps(folder.trials), labels=labels, size=0.8)


def _frame(points: Sequence[tuple[float, float]], base: tuple[float | None, float | None], limit: float | None) -> svg.Frame:
    xs = [x for x, _ in points] + [value for value in (base[0], limit) if value is not None]
    ys = [y for _, y in points] + [value for value in base[1:] if value is not None]
    x = svg.scale(xs, "linear", label=svg.tick_number, pad=0.1)
    y = svg.scale(ys, "linear", label=svg.tick_number, pad=0.12)
    return svg.Frame(width=_WIDTH, height=_HEIGHT, x=x, y=y, top=26)


def undominated(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least as good as in both and better in one, by falling y; higher is better."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (-point[1], -point[0])):
        if not front or x > front[-1][0]:
            front.append((x, y))
    return front


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The edge of what is beaten: from one point of the front down to the next."""
    front = undominated(points)
    corners = [front[0]]
    for before, after in itertools.pairwise(front):
        corners += [(before[0], after[1]), after]
    return corners


def _front_rings(folder: RunFolder, placed: Sequence[marks.PlacedTrial]) -> Markup:
    members = {str(item.get("trial_id", "")) for item in folder.run.pareto}
    rings = (
        svg.element("circle", cx=item.x, cy=item.y, r=11, class_="front-ring") for item in placed if item.trial.trial_id in members
    )
    return Markup("").join(rings)


def _limit(frame: svg.Frame, limit: float | None) -> Markup:
    if limit is None:
        return Markup("")
    x, foot = frame.across(frame.x.place(limit)), frame.height - frame.bottom
    return svg.line(x, frame.top, x, foot, "limit-line") + svg.text("limit", x + 4, foot - 5, class_="limit-line")


def _base_mark(frame: svg.Frame, base: tuple[float | None, float | None]) -> Markup:
    if base[0] is None or base[1] is None:
        return Markup("")
    x, y = frame.at(base[0], base[1])
    square = svg.element("rect", svg.element("title", "base model"), x=x - 5, y=y - 5, width=10, height=10, class_="base-mark")
    return square + svg.text("base", x, y + 19, class_="base-line", anchor="middle")
