"""How a LLaMA is built, as our own passes through it see it: which products share their input, and what keeps a model out.

What comes in: transformers' modules. What goes out: the same weights in the order in which a pass meets them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import torch

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """Why a model has to go through its own modules."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Layer(Generic[P]):
    """One decoder layer: its norms, and its products, of which those with the same input are one."""

    attention_norm_C: torch.Tensor
    q_k_v: P
    o: P
    mlp_norm_C: torch.Tensor
    gate_up: P
    down: P

    @classmethod
    def of(cls, module: Any, product: Callable[[tuple[Any, ...]], P]) -> Layer[P]:
        """The layer of a `LlamaDecoderLayer`.

        Args:
            product: what linear modules with the same input become.
        """
        q_k_v, o, gate_up, down = map(product, linear_modules(module))
        return cls(
            attention_norm_C=module.input_layernorm.weight.detach(),
            q_k_v=q_k_v,
            o=o,
            mlp_norm_C=module.post_attention_layernorm.weight.detach(),
            gate_up=gate_up,
            down=down,
        )

    @property
    def products(self) -> tuple[P, P, P, P]:
        """In the order of `linear_modules`."""
        return self.q_k_v, self.o, self.gate_up, self.down


def linear_modules(layer: Any) -> tuple[tuple[Any, ...], ...]:
    """The linear modules of a `LlamaDecoderLayer`, those with the same input together."""
    attention, mlp = layer.self_attn, layer.mlp
    q_k_v = attention.q_proj, attention.k_proj, attention.v_proj
    return q_k_v, (attention.o_proj,), (mlp.gate_proj, mlp.up_proj), (mlp.down_proj,)


def head_width(config: Any) -> int:
    """Channels of an attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def unfit(causal: Any) -> Unfit | None:
    """What keeps a causal LM, without the PEFT model around it, out of any pass of ours; None: it is a LLaMA, and whole."""
    config = causal.config
    if type(causal).__name__ != "LlamaForCausalLM" or config.hidden_act != "silu" or config.attention_bias or config.mlp_bias:
        return Unfit(reason=f"{type(causal).__name__} is not built as LLaMA is")
    if any(parameter.numel() == 0 for parameter in causal.parameters()):
        return Unfit(reason="its weights are sharded")
    return None
