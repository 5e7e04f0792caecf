"""Rebuilds a run's report from its folder: `python jobs/report.py runs/demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixwright import report
from mixwright.errors import run_job


def main() -> int:
    """Writes report/index.html, ratios.csv and metrics.csv, and prints the path of the first."""
    parser = argparse.ArgumentParser(description="Rebuild the report of a run from the records in its folder.")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder that jobs/sweep.py wrote")
    print(report.build(parser.parse_args().run_dir))  # noqa: T201 - the path is the output of the job
    return 0


if __name__ == "__main__":
    run_job(main)
