"""The recipe, read top to bottom: one trial from its first step to a rung.

What comes in: a `Trial` (engine, rendered rows, where it stands). What goes out: the trial some steps further, a report of each
step, and the mean loss on the way. Nothing here knows Ray, the search or how a score is computed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixwright.config import SweepConfig, TrainConfig
from mixwright.errors import TrainError
from mixwright.models import causal_lm
from mixwright.prompts import Rendered
from mixwright.train import batches, workers, zero
from mixwright.train.attention import packed_rows_seen_by
from mixwright.train.checkpoint import TrialProgress
from mixwright.train.compiling import set_compiled
from mixwright.train.loss import ResponseLoss
from mixwright.train.packing import pack
from mixwright.train.reporter import Meter, Rates, Reporter, StepReport


class NodeLeavingError(Exception):
    """A worker's machine is about to go; raised on all workers after the same step, with the trial as it is then."""


@dataclass
class Trial:
    """A trial that is resident on this worker; `progress` moves, the rest stays."""

    config: SweepConfig
    folder: Path
    model: Any
    """The PEFT model, or the plain one where everything is tuned."""
    engine: Any
    rows: tuple[Rendered, ...]
    progress: TrialProgress
    device: str
    reporter: Reporter
    meter: Meter
    notice: Callable[[], bool] = lambda: False
    """Whether this worker has been told that its machine is about to go."""

    @property
    def global_batch(self) -> int:
        train = self.config.train
        return train.micro_batch_size * train.gradient_accumulation * self.progress.world_size

    @property
    def total_steps(self) -> int:
        return batches.steps_in(len(self.rows), self.global_batch)


def build_engine(model: Any, config: SweepConfig, precision: zero.Precision, total_steps: int, adapter: str) -> Any:
    """A DeepSpeed engine whose forward pass is the response loss, with AdamW on the trainable parameters."""
    import torch

    train = config.train
    compiled = train.compile is True  # an `auto` that nobody has settled counts as no
    set_compiled(model, compiled=compiled)
    fused = train.zero_stage < 3 and not compiled
    loss = ResponseLoss(
        model, adapter=adapter, fused=fused, recompute=train.activation_checkpointing is True, prepack=train.prepack is True
    )
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=train.learning_rate, weight_decay=train.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, total_steps, train))
    return zero.initialize(loss, optimizer, scheduler, train, precision, workers.world_size())


def rate_factor(step: int, total_steps: int, train: TrainConfig) -> float:
    """The learning rate of step number `step` (from 0) as a share of the peak.

    Rises linearly over the warm-up steps, the first of which is not zero; then falls to zero after the last step.
    """
    warmup = round(train.warmup_fraction * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if train.schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return 1.0 - done if train.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def train_until(trial: Trial, last_step: int) -> float:
    """Trains up to `last_step` optimiser steps in all.

    Returns:
        The mean response loss over the tokens learned since the last rung, nats a token; NaN where there were none.

    Raises:
        TrainError: the loss is not a finite number, or a step had nothing to learn.
        NodeLeavingError: a worker has been told that its machine is about to go.
    """
    causal = causal_lm(trial.model)
    with packed_rows_seen_by(causal):
        return _take_steps(trial, last_step)


def _take_steps(trial: Trial, last_step: int) -> float:
    import torch

    world, rank = workers.world_size(), workers.rank()
    trial.engine.train()
    for step in range(trial.progress.step, last_step):
        started = time.perf_counter()
        positions = batches.rows_of_step(step, len(trial.rows), trial.global_batch)
        tokens = [trial.rows[position].token_ids for position in positions]
        lengths = [len(row) for row in tokens]
        learned = sum(lengths) - sum(trial.rows[position].prompt_length for position in positions)
        learning_rate = trial.engine.get_lr()[0]

        # DeepSpeed averages over workers; scaled back, the gradient is that of the mean over the step's learned tokens.
        passes = batches.passes_of_step(positions, tokens, world, trial.config.tokens_per_pass)[rank]
        own_loss, computed = torch.zeros((), device=trial.device), 0
        for number, own in enumerate(passes):
            trial.engine.set_gradient_accumulation_boundary(number == len(passes) - 1)
            counts = 1.0 if own else 0.0  # a worker without a row takes part with one that does not count
            packed = pack([trial.rows[position] for position in own or positions[:1]], trial.device)
            loss = trial.engine(packed) * counts
            trial.engine.backward(loss * (world / learned))
            own_loss += loss.detach()
            computed += len(packed.token_ids_N) if own else 0
        trial.engine.step()

        own_numbers = [float(own_loss), computed, float(trial.notice())]
        step_loss, computed_tokens, notices = workers.sums_over_workers(own_numbers, trial.device)
        if not math.isfinite(step_loss):
            raise TrainError(
                f"the loss is {step_loss / learned} at step {step + 1}; lower train.learning_rate or use precision: fp32"
            )
        seconds = time.perf_counter() - started
        trial.progress = replace(
            trial.progress,
            step=step + 1,
            examples=positions.stop,
            tokens=trial.progress.tokens + sum(lengths),
            seconds=trial.progress.seconds + seconds,
            loss_sum=trial.progress.loss_sum + step_loss,
            learned=trial.progress.learned + learned,
        )
        if rank == 0:
            steps_left = trial.total_steps - trial.progress.step
            rates = trial.meter.rates(
                lengths=lengths, computed=computed_tokens, learned=learned, seconds=seconds, steps_left=steps_left
            )
            _report_step(trial, rates, step_loss / learned, learning_rate, seconds)
        if notices:
            raise NodeLeavingError(f"told after step {trial.progress.step} that a machine is about to go")
    return trial.progress.loss_sum / trial.progress.learned if trial.progress.learned else math.nan


def _report_step(trial: Trial, rates: Rates, loss: float, learning_rate: float, seconds: float) -> None:
    """Tells of the step just taken."""
    progress = trial.progress
    norm = trial.engine.get_global_grad_norm()
    trial.reporter.step(
        StepReport(
            trial_id=progress.trial_id,
            total_steps=trial.total_steps,
            step=progress.step,
            examples=progress.examples,
            tokens=progress.tokens,
            loss=loss,
            learning_rate=learning_rate,
            grad_norm=None if norm is None else float(norm),
            seconds=seconds,
            **asdict(rates),
        )
    )


def keep_steps_before(path: Path, step: int) -> None:
    """Drops lines of metrics.jsonl after `step`: a resumed trial takes those steps again."""
    if not path.exists():
        return
    kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _whole_lines(path: Path) -> Iterator[str]:
    """Lines that end in a newline; a kill may have left a torn one behind."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n") and line.strip():
            yield line.rstrip("\n")


def whole_parameters(engine: Any, model: Any, stage: int) -> AbstractContextManager[Any]:
    """A context in which every tuned parameter is whole on each worker; a no-op below ZeRO-3."""
    if stage < 3:
        return nullcontext()
    import deepspeed

    tuned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return deepspeed.zero.GatheredParameters(tuned)  # type: ignore[no-any-return]
