"""DeepSpeed's compiled collectives for processors: compiled before the first trial, and found again by every process.

What comes in: nothing but the Python environment. What goes out: an extension in that environment's own cache. DeepSpeed
compiles it when it first starts on a CPU, for about a minute, and again whenever it meets another ninja or another
environment's cache; inside a trial that minute would look like training.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "TORCH_EXTENSIONS_DIR"


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


def compile_ahead() -> None:
    """Compiles the collectives, or finds them compiled. GPUs have their own and need none."""
    use_own_compiler()
    from deepspeed.accelerator import get_accelerator
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    if get_accelerator().device_name() == "cpu":
        ShareMemCommBuilder().load(verbose=False)
