"""A run's report, also where the run is on object storage: what it reads is brought here, and what it writes is published.

What comes in: a run folder. What goes out: the page, with Optuna's plots and the tables for regressors beside it.
"""

from __future__ import annotations

from pathlib import Path

from mixwright import report
from mixwright.models import COMPLETE
from mixwright.search.plots import write_plots
from mixwright.store import remote
from mixwright.store.runs import TRIALS_FILE, read_trials
from mixwright.train.reporter import METRICS_FILE, ROWS_FILE, trial_folder

TABLES = ("ratios.csv", "metrics.csv")
"""What the report writes beside the records."""


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Writes the report of a run; returns the path of its page.

    Args:
        out: where it goes; None: `report` in the run folder, from where it is published.

    Raises:
        RunError: there is nothing to report.
        StoreError: the run is on object storage that does not answer.
    """
    fetch_records(run_dir)
    if (run_dir / TRIALS_FILE).exists():
        write_plots(run_dir, out)
    path = report.build(run_dir, out)
    if out is None:
        remote.publish(*(run_dir / name for name in TABLES))
        remote.publish_folder(path.parent, COMPLETE)
    return path


def fetch_records(run_dir: Path) -> None:
    """Brings what a report reads beside the records that a run folder has when it is opened."""
    there = remote.mirror_of(run_dir)
    if there is None:
        return
    trials = [trial_folder(run_dir, record.trial_id) for record in read_trials(run_dir)]
    there.fetch([folder / name for folder in trials for name in (METRICS_FILE, ROWS_FILE)])
    there.fetch([run_dir / "predictions" / name for name in there.names(run_dir / "predictions")])


def publish_predictions(run_dir: Path) -> None:
    """Publishes the answers that were scored; the record that speaks of them comes after."""
    remote.publish(*sorted((run_dir / "predictions").glob("*.jsonl")))
