"""The pieces of a LLaMA layer with hand-written backward passes: fewer passes over memory than autograd's own.

What comes in: activations of N tokens and frozen weights, some with LoRA pairs. What goes out: the same numbers as
transformers and PEFT give, with less kept for the backward pass: a product with its adapters keeps its input and the narrow
product alone, and a loss over a large vocabulary keeps no logits.

Legend: N tokens, C channels in, O channels out, R rank, V vocabulary, M learned tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mixwright.native import operators_for
from mixwright.prepacked import FrozenWeight

LOGITS_BYTES = 64 * 2**20
"""Of the fp32 logits that stand at a time in the loss."""


class AdaptedLinear(torch.autograd.Function):
    """Frozen products that share their input, some with a LoRA pair: y = x W' and, where one has a pair, + scale (x A') B'.

    `apply(x_NC, dropped_NC, weight, scale, spans, *pairs)`: `dropped_NC` is the adapters' input where it differs from x
    (dropout), else None; `weight` stacks the products; `pairs` is A_RC, B_OR of each adapted product, at least one, and
    `spans` says where its outputs stand: (first, width).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_NC: torch.Tensor,
        dropped_NC: torch.Tensor | None,
        weight: FrozenWeight,
        scale: float,
        spans: tuple[tuple[int, int], ...],
        *pairs: torch.Tensor,
    ) -> torch.Tensor:
        inner, outer = torch.cat(pairs[::2]), pairs[1::2]
        narrow_NR = (x_NC if dropped_NC is None else dropped_NC) @ inner.t()
        y_NO = weight.product(x_NC)
        for span, narrow, b in zip(spans, narrow_NR.chunk(len(outer), 1), outer, strict=True):
            y_NO.narrow(1, *span).addmm_(narrow, b.t(), alpha=scale)
        ctx.save_for_backward(x_NC, dropped_NC, narrow_NR, inner, *outer)
        ctx.weight, ctx.scale, ctx.spans = weight, scale, spans
        return y_NO

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (d_y_NO,) = gradients
        x_NC, dropped_NC, narrow_NR, inner, *outer = ctx.saved_tensors
        parts = [d_y_NO.narrow(1, *span) for span in ctx.spans]
        d_narrow_NR = torch.empty_like(narrow_NR)
        for d_narrow, d_y, b in zip(d_narrow_NR.chunk(len(outer), 1), parts, outer, strict=True):
            torch.mm(d_y, b, out=d_narrow)
        d_narrow_NR.mul_(ctx.scale)
        d_inner = (d_narrow_NR.t() @ (x_NC if dropped_NC is None else dropped_NC)).chunk(len(outer))
        d_outer = [(d_y.t() @ narrow).mul_(ctx.scale) for d_y, narrow in zip(parts, narrow_NR.chunk(len(outer), 1), strict=True)]
        d_x_NC = d_dropped_NC = None
        if ctx.needs_input_grad[0]:
            d_x_NC = ctx.weight.gradient(d_y_NO)
            if dropped_NC is None:
                d_x_NC.addmm_(d_narrow_NR, inner)
        if dropped_NC is not None and ctx.needs_input_grad[1]:
            d_dropped_NC = d_narrow_NR @ inner
        pairs = [gradient for pair in zip(d_inner, d_outer, strict=True) for gradient in pair]
        return d_x_NC, d_dropped_NC, None, None, None, *pairs


class SwiGlu(torch.autograd.Function):
    """silu(gate) x up (Shazeer 2020), where gate and up stand side by side: (N, 2 C) -> (N, C)."""

    @staticmethod
    def forward(ctx: Any, gate_up: torch.Tensor) -> torch.Tensor:
        if native := operators_for(gate_up):
            ctx.save_for_backward(gate_up, None)
            out: torch.Tensor = native.swiglu(gate_up)
            return out
        gate, up = gate_up.chunk(2, -1)
        activated = nn.functional.silu(gate)
        ctx.save_for_backward(gate_up, activated)
        return activated * up

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (d_out,) = gradients
        gate_up, activated = ctx.saved_tensors
        if activated is None:
            d_both: torch.Tensor = torch.ops.mixwright.swiglu_backward(d_out, gate_up)
            return d_both
        gate, up = gate_up.chunk(2, -1)
        d_gate_up = torch.empty_like(gate_up)
        d_gate, d_up = d_gate_up.chunk(2, -1)
        torch.mul(d_out, activated, out=d_up)
        d_gate.copy_(torch.ops.aten.silu_backward(d_out * up, gate))
        return d_gate_up


