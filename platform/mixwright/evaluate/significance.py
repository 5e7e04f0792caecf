"""Is a difference real, and how large must one be to show: p-values, Holm's correction and power.

What comes in: a metric and the row statistics of two systems on the same rows. What goes out: a p-value by approximate
randomisation, p-values corrected over the tasks of a table, and the smallest difference that so many rows can show.

Noreen 1989 (approximate randomisation); Holm 1979; Card et al. 2020, "With Little Power Comes Great Responsibility".
"""

from __future__ import annotations

import statistics as standard
from collections.abc import Mapping

import numpy as np

from mixwright.evaluate.intervals import (
    FloatArray,
    PairedStatistics,
    SummedMetric,
    check_resampling,
    chunk_sizes,
    difference,
    resamples,
)

_ROUNDING = 1e-9
"""Points below which two differences are the same one, added up in another order."""


def randomisation_p_value(metric: SummedMetric, system: FloatArray, baseline: FloatArray, *, draws: int, seed: int) -> float:
    """Two-sided p-value of the difference: how often as large a one comes about when each row's two outputs are swapped at random.

    Lies in (0, 1]; the smallest possible value is 1 / (draws + 1). Equal systems have 1.

    Raises:
        ScoreError: as in `difference_interval`.
    """
    check_resampling(draws, 0.95, system, baseline)
    gap = system - baseline
    both = system.sum(axis=0) + baseline.sum(axis=0)
    observed = float(metric.from_totals(system.sum(axis=0)) - metric.from_totals(baseline.sum(axis=0)))
    rng = np.random.default_rng(seed)
    as_large = 0
    for size in chunk_sizes(len(gap), draws):
        kept = rng.integers(2, size=(size, len(gap))).astype(np.float64)
        first = baseline.sum(axis=0) + kept @ gap
        shuffled = metric.from_totals(first) - metric.from_totals(both - first)
        as_large += int((np.abs(shuffled) >= abs(observed) - _ROUNDING).sum())
    return (as_large + 1) / (draws + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for being read together, by name; the chance of one false alarm among them stays what each claims."""
    corrected: dict[str, float] = {}
    floor = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = floor
    return {name: corrected[name] for name in p_values}


def minimal_detectable_difference(
    metric: SummedMetric,
    system: FloatArray,
    baseline: FloatArray,
    *,
    draws: int,
    seed: int,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest true difference, in points, that these rows would show with probability `power` in a two-sided test.

    The spread of the difference is simulated by resampling the rows that were measured. It is 0 where the two systems do not
    differ on any row, which says that nothing was measured, and not that anything could be shown.

    Raises:
        ScoreError: as in `difference_interval`, or a power outside (0, 1).
    """
    check_resampling(draws, level, system, baseline)
    check_resampling(draws, power, system, baseline)
    task = PairedStatistics(metric, system, baseline)
    rng = np.random.default_rng(seed)
    spread = np.concatenate([difference(task, weights) for weights in resamples(len(system), draws, rng)]).std()
    normal = standard.NormalDist()
    return float(spread * (normal.inv_cdf(1 - (1 - level) / 2) + normal.inv_cdf(power)))
