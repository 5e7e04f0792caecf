"""The picture of the search: where each trial stands in the space, and what each objective did along the ratio.

What comes in: a RunFolder. What goes out: figures. The axes are `generic_fraction` and `lora.rank` where they are searched;
otherwise the first searched keys take their place, and with one key the score itself becomes the second axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixwright.config import RangeSpec
from mixwright.records import TrialRecord
from mixwright.report import marks, svg, wording
from mixwright.report.run_folder import RunFolder

WIDE, HIGH = 480.0, 370.0
"""Size of the large figures; style.css letters them for their width on a page."""
PANEL_WIDTH, PANEL_HEIGHT = 340.0, 178.0
PANEL_RIGHT = 42.0
"""Margin that takes the names of reference lines."""
_NAME_HEIGHT = 13.0
_MOST_SPOKEN = 12
_FAN = 15.0
"""Distance between trials that were given the very same point."""


@dataclass(frozen=True, kw_only=True)
class SearchedAxis:
    """A searched key as an axis."""

    key: str
    label: str
    kind: svg.ScaleKind

    def value(self, trial: TrialRecord) -> Any:
        return trial.params.get(self.key)

    def scale(self, trials: Sequence[TrialRecord]) -> svg.Scale:
        if self.key == wording.GENERIC_FRACTION:
            return svg.scale([0.0, 1.0], "linear", label=svg.tick_number, pad=0.05)
        label: Callable[[Any], str] = str if self.kind == "category" else svg.tick_number
        return svg.scale([self.value(trial) for trial in trials], self.kind, label=label, pad=0.1)


def searched_axes(folder: RunFolder) -> tuple[SearchedAxis, ...]:
    """An axis a key that took more than one value, the ratio and the rank first."""
    keys = list(dict.fromkeys(key for trial in folder.trials for key in trial.params))
    first = [key for key in (wording.GENERIC_FRACTION, wording.LORA_RANK) if key in keys]
    varied = [key for key in (*first, *(key for key in keys if key not in first)) if _is_varied(folder, key)]
    return tuple(_axis(folder, key) for key in varied)


def _is_varied(folder: RunFolder, key: str) -> bool:
    return len({str(trial.params[key]) for trial in folder.trials if key in trial.params}) > 1


def _axis(folder: RunFolder, key: str) -> SearchedAxis:
    values = [trial.params.get(key) for trial in folder.trials]
    spec = folder.config.search.parameters.get(key) if folder.config else None
    kind: svg.ScaleKind = "linear"
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        kind = "category"
    elif all(value > 0 for value in values if isinstance(value, int | float)):
        if key == wording.LORA_RANK:
            kind = "log2"
        elif isinstance(spec, RangeSpec) and spec.log:
            kind = "log10"
    unit = {"log2": " (log₂ scale)", "log10": " (log scale)"}.get(kind, "")
    unit = " (share of training examples)" if key == wording.GENERIC_FRACTION else unit
    return SearchedAxis(key=key, label=f"{wording.key_label(key)}{unit}", kind=kind)


def search_map(folder: RunFolder) -> Markup | None:
    """One mark a trial over the two leading axes; None where fewer than two keys were searched."""
    axes = searched_axes(folder)
    if len(axes) < 2:
        return None
    across, up = axes[:2]
    trials = folder.trials
    frame = svg.Frame(width=WIDE, height=HIGH, x=across.scale(trials), y=up.scale(trials), top=28)
    placed = _fan_out(
        [marks.PlacedTrial(trial=item, x=x, y=y) for item in trials for x, y in [frame.at(across.value(item), up.value(item))]]
    )
    labels = {trial.trial_id: _map_label(folder, trial) for trial in trials}
    drawn = marks.draw(placed, best_id=folder.best_id, colours=marks.colour_steps(trials), labels=labels)
    summary = f"{across.label} against {up.label}, one mark for each of {wording.plural(len(trials), 'trial')}"
    return svg.figure(WIDE, HIGH, f"{summary}. {_spoken(folder)}", svg.axes(frame, across.label, up.label), drawn)


def _map_label(folder: RunFolder, trial: TrialRecord) -> str:
    score = marks.objective(trial, "seen")
    if trial.trial_id == folder.best_id:
        return f"best {wording.number(score)}"
    return "failed" if score is None else wording.number(score)


def _spoken(folder: RunFolder) -> str:
    if len(folder.trials) > _MOST_SPOKEN:
        return "The table of trials holds their values."
    return ". ".join(marks.describe(trial) for trial in folder.trials)


def _fan_out(placed: Sequence[marks.PlacedTrial]) -> list[marks.PlacedTrial]:
    """Trials of the same point side by side instead of on top of one another."""
    met: dict[tuple[float, float], int] = {}
    moved = []
    for item in placed:
        point = (round(item.x), round(item.y))
        moved.append(marks.PlacedTrial(trial=item.trial, x=item.x + _FAN * met.get(point, 0), y=item.y))
        met[point] = met.get(point, 0) + 1
    return moved


def objective_panels(folder: RunFolder) -> tuple[Markup, ...]:
    """Seen, unseen and retention against the leading axis; empty where nothing was searched or nothing was scored."""
    axes = searched_axes(folder)
    if not axes:
        return ()
    names: tuple[marks.ObjectiveName, ...] = ("seen", "unseen", "retention")
    return tuple(panel for name in names if (panel := _objective_panel(folder, axes[0], name)) is not None)


def _objective_panel(folder: RunFolder, axis: SearchedAxis, name: marks.ObjectiveName) -> Markup | None:
    scored = [(trial, value) for trial in folder.trials if (value := marks.objective(trial, name)) is not None]
    if not scored:
        return None
    base, limit = base_objective(folder, name), limit_of(folder, name)
    levels = [value for value in (base, limit) if value is not None]
    y = svg.scale([value for _, value in scored] + levels, "linear", label=svg.tick_number, pad=0.1)
    frame = svg.Frame(width=PANEL_WIDTH, height=PANEL_HEIGHT, x=axis.scale(folder.trials), y=y, top=24, right=PANEL_RIGHT)
    placed = _fan_out(
        [marks.PlacedTrial(trial=trial, x=at[0], y=at[1]) for trial, value in scored for at in [frame.at(axis.value(trial), value)]]
    )
    drawn = marks.draw(placed, best_id=folder.best_id, colours=marks.colour_steps(folder.trials), labels={}, size=0.7)
    label = f"{marks.OBJECTIVE_LABELS[name]} against {axis.label}"
    grid = svg.axes(frame, axis.label, marks.OBJECTIVE_LABELS[name])
    return svg.figure(PANEL_WIDTH, PANEL_HEIGHT, label, grid, reference_lines(frame, base, limit), drawn)


def reference_lines(frame: svg.Frame, base: float | None, limit: float | None) -> Markup:
    """Where base stands, and how far below it the configuration allows to fall; named in the right margin."""
    heights = [frame.up(frame.y.place(value)) if value is not None else None for value in (base, limit)]
    apart = max(0.0, _NAME_HEIGHT - (heights[1] - heights[0])) / 2 if heights[0] is not None and heights[1] is not None else 0.0
    parts, end = [], frame.width - frame.right
    for height, name, nudge in zip(heights, ("base", "limit"), (-apart, apart), strict=True):
        if height is not None:
            class_ = f"{name}-line"
            parts += [svg.line(frame.left, height, end, height, class_), svg.text(name, end + 5, height + 4 + nudge, class_=class_)]
    return Markup("").join(parts)


def base_objective(folder: RunFolder, name: marks.ObjectiveName) -> float | None:
    """The base model's own objective on dev; retention is counted from it, so it is 0 there."""
    if name == "retention":
        return 0.0
    return wording.finite((folder.run.base_dev.get("objectives") or {}).get(name))


def limit_of(folder: RunFolder, name: marks.ObjectiveName) -> float | None:
    """The lowest value that the configuration accepts of a best trial; None for `seen`, which has none."""
    base = base_objective(folder, name)
    if folder.config is None or base is None or name == "seen":
        return None
    limits = folder.config.search.objective
    base_loss = wording.finite(folder.run.base_dev.get("generic_loss"))
    return base - (limits.unseen_limit(base) if name == "unseen" else limits.retention_limit(base_loss))
