"""Asks a served endpoint and scores its answers.

    python jobs/batch_evaluate.py --url URL --adapter NAME --tasks all --split dev --out DIR

The rows are those of the run that the endpoint serves, unless `--run-dir` or `--space` names another; `base` is an adapter
like any other, so `--adapter base --adapter NAME` compares the two on the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixwright.config import ClusterConfig, SweepConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.errors import ConfigError, ServeError, run_job
from mixwright.evaluate.client import EndpointClient
from mixwright.evaluate.runner import evaluation_rows
from mixwright.evaluate.systems import Questions, evaluate_systems, table_lines
from mixwright.records import GENERIC, Split, to_json, write_text
from mixwright.scenarios import Scenario, load_scenario
from mixwright.search.progress import Stage


def main() -> int:
    """Writes predictions and scores into `--out` and prints the table."""
    arguments = _arguments()
    with EndpointClient(arguments.url) as client:
        space = _space(arguments, client)
        config = load_config(space)
        scenario = load_scenario(config.scenario, space.parent).with_unseen(config.unseen)
        questions = _questions(config, scenario, arguments.tasks, arguments.split, arguments.rows)
        systems = list(dict.fromkeys(arguments.adapter))
        answered = [0]

        def count(rows: int) -> None:
            answered[0] += rows

        total = len(questions.rows) * len(systems)
        stage = Stage(f"asking {', '.join(systems)}", done=lambda: answered[0], total=lambda: total, unit="row")
        with _edits_on_the_cluster(), stage:
            records = evaluate_systems(client, questions, systems, arguments.out, on_progress=count)
    scores = {"url": arguments.url, "split": arguments.split, "systems": [to_json(record) for record in records]}
    path = arguments.out / f"scores-{arguments.split}.json"
    write_text(path, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.write("\n".join([*table_lines(records), str(path)]) + "\n")
    return 0


@contextmanager
def _edits_on_the_cluster() -> Iterator[None]:
    """As a Ray job, has ERRANT's edits of many rows worked out on the cluster; elsewhere this process does it alone."""
    if "RAY_ADDRESS" not in os.environ:
        yield
        return
    # Ray's import takes a second that a process without a cluster has no use for.
    from mixwright.search.cluster import connected
    from mixwright.search.edit_pool import parallel_edits

    with connected(ClusterConfig()), parallel_edits():
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask a served endpoint for all evaluation rows and score its answers.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the endpoint (default %(default)s)")
    parser.add_argument("--adapter", action="append", required=True, metavar="NAME", help="`base` or an adapter; repeatable")
    parser.add_argument("--tasks", default="all", metavar="A,B", help="tasks, or `all` (default)")
    parser.add_argument("--split", choices=("dev", "test"), default="test", help="rows to ask (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for predictions/ and scores-SPLIT.json")
    parser.add_argument("--rows", type=int, metavar="N", help="rows a task (default: as the configuration says)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run-dir", type=Path, metavar="DIR", help="rows of this run (default: of the run that is served)")
    source.add_argument("--space", type=Path, metavar="SPACE.yaml", help="rows of this search space")
    return parser.parse_args()


def _space(arguments: argparse.Namespace, client: EndpointClient) -> Path:
    """The configuration whose data and seed give the rows."""
    if arguments.space:
        return Path(arguments.space)
    if arguments.run_dir:
        return Path(arguments.run_dir) / "config.yaml"
    served = client.health()["run_dir"]
    if not served or not (path := Path(served) / "config.yaml").exists():
        where = f"{served}, which is not on this machine" if served else "no run"
        raise ServeError(f"{client.url}: serves {where}; name the data with --run-dir or --space")
    return path


def _questions(config: SweepConfig, scenario: Scenario, tasks: str, split: Split, rows: int | None) -> Questions:
    settings, seed = config.evaluation, config.search.seed
    chosen = [task.name for task in scenario.tasks] if tasks == "all" else [name.strip() for name in tasks.split(",")]
    for name in chosen:
        scenario.task(name)
    if rows is not None and rows < 1:
        raise ConfigError(f"--rows: must be at least 1, got {rows}")
    examples = getattr(prepare(config.data, scenario, seed=seed), split)
    count = rows or (settings.dev_rows if split == "dev" else settings.test_rows)
    return Questions(
        scenario=scenario,
        split=split,
        rows=evaluation_rows(scenario, {name: examples[name] for name in chosen}, rows=count, seed=seed),
        generic=examples.get(GENERIC, ())[: settings.retention_rows],
        max_new_tokens=settings.max_new_tokens,
        draws=settings.bootstrap_draws,
        seed=seed,
    )


if __name__ == "__main__":
    run_job(main)
