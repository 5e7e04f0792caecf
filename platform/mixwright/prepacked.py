"""Frozen weights as larger products want them: stacked, and for processors in the layout of oneDNN's products.

What comes in: a frozen matrix. What goes out: the same products, sooner. A plain product lays its weights out anew each time, as
these do not know that the matrix stays; a frozen one can be laid out once, for the forward product and for the gradient of its
input. torch's inductor does the same when it freezes a model for inference. The price is memory: two copies more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch.utils.weak import WeakTensorKeyDictionary

TYPICAL_ROWS = 768
"""Of the activations that a layout is chosen for; any number goes through it."""
SEVERAL, ROUNDS = 8, 7
"""Matrices that take turns while the gain is measured, so that none stays in the cache, and measurements of each side."""


@dataclass(frozen=True, kw_only=True)
class FrozenWeight:
    """A matrix that is never learned."""

    plain_OC: torch.Tensor
    forward: torch.Tensor | None = None
    """Laid out for x W', and below for dy W; None: plain products."""
    backward: torch.Tensor | None = None

    def product(self, x_NC: torch.Tensor) -> torch.Tensor:
        """x W', (N, O)."""
        return x_NC @ self.plain_OC.t() if self.forward is None else _product(x_NC, self.forward)

    def gradient(self, d_y_NO: torch.Tensor) -> torch.Tensor:
        """dy W, (N, C)."""
        return d_y_NO @ self.plain_OC if self.backward is None else _product(d_y_NO, self.backward)


def available(precision: str, device: str) -> bool:
    """Whether this machine and this torch have such products."""
    return (
        device.startswith("cpu")
        and precision == "bf16"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


_LAID_OUT = WeakTensorKeyDictionary()
"""By the parameter that stands first in the matrix, with the address it had: trials that follow one another share the copies."""


def prepacked(owner: torch.nn.Parameter, weight_OC: torch.Tensor, *, gradients: bool = True) -> FrozenWeight:
    """The matrix with its copies, made once as long as `owner` lives and the matrix stays where it is.

    Args:
        gradients: False where the forward product alone is asked for; that saves a copy.
    """
    kept: tuple[int, FrozenWeight] | None = _LAID_OUT.get(owner)
    address, found = kept or (0, None)
    if found is None or address != weight_OC.data_ptr() or found.plain_OC.shape != weight_OC.shape:
        found = FrozenWeight(plain_OC=weight_OC, forward=_laid_out(weight_OC))
    if gradients and found.backward is None:
        found = replace(found, backward=_laid_out(weight_OC.t().contiguous()))
    _LAID_OUT[owner] = weight_OC.data_ptr(), found
    return found


def stacked(weights: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """The weights one under the other. They become views of what is returned, so nothing is held twice; called again on such
    views, it returns what they are views of.
    """
    first = weights[0]
    if len(weights) == 1:
        return first.detach()
    ends = [weight.data_ptr() + weight.numel() * weight.element_size() for weight in weights[:-1]]
    rows = sum(len(weight) for weight in weights)
    in_one = first.untyped_storage().data_ptr() == weights[-1].untyped_storage().data_ptr()
    if in_one and all(end == after.data_ptr() for end, after in zip(ends, weights[1:], strict=True)):
        return first.detach().as_strided((rows, first.shape[1]), (first.shape[1], 1))
    whole = torch.cat([weight.detach() for weight in weights])
    for weight, part in zip(weights, whole.split([len(weight) for weight in weights]), strict=True):
        weight.data = part
    return whole


def measure_gain(outputs: int, inputs: int) -> float:
    """How many times as fast the products of such a matrix are: forward and gradient, bf16, in a few hundredths of a second."""
    draw = torch.Generator().manual_seed(0)  # its own: a measurement must leave the random state of training alone
    plain = [FrozenWeight(plain_OC=torch.randn(outputs, inputs, generator=draw).bfloat16()) for _ in range(SEVERAL)]
    owners = [torch.nn.Parameter(one.plain_OC, requires_grad=False) for one in plain]
    laid_out = [prepacked(owner, owner.detach()) for owner in owners]
    x_NC = torch.randn(TYPICAL_ROWS, inputs, generator=draw).bfloat16()

    def seconds(weights: list[FrozenWeight]) -> float:
        started = time.perf_counter()
        for weight in weights:
            weight.gradient(weight.product(x_NC))
        return time.perf_counter() - started

    seconds(plain), seconds(laid_out)  # sets kernels up
    return median(seconds(plain) / seconds(laid_out) for _ in range(ROUNDS))


def _laid_out(weight_OC: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OC.contiguous(), TYPICAL_ROWS)
    return made


def _product(x_NC: torch.Tensor, laid_out: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x_NC, laid_out, None, "none", [], "")
    return y
