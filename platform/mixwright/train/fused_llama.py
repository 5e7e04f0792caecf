"""Our own pass through a LLaMA with LoRA adapters, over the weights of the transformers and PEFT modules that hold them.

What comes in: the PEFT model and `Packed` rows. What goes out: hidden states of the learned tokens. It gives what the modules
give, in fewer and larger steps: q, k and v are one product, gate and up another, adapters are part of the product they adapt,
and the last layer works on the learned tokens alone. It reads weights directly, so a model whose weights are sharded (ZeRO-3),
quantised, trained themselves or not LLaMA's goes through its own modules instead; `FusedLlama.of` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixwright.llama import Layer, Unfit, head_width, unfit
from mixwright.prepacked import FrozenWeight, prepacked, stacked
from mixwright.train.attention import packed_attention
from mixwright.train.kernels import AdaptedLinear, RmsNorm, Rotary, SwiGlu
from mixwright.train.packing import Packed


@dataclass(frozen=True, kw_only=True)
class Product:
    """Linear layers with the same input, as one; some or all have adapters."""

    weight: FrozenWeight
    """The frozen weights one under the other; the layers' own weights are views of it."""
    layers: tuple[Any, ...]
    """PEFT's LoRA layers among them."""
    spans: tuple[tuple[int, int], ...]
    """First output and width of each of `layers`."""
    adapter: str

    def __call__(self, x_NC: torch.Tensor) -> torch.Tensor:
        if not self.layers:
            return nn.functional.linear(x_NC, self.weight.plain_OC)
        dropout = self.layers[0].lora_dropout[self.adapter]
        # One draw for layers that share their input, where PEFT draws for each: another stream of the same distribution.
        dropped_NC = dropout(x_NC) if isinstance(dropout, nn.Dropout) and dropout.training else None
        pairs = [getattr(layer, side)[self.adapter].weight.to(x_NC.dtype) for layer in self.layers for side in ("lora_A", "lora_B")]
        scale = self.layers[0].scaling[self.adapter]
        return AdaptedLinear.apply(x_NC, dropped_NC, self.weight, scale, self.spans, *pairs)  # type: ignore[no-any-return,no-untyped-call]


class FusedLlama:
    """The pass; made anew for each trial's adapter, on weights that stay."""

    def __init__(self, causal: Any, adapter: str, *, prepack: bool) -> None:
        self._decoder = causal.get_decoder()
        config = causal.config
        self._epsilon: float = config.rms_norm_eps
        self._heads, self._groups = config.num_attention_heads, config.num_key_value_heads
        self._width = head_width(config)
        product = partial(_product, adapter=adapter, prepack=prepack)
        self._layers = [Layer.of(module, product) for module in self._decoder.layers]

    @classmethod
    def of(cls, model: Any, adapter: str, *, prepack: bool = False) -> FusedLlama | Unfit:
        """The pass for `model`, or the reason why there is none.

        Args:
            prepack: keep copies of frozen weights in the layout of their products.
        """
        from peft import PeftModel
        from peft.tuners.lora import Linear

        if not isinstance(model, PeftModel):
            return Unfit(reason="the whole model is tuned")
        causal: Any = model.get_base_model()
        if reason := unfit(causal):
            return reason
        adapted = [module for module in causal.modules() if hasattr(module, "lora_A")]
        if any(type(module) is not Linear or module.lora_variant or type(module.base_layer) is not nn.Linear for module in adapted):
            return Unfit(reason="its adapters are not plain low-rank pairs on plain weights")
        if any(parameter.requires_grad and ".lora_" not in name for name, parameter in model.named_parameters()):
            return Unfit(reason="more than adapters is tuned")
        return cls(causal, adapter, prepack=prepack)

    def __call__(self, packed: Packed, *, recompute: bool) -> torch.Tensor:
        """Hidden states after the last norm, (M, C), of the nodes that predict a learned token.

        Args:
            recompute: keep each layer's input alone and compute the rest again in the backward pass.
        """
        x_NC = self._decoder.embed_tokens(packed.token_ids_N)
        cos_1ND, sin_1ND = self._decoder.rotary_emb(x_NC[None], packed.positions_N[None])
        rotary = (cos_1ND[0, :, None], sin_1ND[0, :, None])
        for index, layer in enumerate(self._layers):
            only_M = packed.learned_M if index == len(self._layers) - 1 else None
            if recompute:
                x_NC = checkpoint(self._through, layer, x_NC, rotary, packed, only_M, use_reentrant=False)
            else:
                x_NC = self._through(layer, x_NC, rotary, packed, only_M)
        return _norm(x_NC, self._decoder.norm.weight, self._epsilon)

    def _through(
        self, layer: Layer[Product], x_NC: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], packed: Packed, only_M: Any
    ) -> torch.Tensor:
        q_k_v_NO = layer.q_k_v(_norm(x_NC, layer.attention_norm_C, self._epsilon)).unflatten(1, (-1, self._width))
        turned, v_NKD = q_k_v_NO.split([self._heads + self._groups, self._groups], 1)
        q_NHD, k_NKD = _rotate(turned, *rotary).split([self._heads, self._groups], 1)
        out_NC = packed_attention(q_NHD, k_NKD, v_NKD, packed, self._width**-0.5).flatten(1)
        if only_M is not None:
            x_NC, out_NC = x_NC[only_M], out_NC[only_M]
        x_NC = x_NC + layer.o(out_NC)
        return x_NC + layer.down(_swiglu(layer.gate_up(_norm(x_NC, layer.mlp_norm_C, self._epsilon))))


def _norm(x_NC: torch.Tensor, weight_C: torch.Tensor, epsilon: float) -> torch.Tensor:
    return RmsNorm.apply(x_NC, weight_C, epsilon)  # type: ignore[no-any-return,no-untyped-call]


def _swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    return SwiGlu.apply(gate_up)  # type: ignore[no-any-return,no-untyped-call]


def _rotate(x_NHD: torch.Tensor, cos_N1D: torch.Tensor, sin_N1D: torch.Tensor) -> torch.Tensor:
    return Rotary.apply(x_NHD, cos_N1D, sin_N1D)  # type: ignore[no-any-return,no-untyped-call]


def _product(modules: Sequence[Any], *, adapter: str, prepack: bool) -> Product:
    frozen = [getattr(module, "base_layer", module).weight for module in modules]
    starts = [sum(len(weight) for weight in frozen[:index]) for index in range(len(frozen))]
    adapted = [index for index, module in enumerate(modules) if adapter in getattr(module, "lora_A", {})]
    whole = stacked(frozen)
    return Product(
        weight=prepacked(frozen[0], whole) if prepack and adapted else FrozenWeight(plain_OC=whole),
        layers=tuple(modules[index] for index in adapted),
        spans=tuple((starts[index], len(frozen[index])) for index in adapted),
        adapter=adapter,
    )
