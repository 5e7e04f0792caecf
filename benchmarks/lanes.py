"""What does a trial cost beside its training steps, on a warm lane and as Ray documents it?

    python benchmarks/lanes.py [--quick] [--rounds N] [--json]

switch_seconds_zeroN         Under ZeRO stage N, from the scheduler's decision that ends a trial (the driver's Tune loop has handled
                             its last result) to the end of the next trial's first optimiser step on the same workers; the median.
                             Every TrialRecord carries it.
switch_seconds_zeroN_p95     The same, at the 95th percentile.
sweep_speedup                Wall time of an ASHA sweep of 16 trials: Ray's documented pattern by ours, start of the lane included.
                             The pattern: a Tune function that starts a TorchTrainer for each trial and hears of it through
                             TuneReportCallback, with DeepSpeed and PEFT inside.
sweep_extrapolated_from      Trials of the rival that were run, where not all were (`--quick`): the rest are taken to last as long.
seconds_per_trial            Ours, and `rival_seconds_per_trial`.
max_abs_difference           The largest difference between the two sides' scores of trials that both ran, rung by rung.
memory_growth_mib            What the sweep's own processes (workers, lane, Ray Train's controller, driver) hold more after 100
                             trials on one lane than after 20: the sum of what is resident and not shared, each a median of five
                             trials. The kernel's counters are read, which costs the trials nothing.
                             `--quick` has no such lane, and so not this figure. Ray's own servers stand in the rows alone.

Two workers, the two-layer LLaMA of `mixwright.testing`, made-up rows, one machine, fp32. Both sides run the same points in the
same order, one at a time, on the same cluster, which is up before either starts. They learn the same rows in the same steps and are
scored at the same rungs by the same function, the loss on held-out rows. Rank, learning rate and rows are searched.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from common import Measurement, Outcome, arguments, load, publish, speedup, timed

from mixwright.config import ClusterConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.errors import run_job
from mixwright.mixture import build_mixture
from mixwright.prompts import Rendered, render
from mixwright.records import GENERIC, Example, Objectives, TrialRecord
from mixwright.scenarios import Scenario, wording
from mixwright.search import sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run
from mixwright.testing import make_tiny_model
from mixwright.train.loop import rate_factor
from mixwright.train.resident import Evaluation, Setup

OURS, RIVAL = "mixwright", "ray pattern"
RUNGS = (0.25, 0.5, 1.0)
WORKERS = 2
SIZE, MICRO_BATCH = 64, 4
SWEEP = 16
PATIENCE_S = 30.0
"""For placement groups of a sweep that has ended."""
SETTLED = 20
"""Trials after which what is loaded once is loaded, and growth would be a leak."""
AFTER_A_SWITCH_S = 1.0
"""From a trial's end to the reading of memory, which would slow down the switch that is measured."""
KINDS = {
    "RayTrainWorker": "workers",
    "ResourceTrainable": "lane",
    "TrainController": "controller",
    "raylet": "ray",
    "gcs_server": "ray",
}
"""Part of a process's title -> what it is in the rows."""
ALL_KINDS = {"driver", *KINDS.values()}
TASK = "louder"
SCENARIO = Scenario.model_validate(
    {
        "name": "shouting",
        "tasks": [{"name": TASK, "metric": "sari", "instructions": {"train": ["Say it loud."], "evaluation": ["Shout."]}}],
    }
)


@dataclass(frozen=True, kw_only=True)
class Memory(Measurement):
    """What a kind of process holds after a trial."""

    mib: float


def points(count: int) -> list[dict[str, Any]]:
    """The same points for both sides, spread over rank, rate and ratio."""
    ranks, rates = (4, 8, 2, 16), (5e-3, 1e-3, 2e-3)
    return [
        {
            "lora.rank": ranks[index % 4],
            "train.learning_rate": rates[index % 3],
            "mixture.generic_fraction": (index * 5 % 11) / 10,
        }
        for index in range(count)
    ]


def configuration(model: Path, trials: int, zero_stage: int) -> SweepConfig:
    first = points(trials)
    names = first[0]
    return SweepConfig.model_validate(
        {
            "name": "lanes",
            "model": {"name": str(model)},
            "mixture": {"size": SIZE},
            "train": {"micro_batch_size": MICRO_BATCH, "precision": "fp32", "zero_stage": zero_stage},
            "search": {
                "trials": trials,
                "parameters": {name: {"choices": sorted({point[name] for point in first})} for name in names},
                "first": first,
                "scheduler": {"rungs": RUNGS},
            },
            "cluster": {"workers": WORKERS, "lanes": 1, "dashboard": False},
        }
    )


