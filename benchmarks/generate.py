"""How much sooner than `transformers.generate` are answers there, and are they the same?

    python benchmarks/generate.py [--quick] [--rounds N] [--json]

speedup_over_transformers    Ours: `ContinuousEngine`. Rival: `generate` of transformers on left-padded batches of rows of like
                             length, at whichever of its batch sizes is fastest on a part of the rows, in the same dtype and with
                             all cores.
identical_fraction           Rows whose greedy tokens are all the rival's.
largest_gap_of_a_difference  Where they are not: the gap between the logits of the two sides' first different tokens, from one more
                             pass of the model over prompt and common tokens, at most over rows. bf16 holds logits near 20 to 0.125.
mixed_adapter_slowdown       Seconds with rows dealt to four adapters in turn, all in one batch, by seconds of the same rows through
                             one of them, minus 1; the four are equal, so that they write the same, and rows enter as they come.
accepted_draft_tokens        Draft tokens that were kept, a row and a decoding step.
best_batch_size              The rival's.

Rows: all tasks of the scenario in turn, from the embedded corpus' dev split, or, where MIXWRIGHT_DATA names a folder, from JFLEG
dev and ASSET valid for the tasks that they are of. The adapter is LoRA, trained for a moment on rows of the corpus first, so that
answers end and copy as a trial's do. Each side runs in its own process, loads before the clock starts, and warms up on some rows.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from common import Measurement, Outcome, arguments, data_folder, in_own_process, load, publish, speedup

from mixwright import models, prepacked
from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData, prepare
from mixwright.decoding import GREEDY
from mixwright.errors import run_job
from mixwright.evaluate.runner import evaluation_rows
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.decoding import Row
from mixwright.generate.engine import Request
from mixwright.prompts import prompt_ids, render
from mixwright.scenarios import load_scenario, wording
from mixwright.train.precision import choose_precision

WHAT, MIXED = "rows", "entering rows"
OURS, RIVAL = "mixwright", "transformers"
ONE, FOUR = "mixwright one adapter", "mixwright four adapters"
ROWS, QUICK_ROWS, WARM_ROWS = 256, 24, 4
MAX_NEW_TOKENS = 96
BATCH_SIZES, QUICK_BATCH_SIZES = (16, 32, 64, 128), (24,)
TRIED_ROWS = 128
TRAINED_ROWS, TRAINING_BATCH, QUICK_TRAINED_ROWS = 320, 16, 64
ADAPTER = "trial"
COPIES = ("trial", "second", "third", "fourth")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every side answers."""

    precision: str
    prepack: bool
    prompts: tuple[tuple[int, ...], ...]
    adapter: str
    """The trained adapter's folder."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a side says of its run."""

    seconds: float
    outputs: tuple[tuple[int, ...], ...]
    accepted: float = 0.0


def main() -> int:
    options = arguments("Greedy answers beside transformers' generate: the same tokens, and how much sooner.", rounds=2)
    before = load()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    measured: list[Measurement] = []
    accepted: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        task = in_own_process(make_task, options.quick, folder)
        sizes = QUICK_BATCH_SIZES if options.quick else BATCH_SIZES
        tried = {size: in_own_process(by_transformers, replace(task, prompts=task.prompts[:TRIED_ROWS]), size) for size in sizes}
        best = min(tried, key=lambda size: tried[size].seconds)
        measured += [
            Measurement(what="batch size", side=f"{RIVAL} {size}", round=0, seconds=run.seconds) for size, run in tried.items()
        ]
        for number in range(1 if options.quick else options.rounds):
            runs = {OURS: in_own_process(by_us, task), RIVAL: in_own_process(by_transformers, task, best)}
            measured += [Measurement(what=WHAT, side=side, round=number, seconds=run.seconds) for side, run in runs.items()]
            accepted.append(runs[OURS].accepted)
            entering = in_own_process(entering_in_turn, task)
            measured += [Measurement(what=MIXED, side=side, round=number, seconds=entering[side]) for side in (ONE, FOUR)]
        ours, theirs = runs[OURS].outputs, runs[RIVAL].outputs
        gaps = in_own_process(gaps_of_differences, task, ours, theirs)
    seconds = {side: median(row.seconds for row in measured if row.what == WHAT and row.side == side) for side in (OURS, RIVAL)}
    figures = {
        "speedup_over_transformers": speedup(measured, OURS, RIVAL, WHAT),
        "identical_fraction": sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(ours),
        "largest_gap_of_a_difference": max(gaps, default=0.0),
        "mixed_adapter_slowdown": speedup(measured, ONE, FOUR, MIXED) - 1,
        "accepted_draft_tokens": median(accepted),
        "best_batch_size": best,
        "rows": len(task.prompts),
        "new_tokens": sum(map(len, ours)),
        **{f"rows_per_second {side}": len(task.prompts) / value for side, value in seconds.items()},
        **{f"new_tokens_per_second {side}": sum(map(len, ours)) / value for side, value in seconds.items()},
    }
    publish(Outcome(figures=figures, rows=measured), before, as_json=options.json)
    return 0


