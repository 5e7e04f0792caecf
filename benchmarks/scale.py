"""How does the cost of a sweep grow with trials, lanes, model size and nodes, and where does it bend?

    python benchmarks/scale.py [--write] [--json]

Simulates 1,000 trials on 64 to 512 GPUs, with and without stragglers and lost nodes (`scale_model.py`), with the costs of
`scale_inputs.json`, which `scale_measure.py` measured, and what is assumed of GPUs and stores, which is `Assumed`. It holds the
model against the measured runs first. `--write` puts the tables and the picture into docs/scale.md and docs/scale.svg. No
processes are started and nothing is measured: the same inputs give the same tables, in seconds.

error_lanes_percent    The largest error of predicted wall times of small real sweeps, set by another one.
error_nodes_percent    The same for trials that sleep, on 2 and 4 nodes, set by 1.
utilisation_N_gpus     Of 1,000 trials of 7B with slow and lost nodes: share of the GPUs' time that trained what was kept.
gpu_hours_N_gpus       What they take.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import ROOT, load
from scale_model import Costs, Fleet, Kind, Outcome, Scores, Work, made_up_scores, simulate
from scale_picture import picture

from mixwright import environment
from mixwright.config import SweepConfig
from mixwright.errors import run_job
from mixwright.train.sizes import ModelSizes, sizes_of, trainable_parameters

INPUTS = Path(__file__).with_name("scale_inputs.json")
DOCUMENT, PICTURE = ROOT / "docs" / "scale.md", ROOT / "docs" / "scale.svg"
SEEDS = range(8)
GPUS = (64, 128, 256, 512)
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What was not measured here: no GPU, no cloud, no shared store."""

    rows_a_trial: int = 24_000
    tokens_a_row: int = 110
    """As `search_spaces/ratio_and_rank.yaml` assumes them."""
    tokens_a_second_7b: float = 8_000.0
    """Of one GPU; likewise. Other sizes: at the same operations a second."""
    rows_a_step: int = 16
    shortest_step_s: float = 0.05
    """What a step takes at least, however small the model: launching kernels."""
    split_loss: float = 0.1
    """Of a lane's speed, where its model stretches over two GPUs."""
    evaluation_s: float = 15.0
    """60 dev rows of each of seven tasks answered and scored, 200 held-out rows read."""
    store_gib_a_second: float = 2.0
    """Of the shared store, all nodes together."""
    replacement_s: float = 600.0
    """Until a lost node's successor has joined."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A LLaMA, by the numbers of its config.json."""

    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    words: int
    tied: bool = False
    gpus: int = 1
    """Of a lane."""

    @property
    def sizes(self) -> ModelSizes:
        return sizes_of(
            SimpleNamespace(
                hidden_size=self.hidden,
                intermediate_size=self.inner,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.groups,
                vocab_size=self.words,
                tie_word_embeddings=self.tied,
            )
        )


MODELS = {
    "135M": Model(hidden=576, inner=1536, layers=30, heads=9, groups=3, words=49152, tied=True),
    "1B": Model(hidden=2048, inner=8192, layers=16, heads=32, groups=8, words=128256, tied=True),
    "7B": Model(hidden=4096, inner=11008, layers=32, heads=32, groups=32, words=32000),
    "13B": Model(hidden=5120, inner=13824, layers=40, heads=40, groups=40, words=32000, gpus=2),
}

FLEETS: dict[str, dict[str, float]] = {
    "calm": {},
    "slow nodes": {"slow_share": 0.05, "slow_by": 1.5, "jitter": 0.1},
    "lost nodes, 24 h": {"lifetime_h": 24.0},
    "lost nodes, 6 h": {"lifetime_h": 6.0},
    "lost nodes, 2 h": {"lifetime_h": 2.0},
    "slow and lost, 6 h": {"slow_share": 0.05, "slow_by": 1.5, "jitter": 0.1, "lifetime_h": 6.0},
}
WORST = "slow and lost, 6 h"


