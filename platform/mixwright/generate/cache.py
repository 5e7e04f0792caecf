"""Keys and values of rows that come and go: one allocation, a slot a row, and its tokens, by which a shared prefix is found.

What comes in: how many rows and tokens there may be. What goes out: views that attention reads without a copy. Rows in work stand
in the first slots, so a row that ends is replaced by the last one; what a slot held stays readable until another row takes it.

Legend: S slots, L tokens of a slot, G key heads, D channels a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


class RowCache:
    """Keys and values of all layers."""

    def __init__(self, layers: int, key_heads: int, width: int, *, slots: int, length: int, like: torch.Tensor) -> None:
        """Allocates; untouched pages cost nothing yet.

        Args:
            like: of the dtype and device that keys and values have.
        """
        self.slots, self.length, self.key_heads = slots, length, key_heads
        self._kv = like.new_zeros(layers, 2, slots, key_heads, length, width)
        self._flat = [tuple(side.view(-1, width) for side in layer) for layer in self._kv]
        self._tokens = np.full((slots, length), -1, dtype=np.int64)
        self._adapters = np.full(slots, "", dtype=object)

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor, places: torch.Tensor) -> None:
        """Keys and values (M, D) into `places`, as `places_of` numbers them."""
        flat_k, flat_v = self._flat[layer]
        flat_k.index_copy_(0, places, k)
        flat_v.index_copy_(0, places, v)

    def places_of(self, slots: Any, positions: Any) -> torch.Tensor:
        """Where the key heads of these tokens stand: (M * G,), token by token."""
        heads = np.arange(self.key_heads)
        places = ((np.asarray(slots)[:, None] * self.key_heads + heads) * self.length + np.asarray(positions)[:, None]).reshape(-1)
        return torch.from_numpy(places).to(self._kv.device)

    def read(self, layer: int, first: int, count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of `count` slots from `first`, (count, G, length, D) each."""
        k, v = self._kv[layer]
        return k[first : first + count, :, :length], v[first : first + count, :, :length]

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values of a layer, (S, G, L, D) each."""
        k, v = self._kv[index]
        return k, v

    def forget(self, adapter: str | None = None) -> None:
        """No slot holds anything to share; or none through this adapter."""
        self._adapters[slice(None) if adapter is None else self._adapters == adapter] = ""

    def remember(self, slot: int, adapter: str, tokens: Sequence[int]) -> None:
        """From now on the slot holds these tokens, through this adapter, from its start."""
        self._adapters[slot] = adapter
        self._tokens[slot] = -1
        self._tokens[slot, : len(tokens)] = tokens

    def longest_shared(self, adapter: str, tokens: Sequence[int]) -> tuple[int, int]:
        """The slot that shares most leading tokens with these, and how many; 0 where none does."""
        candidates = np.flatnonzero(self._adapters == adapter)
        if not len(candidates):
            return 0, 0
        width = min(len(tokens), self.length)
        alike = self._tokens[candidates, :width] == np.asarray(tokens[:width])
        shared = np.where(alike.all(1), width, alike.argmin(1))
        best = int(shared.argmax())
        return int(candidates[best]), int(shared[best])

    def copy(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """The first `length` tokens of slots into others; sources are read before any target is written."""
        found = self._kv[:, :, list(sources), :, :length]
        self._kv[:, :, list(targets), :, :length] = found

    def move(self, source: int, target: int, length: int) -> None:
        """A whole row into another slot; its first slot still holds it too."""
        self._kv[:, :, target, :, :length] = self._kv[:, :, source, :, :length]
        self._tokens[target], self._adapters[target] = self._tokens[source], self._adapters[source]
