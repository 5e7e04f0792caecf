"""`search.sampler` -> an Optuna sampler, seeded, that goes on rightly with a study that holds trials already.

What comes in: the space, the settings of the search and the number of known trials. What goes out: a sampler. What a sampler
cannot search is refused when the configuration is read. A further sampler is one more entry of `SAMPLERS` and of `Sampler` in
search_config.py.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mixwright.config import SearchConfig
from mixwright.errors import RunError
from mixwright.search.long_history import LongHistoryTPE
from mixwright.search.space import Space
from mixwright.search.surface import SurfaceSampler


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a sampler is made from."""

    search: SearchConfig
    space: Space
    seed: int
    """Another one for each number of known trials: a resumed search must not draw the same points again."""


def make(search: SearchConfig, space: Space, known_trials: int) -> optuna.samplers.BaseSampler:
    """The sampler of a search; seeded here, since OptunaSearch would ignore its seed.

    Args:
        known_trials: trials that the study holds already.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[search.sampler](Needs(search=search, space=space, seed=search.seed + known_trials))


def _tpe(needs: Needs) -> optuna.samplers.BaseSampler:
    """Knows of running trials (constant liar). Keys that come with conditions are modelled group by group."""
    has_conditions = any(spec.when for spec in needs.space.points.parameters.values())
    return LongHistoryTPE(
        seed=needs.seed, n_startup_trials=needs.search.startup_trials, constant_liar=True, multivariate=True, group=has_conditions
    )


def _gp(needs: Needs) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=needs.seed, n_startup_trials=needs.search.startup_trials)


def _surface(needs: Needs) -> optuna.samplers.BaseSampler:
    return SurfaceSampler(
        seed=needs.seed,
        n_startup_trials=needs.search.startup_trials,
        space=needs.space.distributions,
        active=needs.space.points.names_at,
    )


def _nsga2(needs: Needs) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=needs.seed, population_size=needs.search.startup_trials)


def _cmaes(needs: Needs) -> optuna.samplers.BaseSampler:
    """Moves along ranges, with a margin for whole numbers; choices beside them are drawn at random.

    It learns nothing from what the constraints refuse, and says so at each trial.
    """
    warnings.filterwarnings("ignore", message="Constraints have been set, but CmaEsSampler", category=UserWarning)
    return optuna.samplers.CmaEsSampler(
        seed=needs.seed, n_startup_trials=needs.search.startup_trials, with_margin=True, warn_independent_sampling=False
    )


def _random(needs: Needs) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=needs.seed)


class PointSampler(optuna.samplers.BaseSampler):
    """Gives each trial one whole point, which follows from the study and the seed alone; resumed, it goes on where it stood.

    Optuna's own quasi-random sampler knows no conditions, and its own grid ends the process when it has been through.
    """

    def __init__(self, points: Callable[[Sequence[FrozenTrial]], dict[str, Any]]) -> None:
        """`points` is called with the trials that were drawn so far, given points left out, and says the draws of the next."""
        self._points = points
        self._chosen: dict[int, dict[str, Any]] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if trial.number not in self._chosen:
            before = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
            self._chosen = {trial.number: self._points(before)}
        return self._chosen[trial.number][param_name]


def _qmc(needs: Needs) -> optuna.samplers.BaseSampler:
    """A scrambled Sobol sequence over all keys; a trial leaves out the places of those that do not apply to it."""
    names = needs.space.points.draw_names

    def next_point(before: Sequence[FrozenTrial]) -> dict[str, Any]:
        return needs.space.points.at(
            dict(zip(names, sobol(len(names), sum(map(_was_drawn, before)), needs.search.seed), strict=True))
        )

    return PointSampler(next_point)


def _was_drawn(trial: FrozenTrial) -> bool:
    """By the sampler, and not given to it."""
    return trial.state != TrialState.WAITING and "fixed_params" not in trial.system_attrs


def sobol(dimensions: int, index: int, seed: int) -> list[float]:
    """Point number `index` of a scrambled Sobol sequence, each coordinate in [0, 1)."""
    from torch.quasirandom import SobolEngine

    engine = SobolEngine(dimensions, scramble=True, seed=seed)
    if index:
        engine.fast_forward(index)
    return [min(unit, 1 - 2**-24) for unit in engine.draw(1)[0].tolist()]


def _grid(needs: Needs) -> optuna.samplers.BaseSampler:
    """Every feasible combination once, in a seeded order."""
    points = list(feasible_grid(needs.space))
    random.Random(needs.search.seed).shuffle(points)

    def next_point(before: Sequence[FrozenTrial]) -> dict[str, Any]:
        tried = {_key(trial.params or trial.system_attrs.get("fixed_params", {})) for trial in before}
        for point in points:
            if _key(point) not in tried:
                return point
        raise RunError(f"search: all {len(points)} points of the grid that the constraints allow were tried; set trials to as many")

    return PointSampler(next_point)


def feasible_grid(space: Space) -> Iterator[dict[str, Any]]:
    """The draws of every combination that the constraints allow."""
    return (point for point in space.points.grid() if space.is_feasible(point))


def _key(draws: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, round(value, 9) if isinstance(value, float) else value) for name, value in draws.items()))


SAMPLERS: Mapping[str, Callable[[Needs], optuna.samplers.BaseSampler]] = {
    "tpe": _tpe,
    "gp": _gp,
    "surface": _surface,
    "nsga2": _nsga2,
    "cmaes": _cmaes,
    "grid": _grid,
    "random": _random,
    "qmc": _qmc,
}
