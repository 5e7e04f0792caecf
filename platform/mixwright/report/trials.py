"""The table of trials: what each was given, what it reached, and how sure that is.

What comes in: a RunFolder. What goes out: typed rows, the best first, then those of the whole budget by falling `seen`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixwright.records import RungRecord, TrialRecord, to_json
from mixwright.report import marks, verdict, wording
from mixwright.report.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial as the table of trials shows it."""

    trial: TrialRecord
    values: tuple[str, ...]
    """One for each searched key."""
    seen_by_rung: str
    unseen: str
    retention: str
    seconds: str
    is_best: bool
    on_front: bool
    keeps_limits: bool | None


def searched_keys(folder: RunFolder) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for trial in folder.trials for key in trial.params))


def trial_rows(folder: RunFolder) -> tuple[TrialRow, ...]:
    """Trials of the whole budget by falling seen objective, then the stopped ones, then the failed."""
    order = {"complete": 0, "stopped": 1, "failed": 2}

    def rank(trial: TrialRecord) -> tuple[bool, int, float]:
        score = marks.objective(trial, "seen")
        return trial.trial_id != folder.best_id, order[trial.status], -score if score is not None else 0.0

    return tuple(_trial_row(folder, trial) for trial in sorted(folder.trials, key=rank))


def _trial_row(folder: RunFolder, trial: TrialRecord) -> TrialRow:
    objectives = marks.objectives(trial)
    front = {item.get("trial_id") for item in folder.run.pareto}
    complete = trial.status == "complete"
    return TrialRow(
        trial=trial,
        values=tuple(wording.key_value(key, trial.params[key]) if key in trial.params else "–" for key in searched_keys(folder)),
        seen_by_rung=" → ".join(wording.number(rung.objectives.seen) for rung in trial.rungs) + _error(trial, "seen") or "–",
        unseen=wording.number(marks.objective(trial, "unseen")) + _error(trial, "unseen"),
        retention=wording.signed(marks.objective(trial, "retention"), 3) + _error(trial, "retention", digits=3),
        seconds=wording.duration(trial.rungs[-1].seconds) if trial.rungs else "–",
        is_best=trial.trial_id == folder.best_id,
        on_front=trial.trial_id in front,
        keeps_limits=verdict.keeps_limits(folder, to_json(objectives)) if objectives and complete else None,
    )


def _error(trial: TrialRecord, name: marks.ObjectiveName, digits: int = 1) -> str:
    """` ± 2.3`, the standard error at the last rung; empty where none was measured."""
    last: RungRecord | None = trial.rungs[-1] if trial.rungs else None
    errors = last.standard_errors if last else None
    value = wording.finite(getattr(errors, name)) if errors else None
    return "" if value is None else f" ± {wording.number(value, digits)}"


def has_errors(folder: RunFolder) -> bool:
    """Whether any trial's objectives carry a standard error."""
    return any(rung.standard_errors for trial in folder.trials for rung in trial.rungs)
