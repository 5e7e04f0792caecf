"""Edit-level precision, recall and F0.5, equal to `errant_parallel` followed by `errant_compare`.

What comes in: sources, outputs and references as text; each reference of a row counts as one annotator. What goes out: for
each row the true positive, false positive and false negative edits, and from their sums the score.

Several annotators: as `errant_compare` does, a row is held against the annotator that makes the running score of the corpus
best, so far as rows before it are known. The choice is made once, on all rows in the order given, and is part of the row
statistics: the bootstrap resamples rows with their annotator and does not choose again. With one reference a row the order of
rows changes nothing; with several it can, slightly, and `annotators="best"` chooses by the whole corpus at once instead.

Text as written is cut by spaCy's tokenizer (`errant_parallel -tok`); text that is tokenised already keeps its tokens with
`tokenized=True`.

Bryant et al. 2017, "Automatic Annotation and Evaluation of Error Types for Grammatical Error Correction".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mixwright.evaluate.ngrams import FloatArray
from mixwright.evaluate.parsing import Edit, shared_extractor
from mixwright.evaluate.rows import check_rows

BETA = 0.5

Match = Literal["correction", "correction_and_type", "detection", "token_detection"]
"""What makes an edit right; in ERRANT's flags -cs (span and text), -cse (and type), -ds (span), -dt (each token of the span)."""

_UNKNOWN = "UNK"
"""ERRANT's type of an edit that detects but does not correct; corrections leave it out."""


@dataclass(frozen=True, kw_only=True)
class EditCounts:
    """Edits of one row, one error type or a corpus."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: EditCounts) -> EditCounts:
        return EditCounts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Share of the output's edits that are right, 0 to 1; 1 where none is wrong."""
        return self.tp / (self.tp + self.fp) if self.fp else 1.0

    @property
    def recall(self) -> float:
        """Share of the reference's edits that were made, 0 to 1; 1 where none is missed."""
        return self.tp / (self.tp + self.fn) if self.fn else 1.0

    @property
    def f_half(self) -> float:
        """F0.5, 0 to 1."""
        precision, recall = self.precision, self.recall
        return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall) if precision + recall else 0.0


@dataclass(frozen=True, kw_only=True)
class RowEdits:
    """One row against its chosen annotator."""

    counts: EditCounts
    by_type: Mapping[str, EditCounts] = field(default_factory=dict)
    output_edits: int = 0
    needed_none: bool = False
    """True where every annotator left the source as it is."""


