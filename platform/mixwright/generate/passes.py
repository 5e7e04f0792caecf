"""One pass through the model, laid out: which tokens of which rows, where their keys go, and who looks at what.

What comes in: spans, each the next tokens of a row in its slot of the cache. What goes out: a `Pass` of index tensors that serve
all layers. Tokens stand one after the other without padding, adapter by adapter; attention alone pads, among rows with like many.

Legend: N tokens, M tokens whose logits are wanted, n rows of a group, T tokens of the longest, L keys, G key heads, H query heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mixwright.generate.cache import RowCache

Integers = npt.NDArray[np.int64]
MOST_PADDING = 1.5
"""Tokens of a group's rectangle by real ones, from which on rows form another group."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The next tokens of one row."""

    slot: int
    adapter: str
    first: int
    """The position of the first token."""
    tokens: tuple[int, ...]
    """At least one."""
    wanted: int
    """How many of the last tokens need logits."""
    borrowed: tuple[int, ...] = ()
    """Tokens of this pass, counted over all its spans, whose keys and values are this row's too, right before its first one."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows in neighbouring slots that attend together."""

    first: int
    """Slot."""
    rows: int
    length: int
    """Keys that are looked at."""
    queries: torch.Tensor
    """Of each (row, key head, its query head, token), where among (token of the pass, query head) its query stands."""
    mask: torch.Tensor
    """Added to scores, (n, 1, query heads a key head * T, L)."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What all layers share."""

    ids_N: torch.Tensor
    positions_N: torch.Tensor
    adapters: tuple[tuple[str, int, int], ...]
    """Name, first token and number of tokens, in the order of tokens."""
    sources: torch.Tensor | None
    """The tokens whose keys are written, where that is not each one once."""
    places: torch.Tensor
    slots_N: torch.Tensor
    groups: tuple[Group, ...]
    """None where attention needs no rectangles."""
    outputs: torch.Tensor | None
    """Of each (token, query head), where its output stands among those of all groups."""
    wanted_M: torch.Tensor | None
    """None: all."""


def lay_out(spans: Sequence[Span], cache: RowCache, *, heads: int, like: torch.Tensor, grouped: bool = True) -> Pass:
    """The pass of these spans, whose slots are neighbours; their adapters stand together.

    Args:
        grouped: with rectangles for torch's attention.
    """
    counts = np.array([len(span.tokens) for span in spans])
    starts = np.concatenate([[0], counts.cumsum()])
    positions = np.concatenate([np.arange(span.first, span.first + count) for span, count in zip(spans, counts, strict=True)])
    ids = np.concatenate([np.asarray(span.tokens, dtype=np.int64) for span in spans])
    own_slots = np.repeat([span.slot for span in spans], counts)
    sources, slots, places = np.arange(len(ids)), own_slots, positions
    if any(span.borrowed for span in spans):
        sources = np.concatenate([sources, *(np.asarray(span.borrowed, dtype=np.int64) for span in spans)])
        slots = np.concatenate([slots, np.repeat([span.slot for span in spans], [len(span.borrowed) for span in spans])])
        places = np.concatenate([places, *(np.arange(span.first - len(span.borrowed), span.first) for span in spans)])
    groups, outputs = _groups(spans, counts, starts, cache.key_heads, heads, like) if grouped else ((), None)
    wanted = np.concatenate([np.arange(end - span.wanted, end) for span, end in zip(spans, starts[1:], strict=True)])

    def tensor(array: Integers) -> torch.Tensor:
        return torch.from_numpy(array).to(like.device)

    return Pass(
        ids_N=tensor(ids),
        positions_N=tensor(positions),
        adapters=_adapters(spans, counts),
        sources=None if len(sources) == len(ids) else tensor(sources),
        places=cache.places_of(slots, places),
        slots_N=tensor(own_slots),
        groups=groups,
        outputs=None if outputs is None else tensor(outputs),
        wanted_M=None if len(wanted) == len(ids) else tensor(wanted),
    )


def _adapters(spans: Sequence[Span], counts: Integers) -> tuple[tuple[str, int, int], ...]:
    tokens: dict[str, int] = {}
    for span, count in zip(spans, counts.tolist(), strict=True):
        tokens[span.adapter] = tokens.get(span.adapter, 0) + count
    found, start = [], 0
    for name, count in tokens.items():
        found.append((name, start, count))
        start += count
    return tuple(found)


def _groups(
    spans: Sequence[Span], counts: Integers, starts: Integers, key_heads: int, heads: int, like: torch.Tensor
) -> tuple[tuple[Group, ...], Integers]:
    """The groups, and of each (token, query head) where its output stands."""
    order = sorted(range(len(spans)), key=lambda index: spans[index].slot)
    groups: list[Group] = []
    outputs = np.empty((int(starts[-1]), heads), dtype=np.int64)
    share = heads // key_heads
    base = begin = 0
    while begin < len(order):
        end = _end_of_group(order, counts, begin)
        rows = np.array(order[begin:end])
        width = int(counts[rows].max())
        steps = np.minimum(np.arange(width), counts[rows, None] - 1)  # padding asks what the row's last token asks
        tokens = starts[rows, None] + steps
        head_of = np.arange(heads).reshape(1, key_heads, share, 1)
        queries = tokens[:, None, None, :] * heads + head_of
        positions = np.array([spans[row].first for row in rows])[:, None] + steps
        length = int(positions.max()) + 1
        seen = torch.from_numpy(np.arange(length) <= positions[:, None, :, None]).to(like.device)
        mask = like.new_zeros(seen.shape).masked_fill_(~seen, float("-inf")).repeat(1, 1, share, 1)
        numbers = base + np.arange(queries.size).reshape(queries.shape)
        real = np.arange(width) < counts[rows, None]
        outputs[tokens[real]] = numbers.reshape(len(rows), heads, width).transpose(0, 2, 1)[real]
        groups.append(
            Group(
                first=spans[rows[0]].slot,
                rows=len(rows),
                length=length,
                queries=torch.from_numpy(queries.reshape(-1)).to(like.device),
                mask=mask,
            )
        )
        base, begin = base + queries.size, end
    return tuple(groups), outputs.reshape(-1)


def _end_of_group(order: Sequence[int], counts: Integers, begin: int) -> int:
    """So many rows, in the order of slots, as their rectangle is not mostly padding."""
    widest = real = 0
    for place in range(begin, len(order)):
        widest, real = max(widest, int(counts[order[place]])), real + int(counts[order[place]])
        if place - begin >= 8 and widest * (place - begin + 1) > MOST_PADDING * real and widest > 8:
            return place
    return len(order)