def inputs() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(INPUTS.read_text(encoding="utf-8"))
    return found


# What a real cluster would cost, from what was measured and what is assumed.


def trial_seconds(model: Model, assumed: Assumed) -> float:
    """Training of a whole trial on one lane."""
    speed = assumed.tokens_a_second_7b * MODELS["7B"].sizes.matrices / model.sizes.matrices
    speed *= model.gpus * (1 - assumed.split_loss * (model.gpus > 1))
    steps = assumed.rows_a_trial / assumed.rows_a_step
    return max(assumed.rows_a_trial * assumed.tokens_a_row / speed, steps * assumed.shortest_step_s)


def costs_of(model: Model, assumed: Assumed, measured: Mapping[str, Any], *, full: bool = False) -> Costs:
    """Of a lane that tunes adapters of rank 16, or every weight."""
    config = SweepConfig(name="scale")
    parameters = model.sizes.parameters if full else trainable_parameters(config, model.sizes, rank=16)
    rates = checkpoint_rates(measured)
    saved = saved_bytes(model, parameters, rates, full=full)
    return Costs(
        start_s=fitted(measured).start_s,
        load_gib=model.sizes.parameters * 2 / GIB,
        base_evaluation_s=assumed.evaluation_s,
        switch_s=fitted(measured).switch_s,
        evaluation_s=assumed.evaluation_s,
        checkpoint_s=saved * rates.seconds_a_byte,
        checkpoint_gib=saved / GIB,
        suggest_s=measured["driver"]["suggest_s"],
        result_s=measured["driver"]["result_s"],
        restart_s=measured["loss"]["until_first_step_s"],
        close_s=fitted(measured).close_s,
    )


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a checkpoint takes."""

    bytes_each: float
    """A tuned parameter: its weight, fp32 master and two moments."""
    seconds_a_byte: float


def checkpoint_rates(measured: Mapping[str, Any]) -> Rates:
    """By the largest that was written, of the embedded model; what it holds beside what is tuned is said at `saved_bytes`."""
    largest = max(measured["checkpoint"]["checkpoints"], key=lambda found: found["parameters"])
    tuned = largest["bytes"] - 2 * MODELS["135M"].sizes.output
    return Rates(bytes_each=tuned / largest["parameters"], seconds_a_byte=largest["seconds"] / largest["bytes"])


def saved_bytes(model: Model, parameters: int, rates: Rates, *, full: bool) -> float:
    """Of a checkpoint. Where the output matrix is the embedding once more, DeepSpeed saves it too, under its second name."""
    return parameters * rates.bytes_each + (2 * model.sizes.output if model.tied and not full else 0)


def fleet_of(gpus: int, model: Model, assumed: Assumed, seed: int, **trouble: float) -> Fleet:
    return Fleet(
        lanes=gpus // model.gpus,
        gpus_a_lane=model.gpus,
        replacement_s=assumed.replacement_s,
        store_gib_a_second=assumed.store_gib_a_second,
        seed=seed,
        **trouble,  # type: ignore[arg-type]
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of a table, before it is simulated."""

    model: str = "7B"
    gpus: int = 128
    trials: int = 1000
    trial_s: float | None = None
    """None: what the model's size gives."""
    rungs: tuple[float, ...] = (0.25, 0.5, 1.0)
    halving: bool = True
    full: bool = False
    fleet: str = "calm"
    assumed: Assumed = Assumed()
    doubled: str = ""
    """A cost that is taken twice."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Of the outcomes over all seeds."""

    outcomes: tuple[Outcome, ...]

    def of(self, what: Callable[[Outcome], float]) -> float:
        return statistics.mean(map(what, self.outcomes))

    @property
    def utilisation(self) -> float:
        return self.of(lambda outcome: outcome.utilisation)

    @property
    def utilisation_range(self) -> str:
        values = [outcome.utilisation for outcome in self.outcomes]
        return f"{100 * min(values):.0f} to {100 * max(values):.0f}"

    @property
    def wall_min(self) -> float:
        return self.of(lambda outcome: outcome.wall_s) / 60

    @property
    def gpu_hours(self) -> float:
        return self.of(lambda outcome: outcome.gpu_hours)

    def share(self, *kinds: Kind) -> float:
        return self.of(lambda outcome: sum(outcome.spent_s[kind] for kind in kinds) / sum(outcome.spent_s.values()))


