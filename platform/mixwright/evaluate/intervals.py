"""Bootstrap intervals over rows, for one system and for the difference of two on the same rows.

What comes in: a metric and the row statistics it made. What goes out: an interval, without scoring any text again: a
resample only weighs rows differently, so a thousand of them are one matrix product. Differences are paired: both systems
are resampled with the same rows, and a mean over tasks resamples the rows within each task.

Efron and Tibshirani 1993 (percentile bootstrap); Koehn 2004 (paired, for text metrics).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mixwright.errors import ScoreError

FloatArray = npt.NDArray[np.float64]

_CELLS_A_CHUNK = 1 << 22
"""Resampled rows held at once; bounds memory at some 64 MiB for any number of rows and draws."""


class SummedMetric(Protocol):
    """What the bootstrap needs of a metric: the score is a function of the statistics' column sums."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """Scores of summed statistics; (..., k) to (...)."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and the ends of its bootstrap interval, in the metric's own unit."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True where a difference of this interval is told from none."""
        return self.low > 0 or self.high < 0


class PairedStatistics(NamedTuple):
    """Row statistics of two systems on the same rows of one task."""

    metric: SummedMetric
    system: FloatArray
    baseline: FloatArray


def bootstrap_interval(metric: SummedMetric, statistics: FloatArray, *, draws: int, seed: int, level: float = 0.95) -> Interval:
    """The corpus score of the rows with its percentile bootstrap interval.

    With one row, low and high both equal the value.

    Args:
        metric: the metric that made `statistics`.
        statistics: shape (rows, k).
        draws: resamples, at least 1; a thousand gives ends that are steady to some hundredths of the interval's width.
        seed: of the resampling alone; the same seed on the same number of rows draws the same rows.
        level: share of the resampled scores that lie inside, between 0 and 1.

    Raises:
        ScoreError: no rows, no draws, or a level outside (0, 1).
    """
    check_resampling(draws, level, statistics)
    value = float(metric.from_totals(statistics.sum(axis=0)))
    rng = np.random.default_rng(seed)
    scores = np.concatenate([metric.from_totals(weights @ statistics) for weights in resamples(len(statistics), draws, rng)])
    return _interval(value, scores, level)


def difference_interval(
    metric: SummedMetric, system: FloatArray, baseline: FloatArray, *, draws: int, seed: int, level: float = 0.95
) -> Interval:
    """System minus baseline on the same rows, with the interval of the difference. Arguments as in `bootstrap_interval`.

    Raises:
        ScoreError: as in `bootstrap_interval`, or the two have different numbers of rows.
    """
    return mean_difference_interval([PairedStatistics(metric, system, baseline)], draws=draws, seed=seed, level=level)


def mean_difference_interval(
    pairs: Sequence[PairedStatistics | tuple[SummedMetric, FloatArray, FloatArray]], *, draws: int, seed: int, level: float = 0.95
) -> Interval:
    """Mean over tasks of system minus baseline, rows resampled within each task and every task weighing the same.

    Args:
        pairs: one a task: the metric and the row statistics of system and baseline, row by row the same examples.

    Raises:
        ScoreError: as in `difference_interval`, or no pairs.
    """
    if not pairs:
        raise ScoreError("a mean over tasks needs at least one task, got 0")
    tasks = [PairedStatistics(*pair) for pair in pairs]
    for task in tasks:
        check_resampling(draws, level, task.system, task.baseline)
    rng = np.random.default_rng(seed)
    value = float(np.mean([difference(task, np.ones((1, len(task.system)))) for task in tasks]))
    differences = [
        np.concatenate([difference(task, weights) for weights in resamples(len(task.system), draws, rng)]) for task in tasks
    ]
    return _interval(value, np.mean(differences, axis=0), level)


