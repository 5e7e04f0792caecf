"""Rendered rows -> one forward pass without padding, in which no prefix is computed twice.

What comes in: the rows of a pass. What goes out: `Packed`, the trie of their tokens as flat tensors. In a causal model the
hidden state of a token hangs on the tokens before it alone, so rows that begin alike (a chat template's system turn, a task's
instruction) share those tokens' states, and their gradients add up there. Everything but attention works on the trie's N
nodes; attention alone looks at rows, through `paths_BT`.

Legend: B rows, T tokens of the longest row, N nodes, M learned tokens.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.prompts import Rendered
from mixwright.train.trie import Trie

MOST_PADDING = 0.2
"""Of the longest row of a group; a row that is shorter by more than that opens another one."""
FEWEST_ROWS = 4
"""Of a group, but the last: a few long products cost less than many short ones."""
SHORTEST_START = 8
"""Tokens that all rows must begin with for that start to be a group of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowGroup:
    """Rows of like lengths, one under the other."""

    paths_BT: Any
    """Node of each row's tokens; past a row's end node 0 stands, which no token of the row looks at."""
    known: int
    """Leading columns whose nodes all have their output from earlier groups: keys and values here, but no queries."""
    first_n: Any
    """Where in the flattened `paths_BT[:, known:]` each node stands that no earlier group runs through, in the nodes' order."""

    @functools.cached_property
    def laid_out(self) -> dict[tuple[str, int], Any]:
        """Room for indices that each layer's attention would work out anew."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One forward pass of one worker, tensors of int64 on its device."""

    token_ids_N: Any
    positions_N: Any
    """Each node's place in its rows: what rotary embeddings count."""
    groups: tuple[RowGroup, ...]
    """All rows; a group's new nodes follow those of the groups before it."""
    learned_M: Any
    """The node that predicts each learned token."""
    targets_M: Any
    """The learned tokens."""


def pack(rows: Sequence[Rendered], device: str) -> Packed:
    """The trie of the rows' tokens.

    A row's last token is a target alone: nothing is predicted from it, so it has no node.

    Args:
        rows: at least one; each has a response, and so at least one learned token. Rows of like lengths should stand together.
    """
    import torch

    trie = Trie()
    learned: list[int] = []
    targets: list[int] = []
    groups: list[RowGroup] = []
    if start := _common_start(rows):
        groups += _group([trie.add(start)], device)
    for together in _alike(rows):
        paths = [trie.add(row.token_ids[:-1]) for row in together]
        groups += _group(paths, device)
        for row, (path, _) in zip(together, paths, strict=True):
            first = max(1, row.prompt_length)  # the first token of a text is predicted by none
            learned += path[first - 1 :]
            targets += row.token_ids[first:]
    flat = (torch.tensor(values).to(device) for values in (trie.token_ids, trie.positions, learned, targets))
    token_ids_N, positions_N, learned_M, targets_M = flat
    return Packed(token_ids_N=token_ids_N, positions_N=positions_N, groups=tuple(groups), learned_M=learned_M, targets_M=targets_M)


def _group(paths: Sequence[tuple[list[int], int]], device: str) -> list[RowGroup]:
    """Rows one under the other; none where every node stood there before."""
    import torch

    width = max(len(path) for path, _ in paths)
    known = min(stood for _, stood in paths)
    paths_BT = torch.zeros((len(paths), width), dtype=torch.long)
    first: list[int] = []
    for index, (path, stood) in enumerate(paths):
        paths_BT[index, : len(path)] = torch.tensor(path)
        first += range(index * (width - known) + stood - known, index * (width - known) + len(path) - known)
    if not first:
        return []
    return [RowGroup(paths_BT=paths_BT.to(device), known=known, first_n=torch.tensor(first).to(device))]


def _common_start(rows: Sequence[Rendered]) -> Sequence[int]:
    """What all rows begin with, but for a row's last token; nothing where that is short."""
    ordered = sorted(tuple(row.token_ids[:-1]) for row in rows)  # what the first and the last share, all do
    pairs = zip(ordered[0], ordered[-1], strict=False)
    length = len([*itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)])
    return ordered[0][:length] if len(rows) > 1 and length >= SHORTEST_START else ()


def _alike(rows: Sequence[Rendered]) -> list[list[Rendered]]:
    """The rows in groups of like lengths, as they follow one another."""
    groups: list[list[Rendered]] = []
    longest = 0
    for row in rows:
        length = len(row.token_ids)
        unlike = length < (1 - MOST_PADDING) * longest or length > longest
        if not groups or (unlike and len(groups[-1]) >= FEWEST_ROWS):
            groups.append([])
            longest = 0
        groups[-1].append(row)
        longest = max(longest, length)
    return groups
