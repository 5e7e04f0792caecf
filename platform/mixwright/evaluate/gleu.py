"""GLEU for grammatical error correction, equal to the official `gleu.py` of the JFLEG repository.

What comes in: sources, outputs and references as text. What goes out: for each row the n-gram counts against each of its
references, and from their sums the score. The official script chooses one reference of each row at random, 500 times over,
and prints the mean; `official_gleu` repeats its draws, and `Gleu` gives the mean over all possible draws without drawing.

Napoles et al. 2015, "Ground Truth for Grammatical Error Correction Metrics", and 2016, "GLEU Without Tuning" (order 4,
several references).
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixwright.evaluate.ngrams import MAX_ORDER, FloatArray, IntArray, ngram_tables, token_ids
from mixwright.evaluate.rows import check_rows
from mixwright.evaluate.tokenize13a import one_line, word_as_is, word_tokens_13a

OFFICIAL_DRAWS = 500
_SEED_STEP = 101
"""The official script seeds draw number i with 101 * i."""

_PLAIN = 2 + 2 * MAX_ORDER
"""Output length, reference length, then a numerator and a denominator for each order: the official script's statistics."""
_LENGTH = 1
_OUTPUT = 1
"""The group of the outputs' n-grams, between the sources' and those of the references."""
_RANDOM = [_LENGTH, *range(2, _PLAIN, 2)]
"""Columns that depend on the chosen reference: its length and the four numerators."""
_PAIRS = np.triu_indices(len(_RANDOM))

_standard_normal_cdf = np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)), otypes=[np.float64])


@dataclass(frozen=True, kw_only=True)
class OfficialGleu:
    """What the official script prints, on its scale of 0 to 1."""

    mean: float
    std: float
    """Standard deviation over the draws of references; it says nothing about the choice of rows."""


@dataclass(frozen=True, kw_only=True)
class Gleu:
    """Expected GLEU over the random choice of references, on a scale of 0 to 100.

    With one reference a row this is the official score. With several, corpus counts are sums of many independent choices, so
    their exact means and covariances give the expectation of the score in closed form; what is left out is of the order
    rows^-1.5. On JFLEG's 754 rows it lies within 0.002 points of half a million draws, where the official 500 draws are off by
    up to 0.1. On a handful of rows prefer `official_gleu`.
    """

    tokens: Literal["13a", "as_is"] = "13a"
    """13a (letters keep their case) for text as written; as_is for text that is tokenised already, like JFLEG's own files.
    On detokenised JFLEG, 13a stays within about 0.1 points of the original tokens; white space alone is 3 points off."""
    name: str = "gleu"

    def statistics(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> FloatArray:
        """Statistics of each row; shape (rows, 25): the official ten at the mean over references, then their 15 covariances.

        Raises:
            ScoreError: see `check_rows`.
        """
        check_rows(sources, outputs, references)
        counts, present = _counts(sources, outputs, references, self.tokens)
        weights = (present / present.sum(axis=1, keepdims=True))[..., None]
        mean = (weights * counts).sum(axis=1)
        deviations = (counts - mean[:, None])[..., _RANDOM]
        products = deviations[..., _PAIRS[0]] * deviations[..., _PAIRS[1]]
        return np.concatenate([mean, (weights * products).sum(axis=1)], axis=1)

    def aggregate(self, statistics: FloatArray) -> float:
        """Corpus GLEU of the rows of `statistics`."""
        return float(self.from_totals(statistics.sum(axis=0)))

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """GLEU of each vector of summed statistics; (..., 25) to (...). Zero where an order has no match, as in the script."""
        counts, covariances = totals[..., :_PLAIN], totals[..., _PLAIN:]
        defined = np.all(counts > 0, axis=-1, keepdims=True)
        expectation = _expected_gleu(np.where(defined, counts, 1.0), np.where(defined, covariances, 0.0))
        scores: FloatArray = np.where(defined[..., 0], 100 * np.clip(expectation, 0.0, 1.0), 0.0)
        return scores


def official_gleu(
    sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]], *, draws: int = OFFICIAL_DRAWS
) -> OfficialGleu:
    """GLEU as the official script computes it: tokens as they stand, seeded draws of references, mean and spread over draws.

    Raises:
        ScoreError: see `check_rows`.
    """
    check_rows(sources, outputs, references)
    counts, present = _counts(sources, outputs, references, "as_is")
    drawn = _drawn_references(draws, present.sum(axis=1).astype(np.int64))
    totals = np.repeat(counts[:, :1].sum(axis=0), draws, axis=0)
    for number in range(1, counts.shape[1]):
        totals += (drawn == number).astype(np.float64) @ (counts[:, number] - counts[:, 0])
    scores = _plain_gleu(totals)
    return OfficialGleu(mean=float(scores.mean()), std=float(scores.std()))


def _drawn_references(draws: int, references_per_row: IntArray) -> npt.NDArray[np.unsignedinteger]:
    """What `random.seed(101 * draw)`, then `random.randint(0, count - 1)` row after row draw; shape (draws, rows)."""
    count = int(references_per_row[0])
    if (references_per_row == count).all():
        return drawn_below(count, draws, len(references_per_row))
    choices = []
    for draw in range(draws):
        generator = random.Random(draw * _SEED_STEP)
        choices.append([generator.randint(0, one - 1) for one in references_per_row.tolist()])
    return np.array(choices, dtype=np.uint32)