def mean_interval(tables: Sequence[tuple[SummedMetric, FloatArray]], *, draws: int, seed: int, level: float = 0.95) -> Interval:
    """Mean over tasks of their scores with its interval, rows resampled within each task and every task weighing the same.

    Args:
        tables: one a task: the metric and its row statistics.

    Raises:
        ScoreError: as in `bootstrap_interval`, or no tasks.
    """
    if not tables:
        raise ScoreError("a mean over tasks needs at least one task, got 0")
    for _, statistics in tables:
        check_resampling(draws, level, statistics)
    rng = np.random.default_rng(seed)
    value = float(np.mean([float(metric.from_totals(statistics.sum(axis=0))) for metric, statistics in tables]))
    scores = [
        np.concatenate([metric.from_totals(weights @ statistics) for weights in resamples(len(statistics), draws, rng)])
        for metric, statistics in tables
    ]
    return _interval(value, np.mean(scores, axis=0), level)


def mean_standard_error(tables: Sequence[tuple[SummedMetric, FloatArray]], *, draws: int, seed: int) -> float | None:
    """Standard error of the mean over tasks of their scores, from the choice of rows within each task.

    The bootstrap alone finds the variance of n rows too small by 1 / n, which on the few rows of a rung is felt, and is set right.

    Args:
        tables: one a task: the metric and its row statistics.

    Returns:
        None where a task has fewer than two rows, since one row says nothing of the spread.

    Raises:
        ScoreError: no draws, no tasks, or a task without rows.
    """
    if not tables:
        raise ScoreError("a mean over tasks needs at least one task, got 0")
    for _, statistics in tables:
        check_resampling(draws, 0.95, statistics)
    if any(len(statistics) < 2 for _, statistics in tables):
        return None
    rng = np.random.default_rng(seed)
    variances = []
    for metric, statistics in tables:
        rows = len(statistics)
        scores = np.concatenate([metric.from_totals(weights @ statistics) for weights in resamples(rows, draws, rng)])
        variances.append(scores.var() * rows / (rows - 1))
    return float(np.sqrt(np.sum(variances))) / len(tables)


def row_influences(metric: SummedMetric, statistics: FloatArray) -> FloatArray:
    """What each row adds to the score, so that their variance over n is the score's (the jackknife; Efron and Tibshirani 1993).

    Of two systems on the same rows, the influences' difference is that of the scores' difference. Empty with fewer than two rows.
    """
    rows = len(statistics)
    if rows < 2:
        return np.zeros(0)
    totals = statistics.sum(axis=0)
    found: FloatArray = (rows - 1) * (metric.from_totals(totals) - metric.from_totals(totals - statistics))
    return found


def difference(task: PairedStatistics, weights: FloatArray) -> FloatArray:
    """System minus baseline for each weighing of the rows; (draws, rows) to (draws,)."""
    return task.metric.from_totals(weights @ task.system) - task.metric.from_totals(weights @ task.baseline)


def resamples(rows: int, draws: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yields how often each row was drawn, in chunks of shape (some draws, rows)."""
    for size in chunk_sizes(rows, draws):
        drawn = rng.integers(rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def chunk_sizes(rows: int, draws: int) -> Iterator[int]:
    """Cuts `draws` into pieces whose weights fit in memory together."""
    chunk = max(1, _CELLS_A_CHUNK // rows)
    for done in range(0, draws, chunk):
        yield min(chunk, draws - done)


def check_resampling(draws: int, level: float, *statistics: FloatArray) -> None:
    """Refuses what cannot be resampled.

    Raises:
        ScoreError: no rows, rows that differ between the statistics, no draws, or a level outside (0, 1).
    """
    if draws < 1:
        raise ScoreError(f"bootstrap: draws must be at least 1, got {draws}")
    if not 0 < level < 1:
        raise ScoreError(f"bootstrap: level must lie between 0 and 1, got {level}")
    if any(len(table) == 0 for table in statistics):
        raise ScoreError("bootstrap: at least one row is needed, got 0")
    if len({len(table) for table in statistics}) > 1:
        counts = " and ".join(str(len(table)) for table in statistics)
        raise ScoreError(f"bootstrap: a paired difference needs the same rows on both sides, got {counts} rows")


def _interval(value: float, scores: FloatArray, level: float) -> Interval:
    tail = (1 - level) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))
