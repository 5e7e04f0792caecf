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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import DataError, ScoreError, did_you_mean
from mixwright.evaluate.details import describe
from mixwright.evaluate.intervals import (
    FloatArray,
    Interval,
    PairedStatistics,
    bootstrap_interval,
    mean_difference_interval,
    mean_interval,
    mean_standard_error,
    row_influences,
)
from mixwright.evaluate.metric import Metric, make_metric
from mixwright.evaluate.power import mean_detectable_difference, power_record
from mixwright.evaluate.significance import holm, mean_randomisation_p_value
from mixwright.generate.engine import Engine, Request
from mixwright.prompts import prompt_ids
from mixwright.records import COPY, Difference, Example, PowerRecord, Prediction, Score, Split
from mixwright.scenarios import Scenario, Task, wording

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


@dataclass(frozen=True, kw_only=True)
class MeanScores:
    """`TaskMeans` with intervals."""

    seen: Interval | None
    unseen: Interval | None


@dataclass(frozen=True, kw_only=True)
class RungScores:
    """What a rung is judged by."""

    scores: dict[str, float]
    """By task."""
    means: TaskMeans
    errors: TaskMeans
    """Standard errors of the means, from the choice of rows; None where the mean is, or a task has fewer than two rows."""
    influences: dict[str, FloatArray] = field(default_factory=dict)
    """By task, what each row adds to the score, in the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One system against base; the two stand side by side."""

    differences: tuple[Difference, ...]
    power: tuple[PowerRecord, ...]


@dataclass(frozen=True, kw_only=True)
class TaskRows:
    """One system's answers to one task, and the task's metric; four columns of the same length."""

    metric: Metric
    texts: tuple[str, ...]
    outputs: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    def statistics(self) -> FloatArray:
        """The metric's row statistics."""
        return self.metric.statistics(self.texts, self.outputs, self.references)


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
    """One score a task, in the scenario's order, each with its bootstrap interval over rows and what stands beside it.

    Raises:
        ScoreError: no predictions, predictions of several systems or of a task that the scenario does not have, a row that stands
            twice, or one without references or with a blank one.
    """
    system = _only_system(predictions)
    return tuple(
        task_score(scenario.task(task), rows, rows.statistics(), system, split, draws=draws, seed=seed)
        for task, rows in task_rows(scenario, predictions).items()
    )


def task_score(task: Task, rows: TaskRows, statistics: FloatArray, system: str, split: Split, *, draws: int, seed: int) -> Score:
    """One system's score of one task, with its bootstrap interval over rows and what stands beside it.

    Args:
        statistics: those of `rows`.
    """
    interval = bootstrap_interval(rows.metric, statistics, draws=draws, seed=child_seed(seed, task.name))
    details = describe(rows.metric, statistics, rows.texts, rows.outputs, rows.references)
    return Score(
        task=task.name,
        metric=rows.metric.name,
        system=system,
        value=interval.value,
        n=len(statistics),
        low=interval.low,
        high=interval.high,
        split=split,
        seen=task.seen,
        details=details.values,
        error_types=details.error_types,
    )


def mean_scores(scenario: Scenario, tables: Mapping[str, tuple[Metric, FloatArray]], *, draws: int, seed: int) -> MeanScores:
    """Means over the seen and over the unseen tasks of `tables` (task -> metric and row statistics), each with its interval."""

    def mean(name: str, tasks: Sequence[str]) -> Interval | None:
        chosen = [tables[task] for task in tasks if task in tables]
        return mean_interval(chosen, draws=draws, seed=child_seed(seed, name)) if chosen else None

    return MeanScores(seen=mean(MEAN_OF_SEEN, scenario.seen), unseen=mean(MEAN_OF_UNSEEN, scenario.unseen))


def rung_scores(scenario: Scenario, predictions: Sequence[Prediction], *, draws: int, seed: int) -> RungScores:
    """What a rung of a search is judged by.

    Args:
        draws: resamples for the standard errors; a few hundred are enough for an error bar.

    Raises:
        ScoreError: as `score_predictions`.
    """
    _only_system(predictions)
    tables = {task: (rows.metric, rows.statistics()) for task, rows in task_rows(scenario, predictions).items()}
    scores = {task: metric.aggregate(table) for task, (metric, table) in tables.items()}
    return RungScores(
        scores=scores,
        means=task_means(scenario, scores),
        errors=TaskMeans(
            seen=_error(tables, scenario.seen, draws, child_seed(seed, MEAN_OF_SEEN)),
            unseen=_error(tables, scenario.unseen, draws, child_seed(seed, MEAN_OF_UNSEEN)),
        ),
        influences={task: row_influences(metric, table) for task, (metric, table) in tables.items()},
    )


def task_means(scenario: Scenario, values: Mapping[str, float]) -> TaskMeans:
    """Means over the seen and over the unseen tasks of `values` (task -> score)."""
    return TaskMeans(seen=_mean(values, scenario.seen), unseen=_mean(values, scenario.unseen))


def compare(
    scenario: Scenario, base: Sequence[Prediction], system: Sequence[Prediction], *, interesting: float, draws: int, seed: int
) -> Comparison:
    """System minus base by task, then for the mean of the seen and of the unseen tasks, paired on the same rows.

    P-values are corrected over the tasks, and apart from them over the means.

    Args:
        interesting: the difference that would matter, in points; what the rows cannot show is said to be underpowered.

    Raises:
        ScoreError: the two did not answer the same rows, or as `score_predictions`.
    """
    pairs = paired_statistics(scenario, base, system)
    tasks = {task: [pair] for task, pair in pairs.items()}
    kinds = {MEAN_OF_SEEN: scenario.seen, MEAN_OF_UNSEEN: scenario.unseen}
    means = {mean: chosen for mean, names in kinds.items() if (chosen := [pairs[task] for task in names if task in pairs])}
    name = _only_system(system)
    found = (*_family(name, tasks, draws, seed), *_family(name, means, draws, seed))
    groups = {**tasks, **means}
    return Comparison(differences=found, power=tuple(power_record(groups[item.task], item, interesting) for item in found))


