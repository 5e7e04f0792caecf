"""What a worker's device can do: the rate of its matrix products, and its memory.

What comes in: a precision and a device. What goes out: floating-point operations a second, and GiB. Speed is measured and not
looked up: the peak on a data sheet says nothing of a machine that shares its cores, or of a library without the right kernel.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mixwright.train.zero import Precision

SIZES = (256, 512, 1024, 2048, 4096, 8192)
"""Rows, inner width and columns of the square products. A processor is fastest where they fit its caches, a GPU on the largest."""
BUDGET_S = 0.5
"""Time for the products of one size; larger ones than fit are left out."""
PRODUCTS = 3
"""Of each size at the least; the fastest counts, since whatever else runs can only slow one down."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGEST_KEPT_BYTES = 2**30

CGROUP = Path("/sys/fs/cgroup")
GIB = 2**30


def peak_flops(precision: Precision, device: str) -> float:
    """The highest rate of a plain square matrix product, in floating-point operations a second of one worker.

    Measured with this process's threads, or its GPU, in about half a second; once a process for each precision.
    """
    import torch

    return _peak_flops(precision, torch.device(device).type, torch.get_num_threads())


@functools.cache
def _peak_flops(precision: Precision, device: str, threads: int) -> float:
    best = 0.0
    for size in SIZES:
        seconds = _fastest_product(size, precision, device)
        best = max(best, 2 * size**3 / seconds)
        if 8 * seconds * (PRODUCTS + 1) > BUDGET_S:
            break  # the next size has eight times the work
    return best


def _fastest_product(size: int, precision: Precision, device: str) -> float:
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # Numbers as they come in training: a GPU draws less power, and clocks higher, on zeros.
    left, right = (torch.randn(size, size, device=device, generator=_generator(device)).to(dtype) for _ in range(2))
    product = left @ right  # the first one sets kernels up
    seconds = []
    for _ in range(PRODUCTS):
        _wait(device)
        started = time.perf_counter()
        torch.matmul(left, right, out=product)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _generator(device: str) -> Any:
    """Draws of its own: a measurement must leave the random state of training alone."""
    import torch

    return torch.Generator(device).manual_seed(0)


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def keep_freed_memory() -> None:
    """Has glibc keep large blocks that were freed, instead of giving them back to the system and taking them again page by page.

    A step frees and takes the same few gigabytes each time; without the page faults it was measured to take 6 to 10 % less.
    Does nothing with another C library.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def used_gib(device: str) -> float:
    """The most memory this worker has held so far: of the process on a CPU, of torch's tensors on a GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def free_gib(device: str, share: float = 1.0) -> float:
    """Memory that a worker may still take: its share of what the machine or its container has free, or all that its GPU has.

    Args:
        share: in (0, 1], of the machine's free memory; a GPU belongs to one worker.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0] / GIB
    import psutil

    on_machine: float = psutil.virtual_memory().available
    return min(on_machine, _free_in_container()) * share / GIB


def _free_in_container() -> float:
    """Bytes below the limit of this process's control group (version 2); infinite where it has none."""
    try:
        limit, used = ((CGROUP / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return float("inf")
    return float("inf") if limit == "max" else float(limit) - float(used)


def share_of_machine(cpus: int) -> float:
    """What `cpus` of this machine's processors are of all of them, at most 1."""
    return min(1.0, cpus / (os.cpu_count() or cpus))