def prepared() -> PreparedData:
    """Rows that are made up, and as many held out."""

    def rows(split: str, count: int) -> dict[str, list[Example]]:
        louder = [
            Example(id=f"l:{split}:{i}", source="s", task=TASK, text=f"word {i} is said", references=(f"WORD {i} IS SAID",))
            for i in range(count)
        ]
        generic = [
            Example(
                id=f"g:{split}:{i}", source="s", task=GENERIC, text="", instruction=f"What is {i} + 1?", references=(str(i + 1),)
            )
            for i in range(count)
        ]
        return {TASK: louder, GENERIC: generic}

    return PreparedData(train=rows("train", 2 * SIZE), dev=rows("dev", 8), test={}, report={})


class HeldOutLoss:
    """Scores a model by the loss on held-out rows: what both sides do at each rung. Higher is better."""

    def __init__(self, setup: Setup, base: Any) -> None:
        self._rows = held_out_rows(base.tokenizer, setup.data.dev[TASK])

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        score = -held_out_loss(model, self._rows)
        return Evaluation(objectives=Objectives(seen=score, unseen=None, retention=0.0), task_scores={TASK: score})


def held_out_rows(tokenizer: Any, examples: Sequence[Example]) -> list[Any]:
    return [rendered(tokenizer, example) for example in examples]


def rendered(tokenizer: Any, example: Example) -> Rendered:
    """A row with the wording that the seed binds to it, as a sweep's table of tokens has it."""
    instruction = example.instruction or wording(SCENARIO.task(example.task), example.id, evaluation=False, seed=0)
    return render(tokenizer, instruction, example.text, example.references[0])


def held_out_loss(model: Any, rows: Sequence[Any]) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        losses = []
        for row in rows:
            ids = torch.tensor([row.token_ids])
            labels = ids.clone()
            labels[:, : row.prompt_length] = -100
            losses.append(float(model(input_ids=ids, labels=labels).loss))
    return statistics.mean(losses)