@cache
def result(case: Case) -> Mean:
    """The case with every seed: other scores, other slow nodes, other losses."""
    model, measured = MODELS[case.model], inputs()
    costs = costs_of(model, case.assumed, measured, full=case.full)
    if case.doubled:
        costs = replace(costs, **{case.doubled: 2 * getattr(costs, case.doubled)})
    work = Work(
        trials=case.trials,
        trial_s=trial_seconds(model, case.assumed) if case.trial_s is None else case.trial_s,
        rungs=case.rungs,
        reduction_factor=2.0 if case.halving else None,
    )
    return Mean(
        outcomes=tuple(
            simulate(work, costs, fleet_of(case.gpus, model, case.assumed, seed, **FLEETS[case.fleet]), made_up_scores(seed))
            for seed in SEEDS
        )
    )


# The model against what was measured.


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Costs that one measured sweep gives."""

    start_s: float
    trial_s: float
    evaluation_s: float
    switch_s: float
    checkpoint_s: float
    close_s: float


@dataclass(frozen=True, kw_only=True)
class Check:
    """A wall time that was measured, and what the model says of it."""

    what: str
    measured_s: float
    predicted_s: float

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted_s / self.measured_s - 1)


def fitted(measured: Mapping[str, Any]) -> Fitted:
    """By the first of the small sweeps: medians of what its trials took; what is left over of its wall time goes to the rungs."""
    run, driver = measured["lanes"]["runs"][0], measured["driver"]
    rungs, trials = run["rungs"], run["trials"][1:]  # the first is slower, once in a lane's life
    stretches = [
        (share - before, trial["seconds"][rung] - (trial["seconds"][rung - 1] if rung else 0.0))
        for rung, (before, share) in enumerate(zip((0.0, *rungs), rungs, strict=False))
        for trial in trials
        if len(trial["seconds"]) > rung
    ]
    trial_s, evaluation_s = statistics.linear_regression(*zip(*stretches, strict=True))
    reached = sum(len(trial["seconds"]) for trial in run["trials"])
    between = statistics.median(trial["switch_s"] for trial in trials)
    switch_s = max(0.0, between - driver["suggest_s"] - driver["result_s"])
    in_trials = sum(trial["seconds"][-1] for trial in run["trials"])
    left = run["wall_s"] - run["start_s"] - run["close_s"] - in_trials - len(trials) * between
    return Fitted(
        start_s=run["start_s"],
        trial_s=trial_s,
        evaluation_s=evaluation_s,
        switch_s=switch_s,
        checkpoint_s=max(0.0, left / reached - driver["result_s"]),
        close_s=run["close_s"],
    )


def sweep_checks(measured: Mapping[str, Any]) -> list[Check]:
    """The other small sweeps, by the first one's costs and their own scores; from the first lane's start to the last record."""
    costs, driver = fitted(measured), measured["driver"]
    checks = []
    for run in measured["lanes"]["runs"][1:]:
        work = Work(trials=len(run["trials"]), trial_s=costs.trial_s, rungs=tuple(run["rungs"]))
        outcome = simulate(
            work,
            Costs(
                switch_s=costs.switch_s,
                evaluation_s=costs.evaluation_s,
                checkpoint_s=costs.checkpoint_s,
                suggest_s=driver["suggest_s"],
                result_s=driver["result_s"],
            ),
            Fleet(lanes=run["lanes"]),
            scores_of(run),
        )
        what = f"{work.trials} trials, {run['lanes']} lane{'s' * (run['lanes'] > 1)}"
        measured_s = run["wall_s"] - min(run["starts_s"]) - run["close_s"]
        checks.append(Check(what=what, measured_s=measured_s, predicted_s=outcome.wall_s))
    return checks


def scores_of(run: Mapping[str, Any]) -> Scores:
    """What its trials scored; one that went no further scores there what it did at its last rung."""

    def score(trial: int, rung: int) -> float:
        scores: list[float] = run["trials"][trial]["scores"]
        return scores[min(rung, len(scores) - 1)]

    return score


def node_costs(measured: Mapping[str, Any]) -> Costs:
    """Of a trial that sleeps: what it cost on one lane beside its sleep, of which the driver's part is known."""
    nodes, driver = measured["nodes"], measured["driver"]
    beside = nodes["lanes"]["1"]["seconds"] / nodes["trials_a_lane"] - nodes["trial_s"]
    switch_s = max(0.0, beside - driver["suggest_s"] - 2 * driver["result_s"])
    return Costs(switch_s=switch_s, suggest_s=driver["suggest_s"], result_s=driver["result_s"])


