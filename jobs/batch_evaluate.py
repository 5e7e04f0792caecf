"""Asks a served endpoint, any OpenAI-compatible endpoint, or both, and scores the answers.

    python jobs/batch_evaluate.py --url URL --adapter NAME --tasks all --split dev --out DIR
    python jobs/batch_evaluate.py --openai-url URL --openai-model NAME --shots 0,4 --run-dir RUN --split dev --out DIR
    python jobs/batch_evaluate.py --rows-only --run-dir RUN --split dev --out DIR

The rows are those of the run that the endpoint serves, unless `--run-dir` or `--space` names another; `base` is an adapter
like any other, so `--adapter base --adapter NAME` compares the two on the same rows. With both kinds, base, adapters and
off-the-shelf models stand in one table. What an outside model has answered is kept in `answers/`: run again after a failure or a
kill, and only what is missing is asked. `rows-SPLIT.jsonl` holds the questions, for evaluators outside this project. An endpoint of
ours that wants a key gets that of MIXWRIGHT_API_KEY. The last table has the means of seen and of unseen tasks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixwright.config import DECODING, ClusterConfig, SweepConfig, load_config
from mixwright.data.prepare import PreparedData, prepare
from mixwright.errors import ConfigError, ServeError, run_job
from mixwright.evaluate.chat import (
    ChatEndpoint,
    ChatSystem,
    check_address,
    key_from_environment,
    price_of,
    system_name,
    usage_lines,
)
from mixwright.evaluate.client import EndpointClient
from mixwright.evaluate.export import exported_rows
from mixwright.evaluate.prices import Price, load_prices
from mixwright.evaluate.shots import choose_shots
from mixwright.evaluate.systems import Questions, evaluate_systems, questions_of
from mixwright.evaluate.tables import seen_and_unseen_lines, table_lines
from mixwright.records import GENERIC, Split, to_json, write_jsonl, write_text
from mixwright.scenarios import Scenario, load_scenario
from mixwright.search.progress import Stage
from mixwright.store import remote


def main() -> int:
    """Writes the questions, predictions and scores into `--out` and prints the tables."""
    arguments = _arguments()
    key = key_from_environment(arguments.openai_key_env) if arguments.openai_model else ""
    with EndpointClient(arguments.url) as client:
        space = _space(arguments, client)
        config = load_config(space, [f"{DECODING}={arguments.decoding}"] if arguments.decoding else [])
        scenario = load_scenario(config.scenario, space.parent).with_unseen(config.unseen)
        data = prepare(config.data, scenario, seed=config.search.seed)
        questions = _questions(config, scenario, data, arguments.tasks, arguments.split, arguments.rows)
        path = arguments.out / f"rows-{arguments.split}.jsonl"
        write_jsonl(path, exported_rows(questions))
        lines = [str(path)] if arguments.rows_only else _ask_and_score(arguments, client, questions, data, key)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _ask_and_score(
    arguments: argparse.Namespace, client: EndpointClient, questions: Questions, data: PreparedData, key: str
) -> list[str]:
    """Asks every system, writes its answers and all scores, and returns what is worth printing."""
    systems, answered = list(dict.fromkeys(arguments.adapter)), [0]

    def count(rows: int) -> None:
        answered[0] += rows

    with _outsiders(arguments, key, questions, data) as outsiders:
        names = [*systems, *(outsider.name for outsider in outsiders)]
        total = len(questions.rows) * len(names)
        stage = Stage(
            f"asking {', '.join(names)}",
            done=lambda: answered[0],
            total=lambda: total,
            unit="row",
            before="waiting for the first answers",
            after="scoring",
        )
        with _edits_on_the_cluster(), stage:
            records = evaluate_systems(client, questions, systems, arguments.out, outsiders=outsiders, on_progress=count)
    asked: dict[str, Any] = {"url": arguments.url} if systems else {}
    asked |= {"openai_url": check_address(arguments.openai_url)} if outsiders else {}
    scores = {**asked, "split": arguments.split, "systems": [to_json(record) for record in records]}
    path = arguments.out / f"scores-{arguments.split}.json"
    write_text(path, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    costs = [line for outsider in outsiders for line in usage_lines(outsider.name, outsider.usage, len(questions.rows))]
    return [*table_lines(records), *costs, "", *seen_and_unseen_lines(questions.scenario, records), str(path)]


@contextlib.contextmanager
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
    parser = argparse.ArgumentParser(description="Ask endpoints for all evaluation rows and score their answers.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of our endpoint (default %(default)s)")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME", help="`base` or an adapter; repeatable")
    parser.add_argument("--tasks", default="all", metavar="A,B", help="tasks, or `all` (default)")
    parser.add_argument("--split", choices=("dev", "test"), default="test", help="rows to ask (default %(default)s)")
    parser.add_argument(
        "--out",
        type=remote.local_path,
        required=True,
        metavar="DIR",
        help="folder for scores-SPLIT.json, predictions/ and answers/",
    )
    parser.add_argument("--rows-only", action="store_true", help="write rows-SPLIT.jsonl for other evaluators and ask nothing")
    parser.add_argument("--rows", type=int, metavar="N", help="rows a task (default: as the configuration says)")
    parser.add_argument(
        "--decoding", metavar="TEXT", help="greedy, num_beams=4 or temperature=0.7,top_p=0.9 (default: as the configuration says)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--run-dir", metavar="DIR", help="rows of this run, a folder or an address: s3://... (default: of the run that is served)"
    )
    source.add_argument("--space", type=Path, metavar="SPACE.yaml", help="rows of this search space")
    _add_outside_arguments(parser.add_argument_group("an OpenAI-compatible endpoint"))
    arguments = parser.parse_args()
    if not arguments.adapter and not arguments.openai_model and not arguments.rows_only:
        parser.error("name what to ask: --adapter NAME, or --openai-url URL --openai-model NAME, or both")
    if bool(arguments.openai_url) != bool(arguments.openai_model):
        parser.error("--openai-url and --openai-model go together")
    return arguments


def _add_outside_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--openai-url", metavar="URL", help="its address with the version, as in http://127.0.0.1:8000/v1")
    group.add_argument("--openai-model", action="append", default=[], metavar="NAME", help="a model of it; repeatable")
    group.add_argument("--openai-name", metavar="NAME", help="name of the model's row (default: after the model)")
    group.add_argument(
        "--openai-key-env", default="OPENAI_API_KEY", metavar="VARIABLE", help="variable that holds its key (default %(default)s)"
    )
    group.add_argument(
        "--openai-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="part of the request, null leaves it out; repeatable (default: temperature=0, max_tokens as the configuration says)",
    )
    group.add_argument("--openai-timeout", type=float, default=300.0, metavar="S", help="seconds for one try (default %(default)g)")
    group.add_argument("--shots", default="0", metavar="K,K", help="worked examples before each question, a row each (default 0)")
    group.add_argument("--requests-per-minute", type=float, metavar="N", help="at most so many (default: no limit)")
    group.add_argument("--prices", type=Path, metavar="FILE", help="YAML: model -> {input, output}, USD a million tokens")


def _space(arguments: argparse.Namespace, client: EndpointClient) -> Path:
    """The configuration whose data and seed give the rows."""
    if arguments.space:
        return Path(arguments.space)
    if arguments.run_dir:
        return remote.run_folder(arguments.run_dir) / "config.yaml"
    if not arguments.adapter:
        raise ConfigError("without --adapter no endpoint says which rows; name the data with --run-dir or --space")
    served = client.health()["run_dir"]
    if not served or not (path := remote.run_folder(served) / "config.yaml").exists():
        where = f"{served}, which is not on this machine" if served else "no run"
        raise ServeError(f"{client.url}: serves {where}; name the data with --run-dir or --space")
    return path


def _questions(
    config: SweepConfig, scenario: Scenario, data: PreparedData, tasks: str, split: Split, rows: int | None
) -> Questions:
    settings = config.evaluation
    chosen = [task.name for task in scenario.tasks] if tasks == "all" else [name.strip() for name in tasks.split(",")]
    for name in chosen:
        scenario.task(name)
    if rows is not None and rows < 1:
        raise ConfigError(f"--rows: must be at least 1, got {rows}")
    examples = getattr(data, split)
    count = rows or (settings.dev_rows if split == "dev" else settings.test_rows)
    asked = {name: examples[name] for name in chosen} | {GENERIC: examples.get(GENERIC, ())}
    return questions_of(config, scenario, split, asked, rows=count)


@contextlib.contextmanager
def _outsiders(arguments: argparse.Namespace, key: str, questions: Questions, data: PreparedData) -> Iterator[list[ChatSystem]]:
    """Every model with every number of shots."""
    prices = load_prices(arguments.prices) if arguments.prices else {}
    options = _options(arguments.openai_set, questions.max_new_tokens)
    found: list[ChatSystem] = []
    with contextlib.ExitStack() as open_endpoints:
        for model in arguments.openai_model:
            price = price_of(prices, model, arguments.prices) if arguments.prices else None
            endpoint = open_endpoints.enter_context(
                ChatEndpoint(
                    arguments.openai_url,
                    model,
                    key=key,
                    options=options,
                    requests_per_minute=arguments.requests_per_minute,
                    timeout_s=arguments.openai_timeout,
                )
            )
            for count in _shot_counts(arguments.shots):
                taken = [*arguments.adapter, *(system.name for system in found)]
                name = system_name(arguments.openai_name or model, count, taken)
                found.append(_outsider(endpoint, name, count, questions, data, price, arguments.out))
        yield found


def _outsider(
    endpoint: ChatEndpoint, name: str, shots: int, questions: Questions, data: PreparedData, price: Price | None, out: Path
) -> ChatSystem:
    tasks = list(dict.fromkeys(row.task for row in questions.rows))
    return ChatSystem(
        name=name,
        endpoint=endpoint,
        answers=out / "answers" / f"{questions.split}-{name}.jsonl",
        shots=choose_shots(questions.scenario, data.train, tasks, count=shots, seed=questions.seed),
        price=price,
    )


def _shot_counts(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise ConfigError(f"--shots: must be whole numbers with commas between them, got '{text}'") from None


def _options(settings: Sequence[str], max_tokens: int) -> dict[str, Any]:
    """The request beside model and messages: our own defaults, then what was set."""
    options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": 0}
    for setting in settings:
        name, equals, value = setting.partition("=")
        try:
            options[name] = yaml.safe_load(value)
            json.dumps(options[name])
        except (yaml.YAMLError, TypeError):
            equals = ""
        if not equals or not name:
            raise ConfigError(f"--openai-set: must be KEY=VALUE with a value that JSON has too, got '{setting}'")
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    run_job(main)
