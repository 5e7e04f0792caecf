"""One worker's process where no Ray has set it up: its place among the others, its device, its process group.

What comes in: the variables that torchrun sets, or none. What goes out: a device and a group of torch.distributed, in which a
process that was started alone is a group of one. Everything above it is the same as on a Ray Train worker.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mixwright.config import AUTO, SweepConfig
from mixwright.errors import HardwareError, MixwrightError
from mixwright.train import workers

logger = logging.getLogger(__name__)

T = TypeVar("T")
ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
"""What torchrun would tell a process that is the only one; DeepSpeed reads some of it."""


def is_first() -> bool:
    """Whether this process is worker 0, also before there is a group."""
    return os.environ.get("RANK", "0") == "0"


def workers_on_this_machine() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def group() -> Iterator[str]:
    """A process group for the length of the block: nccl where there are GPUs, else gloo. Gives this worker's device.

    Raises:
        HardwareError: the machine has GPUs, but fewer than workers were started on it.
    """
    import torch
    import torch.distributed

    started_by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    told = {name: value for name, value in ALONE.items() if name not in os.environ}
    os.environ |= told
    device = _device()
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if started_by_torchrun:
        torch.distributed.init_process_group(backend)
    else:
        store = torch.distributed.HashStore()  # type: ignore[attr-defined]
        torch.distributed.init_process_group(backend, rank=0, world_size=1, store=store)
    try:
        yield device
    finally:
        torch.distributed.destroy_process_group()
        for name in told:
            del os.environ[name]


def _device() -> str:
    """This worker's GPU, by its number on the machine; else the CPU, with this worker's share of its threads."""
    import torch

    here = workers_on_this_machine()
    if not torch.cuda.is_available():
        if here > 1:  # torchrun sets one thread each, however many processors there are
            torch.set_num_threads(max(1, (os.cpu_count() or here) // here))
        return "cpu"
    if torch.cuda.device_count() < here:
        raise HardwareError(
            f"{here} workers were started on a machine with {torch.cuda.device_count()} GPUs; "
            "lower --nproc-per-node, or hide the GPUs with CUDA_VISIBLE_DEVICES="
        )
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    return device


def as_started(config: SweepConfig, device: str) -> SweepConfig:
    """The configuration with the workers that there are in the place of those that a sweep would start.

    Raises:
        HardwareError: it asks for GPUs and this worker has none.
    """
    gpus = 1 if device.startswith("cuda") else 0
    asked = config.cluster
    if asked.gpus_per_worker not in (0, AUTO) and not gpus:
        raise HardwareError(
            f"cluster.gpus_per_worker is {asked.gpus_per_worker} and no CUDA device is here; set it to 0 to train on processors"
        )
    world = workers.world_size()
    if asked.workers != AUTO and world != asked.workers:
        rows = config.train.micro_batch_size * config.train.gradient_accumulation
        logger.warning(
            "cluster.workers is %d and %d were started: a step learns %d rows instead of %d",
            asked.workers,
            world,
            rows * world,
            rows * asked.workers,
        )
    return config.with_values({"cluster.workers": world, "cluster.gpus_per_worker": gpus})


def on_every(work: Callable[[], T]) -> T:
    """What `work` gives on this worker; an error of our family that any of them meets, all of them raise."""
    cause: MixwrightError | None = None
    found: list[T] = []
    try:
        found.append(work())
    except MixwrightError as error:
        cause = error
    for met in workers.gather_objects(cause):
        if met:
            raise met
    return found[0]


def on_first(work: Callable[[], object]) -> None:
    """Has worker 0 do something while the others wait; an error of our family that it meets, all of them raise."""
    cause: MixwrightError | None = None
    if workers.rank() == 0:
        try:
            work()
        except MixwrightError as error:
            cause = error
    if cause := of_first(cause):
        raise cause


def of_first(value: T) -> T:
    """Worker 0's value, on all workers; what workers measure for themselves would differ."""
    first: T = workers.gather_objects(value)[0]
    return first
