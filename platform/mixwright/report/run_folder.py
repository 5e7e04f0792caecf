"""A run folder as the report reads it: every record that is there, and a sentence for each that is not.

What comes in: the folder that a sweep wrote, or that `jobs/batch_evaluate.py` wrote (`scores-SPLIT.json`). What goes out: a
`RunFolder`. Only the record is needed; anything else that is missing or broken becomes a notice in the report, because a run
that was cut short is when a report is wanted most.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixwright.config import MODEL_NAME, TEMPLATE, SweepConfig, load_config
from mixwright.errors import ConfigError, DataError, RunError
from mixwright.records import (
    BASE,
    COPY,
    HUMAN,
    SPLITS,
    Prediction,
    RunRecord,
    Split,
    SystemRecord,
    TrialRecord,
    from_json,
    read_jsonl,
)

_BEST = "best"
"""Name that a sweep gives to the adapter of its best trial."""


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
    """System -> example id -> its prediction, in the order of its file; systems without a readable file are left out."""
    config: SweepConfig | None
    config_text: str
    data: dict[str, Any]
    notices: tuple[str, ...]
    """What is missing or unreadable, a sentence each."""
    confirmations: tuple[TrialRecord, ...] = ()
    """Trials that repeat a candidate with a fresh seed after the search; not among `trials`."""
    kind: Literal["sweep", "evaluation"] = "sweep"
    """evaluation: systems were asked and scored, and nothing was searched."""

    @property
    def split(self) -> Split:
        """The rows that the systems were scored on."""
        return next((score.split for system in self.run.systems for score in system.scores), "test")

    def prediction_file(self, system: str) -> Path:
        return self.path / "predictions" / f"{self.split}-{system}.jsonl"

    @property
    def best_id(self) -> str:
        """Id of the best trial; empty where none is."""
        return str(self.run.best.get("trial_id", ""))

    @property
    def base_model(self) -> str:
        """What the best trial stands on, which base models may have been searched for; empty where no configuration is left."""
        return self._of_best(MODEL_NAME, self.config.model.name if self.config else "")

    @property
    def template(self) -> str:
        """What the best trial's prompts are made by; empty where no configuration is left."""
        return self._of_best(TEMPLATE, self.config.model.template if self.config else "")

    def _of_best(self, key: str, configured: str) -> str:
        return str(self.run.best.get("params", {}).get(key, configured))

    @property
    def best_trial(self) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.trial_id == self.best_id), None)


def best_system(run: RunRecord) -> SystemRecord | None:
    """The system that a report is about: that of the best trial, else the one named `best`, else the last."""
    tuned = [system for system in run.systems if system.name not in (BASE, COPY, HUMAN)]
    of_best_trial = [system for system in tuned if system.trial_id and system.trial_id == run.best.get("trial_id")]
    named = [system for system in tuned if system.name == _BEST]
    return next(reversed(of_best_trial or named or tuned), None)


def read_run_folder(path: Path) -> RunFolder:
    """Reads the folder of a sweep or of an evaluation.

    Raises:
        RunError: it holds neither `result.json` nor `scores-SPLIT.json`.
        DataError: that file is broken, or of another version.
    """
    if not (path / "result.json").exists() and (found := _scores_file(path)) is not None:
        return _read_evaluation(path, found)
    notices: list[str] = []
    run = _read_run(path / "result.json")
    recorded = _read_trials(path / "trials.jsonl", notices)
    trials = tuple(trial for trial in recorded if not trial.confirms)
    config, config_text = _read_config(path / "config.yaml", notices)
    losses = _read_losses(path, trials, notices)
    data = _read_data(path / "data.json", run, notices)
    return _with_predictions(
        RunFolder(
            path=path,
            run=run,
            trials=trials,
            losses=losses,
            predictions={},
            config=config,
            config_text=config_text,
            data=data,
            notices=tuple(notices),
            confirmations=tuple(trial for trial in recorded if trial.confirms),
        )
    )


def _scores_file(path: Path) -> Path | None:
    """What an evaluation left: of several splits the one that is read last."""
    return next((file for split in reversed(SPLITS) if (file := path / f"scores-{split}.json").exists()), None)


def _read_evaluation(path: Path, file: Path) -> RunFolder:
    tree = _read_tree(file, "ask the endpoint again with jobs/batch_evaluate.py")
    systems = tree.get("systems")
    if not isinstance(systems, list) or not all(isinstance(system, dict) for system in systems):
        raise DataError(f"{file}: must list its `systems`; ask the endpoint again with jobs/batch_evaluate.py")
    try:
        records = tuple(from_json(SystemRecord, system) for system in systems)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    run = RunRecord(
        name=path.resolve().name,
        question="",
        status="complete",
        best={},
        pareto=(),
        systems=records,
        base_dev={},
        environment={key: value for key, value in tree.items() if key != "systems"},
        cost={},
        data={},
    )
    folder = RunFolder(
        path=path,
        run=run,
        trials=(),
        losses={},
        predictions={},
        config=None,
        config_text="",
        data={},
        notices=(),
        kind="evaluation",
    )
    return _with_predictions(folder)


def _with_predictions(folder: RunFolder) -> RunFolder:
    """The same folder with its predictions, and a notice for each system whose own are missing or fewer than were scored."""
    predictions, notices = {}, list(folder.notices)
    for system in folder.run.systems:
        try:
            rows = {item.example_id: item for item in read_jsonl(folder.prediction_file(system.name), Prediction)}
        except DataError as error:
            if system.name not in (COPY, HUMAN):  # both can be told from the other systems' rows
                notices.append(f"No samples of {system.name} are shown: {error}.")
            continue
        predictions[system.name] = rows
        notices += _miscounted(system, rows)
    return dataclasses.replace(folder, predictions=predictions, notices=tuple(notices))


def _miscounted(system: SystemRecord, rows: dict[str, Prediction]) -> Iterator[str]:
    """Tasks whose score and predictions do not speak of the same rows; human rows may stand for several answers each."""
    counted = Counter(row.task for row in rows.values())
    for score in system.scores:
        if score.task in counted and counted[score.task] != score.n and system.name != HUMAN:
            yield (
                f"The score of {system.name} on {score.task} is of {score.n} rows and its predictions are {counted[score.task]}: "
                "the two are of different evaluations."
            )


def _read_run(path: Path) -> RunRecord:
    tree = _read_tree(path, "finish the sweep with --resume")
    try:
        return from_json(RunRecord, tree)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read_tree(path: Path, way_out: str) -> dict[str, Any]:
    """The one JSON object of a file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{path}: no such file, so there is nothing to report; {way_out} first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be JSON in UTF-8: {error}; {way_out} to write it again") from None
    if not isinstance(tree, dict):
        raise DataError(f"{path}: must hold one JSON object, got {type(tree).__name__}; {way_out} to write it again")
    return tree


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
