"""Compares two systems' prediction files on the same rows and says how large a difference so many rows can show.

python jobs/power.py BASE.jsonl SYSTEM.jsonl [--scenario writing] [--difference 3] [--rows 30 40]

The files are those that a sweep or jobs/batch_evaluate.py leaves under predictions/. `--rows` asks what other numbers of rows of
the same kind would show: enough to plan a test set, or to judge a published table by the size of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mixwright.errors import ConfigError, run_job
from mixwright.evaluate.power import detectable_at
from mixwright.evaluate.prediction_files import read_predictions
from mixwright.evaluate.runner import child_seed, compare, paired_statistics
from mixwright.evaluate.tables import difference_lines, legend
from mixwright.scenarios import load_scenario


def main() -> int:
    """Prints the table."""
    arguments = _arguments()
    if arguments.difference <= 0 or any(rows < 1 for rows in arguments.rows):
        raise ConfigError("--difference must be above 0 and --rows at least 1")
    scenario = load_scenario(arguments.scenario, Path())
    base, system = (read_predictions(path, scenario) for path in (arguments.base, arguments.system))
    found = compare(scenario, base, system, interesting=arguments.difference, draws=arguments.draws, seed=arguments.seed)
    pairs = paired_statistics(scenario, base, system)
    at_rows = {
        rows: {
            task: detectable_at(*pair, rows=rows, draws=arguments.draws, seed=child_seed(arguments.seed, f"{task}|{rows} rows"))
            for task, pair in pairs.items()
        }
        for rows in arguments.rows
    }
    lines = difference_lines(f"{system[0].system} - {base[0].system}", found.differences, found.power, at_rows=at_rows)
    sys.stdout.write("\n".join([*lines, "", *legend(found.power)]) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare two prediction files and say how large a difference their rows can show.")
    parser.add_argument("base", type=Path, metavar="BASE.jsonl", help="predictions that are subtracted")
    parser.add_argument("system", type=Path, metavar="SYSTEM.jsonl", help="predictions of the same rows by another system")
    parser.add_argument("--scenario", default="writing", help="a shipped scenario or a YAML file (default %(default)s)")
    parser.add_argument("--difference", type=float, default=3.0, metavar="POINTS", help="what would matter (default %(default)g)")
    parser.add_argument("--rows", type=int, nargs="*", default=[], metavar="N", help="other numbers of rows to ask about")
    parser.add_argument("--draws", type=int, default=1000, help="resamples and swaps (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the resampling (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    run_job(main)
