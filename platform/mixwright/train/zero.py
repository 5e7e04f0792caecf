"""Typed settings -> DeepSpeed's configuration, and the few ZeRO facts that the rest of training must know.

What comes in: a `TrainConfig`, the precision that was chosen, and the number of workers. What goes out: the dictionary
for `deepspeed.initialize`. DeepSpeed's own optimisers are not used: on a CPU they compile for a minute, and torch's
AdamW gives the same update.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from mixwright.config import TrainConfig
from mixwright.errors import HardwareError
from mixwright.native import use_own_compiler
from mixwright.train.plain import PlainEngine
from mixwright.train.swap_folder import own_folder

logger = logging.getLogger(__name__)

Precision = Literal["bf16", "fp32"]


def deepspeed_config(train: TrainConfig, precision: Precision, world_size: int) -> dict[str, Any]:
    """What `deepspeed.initialize` takes; every value is ours or DeepSpeed's default, nothing is read from a file."""
    return {
        # The loop cuts passes by tokens and says itself where a step ends; DeepSpeed only has to find its own sum right.
        "train_micro_batch_size_per_gpu": train.micro_batch_size * train.gradient_accumulation,
        "gradient_accumulation_steps": 1,
        "train_batch_size": train.micro_batch_size * train.gradient_accumulation * world_size,
        "gradient_clipping": train.max_grad_norm,
        "bf16": {"enabled": precision == "bf16"},
        "zero_optimization": _zero_section(effective_stage(train, precision)) | _offload_section(train),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
        "wall_clock_breakdown": False,
    }


def effective_stage(train: TrainConfig, precision: Precision) -> int:
    """The ZeRO stage that runs: the configured one, but 1 instead of 0 in bf16.

    At stage 0 DeepSpeed 0.19 puts bf16 weights under its fp16 optimiser, whose losses differ from every other stage; stage 1
    keeps proper fp32 masters and is the same thing on one worker.
    """
    return 1 if precision == "bf16" and train.zero_stage == 0 else train.zero_stage


def _zero_section(stage: int) -> dict[str, Any]:
    section: dict[str, Any] = {"stage": stage}
    if stage >= 2:
        # The default buckets of 500 M elements are allocated whole, far more than an adapter has.
        section |= {"reduce_bucket_size": 5_000_000, "allgather_bucket_size": 5_000_000}
    if stage == 3:
        section |= {
            "stage3_prefetch_bucket_size": 5_000_000,
            # Adapter matrices are small: gathering each alone would cost a message apiece.
            "stage3_param_persistence_threshold": 10_000,
        }
    return section


def _offload_section(train: TrainConfig) -> dict[str, Any]:
    """What leaves the worker's device; without a GPU there is nothing to leave, and pinned memory has no sense."""
    import torch

    section: dict[str, dict[str, Any]] = {}
    for key, device in (("offload_optimizer", train.offload_optimizer), ("offload_param", train.offload_param)):
        if device != "none":
            section[key] = {"device": device, "pin_memory": torch.cuda.is_available()}
        if device == "nvme":
            section[key]["nvme_path"] = train.nvme_path
    return section


def check_can_offload(train: TrainConfig) -> None:
    """Refuses, before anything starts, an offload to files where DeepSpeed's asynchronous I/O cannot be compiled.

    Raises:
        HardwareError: libaio or its headers are not there.
    """
    if not train.uses_nvme:
        return
    use_own_compiler()
    from deepspeed.ops.op_builder.async_io import AsyncIOBuilder

    if not AsyncIOBuilder().is_compatible(verbose=False):
        raise HardwareError(
            "train: offloading to nvme needs libaio and its headers, which are not on this machine; "
            "install them on every node (Debian: libaio-dev), or offload to cpu"
        )


def initialize(model: Any, optimizer: Any, scheduler: Any, train: TrainConfig, precision: Precision, world_size: int) -> Any:
    """The DeepSpeed engine around `model`; the process group is the one that has been set up, by Ray Train or for torchrun.

    Raises:
        HardwareError: DeepSpeed is not installed, and the trial is not one that a single worker can train without it; or nothing
            can be written to `train.nvme_path`.
    """
    try:
        import deepspeed
    except ImportError:
        return _without_deepspeed(model, optimizer, scheduler, train, world_size)
    use_own_compiler()
    if train.nvme_path:
        train = train.model_copy(update={"nvme_path": str(own_folder(train.nvme_path))})
    deepspeed.utils.logger.setLevel(logging.WARNING)
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, lr_scheduler=scheduler, config=deepspeed_config(train, precision, world_size)
    )
    # Beside each checkpoint DeepSpeed copies a script, on worker 0 alone and between two barriers: on a full disk it would let
    # the others wait for ever. Our readers have no use for it.
    engine._copy_recovery_script = lambda save_path: None
    return engine


def _without_deepspeed(model: Any, optimizer: Any, scheduler: Any, train: TrainConfig, world_size: int) -> PlainEngine:
    if world_size > 1 or train.zero_stage > 1 or train.offload_optimizer != "none":
        raise HardwareError(
            f"train: zero_stage {train.zero_stage} on {world_size} workers, offload_optimizer {train.offload_optimizer}: "
            "this needs DeepSpeed, which is not installed; "
            "pip install deepspeed, or train with one worker, zero_stage 0 and no offload"
        )
    logger.warning("DeepSpeed is not installed; the one worker trains in plain torch")
    return PlainEngine(model, optimizer, scheduler, train)
