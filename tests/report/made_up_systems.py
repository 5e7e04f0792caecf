"""A made-up run with everything that can be recorded: p-values, power, edits, decoding, usage, human rows, an outside model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tests.report.made_up_run import METRICS, ROWS, make_predictions, make_record, make_run, make_score, make_systems, make_trials

from mixwright.records import (
    BASE,
    COPY,
    HUMAN,
    Difference,
    Objectives,
    PowerRecord,
    RunRecord,
    Score,
    SystemRecord,
    TrialRecord,
    to_json,
    write_jsonl,
    write_text,
)

OUTSIDER = "large-chat-model-4-shots"
MATTERS = 3.0
ERROR_TYPES = {
    BASE: {"R:VERB:SVA": (1, 3, 5), "R:OTHER": (0, 9, 0), "M:DET": (0, 0, 2)},
    "best": {"R:VERB:SVA": (4, 1, 2), "M:DET": (1, 0, 1)},
    OUTSIDER: {"R:VERB:SVA": (5, 0, 1), "R:OTHER": (0, 4, 0), "M:DET": (2, 1, 0)},
}
"""System -> type -> tp, fp and fn."""


def make_full_run(folder: Path) -> RunRecord:
    """A run folder whose records hold all that there is to record."""
    make_run(folder)
    trials = [_with_errors(trial) for trial in make_trials()]
    run = dataclasses.replace(make_record(make_trials()), systems=make_full_systems())
    write_jsonl(folder / "trials.jsonl", trials)
    write_text(folder / "result.json", json.dumps(to_json(run)))
    for name, tasks in ((OUTSIDER, METRICS), (HUMAN, ("clarity",))):
        answers = [dataclasses.replace(item, system=name, output=item.references[0]) for item in make_predictions("best")]
        write_jsonl(folder / "predictions" / f"test-{name}.jsonl", [item for item in answers if item.task in tasks])
    return run


def _with_errors(trial: TrialRecord) -> TrialRecord:
    errors = Objectives(seen=2.25, unseen=3.5, retention=0.012)
    rungs = tuple(dataclasses.replace(rung, standard_errors=errors) for rung in trial.rungs)
    return dataclasses.replace(trial, rungs=rungs)


def make_full_systems() -> tuple[SystemRecord, ...]:
    """Base, copy, human (on the one task with several references), the best adapter and an outside model."""
    base, copy, best = make_systems("t03")
    values = {"grammaticality": 44.0, "fluency": 49.0, "clarity": 34.9, "paraphrasing": 41.0}
    outsider = SystemRecord(
        name=OUTSIDER,
        scores=tuple(make_score(task, OUTSIDER, value) for task, value in values.items()),
        differences=tuple(_difference(task, OUTSIDER, value - _value(base, task), 4.0, 0.004) for task, value in values.items()),
        decoding={"temperature": 0, "max_tokens": 96, "shots": 4},
        usage={"requests": 48, "prompt_tokens": 9120, "completion_tokens": 700, "usd": 0.0123},
    )
    tested = {"grammaticality": 0.001, "fluency": 0.002, "clarity": 0.61, "mean of seen": 0.001, "paraphrasing": 0.7}
    differences = tuple(
        dataclasses.replace(item, p_value=tested[item.task], p_corrected=min(1.0, 30 * tested[item.task]), detectable=6.5)
        for item in best.differences
    )
    best = dataclasses.replace(best, differences=differences, decoding={"method": "greedy", "max_new_tokens": 96})
    human = SystemRecord(name=HUMAN, scores=(make_score("clarity", HUMAN, 47.0),))
    return tuple(_detailed(system) for system in (base, copy, human, _powered(best), _powered(outsider)))


def _value(system: SystemRecord, task: str) -> float:
    return next(score.value for score in system.scores if score.task == task)


def _difference(task: str, system: str, value: float, spread: float, p_value: float) -> Difference:
    return Difference(
        task=task,
        system=system,
        value=value,
        low=value - spread,
        high=value + spread,
        n=ROWS,
        p_value=p_value,
        p_corrected=4 * p_value,
        detectable=5.5,
    )


def _powered(system: SystemRecord) -> SystemRecord:
    power = tuple(
        PowerRecord(
            task=item.task,
            n=item.n,
            detectable=item.detectable,
            interesting=MATTERS,
            rows_needed=4 * item.n,
            underpowered=item.task != "mean of seen",
        )
        for item in system.differences
    )
    return dataclasses.replace(system, power=power)


def _detailed(system: SystemRecord) -> SystemRecord:
    return dataclasses.replace(system, scores=tuple(_with_details(score) for score in system.scores))


def _with_details(score: Score) -> Score:
    metric = METRICS[score.task]
    if metric == "errant_f0.5":
        details = {"precision": 100.0 if score.system == COPY else 61.5, "recall": 0.0 if score.system == COPY else 22.2}
        details |= {} if score.system == HUMAN else {"over_correction": 25.0 if score.system == BASE else 0.0}
        types = {kind: {"tp": tp, "fp": fp, "fn": fn} for kind, (tp, fp, fn) in ERROR_TYPES.get(score.system, {}).items()}
        return dataclasses.replace(score, details=details, error_types=types)
    if metric == "sari":
        return dataclasses.replace(score, details={"add": 8.5, "keep": 61.0, "delete": 23.7})
    return score
