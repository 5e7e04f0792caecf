"""The response surface as pictures: what the trials say between and beyond them, and how sure that is.

What comes in: a RunFolder whose record holds an `Answer`. What goes out: a figure an objective: lines of equal score over two
searched keys, or a curve over one, with the trials on it, and hatching where the surface is not sure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mixwright.records import Location, ObjectiveAnswer, SurfaceGrid, TrialRecord
from mixwright.report import marks, svg, wording
from mixwright.report.run_folder import RunFolder

_WIDTH, _HEIGHT = 420.0, 320.0
_HALF_WIDTH = 1.645
"""Of a 90 % interval, in standard deviations."""
_TRIAL_SIZE = 0.55
_LABELS: dict[str, str] = {str(name): label for name, label in marks.OBJECTIVE_LABELS.items()}

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class SurfaceFigure:
    """One objective's picture and what stands beside it."""

    answer: ObjectiveAnswer
    label: str
    figure: Markup | None
    digits: int
    low: float
    high: float
    """Ends of the colour scale."""
    hatched: bool
    importances: tuple[ImportanceBar, ...]
    next_trial: str


@dataclass(frozen=True, kw_only=True)
class ImportanceBar:
    """A key's share of the surface's variance, 0 to 1."""

    label: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A candidate and what fresh seeds made of it."""

    number: int
    point: str
    before: float | None
    """`seen` of the trial that it was chosen for."""
    scores: tuple[float, ...]
    """`seen` of each fresh seed that ran the whole budget."""
    failed: int
    is_best: bool

    @property
    def mean(self) -> float | None:
        return sum(self.scores) / len(self.scores) if self.scores else None


def confirmed(folder: RunFolder) -> tuple[Confirmed, ...]:
    """The candidates that were trained again, by number; empty where none was."""
    by_trial: dict[str, list[TrialRecord]] = {}
    for record in folder.confirmations:
        by_trial.setdefault(record.confirms, []).append(record)
    return tuple(_confirmed(folder, trial, by_trial[trial.trial_id]) for trial in folder.trials if trial.trial_id in by_trial)


def _confirmed(folder: RunFolder, trial: TrialRecord, records: Sequence[TrialRecord]) -> Confirmed:
    scores = [marks.objective(record, "seen") for record in records if record.status == "complete"]
    return Confirmed(
        number=trial.number,
        point=wording.mix_phrase(trial.params),
        before=marks.objective(trial, "seen"),
        scores=tuple(score for score in scores if score is not None),
        failed=sum(record.status != "complete" for record in records),
        is_best=trial.trial_id == folder.best_id,
    )


def surface_figures(folder: RunFolder) -> tuple[SurfaceFigure, ...]:
    """One an objective; empty where the run has no answer, or one of too few trials."""
    found = folder.run.answer
    return tuple(_figure(folder, item) for item in found.objectives) if found else ()


def _figure(folder: RunFolder, item: ObjectiveAnswer) -> SurfaceFigure:
    label = _LABELS.get(item.objective, item.objective)
    grid, drawn = item.grid, None
    if grid is not None:
        drawn = _contours(folder, item, grid, label) if grid.y_key else _curve(folder, item, grid, label)
    values = [value for row in grid.mean for value in row] if grid else [item.optimum.value]
    return SurfaceFigure(
        answer=item,
        label=label,
        figure=drawn,
        digits=3 if item.objective == "retention" else 1,
        low=min(values),
        high=max(values),
        hatched=bool(grid and grid.y_key) and any(_is_unsure(item, sd) for row in grid.deviation for sd in row) if grid else False,
        importances=tuple(
            ImportanceBar(label=wording.key_label(bar.key), share=bar.share, low=bar.low, high=bar.high) for bar in item.importances
        ),
        next_trial=wording.mix_phrase(item.next_trial.params),
    )


def _is_unsure(item: ObjectiveAnswer, deviation: float) -> bool:
    return _HALF_WIDTH * deviation > item.region.margin


def _scale(key: str, values: Sequence[float]) -> svg.Scale:
    """As wide as the grid's cells: each value in the middle of its own."""
    pad = 0.5 / len(values)
    kind: svg.ScaleKind = "log2" if key == wording.LORA_RANK else "log10"
    return svg.scale(values, kind if _is_geometric(values) else "linear", label=svg.tick_number, pad=pad)


