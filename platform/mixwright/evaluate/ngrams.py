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
    known_tokens: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    tokens_of_word = [[known_tokens[token] for token in tokens_of(word)] for word in known_words]
    per_word = np.fromiter(map(len, tokens_of_word), dtype=np.int64, count=len(tokens_of_word))
    flat = np.fromiter(itertools.chain.from_iterable(tokens_of_word), dtype=np.int64, count=int(per_word.sum()))
    counts = per_word[words]
    ends = np.cumsum(counts)
    # Token i of a word stands i behind the word's first token in `flat`.
    steps = np.arange(len(ends) and ends[-1]) - np.repeat(ends - counts, counts)
    ids = flat[np.repeat((np.cumsum(per_word) - per_word)[words], counts) + steps]
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
    ends = np.repeat(np.cumsum(lengths), lengths)
    group = np.repeat(np.repeat(np.array(group_of_layer, dtype=np.int64), rows), lengths)
    cell = np.repeat(np.tile(np.arange(rows), layers), lengths)
    row_of_cell = np.arange(rows)
    start = np.arange(len(tokens.ids))
    base = tokens.vocabulary + 1
    for order in range(1, MAX_ORDER + 1):
        inside = start + order <= ends[start]
        start, cell = start[inside], cell[inside]
        # A cell of this order is a cell of the order below and one more token, so one sort finds the n-gram and its row.
        keys, cell = _unique(cell * base + tokens.ids[start + order - 1])
        row_of_cell = row_of_cell[keys // base]
        flat = np.bincount(group[start] * len(keys) + cell, minlength=groups * len(keys))
        yield NgramTable(counts=flat.reshape(groups, len(keys)), row=row_of_cell, rows=rows)


def _unique(values: IntArray) -> tuple[IntArray, IntArray]:
    """The different values in their order, and which of them each value is; several times faster than `np.unique`'s inverse."""
    order = np.argsort(values)
    ordered = values[order]
    is_new = np.ones(len(values), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    inverse = np.empty(len(values), dtype=np.int64)
    inverse[order] = np.cumsum(is_new) - 1
    return ordered[is_new], inverse
