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

from mixwright.native import operators_for
from mixwright.train.packing import Packed, RowGroup

IMPLEMENTATION = "mixwright_packed"


def packed_attention(q_NHD: torch.Tensor, k_NKD: torch.Tensor, v_NKD: torch.Tensor, packed: Packed, scale: float) -> torch.Tensor:
    """Attention output of each node, (N, H, D)."""
    if q_NHD.device.type == "cpu":
        return _CpuAttention.apply(q_NHD, k_NKD, v_NKD, packed.groups, scale)  # type: ignore[no-any-return,no-untyped-call]
    return torch.cat([_torch_attention(q_NHD, k_NKD, v_NKD, group, scale) for group in packed.groups])


def _torch_attention(q_NHD: torch.Tensor, k_NKD: torch.Tensor, v_NKD: torch.Tensor, group: RowGroup, scale: float) -> torch.Tensor:
    """torch's own, with its flash kernels: the outputs of the group's new nodes."""
    shape_BT, flat = group.paths_BT.shape, group.paths_BT.flatten()
    q_BHTD, k_BKTD, v_BKTD = (x[flat].unflatten(0, shape_BT).transpose(1, 2) for x in (q_NHD, k_NKD, v_NKD))
    out_BHTD = nn.functional.scaled_dot_product_attention(
        q_BHTD, k_BKTD, v_BKTD, is_causal=True, scale=scale, enable_gqa=q_NHD.shape[1] != k_NKD.shape[1]
    )
    return out_BHTD.transpose(1, 2)[:, group.known :].flatten(0, 1)[group.first_n]


class _CpuAttention(torch.autograd.Function):
    """Batched matrix products with the query heads of a key head one under the other, group by group.

    torch's flash kernel for processors takes two to four times as long at the lengths of instruction data, most of it in the
    backward pass (measured at 80 to 512 tokens in bf16).
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_NHD: torch.Tensor,
        k_NKD: torch.Tensor,
        v_NKD: torch.Tensor,
        groups: tuple[RowGroup, ...],
        scale: float,
    ) -> torch.Tensor:
        (_, heads, width), key_heads = q_NHD.shape, k_NKD.shape[1]
        outputs, saved = [], []
        for group in groups:
            rows, length = group.paths_BT.shape
            q = _heads_of(q_NHD, _laid_out(group, heads, group.known)).view(rows * key_heads, -1, width)
            k, v = (_heads_of(x_NKD, _laid_out(group, key_heads)).view(rows * key_heads, length, width) for x_NKD in (k_NKD, v_NKD))
            weights = _weights(q, k, group.known, length - group.known, scale)
            outputs.append((weights @ v).view(-1, width)[_of_new_nodes(group, heads)])
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.groups, ctx.scale, ctx.key_shape = groups, scale, k_NKD.shape
        return torch.cat(outputs).view(-1, heads, width)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_out_NHD,) = gradients
        (_, heads, width), (nodes, key_heads, _) = d_out_NHD.shape, ctx.key_shape
        saved, parts = ctx.saved_tensors, d_out_NHD.split([len(group.first_n) for group in ctx.groups])
        # A node's query counts where it stands first; its key and value serve every row that runs through it, summed in fp32.
        d_q = []
        d_k_flat, d_v_flat = torch.zeros((2, nodes * key_heads, width), dtype=torch.float32)
        for group, d_new, (q, k, v, weights) in zip(ctx.groups, parts, zip(*[iter(saved)] * 4, strict=True), strict=True):
            of_new, of_keys = _of_new_nodes(group, heads), _laid_out(group, key_heads)
            d_out = torch.zeros_like(q).view(-1, width)
            d_out[of_new] = d_new.reshape(-1, width)
            d_out = d_out.view(q.shape)
            d_scores = torch._softmax_backward_data(d_out @ v.transpose(1, 2), weights, -1, weights.dtype)
            d_q.append((d_scores @ k).view(-1, width)[of_new])
            d_k_flat.index_add_(0, of_keys, (d_scores.transpose(1, 2) @ q).view(-1, width).float())
            d_v_flat.index_add_(0, of_keys, (weights.transpose(1, 2) @ d_out).view(-1, width).float())
        d_q_NHD = torch.cat(d_q).mul_(ctx.scale).view(d_out_NHD.shape)
        d_k_NKD, d_v_NKD = (flat.to(d_out_NHD.dtype).view(ctx.key_shape) for flat in (d_k_flat.mul_(ctx.scale), d_v_flat))
        return d_q_NHD, d_k_NKD, d_v_NKD, None, None


def _weights(q: torch.Tensor, k: torch.Tensor, known: int, queries: int, scale: float) -> torch.Tensor:
    """What each query gives to each key: query i of a head, of its `queries`, looks at keys 0 to known + i."""
    if native := operators_for(q):
        weights = q @ k.transpose(1, 2)
        native.causal_softmax_(weights, scale, known, queries)
        return weights
    mask = q.new_full((queries, known + queries), -math.inf).triu_(1 + known).repeat(q.shape[1] // queries, 1)
    return torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale).softmax(-1)


def _laid_out(group: RowGroup, heads: int, first: int = 0) -> torch.Tensor:
    """Where, among (node, head), what stands at (row, head, token) is found, from token `first` on; one dimension."""
    key = (f"from {first}", heads)
    if key not in group.laid_out:
        group.laid_out[key] = (group.paths_BT[:, None, first:] * heads + torch.arange(heads)[:, None]).flatten()
    found: torch.Tensor = group.laid_out[key]
    return found


def _of_new_nodes(group: RowGroup, heads: int) -> torch.Tensor:
    """Where, among (row, head, token), what belongs to (new node, head) is found; one dimension."""
    key = ("new nodes", heads)
    if key not in group.laid_out:
        length = group.paths_BT.shape[1] - group.known
        starts_n = group.first_n // length * heads * length + group.first_n % length
        group.laid_out[key] = (starts_n[:, None] + torch.arange(0, heads * length, length)).flatten()
    found: torch.Tensor = group.laid_out[key]
    return found


def _heads_of(x_NHD: torch.Tensor, laid_out: torch.Tensor) -> torch.Tensor:
    return x_NHD.reshape(-1, x_NHD.shape[-1])[laid_out]


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
