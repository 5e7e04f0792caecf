"""Rendered rows -> one forward pass without padding, in which no prefix is computed twice.

What comes in: the rows of a pass. What goes out: `Packed`, the trie of their tokens as flat tensors. In a causal model the
hidden state of a token hangs on the tokens before it alone, so rows that begin alike (a chat template's system turn, a task's
instruction) share those tokens' states, and their gradients add up there. Everything but attention works on the trie's N
nodes; attention alone looks at rows, through `paths_BT`.

Legend: B rows, T tokens of the longest row, N nodes, M learned tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.prompts import Rendered

MOST_PADDING = 0.2
"""Of the longest row of a group; a row that is shorter by more than that opens another one."""
FEWEST_ROWS = 4
"""Of a group, but the last: a few long products cost less than many short ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowGroup:
    """Rows of like lengths, one under the other."""

    paths_BT: Any
    """Node of each row's tokens; past a row's end node 0 stands, which no token of the row looks at."""
    first_n: Any
    """Where in the flattened `paths_BT` each node stands that no row of an earlier group runs through, in the nodes' order."""

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

    node_of: dict[tuple[int, int], int] = {}
    token_ids: list[int] = []
    positions: list[int] = []
    learned: list[int] = []
    targets: list[int] = []
    groups = []
    for together in _alike(rows):
        width = max(len(row.token_ids) for row in together) - 1
        paths_BT, first = torch.zeros((len(together), width), dtype=torch.long), []
        for index, row in enumerate(together):
            tokens, node, path = list(row.token_ids), -1, []
            for position, token in enumerate(tokens[:-1]):
                child = node_of.setdefault((node, token), len(token_ids))
                if child == len(token_ids):
                    token_ids.append(token)
                    positions.append(position)
                    first.append(index * width + position)
                node = child
                path.append(node)
            start = max(1, row.prompt_length)  # the first token of a text is predicted by none
            learned += path[start - 1 :]
            targets += tokens[start:]
            paths_BT[index, : len(path)] = torch.tensor(path)
        groups.append(RowGroup(paths_BT=paths_BT.to(device), first_n=torch.tensor(first, dtype=torch.long).to(device)))
    flat = (torch.tensor(values).to(device) for values in (token_ids, positions, learned, targets))
    token_ids_N, positions_N, learned_M, targets_M = flat
    return Packed(token_ids_N=token_ids_N, positions_N=positions_N, groups=tuple(groups), learned_M=learned_M, targets_M=targets_M)


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
