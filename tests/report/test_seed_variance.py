"""Repeated points: which trials belong together, and the two sources of variance kept apart."""

from __future__ import annotations

from typing import Any

import pytest

from mixwright.records import Objectives, RungRecord, TrialRecord, TrialStatus
from mixwright.report.seed_variance import seed_groups


def trial(
    number: int,
    params: dict[str, Any],
    seen: float,
    error: float | None = 1.0,
    *,
    status: TrialStatus = "complete",
    unseen: float | None = 30.0,
) -> TrialRecord:
    errors = None if error is None else Objectives(seen=error, unseen=None if unseen is None else error, retention=error / 100)
    rung = RungRecord(
        step=8,
        examples=64,
        tokens=4000,
        train_loss=1.0,
        objectives=Objectives(seen=seen, unseen=unseen, retention=seen / 100),
        task_scores={},
        seconds=9.0,
        standard_errors=errors,
    )
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status=status, params=params, rungs=(rung,))


def seed(value: int, **others: Any) -> dict[str, Any]:
    return {"train.seed": value, **others}


def test_both_sources_of_variance_are_stated_for_each_objective() -> None:
    (group,) = seed_groups([trial(0, seed(1), 40.0, 3.0), trial(1, seed(2), 44.0, 4.0), trial(2, seed(3), 48.0, 5.0)])
    assert (group.n, group.seeds, group.params, group.trial_ids[0]) == (3, (1, 2, 3), {}, "trial_0000")
    assert (group.seen.mean, group.seen.between_seeds) == (44.0, 4.0)
    assert group.seen.over_rows == pytest.approx(((9 + 16 + 25) / 3) ** 0.5)
    assert group.unseen is not None
    assert group.unseen.between_seeds == 0.0
    assert group.retention.mean == pytest.approx(0.44)
    assert group.retention.between_seeds == pytest.approx(0.04)


def test_points_are_kept_apart_and_the_order_of_their_keys_does_not_matter() -> None:
    trials = [
        trial(2, seed(2, **{"lora.rank": 4, "mixture.generic_fraction": 0.5}), 45.0),
        trial(0, {"lora.rank": 4, "train.seed": 1, "mixture.generic_fraction": 0.5}, 40.0),
        trial(1, {"mixture.generic_fraction": 0.5, "train.seed": 1, "lora.rank": 16}, 50.0),
    ]
    groups = seed_groups(trials)
    assert [(group.params["lora.rank"], group.seeds) for group in groups] == [(4, (1, 2)), (16, (1,))]
    assert "train.seed" not in groups[0].params


def test_one_seed_tells_no_spread_and_a_trial_without_errors_no_error() -> None:
    (alone,) = seed_groups([trial(0, seed(1), 40.0, None, unseen=None)])
    assert (alone.seen.between_seeds, alone.seen.over_rows, alone.unseen) == (None, None, None)


def test_trials_that_did_not_run_their_budget_and_searches_without_seeds_are_left_out() -> None:
    trials = [trial(0, seed(1), 40.0), trial(1, seed(2), 10.0, status="stopped"), trial(2, seed(3), 10.0, status="failed")]
    assert [group.seeds for group in seed_groups(trials)] == [(1,)]
    assert seed_groups([trial(0, {"lora.rank": 4}, 40.0)]) == ()


def test_a_seed_that_was_drawn_twice_counts_once() -> None:
    (group,) = seed_groups([trial(0, seed(1), 40.0), trial(1, seed(1), 40.0), trial(2, seed(2), 44.0)])
    assert (group.seeds, group.trial_ids) == ((1, 2), ("trial_0000", "trial_0002"))