@dataclass(frozen=True, kw_only=True)
class EditF:
    """ERRANT's F0.5 on a scale of 0 to 100."""

    match: Match = "correction"
    annotators: Literal["running", "best"] = "running"
    """running: as errant_compare chooses, row after row; best: the choice with the highest corpus score, in any order of rows."""
    tokenized: bool = False
    name: str = "errant_f0.5"

    def statistics(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
        """True positives, false positives and false negatives of each row against its chosen annotator; shape (rows, 3).

        Raises:
            ScoreError: see `check_rows`; or ERRANT, spaCy or its English model is not installed.
        """
        rows = self.rows(sources, outputs, references)
        return np.array([[row.counts.tp, row.counts.fp, row.counts.fn] for row in rows], dtype=np.float64)

    def rows(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> list[RowEdits]:
        """The same counts with error types, for tables. Raises as `statistics`."""
        check_rows(sources, outputs, references)
        candidates = list(self._candidates(sources, outputs, references))
        choices = choose_running(candidates) if self.annotators == "running" else choose_best(candidates)
        return [row[choice] for row, choice in zip(candidates, choices, strict=True)]

    def aggregate(self, statistics: FloatArray) -> float:
        """Corpus F0.5 of the rows of `statistics`."""
        return float(self.from_totals(statistics.sum(axis=0)))

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """F0.5 of each vector of summed counts; (..., 3) to (...). 100 where nothing was to be done and nothing was done."""
        tp, fp, fn = np.moveaxis(totals, -1, 0)
        precision = np.divide(tp, tp + fp, out=np.ones_like(tp), where=fp > 0)
        recall = np.divide(tp, tp + fn, out=np.ones_like(tp), where=fn > 0)
        weighted = BETA**2 * precision + recall
        scores: FloatArray = (
            100 * (1 + BETA**2) * np.divide(precision * recall, weighted, out=np.zeros_like(tp), where=weighted > 0)
        )
        return scores

    def _candidates(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]
    ) -> Iterator[list[RowEdits]]:
        """Each row against each of its annotators."""
        pairs = list(zip(sources, outputs, strict=True))
        pairs += [(source, text) for source, texts in zip(sources, references, strict=True) for text in texts]
        edits = iter(shared_extractor(tokenized=self.tokenized).edits(pairs))
        of_outputs = [next(edits) for _ in outputs]
        for of_output, texts in zip(of_outputs, references, strict=True):
            of_references = [next(edits) for _ in texts]
            needed_none = not any(of_references)
            yield [_compare(of_output, of_reference, self.match, needed_none) for of_reference in of_references]


def _compare(output: Iterable[Edit], reference: Iterable[Edit], match: Match, needed_none: bool) -> RowEdits:
    """Counts as errant_compare's: edits of the same key are one find but several counts, typed as the reference has them."""
    made, wanted = _by_key(output, match), _by_key(reference, match)
    tp = Counter(kind for key in made if key in wanted for kind in wanted[key])
    fp = Counter(kind for key, kinds in made.items() if key not in wanted for kind in kinds)
    fn = Counter(kind for key, kinds in wanted.items() if key not in made for kind in kinds)
    by_type = {kind: EditCounts(tp=tp[kind], fp=fp[kind], fn=fn[kind]) for kind in sorted({*tp, *fp, *fn})}
    return RowEdits(
        counts=EditCounts(tp=tp.total(), fp=fp.total(), fn=fn.total()),
        by_type=by_type,
        output_edits=sum(map(len, made.values())),
        needed_none=needed_none,
    )


def _by_key(edits: Iterable[Edit], match: Match) -> dict[tuple[object, ...], list[str]]:
    keyed: dict[tuple[object, ...], list[str]] = {}
    for edit in edits:
        for key in _keys(edit, match):
            keyed.setdefault(key, []).append(edit.type)
    return keyed


def _keys(edit: Edit, match: Match) -> list[tuple[object, ...]]:
    """What of an edit must be equal for a match; token detection gives one key a token."""
    if match == "token_detection":
        # An insertion is an error of the token to its right.
        return [(token,) for token in range(edit.start, max(edit.end, edit.start + 1))]
    if match == "detection":
        return [(edit.start, edit.end)]
    if edit.type == _UNKNOWN:
        return []
    if match == "correction_and_type":
        return [(edit.start, edit.end, edit.type, edit.correction)]
    return [(edit.start, edit.end, edit.correction)]


def choose_running(candidates: Sequence[Sequence[RowEdits]]) -> list[int]:
    """errant_compare's choice: the best F0.5 of all rows so far, at four digits, then more tp, fewer fp, fewer fn."""
    total = EditCounts()
    choices = []
    for row in candidates:
        ranks = [(round((total + one.counts).f_half, 4), *_tie_break(one)) for one in row]
        choices.append(ranks.index(max(ranks)))
        total += row[choices[-1]].counts
    return choices


def choose_best(candidates: Sequence[Sequence[RowEdits]]) -> list[int]:
    """The choice with the highest corpus F0.5, by Dinkelbach's method: F is a ratio of sums, so for a guessed ratio each row
    decides alone, and the ratio of what was decided is the next guess."""
    guess = 0.0
    while True:
        choices = [_best_at(guess, row) for row in candidates]
        ratio = sum((row[choice].counts for row, choice in zip(candidates, choices, strict=True)), EditCounts()).f_half
        if ratio <= guess + 1e-12:
            return choices
        guess = ratio


def _best_at(ratio: float, row: Sequence[RowEdits]) -> int:
    ranks = []
    for one in row:
        found = (1 + BETA**2) * one.counts.tp
        gain = found - ratio * (found + one.counts.fp + BETA**2 * one.counts.fn)
        ranks.append((round(gain, 12), *_tie_break(one)))
    return ranks.index(max(ranks))


def _tie_break(row: RowEdits) -> tuple[int, int, int]:
    return row.counts.tp, -row.counts.fp, -row.counts.fn
