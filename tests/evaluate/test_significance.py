from __future__ import annotations

import numpy as np
import pytest

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import FloatArray, PairedStatistics
from mixwright.evaluate.significance import holm, mean_randomisation_p_value, randomisation_p_value


class MeanOfRows:
    """A metric whose sampling distribution is known: the mean of one number a row."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        means: FloatArray = totals[..., 0] / totals[..., 1]
        return means


METRIC = MeanOfRows()


def _rows(seed: int, rows: int, mean: float = 0.0) -> FloatArray:
    values = np.random.default_rng(seed).normal(mean, 1.0, rows)
    return np.stack([values, np.ones(rows)], axis=1)


def test_equal_systems_have_p_one() -> None:
    rows = _rows(1, 50)
    assert randomisation_p_value(METRIC, rows, rows, draws=200, seed=1) == 1


def test_large_difference_has_the_smallest_p() -> None:
    assert randomisation_p_value(METRIC, _rows(1, 80, 2.0), _rows(2, 80), draws=999, seed=1) == 1 / 1000


def test_p_value_does_not_depend_on_which_system_comes_first() -> None:
    one, other = _rows(1, 60, 0.2), _rows(2, 60)
    there = randomisation_p_value(METRIC, one, other, draws=4000, seed=1)
    back = randomisation_p_value(METRIC, other, one, draws=4000, seed=2)
    assert there == pytest.approx(back, abs=0.03)


def test_false_alarms_come_as_often_as_the_level_says() -> None:
    p_values = [randomisation_p_value(METRIC, _rows(seed, 40), _rows(1000 + seed, 40), draws=199, seed=seed) for seed in range(400)]
    alarms = [p_value <= 0.05 for p_value in p_values]
    assert 0.02 <= np.mean(alarms) <= 0.08


def test_holm_corrects_by_rank_and_never_reorders() -> None:
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03}) == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_mean_over_tasks_swaps_rows_within_each_task_and_weighs_tasks_alike() -> None:
    large, small = (_rows(1, 400), _rows(2, 400)), (_rows(3, 20, 1.5), _rows(4, 20))
    pairs = [PairedStatistics(METRIC, *large), PairedStatistics(METRIC, *small)]
    assert mean_randomisation_p_value(pairs, draws=999, seed=1) <= 0.01
    assert mean_randomisation_p_value(pairs[:1], draws=999, seed=1) == randomisation_p_value(METRIC, *large, draws=999, seed=1)
    joined = [np.concatenate(tables) for tables in zip(large, small, strict=True)]
    assert randomisation_p_value(METRIC, *joined, draws=999, seed=1) > 0.05


def test_tasks_that_cancel_out_leave_no_difference_of_the_mean() -> None:
    better, worse = _rows(1, 50, 2.0), _rows(2, 50)
    pairs = [PairedStatistics(METRIC, better, worse), PairedStatistics(METRIC, worse, better)]
    assert mean_randomisation_p_value(pairs, draws=200, seed=1) == 1


def test_false_alarms_of_a_mean_over_tasks_come_as_often_as_the_level_says() -> None:
    def p_value(seed: int) -> float:
        tasks = [(12, 5.0), (40, 1.0), (25, 2.0)]
        tables = [
            [_rows(seed + 1000 * k + side, rows) * [scale, 1.0] for side in (0, 500_000)] for k, (rows, scale) in enumerate(tasks)
        ]
        return mean_randomisation_p_value([PairedStatistics(METRIC, *pair) for pair in tables], draws=199, seed=seed)

    assert 0.02 <= np.mean([p_value(seed) <= 0.05 for seed in range(400)]) <= 0.08


def test_a_mean_over_no_tasks_is_refused() -> None:
    with pytest.raises(ScoreError, match="at least one task"):
        mean_randomisation_p_value([], draws=10, seed=1)