def main() -> int:
    options = arguments("The cost of a trial beside its training: warm lanes and Ray's documented pattern.", rounds=1)
    before, size = load(), QUICK if options.quick else FULL
    rows: list[Measurement] = []
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder, silent_cluster():  # DeepSpeed greets on stdout
        bench = Bench(Path(folder), make_tiny_model(Path(folder) / "model"), rows)
        for stage, trials in size.switches.items():
            bench.switches(stage, trials)
        for number in range(options.rounds):
            bench.sweeps(size.rival_trials, number)
        bench.memory(size.memory_trials)
    publish(Outcome(figures=bench.figures(), rows=rows), before, as_json=options.json)
    return 0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is run."""

    switches: dict[int, int]
    """ZeRO stage -> trials."""
    rival_trials: int
    memory_trials: int


FULL = Size(switches={0: 20, 1: 20, 2: 20, 3: 20}, rival_trials=SWEEP, memory_trials=100)
QUICK = Size(switches={3: 8}, rival_trials=1, memory_trials=0)


@dataclass
class Bench:
    """What is measured, and what was found so far."""

    folder: Path
    model: Path
    rows: list[Measurement]
    difference: float = 0.0
    rival_trials: int = SWEEP
    groups_left: int = 0
    """Placement groups that a rival's sweep left behind."""

    def switches(self, stage: int, trials: int) -> None:
        records, _ = self.ours(f"zero{stage}", stage, trials)
        self._note_switches(stage, records)

    def sweeps(self, rival_trials: int, number: int) -> None:
        """Both sides once; who begins changes from round to round."""

        def ours() -> list[list[float]]:
            with self._watching(f"sweep{number}"):
                records, seconds = self.ours(f"sweep{number}", 2, SWEEP)
            self._note_switches(2, records)
            self.rows.append(Measurement(what="sweep", side=OURS, round=number, seconds=seconds))
            return [[rung.objectives.seen for rung in record.rungs] for record in records]

        def rival() -> list[list[float]]:
            scores, seconds = timed(lambda: rival_sweep(self.folder / f"rival{number}", self.model, rival_trials))
            self.groups_left += free_what_is_left()
            self.rival_trials = rival_trials
            self.rows.append(Measurement(what="sweep", side=RIVAL, round=number, seconds=seconds * SWEEP / rival_trials))
            return scores

        first, second = (rival(), ours()) if number % 2 == 0 else (ours(), rival())
        for one, other in zip(first, second, strict=False):
            self.difference = max([self.difference, *(abs(a - b) for a, b in zip(one, other, strict=False))])

    def memory(self, trials: int) -> None:
        if trials:
            with self._watching("lane"):
                self.ours("lane", 2, trials)

    def ours(self, name: str, stage: int, trials: int) -> tuple[list[TrialRecord], float]:
        """A sweep as `jobs/sweep.py` runs it, without the data before and the endpoint after it."""
        config = configuration(self.model, trials, stage)
        run = open_run(self.folder / name, config, resume=False)
        result, seconds = timed(lambda: sweep.search(config, SCENARIO, prepared(), run, HeldOutLoss))
        failed = [record.cause for record in result.trials if record.status == "failed"]
        if failed:
            raise AssertionError(f"{len(failed)} trials failed: {failed[0]}")
        return list(result.trials), seconds

    def _note_switches(self, stage: int, records: Sequence[TrialRecord]) -> None:
        self.rows += [
            Measurement(what=f"switch zero{stage}", side=OURS, round=record.number, seconds=record.switch_seconds)
            for record in records
            if record.switch_seconds is not None
        ]

    @contextmanager
    def _watching(self, name: str) -> Iterator[None]:
        """Notes what each kind of process holds whenever a trial of the run `name` has ended."""
        stop = threading.Event()
        watch = threading.Thread(target=self._watch, args=(name, stop))
        watch.start()
        try:
            yield
        finally:
            stop.set()
            watch.join()

    def _watch(self, name: str, stop: threading.Event) -> None:
        ended, trials, watched = 0, self.folder / name / "trials.jsonl", Watched()
        while not stop.wait(0.02):
            count = trials.read_bytes().count(b"\n") if trials.exists() else 0
            if count > ended:
                ended = count
                if stop.wait(AFTER_A_SWITCH_S):
                    return
                self.rows += [
                    Memory(what=f"memory {name}", side=kind, round=count, seconds=0.0, mib=mib)
                    for kind, mib in watched.held_mib().items()
                ]

    def _growth(self) -> float | None:
        """None without a lane that ran long enough."""
        by_trial: dict[int, dict[str, float]] = defaultdict(dict)
        for row in self.rows:
            if isinstance(row, Memory) and row.what == "memory lane":
                by_trial[row.round][row.side] = row.mib
        whole = {number: held for number, held in by_trial.items() if held.keys() >= ALL_KINDS}
        # While the last trial is noted, its lane may be closing already.
        after = [sum(whole[number].values()) - whole[number]["ray"] for number in sorted(whole) if number >= SETTLED][:-1]
        return statistics.median(after[-5:]) - statistics.median(after[:5]) if after else None

    def figures(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for stage in (0, 1, 2, 3):
            seconds = [row.seconds for row in self.rows if row.what == f"switch zero{stage}"]
            if seconds:
                found[f"switch_seconds_zero{stage}"] = statistics.median(seconds)
                found[f"switch_seconds_zero{stage}_p95"] = percentile(seconds, 0.95)
        ours, theirs = (
            statistics.median(row.seconds for row in self.rows if (row.what, row.side) == ("sweep", side)) for side in (OURS, RIVAL)
        )
        return {
            **found,
            "sweep_speedup": speedup(self.rows, OURS, RIVAL, "sweep"),
            **({"sweep_extrapolated_from": self.rival_trials} if self.rival_trials < SWEEP else {}),
            "seconds_per_trial": ours / SWEEP,
            "rival_seconds_per_trial": theirs / SWEEP,
            "rival_placement_groups_left": self.groups_left,
            "max_abs_difference": self.difference,
            **({} if (growth := self._growth()) is None else {"memory_growth_mib": growth}),
        }


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


class Watched:
    """This process and its children, by what they are; looked for again only where one has ended or none was found."""

    def __init__(self) -> None:
        self._processes: list[tuple[psutil.Process, str]] = []

    def held_mib(self) -> dict[str, float]:
        """Resident memory that is not shared, summed by kind; a kind of which a process cannot be read is left out."""
        if len({kind for _, kind in self._processes}) < len(ALL_KINDS) or not all(
            process.is_running() for process, _ in self._processes
        ):
            self._processes = list(self._found())
        held: dict[str, float] = defaultdict(float)
        lost = set()
        for process, kind in self._processes:
            try:
                memory = process.memory_info()
                held[kind] += (memory.rss - memory.shared) / 2**20
            except psutil.Error:
                lost.add(kind)
        return {kind: round(mib, 2) for kind, mib in held.items() if kind not in lost}

    def _found(self) -> Iterator[tuple[psutil.Process, str]]:
        me = psutil.Process()
        yield me, "driver"
        for process in me.children(recursive=True):
            try:
                title = " ".join(process.cmdline()[:1])
            except psutil.Error:
                continue  # it has ended
            if kind := next((kind for part, kind in KINDS.items() if part in title), ""):
                yield process, kind


def free_what_is_left() -> int:
    """Gives the placement groups back that are still held, if nobody does within `PATIENCE_S`: the next side needs the processors.

    Returns:
        How many.
    """
    from ray._raylet import PlacementGroupID
    from ray.util import placement_group_table, remove_placement_group
    from ray.util.placement_group import PlacementGroup

    until = time.monotonic() + PATIENCE_S
    while left := [name for name, group in placement_group_table().items() if group["state"] != "REMOVED"]:
        if time.monotonic() > until:
            for name in left:
                remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(name))))
            break
        time.sleep(0.5)
    return len(left)


