"""The loop that takes a token at a time, greedily or by drawing: from prompts to new token ids, one batch at a time.

What comes in: rows of one model, each for an adapter of it, in evaluation mode and without gradients. What goes out: the
new tokens of each row, the end token left out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from mixwright.decoding import GREEDY, Decoding
from mixwright.generate.adapters import forward
from mixwright.generate.choosing import begin, next_tokens
from mixwright.generate.padding import common_prefix_length, left_pad


@dataclass(frozen=True, kw_only=True)
class Row:
    """One prompt of a batch."""

    prompt_ids: tuple[int, ...]
    adapter: str
    max_new_tokens: int
    decoding: Decoding = GREEDY


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What all prompts open with, read once: keys and values with one row an adapter."""

    length: int
    adapters: tuple[str, ...]
    cache: Any

    def for_rows(self, rows: Sequence[Row]) -> Any:
        """A cache of its own, its row i for `rows[i]`."""
        import torch

        cache = copy.deepcopy(self.cache)
        if self.length:
            cache.batch_select_indices(torch.tensor([self.adapters.index(row.adapter) for row in rows]))
        return cache


def read_prefix(model: Any, rows: Sequence[Row]) -> Prefix:
    """The common opening of all prompts, through each of their adapters; empty where it is not shared often enough to pay."""
    import torch
    from transformers import DynamicCache

    adapters = tuple(dict.fromkeys(row.adapter for row in rows))
    cache = DynamicCache(config=model.config)
    length = common_prefix_length([row.prompt_ids for row in rows])
    if len(rows) < 2 * len(adapters) or not length:
        return Prefix(length=0, adapters=adapters, cache=cache)
    ids = torch.tensor([rows[0].prompt_ids[:length]] * len(adapters), device=model.device)
    forward(model, adapters, input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Prefix(length=length, adapters=adapters, cache=cache)


def decode(model: Any, rows: Sequence[Row], prefix: Prefix, *, pad_id: int, end_ids: AbstractSet[int]) -> list[list[int]]:
    """New tokens of each row, up to its end token or its `max_new_tokens`.

    Rows that have ended leave the batch, so the last steps of a long answer do not pay for its neighbours.
    """
    import torch

    answers = [begin(row.decoding, row.prompt_ids) for row in rows]
    live = [index for index, row in enumerate(rows) if row.max_new_tokens > 0]
    cache = prefix.for_rows([rows[index] for index in live])
    batch = left_pad([rows[index].prompt_ids[prefix.length :] for index in live], pad_id, model.device)
    ids, positions = batch.ids_BT, batch.positions_BT + prefix.length
    mask = torch.cat([batch.mask_BT.new_ones(len(live), prefix.length), batch.mask_BT], dim=1)
    while live:
        step = forward(
            model,
            [rows[index].adapter for index in live],
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        ids = next_tokens(step.logits[:, -1], [answers[index] for index in live])
        tokens = ids[:, 0].tolist()
        going = [slot for slot, index in enumerate(live) if goes_on(answers[index].output, rows[index], tokens[slot], end_ids)]
        mask, positions = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1), positions[:, -1:] + 1
        if len(going) < len(live):
            kept = torch.tensor(going, dtype=torch.long, device=ids.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            live = [live[slot] for slot in going]
    return [answer.output for answer in answers]


def goes_on(output: list[int], row: Row, token: int, end_ids: AbstractSet[int]) -> bool:
    """Takes the token into the output, unless it ends it, and says whether the row needs another."""
    if token in end_ids:
        return False
    output.append(token)
    return len(output) < row.max_new_tokens
