"""Which rows an optimiser step learns, on which worker, and in how many forward passes.

What comes in: the lengths of the rendered rows, in the mixture's order. What goes out: for each step the passes of each worker,
cut by tokens and not by rows. Every worker can tell the whole step's plan and its learned tokens, so the loss is a mean over the
step's learned tokens whatever the number of workers and passes.
"""

from __future__ import annotations

from collections.abc import Sequence


def steps_in(rows: int, global_batch: int) -> int:
    """Optimiser steps of one pass over the rows; the last one may be smaller."""
    return -(-rows // global_batch)


def rows_of_step(step: int, rows: int, global_batch: int) -> range:
    """Positions in the mixture that step number `step` (from 0) learns."""
    return range(step * global_batch, min((step + 1) * global_batch, rows))


def passes_of_step(positions: Sequence[int], lengths: Sequence[int], workers: int, tokens_per_pass: int) -> list[list[list[int]]]:
    """The step's rows, dealt to workers and cut into passes: worker -> pass -> positions.

    Rows go to the worker that has the fewest tokens so far, longest rows first, so that no worker waits long for another. A
    worker's passes hold rows of like lengths and at most `tokens_per_pass` tokens, or one longer row alone. All workers make
    the same number of passes, since they meet in each under ZeRO 2 and 3: some may be empty.

    Args:
        lengths: tokens of each of `positions`, in their order.
    """
    shares: list[list[tuple[int, int]]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for length, position in sorted(zip(lengths, positions, strict=True), key=lambda item: (-item[0], item[1])):
        lightest = loads.index(min(loads))
        shares[lightest].append((length, position))
        loads[lightest] += length
    passes = [_cut(share, tokens_per_pass) for share in shares]
    most = max(len(own) for own in passes)
    return [own + [[]] * (most - len(own)) for own in passes]


def _cut(rows: Sequence[tuple[int, int]], tokens_per_pass: int) -> list[list[int]]:
    passes: list[list[int]] = []
    held = 0
    for length, position in rows:
        if not passes or held + length > tokens_per_pass:
            passes.append([])
            held = 0
        passes[-1].append(position)
        held += length
    return passes