def rival_sweep(folder: Path, model: Path, trials: int) -> list[list[float]]:
    """The documented pattern; what each trial reported, rung by rung."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    shared = {"model": str(model), "folder": str(folder), "examples": prepared()}
    space = {"point": tune.grid_search(points(SWEEP)[:trials]), "shared": shared}
    scheduler = ASHAScheduler(
        time_attr="time", metric="seen", mode="max", grace_period=1, reduction_factor=2, max_t=2 ** (len(RUNGS) - 1)
    )
    tuner = tune.Tuner(
        # Nothing of a processor, or the last worker of a full machine would lack its whole one.
        tune.with_resources(run_trial, {"memory": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=1),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0),
    )
    with mock.patch.dict(os.environ, TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="0"):  # we turn Tune's files off for ourselves
        results = tuner.fit()
    if results.errors:
        raise AssertionError(f"{len(results.errors)} trials of the rival failed: {results.errors[0]}")
    return [list(result.metrics_dataframe["seen"]) for result in results]


def run_trial(config: dict[str, Any]) -> None:
    """Tune's side of a trial: starts a TorchTrainer and hears of it through the callback."""
    from ray import train, tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trainer = TorchTrainer(
        train_worker,
        train_loop_config=config,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=train.ScalingConfig(num_workers=WORKERS),
        run_config=train.RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=config["shared"]["folder"],
            callbacks=[TuneReportCallback()],
        ),
    )
    trainer.fit()


def train_worker(config: dict[str, Any]) -> None:
    """One worker of the rival: base model, adapter, engine, steps, and a report at each rung."""
    import deepspeed
    import torch
    from peft import LoraConfig, get_peft_model
    from ray import train
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mixwright.native import use_own_compiler

    use_own_compiler()  # or DeepSpeed would compile for a minute, once
    point, folder, data = config["point"], config["shared"]["model"], config["shared"]["examples"]
    rank = train.get_context().get_world_rank()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trial = configuration(Path(folder), SWEEP, 2).with_values(point)
    torch.manual_seed(trial.trial_seed)
    lora = LoraConfig(
        r=trial.lora.rank, lora_alpha=2 * trial.lora.rank, target_modules=list(trial.lora.target_modules), task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, lora)

    mixture = build_mixture(data.train, trial.mixture, SCENARIO.seen, seed=0, order_seed=0, token_count=lambda example: 1)
    rows = [rendered(tokenizer, example) for example in mixture.rows]
    held_out = held_out_rows(tokenizer, data.dev[TASK])
    batch = MICRO_BATCH * WORKERS
    steps = -(-len(rows) // batch)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=trial.train.learning_rate, weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps, trial.train))
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        lr_scheduler=schedule,
        config={
            "train_micro_batch_size_per_gpu": MICRO_BATCH,
            "gradient_clipping": 1.0,
            "zero_optimization": {"stage": 2, "reduce_bucket_size": 5_000_000, "allgather_bucket_size": 5_000_000},
            "zero_allow_untested_optimizer": True,
        },
    )

    step = 0
    for rung, share in enumerate(RUNGS):
        engine.train()
        while step < math.ceil(share * steps):
            of_step = rows[step * batch : (step + 1) * batch]
            learned = sum(len(row.token_ids) - row.prompt_length for row in of_step)
            mine = of_step[rank::WORKERS]
            width = max(len(row.token_ids) for row in mine)
            ids = torch.full((len(mine), width), tokenizer.pad_token_id)
            mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
            for index, row in enumerate(mine):
                ids[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
                mask[index, : len(row.token_ids)] = 1
                labels[index, row.prompt_length : len(row.token_ids)] = ids[index, row.prompt_length : len(row.token_ids)]
            logits = engine(input_ids=ids, attention_mask=mask).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
            engine.backward(loss * WORKERS / learned)
            engine.step()
            step += 1
        train.report({"seen": -held_out_loss(model, held_out), "time": 2**rung})
    if rank == 0:
        model.save_pretrained(Path(config["shared"]["folder"]) / "adapters" / train.get_context().get_experiment_name())


@contextmanager
def silent_cluster() -> Iterator[None]:
    """A local Ray cluster; with its dashboard, since Ray Train needs it to give back what a stopped trial held."""
    with connected(ClusterConfig(dashboard=True)):
        yield


if __name__ == "__main__":
    run_job(main)
