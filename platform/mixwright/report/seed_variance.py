"""Points that were repeated over `train.seed`: how much of a result is the seed's, and how much the choice of evaluation rows.

What comes in: trial records. What goes out: a `SeedGroup` a point, with both sources of variance for each objective. They are
different things: another seed tells how another fine-tune of the same rows would end, other rows how another test would judge the
same fine-tune. A gain smaller than either is none.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.records import Objectives, TrialRecord

SEED_KEY = "train.seed"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One objective of a repeated point."""

    mean: float
    between_seeds: float | None
    """Standard deviation over the seeds; None with one seed."""
    over_rows: float | None
    """Standard error from the choice of evaluation rows, the root of the seeds' mean square; None where a trial lacks it."""


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """One point, repeated."""

    params: dict[str, Any]
    """The searched values without the seed; empty where the seed alone was searched."""
    seeds: tuple[int, ...]
    trial_ids: tuple[str, ...]
    """In the order of `seeds`, by number of the trial."""
    seen: Spread
    unseen: Spread | None
    """None where the scenario holds out no task."""
    retention: Spread

    @property
    def n(self) -> int:
        return len(self.seeds)


def seed_groups(trials: Sequence[TrialRecord]) -> tuple[SeedGroup, ...]:
    """The points of a search over `train.seed`, in the order of their first trials; empty where the seed was not searched.

    Trials that were stopped early or failed are left out: their scores are not those of the whole budget. A point that a sampler
    drew twice with one seed counts once, by its first trial, since repeating a seed repeats its result.
    """
    groups: dict[str, dict[int, TrialRecord]] = {}
    for trial in sorted(trials, key=lambda item: item.number):
        if trial.status == "complete" and trial.params.get(SEED_KEY) is not None:
            groups.setdefault(json.dumps(_point(trial), sort_keys=True), {}).setdefault(trial.params[SEED_KEY], trial)
    return tuple(_group(list(by_seed.values())) for by_seed in groups.values())


def _point(trial: TrialRecord) -> dict[str, Any]:
    return {key: value for key, value in trial.params.items() if key != SEED_KEY}


def _group(trials: Sequence[TrialRecord]) -> SeedGroup:
    seen, retention = _spread(trials, "seen"), _spread(trials, "retention")
    assert seen is not None
    assert retention is not None
    return SeedGroup(
        params=_point(trials[0]),
        seeds=tuple(trial.params[SEED_KEY] for trial in trials),
        trial_ids=tuple(trial.trial_id for trial in trials),
        seen=seen,
        unseen=_spread(trials, "unseen"),
        retention=retention,
    )


def _spread(trials: Sequence[TrialRecord], objective: str) -> Spread | None:
    last = [trial.rungs[-1] for trial in trials]
    values = [value for rung in last if (value := _of(rung.objectives, objective)) is not None]
    errors = [error for rung in last if (error := _of(rung.standard_errors, objective)) is not None]
    if len(values) < len(last):
        return None
    return Spread(
        mean=statistics.fmean(values),
        between_seeds=statistics.stdev(values) if len(values) > 1 else None,
        over_rows=math.sqrt(statistics.fmean(error**2 for error in errors)) if len(errors) == len(last) else None,
    )


def _of(objectives: Objectives | None, name: str) -> float | None:
    value: float | None = getattr(objectives, name) if objectives else None
    return value
