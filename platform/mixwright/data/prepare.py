"""All sources of a configuration -> training, dev and test rows by task, checked and without leaks.

What comes in: a `DataConfig` and a `Scenario`. What goes out: `PreparedData`, whose report says for each source what was
read, left out, held out and dropped, and why. The steps, in order:

1. every source is read, or made where its format is `embedded`, and cut to its `rows`;
2. each group of rows goes to train, dev or test (`splits.assign_split`);
3. training rows of held-out tasks go;
4. of rows with the same prompt an evaluation set keeps the first; dev rows that share a text with test go; training rows
   that share one with either go (`splits.leak_keys`), whatever the tasks of the two;
5. every list is put into a seeded order, so that its first rows are a fair sample.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixwright.config import DataConfig, ModelConfig, SourceConfig
from mixwright.data import splits
from mixwright.data.readers import read
from mixwright.data.tokens import TokenTable, long_rows_line, token_table
from mixwright.errors import DataError, did_you_mean
from mixwright.records import GENERIC, SPLITS, Example, Split
from mixwright.scenarios import Scenario
from mixwright.settings import expand_environment

logger = logging.getLogger(__name__)

EMBEDDED_TRAIN_ROWS = 2000
EMBEDDED_EVALUATION_ROWS = 300
"""Rows a task that the embedded corpus gives: for training where `rows` is not set, and for each of dev and test."""

Pools = dict[Split, dict[str, list[Example]]]
Sieves = dict[str, splits.Sieved]


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Rows by split and task, each list in a seeded order; `generic` stands beside the scenario's tasks."""

    train: dict[str, list[Example]]
    """Trained tasks and `generic`."""
    dev: dict[str, list[Example]]
    """All tasks, held-out ones too, and `generic` for retention."""
    test: dict[str, list[Example]]
    """As `dev`."""
    report: dict[str, Any]
    """Plain JSON. `sources`: for each its rows read, left_out by reason, held_out (training rows of tasks that are not
    trained), leaked (training rows that stand in evaluation), repeated (evaluation rows) and kept by split and task.
    `tasks`: for each its rows by split. After `tokenize`: `too_long` and `cut`, training rows by task."""
    tokens: TokenTable | None = None
    """The training rows as the model sees them, once `tokenize` has rendered them."""
    tokens_of: Mapping[tuple[str, str], TokenTable] = field(default_factory=dict)
    """The same for other base models and templates, by `ModelConfig.reading`, where trials may draw them."""

    def of_model(self, model: ModelConfig) -> PreparedData:
        """The same with the tokens of that base model, asked by its template."""
        return dataclasses.replace(self, tokens=self.tokens_of.get(model.reading, self.tokens))

    def for_workers(self) -> PreparedData:
        """The same without the training rows as text, where their tokens stand for them: each worker holds its own copy of text."""
        return dataclasses.replace(self, train={}) if self.tokens else self