def make_task(quick: bool, folder: str) -> Task:
    """Prompts, and an adapter that was trained for a moment, in the dtype that is faster here."""
    config = SweepConfig.model_validate({"name": "generate"})
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=0)
    tokenizer = models.load_tokenizer(config.model)
    count = QUICK_ROWS if quick else ROWS
    texts = evaluation_rows(scenario, data.dev, rows=-(-count // len(scenario.tasks)), seed=0)
    texts = [replace(row, example=replace(row.example, text=text)) for row, text in zip(texts, real_texts(texts), strict=True)]
    by_task = {task.name: [row for row in texts if row.task == task.name] for task in scenario.tasks}
    in_turn = sorted(((place, name) for name, rows in by_task.items() for place in range(len(rows))))
    prompts = [
        prompt_ids(tokenizer, by_task[name][place].instruction, by_task[name][place].example.text) for place, name in in_turn
    ]
    precision = choose_precision(config.train).precision
    train_adapter(config, data, tokenizer, precision, Path(folder), QUICK_TRAINED_ROWS if quick else TRAINED_ROWS)
    return Task(
        precision=precision,
        prepack=prepacked.available(precision, "cpu"),
        prompts=tuple(prompts[:count]),
        adapter=str(Path(folder) / ADAPTER),
    )


def real_texts(rows: Sequence[Any]) -> list[str]:
    """The rows' texts; where research files are named, JFLEG dev's and ASSET valid's for the tasks that they are of."""
    found = [row.example.text for row in rows]
    if "MIXWRIGHT_DATA" not in os.environ:
        return found
    from parallel_texts import asset, jfleg

    data = data_folder()
    errors, complex_ones = iter(jfleg(data).sources), iter(asset(data).sources)
    of_task = {"grammaticality": errors, "gec": errors, "fluency": errors, "simplification": complex_ones}
    return [next(of_task.get(row.task, iter(())), text) for row, text in zip(rows, found, strict=True)]


def train_adapter(config: SweepConfig, data: PreparedData, tokenizer: Any, precision: str, folder: Path, rows: int) -> None:
    """Some steps of AdamW over rows of all trained tasks, through the modules as they come."""
    import torch

    base = models.load_base(config.model, torch.bfloat16 if precision == "bf16" else torch.float32)
    model = models.with_adapter(base.model, config.lora, name=ADAPTER, seed=0)
    scenario = load_scenario(config.scenario)
    by_task = [data.train[task.name][:rows] for task in scenario.tasks if data.train.get(task.name)]
    examples = [example for together in zip(*by_task, strict=False) for example in together][:rows]
    asked = [wording(scenario.task(item.task), item.id, evaluation=False, seed=0) for item in examples]
    rendered = [render(tokenizer, text, item.text, item.references[0]) for text, item in zip(asked, examples, strict=True)]
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-3)
    for start in range(0, len(rendered), TRAINING_BATCH):
        rows_of_step = rendered[start : start + TRAINING_BATCH]
        width = max(len(row.token_ids) for row in rows_of_step)
        ids = torch.tensor([[*row.token_ids, *[0] * (width - len(row.token_ids))] for row in rows_of_step])
        labels = ids.clone()
        for labelled, row in zip(labels, rows_of_step, strict=True):
            labelled[: row.prompt_length] = labelled[len(row.token_ids) :] = -100
        model(input_ids=ids, labels=labels).loss.backward()  # right padding: causal masking keeps it away from real tokens
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder, selected_adapters=[ADAPTER])


