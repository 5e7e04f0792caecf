from __future__ import annotations

import numpy as np
import pytest

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import (
    FloatArray,
    bootstrap_interval,
    difference_interval,
    mean_difference_interval,
    mean_standard_error,
)


class MeanOfRows:
    """A metric whose interval is known: the mean of one number a row."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        means: FloatArray = totals[..., 0] / totals[..., 1]
        return means


def _rows(values: np.ndarray) -> FloatArray:
    return np.stack([values, np.ones_like(values)], axis=1)


def _normal(seed: int, rows: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, rows)


METRIC = MeanOfRows()


def test_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = _normal(1, 400)
    interval = bootstrap_interval(METRIC, _rows(values), draws=4000, seed=5)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    intervals = [bootstrap_interval(METRIC, _rows(_normal(seed, 60)), draws=200, seed=seed) for seed in range(300)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.90 <= covered <= 0.98


def test_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    rows = _rows(_normal(2, 50))
    first = bootstrap_interval(METRIC, rows, draws=100, seed=1)
    assert first == bootstrap_interval(METRIC, rows, draws=100, seed=1)
    assert first != bootstrap_interval(METRIC, rows, draws=100, seed=2)


def test_higher_level_is_wider() -> None:
    rows = _rows(_normal(3, 80))
    narrow = bootstrap_interval(METRIC, rows, draws=500, seed=1, level=0.5)
    wide = bootstrap_interval(METRIC, rows, draws=500, seed=1, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_resampling_in_chunks_weighs_every_draw_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(_normal(4, 100))
    whole = bootstrap_interval(METRIC, rows, draws=200, seed=1)
    monkeypatch.setattr("mixwright.evaluate.intervals._CELLS_A_CHUNK", 350)
    chunked = bootstrap_interval(METRIC, rows, draws=200, seed=1)
    assert (chunked.low, chunked.high) == pytest.approx((whole.low, whole.high))


def test_difference_is_paired_by_rows() -> None:
    baseline = _normal(5, 100)
    system = baseline + 0.1
    paired = difference_interval(METRIC, _rows(system), _rows(baseline), draws=300, seed=1)
    assert (paired.low, paired.value, paired.high) == pytest.approx((0.1, 0.1, 0.1))
    assert paired.excludes_zero


def test_no_difference_is_not_told_from_zero() -> None:
    rows = _rows(_normal(6, 100))
    same = difference_interval(METRIC, rows, rows, draws=50, seed=1)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    assert not same.excludes_zero


def test_mean_over_tasks_weighs_tasks_and_not_rows() -> None:
    large, small = np.zeros(500), np.zeros(5)
    interval = mean_difference_interval(
        [(METRIC, _rows(large + 1.0), _rows(large)), (METRIC, _rows(small + 3.0), _rows(small))], draws=20, seed=1
    )
    assert (interval.low, interval.value, interval.high) == pytest.approx((2, 2, 2))


def test_mean_over_tasks_resamples_within_each_task() -> None:
    tasks = [(METRIC, _rows(_normal(10 + task, 200)), _rows(np.zeros(200))) for task in range(4)]
    interval = mean_difference_interval(tasks, draws=3000, seed=1)
    standard_error = np.sqrt(sum(rows[:, 0].var() / 200 for _, rows, _ in tasks)) / 4
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * standard_error, rel=0.06)


@pytest.mark.parametrize(
    ("rows", "draws", "level", "message"),
    [
        (0, 10, 0.95, "at least one row"),
        (3, 0, 0.95, "draws must be at least 1, got 0"),
        (3, 10, 1.0, "level must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_resampled_is_refused(rows: int, draws: int, level: float, message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        bootstrap_interval(METRIC, _rows(np.zeros(rows)), draws=draws, seed=1, level=level)


def test_difference_of_other_rows_is_refused() -> None:
    with pytest.raises(ScoreError, match="3 and 4 rows"):
        difference_interval(METRIC, _rows(np.zeros(3)), _rows(np.zeros(4)), draws=10, seed=1)


def test_mean_over_no_tasks_is_refused() -> None:
    with pytest.raises(ScoreError, match="at least one task"):
        mean_difference_interval([], draws=10, seed=1)


@pytest.mark.parametrize("rows", [6, 200])
def test_standard_error_of_a_mean_over_tasks_is_that_of_the_formula_on_few_rows_too(rows: int) -> None:
    values = [_normal(1, rows), 3 * _normal(2, rows)]
    error = mean_standard_error([(METRIC, _rows(task)) for task in values], draws=20_000, seed=5)
    expected = np.sqrt(sum(task.var(ddof=1) / rows for task in values)) / 2
    assert error == pytest.approx(expected, rel=0.02)


def test_one_row_of_a_task_tells_no_standard_error() -> None:
    assert mean_standard_error([(METRIC, _rows(_normal(1, 5))), (METRIC, _rows(_normal(2, 1)))], draws=100, seed=1) is None
    with pytest.raises(ScoreError, match="at least one task"):
        mean_standard_error([], draws=100, seed=1)
