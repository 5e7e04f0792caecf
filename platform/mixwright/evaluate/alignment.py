"""ERRANT's token alignment, many times faster and operation for operation the same.

What comes in: two parsed texts. What goes out: the sequence of matches, substitutions, insertions, deletions and
transpositions that ERRANT's merger turns into edits. ERRANT fills a matrix of all token pairs and asks spaCy for attributes in
every cell. Here attributes are read once a text, the matching end of both texts is never looked at, what a substitution costs
at least is computed for all pairs at once, and costs that cannot win are not computed. Costs are added in ERRANT's order, so
that ties fall as they do there.

Bryant and Felice 2016, "Automatic Extraction of Learner Errors in ESL Sentences Using Linguistically Enhanced Alignments".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from spacy.tokens import Doc

Operation = tuple[str, int, int, int, int]
"""M, S, I, D or T with its number of tokens; then start and end in the source and in the corrected text."""

_LEMMA_COST = 0.499
_OPEN_CLASS_COST = 0.25
_OTHER_CLASS_COST = 0.5

_MATCH = -2.0
_SAME_BUT_FOR_CASE = -1.0
"""Marks among the least costs, all of which are 0 or more."""


class Alignment(NamedTuple):
    """What ERRANT's merger reads of an alignment."""

    orig: Doc
    cor: Doc
    align_seq: list[Operation]


class Parse(NamedTuple):
    """A parsed text, and what an alignment compares of its tokens."""

    doc: Doc
    orth: list[int]
    lower: list[int]
    texts: list[str]
    numbers: npt.NDArray[np.uint64]
    """Spelling, lower case, lemma and coarse tag of each token in spaCy's own numbers; shape (4, tokens)."""
    is_open: npt.NDArray[np.bool_]
    """Which tokens are nouns, verbs, adjectives or adverbs."""


class _Unmatched(NamedTuple):
    """The tokens of both texts before the matching end."""

    source_texts: Sequence[str]
    corrected_texts: Sequence[str]
    source_lower: Sequence[int]
    corrected_lower: Sequence[int]
    least: list[list[float]]
    """What a substitution costs without its characters, or one of the two marks; by source token, then by corrected token."""
    source_moves: list[bool]
    """Which source tokens stand somewhere in the corrected text; no other can be part of a transposition."""
    corrected_moves: list[bool]


def read(doc: Doc) -> Parse:
    """What an alignment needs of a parsed text."""
    numbers = np.ascontiguousarray(doc.to_array(["ORTH", "LOWER", "LEMMA", "POS"]).T)
    texts = [token.text for token in doc]
    return Parse(doc, numbers[0].tolist(), numbers[1].tolist(), texts, numbers, _open_classes()[numbers[3]])


@functools.cache
def _open_classes() -> npt.NDArray[np.bool_]:
    """By spaCy's number of a coarse tag: whether it is a noun, verb, adjective or adverb."""
    from spacy.parts_of_speech import ADJ, ADV, IDS, NOUN, VERB

    found = np.zeros(max(IDS.values()) + 1, dtype=np.bool_)
    found[[ADJ, ADV, NOUN, VERB]] = True
    return found


def align(source: Parse, corrected: Parse) -> Alignment:
    """The cheapest alignment of two parsed texts, as `errant.Annotator.align` finds it."""
    from rapidfuzz.distance import Indel

    matched = _matching_end(source.orth, corrected.orth)
    rows, columns = len(source.orth) - matched, len(corrected.orth) - matched
    path = _trace(_fill(_unmatched(source, corrected, rows, columns), Indel.normalized_distance))
    path += [("M", rows + step, rows + step + 1, columns + step, columns + step + 1) for step in range(matched)]
    return Alignment(source.doc, corrected.doc, path)


def _matching_end(source: Sequence[int], corrected: Sequence[int]) -> int:
    """Tokens at the end that both texts share; the path through the matrix ends with a match of each, whatever comes before."""
    matched = 0
    for left, right in zip(reversed(source), reversed(corrected), strict=False):
        if left != right:
            break
        matched += 1
    return matched


