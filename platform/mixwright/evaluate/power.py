"""How large must a difference be for so many rows to show it.

What comes in: metrics and the row statistics of two systems on the same rows. What goes out: the smallest true difference that
these rows, or another number of rows like them, show with 80 % probability, and how many rows a stated difference needs.

The power is simulated. Each row's share in the measured difference is its jackknife pseudo-value; an experiment draws rows from
those that were measured, plants a difference of a known size, in either direction, and puts it to the test that the tables use:
randomisation, two-sided, 5 %. So skewed rows, ties and small n count as they are. It takes for granted that a true difference
would move all rows alike, and that other rows vary as the measured ones do. Forty rows tell their own variance to about a tenth,
more roughly where few of them decide; and where two systems differ on few rows, a larger difference would also come from more rows,
so that the size stated is too small. Fewer than six such rows state none. The test is one task's alone: after Holm's correction
over a table a difference must be larger still.

Quenouille 1956, Tukey 1958 (pseudo-values); Card et al. 2020, "With Little Power Comes Great Responsibility"; Guenther 1981
(sample size).
"""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Sequence
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
_FEWEST_ROWS_THAT_DIFFER = 6
_ROUNDING = 1e-9


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
        None where there is none to state: so few rows that no difference shows, or systems that differ on fewer than
        six, or by the same on every row.

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
    tables = _varying_values(pairs)
    if tables is None:
        return None
    counts = rows or [len(pair.system) for pair in pairs]
    spread = _spread(tables, counts)
    size = (min(draws, _MOST_EXPERIMENTS), min(draws, _MOST_SWAPS))
    simulated = _simulate(tables, counts, size, np.random.default_rng(seed))
    return _smallest(simulated, spread * (_quantile(level) + _normal(power)), power, level)


def _varying_values(pairs: Sequence[PairedStatistics]) -> list[FloatArray] | None:
    """The row values of each task; None where they do not tell how rows vary."""
    differing = sum(int((pair.system != pair.baseline).any(axis=1).sum()) for pair in pairs)
    if differing < _FEWEST_ROWS_THAT_DIFFER or min(len(pair.system) for pair in pairs) < 2:
        return None
    tables = [row_values(pair) for pair in pairs]
    return tables if max(np.abs(table).max() for table in tables) > _ROUNDING else None


def _spread(tables: Sequence[FloatArray], counts: Sequence[int]) -> float:
    """Standard error of the mean over tasks, by the variance of its rows."""
    return math.sqrt(sum(table.var(ddof=1) / count for table, count in zip(tables, counts, strict=True))) / len(tables)


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
        observed_E = np.abs(self.observed_E + planted) - _ROUNDING
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


def power_record(pairs: Sequence[PairedStatistics], difference: Difference, interesting: float) -> PowerRecord:
    """Can the rows behind a difference show what would matter, and if not, how many could.

    Args:
        pairs: the row statistics that the difference was computed from, one a task.
        interesting: the smallest difference that would matter, in points.
    """
    enough = difference.detectable is not None and difference.detectable <= interesting
    needed = rows_needed(pairs, interesting)
    if needed is not None:  # an estimate of its own, which near the border must not contradict the simulation
        needed = min(needed, difference.n) if enough else max(needed, difference.n + 1)
    return PowerRecord(
        task=difference.task,
        n=difference.n,
        detectable=difference.detectable,
        interesting=interesting,
        rows_needed=needed,
        underpowered=not enough,
    )


def rows_needed(pairs: Sequence[PairedStatistics], wanted: float, *, power: float = POWER, level: float = LEVEL) -> int | None:
    """Rows, of all tasks together in their present shares, that show the difference `wanted` with probability `power`.

    By the normal approximation from the measured row variance, which is close wherever many rows are needed; half a squared normal
    quantile of rows pays for not knowing the variance (Guenther).

    Returns:
        None where the rows do not tell their variance, as for `minimal_detectable_difference`.
    """
    tables = _varying_values(pairs)
    if tables is None:
        return None
    counts = [len(table) for table in tables]
    spread = _spread(tables, counts)
    quantile = _quantile(level)
    return math.ceil(sum(counts) * (spread * (quantile + _normal(power)) / wanted) ** 2 + quantile**2 / 2)


def _quantile(level: float) -> float:
    return _normal(1 - (1 - level) / 2)


def _normal(share: float) -> float:
    return standard.NormalDist().inv_cdf(share)
