"""Our own compiled operators for bf16 and fp32 on processors: compiled once at set-up, and found again by every process.

What comes in: nothing but native.cpp and the Python environment. What goes out: a library in that environment's own cache, and its
operators for whoever has a tensor that they take. torch's own operators visit memory several times for a norm, an activation or a
softmax; these visit it once. Where they are not compiled, or not for such a tensor, everything runs on torch's, with the same
results up to rounding.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "TORCH_EXTENSIONS_DIR"
SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = (
    *("-O3", "-fopenmp", "-DCPU_CAPABILITY=AVX512", "-DCPU_CAPABILITY_AVX512"),
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"),
)
BF16_FLAG = "-mavx512bf16"
"""Where the processor has these instructions. Without them the operators are for fp32 alone, as is `precision: auto` there."""


def use_own_compiler() -> None:
    """Points this process at the ninja and the extension cache of its own Python environment.

    A cache that the user has set stays, and so does torch's default where the environment cannot be written to.
    """
    programs = str(Path(sys.executable).parent)
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if paths[0] != programs:
        os.environ["PATH"] = os.pathsep.join([programs, *(path for path in paths if path != programs)])
    if os.access(sys.prefix, os.W_OK):
        os.environ.setdefault(CACHE_VARIABLE, str(Path(sys.prefix) / "torch_extensions"))


def operators_for(x: torch.Tensor) -> Any | None:
    """The operators where they take such a tensor, else None."""
    made_for = x.dtype is torch.float32 or (x.dtype is torch.bfloat16 and has_bf16())
    return _loaded() if made_for and x.device.type == "cpu" else None


def why_not(precision: str, device: str) -> str:
    """Why a pass in this precision runs on torch's own operators; empty where it runs on these."""
    if precision not in ("bf16", "fp32") or not device.startswith("cpu"):
        return "they are for bf16 and fp32 on processors"
    if not has_instructions():
        return "this processor has no AVX512"
    if precision == "bf16" and not has_bf16():
        return "this processor has no AVX512-BF16"
    return "" if _loaded() is not None else "they are not compiled here; `make setup` does it"


def has_instructions() -> bool:
    """Whether this processor is one that they are compiled for."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


@functools.cache
def has_bf16() -> bool:
    """Whether this processor multiplies bf16 as it stands."""
    return has_instructions() and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def compile_ahead() -> None:
    """Compiles the library in half a minute, or finds it compiled; does nothing where the processor lacks the instructions."""
    use_own_compiler()
    path = _library()
    if not has_instructions() or path.exists():
        return
    from torch.utils.cpp_extension import load

    path.parent.mkdir(parents=True, exist_ok=True)
    load(path.stem, [str(SOURCE)], extra_cflags=list(_flags()), build_directory=str(path.parent), is_python_module=False)


def _flags() -> tuple[str, ...]:
    return (*FLAGS, BF16_FLAG) if has_bf16() else FLAGS


def _library() -> Path:
    """Named after all that it hangs on, so that another source or another torch has another."""
    from torch.utils.cpp_extension import get_default_build_root

    use_own_compiler()
    made_of = "|".join([SOURCE.read_text(encoding="utf-8"), *_flags(), torch.__version__])
    name = f"mixwright_native_{hashlib.blake2b(made_of.encode(), digest_size=6).hexdigest()}"
    return Path(os.environ.get(CACHE_VARIABLE) or get_default_build_root()) / name / f"{name}.so"


@functools.cache
def _loaded() -> Any | None:
    path = _library()
    if not has_instructions() or not path.exists():
        return None
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        logger.warning("%s cannot be loaded, torch's own operators do its work: %s", path, error)
        return None
    return torch.ops.mixwright
