"""Two tables for regressors of other people: the mix of each trial, and what came of it.

What comes in: complete trials. What goes out: `ratios.csv` (index and the share of each task in the training examples, summing
to 1) and `metrics.csv` (index, objectives and scores a task at the last rung), joined by `index`, the trial's number. That is the
pair of tables that RegMix (Liu et al. 2024, arXiv 2407.01492) fits. Stopped and failed trials are left out: their scores
are of a shorter budget, or none. Other searched keys, such as the rank, stand in `trials.jsonl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixwright.records import TrialRecord, write_text
from mixwright.report.csv_files import csv_text


def write_regressor_tables(folder: Path, trials: Sequence[TrialRecord]) -> int:
    """Writes both files and returns their number of rows; with no usable trial they hold their header alone."""
    usable = [trial for trial in trials if trial.status == "complete" and trial.rungs and sum(trial.counts.values()) > 0]
    write_text(folder / "ratios.csv", csv_text(*_ratio_rows(usable)))
    write_text(folder / "metrics.csv", csv_text(*_metric_rows(usable)))
    return len(usable)


def _ratio_rows(trials: Sequence[TrialRecord]) -> tuple[list[str], list[list[str]]]:
    """Header and rows."""
    tasks = list(dict.fromkeys(task for trial in trials for task in trial.counts))
    rows = [
        [str(trial.number), *(f"{trial.counts.get(task, 0) / sum(trial.counts.values()):.6f}" for task in tasks)]
        for trial in trials
    ]
    return ["index", *tasks], rows


def _metric_rows(trials: Sequence[TrialRecord]) -> tuple[list[str], list[list[str]]]:
    """Header and rows."""
    tasks = list(dict.fromkeys(task for trial in trials for task in trial.rungs[-1].task_scores))
    rows = []
    for trial in trials:
        last = trial.rungs[-1]
        objectives = (last.objectives.seen, last.objectives.unseen, last.objectives.retention)
        scores = (last.task_scores.get(task) for task in tasks)
        rows.append([str(trial.number), *("" if value is None else f"{value:.6f}" for value in (*objectives, *scores))])
    return ["index", "seen", "unseen", "retention", *tasks], rows