def adapted(task: Task, names: Sequence[str] = (ADAPTER,)) -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = SweepConfig.model_validate({"name": "generate"})
    base = models.load_base(config.model, torch.bfloat16 if task.precision == "bf16" else torch.float32)
    model = base.model
    for name in names:
        model = models.with_saved_adapter(model, Path(task.adapter), name=name)
    return model.eval(), base.tokenizer


def by_us(task: Task) -> Answered:
    model, tokenizer = adapted(task)
    engine = ContinuousEngine(model, tokenizer, prepack=task.prepack)
    engine.generate(requests_of(task)[:WARM_ROWS])
    assert engine.batch is not None
    before = replace(engine.batch.counts)
    started = time.perf_counter()
    outputs: list[list[int]] = [[] for _ in task.prompts]
    for fresh in engine.stream(requests_of(task)):
        outputs[fresh.index] += fresh.token_ids
    seconds = time.perf_counter() - started
    counts = engine.batch.counts
    accepted = (counts.accepted - before.accepted) / max(1, counts.decoded_rows - before.decoded_rows)
    return Answered(seconds=seconds, outputs=tuple(map(tuple, outputs)), accepted=accepted)


def requests_of(task: Task) -> list[Request]:
    return [Request(prompt_ids=ids, adapter=ADAPTER, max_new_tokens=MAX_NEW_TOKENS) for ids in task.prompts]


def entering_in_turn(task: Task) -> dict[str, float]:
    """Seconds of rows that enter in the order in which they stand, through one adapter and through four."""
    model, tokenizer = adapted(task, COPIES)
    engine = ContinuousEngine(model, tokenizer, limits=Limits(), prepack=task.prepack)
    engine.generate([replace(request, adapter=name) for request in requests_of(task)[:WARM_ROWS] for name in COPIES])
    assert engine.batch is not None
    seconds = {}
    for side, names in ((ONE, COPIES[:1]), (FOUR, COPIES)):
        engine.read_adapters(names)
        started = time.perf_counter()
        for index, ids in enumerate(task.prompts):
            # A task's rows, which stand apart by the number of tasks, meet all adapters.
            name = names[index % len(names)]
            engine.batch.submit(Row(prompt_ids=ids, adapter=name, max_new_tokens=MAX_NEW_TOKENS, decoding=GREEDY))
        while not engine.batch.idle:
            engine.batch.step()
        seconds[side] = time.perf_counter() - started
    return seconds


def by_transformers(task: Task, batch_size: int) -> Answered:
    """`generate` on rows of like length, the longest first."""
    import torch

    model, tokenizer = adapted(task)
    order = sorted(range(len(task.prompts)), key=lambda index: -len(task.prompts[index]))
    outputs: dict[int, tuple[int, ...]] = {}
    _generate(model, tokenizer, task.prompts[:WARM_ROWS])
    started = time.perf_counter()
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            outputs |= zip(indices, _generate(model, tokenizer, [task.prompts[index] for index in indices]), strict=True)
    seconds = time.perf_counter() - started
    return Answered(seconds=seconds, outputs=tuple(outputs[index] for index in range(len(order))))


def _generate(model: Any, tokenizer: Any, prompts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    batch = tokenizer.pad({"input_ids": [list(ids) for ids in prompts]}, padding_side="left", return_tensors="pt")
    found = model.generate(**batch, do_sample=False, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=tokenizer.pad_token_id)
    own = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    answers = []
    for row in found[:, batch["input_ids"].shape[1] :].tolist():
        end = next((place for place, token in enumerate(row) if token in ends), len(row))
        answers.append(tuple(row[:end]))
    return answers


def gaps_of_differences(task: Task, ours: Sequence[tuple[int, ...]], theirs: Sequence[tuple[int, ...]]) -> list[float]:
    """Of each row that differs, how far apart the model finds the first two different tokens; an end counts as the end token."""
    import torch

    model, tokenizer = adapted(task)
    gaps = []
    for prompt, one, other in zip(task.prompts, ours, theirs, strict=True):
        if one == other:
            continue
        place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        tokens = [side[place] if place < len(side) else tokenizer.eos_token_id for side in (one, other)]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *one[:place]]]), logits_to_keep=1).logits[0, -1].float()
        gaps.append(float((logits[tokens[0]] - logits[tokens[1]]).abs()))
    return gaps


if __name__ == "__main__":
    run_job(main)
