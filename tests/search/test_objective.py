"""The best trial and the front: only whole budgets count, and what was never trained must be kept."""

from __future__ import annotations

import random

import pytest

from mixwright.config import ObjectiveConfig
from mixwright.errors import RunError
from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.objective import choose_best, dominated_volume, hypervolume, lowered, pareto_front

BASE = Objectives(seen=40.0, unseen=30.0, retention=0.0)
LIMITS = ObjectiveConfig(max_unseen_loss=1.0, max_retention_loss=0.1)


def trial(number: int, seen: float, unseen: float | None = 30.0, retention: float = 0.0, status: str = "complete", cause: str = ""):
    rung = RungRecord(
        step=8,
        examples=64,
        tokens=4000,
        train_loss=1.0,
        objectives=Objectives(seen=seen, unseen=unseen, retention=retention),
        task_scores={},
        seconds=9.0,
    )
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status=status, params={}, rungs=(rung,), cause=cause)


def test_a_trial_that_was_stopped_early_is_neither_best_nor_on_the_front() -> None:
    trials = [trial(0, 50.0), trial(1, 90.0, status="stopped")]
    assert choose_best(trials, BASE, LIMITS).trial.number == 0
    assert [item.number for item in pareto_front(trials)] == [0]


def test_a_trial_that_loses_the_unseen_tasks_does_not_win_by_its_seen_score() -> None:
    choice = choose_best([trial(0, 50.0), trial(1, 90.0, unseen=28.9)], BASE, LIMITS)
    assert choice.trial.number == 0
    assert "1 of 2 complete trials that keep unseen within 1 point " in choice.reason


def test_a_trial_that_forgets_generic_instructions_does_not_win_by_its_seen_score() -> None:
    assert choose_best([trial(0, 50.0), trial(1, 90.0, retention=-0.11)], BASE, LIMITS).trial.number == 0


def test_where_none_keeps_the_rest_the_highest_seen_wins_and_the_reason_says_so() -> None:
    choice = choose_best([trial(0, 50.0, unseen=20.0), trial(1, 60.0, unseen=20.0)], BASE, LIMITS)
    assert (choice.trial.number, choice.keeps_unseen, choice.keeps_retention) == (1, False, True)
    assert choice.reason.startswith("highest mean over seen tasks on dev; none of the 2 complete trials keeps")


def test_equal_trials_are_decided_by_the_lower_number() -> None:
    assert choose_best([trial(4, 50.0), trial(2, 50.0)], BASE, LIMITS).trial.number == 2


def test_a_scenario_without_held_out_tasks_is_judged_by_the_rest() -> None:
    base = Objectives(seen=40.0, unseen=None, retention=0.0)
    assert choose_best([trial(0, 50.0, unseen=None)], base, LIMITS).keeps_unseen


def test_the_front_holds_every_trial_that_none_beats_and_no_other() -> None:
    trials = [trial(0, 60.0, 30.0), trial(1, 50.0, 35.0), trial(2, 49.0, 34.0), trial(3, 60.0, 29.0), trial(4, 10.0, 10.0, 0.5)]
    assert [item.number for item in pareto_front(trials)] == [0, 1, 4]


def test_without_a_complete_trial_the_causes_are_told() -> None:
    with pytest.raises(RunError, match="no trial ran its whole budget; causes: the loss is nan"):
        choose_best([trial(0, 50.0, status="failed", cause="the loss is nan"), trial(1, 1.0, status="stopped")], BASE, LIMITS)


def test_a_limit_in_percent_is_counted_from_the_base_model_s_own_loss() -> None:
    limits = ObjectiveConfig(kind="constrained", max_retention_loss_percent=2.0, max_unseen_loss_percent=10.0)
    trials = [
        trial(0, 50.0),
        trial(1, 60.0, unseen=27.5, retention=-0.05),
        trial(2, 70.0, retention=-0.07),
        trial(3, 80.0, unseen=26.9),
    ]
    choice = choose_best(trials, BASE, limits, base_loss=3.0)
    assert choice.trial.number == 1
    assert choice.reason.endswith("2 of 4 complete trials that keep unseen within 10 % and retention within 2 % of base")


def test_weights_choose_whatever_the_limits_and_the_limits_are_still_told() -> None:
    weighted = ObjectiveConfig(kind="weighted", weights={"seen": 1.0, "unseen": 2.0, "retention": 100.0})
    choice = choose_best([trial(0, 50.0), trial(1, 60.0, unseen=27.0), trial(2, 60.0, retention=-0.05)], BASE, weighted)
    assert (choice.trial.number, choice.keeps_unseen) == (2, True)
    assert choice.reason == "highest 1 x seen + 2 x unseen + 100 x retention on dev among the 3 complete trials"
    assert not choose_best([trial(1, 60.0, unseen=27.0)], BASE, weighted).keeps_unseen


def test_what_is_maximised_may_be_another_objective() -> None:
    unseen_first = ObjectiveConfig(kind="constrained", maximize="unseen")
    assert choose_best([trial(0, 60.0, 30.0), trial(1, 50.0, 35.0)], BASE, unseen_first).trial.number == 1


def test_a_front_of_named_objectives_leaves_the_others_out() -> None:
    trials = [trial(0, 60.0, 30.0, -0.2), trial(1, 50.0, 35.0, -0.1), trial(2, 55.0, 29.0, 0.1)]
    assert [item.number for item in pareto_front(trials, ("seen", "unseen"))] == [0, 1]


def test_hypervolume_is_what_complete_trials_gain_on_the_reference_point_alone() -> None:
    trials = [
        trial(0, 42.0, 33.0, 0.5),
        trial(1, 44.0, 31.0, 0.5),
        trial(2, 99.0, 99.0, -0.1),
        trial(3, 99.0, 99.0, 9.0, "stopped"),
    ]
    assert hypervolume(trials, BASE) == pytest.approx((2 * 3 + 4 * 1 - 2 * 1) * 0.5)
    assert hypervolume(trials, BASE, ("seen", "unseen")) == pytest.approx(59 * 69)
    assert hypervolume(trials[2:3], BASE) == 0.0
    assert hypervolume(trials[2:3], lowered(BASE, ObjectiveConfig(max_retention_loss=0.2), None)) == pytest.approx(59 * 70 * 0.1)
    assert hypervolume([], BASE) == 0.0


def test_dominated_volume_agrees_with_counting_points() -> None:
    rng = random.Random(3)
    boxes = [tuple(rng.random() for _ in range(3)) for _ in range(6)]
    points = [tuple(rng.random() for _ in range(3)) for _ in range(20000)]
    inside = sum(any(all(p <= b for p, b in zip(point, box, strict=True)) for box in boxes) for point in points)
    assert dominated_volume(boxes) == pytest.approx(inside / len(points), abs=0.02)