@dataclass
class _Tallies:
    """What became of the rows, by source."""

    read: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Source -> reason -> rows."""
    held_out: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)


def prepare(config: DataConfig, scenario: Scenario, *, seed: int, folder: Path | None = None) -> PreparedData:
    """Reads, splits and guards all sources.

    Args:
        folder: where a relative `data.root` counts from; None: the current folder, not that of the search space.

    Raises:
        DataError: a source that cannot be read or names an unknown task, a trained task without training rows, a task
            without dev or test rows, or no generic rows; all problems of a step are listed at once.
        ConfigError: `data.root` names an environment variable that is not set.
    """
    _raise(_unknown_tasks(config, scenario))
    root = (folder or Path()) / Path(expand_environment(config.root)).expanduser()
    tallies = _Tallies()
    pools = _guarded(_read_into_pools(config, scenario, root, seed, tallies), tallies)
    _raise(_empty_pools(pools, config, tallies))
    pools = {split: {task: splits.shuffled(rows, seed) for task, rows in pools[split].items()} for split in SPLITS}
    report = _report(config, root, seed, pools, tallies)
    return PreparedData(train=pools["train"], dev=pools["dev"], test=pools["test"], report=report)


def tokenize(
    prepared: PreparedData, tokenizer: Any, scenario: Scenario, model: ModelConfig, *, seed: int, cache: Path | None = None
) -> PreparedData:
    """The same data with its training rows rendered, without those that are too long to learn; both are counted in the report.

    Args:
        seed, cache: as in `tokens.token_table`.

    Raises:
        DataError: nothing is left of a task.
    """
    table, train = _table(prepared, tokenizer, scenario, model, seed=seed, cache=cache)
    logger.info(long_rows_line(table, model.max_length))
    tasks = {task: {**counts, "train": len(train.get(task, []))} for task, counts in prepared.report["tasks"].items()}
    none = dict.fromkeys(train, 0)  # a task may come without rows
    counted = {"too_long": none | table.left_out(), "cut": none | table.cut()}
    return dataclasses.replace(prepared, train=train, tokens=table, report={**prepared.report, "tasks": tasks, **counted})


def tokenize_too(
    prepared: PreparedData, tokenizer: Any, scenario: Scenario, model: ModelConfig, *, seed: int, cache: Path | None = None
) -> PreparedData:
    """The same data with its training rows rendered for one more base model or template, whatever else of it is already.

    Raises:
        DataError: as `tokenize`.
    """
    table, _ = _table(prepared, tokenizer, scenario, model, seed=seed, cache=cache)
    return dataclasses.replace(prepared, tokens_of={**prepared.tokens_of, model.reading: table})


def _table(
    prepared: PreparedData, tokenizer: Any, scenario: Scenario, model: ModelConfig, *, seed: int, cache: Path | None
) -> tuple[TokenTable, dict[str, list[Example]]]:
    """The rendered rows, and the rows that they are of."""
    table = token_table(prepared.train, tokenizer, scenario, model, seed=seed, cache=cache)
    train = table.kept(prepared.train)
    if emptied := [task for task, rows in prepared.train.items() if rows and not train[task]]:
        raise DataError(f"task '{emptied[0]}': every row is longer than {model.max_length} tokens; raise model.max_length")
    return table, train


def _raise(problems: list[str]) -> None:
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        raise DataError(f"{len(problems)} problems with the data\n" + "\n".join(f"  - {problem}" for problem in problems))


def _unknown_tasks(config: DataConfig, scenario: Scenario) -> list[str]:
    known = [*(task.name for task in scenario.tasks), GENERIC]
    named = [(source.name, task) for source in config.sources for task in (source.task, *source.labels.values()) if task]
    return [_unknown_task(f"source '{name}'", task, known) for name, task in dict.fromkeys(named) if task not in known]


def _unknown_task(where: str, task: str, known: list[str]) -> str:
    return f"{where}: unknown task '{task}'; the scenario has {', '.join(known)}{did_you_mean(task, known)}"


def _read_into_pools(config: DataConfig, scenario: Scenario, root: Path, seed: int, tallies: _Tallies) -> Pools:
    tasks = [*(task.name for task in scenario.tasks), GENERIC]
    pools: Pools = {split: {task: [] for task in tasks} for split in SPLITS}
    pools["train"] = {task: [] for task in (*scenario.seen, GENERIC)}
    problems: list[str] = []
    for source in config.sources:
        try:
            placed = list(_placed(source, tasks, root, seed, tallies))
        except DataError as error:
            problems.append(str(error))
            if source.format == "hub":
                break  # without a network each further id would be tried for half a minute
            continue
        stray = next((example for example, _ in placed if example.task not in tasks), None)
        if stray:
            problems.append(_unknown_task(f"source '{source.name}' (row {stray.id})", stray.task, tasks))
            continue
        for example, split in placed:
            if example.task in pools[split]:
                pools[split][example.task].append(example)
            else:
                tallies.held_out[source.name] += 1
    _raise(problems)
    return pools


def _placed(source: SourceConfig, tasks: list[str], root: Path, seed: int, tallies: _Tallies) -> Iterator[tuple[Example, Split]]:
    """The rows of one source, each with its split."""
    if source.format == "embedded":
        for example, split in _embedded(source, tasks, seed):
            tallies.read[source.name] += 1
            yield example, split
        return
    reading = read(source, root)
    left_out = tallies.left_out[source.name]
    left_out.update(reading.left_out)
    tallies.read[source.name] = len(reading.examples) + left_out.total()
    kept = splits.sample(reading.examples, source.rows, seed)
    if len(kept) < len(reading.examples):
        left_out[f"beyond rows: {source.rows}"] = len(reading.examples) - len(kept)
    reasons = ", ".join(f"{count} x {reason}" for reason, count in left_out.items())
    logger.info("%s: %d rows read, left out: %s", source.name, tallies.read[source.name], reasons or "none")
    for example in kept:
        yield example, splits.assign_split(source, example, seed)


def _embedded(source: SourceConfig, tasks: list[str], seed: int) -> Iterator[tuple[Example, Split]]:
    from mixwright.data import embedded

    uses: dict[str, tuple[Split, ...]] = {"train": ("train",), "evaluation": ("dev", "test"), "both": SPLITS}
    for task in tasks:
        if task not in embedded.TASKS or source.task not in (None, task):
            continue
        for split in uses[source.use]:
            rows = (source.rows or EMBEDDED_TRAIN_ROWS) if split == "train" else EMBEDDED_EVALUATION_ROWS
            for example in embedded.embedded_rows(task, split, rows, seed=seed, source=source.name):
                yield example, split


def _guarded(pools: Pools, tallies: _Tallies) -> Pools:
    """The pools without repeats in evaluation and without rows that leak into it."""
    dev, test = ({task: splits.without_repeats(rows) for task, rows in pools[split].items()} for split in ("dev", "test"))
    test_keys = splits.keys_of_all(_kept(test))
    unleaked_dev = {task: splits.without_leaks(sieved.kept, test_keys) for task, sieved in dev.items()}
    keys = test_keys | splits.keys_of_all(_kept(unleaked_dev))
    train = {task: splits.without_leaks(rows, keys) for task, rows in pools["train"].items()}
    for repeats in (dev, test, unleaked_dev):
        tallies.repeated.update(_dropped_sources(repeats))
    tallies.leaked.update(_dropped_sources(train))
    sieves: dict[Split, Sieves] = {"train": train, "dev": unleaked_dev, "test": test}
    return {split: {task: sieved.kept for task, sieved in by_task.items()} for split, by_task in sieves.items()}


def _kept(sieves: Sieves) -> Iterator[Example]:
    return (example for sieved in sieves.values() for example in sieved.kept)


def _dropped_sources(sieves: Sieves) -> Iterator[str]:
    return (example.source for sieved in sieves.values() for example in sieved.dropped)


def _empty_pools(pools: Pools, config: DataConfig, tallies: _Tallies) -> list[str]:
    """What is missing, a line each. Generic training rows may be: by a source that offers them for evaluation alone."""
    problems = []
    for split in SPLITS:
        for task in (task for task, rows in pools[split].items() if not rows):
            if task == GENERIC and split == "train" and pools["dev"][GENERIC]:
                continue  # a mixture that asks for some says so itself
            problems.append(f"task '{task}' has no {split} rows; {_way_out(task, split)}{_what_was_dropped(config, tallies)}")
    return problems


def _way_out(task: str, split: Split) -> str:
    if task == GENERIC:
        return "add a source of generic instructions (format alpaca, or embedded); retention is measured on them"
    if split == "train":
        return "add a source with `use: train` or `both`, or list the task under `unseen`"
    return "add a source with `use: evaluation` or `both`, or raise `evaluation_fraction`"


def _what_was_dropped(config: DataConfig, tallies: _Tallies) -> str:
    leaked = [f"{tallies.leaked[source.name]} of {source.name}" for source in config.sources if tallies.leaked[source.name]]
    return f" (the leak guard dropped {', '.join(leaked)})" if leaked else ""


def _report(config: DataConfig, root: Path, seed: int, pools: Pools, tallies: _Tallies) -> dict[str, Any]:
    kept = Counter((row.source, split, task) for split in SPLITS for task, rows in pools[split].items() for row in rows)
    sources = {
        source.name: {
            "format": source.format,
            "use": source.use,
            "read": tallies.read[source.name],
            "left_out": dict(tallies.left_out[source.name]),
            "held_out": tallies.held_out[source.name],
            "leaked": tallies.leaked[source.name],
            "repeated": tallies.repeated[source.name],
            "kept": {
                split: {task: count for task in pools[split] if (count := kept[source.name, split, task])} for split in SPLITS
            },
        }
        for source in config.sources
    }
    tasks = {task: {split: len(pools[split].get(task, [])) for split in SPLITS} for task in pools["test"]}
    return {"root": str(root), "seed": seed, "sources": sources, "tasks": tasks}
