"""How large must a difference be for so many rows to show it.

What comes in: metrics and the row statistics of two systems on the same rows. What goes out: the smallest true difference that
these rows, or another number of rows like them, show with 80 % probability, and how many rows a stated difference needs.

The power is simulated. Each row's share in the measured difference is its jackknife pseudo-value; an experiment draws rows from
those that were measured, plants a difference of a known size, in either direction, and puts it to the test that the tables use:
randomisation, two-sided, 5 %. So skewed rows, ties and small n count as they are. What it takes for granted: that a true
difference would move all rows alike, and that the rows that were measured vary as others do; forty rows tell their own variance
to about a tenth. The test is one task's alone: after Holm's correction over a table a difference must be larger still.

Quenouille 1956, Tukey 1958 (pseudo-values); Card et al. 2020, "With Little Power Comes Great Responsibility"; Guenther 1981
(sample size).
"""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import FloatArray, PairedStatistics, SummedMetric, check_resampling
from mixwright.records import Difference, PowerRecord

POWER = 0.8
LEVEL = 0.95

_MOST_EXPERIMENTS = 1000
_MOST_SWAPS = 400
"""However many draws are asked for: a thousand experiments find the difference to about 2 %, and 400 swaps cost a test no power."""
_ROWS_AT_ONCE = 2048
_STEPS = 8
"""Halvings of the bracket around the difference; they leave less than half a percent of it."""
_HOPELESS = 64.0
"""Multiples of the normal approximation beyond which no difference would show: fewer than six rows never reach p = 0.05."""
_NOTHING = 1e-9
"""Points of spread below which two systems do not differ on any row."""


def minimal_detectable_difference(
    metric: SummedMetric,
    system: FloatArray,
    baseline: FloatArray,
    *,
    draws: int,
    seed: int,
    power: float = POWER,
    level: float = LEVEL,
) -> float | None:
    """The smallest true difference, in points, that these rows would show with probability `power`.

    Args:
        draws: experiments, and swaps in each; no more than 1000 and 400 are made.
        level: of the two-sided test; 0.95 rejects at p <= 0.05.

    Returns:
        None where there is none to state: so few rows that no difference shows, or systems that do not differ on any row.

    Raises:
        ScoreError: as in `difference_interval`, or a power outside (0, 1).
    """
    return detectable_at(metric, system, baseline, rows=len(system), draws=draws, seed=seed, power=power, level=level)


def detectable_at(
    metric: SummedMetric,
    system: FloatArray,
    baseline: FloatArray,
    *,
    rows: int,
    draws: int,
    seed: int,
    power: float = POWER,
    level: float = LEVEL,
) -> float | None:
    """The same for `rows` rows that vary as the measured ones do: what 40 rows could show, or 4000.

    Raises:
        ScoreError: as in `minimal_detectable_difference`, or `rows` below 1.
    """
    if rows < 1:
        raise ScoreError(f"power: rows must be at least 1, got {rows}")
    pair = PairedStatistics(metric, system, baseline)
    return mean_detectable_difference([pair], rows=[rows], draws=draws, seed=seed, power=power, level=level)


def mean_detectable_difference(
    pairs: Sequence[PairedStatistics],
    *,
    draws: int,
    seed: int,
    rows: Sequence[int] | None = None,
    power: float = POWER,
    level: float = LEVEL,
) -> float | None:
    """The same for the mean over tasks, every task weighing the same and moved by the same difference.

    Args:
        rows: of each task; as many as were measured where left out.

    Raises:
        ScoreError: as in `minimal_detectable_difference`, or no pairs.
    """
    if not pairs:
        raise ScoreError("a mean over tasks needs at least one task, got 0")
    for pair in pairs:
        check_resampling(draws, level, pair.system, pair.baseline)
        check_resampling(draws, power, pair.system, pair.baseline)
    counts = rows or [len(pair.system) for pair in pairs]
    if min(len(pair.system) for pair in pairs) < 2:
        return None  # one row says nothing of the variance
    tables = [row_values(pair) for pair in pairs]
    spread = math.sqrt(sum(table.var(ddof=1) / count for table, count in zip(tables, counts, strict=True))) / len(pairs)
    if spread < _NOTHING:
        return None
    size = (min(draws, _MOST_EXPERIMENTS), min(draws, _MOST_SWAPS))
    simulated = _simulate(tables, counts, size, np.random.default_rng(seed))
    return _smallest(simulated, spread * (_quantile(level) + _normal(power)), power, level)


