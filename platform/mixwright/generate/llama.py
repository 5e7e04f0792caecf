"""Our own decoding pass through a LLaMA with any number of LoRA adapters, over the weights of the modules that hold them.

What comes in: a `Pass` and the cache that it writes and reads. What goes out: logits. The base's products are one for all rows, q,
k and v together, gate and up together, in the layout of the processor where that was measured to be sooner; each adapter adds its
low-rank part to its own stretch of tokens. For a model that is built otherwise transformers answers; `DecodingLlama.of` says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from mixwright.generate.cache import RowCache
from mixwright.generate.passes import Group, Pass
from mixwright.llama import Layer, Unfit, head_width, linear_modules, unfit
from mixwright.models import causal_lm
from mixwright.native import operators_for
from mixwright.prepacked import FrozenWeight, prepacked, stacked
from mixwright.records import BASE

RANKS_AT_ONCE = 16
"""Pairs are filled up with zeros to a multiple of it: numbers of a vector register."""
OWN_ATTENTION_WIDTHS = (64, 128)
"""Channels of a head that native.cpp has attention for."""
FIXED_ROTARY = ("default", "linear", "llama3", "yarn")
"""Kinds of rotary embedding whose angles hang on the position alone."""


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """What an adapter adds to one product: (x A') B', the scale within B."""

    inner_CR: torch.Tensor
    outer_RO: torch.Tensor
    blocks: tuple[int, ...]
    """Where `outer_RO` is not zero, four numbers a block: first rank, ranks, first output, outputs."""

    def add_to(self, y_NO: torch.Tensor, x_NC: torch.Tensor) -> None:
        """Adds it in place, in the adapter's dtype and rounded once, as PEFT does."""
        native = operators_for(y_NO)
        if native and self.inner_CR.dtype is torch.float32:
            native.add_low_rank_(y_NO, x_NC, self.inner_CR, self.outer_RO, self.blocks)
            return
        inner_NR = x_NC.to(self.inner_CR.dtype) @ self.inner_CR
        if inner_NR.dtype == y_NO.dtype:
            y_NO.addmm_(inner_NR, self.outer_RO)
        else:
            y_NO.add_(inner_NR @ self.outer_RO)


@dataclass(frozen=True, kw_only=True)
class Product:
    """Linear layers with the same input, as one."""

    weight: FrozenWeight
    low_rank: dict[str, LowRank] = field(default_factory=dict)

    def __call__(self, x_NC: torch.Tensor, adapters: Sequence[tuple[str, int, int]]) -> torch.Tensor:
        y_NO = self.weight.product(x_NC)
        for name, start, count in adapters:
            pair = self.low_rank.get(name)
            if pair is not None:
                pair.add_to(y_NO.narrow(0, start, count), x_NC.narrow(0, start, count))
        return y_NO


class DecodingLlama:
    """The pass. The base's weights must stay as they are; adapters may come, change and go, `read_adapters` follows them."""

    def __init__(self, model: Any, *, prepack: bool) -> None:
        self._causal = causal_lm(model)
        self._decoder = self._causal.get_decoder()
        config = self._causal.config
        # Held by themselves: an adapter that comes later may wrap the modules, and its rows go elsewhere.
        self._embedding_VC, self._norm_C = self._decoder.embed_tokens.weight, self._decoder.norm.weight
        self._epsilon: float = config.rms_norm_eps
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = head_width(config)
        self._layers = [Layer.of(module, partial(_product, prepack=prepack)) for module in self._decoder.layers]
        head = self._causal.lm_head.weight
        self._head = prepacked(head, head.detach(), gradients=False) if prepack else FrozenWeight(plain_OC=head.detach())

    @classmethod
    def of(cls, model: Any, *, prepack: bool = False) -> DecodingLlama | Unfit:
        """The pass for `model`, plain or a PEFT model, or the reason why there is none.

        Args:
            prepack: keep copies of frozen weights in the layout of their products.
        """
        causal = causal_lm(model)
        if reason := unfit(causal):
            return reason
        if (causal.config.rope_parameters or {}).get("rope_type", "default") not in FIXED_ROTARY:
            return Unfit(reason="its rotary embedding hangs on the length of the text")
        linear = [module for layer in causal.get_decoder().layers for product in linear_modules(layer) for module in product]
        if any(type(getattr(module, "base_layer", module)) is not nn.Linear for module in (*linear, causal.lm_head)):
            return Unfit(reason="its weights are quantised, or not plain linear layers")
        beside = {id(module) for module in linear}
        if any(id(module) not in beside for module in causal.modules() if hasattr(module, "base_layer")) or any(
            hasattr(module, "modules_to_save") for module in causal.modules()
        ):
            return Unfit(reason="more than its linear layers is adapted")
        if len({parameter.dtype for name, parameter in causal.named_parameters() if ".lora_" not in name}) > 1:
            return Unfit(reason="its weights are of several dtypes")
        return cls(model, prepack=prepack)

    def unfit_adapter(self, name: str) -> str | None:
        """Why rows of this adapter have to go through the modules; None where they need not."""
        from peft.tuners.lora import Linear

        if name == BASE:
            return None
        ours = {id(module) for _, modules in self._products() for module in modules}
        if any(id(module) not in ours and _adapted(module, name) for module in self._causal.modules()):
            return f"'{name}' adapts more than linear layers of attention and feed-forward blocks"
        for _, modules in self._products():
            for module in modules:
                if getattr(module, "merged", False):
                    return "an adapter is merged into the weights"
                if not hasattr(module, "base_layer"):
                    continue
                if type(module) is not Linear or name in module.lora_variant or module.lora_bias.get(name, False):
                    return f"'{name}' is not made of plain low-rank pairs"
        return None

    def read_adapters(self, names: Sequence[str]) -> None:
        """Takes these adapters' weights as they are now; others are forgotten."""
        for product, _ in self._products():
            product.low_rank.clear()
        for name in names:
            self.read_adapter(name)

    def read_adapter(self, name: str) -> None:
        """Takes one adapter's weights as they are now. Passes of others may run meanwhile, in another thread."""
        for product, modules in self._products():
            pair = _low_rank(modules, name)
            if pair is not None:
                product.low_rank[name] = pair

    def forget_adapter(self, name: str) -> None:
        """Lets go of one adapter's weights; no row of it may be in work."""
        for product, _ in self._products():
            product.low_rank.pop(name, None)

    def _products(self) -> Iterator[tuple[Product, tuple[Any, ...]]]:
        """Each product with its linear modules as they are now: PEFT wraps them when the first adapter comes."""
        for layer, module in zip(self._layers, self._decoder.layers, strict=True):
            yield from zip(layer.products, linear_modules(module), strict=True)

    @property
    def device(self) -> torch.device:
        return self._head.plain_OC.device

    @property
    def like(self) -> torch.Tensor:
        """Of the dtype and device of keys and values."""
        return self._head.plain_OC

    @property
    def has_own_attention(self) -> bool:
        """Whether attention needs no rectangles of rows."""
        return operators_for(self.like) is not None and self.width in OWN_ATTENTION_WIDTHS

    def new_cache(self, *, slots: int, length: int) -> RowCache:
        """An empty cache for this model."""
        return RowCache(len(self._layers), self.key_heads, self.width, slots=slots, length=length, like=self.like)

    def __call__(self, laid_out: Pass, cache: RowCache) -> torch.Tensor:
        """Logits (M, V); keys and values of all tokens are in the cache afterwards."""
        x_NC = nn.functional.embedding(laid_out.ids_N, self._embedding_VC)
        cos, sin = self._decoder.rotary_emb(x_NC[None], laid_out.positions_N[None])
        half = self.width // 2
        turning = cos[0, :, None], torch.cat([-sin[0, :, None, :half], sin[0, :, None, half:]], -1)
        for index, layer in enumerate(self._layers):
            normed_NC = _norm(x_NC, layer.attention_norm_C, self._epsilon)
            out_NC = self._attention(index, layer.q_k_v(normed_NC, laid_out.adapters), turning, laid_out, cache)
            x_NC = x_NC + layer.o(out_NC, laid_out.adapters)
            gate_up = layer.gate_up(_norm(x_NC, layer.mlp_norm_C, self._epsilon), laid_out.adapters)
            x_NC = x_NC + layer.down(_swiglu(gate_up), laid_out.adapters)
        if laid_out.wanted_M is not None:
            x_NC = x_NC[laid_out.wanted_M]
        return self._head.product(_norm(x_NC, self._norm_C, self._epsilon))

    def _attention(
        self, index: int, q_k_v_NO: torch.Tensor, turning: tuple[torch.Tensor, torch.Tensor], laid_out: Pass, cache: RowCache
    ) -> torch.Tensor:
        turned, v = q_k_v_NO.unflatten(1, (-1, self.width)).split([self.heads + self.key_heads, self.key_heads], 1)
        q, k = _rotate(turned, *turning).split([self.heads, self.key_heads], 1)
        if laid_out.sources is not None:
            k, v = k[laid_out.sources], v[laid_out.sources]
        cache.write(index, k.reshape(-1, self.width), v.reshape(-1, self.width), laid_out.places)
        if laid_out.outputs is None:
            attend = torch.ops.mixwright.attend
            out_NC: torch.Tensor = attend(q, *cache.layer(index), laid_out.slots_N, laid_out.positions_N, self.width**-0.5)
            return out_NC
        flat_q = q.reshape(-1, self.width)
        outputs = [self._attend(index, flat_q, group, cache) for group in laid_out.groups]
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs))[laid_out.outputs].view(len(q_k_v_NO), -1)

    def _attend(self, index: int, flat_q: torch.Tensor, group: Group, cache: RowCache) -> torch.Tensor:
        """Of a group's rows; the query heads of a key head stand one under the other, so that keys are read once."""
        k, v = cache.read(index, group.first, group.rows, group.length)
        q = flat_q[group.queries].view(group.rows, self.key_heads, -1, self.width)
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=group.mask, scale=self.width**-0.5)
        return out.reshape(-1, self.width)