def node_checks(measured: Mapping[str, Any]) -> list[Check]:
    """Trials that sleep, on 2 and 4 nodes by the costs on one; from the moment when all lanes are up."""
    nodes, checks = measured["nodes"], []
    trials = nodes["trials_a_lane"]
    for lanes in (2, 4):
        work = Work(trials=lanes * trials, trial_s=nodes["trial_s"], rungs=(0.5, 1.0), reduction_factor=None)
        outcome = simulate(work, node_costs(measured), Fleet(lanes=lanes, gpus_a_node=1), lambda trial, rung: 0.0)
        what = f"{lanes} lanes, each {trials} trials that sleep {nodes['trial_s']:g} s"
        checks.append(Check(what=what, measured_s=nodes["lanes"][str(lanes)]["seconds"], predicted_s=outcome.wall_s))
    return checks


def largest_error(checks: Iterable[Check]) -> float:
    return max(abs(check.error_percent) for check in checks)


# Tables.

Table = list[list[str]]
"""Rows of cells; the first is the head."""


def checked() -> Table:
    measured = inputs()
    return [
        ["what", "measured s", "the model s", "error"],
        *(
            [check.what, f"{check.measured_s:.1f}", f"{check.predicted_s:.1f}", f"{check.error_percent:+.1f} %"]
            for check in [*sweep_checks(measured), *node_checks(measured)]
        ),
    ]


def measured_inputs() -> Table:
    measured, costs = inputs(), fitted(inputs())
    rates = checkpoint_rates(measured)
    trial = measured["trial"]
    found = {
        "a lane's start, until its first trial is on its workers": (f"{costs.start_s:.1f} s", "lanes"),
        "switch to the next trial, up to its first step": (f"{1000 * costs.switch_s:.0f} ms, and the driver's", "lanes"),
        "the end: from the last record to all workers gone": (f"{costs.close_s:.1f} s", "lanes"),
        "the driver, a suggestion": (f"{1000 * measured['driver']['suggest_s']:.0f} ms", "driver"),
        "the driver, a rung's result": (f"{1000 * measured['driver']['result_s']:.0f} ms", "driver"),
        "checkpoint, bytes a tuned parameter": (f"{rates.bytes_each:.1f}", "checkpoint"),
        "checkpoint, write with digests": (f"{1 / rates.seconds_a_byte / GIB:.2f} GiB/s", "checkpoint"),
        "a lost node, until the trial's next step on another": (f"{measured['loss']['until_first_step_s']:.1f} s", "loss"),
        "embedded model on one core: training": (f"{trial['tokens_per_second']:.0f} tokens/s", "trial"),
        f"the same: evaluation and checkpoint of a rung, {trial['dev_rows']} dev rows a task": (
            f"{trial['evaluation_s']:.1f} s",
            "trial",
        ),
    }
    return [
        ["cost", "measured", "commit", "load before"],
        *(
            [what, value, measured[part]["environment"]["commit"][:12], f"{measured[part]['load_before']}"]
            for what, (value, part) in found.items()
        ),
    ]


