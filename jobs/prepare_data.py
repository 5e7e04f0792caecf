"""Prepares a search space's data and shows what would be learned: `python jobs/prepare_data.py SPACE.yaml --preview`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mixwright.config import load_config
from mixwright.data.prepare import prepare
from mixwright.data.preview import guard_line, previews, source_table, task_table
from mixwright.data.tokens import long_rows_line, token_table
from mixwright.errors import run_job
from mixwright.models import load_tokenizer, tokens_cache
from mixwright.scenarios import load_scenario


def main() -> int:
    """Prints counts by source and task, token lengths, what the leak guard dropped and, if asked for, rendered rows."""
    arguments = _arguments()
    config = load_config(arguments.space, arguments.set)
    scenario = load_scenario(config.scenario, arguments.space.parent).with_unseen(config.unseen)
    seed = config.search.seed
    prepared = prepare(config.data, scenario, seed=seed)
    tokenizer = load_tokenizer(config.model)
    table = token_table(prepared.train, tokenizer, scenario, config.model, seed=seed, cache=tokens_cache())
    lines = [
        *source_table(prepared.report),
        guard_line(prepared.report),
        "",
        *task_table(prepared, table, max_length=config.model.max_length),
        long_rows_line(table, config.model.max_length),
    ]
    if arguments.preview:
        lines += ["", *previews(prepared, table, tokenizer, rows=arguments.rows)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prepare the data of a search space and show counts, lengths and rows.")
    parser.add_argument("space", type=Path, metavar="SPACE.yaml", help="a file of search_spaces/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the file; repeatable")
    parser.add_argument("--preview", action="store_true", help="show rendered training rows; what is learned stands in ⟦ ⟧")
    parser.add_argument("--rows", type=_positive, default=2, metavar="N", help="rows a task with --preview (default 2)")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    run_job(main)
