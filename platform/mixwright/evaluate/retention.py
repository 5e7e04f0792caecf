"""What a tuned model keeps: the negative log-likelihood of held-out generic responses, against the base model's.

What comes in: a causal LM (plain or PEFT, live in training or not) and generic rows. What goes out: nats a response token,
the end token included. `retention` is base minus tuned: 0 means that nothing was lost, below 0 that the tuned model finds the
responses less likely. Scoring given responses needs no decoding, so it is quick enough for every rung of a search, and far less
noisy than a score of generated text on so few rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixwright.errors import ScoreError
from mixwright.evaluate.intervals import FloatArray
from mixwright.generate.adapters import evaluating, forward
from mixwright.generate.padding import left_pad
from mixwright.prompts import Rendered, render
from mixwright.records import Example


@dataclass(frozen=True, kw_only=True)
class ResponseLoss:
    """Mean NLL over response tokens, nats a token, and over how many tokens."""

    nll: float
    tokens: int


class LossDifference:
    """Nats a token that were gained, as a metric for the bootstrap; statistics are (nats gained, tokens) a row."""

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """Gain of summed statistics; (..., 2) to (...)."""
        gains: FloatArray = totals[..., 0] / totals[..., 1]
        return gains


def response_nll(model: Any, tokenizer: Any, rows: Sequence[Example], batch_size: int = 8) -> float:
    """Mean NLL of the rows' first references, nats a token, through whatever is active in the model.

    Raises:
        ScoreError: no rows.
    """
    return _mean(example_losses(model, tokenizer, rows, batch_size)).nll


def example_losses(model: Any, tokenizer: Any, rows: Sequence[Example], batch_size: int = 8) -> FloatArray:
    """The same, row by row: summed NLL in nats, and response tokens; shape (rows, 2).

    Raises:
        ScoreError: no rows.
    """
    return _row_losses(model, tokenizer, [_rendered(tokenizer, row) for row in rows], batch_size, None)


def response_loss(
    model: Any, tokenizer: Any, rows: Sequence[Rendered], *, batch_size: int = 8, adapter: str | None = None
) -> ResponseLoss:
    """Mean NLL over all response tokens of `rows`, each token weighing the same.

    Args:
        adapter: of a PEFT model, `base` for none; None for whatever is active.

    Raises:
        ScoreError: no rows.
        ModelError: an adapter that the model does not hold.
    """
    return _mean(_row_losses(model, tokenizer, rows, batch_size, adapter))


def _mean(losses: FloatArray) -> ResponseLoss:
    nll, tokens = losses.sum(axis=0).tolist()
    return ResponseLoss(nll=nll / tokens, tokens=int(tokens))


def _row_losses(model: Any, tokenizer: Any, rows: Sequence[Rendered], batch_size: int, adapter: str | None) -> FloatArray:
    """Summed NLL and tokens of each row, in the order given; batches hold rows of like length."""
    if not rows:
        raise ScoreError("the response NLL needs at least one row, got 0; raise evaluation.retention_rows")
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index].token_ids))
    losses = np.array([[0.0, _response_length(row)] for row in rows])
    with evaluating(model):
        for start in range(0, len(rows), batch_size):
            batch = by_length[start : start + batch_size]
            losses[batch, 0] = _summed_nll(model, [rows[index] for index in batch], tokenizer.pad_token_id, adapter)
    return losses


def _summed_nll(model: Any, rows: Sequence[Rendered], pad_id: int, adapter: str | None) -> list[float]:
    """Of each row. Padded on the left, all responses end in the last column, so logits of the last columns alone cover them."""
    import torch

    batch = left_pad([row.token_ids for row in rows], pad_id, model.device)
    lengths_B = torch.tensor([_response_length(row) for row in rows], device=model.device)
    longest = int(lengths_B.max())
    logits_BRV = forward(
        model,
        None if adapter is None else [adapter] * len(rows),
        input_ids=batch.ids_BT,
        attention_mask=batch.mask_BT,
        position_ids=batch.positions_BT,
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits[:, :-1]
    from_end_R = torch.arange(longest, 0, -1, device=model.device)
    learned_BR = from_end_R[None, :] <= lengths_B[:, None]
    targets_BR = batch.ids_BT[:, -longest:]
    losses = torch.nn.functional.cross_entropy(logits_BRV[learned_BR].float(), targets_BR[learned_BR], reduction="none")
    sums_B = torch.zeros(len(rows), dtype=torch.float64, device=model.device)
    sums_B.index_add_(0, learned_BR.nonzero()[:, 0], losses.double())
    return [float(value) for value in sums_B]


def _response_length(row: Rendered) -> int:
    return len(row.token_ids) - row.prompt_length


def _rendered(tokenizer: Any, row: Example) -> Rendered:
    return render(tokenizer, row.instruction, row.text, row.references[0])
