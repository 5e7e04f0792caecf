"""A run folder as the report reads it: every record that is there, and a sentence for each that is not.

What comes in: the folder that a sweep wrote. What goes out: a `RunFolder`. Only `result.json` is needed; anything else that
is missing or broken becomes a notice in the report, because a run that was cut short is when a report is wanted most.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.config import SweepConfig, load_config
from mixwright.errors import ConfigError, DataError, RunError
from mixwright.records import BASE, COPY, HUMAN, Prediction, RunRecord, SystemRecord, TrialRecord, from_json, read_jsonl


@dataclass(frozen=True, kw_only=True)
class StepLoss:
    """Training loss of one optimiser step, nats a token."""

    step: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """What one run left behind."""

    path: Path
    run: RunRecord
    trials: tuple[TrialRecord, ...]
    """By number."""
    losses: dict[str, tuple[StepLoss, ...]]
    """Trial id -> its steps in order; trials without a readable `metrics.jsonl` are left out."""
    predictions: dict[str, dict[str, Prediction]]
    """`base`, `copy`, `best` -> example id -> test prediction; systems without a file are left out."""
    config: SweepConfig | None
    config_text: str
    data: dict[str, Any]
    notices: tuple[str, ...]
    """What is missing or unreadable, a sentence each."""

    @property
    def best_id(self) -> str:
        """Id of the best trial; empty where none is."""
        return str(self.run.best.get("trial_id", ""))

    @property
    def best_trial(self) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.trial_id == self.best_id), None)


def best_system(run: RunRecord) -> SystemRecord | None:
    """The tuned system of the final table: that of the best trial, else the last that is none of base, copy and human."""
    tuned = [system for system in run.systems if system.name not in (BASE, COPY, HUMAN)]
    of_best_trial = [system for system in tuned if system.trial_id and system.trial_id == run.best.get("trial_id")]
    return next(reversed(of_best_trial or tuned), None)


def read_run_folder(path: Path) -> RunFolder:
    """Reads a run folder.

    Raises:
        RunError: there is no `result.json`.
        DataError: `result.json` is not a RunRecord of this version.
    """
    notices: list[str] = []
    run = _read_run(path / "result.json")
    trials = _read_trials(path / "trials.jsonl", notices)
    config, config_text = _read_config(path / "config.yaml", notices)
    return RunFolder(
        path=path,
        run=run,
        trials=trials,
        losses=_read_losses(path, trials, notices),
        predictions=_read_predictions(path, run, notices),
        config=config,
        config_text=config_text,
        data=_read_data(path / "data.json", run, notices),
        notices=tuple(notices),
    )


def _read_run(path: Path) -> RunRecord:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file, so there is nothing to report; finish the sweep with --resume first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be JSON in UTF-8: {error}; finish the sweep with --resume to write it again") from None
    if not isinstance(tree, dict):
        raise DataError(f"{path}: must hold one RunRecord, got {type(tree).__name__}; finish the sweep with --resume")
    return from_json(RunRecord, tree)


def _read_trials(path: Path, notices: list[str]) -> tuple[TrialRecord, ...]:
    """Trials by number; the last record of a trial counts, and half a last line, left by a kill, does not."""
    try:
        whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        records = [from_json(TrialRecord, json.loads(line)) for line in whole_lines if line]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, DataError) as error:
        notices.append(f"No trial is shown: {path.name} cannot be read: {error}.")
        return ()
    latest = {trial.trial_id: trial for trial in records}
    return tuple(sorted(latest.values(), key=lambda trial: trial.number))


def _read_config(path: Path, notices: list[str]) -> tuple[SweepConfig | None, str]:
    try:
        config = load_config(path)
    except ConfigError as error:
        notices.append(f"Limits and ranges of the search are not shown: {error}.")
        config = None
    return config, path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_data(path: Path, run: RunRecord, notices: list[str]) -> dict[str, Any]:
    if run.data or not path.is_file():
        return run.data
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        notices.append(f"The data report is not shown: {path.name} cannot be read: {error}.")
        return {}
    return tree if isinstance(tree, dict) else {}


def _read_predictions(path: Path, run: RunRecord, notices: list[str]) -> dict[str, dict[str, Prediction]]:
    best = best_system(run)
    if best is None:
        return {}
    predictions = {}
    for role, name in ((BASE, BASE), (COPY, COPY), ("best", best.name)):
        file = path / "predictions" / f"test-{name}.jsonl"
        try:
            predictions[role] = {item.example_id: item for item in read_jsonl(file, Prediction)}
        except DataError as error:
            if role != COPY:  # a copy is its own input, so its file is not needed to show samples
                notices.append(f"No samples of {role} are shown: {error}.")
    return predictions


def _read_losses(path: Path, trials: tuple[TrialRecord, ...], notices: list[str]) -> dict[str, tuple[StepLoss, ...]]:
    losses, without = {}, []
    for trial in trials:
        steps = _loss_steps(path / "trials" / trial.trial_id / "metrics.jsonl")
        if steps:
            losses[trial.trial_id] = steps
        elif trial.rungs:
            without.append(f"{trial.number}")
    if without:
        notices.append(f"No training loss is drawn for trial {', '.join(without)}: metrics.jsonl is missing or empty.")
    return losses


def _loss_steps(path: Path) -> tuple[StepLoss, ...]:
    """Steps with a finite loss. A resumed trial writes some steps twice (the later counts); a killed one may end in half a line."""
    if not path.is_file():
        return ()
    loss_by_step: dict[int, float] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            loss_by_step[int(row["step"])] = float(row["loss"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
    return tuple(StepLoss(step=step, loss=loss) for step, loss in sorted(loss_by_step.items()) if math.isfinite(loss))
