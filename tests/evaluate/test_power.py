"""The power that is claimed must be the power that is reached: differences are planted and put to the test of the tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mixwright.errors import ScoreError
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.intervals import FloatArray, PairedStatistics, SummedMetric
from mixwright.evaluate.power import (
    detectable_at,
    mean_detectable_difference,
    minimal_detectable_difference,
    power_record,
    row_values,
    rows_needed,
)
from mixwright.evaluate.significance import mean_randomisation_p_value, randomisation_p_value
from mixwright.records import Difference

EXPERIMENTS = 400
REACHED = (0.74, 0.86)
"""Three standard deviations of 400 experiments around 80 %."""


class MeanOfRows:
    """A metric whose sampling distribution is known: the mean of one number a row."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        means: FloatArray = totals[..., 0] / totals[..., 1]
        return means


METRIC = MeanOfRows()
Draw = Callable[[np.random.Generator, int], FloatArray]
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, rows: rng.normal(0, 10, rows),
    "skewed": lambda rng, rows: rng.exponential(10, rows) - 10,
    "mostly ties": lambda rng, rows: rng.normal(0, 20, rows) * (rng.random(rows) < 0.3),
}


def table(values: FloatArray) -> FloatArray:
    return np.stack([values, np.ones(len(values))], axis=1)


def zeros(rows: int) -> FloatArray:
    return table(np.zeros(rows))


def rejected(metric: SummedMetric, system: FloatArray, baseline: FloatArray, seed: int) -> bool:
    return randomisation_p_value(metric, system, baseline, draws=399, seed=seed) <= 0.05


@pytest.mark.parametrize("rows", [12, 30, 40, 150])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_planted_difference_of_the_stated_size_is_shown_four_times_in_five(name: str, rows: int) -> None:
    draw = DISTRIBUTIONS[name]
    measured = draw(np.random.default_rng(1), 4000)  # many, so that what is tested is the method and not the luck of the rows
    size = detectable_at(METRIC, table(measured), zeros(4000), rows=rows, draws=1000, seed=2)
    assert size is not None
    shown = []
    for seed in range(EXPERIMENTS):
        sign = 1 if seed % 2 else -1
        values = draw(np.random.default_rng(100 + seed), rows) + sign * size
        shown.append(rejected(METRIC, table(values), zeros(rows), seed))
    assert REACHED[0] <= np.mean(shown) <= REACHED[1]


def edits(rng: np.random.Generator, rows: int, found: float) -> tuple[FloatArray, FloatArray]:
    """True positives, false positives and false negatives of two systems; the first finds `found` more of the wanted edits."""
    wanted = rng.poisson(1.2, rows)
    tables = []
    for share in (0.35 + found, 0.35):
        right = rng.binomial(wanted, share)
        tables.append(np.stack([right, rng.poisson(0.5, rows), wanted - right], axis=1).astype(np.float64))
    return tables[0], tables[1]


@pytest.mark.parametrize("rows", [60, 200])
def test_the_same_holds_for_a_score_that_is_a_ratio_of_sums(rows: int) -> None:
    metric = EditF()

    def gain(found: float) -> float:
        """True difference less the one that `rows` rows of the same systems are said to show."""
        system, baseline = edits(np.random.default_rng(3), 50_000, found)
        true = float(metric.from_totals(system.sum(axis=0)) - metric.from_totals(baseline.sum(axis=0)))
        size = detectable_at(metric, system[:4000], baseline[:4000], rows=rows, draws=400, seed=2)
        assert size is not None
        return true - size

    low, high = 0.0, 0.6
    for _ in range(10):
        low, high = ((low + high) / 2, high) if gain((low + high) / 2) < 0 else (low, (low + high) / 2)
    shown = [rejected(metric, *edits(np.random.default_rng(1000 + seed), rows, high), seed=seed) for seed in range(EXPERIMENTS)]
    assert REACHED[0] <= np.mean(shown) <= REACHED[1]


def test_the_same_holds_for_a_mean_over_tasks_of_unlike_size() -> None:
    def pairs(seed: int, planted: float, rows: tuple[int, ...] = (12, 40, 30)) -> list[PairedStatistics]:
        rng = np.random.default_rng(seed)
        return [
            PairedStatistics(METRIC, table(rng.normal(planted, spread, count)), zeros(count))
            for count, spread in zip(rows, (5.0, 20.0, 10.0), strict=True)
        ]

    size = mean_detectable_difference(pairs(1, 0.0, (3000,) * 3), rows=(12, 40, 30), draws=1000, seed=2)
    assert size is not None
    shown = [mean_randomisation_p_value(pairs(100 + seed, size), draws=399, seed=seed) <= 0.05 for seed in range(EXPERIMENTS)]
    assert REACHED[0] <= np.mean(shown) <= REACHED[1]


def test_rows_of_a_mean_speak_for_their_own_differences() -> None:
    values = np.array([3.0, -1.0, 4.0, 2.0])
    assert row_values(PairedStatistics(METRIC, table(values), zeros(4))) == pytest.approx(values - 2.0)