def by_gpus() -> Table:
    head = ["nodes of 8 GPUs", *(f"{gpus} GPUs" for gpus in GPUS)]
    return [head, *([fleet, *(cell(result(Case(gpus=gpus, fleet=fleet))) for gpus in GPUS)] for fleet in FLEETS)]


def cell(mean: Mean) -> str:
    return f"{mean.wall_min:.0f} min, {mean.gpu_hours:.0f} GPU-h, **{100 * mean.utilisation:.0f} %** ({mean.utilisation_range})"


def by_model() -> Table:
    rows = []
    for name, model in MODELS.items():
        costs = costs_of(model, Assumed(), inputs())
        each = f"{trial_seconds(model, Assumed()):.0f} s, {model.gpus}"
        rows.append([name, each, f"{1024 * costs.checkpoint_gib:.0f} MiB", *(plain(Case(model=name, gpus=gpus)) for gpus in GPUS)])
    return [["model", "a whole trial, GPUs", "checkpoint", *(f"{gpus} GPUs" for gpus in GPUS)], *rows]


def plain(case: Case) -> str:
    mean = result(replace(case, fleet=WORST))
    return f"{mean.wall_min:.0f} min, {mean.gpu_hours:.0f} GPU-h, {100 * mean.utilisation:.0f} %"


def by_trials() -> Table:
    counts = (100, 300, 1000, 3000)
    return [
        ["trials", *(f"{gpus} GPUs" for gpus in GPUS)],
        *([f"{trials:,}", *(plain(Case(trials=trials, gpus=gpus)) for gpus in GPUS)] for trials in counts),
    ]


SHARES: dict[str, tuple[Kind, ...]] = {
    "training that was kept": ("training",),
    "evaluation": ("evaluation",),
    "slow nodes": ("slowness",),
    "start and reading the model": ("start",),
    "checkpoints, most of it the store": ("checkpoint",),
    "the driver and switches": ("driver", "switch"),
    "lost work and restarts": ("lost",),
    "waiting for a new node": ("away",),
    "no trial left": ("idle",),
}


def where_it_goes() -> Table:
    means = [result(Case(gpus=gpus, fleet=WORST)) for gpus in GPUS]
    return [
        ["share of the GPUs' time", *(f"{gpus} GPUs" for gpus in GPUS)],
        *([name, *(f"{100 * mean.share(*kinds):.1f} %" for mean in means)] for name, kinds in SHARES.items()),
    ]


def short_trials() -> Table:
    """The driver serves one event at a time: lanes beyond what it can feed wait for it."""
    driver, costs, rungs = inputs()["driver"], costs_of(MODELS["7B"], Assumed(), inputs()), Work(trials=1, trial_s=0.0).rungs
    reached = [0.5**rung for rung in range(len(rungs))]
    share = sum(part * (rung - before) for part, rung, before in zip(reached, rungs, (0.0, *rungs), strict=False))
    events_s = driver["suggest_s"] + sum(reached) * driver["result_s"]
    rows = []
    for trial_s in (10.0, 30.0, 100.0, 330.0):
        evaluation_s = trial_s / 20
        lane_s = share * trial_s + sum(reached) * (evaluation_s + costs.checkpoint_s) + costs.switch_s + events_s
        rows.append([f"{trial_s:.0f} s", f"{lane_s:.0f} s", f"{1000 * events_s:.0f} ms", f"{lane_s / events_s:,.0f}"])
    return [["a whole trial", "a lane's time, on average", "the driver's", "lanes that it can feed"], *rows]


