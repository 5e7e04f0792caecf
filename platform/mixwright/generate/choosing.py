"""Which token comes next: the likeliest one, or one that is drawn; with the field's own definitions, transformers' processors.

What comes in: logits of a batch's last position and the answers so far. What goes out: a token for each. A row's token is a
function of its own logits, settings and prompt alone: neighbours, padding and device leave it as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from mixwright.decoding import Decoding
from mixwright.generate.padding import left_pad

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer in the making."""

    decoding: Decoding
    prompt_ids: tuple[int, ...]
    random: Random
    """Gives a number a token where tokens are drawn."""
    output: list[int] = field(default_factory=list)
    """Grows."""


def begin(decoding: Decoding, prompt_ids: tuple[int, ...]) -> Answer:
    """An empty answer, whose draws hang on seed and prompt: asked again, or through another adapter, it meets the same ones."""
    return Answer(decoding=decoding, prompt_ids=prompt_ids, random=Random(_child_seed(decoding.seed, prompt_ids)))


def _child_seed(seed: int, prompt_ids: tuple[int, ...]) -> int:
    digest = hashlib.blake2b(f"sampling|{seed}|{' '.join(map(str, prompt_ids))}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def next_tokens(logits: torch.Tensor, answers: Sequence[Answer]) -> torch.Tensor:
    """One token id a row, shape (B, 1), from logits of shape (B, V)."""
    tokens_B1 = logits.argmax(-1, keepdim=True)
    for decoding, slots in _by_decoding(answers).items():
        chosen = [answers[slot] for slot in slots]
        if decoding.repetition_penalty != 1.0 or decoding.temperature > 0:
            scores = _penalised(logits[slots].float(), chosen, decoding.repetition_penalty)
            tokens_B1[slots] = _drawn(scores, chosen, decoding) if decoding.temperature > 0 else scores.argmax(-1, keepdim=True)
    return tokens_B1


def _by_decoding(answers: Sequence[Answer]) -> dict[Decoding, list[int]]:
    groups: dict[Decoding, list[int]] = {}
    for slot, answer in enumerate(answers):
        groups.setdefault(answer.decoding, []).append(slot)
    return groups


@dataclass(frozen=True, kw_only=True)
class RowPenalty:
    """transformers' repetition penalty for rows of unlike length, a processor of logits like it."""

    penalty: float
    padding_B: torch.Tensor
    """Leading places of each row that hold none of its tokens."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, V) after the penalty on all that the rows of `input_ids` (B, T) say."""
        import torch
        from transformers import RepetitionPenaltyLogitsProcessor

        # Padding is often the end token. What is said twice is penalised once, so the row's last token stands in for it.
        is_padding_BT = torch.arange(input_ids.shape[1], device=input_ids.device) < self.padding_B[:, None]
        said_BT = torch.where(is_padding_BT, input_ids[:, -1:], input_ids)
        penalised: torch.Tensor = RepetitionPenaltyLogitsProcessor(self.penalty)(said_BT, scores)
        return penalised


def _penalised(scores: torch.Tensor, answers: Sequence[Answer], penalty: float) -> torch.Tensor:
    """After the penalty on tokens of prompt and answer."""
    if penalty == 1.0:
        return scores
    said = left_pad([(*answer.prompt_ids, *answer.output) for answer in answers], 0, scores.device)
    return RowPenalty(penalty=penalty, padding_B=said.padding)(said.ids_BT, scores)


def _drawn(scores: torch.Tensor, answers: Sequence[Answer], decoding: Decoding) -> torch.Tensor:
    """The token in whose stretch of the cumulative distribution the answer's own random number falls."""
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    warpers = LogitsProcessorList([TemperatureLogitsWarper(decoding.temperature)])
    if decoding.top_k:
        warpers.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1.0:
        warpers.append(TopPLogitsWarper(decoding.top_p))
    said: Any = torch.empty(0)  # none of these looks at the tokens so far
    cumulative_BV = warpers(said, scores).softmax(-1, dtype=torch.float64).cumsum(-1)
    numbers = [answer.random.random() for answer in answers]
    at_B1 = torch.tensor(numbers, dtype=torch.float64, device=scores.device)[:, None] * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, at_B1, right=True).clamp(max=scores.shape[-1] - 1)
