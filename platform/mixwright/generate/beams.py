"""Beam search, as transformers defines it, for rows of several adapters together.

What comes in: rows that share their decoding and limit, in evaluation mode and without gradients. What goes out: as from
`decoding.decode`. A model's own generation settings are overruled, so that an answer is what its record says.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from mixwright.generate.adapters import generate
from mixwright.generate.choosing import RowPenalty
from mixwright.generate.decoding import Row
from mixwright.generate.padding import left_pad


def search(model: Any, rows: Sequence[Row], *, pad_id: int, end_ids: AbstractSet[int]) -> list[list[int]]:
    """New tokens of each row's best hypothesis, the end token left out."""
    from transformers import LogitsProcessorList

    (decoding,) = {row.decoding for row in rows}
    (max_new_tokens,) = {row.max_new_tokens for row in rows}
    if max_new_tokens < 1:
        return [[] for _ in rows]
    batch = left_pad([row.prompt_ids for row in rows], pad_id, model.device)
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1.0:
        # As a setting of `generate` it would also meet the padding, which is often the end token.
        padding = batch.padding.repeat_interleave(decoding.num_beams)
        processors.append(RowPenalty(penalty=decoding.repetition_penalty, padding_B=padding))
    sequences = generate(
        model,
        [row.adapter for row in rows],
        input_ids=batch.ids_BT,
        attention_mask=batch.mask_BT,
        logits_processor=processors,
        num_beams=decoding.num_beams,
        length_penalty=decoding.length_penalty,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(end_ids),
        pad_token_id=pad_id,
        do_sample=False,
        early_stopping=False,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_length=0,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
    )
    return [_until_end(sequence, end_ids) for sequence in sequences[:, batch.ids_BT.shape[1] :].tolist()]


def _until_end(tokens: Sequence[int], end_ids: AbstractSet[int]) -> list[int]:
    end = next((index for index, token in enumerate(tokens) if token in end_ids), len(tokens))
    return list(tokens[:end])
