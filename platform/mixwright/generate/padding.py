"""Rows of different length as one rectangle, padded on the left so that every row's last token stands in the last column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class PaddedBatch:
    """Token ids, which of them are real, and the position of each in its own row."""

    ids_BT: torch.Tensor
    mask_BT: torch.Tensor
    """1 for real tokens, 0 for padding, int64."""
    positions_BT: torch.Tensor
    """Counted from each row's first real token; 0 on padding, where nothing reads it."""

    @property
    def padding(self) -> torch.Tensor:
        """Padding tokens of each row."""
        return (1 - self.mask_BT).sum(-1)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> PaddedBatch:
    """At least one row, none of them empty."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return PaddedBatch(ids_BT=ids, mask_BT=mask, positions_BT=(mask.cumsum(-1) - 1).clamp(min=0))


def common_prefix_length(rows: Sequence[tuple[int, ...]]) -> int:
    """Leading tokens that all rows share, leaving at least one token of each row outside."""
    first, last = min(rows), max(rows)  # any two rows share at least what the extremes of their order share
    longest = min(len(row) for row in rows) - 1
    for index in range(longest):
        if first[index] != last[index]:
            return index
    return max(longest, 0)
