"""The response loss: cross-entropy summed over learned tokens, with logits at those positions alone, a chunk at a time.

Prompt positions never meet the output matrix: with a vocabulary of 49,152 and a hidden size of 576 that product is a fifth of a
small model's work, and its fp32 logits are most of the memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixwright.llama import Unfit
from mixwright.models import causal_lm
from mixwright.train.fused_llama import FusedLlama
from mixwright.train.kernels import FrozenHeadLoss, chunk_size
from mixwright.train.packing import Packed


class ResponseLoss(nn.Module):
    """Wraps a causal LM (plain or PEFT) so that the engine's forward pass is the loss itself."""

    def __init__(
        self, model: Any, *, adapter: str = "", fused: bool = True, recompute: bool = False, prepack: bool = False
    ) -> None:
        """
        Args:
            adapter: the one that is trained; unread where the whole model is.
            fused: take our own pass where the model allows it; False where its weights will be sharded.
            recompute: activation checkpointing.
            prepack: our own pass keeps copies of frozen weights in the layout of their products.
        """
        super().__init__()
        self.model = model
        self._recompute = recompute
        found = FusedLlama.of(model, adapter, prepack=prepack) if fused else Unfit(reason="it was not asked for")
        self._fused = found if isinstance(found, FusedLlama) else None
        self.way = "fused LLaMA pass" if isinstance(found, FusedLlama) else f"the model's own modules, since {found.reason}"
        if recompute and self._fused is None:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model.enable_input_require_grads()

    def forward(self, packed: Packed) -> torch.Tensor:
        """Sum of the negative log-likelihood over the learned tokens, nats, a scalar in fp32."""
        causal = causal_lm(self.model)
        hidden_MC = self._hidden(causal, packed)
        head = causal.get_output_embeddings()
        if self._fused and isinstance(head, nn.Linear) and head.bias is None:
            return FrozenHeadLoss.apply(hidden_MC, head.weight, packed.targets_M)
        size = chunk_size(causal.config.vocab_size)
        chunks = zip(hidden_MC.split(size), packed.targets_M.split(size), strict=True)
        return torch.stack([checkpoint(_chunk_loss, head, *chunk, use_reentrant=False) for chunk in chunks]).sum()

    def _hidden(self, causal: Any, packed: Packed) -> torch.Tensor:
        if self._fused:
            return self._fused(packed, recompute=self._recompute)
        ignored = torch.empty((1, 1, 1, 1), device=packed.token_ids_N.device)  # a mask of four dimensions is taken as it is
        hidden_1NC = causal.get_decoder()(
            input_ids=packed.token_ids_N[None],
            position_ids=packed.positions_N[None],
            attention_mask=ignored,
            use_cache=False,
            packed=packed,
        ).last_hidden_state
        return hidden_1NC[0, packed.learned_M]  # type: ignore[no-any-return]


def _chunk_loss(head: Any, hidden_MC: torch.Tensor, targets_M: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(head(hidden_MC).float(), targets_M, reduction="sum")
