"""Finished trials -> the `Answer` of a search.

What comes in: trial records, the configuration's distributions, and what a team cares about (`Stakes`). What goes out: a surface an
objective, what each of them says, and the sentences. Only trials that ran their whole budget are read; a point that was repeated
over seeds counts as often as it ran.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from mixwright.config import SweepConfig
from mixwright.records import Answer, ObjectiveAnswer, Objectives, TrialRecord, to_json
from mixwright.search.surface import questions, sentences
from mixwright.search.surface.axes import Axis, Floats, axes_of, neighbours, places_of, point_at, spread_points
from mixwright.search.surface.process import Surface, fit, observations
from mixwright.search.surface.threads import on_one_thread

FEWEST_TRIALS = 3
LEADING = ("mixture.generic_fraction", "lora.rank")
"""Axes of the contour picture where they are searched; otherwise the most important ones."""
_SETTINGS = 8
_POOL = 2048


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """What a team cares about."""

    margins: Mapping[str, float]
    """Objective -> a difference that would matter; an objective without one has none to speak of and is left out."""
    lowest: Mapping[str, float] = field(default_factory=dict)
    """Objective -> the least that the recommended point may have."""
    rows: int = 0
    """Evaluation rows a task, to say how many more would help; 0: unknown."""


def stakes_of(config: SweepConfig, base: Objectives, base_loss: float | None = None) -> Stakes:
    """What the configuration says would matter: differences in points, and how much may be lost against the base model.

    Args:
        base_loss: the base model's NLL on held-out generic rows, for a limit in percent of it.
    """
    limits = config.search.objective
    margins = {"seen": config.evaluation.interesting_difference}
    lowest = {"retention": base.retention - limits.retention_limit(base_loss)}
    if base.unseen is not None:
        margins["unseen"] = config.evaluation.interesting_difference
        lowest["unseen"] = base.unseen - limits.unseen_limit(base.unseen)
    if limits.retention_limit(base_loss) > 0:
        margins["retention"] = limits.retention_limit(base_loss)
    leading = sorted(margins, key=lambda name: name != limits.maximize)  # what the recommended point has most of comes first
    lowest.pop(limits.maximize, None)
    return Stakes(margins={name: margins[name] for name in leading}, lowest=lowest, rows=config.evaluation.dev_rows)


@on_one_thread
def answer(
    trials: Sequence[TrialRecord],
    space: Mapping[str, BaseDistribution],
    stakes: Stakes,
    active: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
) -> Answer | None:
    """What the trials say; None where nothing was searched.

    Args:
        active: of a point with all keys, those that it has; None: all.
    """
    axes = axes_of(space)
    complete = [trial for trial in trials if trial.status == "complete" and trial.rungs]
    if not axes:
        return None
    if len(complete) < FEWEST_TRIALS:
        return Answer(sentences=(sentences.too_few(len(complete), FEWEST_TRIALS),), recommended={})
    surfaces = {name: found for name in stakes.margins if (found := surface_of(axes, complete, name, active)) is not None}
    leading = next(iter(surfaces))
    place = recommended_within(surfaces, leading, stakes.lowest)
    objectives = tuple(_objective(surface, name, place, stakes, leading) for name, surface in surfaces.items())
    return Answer(
        sentences=sentences.whole(objectives, _params(surfaces[leading], place)),
        recommended=_params(surfaces[leading], place),
        objectives=objectives,
    )


@on_one_thread
def surface_of(
    axes: Sequence[Axis],
    complete: Sequence[TrialRecord],
    objective: str,
    active: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
) -> Surface | None:
    """The surface of one objective; None where the trials do not have it, or have it all alike to the last digit."""
    rows = [(trial, _of(trial.rungs[-1].objectives, objective)) for trial in complete]
    rows = [(trial, value) for trial, value in rows if math.isfinite(value)]
    if len(rows) < FEWEST_TRIALS:
        return None
    errors = [_of(trial.rungs[-1].standard_errors, objective) for trial, _ in rows]
    places = places_of(axes, [trial.params for trial, _ in rows])
    seen = observations(places, [value for _, value in rows], [error**2 for error in errors])
    return fit(axes, seen, settings=_SETTINGS, active=active)


def predicted_at(surface: Surface, trials: Sequence[TrialRecord]) -> list[float]:
    """The predicted score at each trial's point, freed from its noise."""
    return [float(value) for value in surface.mean(places_of(surface.axes, [trial.params for trial in trials]))]


def _of(objectives: Any, name: str) -> float:
    """NaN where it is missing."""
    value = to_json(objectives).get(name) if objectives else None
    return math.nan if value is None else float(value)


def recommended_within(surfaces: Mapping[str, Surface], leading: str, lowest: Mapping[str, float], seed: int = 0) -> Floats:
    """The place of the highest mean of `leading` among those whose other objectives are predicted to keep their limits.

    Where none does, the place that misses them least, in units of each objective's spread.
    """
    surface, rng = surfaces[leading], np.random.default_rng(seed)

    def best_of(pool: Floats) -> Floats:
        missing = np.zeros(len(pool))
        for name, limit in lowest.items():
            if name in surfaces:
                missing += np.maximum(0.0, limit - surfaces[name].mean(pool)) / surfaces[name].unit
        found: Floats = pool[np.lexsort((-surface.mean(pool), missing))[0]]
        return found

    best = best_of(np.vstack([spread_points(surface.axes, _POOL, seed), surface.tried]))
    for radius in (0.15, 0.05, 0.02, 0.01):
        best = best_of(np.vstack([best[None, :], neighbours(surface.axes, best, 64, radius, rng)]))
    return best


def _params(surface: Surface, place: Floats) -> dict[str, Any]:
    return point_at(surface.axes, surface.had(place[None, :])[0])


def _objective(surface: Surface, name: str, place: Floats, stakes: Stakes, leading: str) -> ObjectiveAnswer:
    margin = stakes.margins[name]
    importances = questions.importances(surface)
    keys = [*(key for key in LEADING if key in surface_keys(surface)), *(item.key for item in importances)]
    found = ObjectiveAnswer(
        objective=name,
        trials=int(surface.seen.counts.sum()),
        noise=surface.noise,
        seed_noise=surface.seed_noise,
        expected=questions.estimate(surface, place),
        optimum=questions.optimum(surface),
        region=questions.region(surface, place, margin),
        importances=importances,
        next_trial=questions.next_trial(surface),
        grid=questions.grid(surface, place, list(dict.fromkeys(keys))),
        sentences=(),
    )
    changes = questions.changes(surface, place, margin)
    wanted = None if found.region.locations or changes else questions.wanted(surface, margin)
    spoken = sentences.of_objective(found, changes, wanted, rows=stakes.rows, is_leading=name == leading)
    return dataclasses.replace(found, sentences=spoken)


def surface_keys(surface: Surface) -> list[str]:
    return [axis.key for axis in surface.axes]
