"""torch.compile for the decoder layers, and whether it would pay.

What comes in: a model, or the configuration of one that is still to be loaded. What goes out: layers that run compiled in
training, and a measured speed-up with the seconds that it costs. Layers are compiled one by one and not the whole model: they are
alike, so that one compilation serves all, and the outer parts of PEFT and DeepSpeed stay as they are.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from mixwright import models
from mixwright.config import SweepConfig
from mixwright.prompts import Rendered
from mixwright.train.attention import packed_rows_seen_by
from mixwright.train.loss import ResponseLoss
from mixwright.train.packing import pack
from mixwright.train.zero import Precision

MEASURED = "measured"
"""Name of the adapter that is measured."""
ROUNDS = 5
TOKENS_A_ROW = 96
"""Of the rows that the measurement runs; scenario rows are about that long."""


def set_compiled(model: Any, *, compiled: bool) -> None:
    """Has the decoder layers of a plain or PEFT model run compiled from now on, or as they are written.

    The first forward and backward pass compiles, for tens of seconds on a processor. Lengths are dynamic, so other batches
    compile nothing more; an adapter of another rank does. The first layer stays as it is: below it lies the frozen embedding, so
    that its input needs no gradient, and one layer is not worth a second compilation.
    """
    for layer in _layers(model)[1:]:
        if compiled:
            layer.compile(dynamic=True)
        else:
            layer._compiled_call_impl = None  # torch has no call to undo `Module.compile`


def _layers(model: Any) -> Any:
    causal = models.causal_lm(model)
    return causal.get_decoder().layers


def uncompiled() -> AbstractContextManager[Any]:
    """A context in which compiled layers run as they are written: the growing cache of generation would compile anew."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()  # nothing was compiled here, and its import takes seconds
    import torch

    plain: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return plain


@dataclass(frozen=True, kw_only=True)
class CompileGain:
    """What compiling gives."""

    speedup: float
    """Of forward and backward through a layer."""
    cost_s: float
    """Of the first passes, beyond what they would take uncompiled."""


def measure_gain(config: SweepConfig, precision: Precision, device: str) -> CompileGain:
    """Times one decoder layer of the model's shape, tuned as the real one, as training would take it and compiled, in alternation.

    Uncompiled, a LLaMA with plain adapters takes the fused pass; compiled, its own modules.

    Weights are random, so config.json alone is read. What is compiled here stays in torch's cache on disk, from which training
    takes part of it again; the cost is therefore rather too high than too low.
    """
    model = _one_layer(config, precision, device)
    row = Rendered(token_ids=(0,) * TOKENS_A_ROW, prompt_length=1)
    rows = [replace(row, token_ids=(index + 1, *row.token_ids)) for index in range(config.train.micro_batch_size)]
    as_it_is, through_modules = (ResponseLoss(model, adapter=MEASURED, fused=fused) for fused in (True, False))

    def seconds(loss: ResponseLoss) -> float:
        started = time.perf_counter()
        _pass_through(loss, rows, device)
        return time.perf_counter() - started

    seconds(as_it_is)  # sets kernels up
    plain_s = seconds(as_it_is)
    _layers(model)[0].compile(dynamic=True)
    first_s = seconds(through_modules)
    pairs = []
    for _ in range(ROUNDS):
        with uncompiled():
            plain = seconds(as_it_is)
        pairs.append((plain, seconds(through_modules)))
    return CompileGain(speedup=statistics.median(plain / compiled for plain, compiled in pairs), cost_s=max(0.0, first_s - plain_s))


def _one_layer(config: SweepConfig, precision: Precision, device: str) -> Any:
    """A model of one layer and hardly any vocabulary, tuned as the real one; the layer's input needs a gradient, as most do."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = AutoConfig.from_pretrained(models.base_folder(config.model), revision=config.model.revision)
    settings.num_hidden_layers, settings.vocab_size = 1, 8 + config.train.micro_batch_size
    settings.pad_token_id = settings.bos_token_id = settings.eos_token_id = 0
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.random.fork_rng():
        model: Any = AutoModelForCausalLM.from_config(settings, dtype=dtype)  # type: ignore[no-untyped-call]
        if config.model.tuning == "lora":
            model = models.with_adapter(model, config.lora, name=MEASURED, seed=0)
    model.enable_input_require_grads()
    return model.to(device).train()


def _pass_through(loss: ResponseLoss, rows: Sequence[Rendered], device: str) -> None:
    """Forward and backward, as the loop does it."""
    import torch

    causal = models.causal_lm(loss.model)
    with packed_rows_seen_by(causal):
        loss(pack(rows, device)).backward()
    loss.model.zero_grad(set_to_none=True)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
