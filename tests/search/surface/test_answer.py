"""What a team is told is true of a space whose truth is known, and nothing is said where the trials say nothing."""

from __future__ import annotations

import dataclasses
import json

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from tests.search.surface.made_up_trials import FRACTION, PEAK, RANK, SPACE, TEMPLATE, make_trial, make_trials, seen_at

from mixwright.records import Answer, ObjectiveAnswer, from_json, to_json
from mixwright.search.surface.answer import Stakes, answer

STAKES = Stakes(margins={"seen": 3.0, "unseen": 3.0}, rows=16)


def told(count: int, error: float, stakes: Stakes = STAKES) -> Answer:
    found = answer(make_trials(count, error), SPACE, stakes)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def clear() -> Answer:
    """Of trials that say much."""
    return told(40, 0.7)


def of(found: Answer, objective: str) -> ObjectiveAnswer:
    return next(item for item in found.objectives if item.objective == objective)


def test_the_recommended_point_is_near_the_best(clear: Answer) -> None:
    assert seen_at(clear.recommended) > 49.3
    assert clear.recommended[FRACTION] == pytest.approx(PEAK, abs=0.12)


def test_every_point_of_the_region_is_as_good_as_anything_tried(clear: Answer) -> None:
    sides = {item.key: item for item in of(clear, "seen").region.locations}
    corners = [
        {FRACTION: fraction, RANK: rank, TEMPLATE: "chat"}
        for fraction in (sides[FRACTION].low, sides[FRACTION].high)
        for rank in (sides[RANK].low, sides[RANK].high)
    ]
    best_tried = max(seen_at(trial.params) for trial in make_trials(40, 0.7))
    assert min(map(seen_at, corners)) > best_tried - 3.0
    assert sides[FRACTION].low < PEAK < sides[FRACTION].high
    assert sides[RANK].at_high_end


def test_a_key_that_does_nothing_is_the_least_important(clear: Answer) -> None:
    last = of(clear, "seen").importances[-1]
    assert last.key == TEMPLATE
    assert last.share < 0.1


def test_sentences_name_the_region_and_what_is_lost_outside(clear: Answer) -> None:
    text = " ".join(clear.sentences)
    assert "is as good as anything tried" in text
    assert "rank 16 or more" in text or "rank 8 or more" in text
    drop = next(sentence for sentence in clear.sentences if "the unseen tasks drop by" in sentence)
    assert drop.startswith("At generic 0")
    assert "±" in drop


def test_where_noise_is_all_there_is_nothing_is_claimed() -> None:
    found = told(6, 6.0)
    assert of(found, "seen").region.locations == ()
    spoken = [sentence for sentence in found.sentences if "Nothing can be told of the seen tasks" in sentence]
    assert len(spoken) == 1
    assert "± 6" in spoken[0] or "± 7" in spoken[0]
    assert "more trials" in spoken[0] or "rows" in spoken[0]


def test_two_trials_are_too_few_and_the_answer_says_so() -> None:
    found = answer(make_trials(2, 1.0), SPACE, STAKES)
    assert found is not None
    assert found.objectives == ()
    assert "2 trials ran the whole budget" in found.sentences[0]


def test_a_sweep_that_searches_nothing_has_no_answer() -> None:
    assert answer(make_trials(4, 1.0), {}, STAKES) is None
    assert answer(make_trials(4, 1.0), {"one": CategoricalDistribution(["a"])}, STAKES) is None


def test_short_budget_scores_are_not_read() -> None:
    trials = make_trials(12, 0.7)
    stopped = [dataclasses.replace(make_trial(90 + i, trials[0].params, 500.0, 500.0, 0.7), status="stopped") for i in range(3)]
    assert answer([*trials, *stopped], SPACE, STAKES) == answer(trials, SPACE, STAKES)


def test_the_recommended_point_keeps_a_limit_on_another_objective() -> None:
    """unseen is 39 from a generic fraction of 0.3 on, and 30 without any."""
    trials = [
        make_trial(t.number, t.params, -20 * (t.params[FRACTION] - 0.05) ** 2 + 50, t.rungs[0].objectives.unseen, 0.3)
        for t in make_trials(40, 0.3)
    ]
    free = answer(trials, SPACE, STAKES)
    held = answer(trials, SPACE, dataclasses.replace(STAKES, lowest={"unseen": 37.0}))
    assert free is not None
    assert held is not None
    assert free.recommended[FRACTION] < 0.15
    assert held.recommended[FRACTION] > 0.19


def test_a_scenario_that_holds_out_no_task_has_no_surface_of_it() -> None:
    trials = [make_trial(t.number, t.params, t.rungs[0].objectives.seen, None, 0.7) for t in make_trials(12, 0.7)]
    found = answer(trials, SPACE, STAKES)
    assert found is not None
    assert [item.objective for item in found.objectives] == ["seen"]


def test_one_searched_key_gives_a_curve_and_unknown_noise_is_learned() -> None:
    trials = [
        make_trial(t.number, {FRACTION: t.params[FRACTION]}, t.rungs[0].objectives.seen, None, 0.0) for t in make_trials(16, 0.7)
    ]
    found = answer(trials, {FRACTION: FloatDistribution(0, 1)}, STAKES)
    assert found is not None
    grid = of(found, "seen").grid
    assert grid is not None
    assert (grid.y_key, grid.y, len(grid.mean)) == ("", (), 1)
    assert of(found, "seen").noise > 0.3


def test_an_answer_survives_its_json(clear: Answer) -> None:
    assert from_json(Answer, json.loads(json.dumps(to_json(clear)))) == clear
