"""The best trial and the front: only whole budgets count, and what was never trained must be kept."""

from __future__ import annotations

import pytest

from mixwright.config import ObjectiveConfig
from mixwright.errors import RunError
from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.objective import choose_best, pareto_front

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
    assert "1 of 2 complete trials that keep unseen within 1 points" in choice.reason


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
