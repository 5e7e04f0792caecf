"""Rendered rows -> padded tensors, and which worker takes which row of a step.

What comes in: rendered rows in the mixture's order. What goes out: right-padded tensors with a shape legend in their
names (B rows, T tokens). Every worker can tell the whole step's response tokens, so the loss is a mean over the step's
learned tokens whatever the number of workers and micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.prompts import Rendered

IGNORED = -100
"""Label of a token that is not learned."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One forward pass of one worker."""

    input_ids_BT: Any
    attention_mask_BT: Any
    labels_BT: Any
    """`IGNORED` at prompt and padding."""


def steps_in(rows: int, global_batch: int) -> int:
    """Optimiser steps of one pass over the rows; the last one may be smaller."""
    return -(-rows // global_batch)


def rows_of_step(step: int, rows: int, global_batch: int) -> range:
    """Positions in the mixture that step number `step` (from 0) learns."""
    return range(step * global_batch, min((step + 1) * global_batch, rows))


def micro_batches(
    positions: Sequence[int], rank: int, world_size: int, micro_batch_size: int, accumulation: int
) -> list[list[int]]:
    """This worker's positions, one list a forward pass, always `accumulation` lists.

    In a last, smaller step some lists are empty: the worker still takes part, with a row that does not count.
    """
    mine = list(positions[rank::world_size])
    return [mine[index * micro_batch_size : (index + 1) * micro_batch_size] for index in range(accumulation)]


def collate(rows: Sequence[Rendered], pad_token_id: int, device: str) -> Batch:
    """Pads on the right to the longest row."""
    import torch

    length = max(len(row.token_ids) for row in rows)
    input_ids_BT = torch.full((len(rows), length), pad_token_id, dtype=torch.long)
    attention_mask_BT = torch.zeros((len(rows), length), dtype=torch.long)
    labels_BT = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        width = len(row.token_ids)
        ids_T = torch.tensor(row.token_ids)
        input_ids_BT[index, :width] = ids_T
        attention_mask_BT[index, :width] = 1
        labels_BT[index, row.prompt_length : width] = ids_T[row.prompt_length :]
    return Batch(
        input_ids_BT=input_ids_BT.to(device),
        attention_mask_BT=attention_mask_BT.to(device),
        labels_BT=labels_BT.to(device),
    )