def row_values(pair: PairedStatistics) -> FloatArray:
    """Each row's share in the difference, as jackknife pseudo-values around 0; shape (rows,).

    For a metric that is a mean over rows they are the rows' own differences, less their mean. Needs two rows.
    """
    rows = len(pair.system)
    without = [pair.metric.from_totals(table.sum(axis=0) - table) for table in (pair.system, pair.baseline)]
    values = -(rows - 1) * (without[0] - without[1])
    centred: FloatArray = values - values.mean()
    return centred


@dataclass(frozen=True, kw_only=True)
class _Experiments:
    """Experiments in which nothing is planted yet; E experiments, S swaps of the rows' two outputs."""

    observed_E: FloatArray
    """Differences that come about by the choice of rows alone."""
    swapped_ES: FloatArray
    kept_S: FloatArray
    """What is left of a planted difference of 1 after each swap, -1 to 1."""

    def power(self, planted: float, level: float) -> float:
        """Share of the experiments, the difference planted in either direction, whose p-value reaches the level."""
        return standard.fmean(self._rejected(sign * planted, level) for sign in (-1, 1))

    def _rejected(self, planted: float, level: float) -> float:
        observed_E = np.abs(self.observed_E + planted) - _NOTHING
        as_large_E = (np.abs(self.swapped_ES + planted * self.kept_S) >= observed_E[:, None]).sum(axis=1)
        return float(((as_large_E + 1) / (len(self.kept_S) + 1) <= 1 - level).mean())


def _simulate(tables: Sequence[FloatArray], counts: Sequence[int], size: tuple[int, int], rng: np.random.Generator) -> _Experiments:
    experiments, swaps = size
    observed_E, swapped_ES, kept_S = np.zeros(experiments), np.zeros(size), np.zeros(swaps)
    for values, count in zip(tables, counts, strict=True):
        weight = 1 / (count * len(tables))
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, count - start)
            drawn_EN = values[rng.integers(len(values), size=(experiments, rows))]
            signs_NS = 2.0 * rng.integers(2, size=(rows, swaps)) - 1.0
            observed_E += weight * drawn_EN.sum(axis=1)
            swapped_ES += weight * (drawn_EN @ signs_NS)
            kept_S += weight * signs_NS.sum(axis=0)
    return _Experiments(observed_E=observed_E, swapped_ES=swapped_ES, kept_S=kept_S)


def _smallest(simulated: _Experiments, guess: float, power: float, level: float) -> float | None:
    """Halves a bracket around the planted difference whose power is the one asked for."""
    low, high = 0.0, guess
    while simulated.power(high, level) < power:
        low, high = high, 2 * high
        if high > _HOPELESS * guess:
            return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if simulated.power(middle, level) >= power else (middle, high)
    return high


def power_records(differences: Iterable[Difference], interesting: float) -> tuple[PowerRecord, ...]:
    """For each difference: can its rows show what would matter, and if not, how many could.

    Args:
        interesting: the smallest difference that would matter, in points.
    """
    return tuple(_power_record(item, interesting) for item in differences)


def _power_record(item: Difference, interesting: float) -> PowerRecord:
    return PowerRecord(
        task=item.task,
        n=item.n,
        detectable=item.detectable,
        interesting=interesting,
        rows_needed=None if item.detectable is None else rows_needed(item.n, item.detectable, interesting),
        underpowered=item.detectable is None or item.detectable > interesting,
    )


def rows_needed(rows: int, detectable: float, wanted: float, *, level: float = LEVEL) -> int:
    """How many rows show the difference `wanted` as well as `rows` rows show `detectable`.

    Rows grow with the square of the ratio; half a squared normal quantile of them pays for not knowing the variance (Guenther).
    """
    price = _quantile(level) ** 2 / 2
    return max(1, math.ceil((detectable / wanted) ** 2 * max(rows - price, 1.0) + price))


def _quantile(level: float) -> float:
    return _normal(1 - (1 - level) / 2)


def _normal(share: float) -> float:
    return standard.NormalDist().inv_cdf(share)
