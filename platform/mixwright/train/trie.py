"""The trie of rows that begin alike: what has to be computed of them."""

from __future__ import annotations

from collections.abc import Sequence


class Trie:
    """Nodes by their parent and token; numbers in the order of their making."""

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.positions: list[int] = []
        self._node_of: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.token_ids)

    def add(self, tokens: Sequence[int]) -> tuple[list[int], int]:
        """The tokens' nodes, and how many of them stood there before: past the first new one all are new."""
        path, before, node = [], len(self), -1
        for position, token in enumerate(tokens):
            child = self._node_of.setdefault((node, token), len(self.token_ids))
            if child == len(self.token_ids):
                self.token_ids.append(token)
                self.positions.append(position)
            path.append(child)
            node = child
        return path, sum(child < before for child in path)

    def new_nodes(self, tokens: Sequence[int]) -> int:
        """How many nodes `add` would make."""
        node = -1
        for position, token in enumerate(tokens):
            child = self._node_of.get((node, token))
            if child is None:
                return len(tokens) - position
            node = child
        return 0
