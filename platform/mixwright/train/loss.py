"""The response loss: cross-entropy summed over learned tokens, with logits at those positions alone.

Prompt and padding positions never meet the output matrix: with a vocabulary of 49,152 and a hidden size of 576 that
product is a fifth of a small model's work, and its fp32 logits are most of the memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mixwright.train.batches import IGNORED, Batch


class ResponseLoss(nn.Module):
    """Wraps a causal LM (plain or PEFT) so that the engine's forward pass is the loss itself."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> torch.Tensor:
        """Sum of the negative log-likelihood over the batch's learned tokens, nats, a scalar in fp32."""
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        # No cache: training reads none, and filling one would tell compiled layers apart by their numbers.
        hidden_BTC = causal.get_decoder()(
            input_ids=batch.input_ids_BT, attention_mask=batch.attention_mask_BT, use_cache=False
        ).last_hidden_state
        targets_BT = batch.labels_BT[:, 1:]
        learned_BT = targets_BT != IGNORED
        logits_NV = causal.get_output_embeddings()(hidden_BTC[:, :-1][learned_BT])
        return nn.functional.cross_entropy(logits_NV.float(), targets_BT[learned_BT], reduction="sum")
