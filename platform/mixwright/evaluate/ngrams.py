"""N-gram counts of many rows at once, for metrics that compare a source, an output and references.

What comes in: token sequences, each belonging to a row. What goes out: for every n-gram order a table with one *cell* for
each different n-gram of each row, and how often every text has it. Counting a whole corpus in a few numpy calls is what
makes GLEU and SARI cheap enough for every rung of a sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_ORDER = 4
"""GLEU and SARI both look at n-grams of one to four tokens."""


@dataclass(frozen=True)
class NgramTable:
    """Counts of the n-grams of one order."""

    counts: IntArray
    """How often a cell's n-gram stands in the text that a layer has for the cell's row; shape (layers, cells)."""
    row: IntArray
    """The row that each cell belongs to; shape (cells,)."""
    rows: int

    def row_sums(self, values: npt.NDArray[np.generic]) -> FloatArray:
        """Adds up the values of each row's cells; shape (rows,)."""
        return np.bincount(self.row, weights=values, minlength=self.rows).astype(np.float64, copy=False)


def ngram_tables(layers: Sequence[Sequence[Sequence[str]]]) -> Iterator[NgramTable]:
    """Yields the tables of order 1 to 4.

    Args:
        layers: sources, outputs or one set of references each: the tokens of every row. Layers have the same number of rows,
            and a text that is missing is an empty one.
    """
    rows = len(layers[0])
    vocabulary: dict[str, int] = {}
    tokens = np.array(
        [vocabulary.setdefault(token, len(vocabulary)) for layer in layers for text in layer for token in text], dtype=np.int64
    )
    lengths = np.array([len(text) for layer in layers for text in layer], dtype=np.int64)
    ends = np.repeat(np.cumsum(lengths), lengths)
    layer_of = np.repeat(np.arange(len(lengths)) // rows, lengths)
    cell = np.repeat(np.arange(len(lengths)) % rows, lengths)
    row_of_cell = np.arange(rows)
    start = np.arange(len(tokens))
    for order in range(1, MAX_ORDER + 1):
        inside = start + order <= ends[start]
        start, cell = start[inside], cell[inside]
        # A cell of this order is a cell of the order below and one more token, so one sort finds the n-gram and its row.
        keys, cell = np.unique(cell * (len(vocabulary) + 1) + tokens[start + order - 1], return_inverse=True)
        row_of_cell = row_of_cell[keys // (len(vocabulary) + 1)]
        flat = np.bincount(layer_of[start] * len(keys) + cell, minlength=len(layers) * len(keys))
        yield NgramTable(counts=flat.reshape(len(layers), len(keys)), row=row_of_cell, rows=rows)
