"""How likely a model finds given texts, token by token: for evaluators that compare given answers instead of decoding one.

What comes in: prompts as token ids. What goes out: for each token after the first its log-probability, and the likeliest tokens of
every position, the one after the end included. One pass over each prompt, no decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.generate.adapters import evaluating, forward
from mixwright.generate.padding import left_pad

MAX_POSITIONS = 2048
"""Tokens of one pass, padding included: their logits over the whole vocabulary stand in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """One prompt of n tokens as the model sees it."""

    logprobs: tuple[float, ...]
    """Of tokens 1 to n - 1, each given those before it; nats, n - 1 of them."""
    top: tuple[tuple[tuple[int, float], ...], ...]
    """The likeliest tokens and their log-probabilities for positions 1 to n, best first; n of them."""


def likelihoods(
    model: Any, prompts: Sequence[tuple[int, ...]], *, pad_id: int, top: int, adapter: str | None = None
) -> list[Likelihood]:
    """In the order of the prompts, none of which is empty.

    Args:
        top: how many of the likeliest tokens to tell, at least 1.
        adapter: of a PEFT model, `base` for none; None for whatever is active.

    Raises:
        ModelError: an adapter that the model does not hold.
    """
    found: dict[int, Likelihood] = {}
    with evaluating(model):
        for indices in _batches(prompts):
            rows = [prompts[index] for index in indices]
            found |= zip(indices, _of_batch(model, rows, pad_id, top, adapter), strict=True)
    return [found[index] for index in range(len(prompts))]


def _batches(prompts: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Indices of prompts of like length, so many that a pass holds no more than its positions; a longer prompt goes alone."""
    batch: list[int] = []
    for index in sorted(range(len(prompts)), key=lambda index: len(prompts[index])):
        if batch and (len(batch) + 1) * len(prompts[index]) > MAX_POSITIONS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _of_batch(model: Any, rows: Sequence[tuple[int, ...]], pad_id: int, top: int, adapter: str | None) -> Iterator[Likelihood]:
    batch = left_pad(rows, pad_id, model.device)
    adapters = None if adapter is None else [adapter] * len(rows)
    logits_BTV = forward(
        model,
        adapters,
        input_ids=batch.ids_BT,
        attention_mask=batch.mask_BT,
        position_ids=batch.positions_BT,
        use_cache=False,
    ).logits.float()
    total_BT = logits_BTV.logsumexp(-1)
    token_BT = logits_BTV[:, :-1].gather(-1, batch.ids_BT[:, 1:, None])[..., 0] - total_BT[:, :-1]
    best_BTK = logits_BTV.topk(top, dim=-1)
    values_BTK = best_BTK.values - total_BT[..., None]
    width = batch.ids_BT.shape[1]
    for index, row in enumerate(rows):
        start = width - len(row)
        pairs = zip(best_BTK.indices[index, start:].tolist(), values_BTK[index, start:].tolist(), strict=True)
        yield Likelihood(
            logprobs=tuple(token_BT[index, start:].tolist()),
            top=tuple(tuple(zip(ids, values, strict=True)) for ids, values in pairs),
        )
