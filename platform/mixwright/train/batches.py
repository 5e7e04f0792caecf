"""Which rows an optimiser step learns, on which worker, and in how many forward passes.

What comes in: the tokens of the rendered rows, in the mixture's order. What goes out: for each step the passes of each worker,
cut by tokens that have to be computed and not by rows. Every worker can tell the whole step's plan and its learned tokens, so
the loss is a mean over the step's learned tokens whatever the number of workers and passes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from mixwright.train.trie import Trie

CANDIDATES = 4
"""Workers with the least to do so far, among which a row goes where it shares most: all of them would cost a large cluster time."""


def steps_in(rows: int, global_batch: int) -> int:
    """Optimiser steps of one pass over the rows; the last one may be smaller."""
    return -(-rows // global_batch)


def rows_of_step(step: int, rows: int, global_batch: int) -> range:
    """Positions in the mixture that step number `step` (from 0) learns."""
    return range(step * global_batch, min((step + 1) * global_batch, rows))


def passes_of_step(
    positions: Sequence[int], rows: Sequence[Sequence[int]], workers: int, tokens_per_pass: int
) -> list[list[list[int]]]:
    """The step's rows, dealt to workers and cut into passes: worker -> pass -> positions.

    Longest rows first, a row goes to the worker that then has least to compute: no worker waits long for another, and rows that
    begin alike meet. A worker's passes hold rows of like lengths and at most `tokens_per_pass` computed tokens, or one longer
    row alone. All workers make the same number of passes, since they meet in each under ZeRO 2 and 3: some may be empty.

    Args:
        rows: token ids of each of `positions`, in their order. A row's last token is not computed.
    """
    shares: list[list[tuple[int, Sequence[int]]]] = [[] for _ in range(workers)]
    tries = [Trie() for _ in range(workers)]
    for position, tokens in sorted(zip(positions, rows, strict=True), key=lambda item: (-len(item[1]), item[0])):
        computed = list(tokens[:-1])
        lightest = heapq.nsmallest(CANDIDATES, range(workers), key=lambda worker: (len(tries[worker]), worker))
        worker = min(lightest, key=lambda worker: (len(tries[worker]) + tries[worker].new_nodes(computed), worker))
        tries[worker].add(computed)
        shares[worker].append((position, computed))
    passes = [_cut(share, tokens_per_pass) for share in shares]
    most = max(len(own) for own in passes)
    return [own + [[]] * (most - len(own)) for own in passes]


def _cut(rows: Sequence[tuple[int, Sequence[int]]], tokens_per_pass: int) -> list[list[int]]:
    passes: list[list[int]] = []
    trie = Trie()
    for position, computed in rows:
        if not passes or len(trie) + trie.new_nodes(computed) > tokens_per_pass:
            passes.append([])
            trie = Trie()
        passes[-1].append(position)
        trie.add(computed)
    return passes