def _is_geometric(values: Sequence[float]) -> bool:
    if len(values) < 3:
        return False
    low, middle, high = values[0], values[len(values) // 2], values[-1]
    return low > 0 and abs(middle - math.sqrt(low * high)) < abs(middle - (low + high) / 2)


def _contours(folder: RunFolder, item: ObjectiveAnswer, grid: SurfaceGrid, label: str) -> Markup:
    x, y = _scale(grid.x_key, grid.x), _scale(grid.y_key, grid.y)
    frame = svg.Frame(width=_WIDTH, height=_HEIGHT, x=x, y=y, top=28)
    layers = [*_cells(frame, item, grid), *_lines(frame, grid), _box(frame, item, grid), _trials(folder, frame, item, grid)]
    grid_lines = svg.axes(frame, wording.key_label(grid.x_key), wording.key_label(grid.y_key))
    spoken = f"{label} by the surface, over {wording.key_label(grid.x_key)} and {wording.key_label(grid.y_key)}"
    return svg.figure(_WIDTH, _HEIGHT, spoken, grid_lines, *layers)


def _levels(grid: SurfaceGrid) -> list[float]:
    """Ends of the colour steps, lowest and highest included."""
    values = [value for row in grid.mean for value in row]
    low, high = min(values), max(values)
    return [low + (high - low) * step / marks.COLOUR_STEPS for step in range(marks.COLOUR_STEPS + 1)]


def _cells(frame: svg.Frame, item: ObjectiveAnswer, grid: SurfaceGrid) -> Iterator[Markup]:
    levels = _levels(grid)
    width = (frame.width - frame.left - frame.right) / len(grid.x)
    height = (frame.height - frame.top - frame.bottom) / len(grid.y)
    digits = 3 if item.objective == "retention" else 1
    for row, y in enumerate(grid.y):
        for column, x in enumerate(grid.x):
            mean, sd = grid.mean[row][column], grid.deviation[row][column]
            across, up = frame.at(x, y)
            step = sum(mean >= level for level in levels[1:-1])
            place = {"x": across - width / 2, "y": up - height / 2, "width": width + 0.3, "height": height + 0.3}
            said = f"{wording.number(mean, digits)} ± {wording.number(_HALF_WIDTH * sd, digits)}"
            yield svg.element("rect", svg.element("title", said), class_=f"cell q{step}", **place)
            if _is_unsure(item, sd):
                ends = (across - width / 2, up + height / 2), (across + width / 2, up - height / 2)
                yield svg.line(*ends[0], *ends[1], "unsure")


def _lines(frame: svg.Frame, grid: SurfaceGrid) -> Iterator[Markup]:
    """Lines of equal score between the colour steps, by marching squares."""
    for level in _levels(grid)[1:-1]:
        for row in range(len(grid.y) - 1):
            for column in range(len(grid.x) - 1):
                for start, end in _crossings(frame, grid, row, column, level):
                    yield svg.line(*start, *end, "contour")


def _crossings(frame: svg.Frame, grid: SurfaceGrid, row: int, column: int, level: float) -> list[tuple[Point, Point]]:
    """Where the level cuts the sides of one square of the grid, two by two."""
    corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
    placed = [(frame.at(grid.x[c], grid.y[r]), grid.mean[r][c] - level) for r, c in corners]
    cuts = []
    for (one, above), (other, below) in zip(placed, [*placed[1:], placed[0]], strict=True):
        if (above > 0) != (below > 0):
            share = above / (above - below)
            cuts.append((one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])))
    return [(cuts[index], cuts[index + 1]) for index in range(0, len(cuts) - 1, 2)]


