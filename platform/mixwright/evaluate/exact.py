"""Exact match: the share of outputs that are one of the references.

What comes in: outputs and references as text. What goes out: for each row whether it matches. For tasks with one right answer,
such as fields to be read out of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixwright.evaluate.ngrams import FloatArray
from mixwright.evaluate.rows import check_rows


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """Share of matching rows, 0 to 100; case and the amount of white space make no difference, all else does."""

    name: str = "exact_match"

    def statistics(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
        """Matches and rows; shape (rows, 2).

        Raises:
            ScoreError: see `check_rows`.
        """
        check_rows(sources, outputs, references)
        matches = [_plain(output) in map(_plain, texts) for output, texts in zip(outputs, references, strict=True)]
        return np.array([[float(match), 1.0] for match in matches])

    def aggregate(self, statistics: FloatArray) -> float:
        """Score of the rows of `statistics`."""
        return float(self.from_totals(statistics.sum(axis=0)))

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """Scores of summed statistics; (..., 2) to (...)."""
        scores: FloatArray = 100 * totals[..., 0] / totals[..., 1]
        return scores


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
