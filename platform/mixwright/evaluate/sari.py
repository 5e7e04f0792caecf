"""SARI, equal to EASSE 0.2.4's `corpus_sari` as it is called by default.

What comes in: sources, outputs and references as text. What goes out: for each row the counts of n-grams that were rightly
added, kept and deleted, and from their sums the score. Texts are lower-cased and tokenised by 13a; the precision and recall
of an operation are taken over the whole corpus for each n-gram order, and F1 is used for deletion too.

Xu et al. 2016, "Optimizing Statistical Machine Translation for Text Simplification"; Alva-Manchego et al. 2019 (EASSE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixwright.errors import ScoreError
from mixwright.evaluate.ngrams import MAX_ORDER, FloatArray, IntArray, NgramTable, ngram_tables, token_ids
from mixwright.evaluate.rows import check_rows
from mixwright.evaluate.tokenize13a import one_line, word_tokens_13a

Backend = Literal["own", "easse"]

EASSE_TOLERANCE = 1e-6
"""Points by which the installed EASSE may differ before the score is refused."""

_OPERATIONS = 3
_COUNTS = 3


@dataclass(frozen=True, kw_only=True)
class SariParts:
    """F1 of each operation over a corpus, 0 to 100; SARI is their mean."""

    add: float
    keep: float
    delete: float


@dataclass(frozen=True, kw_only=True)
class Sari:
    """SARI on a scale of 0 to 100.

    An operation that neither the output nor any reference performs counts as 0, as in EASSE: on a corpus where nothing is to
    be added or deleted a perfect output scores 33.3.
    """

    backend: Backend = "own"
    """`easse` also asks an installed EASSE for every score, and refuses the score where the two differ."""
    name: str = "sari"

    def statistics(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
        """Counts of each row; shape (rows, 36): operation (add, keep, delete) by count (right, by output, by references) by order.

        Raises:
            ScoreError: see `check_rows`; or the chosen EASSE is not installed or gives another score.
        """
        check_rows(sources, outputs, references)
        counts = _counts(sources, outputs, references)
        if self.backend == "easse":
            _check_with_easse(self.aggregate(counts), sources, outputs, references)
        return counts

    def aggregate(self, statistics: FloatArray) -> float:
        """Corpus SARI of the rows of `statistics`."""
        return float(self.from_totals(statistics.sum(axis=0)))

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """SARI of each vector of summed counts; (..., 36) to (...)."""
        scores: FloatArray = _operation_scores(totals).mean(axis=-1)
        return scores


def sari_parts(statistics: FloatArray) -> SariParts:
    """The three operation scores behind the corpus SARI of `statistics`."""
    add, keep, delete = _operation_scores(statistics.sum(axis=0)).tolist()
    return SariParts(add=add, keep=keep, delete=delete)


def _operation_scores(totals: FloatArray) -> FloatArray:
    """F1 of add, keep and delete, 0 to 100; (..., 36) to (..., 3)."""
    counts = totals.reshape(*totals.shape[:-1], _OPERATIONS, _COUNTS, MAX_ORDER)
    right, claimed = counts[..., 0, :], counts[..., 1, :] + counts[..., 2, :]
    f1 = np.divide(2 * right, claimed, out=np.zeros_like(right), where=claimed > 0)
    scores: FloatArray = 100 * f1.mean(axis=-1)
    return scores


def _counts(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
    layers = [[one_line(text.lower()) for text in texts] for texts in (sources, outputs)]
    for number in range(max(map(len, references))):
        layers.append([one_line(texts[number].lower()) if number < len(texts) else "" for texts in references])
    # What matters of references is how often all of them together have an n-gram.
    groups = [0, 1, *[2] * (len(layers) - 2)]
    per_row = np.array([len(texts) for texts in references], dtype=np.int64)
    by_order = [_order_counts(table, per_row) for table in ngram_tables(token_ids(layers, word_tokens_13a), groups)]
    return np.stack(by_order, axis=-1).reshape(len(sources), -1)


def _order_counts(table: NgramTable, references_per_row: IntArray) -> FloatArray:
    """Counts of one n-gram order; shape (rows, 9). Sources and outputs weigh as much as all references of the row together."""
    weight = references_per_row[table.row]
    source, output, in_references = table.counts
    source, output = weight * source, weight * output
    added, to_add = (output > 0) & (source == 0), (in_references > 0) & (source == 0)
    kept, to_keep = np.minimum(source, output), np.minimum(source, in_references)
    deleted, to_delete = source - kept, source - to_keep
    columns = (
        *(added & to_add, added, to_add),
        *(np.minimum(kept, to_keep), kept, to_keep),
        *(np.minimum(deleted, to_delete), deleted, to_delete),
    )
    return np.stack([table.row_sums(column) for column in columns], axis=-1)


def _check_with_easse(own: float, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    try:
        from easse.sari import corpus_sari
    except ImportError:
        raise ScoreError(
            "SARI backend 'easse' is not installed; install EASSE from its repository or choose the backend 'own'"
        ) from None
    if len({len(texts) for texts in references}) > 1:
        raise ScoreError("SARI backend 'easse' needs the same number of references in each row; choose the backend 'own'")
    theirs = corpus_sari(
        orig_sents=list(sources), sys_sents=list(outputs), refs_sents=[list(texts) for texts in zip(*references, strict=True)]
    )
    if not abs(theirs - own) <= EASSE_TOLERANCE:
        raise ScoreError(
            f"SARI is {own:.6f} here and {theirs:.6f} by the installed EASSE; install EASSE 0.2.4 or choose the backend 'own'"
        )
