"""The recipe, read top to bottom: one trial from its first step to a rung.

What comes in: a `Trial` (engine, rendered rows, where it stands). What goes out: the trial some steps further, a report of each
step, and the mean loss on the way. Nothing here knows Ray, the search or how a score is computed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixwright.config import SweepConfig, TrainConfig
from mixwright.errors import TrainError
from mixwright.prompts import Rendered
from mixwright.train import batches, workers, zero
from mixwright.train.checkpoint import TrialProgress
from mixwright.train.compiling import set_compiled
from mixwright.train.loss import ResponseLoss
from mixwright.train.reporter import Meter, Reporter, StepReport


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
    pad_token_id: int
    device: str
    reporter: Reporter
    meter: Meter

    @property
    def global_batch(self) -> int:
        train = self.config.train
        return train.micro_batch_size * train.gradient_accumulation * self.progress.world_size

    @property
    def total_steps(self) -> int:
        return batches.steps_in(len(self.rows), self.global_batch)


def build_engine(model: Any, train: TrainConfig, precision: zero.Precision, total_steps: int) -> Any:
    """A DeepSpeed engine whose forward pass is the response loss, with AdamW on the trainable parameters."""
    import torch

    set_compiled(model, compiled=train.compile is True)  # an `auto` that nobody has settled counts as no
    if train.activation_checkpointing is True:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=train.learning_rate, weight_decay=train.weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, total_steps, train))
    return zero.initialize(ResponseLoss(model), optimizer, scheduler, train, precision, workers.world_size())


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
        The mean response loss over the tokens learned in this call, nats a token; NaN where no step was left to take.

    Raises:
        TrainError: the loss is not a finite number, or a step had nothing to learn.
    """
    train = trial.config.train
    world, rank = workers.world_size(), workers.rank()
    loss_sum, learned_tokens = 0.0, 0
    trial.engine.train()
    for step in range(trial.progress.step, last_step):
        started = time.perf_counter()
        positions = batches.rows_of_step(step, len(trial.rows), trial.global_batch)
        learned = sum(len(trial.rows[position].token_ids) - trial.rows[position].prompt_length for position in positions)
        seen = sum(len(trial.rows[position].token_ids) for position in positions)
        learning_rate = trial.engine.get_lr()[0]

        # DeepSpeed averages over workers and micro-batches; scaled back, the gradient is that of the mean over the step's tokens.
        scale = world * train.gradient_accumulation / learned
        own_loss = 0.0
        for micro in batches.micro_batches(positions, rank, world, train.micro_batch_size, train.gradient_accumulation):
            counts = 1.0 if micro else 0.0  # a worker without a row takes part with one that does not count
            rows = [trial.rows[position] for position in micro or positions[:1]]
            loss = trial.engine(batches.collate(rows, trial.pad_token_id, trial.device)) * counts
            trial.engine.backward(loss * scale)
            trial.engine.step()
            own_loss += float(loss.detach())

        step_loss = workers.sum_over_workers(own_loss, trial.device)
        if not math.isfinite(step_loss):
            raise TrainError(
                f"the loss is {step_loss / learned} at step {step + 1}; lower train.learning_rate or use precision: fp32"
            )
        loss_sum, learned_tokens = loss_sum + step_loss, learned_tokens + learned
        seconds = time.perf_counter() - started
        trial.progress = replace(
            trial.progress,
            step=step + 1,
            examples=positions.stop,
            tokens=trial.progress.tokens + seen,
            seconds=trial.progress.seconds + seconds,
        )
        if rank == 0:
            lengths = [len(trial.rows[position].token_ids) for position in positions]
            _report_step(trial, lengths, learned, step_loss / learned, learning_rate, seconds)
    return loss_sum / learned_tokens if learned_tokens else math.nan


def _report_step(trial: Trial, lengths: list[int], learned: int, loss: float, learning_rate: float, seconds: float) -> None:
    """Tells of the step just taken; `lengths` and `learned` are its rows' tokens and the response tokens among them."""
    progress = trial.progress
    norm = trial.engine.get_global_grad_norm()
    steps_left = trial.total_steps - progress.step
    rates = trial.meter.rates(lengths=lengths, learned=learned, seconds=seconds, steps_left=steps_left)
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