class RmsNorm(torch.autograd.Function):
    """x / rms(x) x weight (Zhang and Sennrich 2019), in fp32 within, as transformers' LLaMA has it; the weight is frozen."""

    @staticmethod
    def forward(ctx: Any, x_NC: torch.Tensor, weight_C: torch.Tensor, epsilon: float) -> torch.Tensor:
        if native := operators_for(x_NC):
            y_NC, normed_NC, inverse_N1 = native.rms_norm(x_NC, weight_C, epsilon)
            ctx.save_for_backward(normed_NC, weight_C, inverse_N1)
            return y_NC  # type: ignore[no-any-return]
        wide_NC = x_NC.float()
        inverse_N1 = torch.rsqrt(wide_NC.pow(2).mean(-1, keepdim=True) + epsilon)
        normed_NC = (wide_NC * inverse_N1).to(x_NC.dtype)
        ctx.save_for_backward(normed_NC, weight_C, inverse_N1)
        return normed_NC * weight_C

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_y_NC,) = gradients
        normed_NC, weight_C, inverse_N1 = ctx.saved_tensors
        if native := operators_for(d_y_NC):
            return native.rms_norm_backward(d_y_NC, normed_NC, weight_C, inverse_N1), None, None
        d_normed_NC, wide_NC = (d_y_NC * weight_C).float(), normed_NC.float()
        along_N1 = (d_normed_NC * wide_NC).mean(-1, keepdim=True)
        return d_normed_NC.addcmul_(wide_NC, along_N1, value=-1).mul_(inverse_N1).to(d_y_NC.dtype), None, None


class Rotary(torch.autograd.Function):
    """Rotary position embeddings (Su et al. 2021) in transformers' layout: the halves of a head turn against each other.

    `apply(x_NHD, cos_N1D, sin_N1D)`.
    """

    @staticmethod
    def forward(ctx: Any, x_NHD: torch.Tensor, cos_N1D: torch.Tensor, sin_N1D: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos_N1D, sin_N1D)
        return _turned(x_NHD, cos_N1D, sin_N1D, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_y_NHD,) = gradients
        cos_N1D, sin_N1D = ctx.saved_tensors
        return _turned(d_y_NHD, cos_N1D, sin_N1D, -1.0), None, None


def _turned(x_NHD: torch.Tensor, cos_N1D: torch.Tensor, sin_N1D: torch.Tensor, way: float) -> torch.Tensor:
    if native := operators_for(x_NHD):
        turned: torch.Tensor = native.rotate(x_NHD, cos_N1D, sin_N1D, way)
        return turned
    y_NHD, (left, right), (sin, _) = x_NHD * cos_N1D, x_NHD.chunk(2, -1), sin_N1D.chunk(2, -1)
    y_left, y_right = y_NHD.chunk(2, -1)
    y_left.addcmul_(right, sin, value=-way)
    y_right.addcmul_(left, sin, value=way)
    return y_NHD


class FrozenHeadLoss(torch.autograd.Function):
    """Summed cross-entropy over a frozen output matrix, in chunks: loss and gradient in one visit, logits thrown away."""

    @staticmethod
    def forward(ctx: Any, hidden_MC: torch.Tensor, weight_VC: torch.Tensor, targets_M: torch.Tensor) -> torch.Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=hidden_MC.device)
        d_hidden_MC = torch.empty_like(hidden_MC)
        size = chunk_size(weight_VC.shape[0])
        for hidden, targets, d_hidden in zip(hidden_MC.split(size), targets_M.split(size), d_hidden_MC.split(size), strict=True):
            logits = hidden @ weight_VC.t()
            if native := operators_for(logits):
                loss += native.cross_entropy_(logits, targets).sum()
                d_logits = logits
            else:
                log_p = torch.log_softmax(logits, -1, dtype=torch.float32)
                loss -= log_p.gather(1, targets[:, None]).sum()
                d_logits = log_p.exp_().scatter_add_(1, targets[:, None], log_p.new_full((len(targets), 1), -1.0))
            torch.mm(d_logits.to(weight_VC.dtype), weight_VC, out=d_hidden)
        ctx.save_for_backward(d_hidden_MC)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_loss,) = gradients
        (d_hidden_MC,) = ctx.saved_tensors
        return (d_hidden_MC.float() * d_loss).to(d_hidden_MC.dtype), None, None


def chunk_size(vocabulary: int) -> int:
    """Rows whose fp32 logits take `LOGITS_BYTES`, at least one."""
    return max(1, LOGITS_BYTES // (4 * vocabulary))
