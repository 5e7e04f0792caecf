"""Searched keys -> Optuna's distributions and a seeded sampler."""

from __future__ import annotations

from typing import Any

import optuna

from mixwright.config import ChoiceSpec, RangeSpec, SearchConfig, SweepConfig
from mixwright.search.surface import SurfaceSampler


def distributions(config: SweepConfig) -> dict[str, optuna.distributions.BaseDistribution]:
    """One distribution a searched key, by its dotted name. A range is of whole numbers where the key holds one."""
    tree = config.model_dump(mode="json")
    return {key: _distribution(spec, _value_at(tree, key)) for key, spec in config.search.parameters.items()}


def _distribution(spec: RangeSpec | ChoiceSpec, present: Any) -> optuna.distributions.BaseDistribution:
    if isinstance(spec, ChoiceSpec):
        return optuna.distributions.CategoricalDistribution(spec.choices)
    if isinstance(present, int) and not isinstance(present, bool):
        return optuna.distributions.IntDistribution(int(spec.low), int(spec.high), log=spec.log, step=int(spec.step or 1))
    return optuna.distributions.FloatDistribution(spec.low, spec.high, log=spec.log, step=spec.step)


def _value_at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def sampler(search: SearchConfig, known_trials: int) -> optuna.samplers.BaseSampler:
    """TPE that knows of running trials (constant liar), random, or our surface; seeded here: OptunaSearch would ignore its seed.

    Args:
        known_trials: trials that the study holds already; a resumed search must not draw the same points again.
    """
    seed = search.seed + known_trials
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if search.sampler == "surface":
        return SurfaceSampler(seed=seed, n_startup_trials=search.startup_trials)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup_trials, constant_liar=True, multivariate=True)
