"""N-gram counts of many rows at once, for metrics that compare a source, an output and references.

What comes in: texts, each belonging to a row, and the rule that cuts a word into tokens. What goes out: for every n-gram order
a table with one *cell* for each different n-gram of each row, and how often every text has it. Words are cut once each and whole
corpora counted in a few numpy calls, which makes GLEU and SARI cheap enough for every rung of a sweep.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_ORDER = 4
"""GLEU and SARI both look at n-grams of one to four tokens."""


@dataclass(frozen=True)
class TokenIds:
    """Texts as numbers: equal tokens have equal numbers."""

    ids: IntArray
    """All texts one after the other, layer by layer; shape (tokens,)."""
    lengths: IntArray
    """Tokens of each text; shape (layers, rows)."""
    vocabulary: int
    """How many different tokens there are."""


@dataclass(frozen=True)
class NgramTable:
    """Counts of the n-grams of one order."""

    counts: IntArray
    """How often a cell's n-gram stands in the texts that a group has for the cell's row; shape (groups, cells)."""
    row: IntArray
    """The row that each cell belongs to; shape (cells,)."""
    rows: int

    def row_sums(self, values: npt.NDArray[np.generic]) -> FloatArray:
        """Adds up the values of each row's cells; shape (rows,)."""
        return np.bincount(self.row, weights=values, minlength=self.rows).astype(np.float64, copy=False)

    def of_group(self, group: int) -> NgramTable:
        """The cells alone whose n-gram stands in a text of this group."""
        there = np.flatnonzero(self.counts[group])
        return NgramTable(counts=self.counts[:, there], row=self.row[there], rows=self.rows)


def token_ids(layers: Sequence[Sequence[str]], tokens_of: Callable[[str], Sequence[str]]) -> TokenIds:
    """Cuts texts at white space and each different word by `tokens_of`.

    Args:
        layers: sources, outputs or one set of references each: one text a row. Layers have the same number of rows, and a text
            that is missing is an empty one.
        tokens_of: the tokens of a word; must not depend on what stands around the word.
    """
    texts = [text.split() for layer in layers for text in layer]
    words_of_text = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    known_words: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    words = np.fromiter(
        map(known_words.__getitem__, itertools.chain.from_iterable(texts)), dtype=np.int64, count=int(words_of_text.sum())
    )
    tokens_of_word = [tokens_of(word) for word in known_words]
    known_tokens: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    per_word = np.fromiter(map(len, tokens_of_word), dtype=np.int64, count=len(tokens_of_word))
    tokens = np.fromiter(
        map(known_tokens.__getitem__, itertools.chain.from_iterable(tokens_of_word)), dtype=np.int64, count=int(per_word.sum())
    )
    counts = per_word[words]
    ends = np.cumsum(counts)
    # Token i of the word that begins at place b is number i of the word's tokens: place minus b, plus where those begin.
    shift = (np.cumsum(per_word) - per_word)[words] - (ends - counts)
    ids = tokens[np.arange(int(counts.sum())) + np.repeat(shift, counts)]
    text_ends = np.concatenate([[0], ends])[np.cumsum(words_of_text)]
    lengths = np.diff(text_ends, prepend=0).reshape(len(layers), -1)
    return TokenIds(ids=ids, lengths=lengths, vocabulary=len(known_tokens))


def ngram_tables(tokens: TokenIds, group_of_layer: Sequence[int]) -> Iterator[NgramTable]:
    """Yields the tables of order 1 to 4.

    Args:
        tokens: what `token_ids` made of the layers.
        group_of_layer: 0, 1, ...: layers of one group are counted together.
    """
    layers, rows = tokens.lengths.shape
    groups = max(group_of_layer) + 1
    lengths = tokens.lengths.ravel()
    row = np.repeat(np.tile(np.arange(rows), layers), lengths)
    group = np.repeat(np.repeat(np.array(group_of_layer, dtype=np.int64), rows), lengths)
    keys, cell = _unique(row * (tokens.vocabulary + 1) + tokens.ids)
    row_of_cell = keys // (tokens.vocabulary + 1)
    # A row's own numbers for its tokens, from 1, are small, so that an n-gram and its row fit into one number.
    number = cell - np.searchsorted(row_of_cell, np.arange(rows))[row] + 1
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(number))
    followers = [_following(number, left, distance) for distance in range(1, MAX_ORDER)]
    cell, *followers, group = _in_order([cell, *followers, group])

    new_of_order = list(itertools.accumulate((_changed(column) for column in (cell, *followers)), np.logical_or))
    # The same n-gram in texts of one group stands here once, with its number of times.
    distinct = np.flatnonzero(new_of_order[-1] | _changed(group))
    times = np.diff(distinct, append=len(cell)).astype(np.float64)
    row, group = row_of_cell[cell[distinct]], group[distinct]
    inside = np.arange(len(distinct))
    for new, last in zip(new_of_order, [cell + 1, *followers], strict=True):
        inside = inside[last[distinct[inside]] > 0]  # an n-gram that is cut by the text's end has no longer one either
        first = new[distinct[inside]]
        which = np.cumsum(first) - 1
        cells = int(which[-1]) + 1 if len(which) else 0
        flat = np.bincount(group[inside] * cells + which, weights=times[inside], minlength=groups * cells)
        yield NgramTable(counts=flat.astype(np.int64).reshape(groups, cells), row=row[inside[first]], rows=rows)


def _following(number: IntArray, left: IntArray, distance: int) -> IntArray:
    """The number of the token that stands so far behind each token, 0 where its text has ended."""
    following = np.zeros_like(number)
    following[:-distance] = number[distance:]
    following[left <= distance] = 0
    return following


def _in_order(columns: Sequence[IntArray]) -> list[IntArray]:
    """The rows of a table sorted by its columns, which hold no negative numbers."""
    bits = [int(column.max(initial=0)).bit_length() for column in columns]
    if sum(bits) > 63:
        order = np.lexsort(columns[::-1])
        return [column[order] for column in columns]
    packed = np.zeros_like(columns[0])
    for column, width in zip(columns, bits, strict=True):
        packed = packed << width | column
    packed.sort()
    ordered = []
    for width in reversed(bits):
        ordered.append(packed & ((1 << width) - 1))
        packed >>= width
    return ordered[::-1]


def _changed(ordered: IntArray) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    changed = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    return changed


def _unique(values: IntArray) -> tuple[IntArray, IntArray]:
    """The different values in their order, and which of them each value is; several times faster than `np.unique`'s inverse."""
    order = np.argsort(values)
    ordered = values[order]
    new = _changed(ordered)
    inverse = np.empty(len(values), dtype=np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse
