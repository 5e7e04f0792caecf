"""How training went: loss by step, and the objectives each time they were measured.

What comes in: a RunFolder. What goes out: figures. The loss of one step is that of a handful of rows, so lines are means over
a moving window, whose width the caption names.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

from mixwright.records import TrialRecord
from mixwright.report import marks, svg
from mixwright.report.landscape import HIGH, PANEL_HEIGHT, PANEL_RIGHT, PANEL_WIDTH, WIDE, base_objective, limit_of, reference_lines
from mixwright.report.run_folder import RunFolder, StepLoss

_MOST_POINTS = 240
_MOST_END_LABELS = 14
_LABEL_HEIGHT = 14.0


def smoothing_window(folder: RunFolder) -> int:
    """Steps that one drawn loss is the mean of: a thirtieth of the longest trial, at least 1."""
    return max([1, *(len(steps) // 30 for steps in folder.losses.values())])


def loss_figure(folder: RunFolder) -> Markup | None:
    """Training loss of every trial; None where no step was logged."""
    window = smoothing_window(folder)
    lines = {
        trial.trial_id: _smooth(folder.losses[trial.trial_id], window) for trial in folder.trials if trial.trial_id in folder.losses
    }
    if not lines:
        return None
    points = [point for line in lines.values() for point in line]
    x = svg.scale([0.0, max(step for step, _ in points)], "linear", label=svg.tick_number)
    y = svg.scale([loss for _, loss in points], "linear", label=svg.tick_number, pad=0.06)
    frame = svg.Frame(width=WIDE, height=HIGH, x=x, y=y, top=28, right=64)
    ordered = sorted(folder.trials, key=lambda trial: trial.trial_id == folder.best_id)
    drawn = [_curve(folder, trial, frame, lines[trial.trial_id]) for trial in ordered if trial.trial_id in lines]
    label = f"training loss by optimiser step for {len(lines)} trials"
    grid = svg.axes(frame, "optimiser step", "training loss (nats a token)")
    return svg.figure(WIDE, HIGH, label, grid, *drawn, _end_labels(folder, frame, lines))


def _smooth(steps: Sequence[StepLoss], window: int) -> list[tuple[float, float]]:
    """Means over the last `window` steps, thinned to what a screen can show; the last step always stays."""
    means = []
    for index, item in enumerate(steps):
        recent = steps[max(0, index + 1 - window) : index + 1]
        means.append((float(item.step), sum(one.loss for one in recent) / len(recent)))
    stride = max(1, len(means) // _MOST_POINTS)
    return means[min(window, len(means)) - 1 :: stride] + ([means[-1]] if stride > 1 else [])


def _curve_class(folder: RunFolder, trial: TrialRecord) -> str:
    return "curve best" if trial.trial_id == folder.best_id else f"curve {trial.status}"


def _curve(folder: RunFolder, trial: TrialRecord, frame: svg.Frame, points: Sequence[tuple[float, float]]) -> Markup:
    return svg.path(
        [frame.at(*point) for point in points], _curve_class(folder, trial), svg.element("title", marks.describe(trial))
    )


def _end_labels(folder: RunFolder, frame: svg.Frame, lines: dict[str, list[tuple[float, float]]]) -> Markup:
    """The trial's number at the end of its line, moved apart where lines end together; with many trials the best alone."""
    best_id = folder.best_id
    named = [
        trial
        for trial in folder.trials
        if trial.trial_id in lines and (len(lines) <= _MOST_END_LABELS or trial.trial_id == best_id)
    ]
    ends = {trial.trial_id: frame.at(*lines[trial.trial_id][-1]) for trial in named}
    full = [trial for trial in named if ends[trial.trial_id][0] > frame.width - frame.right - 40]
    short = [trial for trial in named if trial not in full]
    heights = _spread([ends[trial.trial_id][1] for trial in full]) + [ends[trial.trial_id][1] for trial in short]
    parts = []
    for trial, y in zip([*full, *short], heights, strict=True):
        is_best = trial.trial_id == best_id
        name = f"{'best ' if is_best else ''}{trial.number}{' ✕' if trial.status == 'failed' else ''}"
        parts.append(svg.text(name, ends[trial.trial_id][0] + 5, y + 4, class_="mark-label best" if is_best else "mark-label"))
    return Markup("").join(parts)


def _spread(heights: Sequence[float]) -> list[float]:
    """The same heights, pushed down just enough that no two labels touch, then up so that their middle stays."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + _LABEL_HEIGHT)
    shift = (sum(moved) - sum(heights)) / len(heights) if heights else 0.0
    return [height - shift for height in moved]


def rung_panels(folder: RunFolder) -> tuple[Markup, ...]:
    """Each objective at each rung, a line a trial; empty where no trial reached a rung."""
    names: tuple[marks.ObjectiveName, ...] = ("seen", "unseen", "retention")
    return tuple(panel for name in names if (panel := _rung_panel(folder, name)) is not None)


def _rung_panel(folder: RunFolder, name: marks.ObjectiveName) -> Markup | None:
    base, limit = base_objective(folder, name), limit_of(folder, name)
    lines = {trial.trial_id: points for trial in folder.trials if (points := _rung_points(trial, name))}
    if not lines:
        return None
    points = [point for line in lines.values() for point in line]
    levels = [value for value in (base, limit) if value is not None]
    x = svg.scale([0.0, max(examples for examples, _ in points)], "linear", label=svg.tick_number)
    y = svg.scale([value for _, value in points] + levels, "linear", label=svg.tick_number, pad=0.1)
    frame = svg.Frame(width=PANEL_WIDTH, height=PANEL_HEIGHT, x=x, y=y, top=24, right=PANEL_RIGHT)
    ordered = sorted(folder.trials, key=lambda trial: trial.trial_id == folder.best_id)
    drawn = [_rung_line(folder, trial, frame, lines[trial.trial_id], base) for trial in ordered if trial.trial_id in lines]
    grid = svg.axes(frame, "training examples", marks.OBJECTIVE_LABELS[name])
    label = f"{marks.OBJECTIVE_LABELS[name]} at each evaluation for {len(lines)} trials"
    return svg.figure(PANEL_WIDTH, PANEL_HEIGHT, label, grid, reference_lines(frame, base, limit), *drawn)


def _rung_points(trial: TrialRecord, name: marks.ObjectiveName) -> list[tuple[float, float]]:
    values = ((rung.examples, getattr(rung.objectives, name)) for rung in trial.rungs)
    return [(float(examples), value) for examples, value in values if value is not None and value == value]


def _rung_line(
    folder: RunFolder, trial: TrialRecord, frame: svg.Frame, points: Sequence[tuple[float, float]], base: float | None
) -> Markup:
    """A line from the base model at no examples through the trial's rungs."""
    class_ = _curve_class(folder, trial)
    start = [] if base is None else [(0.0, base)]
    dots = [svg.element("circle", cx=at[0], cy=at[1], r=3, class_=f"dot {class_}") for point in points for at in [frame.at(*point)]]
    return _curve(folder, trial, frame, [*start, *points]) + Markup("").join(dots)
