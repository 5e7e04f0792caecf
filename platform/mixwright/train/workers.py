"""Rank, world size and the few collectives that training needs; a single process without a group counts as one worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def _group() -> Any:
    import torch.distributed

    return torch.distributed if torch.distributed.is_available() and torch.distributed.is_initialized() else None


def rank() -> int:
    group = _group()
    return int(group.get_rank()) if group else 0


def world_size() -> int:
    group = _group()
    return int(group.get_world_size()) if group else 1


def barrier() -> None:
    if world_size() > 1:
        _group().barrier()


def sums_over_workers(values: Sequence[float], device: str) -> list[float]:
    """The sum of each number over all workers, on all workers; one message."""
    if world_size() == 1:
        return list(values)
    import torch

    totals = torch.tensor(values, dtype=torch.float64, device=device)
    _group().all_reduce(totals)
    return [float(total) for total in totals]


def take_from_first(tensors: Sequence[Any]) -> None:
    """Gives each tensor the numbers that it has on worker 0, all of them in one message a dtype."""
    if world_size() == 1:
        return
    import torch

    with torch.no_grad():
        for dtype in {tensor.dtype for tensor in tensors}:
            own = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in own])
            _group().broadcast(flat, 0)
            for tensor, part in zip(own, flat.split([tensor.numel() for tensor in own]), strict=True):
                tensor.copy_(part.view_as(tensor))


def gather_objects(value: Any) -> list[Any]:
    """Every worker's value, in rank order, on all workers."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    _group().all_gather_object(values, value)
    return values
