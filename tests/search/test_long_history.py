"""TPE over a long study: it sees the best and a spread of the others, and what it sees hangs on the study alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mixwright.search.long_history import KEPT, SEEN, History, LongHistoryTPE, by_rank, thinned

BOTH = [StudyDirection.MAXIMIZE, StudyDirection.MAXIMIZE]


def trial(number: int, values: Sequence[float] | None, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    made = optuna.create_trial(
        state=state, values=values, params={"x": number / 1e4}, distributions={"x": FloatDistribution(0.0, 1.0)}
    )
    made.number = number
    return made


def many(count: int, running: Sequence[int] = ()) -> list[FrozenTrial]:
    rng = random.Random(0)
    return [
        trial(number, None, TrialState.RUNNING) if number in running else trial(number, [rng.random(), rng.random()])
        for number in range(count)
    ]


def test_no_trial_of_a_short_study_is_left_out() -> None:
    trials = many(SEEN - 1)
    assert History().seen(trials, BOTH) == trials


def test_a_long_study_keeps_its_front_and_those_that_run_and_is_bounded() -> None:
    trials = many(2000, running=[3, 1990])
    seen = History().seen(trials, BOTH)
    assert len(seen) <= SEEN + 2
    ended = [item for item in trials if item.state == TrialState.COMPLETE]
    front = [item for item in ended if not any(_beats(other, item) for other in ended)]
    assert {item.number for item in front} | {3, 1990} <= {item.number for item in seen}
    assert sum(item.number < 500 for item in seen) > KEPT / 20, "old trials are among the spread"


def _beats(one: FrozenTrial, other: FrozenTrial) -> bool:
    return all(mine > theirs for mine, theirs in zip(one.values, other.values, strict=True))


def test_what_is_seen_does_not_hang_on_when_the_sampler_was_made() -> None:
    trials, growing = many(1500), History()
    for count in range(1, 1501):
        seen = growing.seen(trials[:count], BOTH)
    assert seen == History().seen(trials, BOTH)


def test_complete_goes_before_stopped_and_feasible_before_both() -> None:
    infeasible = trial(0, [9.0, 9.0])
    infeasible.system_attrs["constraints:unseen_loss"] = 1.0
    stopped, worse, better = trial(1, None, TrialState.PRUNED), trial(2, [1.0, 1.0]), trial(3, [2.0, 2.0])
    assert infeasible.constraints == {"unseen_loss": 1.0}
    assert [item.number for item in by_rank([infeasible, stopped, worse, better], BOTH)] == [3, 2, 1, 0]


def test_failed_trials_are_not_kept() -> None:
    trials = [*many(10), trial(10, None, TrialState.FAIL)]
    assert [item.number for item in thinned(trials, BOTH)] == list(range(10))


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_up_to_its_limit_it_draws_what_optunas_own_draws_and_beyond_it_goes_on(directions: list[str]) -> None:
    def draws(sampler: optuna.samplers.BaseSampler, known: int) -> list[float]:
        study = optuna.create_study(directions=directions, sampler=sampler)
        rng = random.Random(1)
        for number in range(known):
            x = rng.random()
            made = trial(number, [-((x - 0.3) ** 2), x][: len(directions)])
            made.params = {"x": x}
            study.add_trial(made)
        return [study.ask().suggest_float("x", 0.0, 1.0) for _ in range(3)]

    settings = {"seed": 0, "multivariate": True, "constant_liar": True}
    ours, theirs = (draws(kind(**settings), SEEN - 10) for kind in (LongHistoryTPE, optuna.samplers.TPESampler))
    assert ours == theirs
    assert all(abs(x - 0.3) < 0.2 for x in draws(LongHistoryTPE(**settings), 1000)[:1]) or len(directions) == 2
