"""How near is a training step to what the machine's matrix products allow, and how far ahead of the stock trainers?

    python benchmarks/train_step.py [--quick] [--rounds N] [--json]

speedup_over_trainer         Rival: `transformers.Trainer` as it comes: the model from its folder, rows padded to the longest of a
                             batch, prompt tokens masked. The embedded model's folder holds fp32 weights, so it trains by autocast.
speedup_over_trl             Rival: TRL's `SFTTrainer` as it comes: given the folder, it loads fp32, and it recomputes activations.
speedup_over_trl_packing     Rival: the same with `packing=True`.
..._bf16_weights             The first two rivals with weights loaded in bf16 by hand, as ours has them: what is left is the loop's.
..._over_trainer_one_worker  Ours as one worker with all cores, beside the first rival. Elsewhere ours is two workers of one core
                             each, as a sweep uses two cores; the stock trainers run in one process.
fraction_of_matmul_limit     The limit is the time that the frozen base's matrix products take at `matmul_gflops`: 4 FLOPs a weight
                             (forward, and the gradient of the input) for every token that has to be computed, the output
                             matrix at learned tokens alone. A prefix that rows of a pass share has to be computed once, a row's
                             last token never, and of the last layer everything after attention at learned tokens alone;
                             adapters, attention, norms, the optimiser and Python are what the fraction lacks to 1.
fraction_counting_all_tokens The same limit for every token of the rows, as if nothing could be shared: may pass 1.
matmul_gflops                The peak of square matrix products in the run's dtype on all cores, measured before each round.
loss_curve_difference        The largest difference between our loss and `transformers.Trainer`'s on bf16 weights over the steps of
                             a curve with the same rows in the same order, nats a token: what rounding makes of equal arithmetic.
real_tokens_per_second...    Tokens of the rows, not padding, a second of wall time, with optimiser steps.

All sides train a LoRA of rank 16 on all linear layers of the embedded model with AdamW and gradient clipping, on the same mixed
rows of the embedded corpus in the same order, in the dtype that is faster here. Models are loaded and trainers built before the
clock starts, and each side takes a step on other rows first.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from common import Measurement, Outcome, arguments, in_own_process, load, publish, speedup

from mixwright import models, prepacked
from mixwright.config import SweepConfig
from mixwright.data.prepare import prepare, tokenize
from mixwright.errors import ConfigError, run_job
from mixwright.mixture import build_mixture
from mixwright.prompts import Rendered
from mixwright.scenarios import load_scenario
from mixwright.train import batches, loop
from mixwright.train.checkpoint import TrialProgress
from mixwright.train.flops import model_flops
from mixwright.train.hardware import keep_freed_memory, peak_flops
from mixwright.train.packing import Packed, pack
from mixwright.train.precision import choose_precision
from mixwright.train.reporter import FolderReporter, Meter, trial_folder
from mixwright.train.resident import ADAPTER

WHAT = "rows"
OURS, OURS_ALONE = "mixwright", "mixwright one worker"
TRAINER, TRL, TRL_PACKING = "transformers.Trainer", "trl.SFTTrainer", "trl.SFTTrainer packing"
TRAINER_BF16, TRL_BF16 = f"{TRAINER} bf16 weights", f"{TRL} bf16 weights"
ROWS, WARM_ROWS = 96, 32
QUICK_ROWS, QUICK_WARM_ROWS = 16, 2
BATCH, ACCUMULATION = 8, 4
"""Rows a pass and passes a step of the stock trainers. Ours gets the same rows a step and cuts passes by tokens."""
TOKENS_PER_PASS = 1200


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
    check_rivals()
    quiet()
    task = make_task(QUICK_ROWS, QUICK_WARM_ROWS) if options.quick else make_task(ROWS, WARM_ROWS)
    measured: list[Measurement] = []
    rates: list[float] = []
    differences: list[float] = []
    for number in range(1 if options.quick else options.rounds):
        rates.append(in_own_process(peak_flops, task.precision, "cpu"))
        runs = {side: in_own_process(run_side, side, task) for side in SIDES}
        measured += [Measurement(what=WHAT, side=side, round=number, seconds=trained.seconds) for side, trained in runs.items()]
        pairs = zip(runs[OURS].losses, runs[TRAINER_BF16].losses, strict=True)
        differences.append(max(abs(ours - theirs) for ours, theirs in pairs))
    publish(Outcome(figures=figures(task, measured, rates, max(differences)), rows=measured), before, as_json=options.json)
    return 0


def run_side(side: str, task: Task) -> Trained:
    quiet()
    return SIDES[side](task)


def figures(task: Task, measured: Sequence[Measurement], rates: Sequence[float], difference: float) -> dict[str, float]:
    """All figures; a fraction is the median over rounds, each with its own rate."""
    ours = [row.seconds for row in measured if row.side == OURS]
    needed, shared_nothing = base_flops(task, share=True), base_flops(task, share=False)
    speed = {f"real_tokens_per_second {side}": task.tokens / median(seconds_of(measured, side)) for side in SIDES}
    return {
        "speedup_over_trainer": speedup(measured, OURS, TRAINER, WHAT),
        "speedup_over_trainer_one_worker": speedup(measured, OURS_ALONE, TRAINER, WHAT),
        "speedup_over_trl": speedup(measured, OURS, TRL, WHAT),
        "speedup_over_trl_packing": speedup(measured, OURS, TRL_PACKING, WHAT),
        "speedup_over_trainer_bf16_weights": speedup(measured, OURS, TRAINER_BF16, WHAT),
        "speedup_over_trl_bf16_weights": speedup(measured, OURS, TRL_BF16, WHAT),
        "fraction_of_matmul_limit": median(needed / rate / seconds for rate, seconds in zip(rates, ours, strict=True)),
        "fraction_counting_all_tokens": median(shared_nothing / rate / seconds for rate, seconds in zip(rates, ours, strict=True)),
        "matmul_gflops": median(rates) / 1e9,
        "loss_curve_difference": difference,
        **speed,
        "rows": len(task.rows),
        "real_tokens": task.tokens,
        "computed_tokens": sum(len(packed.token_ids_N) for packed in passes(task)),
        "learned_tokens": sum(len(row.token_ids) - row.prompt_length for row in task.rows),
    }


def seconds_of(measured: Sequence[Measurement], side: str) -> list[float]:
    return [row.seconds for row in measured if row.side == side]


def check_rivals() -> None:
    """Says what to install.

    Raises:
        ConfigError: a rival is not there.
    """
    if importlib.util.find_spec("trl") is None:
        raise ConfigError("benchmarks/train_step.py: trl is not installed; run `make setup-dev`, or pip install trl")


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


def make_task(rows: int, warm_rows: int) -> Task:
    """Mixed rows of the embedded corpus, half generic; others to warm up on."""
    settings = {
        "name": "train-step",
        "mixture": {"size": rows + warm_rows},
        "train": {"micro_batch_size": BATCH, "learning_rate": 2e-4, "schedule": "linear", "warmup_fraction": 0.0},
    }
    config = SweepConfig.model_validate(settings)
    scenario = load_scenario(config.scenario)
    tokenizer = models.load_tokenizer(config.model)
    data = tokenize(prepare(config.data, scenario, seed=0), tokenizer, scenario, config.model, seed=0)
    mixture = build_mixture(data.train, config.mixture, scenario.seen, seed=0)
    assert data.tokens is not None
    rendered = tuple(
        replace(row, token_ids=tuple(row.token_ids)) for row in map(data.tokens.rendered, mixture.rows)
    )  # tuples, for they travel to other processes
    precision = choose_precision(config.train).precision
    return Task(config=config, precision=precision, rows=rendered[:rows], warm_rows=rendered[rows:])


def passes(task: Task) -> list[Packed]:
    """What our two workers put through the layers, pass by pass."""
    packed = []
    for step in range(batches.steps_in(len(task.rows), BATCH * ACCUMULATION)):
        positions = batches.rows_of_step(step, len(task.rows), BATCH * ACCUMULATION)
        tokens = [task.rows[position].token_ids for position in positions]
        for own in batches.passes_of_step(positions, tokens, 2, TOKENS_PER_PASS):
            packed += [pack([task.rows[position] for position in rows], "cpu") for rows in own if rows]
    return packed


def base_flops(task: Task, *, share: bool) -> float:
    """FLOPs of the frozen base's matrix products over the rows: forward, and the gradient of their inputs."""
    sizes = base_sizes(task)
    learned = sum(len(row.token_ids) - row.prompt_length for row in task.rows)
    if not share:
        return 4.0 * (task.tokens * sizes.layer * sizes.layers + learned * sizes.head)
    computed = sum(len(packed.token_ids_N) for packed in passes(task))
    predicting = sum(len(packed.learned_M) for packed in passes(task))
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


