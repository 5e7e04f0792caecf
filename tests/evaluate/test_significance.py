from __future__ import annotations

import numpy as np
import pytest

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import FloatArray, difference_interval
from mixwright.evaluate.significance import holm, minimal_detectable_difference, randomisation_p_value


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


def test_detectable_difference_shrinks_with_the_root_of_rows() -> None:
    few = minimal_detectable_difference(METRIC, _rows(1, 100), _rows(2, 100), draws=2000, seed=1)
    many = minimal_detectable_difference(METRIC, _rows(1, 1600), _rows(2, 1600), draws=2000, seed=1)
    assert few / many == pytest.approx(4, rel=0.15)


def test_difference_of_detectable_size_is_shown_at_the_power_asked_for() -> None:
    size = minimal_detectable_difference(METRIC, _rows(1, 50), _rows(2, 50), draws=2000, seed=1)
    expected = np.sqrt(2 / 50) * (1.96 + 0.8416)
    assert size == pytest.approx(expected, rel=0.25)
    pairs = [(_rows(seed, 50, expected), _rows(1000 + seed, 50)) for seed in range(300)]
    shown = [difference_interval(METRIC, *pair, draws=200, seed=seed).excludes_zero for seed, pair in enumerate(pairs)]
    assert 0.72 <= np.mean(shown) <= 0.88


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_impossible_power_is_refused(power: float) -> None:
    with pytest.raises(ScoreError, match="between 0 and 1"):
        minimal_detectable_difference(METRIC, _rows(1, 5), _rows(2, 5), draws=10, seed=1, power=power)
