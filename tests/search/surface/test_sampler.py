"""The surface's sampler is an Optuna sampler: it finds a known peak, in order, beside running trials and failed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from tests.search.surface.made_up_trials import FRACTION, PEAK, RANK, SPACE, seen_at

from mixwright.search.surface import STANDARD_ERRORS, SurfaceSampler

Space = dict[str, optuna.distributions.BaseDistribution]


def run(sampler: SurfaceSampler, trials: int, error: float = 1.0) -> optuna.Study:
    study, rng = optuna.create_study(direction="maximize", sampler=sampler), np.random.default_rng(1)
    for _ in range(trials):
        trial = study.ask(SPACE)
        trial.set_user_attr(STANDARD_ERRORS, [error])
        study.tell(trial, seen_at(trial.params) + error * rng.standard_normal())
    return study


def test_trials_gather_around_the_peak() -> None:
    study = run(SurfaceSampler(seed=0), 30)
    late = [seen_at(trial.params) for trial in study.trials[15:]]
    early = [seen_at(trial.params) for trial in study.trials[:8]]
    assert np.median(late) > 48.5
    assert np.median(late) > np.median(early)


def test_the_same_seed_draws_the_same_points() -> None:
    first, second = (run(SurfaceSampler(seed=3), 8).trials for _ in range(2))
    assert [trial.params for trial in first] == [trial.params for trial in second]


def test_running_trials_are_not_repeated() -> None:
    study = run(SurfaceSampler(seed=0), 10)
    running = [study.ask(SPACE).params for _ in range(6)]
    assert len({(round(point[FRACTION], 2), point[RANK]) for point in running}) >= 5


def test_failed_and_pruned_trials_are_no_scores() -> None:
    study = run(SurfaceSampler(seed=0), 8)
    for state in (TrialState.FAIL, TrialState.PRUNED):
        study.tell(study.ask(SPACE), state=state)
    params = study.ask(SPACE).params
    assert params.keys() == SPACE.keys()


def test_several_objectives_are_weighed_anew_each_time() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=SurfaceSampler(seed=0))
    for _ in range(24):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, [trial.params["x"], (trial.params["x"] - 0.2) ** 2])
    front = [trial.params["x"] for trial in study.best_trials]
    assert min(front) < 0.35
    assert max(front) > 0.9


def test_a_constraint_keeps_trials_on_its_side() -> None:
    study = optuna.create_study(direction="maximize", sampler=SurfaceSampler(seed=0))
    for _ in range(20):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.set_constraint("too_much", trial.params["x"] - 0.5)
        study.tell(trial, trial.params["x"])
    late = [trial.params["x"] for trial in study.trials[10:]]
    assert np.mean([x <= 0.55 for x in late]) >= 0.7
    assert max(x for x in late if x <= 0.5) > 0.44


def test_keys_that_a_trial_does_not_have_are_left_out() -> None:
    space: Space = {"method": optuna.distributions.CategoricalDistribution(["lora", "full"]), RANK: SPACE[RANK]}

    def active(point: Any) -> set[str]:
        return {"method", RANK} if point["method"] == "lora" else {"method"}

    study = optuna.create_study(direction="maximize", sampler=SurfaceSampler(seed=0, space=space, active=active))
    for _ in range(16):
        trial = study.ask()
        method = trial.suggest_categorical("method", ["lora", "full"])
        rank = trial.suggest_categorical(RANK, [4, 8, 16, 32, 64]) if method == "lora" else 0
        study.tell(trial, float(rank) if method == "lora" else 40.0)
    assert study.best_params == {"method": "lora", RANK: 64}
    assert all(RANK not in trial.params for trial in study.trials if trial.params["method"] == "full")


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_it_starts_without_a_surface(trials: int) -> None:
    assert len(run(SurfaceSampler(seed=0, n_startup_trials=2), trials).trials) == trials
    assert 0 < PEAK < 1