def paired_statistics(scenario: Scenario, base: Sequence[Prediction], system: Sequence[Prediction]) -> dict[str, PairedStatistics]:
    """The row statistics of two systems by task, row by row of the same examples.

    Raises:
        ScoreError: as `compare`.
    """
    _check_same_rows(_only_system(base), base, _only_system(system), system)
    of_base, of_system = task_rows(scenario, base), task_rows(scenario, system)
    return {task: PairedStatistics(rows.metric, rows.statistics(), of_base[task].statistics()) for task, rows in of_system.items()}


def _family(system: str, groups: Mapping[str, Sequence[PairedStatistics]], draws: int, seed: int) -> Iterator[Difference]:
    """Differences that are read together, so that their p-values are corrected together; each the mean over its group's tasks."""
    p_values = {
        name: mean_randomisation_p_value(pairs, draws=draws, seed=child_seed(seed, f"{name}|swaps"))
        for name, pairs in groups.items()
    }
    corrected = holm(p_values)
    for name, pairs in groups.items():
        interval = mean_difference_interval(pairs, draws=draws, seed=child_seed(seed, name))
        yield Difference(
            task=name,
            system=system,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=sum(len(pair.system) for pair in pairs),
            p_value=p_values[name],
            p_corrected=corrected[name],
            detectable=mean_detectable_difference(pairs, draws=draws, seed=child_seed(seed, f"{name}|power")),
        )


def task_rows(scenario: Scenario, predictions: Sequence[Prediction]) -> dict[str, TaskRows]:
    """One system's answers by task, in the scenario's order of tasks; rows in the order of their ids, so that two systems pair.

    Raises:
        ScoreError: a task that the scenario does not have, a row that stands twice, or one whose references have a hole.
    """
    _check_rows(scenario, predictions)
    metrics = {name: make_metric(name) for name in dict.fromkeys(task.metric for task in scenario.tasks)}
    found = {}
    for task in scenario.tasks:
        rows = sorted((item for item in predictions if item.task == task.name), key=lambda item: item.example_id)
        if rows:
            found[task.name] = TaskRows(
                metric=metrics[task.metric],
                texts=tuple(row.text for row in rows),
                outputs=tuple(row.output for row in rows),
                references=tuple(row.references for row in rows),
            )
    return found


def _check_rows(scenario: Scenario, predictions: Sequence[Prediction]) -> None:
    known = [task.name for task in scenario.tasks]
    asked = set()
    for item in predictions:
        row = f"row '{item.example_id}' of '{item.system}'"
        if item.task not in known:
            hint = did_you_mean(item.task, known)
            raise ScoreError(f"{row}: the scenario '{scenario.name}' has no task '{item.task}'; it has {', '.join(known)}{hint}")
        if (item.task, item.example_id) in asked:
            raise ScoreError(f"{row} ({item.task}) stands twice and would count double; keep one of the two")
        if not item.references or not all(text.strip() for text in item.references):
            hole = "a blank reference" if item.references else "no reference"
            raise ScoreError(f"{row} ({item.task}) has {hole}; fill the hole, or drop the row for every system")
        asked.add((item.task, item.example_id))


def _check_same_rows(base_name: str, base: Sequence[Prediction], name: str, system: Sequence[Prediction]) -> None:
    """Refuses two systems that did not answer the same rows, and names the first row that one of them lacks."""
    sides = [{(item.task, item.example_id): (item.text, item.references) for item in items} for items in (base, system)]
    if alone := sorted(set(sides[0]) ^ set(sides[1])):
        task, row = alone[0]
        raise ScoreError(
            f"'{name}' and '{base_name}' must answer the same rows, got {len(system)} and {len(base)} of which "
            f"{len(set(sides[0]) & set(sides[1]))} are shared; '{name if alone[0] in sides[0] else base_name}' lacks "
            f"row '{row}' of {task}; evaluate both again"
        )
    for (task, row), asked in sides[0].items():
        if sides[1][task, row] != asked:
            raise ScoreError(
                f"row '{row}' of {task} has another text or other references for '{name}' than for '{base_name}'; "
                "evaluate both again"
            )


def _only_system(predictions: Sequence[Prediction]) -> str:
    systems = sorted({item.system for item in predictions})
    if not systems:
        raise ScoreError("there are no predictions to score: the file or the list of them is empty; evaluate the system again")
    if len(systems) > 1:
        raise ScoreError(f"predictions must be of one system, got {', '.join(systems)}; score each system by itself")
    return systems[0]


def _error(tables: Mapping[str, tuple[Metric, FloatArray]], tasks: Sequence[str], draws: int, seed: int) -> float | None:
    chosen = [tables[task] for task in tasks if task in tables]
    return mean_standard_error(chosen, draws=draws, seed=seed) if chosen else None


def _mean(values: Mapping[str, float], tasks: Sequence[str]) -> float | None:
    present = [values[task] for task in tasks if task in values]
    return sum(present) / len(present) if present else None


def _rank(seed: int, task: str, example_id: str) -> tuple[int, str]:
    return child_seed(seed, f"{task}|{example_id}"), example_id


def child_seed(seed: int, name: str) -> int:
    """A seed for one purpose of an evaluation: it hangs on the name alone, so a task more leaves the others alone."""
    digest = hashlib.blake2b(f"evaluation|{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
