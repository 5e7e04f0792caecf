"""Is a difference real: p-values by approximate randomisation, and Holm's correction.

What comes in: metrics and the row statistics of two systems on the same rows. What goes out: a p-value for a task or for a mean
over tasks, and p-values corrected for being read together. How large a difference must be to show is in power.py.

Noreen 1989 (approximate randomisation); Holm 1979.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import FloatArray, PairedStatistics, SummedMetric, check_resampling, chunk_sizes, difference

_ROUNDING = 1e-9
"""Points below which two differences are the same one, added up in another order."""


def randomisation_p_value(metric: SummedMetric, system: FloatArray, baseline: FloatArray, *, draws: int, seed: int) -> float:
    """Two-sided p-value of the difference: how often as large a one comes about when each row's two outputs are swapped at random.

    Lies in (0, 1]; the smallest possible value is 1 / (draws + 1). Equal systems have 1.

    Raises:
        ScoreError: as in `difference_interval`.
    """
    return mean_randomisation_p_value([PairedStatistics(metric, system, baseline)], draws=draws, seed=seed)


def mean_randomisation_p_value(pairs: Sequence[PairedStatistics], *, draws: int, seed: int) -> float:
    """The same for the mean over tasks: rows are swapped within each task, and the tasks' differences are averaged.

    Args:
        pairs: one a task, every task weighing the same.

    Raises:
        ScoreError: as in `mean_difference_interval`.
    """
    if not pairs:
        raise ScoreError("a mean over tasks needs at least one task, got 0")
    for pair in pairs:
        check_resampling(draws, 0.95, pair.system, pair.baseline)
    rng = np.random.default_rng(seed)
    observed = np.mean([difference(pair, np.ones((1, len(pair.system)))) for pair in pairs])
    swapped = np.mean([_swapped(pair, draws, rng) for pair in pairs], axis=0)
    as_large = int((np.abs(swapped) >= abs(observed) - _ROUNDING).sum())
    return (as_large + 1) / (draws + 1)


def _swapped(pair: PairedStatistics, draws: int, rng: np.random.Generator) -> FloatArray:
    """Differences after each row's two outputs changed sides or not, by the toss of a coin; shape (draws,)."""
    gap = pair.system - pair.baseline
    both = pair.system.sum(axis=0) + pair.baseline.sum(axis=0)
    found = []
    for size in chunk_sizes(len(gap), draws):
        kept = rng.integers(2, size=(size, len(gap))).astype(np.float64)
        first = pair.baseline.sum(axis=0) + kept @ gap
        found.append(pair.metric.from_totals(first) - pair.metric.from_totals(both - first))
    return np.concatenate(found)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for being read together, by name; the chance of one false alarm among them stays what each claims."""
    corrected: dict[str, float] = {}
    floor = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = floor
    return {name: corrected[name] for name in p_values}