def stores() -> Table:
    rows = []
    for name, full in (("LoRA, rank 16", False), ("every weight", True)):
        for rate in (0.5, 2.0, 8.0):
            assumed = replace(Assumed(), store_gib_a_second=rate)
            cells = [
                f"{100 * mean.utilisation:.0f} %, store {100 * mean.share('checkpoint', 'start'):.0f} %"
                for mean in (result(Case(gpus=gpus, full=full, assumed=assumed)) for gpus in GPUS)
            ]
            rows.append([name, f"{rate:g}", *cells])
    return [["7B tunes", "store GiB/s", *(f"{gpus} GPUs" for gpus in GPUS)], *rows]


def long_trials() -> Table:
    """Nothing is saved between rungs, so few rungs make losses dear."""
    rows = []
    for rungs in (1, 2, 4, 8):
        cells = []
        for fleet in ("lost nodes, 24 h", "lost nodes, 6 h", "lost nodes, 2 h"):
            shares = tuple((number + 1) / rungs for number in range(rungs))
            mean = result(Case(gpus=64, trials=128, trial_s=4 * 3600, rungs=shares, halving=False, fleet=fleet))
            failed = mean.of(lambda outcome: outcome.failed)
            cells.append(f"{100 * mean.utilisation:.0f} %, lost {100 * mean.share('lost'):.0f} %, {failed:.1f} failed")
        rows.append([str(rungs), *cells])
    return [["rungs", "a loss in 24 h a node", "in 6 h", "in 2 h"], *rows]


DOUBLED = {
    "evaluation_s": "evaluation",
    "start_s": "a lane's start",
    "load_gib": "the base model's size in the store",
    "checkpoint_gib": "a checkpoint's size in the store",
    "checkpoint_s": "writing a checkpoint",
    "switch_s": "switch",
    "suggest_s": "a suggestion",
    "result_s": "a result",
    "restart_s": "restart after a loss",
}


def sensitivity() -> Table:
    rows = []
    for field, name in DOUBLED.items():
        cells = []
        for gpus in (64, 512):
            case = Case(gpus=gpus, fleet=WORST)
            cells.append(f"{result(replace(case, doubled=field)).gpu_hours / result(case).gpu_hours - 1:+.1%}")
        rows.append([name, *cells])
    return [["twice as much of", "GPU-hours at 64 GPUs", "at 512"], *rows]


TABLES: dict[str, Callable[[], Table]] = {
    "inputs": measured_inputs,
    "checks": checked,
    "gpus": by_gpus,
    "where": where_it_goes,
    "models": by_model,
    "trials": by_trials,
    "short": short_trials,
    "store": stores,
    "long": long_trials,
    "doubled": sensitivity,
}


def markdown(table: Table) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(document: str) -> str:
    """The document with each table between its two marks made anew."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{markdown(TABLES[match[2]]())}\n{match[3]}"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)", table, document, flags=re.DOTALL)


def drawn() -> str:
    lines = {fleet: [(gpus, result(Case(gpus=gpus, fleet=fleet)).utilisation) for gpus in GPUS] for fleet in FLEETS}
    return picture(lines)


def figures() -> dict[str, float]:
    measured = inputs()
    found = {
        "error_lanes_percent": largest_error(sweep_checks(measured)),
        "error_nodes_percent": largest_error(node_checks(measured)),
    }
    for gpus in GPUS:
        mean = result(Case(gpus=gpus, fleet=WORST))
        found |= {f"utilisation_{gpus}_gpus": mean.utilisation, f"gpu_hours_{gpus}_gpus": mean.gpu_hours}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="What a sweep of 1,000 trials takes on 64 to 512 GPUs, on paper.")
    parser.add_argument("--write", action="store_true", help="put tables and picture into docs/")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    options = parser.parse_args()
    before = load()
    if options.write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
        PICTURE.write_text(drawn(), encoding="utf-8")
    if options.json:
        rows = [{"table": name, "cells": row} for name, table in TABLES.items() for row in table()]
        described = {**environment.describe(), "load_before": before}
        json.dump({"environment": described, "figures": figures(), "rows": rows}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write("\n\n".join(f"{name}\n{markdown(table())}" for name, table in TABLES.items()) + "\n")
    return 0


if __name__ == "__main__":
    run_job(main)
