"""Writes the report of a run again from its records, or a comparison of several runs.

    python jobs/write_report.py runs/demo                        -> runs/demo/report/
    python jobs/write_report.py runs/demo runs/other [--out DIR] -> runs/compare-demo-other/, or DIR

A run is a folder of `jobs/sweep.py`, or one that `jobs/batch_evaluate.py` wrote. Nothing is measured, so that old runs can be
reported again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mixwright import report
from mixwright.errors import run_job
from mixwright.search.plots import write_plots
from mixwright.store.runs import TRIALS_FILE


def main() -> int:
    """Writes index.html, report.md and CSV files, and prints the path of the first."""
    parser = argparse.ArgumentParser(description="Write the report of a run again from its records, or compare several runs.")
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folder of jobs/sweep.py or batch_evaluate.py")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: RUN_DIR/report or compare-NAMES)")
    arguments = parser.parse_args()
    if len(arguments.run_dirs) == 1:
        if (arguments.run_dirs[0] / TRIALS_FILE).exists():
            write_plots(arguments.run_dirs[0], arguments.out)
        path = report.build(arguments.run_dirs[0], arguments.out)
    else:
        path = report.compare(arguments.run_dirs, arguments.out)
    print(path)  # noqa: T201 - the path is the output of the job
    return 0


if __name__ == "__main__":
    run_job(main)