def _unmatched(source: Parse, corrected: Parse, rows: int, columns: int) -> _Unmatched:
    same_orth, same_lower, same_lemma, same_class = source.numbers[:, :rows, None] == corrected.numbers[:, None, :columns]
    both_open = source.is_open[:rows, None] & corrected.is_open[:columns]
    lemma_cost = np.where(same_lemma, 0.0, _LEMMA_COST)
    class_cost = np.where(same_class, 0.0, np.where(both_open, _OPEN_CLASS_COST, _OTHER_CLASS_COST))
    least = np.where(same_lower, _SAME_BUT_FOR_CASE, lemma_cost + class_cost)
    least[same_orth] = _MATCH
    return _Unmatched(
        source_texts=source.texts[:rows],
        corrected_texts=corrected.texts[:columns],
        source_lower=source.lower[:rows],
        corrected_lower=corrected.lower[:columns],
        least=least.tolist(),
        source_moves=same_lower.any(axis=1).tolist(),
        corrected_moves=same_lower.any(axis=0).tolist(),
    )


def _fill(pair: _Unmatched, character_cost: Callable[[str, str], float]) -> list[list[str]]:
    """The cheapest operation that ends at each pair of positions; ties go to T, S, I, D in this order."""
    above = [float(column) for column in range(len(pair.corrected_texts) + 1)]
    costs = [above]
    operations = [["I"] * len(above)]
    for i, least_of_row in enumerate(pair.least):
        text, moves = pair.source_texts[i], pair.source_moves[i]
        cost = above[0] + 1
        here, chosen = [cost], ["D"]
        costs.append(here)
        for j, least in enumerate(least_of_row):
            before = above[j]
            if least == _MATCH:
                cost, operation = before, "M"
            else:
                cost, operation = cost + 1, "I"
                if above[j + 1] + 1 < cost:
                    cost, operation = above[j + 1] + 1, "D"
                if before + least <= cost:
                    substitution = before
                    if least != _SAME_BUT_FOR_CASE:
                        substitution = before + (least + character_cost(text, pair.corrected_texts[j]))
                    if substitution <= cost:
                        cost, operation = substitution, "S"
                if moves and pair.corrected_moves[j] and (size := _transposed(pair, i, j, costs)):
                    transposition = costs[i - size + 1][j - size + 1] + (size - 1)
                    if transposition <= cost:
                        cost, operation = transposition, f"T{size}"
            here.append(cost)
            chosen.append(operation)
        operations.append(chosen)
        above = here
    return operations


def _transposed(pair: _Unmatched, i: int, j: int, costs: list[list[float]]) -> int:
    """How many tokens up to i and j are the same words in another order; 0 where none are, or a match lies between."""
    left, right = i - 1, j - 1
    surplus = pair.source_lower[i] - pair.corrected_lower[j]
    while left >= 0 and right >= 0 and costs[left + 1][right + 1] != costs[left][right]:
        surplus += pair.source_lower[left] - pair.corrected_lower[right]
        # Only words of the same sum can be the same words.
        if not surplus and sorted(pair.source_lower[left : i + 1]) == sorted(pair.corrected_lower[right : j + 1]):
            return i - left + 1
        left, right = left - 1, right - 1
    return 0


def _trace(operations: list[list[str]]) -> list[Operation]:
    i, j = len(operations) - 1, len(operations[0]) - 1
    path: list[Operation] = []
    while i or j:
        operation = operations[i][j]
        # The first row and column lie outside the text: there only insertions or deletions are left.
        operation = "D" if j == 0 else "I" if i == 0 else operation
        size = int(operation[1:] or 1)
        back_i, back_j = i - size * (operation != "I"), j - size * (operation != "D")
        path.append((operation, back_i, i, back_j, j))
        i, j = back_i, back_j
    return path[::-1]
