"""All that is compiled for processors, before the first trial: DeepSpeed's collectives and our own operators.

What comes in: nothing but the Python environment. What goes out: extensions in that environment's own cache. DeepSpeed compiles its
one when it first starts on a CPU, for about a minute, and again whenever it meets another ninja or another environment's cache;
inside a trial that minute would look like training.
"""

from __future__ import annotations

from mixwright import native
from mixwright.native import use_own_compiler


def compile_ahead() -> None:
    """Compiles what is not there yet. GPUs have their own collectives and need none."""
    use_own_compiler()
    from deepspeed.accelerator import get_accelerator
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    if get_accelerator().device_name() == "cpu":
        ShareMemCommBuilder().load(verbose=False)
        native.compile_ahead()
