"""The metrics by name, and what they have in common.

What comes in: sources, outputs and references of one task. What goes out: statistics, one row of numbers for each row of text,
whose column sums give the corpus score. Scoring text is done once; intervals, differences and tables then work on statistics.

    metric = make_metric("gleu")
    statistics = metric.statistics(sources, outputs, references)
    value = metric.aggregate(statistics)
    interval = bootstrap_interval(metric, statistics, draws=1000, seed=7)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from mixwright.errors import ConfigError, did_you_mean
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.exact import ExactMatch
from mixwright.evaluate.gleu import Gleu
from mixwright.evaluate.ngrams import FloatArray
from mixwright.evaluate.sari import Sari


class Metric(Protocol):
    """A corpus score on a scale of 0 to 100, higher is better, that is a function of sums over rows."""

    @property
    def name(self) -> str:
        """One of `records.METRIC_NAMES`."""

    def statistics(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
        """What the score needs of each row; shape (rows, k), k fixed for a metric.

        Args:
            sources: the texts that were to be worked on.
            outputs: what a system made of them; a blank output is scored as it stands.
            references: acceptable answers, one or more a row; rows may have different numbers of them.

        Raises:
            ScoreError: no rows, different lengths, a row without references, or a blank reference.
        """

    def aggregate(self, statistics: FloatArray) -> float:
        """Corpus score of these rows, or of any choice of them."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """Scores of summed statistics; (..., k) to (...). Resampling needs no more than this."""


METRICS: dict[str, Callable[[], Metric]] = {"errant_f0.5": EditF, "gleu": Gleu, "sari": Sari, "exact_match": ExactMatch}


def make_metric(name: str) -> Metric:
    """The metric of that name, for text as written.

    Raises:
        ConfigError: there is no such metric.
    """
    if name not in METRICS:
        raise ConfigError(f"unknown metric '{name}'; it must be one of {', '.join(METRICS)}{did_you_mean(name, METRICS)}")
    return METRICS[name]()


def score(metric: Metric, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus score of the outputs, 0 to 100; raises as `Metric.statistics`."""
    return metric.aggregate(metric.statistics(sources, outputs, references))
