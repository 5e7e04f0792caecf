"""Causal attention over packed rows, for our own LLaMA pass and, by transformers' registry, for every other model.

What comes in: queries, keys and values of the trie's nodes. What goes out: one output a node. Rows are laid out one under the
other, right-padded: causal masking then keeps every token to its own row, and no block mask is needed. Attention is the one
place with padding, and a few percent of the work.

Legend: as in packing.py, with H query heads, K key heads, G = H / K and D channels a head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mixwright.train.packing import Packed

IMPLEMENTATION = "mixwright_packed"


def packed_attention(q_NHD: torch.Tensor, k_NKD: torch.Tensor, v_NKD: torch.Tensor, packed: Packed, scale: float) -> torch.Tensor:
    """Attention output of each node, (N, H, D)."""
    if q_NHD.device.type == "cpu":
        return _CpuAttention.apply(q_NHD, k_NKD, v_NKD, packed.paths_BT, packed.first_N, scale)  # type: ignore[no-any-return,no-untyped-call]
    shape_BT, flat = packed.paths_BT.shape, packed.paths_BT.flatten()
    q_BHTD, k_BKTD, v_BKTD = (x[flat].unflatten(0, shape_BT).transpose(1, 2) for x in (q_NHD, k_NKD, v_NKD))
    out_BHTD = nn.functional.scaled_dot_product_attention(
        q_BHTD, k_BKTD, v_BKTD, is_causal=True, scale=scale, enable_gqa=q_NHD.shape[1] != k_NKD.shape[1]
    )
    return out_BHTD.transpose(1, 2).flatten(0, 1)[packed.first_N]


class _CpuAttention(torch.autograd.Function):
    """Batched matrix products with the query heads of a key head one under the other.

    torch's flash kernel for processors takes two to four times as long at the lengths of instruction data, most of it in the
    backward pass (measured at 80 to 512 tokens in bf16).
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_NHD: torch.Tensor,
        k_NKD: torch.Tensor,
        v_NKD: torch.Tensor,
        paths_BT: torch.Tensor,
        first_N: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        (rows, length), (_, heads, width), groups = paths_BT.shape, q_NHD.shape, k_NKD.shape[1]
        of_queries, of_keys = _laid_out(paths_BT, heads), _laid_out(paths_BT, groups)
        q = _heads_of(q_NHD, of_queries).view(rows * groups, -1, width)
        k, v = (_heads_of(x_NKD, of_keys).view(rows * groups, length, width) for x_NKD in (k_NKD, v_NKD))
        mask = q.new_full((length, length), -math.inf).triu_(1).repeat(heads // groups, 1)
        weights = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        of_nodes = (first_N // length * heads * length + first_N % length)[:, None] + torch.arange(0, heads * length, length)
        ctx.save_for_backward(q, k, v, weights, of_nodes, of_keys)
        ctx.scale = scale
        return (weights @ v).view(-1, width)[of_nodes.flatten()].view(-1, heads, width)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_out_NHD,) = gradients
        q, k, v, weights, of_nodes, of_keys = ctx.saved_tensors
        nodes, heads, width = d_out_NHD.shape
        d_out = torch.zeros_like(q).view(-1, width)
        d_out[of_nodes.flatten()] = d_out_NHD.reshape(-1, width)
        d_out = d_out.view(q.shape)
        d_scores = torch._softmax_backward_data(d_out @ v.transpose(1, 2), weights, -1, weights.dtype)
        # A node's query counts where it stands first; its key and value serve every row that runs through it.
        d_q_NHD = (d_scores @ k).view(-1, width)[of_nodes.flatten()].mul_(ctx.scale).view(nodes, heads, width)
        d_k, d_v = (d_scores.transpose(1, 2) @ q).mul_(ctx.scale), weights.transpose(1, 2) @ d_out
        groups = heads * k.shape[1] // q.shape[1]
        d_k_NKD, d_v_NKD = (_summed(gradient, of_keys, nodes, groups) for gradient in (d_k, d_v))
        return d_q_NHD, d_k_NKD, d_v_NKD, None, None, None


def _laid_out(paths_BT: torch.Tensor, heads: int) -> torch.Tensor:
    """Where, among (node, head), what stands at (row, head, token) is found; one dimension."""
    return (paths_BT[:, None, :] * heads + torch.arange(heads)[:, None]).flatten()


def _heads_of(x_NHD: torch.Tensor, laid_out: torch.Tensor) -> torch.Tensor:
    return x_NHD.reshape(-1, x_NHD.shape[-1])[laid_out]


def _summed(gradient: torch.Tensor, laid_out: torch.Tensor, nodes: int, heads: int) -> torch.Tensor:
    """A gradient a node, summed in fp32 over the rows that run through it."""
    width = gradient.shape[-1]
    summed = torch.zeros((nodes * heads, width), dtype=torch.float32)
    return summed.index_add_(0, laid_out, gradient.reshape(-1, width).float()).to(gradient.dtype).view(nodes, heads, width)


def _registered(module: nn.Module, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> tuple[Any, None]:
    """transformers' form of it: heads before nodes, a batch of one."""
    packed: Packed = kwargs["packed"]
    q_NHD, k_NKD, v_NKD = (x[0].transpose(0, 1) for x in (query, key, value))
    return packed_attention(q_NHD, k_NKD, v_NKD, packed, kwargs["scaling"])[None], None


@contextmanager
def packed_rows_seen_by(causal: Any) -> Iterator[None]:
    """A block in which the model's attention layers take `packed` rows; backward passes belong inside it too."""
    from transformers import AttentionInterface

    AttentionInterface.register(IMPLEMENTATION, _registered)
    before = causal.config._attn_implementation
    causal.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        causal.config._attn_implementation = before
