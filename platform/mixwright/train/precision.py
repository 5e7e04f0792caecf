"""bf16 or fp32, by a measurement: a CPU without bf16 instructions is slower in bf16 than in fp32.

What comes in: the setting (`auto`, or the user's word). What goes out: the precision that every trial of a run uses,
with the sentence that says why.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

from mixwright.config import TrainConfig
from mixwright.train.zero import Precision

SHAPE = (1024, 576, 1536)
"""Rows, inner width and columns of the product: a micro-batch of tokens through a small model's widest layer."""


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """What was chosen, and the reason in words."""

    precision: Precision
    reason: str


def choose_precision(train: TrainConfig) -> PrecisionChoice:
    """The user's precision, or the faster one on a product of the size that a small model's layers have.

    The measurement takes about a second on one core: seven products of (1024, 576) and (576, 1536) in each precision,
    in alternation, medians compared.
    """
    if train.precision != "auto":
        return PrecisionChoice(precision=train.precision, reason=f"{train.precision}, as configured")
    seconds = {"fp32": _median_seconds("fp32"), "bf16": _median_seconds("bf16")}
    ratio = seconds["fp32"] / seconds["bf16"]
    faster: Precision = "bf16" if ratio > 1.0 else "fp32"
    return PrecisionChoice(
        precision=faster, reason=f"{faster}: bf16 products run at {ratio:.2f} x the speed of fp32 here (measured)"
    )


def matmul_rate(precision: Precision) -> float:
    """Floating-point operations a second of that product, for estimates of time."""
    return 2 * math.prod(SHAPE) / _median_seconds(precision)


def _median_seconds(precision: Precision, rounds: int = 7) -> float:
    import torch

    rows, inner, columns = SHAPE

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.ones(rows, inner, dtype=dtype, device=device), torch.ones(inner, columns, dtype=dtype, device=device)
    left @ right  # the first product sets kernels up
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        product = left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        del product
    return statistics.median(seconds)