@functools.lru_cache(maxsize=8)
def drawn_below(count: int, draws: int, rows: int) -> npt.NDArray[np.unsignedinteger]:
    """The same where every row has `count` references; kept, since all systems of a table meet the same draws.

    Python's generator is a Mersenne twister, whose words numpy gives many at a time. Python takes the top bits of each word, and
    the next word where they are too large.
    """
    bits = count.bit_length()
    usable_share = count / 2**bits
    enough = int((rows + 10 * math.sqrt(rows * (1 - usable_share))) / usable_share) + 64  # ten standard deviations more than needed
    generator = np.random.RandomState()
    words = np.empty((draws, enough), dtype=np.uint32)
    for draw in range(draws):
        generator.seed([draw * _SEED_STEP])
        words[draw] = generator.randint(0, 1 << 32, size=enough, dtype=np.uint32)
    drawn: Any = (words >> (32 - bits)).astype(np.uint8 if count < 256 else np.uint32)
    usable = drawn < count
    found = usable.cumsum(axis=1, dtype=np.int32)
    assert found[:, -1].min() >= rows
    chosen: npt.NDArray[np.unsignedinteger] = drawn[usable & (found <= rows)].reshape(draws, rows)
    return chosen


def _counts(
    sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]], tokens: Literal["13a", "as_is"]
) -> tuple[FloatArray, FloatArray]:
    """The official statistics of each row against each of its R references, (N, R, K), and which references exist, (N, R)."""
    most = max(map(len, references))
    layers = [list(sources), list(outputs)]
    layers += [[texts[number] if number < len(texts) else "" for texts in references] for number in range(most)]
    if tokens == "13a":
        ids = token_ids([[one_line(text) for text in texts] for texts in layers], word_tokens_13a)
    else:
        ids = token_ids(layers, word_as_is)
    lengths = ids.lengths.astype(np.float64)
    counts = np.empty((len(sources), most, _PLAIN))
    counts[..., 0] = lengths[1][:, None]
    counts[..., _LENGTH] = lengths[2:].T
    for order, whole_table in enumerate(ngram_tables(ids, range(len(layers)))):
        table = whole_table.of_group(_OUTPUT)  # what the output does not say matches nothing
        source, output = table.counts[:2]
        for number, reference in enumerate(table.counts[2:]):
            # An n-gram of the source that the reference does not have at all is one that should have been changed.
            unchanged = np.where(reference == 0, np.minimum(output, source), 0)
            matches = table.row_sums(np.minimum(output, reference) - unchanged)
            counts[:, number, 2 + 2 * order] = np.maximum(matches, 0)
        counts[..., 3 + 2 * order] = np.maximum(lengths[1] - order, 0)[:, None]
    present = np.arange(most) < np.array([len(texts) for texts in references])[:, None]
    return counts, present.astype(np.float64)


def _plain_gleu(totals: FloatArray) -> FloatArray:
    """The official formula, 0 to 1; (..., 10) to (...)."""
    defined = (totals > 0).all(axis=-1)
    safe = np.where(totals > 0, totals, 1.0)
    log_precision = np.log(safe[..., 2::2] / safe[..., 3::2]).mean(axis=-1)
    penalty = np.minimum(0.0, 1 - safe[..., _LENGTH] / safe[..., 0])
    return np.where(defined, np.exp(penalty + log_precision), 0.0)


def _expected_gleu(counts: FloatArray, covariances: FloatArray) -> FloatArray:
    """Mean of exp(L + min(0, u)): L the mean log precision, u = 1 - reference length / output length, jointly normal.

    The brevity penalty's kink lies where good corrections lie, so it is integrated and not expanded.
    """
    cov = _symmetric(covariances)
    length = counts[..., 0]
    numerators = counts[..., 2::2]
    pull = 1 / (MAX_ORDER * numerators)
    variance_of_parts = np.diagonal(cov[..., 1:, 1:], axis1=-2, axis2=-1)
    mean_l = (np.log(numerators / counts[..., 3::2]) - variance_of_parts / (2 * numerators**2)).mean(axis=-1)
    variance_l = np.einsum("...i,...ij,...j->...", pull, cov[..., 1:, 1:], pull)
    mean_u = 1 - counts[..., _LENGTH] / length
    spread_u = np.sqrt(cov[..., 0, 0]) / length
    tilted_u = mean_u - (cov[..., 0, 1:] * pull).sum(axis=-1) / length
    scores: FloatArray = np.exp(mean_l + variance_l / 2) * _expected_penalty(tilted_u, spread_u)
    return scores


def _expected_penalty(mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Mean of exp(min(0, u)) for a normal u."""
    width = np.maximum(spread, 1e-12)
    longer = _standard_normal_cdf(mean / width)
    # Far above zero the second term is 0 times a large number; the cap keeps that number finite.
    shorter = np.exp(np.minimum(mean + width**2 / 2, 50.0)) * _standard_normal_cdf(-(mean / width + width))
    penalties: FloatArray = longer + shorter
    return penalties


def _symmetric(upper: FloatArray) -> FloatArray:
    """Square matrices from their upper triangles; (..., 15) to (..., 5, 5)."""
    size = len(_RANDOM)
    matrix = np.zeros((*upper.shape[:-1], size, size))
    matrix[..., _PAIRS[0], _PAIRS[1]] = upper
    matrix[..., _PAIRS[1], _PAIRS[0]] = upper
    return matrix
