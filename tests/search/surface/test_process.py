"""The surface is as sure as it may be: its intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.search.surface.made_up_trials import AXES, FRACTION, RANK, places_at_random, seen_at

from mixwright.search.surface import questions
from mixwright.search.surface.axes import Floats, point_at, spread_points, squared_distances
from mixwright.search.surface.process import (
    Observations,
    Surface,
    _loss,
    _priors,
    _Problem,
    _root,
    fit,
    gathered,
    kernel,
    observations,
)

ROUNDS = 60
TRIALS = 20
ERROR = 0.5


def truth(places: Floats) -> Floats:
    return np.array([seen_at(point_at(AXES, place)) for place in places])


def fitted(count: int, error: float, seed: int = 0) -> Surface:
    places = spread_points(AXES, count, seed)
    values = truth(places) + error * np.random.default_rng(seed).standard_normal(count)
    return fit(AXES, observations(places, values, np.full(count, error**2)))


def a_surface_of_the_prior(seed: int) -> tuple[Observations, Floats, Floats]:
    """Noisy trials of a function drawn from the model itself, and the function on other places."""
    rng = np.random.default_rng(seed)
    places = places_at_random(AXES, TRIALS + 30, seed)
    priors = _priors(len(AXES), is_noise_known=True)
    log = priors["centre"] + 0.5 * priors["spread"] * rng.standard_normal(len(priors["centre"]))
    function = _root(kernel(squared_distances(AXES, places, places), log)) @ rng.standard_normal(len(places))
    noise = math.sqrt(ERROR**2 + math.exp(log[-1]))
    values = function[:TRIALS] + noise * rng.standard_normal(TRIALS)
    return observations(places[:TRIALS], values, np.full(TRIALS, ERROR**2)), places[TRIALS:], function[TRIALS:]


def test_ninety_percent_intervals_hold_nine_truths_in_ten() -> None:
    held = []
    for seed in range(ROUNDS):
        seen, places, function = a_surface_of_the_prior(seed)
        mean, sd = fit(AXES, seen).moments(places)
        held.append((np.abs(function - mean) <= questions.Z * sd).mean())
    # Places of one function are not independent; three standard errors of the rounds' own spread, a binomial's at the least.
    error = max(float(np.std(held)) / math.sqrt(ROUNDS), math.sqrt(0.09 / (ROUNDS * 30)))
    assert np.mean(held) == pytest.approx(0.9, abs=3 * error)


def test_the_optimum_lies_in_its_interval_and_location() -> None:
    values, best, where = [], [], []
    for seed in range(30):
        optimum = questions.optimum(fitted(24, 1.0, seed))
        location = next(item for item in optimum.locations if item.key == FRACTION)
        values.append(optimum.low <= seen_at(optimum.params) <= optimum.high)
        best.append(optimum.low <= 50.0 <= optimum.highest)
        where.append(location.low <= 0.35 <= location.high)
    fewest = 30 * 0.9 - 2.33 * math.sqrt(30 * 0.09)  # what nine in ten fall below in one of a hundred repetitions
    assert min(sum(values), sum(best), sum(where)) >= fewest


def test_more_noise_makes_the_surface_less_sure() -> None:
    place = spread_points(AXES, 8, 5)
    assert (fitted(20, 3.0).moments(place)[1] > fitted(20, 0.3).moments(place)[1]).all()


def test_a_trial_with_a_large_error_moves_the_surface_less() -> None:
    places = spread_points(AXES, 12, 0)
    values = truth(places)
    values[5] += 8.0
    for_sure = np.full(12, 0.25)
    doubtful = for_sure.copy()
    doubtful[5] = 25.0
    moved = [abs(fit(AXES, observations(places, values, v)).mean(places[[5]])[0] - truth(places)[5]) for v in (for_sure, doubtful)]
    assert moved[1] < 0.5 * moved[0]


def test_the_gradient_of_the_fit_is_that_of_its_loss() -> None:
    seen = fitted(15, 1.0).seen
    problem = _Problem(
        distances=squared_distances(AXES, seen.places, seen.places),
        values=(seen.values - seen.values.mean()) / seen.values.std(),
        known=seen.variances,
        counts=seen.counts,
        **_priors(len(AXES), is_noise_known=True),
    )
    log = problem.centre + 0.3
    steps = 1e-5 * np.eye(len(log))
    numeric = [(_loss(log + step, problem)[0] - _loss(log - step, problem)[0]) / 2e-5 for step in steps]
    assert _loss(log, problem)[1] == pytest.approx(numeric, abs=1e-5)


def test_many_trials_are_gathered_without_losing_what_they_know() -> None:
    places = places_at_random(AXES, 600, 1)
    values = truth(places) + np.random.default_rng(2).standard_normal(600)
    seen = observations(places, values, np.ones(600))
    rows = gathered(AXES, seen, most=60)
    assert len(rows) <= 60
    assert rows.counts.sum() == 600
    surface = fit(AXES, rows, settings=2)
    test = spread_points(AXES, 64, 3)
    assert np.sqrt(np.mean((surface.mean(test) - truth(test)) ** 2)) < 0.6
    assert surface.row_variance == pytest.approx(1.0)


def test_trials_of_different_categories_are_not_gathered() -> None:
    places = np.array([[0.5, 0.5, float(index % 2)] for index in range(40)])
    rows = gathered(AXES, observations(places, [float(index % 2) for index in range(40)]), most=4)
    assert sorted(rows.values) == [0.0, 1.0]


def test_running_trials_make_surer_and_expect_what_is_predicted() -> None:
    surface = fitted(12, 1.0)
    place = spread_points(AXES, 3, 9)
    waiting = surface.expecting(place, None)
    assert (waiting.moments(place)[1] < surface.moments(place)[1]).all()
    assert waiting.mean(place) == pytest.approx(surface.mean(place), abs=1e-3)
    assert (fit(AXES, surface.seen).mean(place) == surface.mean(place)).all()


def test_scores_that_are_all_alike_give_a_flat_surface() -> None:
    places = spread_points(AXES, 6, 0)
    surface = fit(AXES, observations(places, [4.0] * 6))
    assert surface.mean(spread_points(AXES, 8, 1)) == pytest.approx(4.0, abs=0.5)


def test_draws_have_the_mean_and_spread_of_the_surface() -> None:
    surface = fitted(20, 1.0)
    places = spread_points(AXES, 10, 4)
    mean, sd = surface.moments(places)
    drawn = surface.draws(places, 4000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.1 * float(sd.max()))
    assert drawn.std(axis=0) == pytest.approx(sd, rel=0.15)
    assert RANK in {axis.key for axis in surface.axes}
