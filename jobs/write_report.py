"""Writes the report of a run again from its records, or a comparison of several runs.

    python jobs/write_report.py runs/demo                        -> runs/demo/report/
    python jobs/write_report.py runs/demo runs/other [--out DIR] -> runs/compare-demo-other/, or DIR

A run is a folder of `jobs/sweep.py` or its address (s3://...), or a folder that `jobs/batch_evaluate.py` wrote. Nothing is
measured, so that old runs can be reported again.
"""

from __future__ import annotations

import argparse

from mixwright import report
from mixwright.errors import run_job
from mixwright.search.reports import fetch_records, write_report
from mixwright.store import remote


def main() -> int:
    """Writes index.html, report.md and CSV files, and prints the path of the first."""
    parser = argparse.ArgumentParser(description="Write the report of a run again from its records, or compare several runs.")
    parser.add_argument(
        "run_dirs", nargs="+", metavar="RUN_DIR", help="folder of jobs/sweep.py or batch_evaluate.py, or its address"
    )
    parser.add_argument(
        "--out", type=remote.local_path, metavar="DIR", help="where it goes (default: RUN_DIR/report or compare-NAMES)"
    )
    arguments = parser.parse_args()
    run_dirs = [remote.run_folder(place) for place in arguments.run_dirs]
    if len(run_dirs) == 1:
        path = write_report(run_dirs[0], arguments.out)
    else:
        for run_dir in run_dirs:
            fetch_records(run_dir)
        path = report.compare(run_dirs, arguments.out)
    print(remote.shown(path))  # noqa: T201 - the path is the output of the job
    return 0


if __name__ == "__main__":
    run_job(main)