def test_the_present_number_of_rows_is_the_one_asked_for_where_none_is() -> None:
    system, baseline = table(np.random.default_rng(1).normal(0, 10, 25)), zeros(25)
    now = minimal_detectable_difference(METRIC, system, baseline, draws=300, seed=3)
    assert now == detectable_at(METRIC, system, baseline, rows=25, draws=300, seed=3)


def test_detectable_difference_shrinks_with_the_root_of_rows() -> None:
    values = table(np.random.default_rng(1).normal(0, 10, 500))
    few, many = (detectable_at(METRIC, values, zeros(500), rows=rows, draws=1000, seed=2) for rows in (100, 3000))
    assert few is not None
    assert many is not None
    assert few / many == pytest.approx(np.sqrt(30), rel=0.07)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("wanted", [3.0, 1.0])
def test_the_rows_that_a_difference_needs_are_the_rows_that_show_it(name: str, wanted: float) -> None:
    values = table(DISTRIBUTIONS[name](np.random.default_rng(1), 300))
    needed = rows_needed([PairedStatistics(METRIC, values, zeros(300))], wanted)
    assert needed is not None
    assert detectable_at(METRIC, values, zeros(300), rows=needed, draws=1000, seed=2) == pytest.approx(wanted, rel=0.06)


def test_rows_of_a_mean_are_counted_over_its_tasks_in_their_shares() -> None:
    rng = np.random.default_rng(1)
    pairs = [PairedStatistics(METRIC, table(rng.normal(0, spread, rows)), zeros(rows)) for rows, spread in ((40, 20.0), (10, 5.0))]
    needed = rows_needed(pairs, 2.0)
    assert needed is not None
    rows = [round(needed * 0.8), round(needed * 0.2)]
    assert mean_detectable_difference(pairs, rows=rows, draws=1000, seed=2) == pytest.approx(2.0, rel=0.06)


def test_five_rows_show_nothing_and_six_do() -> None:
    values = table(np.random.default_rng(1).normal(0, 10, 50))
    assert detectable_at(METRIC, values, zeros(50), rows=5, draws=1000, seed=2) is None
    assert detectable_at(METRIC, values, zeros(50), rows=7, draws=1000, seed=2) is not None


def test_systems_that_differ_on_fewer_than_six_rows_state_no_size() -> None:
    values = np.zeros(40)
    values[:5] = 10.0
    assert minimal_detectable_difference(METRIC, table(values), zeros(40), draws=200, seed=1) is None
    values[5] = 10.0
    assert minimal_detectable_difference(METRIC, table(values), zeros(40), draws=200, seed=1) is not None


def test_a_difference_that_is_the_same_on_every_row_tells_no_variance() -> None:
    constant = PairedStatistics(METRIC, table(np.full(40, 10.0)), zeros(40))
    assert minimal_detectable_difference(*constant, draws=200, seed=1) is None
    assert rows_needed([constant], 3.0) is None


def test_systems_that_do_not_differ_and_single_rows_tell_no_variance() -> None:
    rows = table(np.random.default_rng(1).normal(0, 10, 20))
    assert minimal_detectable_difference(METRIC, rows, rows, draws=200, seed=1) is None
    assert minimal_detectable_difference(METRIC, rows[:1], zeros(1), draws=200, seed=1) is None


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_impossible_power_is_refused(power: float) -> None:
    with pytest.raises(ScoreError, match="between 0 and 1"):
        minimal_detectable_difference(METRIC, zeros(5), zeros(5), draws=10, seed=1, power=power)
    with pytest.raises(ScoreError, match="rows must be at least 1, got 0"):
        detectable_at(METRIC, zeros(5), zeros(5), rows=0, draws=10, seed=1)


def test_a_task_is_underpowered_where_its_rows_cannot_show_what_matters() -> None:
    rows = table(np.random.default_rng(1).normal(0, 10, 40))
    pair = PairedStatistics(METRIC, rows, zeros(40))
    size = minimal_detectable_difference(*pair, draws=1000, seed=2)
    assert size is not None
    found = Difference(task="clarity", system="best", value=1.0, low=-2.0, high=4.0, n=40, detectable=size)
    weak, enough, border = (power_record([pair], found, interesting) for interesting in (size / 2, size * 2, size))
    assert (weak.underpowered, enough.underpowered, border.underpowered) == (True, False, False)
    assert weak.rows_needed == pytest.approx(160, rel=0.1)
    assert enough.rows_needed == pytest.approx(12, abs=2)
    assert border.rows_needed is not None
    assert border.rows_needed <= 40
    assert power_record([pair], found, size * 0.999).rows_needed >= 41
    assert (weak.task, weak.n, weak.detectable, weak.interesting) == ("clarity", 40, size, size / 2)


def test_what_cannot_be_stated_is_underpowered() -> None:
    rows = table(np.random.default_rng(1).normal(0, 10, 40))
    found = Difference(task="clarity", system="best", value=0.0, low=0.0, high=0.0, n=40)
    record = power_record([PairedStatistics(METRIC, rows, rows)], found, 3.0)
    assert (record.underpowered, record.rows_needed, record.detectable) == (True, None, None)
