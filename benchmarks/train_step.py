"""How near is a training step to what the machine's matrix products allow, and how far ahead of the stock trainers?

    python benchmarks/train_step.py [--quick] [--rounds N] [--json]

speedup_over_trainer         Rival: `transformers.Trainer`, rows padded to the longest of their batch, prompt tokens masked.
speedup_over_trl             Rival: TRL's `SFTTrainer` as it comes, which recomputes activations.
speedup_over_trl_packing     Rival: the same with `packing=True`.
fraction_of_matmul_limit     The limit is the time that the frozen base's matrix products take at `matmul_gflops`: 4 FLOPs a weight
                             (forward, and the gradient of the input) for every token that has to be computed, the output
                             matrix at learned tokens alone. A prefix that rows of a pass share has to be computed once, a row's
                             last token never, and of the last layer everything after attention at learned tokens alone;
                             adapters, attention, norms, the optimiser and Python are what the fraction lacks to 1.
fraction_counting_all_tokens The same limit for every token of the rows, as if nothing could be shared: may pass 1.
matmul_gflops                The best rate of products of 512 to 2,048 tokens with this model's widest layers and of square
                             products, in the run's dtype, measured before each round.
loss_curve_difference        The largest difference between our loss and `transformers.Trainer`'s over the steps of a curve with
                             the same rows in the same order, nats a token: what rounding to bf16 makes of equal arithmetic.
real_tokens_per_second...    Tokens of the rows, not padding, a second of wall time, with optimiser steps.

All sides train a LoRA of rank 16 on all linear layers of the embedded model, 8 rows a step, AdamW, gradient clipping, the same mixed
rows of the embedded corpus in the same order, in the dtype that is faster here. Models are loaded and trainers built before the
clock starts, and each side takes a step on other rows first.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common import Measurement, Outcome, arguments, load, publish, speedup

from mixwright import models
from mixwright.config import SweepConfig
from mixwright.data.prepare import prepare
from mixwright.errors import run_job
from mixwright.mixture import build_mixture
from mixwright.prompts import Rendered
from mixwright.scenarios import load_scenario
from mixwright.train import batches, loop
from mixwright.train.checkpoint import TrialProgress
from mixwright.train.packing import pack
from mixwright.train.precision import choose_precision
from mixwright.train.resident import ADAPTER, render_example

WHAT = "rows"
OURS, TRAINER, TRL, TRL_PACKING = "mixwright", "transformers.Trainer", "trl.SFTTrainer", "trl.SFTTrainer packing"
ROWS, WARM_ROWS, BATCH = 96, 8, 8


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every side trains on."""

    config: SweepConfig
    precision: Any
    rows: tuple[Rendered, ...]
    warm_rows: tuple[Rendered, ...]

    @property
    def tokens(self) -> int:
        return sum(len(row.token_ids) for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a side says of its run."""

    seconds: float
    losses: tuple[float, ...] = ()
    """Nats a learned token, a step each; empty where the side does not tell them."""


def main() -> int:
    options = arguments("A training step beside the stock trainers and the machine's limit.")
    before = load()
    quiet()
    task = make_task(ROWS // 6 if options.quick else ROWS)
    measured: list[Measurement] = []
    rates, differences = [], []
    for number in range(1 if options.quick else options.rounds):
        rates.append(matmul_rate(task))
        runs = {side: in_own_process(side, task) for side in SIDES}
        measured += [Measurement(what=WHAT, side=side, round=number, seconds=trained.seconds) for side, trained in runs.items()]
        pairs = zip(runs[OURS].losses, runs[TRAINER].losses, strict=True)
        differences.append(max(abs(ours - theirs) for ours, theirs in pairs))
    publish(Outcome(figures=figures(task, measured, rates, max(differences)), rows=measured), before, as_json=options.json)
    return 0


def in_own_process(side: str, task: Task) -> Trained:
    """A side's run in a process of its own: one leaves nothing of its patches, groups and memory to the next."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run_side, (side, task))


def run_side(side: str, task: Task) -> Trained:
    quiet()
    with redirect_stdout(sys.stderr):  # trainers print; ours is the one object on standard output
        return SIDES[side](task)


def figures(task: Task, measured: Sequence[Measurement], rates: Sequence[float], difference: float) -> dict[str, float]:
    """All figures; a fraction is the median over rounds, each with its own rate."""
    ours = [row.seconds for row in measured if row.side == OURS]
    needed, shared_nothing = base_flops(task, share=True), base_flops(task, share=False)
    speed = {f"real_tokens_per_second {side}": task.tokens / median(seconds_of(measured, side)) for side in SIDES}
    return {
        "speedup_over_trainer": speedup(measured, OURS, TRAINER, WHAT),
        "speedup_over_trl": speedup(measured, OURS, TRL, WHAT),
        "speedup_over_trl_packing": speedup(measured, OURS, TRL_PACKING, WHAT),
        "fraction_of_matmul_limit": median(needed / rate / seconds for rate, seconds in zip(rates, ours, strict=True)),
        "fraction_counting_all_tokens": median(shared_nothing / rate / seconds for rate, seconds in zip(rates, ours, strict=True)),
        "matmul_gflops": median(rates) / 1e9,
        "loss_curve_difference": difference,
        **speed,
        "rows": len(task.rows),
        "real_tokens": task.tokens,
        "computed_tokens": sum(len(pack(rows, "cpu").token_ids_N) for rows in steps(task)),
        "learned_tokens": sum(len(row.token_ids) - row.prompt_length for row in task.rows),
    }


def seconds_of(measured: Sequence[Measurement], side: str) -> list[float]:
    return [row.seconds for row in measured if row.side == side]


def quiet() -> None:
    """Trainers log a line a step and warn of much that is meant here."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def make_task(rows: int) -> Task:
    """Mixed rows of the embedded corpus, half generic; as many more to warm up on."""
    settings = {
        "name": "train-step",
        "mixture": {"size": rows + WARM_ROWS},
        "train": {"micro_batch_size": BATCH, "learning_rate": 2e-4, "schedule": "linear", "warmup_fraction": 0.0},
    }
    config = SweepConfig.model_validate(settings)
    scenario = load_scenario(config.scenario)
    data, tokenizer = prepare(config.data, scenario, seed=0), models.load_tokenizer(config.model)
    mixture = build_mixture(data.train, config.mixture, scenario.seen, seed=0)
    rendered = tuple(render_example(tokenizer, scenario, row, 0) for row in mixture.rows)
    precision = choose_precision(config.train).precision
    return Task(config=config, precision=precision, rows=rendered[:rows], warm_rows=rendered[rows:])


def steps(task: Task) -> list[tuple[Rendered, ...]]:
    """The rows of each optimiser step."""
    return [task.rows[start : start + BATCH] for start in range(0, len(task.rows), BATCH)]


def base_flops(task: Task, *, share: bool) -> float:
    """FLOPs of the frozen base's matrix products over the rows: forward, and the gradient of their inputs."""
    sizes = base_sizes(task)
    learned = sum(len(row.token_ids) - row.prompt_length for row in task.rows)
    if not share:
        return 4.0 * (task.tokens * sizes.layer * sizes.layers + learned * sizes.head)
    computed = sum(len(pack(rows, "cpu").token_ids_N) for rows in steps(task))
    predicting = sum(len(set(pack(rows, "cpu").learned_M.tolist())) for rows in steps(task))
    return 4.0 * (computed * sizes.layer * sizes.layers - (computed - predicting) * sizes.after_attention + learned * sizes.head)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Weights that take part in matrix products."""

    layers: int
    layer: int
    after_attention: int
    """Of a layer: everything but q, k and v."""
    head: int


def base_sizes(task: Task) -> Sizes:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(models.base_folder(task.config.model))
    hidden, groups = config.hidden_size, config.num_key_value_heads / config.num_attention_heads
    q_k_v = round(hidden * hidden * (1 + 2 * groups))
    after = hidden * hidden + 3 * hidden * config.intermediate_size
    return Sizes(layers=config.num_hidden_layers, layer=q_k_v + after, after_attention=after, head=config.vocab_size * hidden)


def matmul_rate(task: Task) -> float:
    """The highest rate of matrix products in FLOPs a second, over the shapes of the module's docstring."""
    import torch

    dtype = torch.bfloat16 if task.precision == "bf16" else torch.float32
    shapes = [(rows, 576, 1536) for rows in (512, 1024, 2048)] + [(rows, 1536, 576) for rows in (512, 1024, 2048)]
    return max(_rate(shape, dtype) for shape in [*shapes, (1024, 1024, 1024), (2048, 2048, 2048)])


def _rate(shape: tuple[int, int, int], dtype: Any, repeats: int = 20) -> float:
    import torch

    left, right = torch.randn(shape[0], shape[1]).to(dtype), torch.randn(shape[2], shape[1]).to(dtype).t()
    best = math.inf
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * math.prod(shape) / best


def adapted_model(task: Task) -> Any:
    import torch

    base = models.load_base(task.config.model, torch.bfloat16 if task.precision == "bf16" else torch.float32)
    return models.with_adapter(base.model, task.config.lora, name=ADAPTER, seed=0)


def train_ours(task: Task) -> Trained:
    """The loop that trials run, on one worker."""
    one_process_group()
    model, trials = adapted_model(task), []
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("warm", task.warm_rows), ("measured", task.rows)):
            total_steps = batches.steps_in(len(rows), BATCH)
            progress = TrialProgress(trial_id=name, world_size=1, step=0, examples=0, tokens=0, seconds=0.0)
            if trials:
                trials[0].engine.destroy()
                model.delete_adapter(ADAPTER)
                model = models.with_adapter(model, task.config.lora, name=ADAPTER, seed=0)
            engine = loop.build_engine(model, task.config, task.precision, total_steps, ADAPTER)
            trial = loop.Trial(
                config=task.config, folder=Path(folder), model=model, engine=engine, rows=rows, progress=progress, device="cpu"
            )
            trials.append(trial)
            started = time.perf_counter()
            loop.train_until(trial, total_steps)
            seconds = time.perf_counter() - started
        trials[-1].engine.destroy()
        return Trained(seconds=seconds, losses=losses_in(Path(folder) / "metrics.jsonl", len(trials[0].rows) // BATCH))


def losses_in(path: Path, skipped: int) -> tuple[float, ...]:
    import json

    return tuple(json.loads(line)["loss"] for line in path.read_text(encoding="utf-8").splitlines()[skipped:])


def one_process_group() -> None:
    import torch.distributed

    os.environ["LOCAL_RANK"] = "0"
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)


def train_trainer(task: Task) -> Trained:
    """transformers' Trainer, as its documentation has it for causal LMs with masked prompts."""
    from torch.utils.data import SequentialSampler
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(train_dataset or self.train_dataset)

    tokenizer = models.load_tokenizer(task.config.model)

    def build(rows: Sequence[Rendered], folder: str) -> Any:
        return InOrder(
            model=adapted_model(task),
            args=TrainingArguments(**arguments_of(task, folder), logging_steps=1),
            train_dataset=[labelled(row) for row in rows],
            data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        )

    return timed_training(task, build)


def train_trl(task: Task, *, packing: bool = False) -> Trained:
    """TRL's SFTTrainer with its own defaults, on rows that are tokenised already."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    lora = task.config.lora
    adapters = LoraConfig(
        r=lora.rank, lora_alpha=lora.effective_alpha, target_modules=list(lora.target_modules), task_type="CAUSAL_LM"
    )
    tokenizer = models.load_tokenizer(task.config.model)

    def build(rows: Sequence[Rendered], folder: str) -> Any:
        import torch

        base = models.load_base(task.config.model, torch.bfloat16 if task.precision == "bf16" else torch.float32)
        return SFTTrainer(
            model=base.model,
            args=SFTConfig(**arguments_of(task, folder), packing=packing, completion_only_loss=True),
            train_dataset=Dataset.from_list([completion_masked(row) for row in rows]),
            processing_class=tokenizer,
            peft_config=adapters,
        )

    return timed_training(task, build)


def arguments_of(task: Task, folder: str) -> dict[str, Any]:
    """What all three stock trainers are told; the rest is as it comes."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "learning_rate": task.config.train.learning_rate,
        "lr_scheduler_type": "linear",
        "bf16": task.precision == "bf16",
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def timed_training(task: Task, build: Callable[[Sequence[Rendered], str], Any]) -> Trained:
    from transformers import PrinterCallback

    with tempfile.TemporaryDirectory() as folder:
        build(task.warm_rows, folder).train()
        trainer = build(task.rows, folder)
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    losses = tuple(float(line["loss"]) for line in trainer.state.log_history if "loss" in line)
    return Trained(seconds=seconds, losses=losses)


def labelled(row: Rendered) -> dict[str, list[int]]:
    tokens = list(row.token_ids)
    return {
        "input_ids": tokens,
        "attention_mask": [1] * len(tokens),
        "labels": [-100] * row.prompt_length + tokens[row.prompt_length :],
    }


def completion_masked(row: Rendered) -> dict[str, list[int]]:
    tokens = list(row.token_ids)
    return {"input_ids": tokens, "completion_mask": [int(learned) for learned in row.response_mask]}


def train_trl_packing(task: Task) -> Trained:
    """The same, with rows packed into blocks."""
    return train_trl(task, packing=True)


SIDES: dict[str, Callable[[Task], Trained]] = {
    OURS: train_ours,
    TRAINER: train_trainer,
    TRL: train_trl,
    TRL_PACKING: train_trl_packing,
}


if __name__ == "__main__":
    run_job(main)
