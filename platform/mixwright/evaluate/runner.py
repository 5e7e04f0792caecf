"""From a scenario's held-out rows and an engine to predictions, scores with intervals, and differences to base.

What comes in: examples by task and anything that answers requests. What goes out: `Prediction`, `Score` and `Difference`
records. The same rows, wordings and scores are used in a search's rungs, in a sweep's last table and over HTTP, so that the
three can be compared.

An output is scored as the model gave it, with white space at its two ends removed and nothing else: a preamble such as "Here is
the corrected sentence:" counts against the model that writes it, which is part of what tuning mends.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import DataError, ScoreError
from mixwright.evaluate.intervals import (
    Interval,
    PairedStatistics,
    bootstrap_interval,
    difference_interval,
    mean_difference_interval,
)
from mixwright.evaluate.metric import Metric, make_metric
from mixwright.generate.engine import Engine, Request
from mixwright.prompts import prompt_ids
from mixwright.records import COPY, Difference, Example, Prediction, Score, Split
from mixwright.scenarios import Scenario, wording

logger = logging.getLogger(__name__)

MEAN_OF_SEEN = "mean of seen"
MEAN_OF_UNSEEN = "mean of unseen"


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One question of an evaluation: every system is asked the same ones."""

    task: str
    example: Example
    instruction: str


@dataclass(frozen=True, kw_only=True)
class TaskMeans:
    """Mean metric over tasks, each task weighing the same; None where no task of the kind was evaluated."""

    seen: float | None
    unseen: float | None


def evaluation_rows(scenario: Scenario, examples: Mapping[str, Sequence[Example]], *, rows: int, seed: int) -> list[EvaluationRow]:
    """Up to `rows` rows of each task, in the scenario's order of tasks, with a wording kept for evaluation bound to each.

    The choice is by a hash of the row's id: it does not hang on the order of `examples`, and fewer rows are a subset of more.
    Tasks without examples are left out with a warning.

    Raises:
        DataError: no task has any.
    """
    chosen = []
    for task in scenario.tasks:
        available = sorted(examples.get(task.name, ()), key=lambda example: _rank(seed, task.name, example.id))
        if not available:
            logger.warning("task '%s' has no rows to evaluate and is left out", task.name)
        chosen += [
            EvaluationRow(task=task.name, example=example, instruction=wording(task, example.id, evaluation=True, seed=seed))
            for example in available[:rows]
        ]
    if not chosen:
        raise DataError(
            f"no task of the scenario '{scenario.name}' has rows to evaluate; add a source with `use: evaluation` or `both`"
        )
    return chosen


def predict(
    engine: Engine,
    tokenizer: Any,
    rows: Sequence[EvaluationRow],
    system: str,
    max_new_tokens: int,
    *,
    decoding: Decoding = GREEDY,
    adapter: str | None = None,
) -> list[Prediction]:
    """The engine's answers, row by row.

    Args:
        system: the name under which predictions are kept.
        adapter: the engine's name of the adapter, where it differs from `system`.
    """
    requests = [
        Request(
            prompt_ids=prompt_ids(tokenizer, row.instruction, row.example.text),
            adapter=system if adapter is None else adapter,
            max_new_tokens=max_new_tokens,
            decoding=decoding,
        )
        for row in rows
    ]
    outputs, decoded = engine.generate(requests), decoding.record(max_new_tokens)
    return [make_prediction(row, system, output, decoded) for row, output in zip(rows, outputs, strict=True)]


def copy_predictions(rows: Sequence[EvaluationRow]) -> list[Prediction]:
    """The input handed back: what a metric gives for doing nothing."""
    return [make_prediction(row, COPY, row.example.text) for row in rows]


def make_prediction(row: EvaluationRow, system: str, output: str, decoding: Mapping[str, Any] | None = None) -> Prediction:
    """The record of one answer; white space at the output's ends goes, nothing else.

    Args:
        decoding: as `Prediction` keeps it; None where nothing was decoded.
    """
    return Prediction(
        example_id=row.example.id,
        task=row.task,
        system=system,
        instruction=row.instruction,
        text=row.example.text,
        output=output.strip(),
        references=row.example.references,
        decoding=dict(decoding or {}),
    )


