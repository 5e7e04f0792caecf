"""Searched keys -> Optuna's distributions, and a trial of Optuna's -> what ours gets.

What comes in: a `SweepConfig`. What goes out: a `Space`, which asks an Optuna trial for the keys that apply to it and for no other
(define by run), so that a sampler learns from what was trained and not from values that nobody read.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import optuna

from mixwright.config import ChoiceSpec, SimplexSpec, SweepConfig
from mixwright.records import TrialRecord
from mixwright.search.limits import Limits
from mixwright.search_config import RangeSpec, encoded
from mixwright.search_points import LOWEST_DRAW, draws_of

INFEASIBLE = "infeasible"
"""User attribute of a trial of the study that was drawn, refused by the constraints, and never trained."""


class Space:
    """The searched space as Optuna sees it.

    Args:
        limits: what a configuration must keep to be trained; None: nothing is held against the constraints.
    """

    def __init__(self, config: SweepConfig, limits: Limits | None = None) -> None:
        self.points = config.points
        self.distributions = distributions(config)
        self._limits = limits

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Draws the keys that apply to the trial."""
        return self.points.walk(lambda name, key: _suggested(trial, name, self.distributions[name]))

    def values(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial with these draws gets, by dotted key."""
        return self.points.values(draws)

    def excess(self, draws: Mapping[str, Any]) -> dict[str, float]:
        """By constraint, how far it is overstepped; 0 or below: it is kept. The same names for every draw."""
        own = self.points.excess(draws)
        return {**own, **self._limits.excess(self.values(draws))} if self._limits else own

    def is_feasible(self, draws: Mapping[str, Any]) -> bool:
        """Whether a trial with these draws may be trained."""
        return all(value <= 0 for value in self.excess(draws).values())

    def random_draws(self, rng: random.Random) -> dict[str, Any]:
        """The draws of a random point, feasible or not."""
        return self.points.at({name: rng.random() for name in self.points.draw_names})


def _suggested(trial: optuna.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> Any:
    if isinstance(distribution, optuna.distributions.FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, optuna.distributions.CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def distributions(config: SweepConfig) -> dict[str, optuna.distributions.BaseDistribution]:
    """One distribution for each name that the sampler may see. A range is of whole numbers where the key holds one."""
    points = config.points
    return {
        name: _distribution(spec, whole=key in points.whole)
        for key, spec in points.parameters.items()
        for name in draws_of(key, spec)
    }


def drawn(config: SweepConfig, trial: TrialRecord) -> TrialRecord:
    """The trial with the draws in place of the values that it got of them: what distributions speak of."""
    return dataclasses.replace(trial, params=config.points.draws(trial.params))


def _distribution(spec: RangeSpec | ChoiceSpec | SimplexSpec, *, whole: bool) -> optuna.distributions.BaseDistribution:
    if isinstance(spec, SimplexSpec):
        return optuna.distributions.FloatDistribution(LOWEST_DRAW, 1.0)
    if isinstance(spec, ChoiceSpec):
        return optuna.distributions.CategoricalDistribution([encoded(choice) for choice in spec.choices])
    if whole:
        return optuna.distributions.IntDistribution(int(spec.low), int(spec.high), log=spec.log, step=int(spec.step or 1))
    return optuna.distributions.FloatDistribution(spec.low, spec.high, log=spec.log, step=spec.step)
