"""bf16 or fp32, by a measurement: a CPU without bf16 instructions is slower in bf16 than in fp32.

What comes in: the setting (`auto`, or the user's word). What goes out: the precision that every trial of a run uses,
with the sentence that says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixwright.config import TrainConfig
from mixwright.train.hardware import peak_flops
from mixwright.train.zero import Precision


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """What was chosen, and the reason in words."""

    precision: Precision
    reason: str


def choose_precision(train: TrainConfig, device: str | None = None) -> PrecisionChoice:
    """The user's precision, or the one whose matrix products are faster here.

    Args:
        device: where training will run; None: the first GPU, else the CPU.
    """
    if train.precision != "auto":
        return PrecisionChoice(precision=train.precision, reason=f"{train.precision}, as configured")
    device = device or default_device()
    ratio = peak_flops("bf16", device) / peak_flops("fp32", device)
    faster: Precision = "bf16" if ratio > 1.0 else "fp32"
    return PrecisionChoice(
        precision=faster, reason=f"{faster}: bf16 products run at {ratio:.2f} x the speed of fp32 here (measured)"
    )


def default_device() -> str:
    """This process's GPU where it has one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
