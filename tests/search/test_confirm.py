"""Fresh seeds decide between the candidates of a search; a lucky score does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.search.surface.made_up_trials import FRACTION, RANK, make_trial, make_trials, seen_at

from mixwright.config import ObjectiveConfig, SweepConfig
from mixwright.records import Objectives, TrialRecord
from mixwright.search.confirm import candidates, confirmed, planned
from mixwright.search.objective import Choice, choose_best
from mixwright.store.runs import RunFolder

BASE = Objectives(seen=30.0, unseen=20.0, retention=0.0)


def judge(trials: Sequence[TrialRecord]) -> Choice:
    return choose_best(trials, BASE, ObjectiveConfig())


def config(**confirm: int) -> SweepConfig:
    parameters = {FRACTION: {"low": 0.0, "high": 1.0}, RANK: {"choices": [4, 8, 16, 32, 64]}}
    return SweepConfig.model_validate({"name": "x", "search": {"trials": 9, "parameters": parameters, "confirm": confirm}})


def trials_with_a_lucky_one() -> list[TrialRecord]:
    """The worst corner of the space has the highest score."""
    lucky = make_trial(90, {FRACTION: 1.0, RANK: 4}, 54.0, 39.0, 3.0)
    return [*make_trials(30, 0.5), lucky]


def repeat(trial: TrialRecord, number: int, seen: float) -> TrialRecord:
    again = make_trial(number, {**trial.params, "train.seed": 1000 + number}, seen, 39.0, 0.5)
    return dataclasses.replace(again, trial_id=f"confirm_{trial.number:04d}_{number}", confirms=trial.trial_id)


def test_candidates_are_chosen_by_the_surface_and_not_by_luck() -> None:
    trials = trials_with_a_lucky_one()
    assert judge(trials).trial.number == 90
    chosen = candidates(config(candidates=2, seeds=1), trials, judge)
    assert len(chosen) == 2
    assert all(seen_at(trial.params) > 48.5 for trial in chosen)


def test_every_candidate_is_planned_once_a_fresh_seed_and_always_the_same() -> None:
    trials = make_trials(12, 0.5)
    wanted = planned(config(candidates=2, seeds=3), trials, judge)
    assert len({item.trial_id for item in wanted}) == 6
    assert {item.params["train.seed"] for item in wanted} == {1000, 1001, 1002}
    assert len({item.confirms for item in wanted}) == 2
    assert planned(config(candidates=2, seeds=3), trials, judge) == wanted


def test_a_point_that_was_tried_twice_is_one_candidate() -> None:
    trials = make_trials(8, 0.5)
    twice = [dataclasses.replace(trial, trial_id=f"again_{trial.number}", number=trial.number + 50) for trial in trials]
    chosen = candidates(config(candidates=3, seeds=1), [*trials, *twice], judge)
    assert len({str(sorted(trial.params.items())) for trial in chosen}) == 3


def test_the_mean_over_fresh_seeds_decides_and_the_reason_says_so() -> None:
    first, second = (
        make_trial(0, {FRACTION: 0.9, RANK: 4}, 60.0, 39.0, 1.0),
        make_trial(1, {FRACTION: 0.4, RANK: 4}, 50.0, 39.0, 1.0),
    )
    fresh = [repeat(first, 0, 44.0), repeat(first, 1, 46.0), repeat(second, 2, 48.0), repeat(second, 3, 49.0)]
    choice = confirmed(judge, [first, second], fresh)
    assert choice.trial == second
    assert "2 fresh seeds" in choice.reason


def test_a_failed_repetition_is_no_score() -> None:
    first, second = (
        make_trial(0, {FRACTION: 0.9, RANK: 4}, 60.0, 39.0, 1.0),
        make_trial(1, {FRACTION: 0.4, RANK: 4}, 50.0, 39.0, 1.0),
    )
    failed = dataclasses.replace(repeat(second, 0, 99.0), status="failed", cause="x")
    assert confirmed(judge, [first, second], [failed, repeat(first, 1, 45.0)]).trial == first
    assert confirmed(judge, [first, second], [failed]).reason == judge([first, second]).reason


def test_confirming_trials_are_no_trials_of_the_search(tmp_path) -> None:
    folder, trial = RunFolder(tmp_path), make_trials(1, 0.5)[0]
    folder.append_trial(trial)
    folder.append_trial(repeat(trial, 0, 40.0))
    assert [item.trial_id for item in folder.trials()] == [trial.trial_id]
    assert [item.confirms for item in folder.confirmations()] == [trial.trial_id]
