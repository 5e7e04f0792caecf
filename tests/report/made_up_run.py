"""A made-up run folder, written through the records: eight trials, of which some were stopped and one failed."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

from mixwright.config import SweepConfig
from mixwright.records import (
    BASE,
    COPY,
    Difference,
    Objectives,
    Prediction,
    RungRecord,
    RunRecord,
    Score,
    SystemRecord,
    TrialRecord,
    TrialStatus,
    to_json,
    write_jsonl,
    write_text,
)
from mixwright.settings import dump_yaml, validate

SEEN = {"grammaticality": "errant_f0.5", "fluency": "gleu", "clarity": "sari"}
UNSEEN = {"paraphrasing": "sari"}
METRICS = SEEN | UNSEEN
BASE_DEV = {"grammaticality": 12.0, "fluency": 40.0, "clarity": 31.0, "paraphrasing": 28.0}
ROWS = 12
INJECTION = "<script>document.title = 'taken over'</script>"

TEXTS = (
    ("The two boat leaves at nine.", "The two boats leave at nine.", "Two boats: nine!", "The two boats leave at nine."),
    ("She have a red kite.", "She has a red kite.", "She have a red kite.", "She has a red kite."),
    ("Rain fell on and on, and it fell all night.", "Rain fell all night.", "Rain fell all night.", "Rain fell on, and all night."),
    ("Our mill grinds oats, barley and rye.", "Our mill grinds oats, barley, and rye.", "Mills are old.", "Mills are old."),
)


def make_run(folder: Path, **changes: Any) -> RunRecord:
    """Writes a whole run folder; `changes` replace fields of its RunRecord."""
    trials = make_trials()
    run = dataclasses.replace(make_record(trials), **changes)
    write_text(folder / "result.json", json.dumps(to_json(run)))
    write_text(folder / "config.yaml", dump_yaml(make_config()))
    write_jsonl(folder / "trials.jsonl", trials)
    for trial in trials:
        _write_metrics(folder, trial)
    for system in (BASE, COPY, "best"):
        write_jsonl(folder / "predictions" / f"test-{system}.jsonl", make_predictions(system))
    return run


def make_config() -> SweepConfig:
    parameters = {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"choices": [4, 8, 16, 32]}}
    tree = {"name": "made-up", "search": {"parameters": parameters, "trials": 8}}
    return validate(SweepConfig, tree, where="made-up run")


def make_trials() -> tuple[TrialRecord, ...]:
    """Eight trials; number 3 is best, 5 and 6 were stopped, 7 failed before its first rung."""
    points = ((0.0, 16), (1.0, 16), (0.5, 8), (0.26, 32), (0.25, 8), (0.75, 4), (0.9, 32), (0.6, 16))
    statuses: tuple[TrialStatus, ...] = ("complete", "complete", "complete", "complete", "complete", "stopped", "stopped", "failed")
    return tuple(make_trial(number, *point, status) for number, (point, status) in enumerate(zip(points, statuses, strict=True)))


def make_trial(number: int, fraction: float, rank: int, status: TrialStatus) -> TrialRecord:
    shares = {"complete": (0.34, 1.0), "stopped": (0.34,), "failed": ()}[status]
    scenario = round(400 * (1 - fraction))
    return TrialRecord(
        trial_id=f"t{number:02d}",
        number=number,
        status=status,
        params={"mixture.generic_fraction": fraction, "lora.rank": rank},
        rungs=tuple(_rung(fraction, rank, share) for share in shares),
        counts={"generic": 400 - scenario, "grammaticality": scenario // 2, "fluency": scenario - scenario // 2},
        cause="TrainError: the loss of step 9 is not a number; lower train.learning_rate" if status == "failed" else "",
        adapter=f"adapters/t{number:02d}" if status == "complete" else "",
    )


def _rung(fraction: float, rank: int, share: float) -> RungRecord:
    gain = 14 * (1 - fraction**2) * share * (1 - 2 / (rank + 2))
    scores = {task: BASE_DEV[task] + gain for task in SEEN} | {"paraphrasing": 28.0 + 3 * math.sin(2.6 * fraction) - 1.4 * share}
    objectives = Objectives(
        seen=sum(scores[task] for task in SEEN) / len(SEEN),
        unseen=scores["paraphrasing"],
        retention=-0.14 * (1 - fraction) ** 2 * share + 0.05 * fraction,
    )
    return RungRecord(
        step=round(50 * share),
        examples=round(400 * share),
        tokens=round(32_000 * share),
        train_loss=2.4 - share,
        objectives=objectives,
        task_scores=scores,
        seconds=95.0 * share,
    )


def _write_metrics(folder: Path, trial: TrialRecord) -> None:
    noise = random.Random(trial.trial_id)
    last = trial.rungs[-1].step if trial.rungs else 9
    rows = (
        {"step": step, "examples": 8 * step, "tokens": 640 * step, "loss": 1.1 + 1.5 * math.exp(-step / 12) + noise.gauss(0, 0.08)}
        for step in range(1, last + 1)
    )
    write_text(folder / "trials" / trial.trial_id / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def make_predictions(system: str) -> list[Prediction]:
    return [make_prediction(system, task, row) for task in METRICS for row in range(ROWS)]


def make_prediction(system: str, task: str, row: int) -> Prediction:
    text, reference, of_base, of_best = TEXTS[row % len(TEXTS)]
    if task == "fluency" and row == 0:
        of_base = INJECTION
    return Prediction(
        example_id=f"{task}:{row}",
        task=task,
        system=system,
        instruction=f"Work on the {task} of this text.",
        text=text,
        output={BASE: of_base, COPY: text}.get(system, of_best),
        references=(reference,),
    )


def make_score(task: str, system: str, value: float) -> Score:
    return Score(
        task=task,
        metric=METRICS[task],
        system=system,
        value=value,
        n=ROWS,
        low=max(0.0, value - 3),
        high=value + 3.2,
        seen=task in SEEN,
    )


def make_record(trials: tuple[TrialRecord, ...]) -> RunRecord:
    best = trials[3]
    return RunRecord(
        name="made-up",
        question="Which share of generic data, at which rank, helps writing most?",
        status="complete",
        best={
            "trial_id": best.trial_id,
            "params": best.params,
            "objectives": to_json(best.rungs[-1].objectives),
            "adapter": best.adapter,
            "reason": "highest seen among trials within the limits",
            "seen_difference": 9.0,
        },
        pareto=tuple({"trial_id": trials[index].trial_id} for index in range(4)),
        systems=make_systems(best.trial_id),
        base_dev={"objectives": {"seen": 27.67, "unseen": 28.0, "retention": 0.0}, "task_scores": BASE_DEV},
        environment={"processor": "made-up, 2 cores", "commit": "0123abc", "versions": {"python": "3.11.2", "torch": "2.13.0"}},
        cost={"seconds": {"prepare": 21.0, "search": 512.5, "serve_and_evaluate": 95.0}, "training_tokens": 176_000},
        data=make_data(),
    )


def make_data() -> dict[str, Any]:
    source = {"format": "jsonl", "use": "both", "read": 4100, "left_out": {"empty": 2}, "held_out": 57, "leaked": 3}
    kept = {"train": {"generic": 2000, "fluency": 2000}, "dev": {"generic": 16, "fluency": 16}, "test": {"fluency": ROWS}}
    tasks = {"generic": {"train": 2000, "dev": 16, "test": 0}, "fluency": {"train": 2000, "dev": 16, "test": ROWS}}
    return {"root": "data", "seed": 0, "sources": {"made-up": {**source, "kept": kept}}, "tasks": tasks}


def make_systems(trial_id: str) -> tuple[SystemRecord, ...]:
    base = {"grammaticality": 12.4, "fluency": 41.0, "clarity": 30.1, "paraphrasing": 28.3}
    copy = {"grammaticality": 0.0, "fluency": 52.0, "clarity": 33.0, "paraphrasing": 15.0}
    best = {"grammaticality": 31.0, "fluency": 55.2, "clarity": 31.0, "paraphrasing": 27.6}
    spread = {"grammaticality": 5.0, "fluency": 4.1, "clarity": 3.3, "paraphrasing": 2.9}
    differences = [make_difference(task, best[task] - base[task], spread[task]) for task in METRICS]
    differences.append(make_difference("mean of seen", 11.2, 2.4, n=3 * ROWS))
    return (
        SystemRecord(name=BASE, scores=tuple(make_score(task, BASE, value) for task, value in base.items())),
        SystemRecord(name=COPY, scores=tuple(make_score(task, COPY, value) for task, value in copy.items())),
        SystemRecord(
            name="best",
            scores=tuple(make_score(task, "best", value) for task, value in best.items()),
            differences=tuple(differences),
            retention=-0.061,
            trial_id=trial_id,
        ),
    )


def make_difference(task: str, value: float, spread: float, n: int = ROWS) -> Difference:
    return Difference(task=task, system="best", value=value, low=value - spread, high=value + spread, n=n)