def score_predictions(
    scenario: Scenario, predictions: Sequence[Prediction], split: Split, *, draws: int, seed: int
) -> tuple[Score, ...]:
    """One score a task, in the scenario's order, each with its bootstrap interval over rows.

    Raises:
        ScoreError: no predictions, predictions of several systems, or of a task that the scenario does not have.
    """
    system = _only_system(predictions)
    scores = []
    for task, (metric, statistics) in _statistics(scenario, predictions).items():
        interval = bootstrap_interval(metric, statistics, draws=draws, seed=_child_seed(seed, task))
        scores.append(
            Score(
                task=task,
                metric=metric.name,
                system=system,
                value=interval.value,
                n=len(statistics),
                low=interval.low,
                high=interval.high,
                split=split,
                seen=scenario.task(task).seen,
            )
        )
    return tuple(scores)


def task_scores(scenario: Scenario, predictions: Sequence[Prediction]) -> dict[str, float]:
    """The value of each task alone, without intervals, for rungs of a search.

    Raises:
        ScoreError: as `score_predictions`.
    """
    _only_system(predictions)
    return {task: metric.aggregate(table) for task, (metric, table) in _statistics(scenario, predictions).items()}


def task_means(scenario: Scenario, values: Mapping[str, float]) -> TaskMeans:
    """Means over the seen and over the unseen tasks of `values` (task -> score)."""
    return TaskMeans(seen=_mean(values, scenario.seen), unseen=_mean(values, scenario.unseen))


def differences(
    scenario: Scenario, base: Sequence[Prediction], system: Sequence[Prediction], *, draws: int, seed: int
) -> tuple[Difference, ...]:
    """System minus base by task, then for the mean of the seen and of the unseen tasks, paired on the same rows.

    Raises:
        ScoreError: the two did not answer the same rows, or as `score_predictions`.
    """
    name = _only_system(system)
    _only_system(base)
    answered = {(item.task, item.example_id) for item in base}
    if answered != {(item.task, item.example_id) for item in system} or len(base) != len(system):
        raise ScoreError(
            f"'{name}' and base must answer the same rows, got {len(system)} and {len(base)} of which "
            f"{len(answered & {(item.task, item.example_id) for item in system})} are shared; evaluate both again"
        )
    base_tables, system_tables = _statistics(scenario, base), _statistics(scenario, system)
    pairs = {task: PairedStatistics(metric, table, base_tables[task][1]) for task, (metric, table) in system_tables.items()}
    found = []
    for task, pair in pairs.items():
        interval = difference_interval(pair.metric, pair.system, pair.baseline, draws=draws, seed=_child_seed(seed, task))
        found.append(_difference(task, name, interval, len(pair.system)))
    for mean, tasks in ((MEAN_OF_SEEN, scenario.seen), (MEAN_OF_UNSEEN, scenario.unseen)):
        if chosen := [pairs[task] for task in tasks if task in pairs]:
            interval = mean_difference_interval(chosen, draws=draws, seed=_child_seed(seed, mean))
            found.append(_difference(mean, name, interval, sum(len(pair.system) for pair in chosen)))
    return tuple(found)


def _difference(task: str, system: str, interval: Interval, n: int) -> Difference:
    return Difference(task=task, system=system, value=interval.value, low=interval.low, high=interval.high, n=n)


def _statistics(scenario: Scenario, predictions: Sequence[Prediction]) -> dict[str, tuple[Metric, Any]]:
    """The metric and the row statistics of each task; rows in the order of their ids, so that two systems' rows are paired."""
    known = {task.name for task in scenario.tasks}
    if unknown := sorted({item.task for item in predictions} - known):
        raise ScoreError(f"predictions of the task '{unknown[0]}', which the scenario '{scenario.name}' does not have")
    metrics = {name: make_metric(name) for name in dict.fromkeys(task.metric for task in scenario.tasks)}
    tables = {}
    for task in scenario.tasks:
        rows = sorted((item for item in predictions if item.task == task.name), key=lambda item: item.example_id)
        if rows:
            metric = metrics[task.metric]
            texts, outputs, references = [row.text for row in rows], [row.output for row in rows], [row.references for row in rows]
            tables[task.name] = (metric, metric.statistics(texts, outputs, references))
    return tables


def _only_system(predictions: Sequence[Prediction]) -> str:
    systems = sorted({item.system for item in predictions})
    if len(systems) != 1:
        raise ScoreError(f"predictions must be of one system, got {', '.join(systems) or 'none'}; score each system by itself")
    return systems[0]


def _mean(values: Mapping[str, float], tasks: Sequence[str]) -> float | None:
    present = [values[task] for task in tasks if task in values]
    return sum(present) / len(present) if present else None


def _rank(seed: int, task: str, example_id: str) -> tuple[int, str]:
    return _child_seed(seed, f"{task}|{example_id}"), example_id


def _child_seed(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"evaluation|{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