def adapted_model(task: Task) -> Any:
    import torch

    base = models.load_base(task.config.model, torch.bfloat16 if task.precision == "bf16" else torch.float32)
    return models.with_adapter(base.model, task.config.lora, name=ADAPTER, seed=0)


def train_ours(task: Task) -> Trained:
    """The loop that trials run: two workers of one core each, as two of a sweep's workers share this machine."""
    return in_workers(task, workers=2)


def train_ours_alone(task: Task) -> Trained:
    """The same, one worker with all cores."""
    return in_workers(task, workers=1)


def in_workers(task: Task, workers: int) -> Trained:
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(work, task, folder, rank, workers, max(1, cores // workers)) for rank in range(workers)]
        trained = [run.result() for run in started]
        return trained[0]


def work(task: Task, folder: str, rank: int, world_size: int, threads: int) -> Trained:
    """One worker's part: a trial of one step to warm up, then the measured one on the same weights."""
    import torch
    import torch.distributed

    quiet()
    sys.stdout = sys.stderr  # DeepSpeed prints
    keep_freed_memory()  # as each worker of a sweep does
    torch.set_num_threads(threads)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size, init_method=f"file://{folder}/group")
    train = {"micro_batch_size": BATCH, "gradient_accumulation": ACCUMULATION // world_size, "tokens_per_pass": TOKENS_PER_PASS}
    train["prepack"] = prepacked.available(task.precision, "cpu")  # what a sweep's `auto` comes to on such a processor
    config = task.config.with_values({f"train.{key}": value for key, value in train.items()})
    warm = with_engine(adapted_model(task), config, task, task.warm_rows, Path(folder), "warm")
    loop.train_until(warm, warm.total_steps)
    warm.engine.destroy()
    warm.model.delete_adapter(ADAPTER)
    model = models.with_adapter(warm.model, config.lora, name=ADAPTER, seed=0)
    trial = with_engine(model, config, task, task.rows, Path(folder), "measured")
    torch.distributed.barrier()
    started = time.perf_counter()
    loop.train_until(trial, trial.total_steps)
    seconds = time.perf_counter() - started
    trial.engine.destroy()
    losses = losses_in(trial.folder / "metrics.jsonl") if rank == 0 else ()
    torch.distributed.destroy_process_group()
    return Trained(seconds=seconds, losses=losses)


def with_engine(model: Any, config: SweepConfig, task: Task, rows: tuple[Rendered, ...], run_dir: Path, name: str) -> loop.Trial:
    import torch.distributed

    world_size = torch.distributed.get_world_size()
    folder = trial_folder(run_dir, name)
    folder.mkdir(parents=True, exist_ok=True)
    total_steps = batches.steps_in(len(rows), BATCH * ACCUMULATION)
    engine = loop.build_engine(model, config, task.precision, total_steps, ADAPTER)
    return loop.Trial(
        config=config,
        folder=folder,
        model=model,
        engine=engine,
        rows=rows,
        progress=TrialProgress(trial_id=name, world_size=world_size, step=0, examples=0, tokens=0, seconds=0.0),
        device="cpu",
        reporter=FolderReporter(run_dir),
        meter=Meter(model_flops(model), None, "cpu"),
    )


def losses_in(path: Path) -> tuple[float, ...]:
    return tuple(json.loads(line)["loss"] for line in path.read_text(encoding="utf-8").splitlines())


def train_trainer(task: Task, *, in_precision: bool = False) -> Trained:
    """transformers' Trainer, as its documentation has it for causal LMs with masked prompts.

    Args:
        in_precision: weights in the run's dtype, instead of the one they are saved in.
    """
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    def model() -> Any:
        if in_precision:
            return adapted_model(task)
        base = AutoModelForCausalLM.from_pretrained(models.base_folder(task.config.model))
        return models.with_adapter(base, task.config.lora, name=ADAPTER, seed=0)

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(train_dataset or self.train_dataset)

    tokenizer = models.load_tokenizer(task.config.model)

    def build(rows: Sequence[Rendered], folder: str) -> Any:
        return InOrder(
            model=model(),
            args=TrainingArguments(**arguments_of(task, folder), logging_steps=1),
            train_dataset=[labelled(row) for row in rows],
            data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        )

    return timed_training(task, build)


def train_trl(task: Task, *, packing: bool = False, in_precision: bool = False) -> Trained:
    """TRL's SFTTrainer with its own defaults, on rows that are tokenised already.

    Args:
        in_precision: weights in the run's dtype, instead of TRL's choice.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    lora = task.config.lora
    adapters = LoraConfig(
        r=lora.rank, lora_alpha=lora.effective_alpha, target_modules=list(lora.target_modules), task_type="CAUSAL_LM"
    )
    tokenizer = models.load_tokenizer(task.config.model)

    def build(rows: Sequence[Rendered], folder: str) -> Any:
        dtype = "bfloat16" if task.precision == "bf16" else "float32"
        loading = {"model_init_kwargs": {"dtype": dtype}} if in_precision else {}
        return SFTTrainer(
            model=str(models.base_folder(task.config.model)),
            args=SFTConfig(**arguments_of(task, folder), packing=packing, completion_only_loss=True, **loading),
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
        "gradient_accumulation_steps": ACCUMULATION,
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


def train_trainer_in_precision(task: Task) -> Trained:
    """transformers' Trainer with weights in the run's dtype."""
    return train_trainer(task, in_precision=True)


def train_trl_in_precision(task: Task) -> Trained:
    """TRL's with weights in the run's dtype."""
    return train_trl(task, in_precision=True)


SIDES: dict[str, Callable[[Task], Trained]] = {
    OURS: train_ours,
    OURS_ALONE: train_ours_alone,
    TRAINER: train_trainer,
    TRL: train_trl,
    TRL_PACKING: train_trl_packing,
    TRAINER_BF16: train_trainer_in_precision,
    TRL_BF16: train_trl_in_precision,
}


if __name__ == "__main__":
    run_job(main)
