"""An Optuna sampler that asks the surface where one more trial would teach most.

What comes in: a study's trials, with the standard error of each score where it is known. What goes out: points. Trials that
are running are counted with scores that they may well come back with, so that parallel lanes do not try the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mixwright.search.surface.axes import Axis, Floats, axes_of, places_of, point_at, spread_points
from mixwright.search.surface.learning import next_point
from mixwright.search.surface.process import Surface, fit, gathered, observations
from mixwright.search.surface.threads import on_one_thread

STANDARD_ERRORS = "standard_errors"
"""User attribute of a trial: the standard error of each objective, in their order; None where one was not measured."""

_SETTINGS, _SETTINGS_OF_MANY = 6, 3
_MOST_ROWS = 120
"""Beyond it, trials that are close to one another count as one: a suggestion must not take longer the longer a search runs."""
_REFIT_AFTER = 1.1
"""Length scales are settled again once there are this many times the trials that they were settled with."""
_ALWAYS_REFIT_BELOW = 40
_MOST_OUT = 64
"""Trials without a score that are counted, the last ones."""
_FLOOR_WEIGHT = 0.05
"""Of the plain sum beside the worst objective, as ParEGO has it."""


def standard_errors(trial: FrozenTrial) -> Sequence[float | None] | None:
    """What a trial carries as `STANDARD_ERRORS`."""
    found: Sequence[float | None] | None = trial.user_attrs.get(STANDARD_ERRORS)
    return found


class SurfaceSampler(BaseSampler):
    """Noise-aware Bayesian optimisation by the knowledge gradient on a Gaussian process.

    With several objectives each suggestion weighs them anew at random (ParEGO, Knowles 2006). Constraints of trials weigh a point
    by the chance that it keeps them. A trial that failed or was stopped early counts as one that has not come back: its
    score, if it has one, is that of a smaller budget, and to try its point again at once would teach little.

    Args:
        seed: of the points of the start, of candidates and of weights.
        n_startup_trials: points of a Sobol sequence before the surface is asked.
        space: the distribution of each searched key; None: those that all trials so far have in common. Needed where keys are
            conditional, so that these are chosen by the surface too.
        active: of a point with all keys, those that it has; None: all. The others count as lacking.
        noise: the standard errors of a trial's scores.
    """

    def __init__(
        self,
        seed: int = 0,
        n_startup_trials: int = 4,
        space: Mapping[str, BaseDistribution] | None = None,
        active: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
        noise: Callable[[FrozenTrial], Sequence[float | None] | None] = standard_errors,
    ) -> None:
        self._seed = seed
        self._startup = max(2, n_startup_trials)
        self._space = None if space is None else dict(space)
        self._active = active
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed=seed)
        self._common = IntersectionSearchSpace()
        self._logs: tuple[Floats, ...] = ()
        self._settled_with = 0

    def reseed_rng(self) -> None:
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        space = self._space if self._space is not None else self._common.calculate(study)
        return {key: distribution for key, distribution in space.items() if not distribution.single()}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    @on_one_thread
    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        axes = axes_of(search_space)
        if not axes:
            return {}
        trials = [item for item in study.get_trials(deepcopy=False) if item.number != trial.number]
        complete = [item for item in trials if item.state == TrialState.COMPLETE and all(map(math.isfinite, item.values))]
        if len(complete) < 2 or len(complete) + _running(trials) < self._startup:
            place = spread_points(axes, trial.number + 1, self._seed)[trial.number]
        else:
            place = self._taught_most(study.directions, axes, complete, trials)
        return point_at(axes, place)  # every key, since Optuna asks for those alone that the trial has

    def _taught_most(
        self, directions: Sequence[StudyDirection], axes: tuple[Axis, ...], complete: list[FrozenTrial], trials: list[FrozenTrial]
    ) -> Floats:
        values, variances = _scalar(directions, complete, self._noise, self._rng)
        surface = self._fitted(axes, places_of(axes, [self._point(item) for item in complete]), values, variances)
        out = [item for item in trials if item.params and _is_out(item)]
        if out:
            surface = surface.expecting(places_of(axes, [self._point(item) for item in out[-_MOST_OUT:]]), self._rng)
        return next_point(surface, self._rng, limits=self._limits(axes, complete)).place

    def _limits(self, axes: tuple[Axis, ...], complete: list[FrozenTrial]) -> list[Surface]:
        """A surface for each constraint that trials carry, in their own units: kept where it is 0 or below."""
        found = []
        for name in sorted({name for item in complete for name in item.constraints}):
            rows = [(item, float(item.constraints[name])) for item in complete if name in item.constraints]
            places, values = places_of(axes, [self._point(item) for item, _ in rows]), [value for _, value in rows]
            if min(values) < max(values):
                found.append(fit(axes, observations(places, values), settings=1, active=self._active))
        return found

    def _fitted(self, axes: tuple[Axis, ...], places: Floats, values: Floats, variances: Floats) -> Surface:
        count = len(values)
        due = count < _ALWAYS_REFIT_BELOW or count >= _REFIT_AFTER * self._settled_with or not self._logs
        fitting = self._logs if self._logs and len(self._logs[0]) == len(axes) + 3 else ()
        seen = gathered(axes, observations(places, values, variances), _MOST_ROWS)
        settings = _SETTINGS if count <= _MOST_ROWS else _SETTINGS_OF_MANY
        surface = fit(axes, seen, settings=settings, start=fitting, seed=self._seed + count, refit=due, active=self._active)
        if due:
            self._logs, self._settled_with = tuple(item.log for item in surface.settings), count
        return surface

    def _point(self, trial: FrozenTrial) -> Mapping[str, Any]:
        if self._active is None:
            return trial.params
        active = self._active(trial.params)
        return {key: value for key, value in trial.params.items() if key in active}


def _is_out(trial: FrozenTrial) -> bool:
    """Whether a trial stands at a point without a score of its whole budget, so that asking for it again would teach little."""
    return trial.state in (TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED)


def _running(trials: Sequence[FrozenTrial]) -> int:
    return sum(item.state == TrialState.RUNNING for item in trials)


def _scalar(
    directions: Sequence[StudyDirection],
    trials: Sequence[FrozenTrial],
    noise: Callable[[FrozenTrial], Sequence[float | None] | None],
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """One value a trial to be maximised, and its known variance (NaN where it is not)."""
    signs = np.array([1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in directions])
    values = signs * np.array([item.values for item in trials], dtype=float)
    errors = np.array([_errors(noise(item), len(signs)) for item in trials])
    if len(signs) == 1:
        return values[:, 0], errors[:, 0] ** 2
    low, span = values.min(axis=0), np.maximum(np.ptp(values, axis=0), 1e-12)
    weights = rng.dirichlet(np.ones(len(signs)))
    weighed = weights * (values - low) / span
    slopes = _FLOOR_WEIGHT * weights + weights * (weighed == weighed.min(axis=1, keepdims=True))
    return weighed.min(axis=1) + _FLOOR_WEIGHT * weighed.sum(axis=1), ((slopes * errors / span) ** 2).sum(axis=1)


def _errors(found: Sequence[float | None] | None, count: int) -> list[float]:
    if found is None or len(found) != count:
        return [math.nan] * count
    return [math.nan if error is None else float(error) for error in found]