def _box(frame: svg.Frame, item: ObjectiveAnswer, grid: SurfaceGrid) -> Markup:
    """The part of the region that lies in this picture; nothing where there is none."""
    sides = {location.key: location for location in item.region.locations}
    if grid.x_key not in sides or grid.y_key not in sides:
        return Markup("")
    left, right = _ends(frame.x, grid.x, sides[grid.x_key])
    bottom, top = _ends(frame.y, grid.y, sides[grid.y_key])
    x, y = frame.across(left), frame.up(top)
    return svg.element("rect", x=x, y=y, width=frame.across(right) - x, height=frame.up(bottom) - y, class_="region")


def _ends(scale: svg.Scale, values: Sequence[float], side: Location) -> Point:
    """A side of the region, to the edges of the cells that it ends in."""
    half = 0.5 / len(values)
    return max(0.0, scale.place(side.low) - half), min(1.0, scale.place(side.high) + half)


def _trials(folder: RunFolder, frame: svg.Frame, item: ObjectiveAnswer, grid: SurfaceGrid) -> Markup:
    """On the colours of the surface, each trial in that of its own score."""
    shown = [trial for trial in _complete(folder) if grid.x_key in trial.params and grid.y_key in trial.params]
    placed = [
        marks.PlacedTrial(trial=trial, x=at[0], y=at[1])
        for trial in shown
        for at in [frame.at(trial.params[grid.x_key], trial.params[grid.y_key])]
    ]
    steps = _levels(grid)[1:-1]
    scores = {trial.trial_id: score for trial in shown if (score := _score(trial, item.objective)) is not None}
    colours = {name: sum(score >= level for level in steps) for name, score in scores.items()}
    return marks.draw(placed, best_id=folder.best_id, colours=colours, labels={}, size=_TRIAL_SIZE)


def _complete(folder: RunFolder) -> list[TrialRecord]:
    return [trial for trial in folder.trials if trial.status == "complete"]


def _curve(folder: RunFolder, item: ObjectiveAnswer, grid: SurfaceGrid, label: str) -> Markup:
    """Mean and 90 % band over the one numeric key, with the scores of the trials."""
    mean, half = grid.mean[0], [_HALF_WIDTH * sd for sd in grid.deviation[0]]
    low, high = [m - h for m, h in zip(mean, half, strict=True)], [m + h for m, h in zip(mean, half, strict=True)]
    scored = [(trial, value) for trial in _complete(folder) if (value := _score(trial, item.objective)) is not None]
    scored = [(trial, value) for trial, value in scored if grid.x_key in trial.params]
    y = svg.scale([*low, *high, *(value for _, value in scored)], "linear", label=svg.tick_number, pad=0.08)
    frame = svg.Frame(width=_WIDTH, height=_HEIGHT, x=_scale(grid.x_key, grid.x), y=y, top=28)
    upper = [frame.at(x, value) for x, value in zip(grid.x, high, strict=True)]
    lower = [frame.at(x, value) for x, value in zip(grid.x, low, strict=True)]
    band = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *reversed(lower)])
    placed = [
        marks.PlacedTrial(trial=trial, x=at[0], y=at[1])
        for trial, value in scored
        for at in [frame.at(trial.params[grid.x_key], value)]
    ]
    return svg.figure(
        _WIDTH,
        _HEIGHT,
        f"{label} by the surface, over {wording.key_label(grid.x_key)}",
        svg.axes(frame, wording.key_label(grid.x_key), label),
        svg.element("polygon", points=band, class_="band"),
        svg.path([frame.at(x, value) for x, value in zip(grid.x, mean, strict=True)], "expected"),
        marks.draw(placed, best_id=folder.best_id, colours=marks.colour_steps(folder.trials), labels={}, size=_TRIAL_SIZE),
    )


def _score(trial: TrialRecord, objective: str) -> float | None:
    values = marks.objectives(trial)
    return wording.finite(getattr(values, objective, None)) if values else None