def _adapted(module: Any, name: str) -> bool:
    """Whether this adapter has a part in this very module."""
    held = (getattr(module, part, None) for part in ("lora_A", "lora_embedding_A", "modules_to_save"))
    return any(name in part for part in held if isinstance(part, nn.ModuleDict | nn.ParameterDict))


def _norm(x_NC: torch.Tensor, weight_C: torch.Tensor, epsilon: float) -> torch.Tensor:
    """As transformers' LLaMA rounds it."""
    if native := operators_for(x_NC):
        y_NC: torch.Tensor = native.rms_norm(x_NC, weight_C, epsilon)[0]
        return y_NC
    wide_NC = x_NC.float()
    return (wide_NC * torch.rsqrt(wide_NC.pow(2).mean(-1, keepdim=True) + epsilon)).to(x_NC.dtype) * weight_C


def _swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    if native := operators_for(gate_up):
        out_NC: torch.Tensor = native.swiglu(gate_up)
        return out_NC
    gate, up = gate_up.chunk(2, -1)
    return nn.functional.silu(gate).mul_(up)


def _rotate(x_NHD: torch.Tensor, cos_N1D: torch.Tensor, signed_sin_N1D: torch.Tensor) -> torch.Tensor:
    """Rotary embedding as transformers' LLaMA rounds it; the sign of the turned half stands in the sine."""
    return x_NHD * cos_N1D + x_NHD.roll(x_NHD.shape[-1] // 2, -1) * signed_sin_N1D


def _product(modules: tuple[Any, ...], *, prepack: bool) -> Product:
    frozen = [getattr(module, "base_layer", module).weight for module in modules]
    whole = stacked(frozen)
    weight = prepacked(frozen[0], whole, gradients=False) if prepack else FrozenWeight(plain_OC=whole)
    return Product(weight=weight)


def _low_rank(modules: Sequence[Any], name: str) -> LowRank | None:
    """The adapter's pairs for modules that share their input: A side by side, B in blocks."""
    inner: list[torch.Tensor] = []
    outer: list[torch.Tensor | None] = []
    for module in modules:
        if name not in getattr(module, "lora_A", {}):
            outer.append(None)
            continue
        a_RC, b_OR = (getattr(module, side)[name].weight.detach() for side in ("lora_A", "lora_B"))
        inner.append(a_RC)
        outer.append(b_OR * module.scaling[name])
    if not inner:
        return None
    ranks = sum(map(len, inner))
    room = -ranks % RANKS_AT_ONCE
    outer_RO = inner[0].new_zeros(ranks + room, sum(_outputs(module) for module in modules))
    row = column = 0
    blocks: list[int] = []
    for module, b_OR in zip(modules, outer, strict=True):
        if b_OR is not None:
            outer_RO[row : row + b_OR.shape[1], column : column + len(b_OR)] = b_OR.t()
            blocks += [row, b_OR.shape[1], column, len(b_OR)]
            row += b_OR.shape[1]
        column += _outputs(module)
    inner_RC = torch.cat([*inner, inner[0].new_zeros(room, inner[0].shape[1])])
    return LowRank(inner_CR=inner_RC.t().contiguous(), outer_RO=outer_RO, blocks=tuple(blocks))


def _outputs(module: Any) -> int:
    return int(getattr(module, "base_layer", module).out_features)
