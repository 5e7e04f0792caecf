"""Trials with a known truth: seen has its peak at generic_fraction 0.35 and a plateau in rank; the template does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mixwright.records import Objectives, RungRecord, TrialRecord, TrialStatus
from mixwright.search.surface.axes import Axis, Floats, axes_of, point_at, spread_points

FRACTION, RANK, TEMPLATE = "mixture.generic_fraction", "lora.rank", "prompt.template"
SPACE: dict[str, BaseDistribution] = {
    FRACTION: FloatDistribution(0.0, 1.0),
    RANK: CategoricalDistribution([4, 8, 16, 32, 64]),
    TEMPLATE: CategoricalDistribution(["alpaca", "chat"]),
}
AXES: tuple[Axis, ...] = axes_of(SPACE)
PEAK = 0.35


def seen_at(params: dict[str, Any]) -> float:
    return float(50 - 30 * (params[FRACTION] - PEAK) ** 2 - 8 * np.exp(-params[RANK] / 6))


def unseen_at(params: dict[str, Any]) -> float:
    return 30 + 9 * min(float(params[FRACTION]), 0.3) / 0.3


def make_trial(number: int, params: dict[str, Any], seen: float, unseen: float | None, error: float, **changes: Any) -> TrialRecord:
    status: TrialStatus = changes.pop("status", "complete")
    rung = RungRecord(
        step=1,
        examples=1,
        tokens=1,
        train_loss=1.0,
        objectives=Objectives(seen=seen, unseen=unseen, retention=0.0),
        task_scores={},
        seconds=1.0,
        standard_errors=Objectives(seen=error, unseen=error, retention=0.01) if error else None,
    )
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status=status, params=params, rungs=(rung,), **changes)


def make_trials(count: int, error: float, seed: int = 0) -> list[TrialRecord]:
    rng = np.random.default_rng(seed)
    points = [point_at(AXES, place) for place in spread_points(AXES, count, seed)]
    return [
        make_trial(
            i, point, seen_at(point) + error * rng.standard_normal(), unseen_at(point) + error * rng.standard_normal(), error
        )
        for i, point in enumerate(points)
    ]


def places_at_random(axes: tuple[Axis, ...], count: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return np.column_stack([axis.spread(rng.random(count)) for axis in axes])
