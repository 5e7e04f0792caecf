"""The human row: each reference in turn is the output, and the others are the references.

What comes in: predictions of any system, for their rows' texts and references. What goes out: a `Score` for each task whose rows
all have two references or more; with one reference there is nothing to hold a person against.

A person is scored against one reference fewer than the systems are, and fewer references mean fewer ways to be right: the human
row is a little too low beside the others, most where there are only two references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixwright.evaluate.details import describe
from mixwright.evaluate.intervals import FloatArray, SummedMetric, bootstrap_interval
from mixwright.evaluate.runner import TaskRows, child_seed, task_rows
from mixwright.records import HUMAN, Prediction, Score, Split
from mixwright.scenarios import Scenario


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """The mean over held-out references of a metric whose statistics stand side by side, so that rows are resampled whole."""

    metric: SummedMetric
    held_out: int

    def from_totals(self, totals: FloatArray) -> FloatArray:
        """Scores of summed statistics; (..., held_out x k) to (...)."""
        apart = totals.reshape(*totals.shape[:-1], self.held_out, -1)
        scores: FloatArray = self.metric.from_totals(apart).mean(axis=-1)
        return scores


def human_scores(
    scenario: Scenario, predictions: Sequence[Prediction], split: Split, *, draws: int, seed: int
) -> tuple[Score, ...]:
    """Leave-one-out scores with their intervals over rows; empty where no task has several references in every row.

    Where rows have different numbers of references, as many are held out in turn as the row with the fewest has; the others stay
    references throughout.

    Raises:
        ScoreError: as `score_predictions`.
    """
    found = []
    for task, rows in task_rows(scenario, predictions).items():
        held_out = min(map(len, rows.references))
        if held_out >= 2:
            found.append(_score(scenario, task, [_without(rows, number) for number in range(held_out)], split, draws, seed))
    return tuple(found)


def _without(rows: TaskRows, number: int) -> TaskRows:
    """Reference `number` of each row as the output, and the row's others as its references."""
    return TaskRows(
        metric=rows.metric,
        texts=rows.texts,
        outputs=tuple(references[number] for references in rows.references),
        references=tuple((*references[:number], *references[number + 1 :]) for references in rows.references),
    )


def _score(scenario: Scenario, task: str, positions: Sequence[TaskRows], split: Split, draws: int, seed: int) -> Score:
    metric = positions[0].metric
    tables = [rows.statistics() for rows in positions]
    held_out = LeaveOneOut(metric=metric, held_out=len(positions))
    interval = bootstrap_interval(held_out, np.concatenate(tables, axis=1), draws=draws, seed=child_seed(seed, task))
    details = [
        describe(metric, table, rows.texts, rows.outputs, rows.references).values
        for table, rows in zip(tables, positions, strict=True)
    ]
    shared = [name for name in details[0] if all(name in values for values in details)]
    return Score(
        task=task,
        metric=metric.name,
        system=HUMAN,
        value=interval.value,
        n=len(tables[0]),
        low=interval.low,
        high=interval.high,
        split=split,
        seen=scenario.task(task).seen,
        details={name: float(np.mean([values[name] for values in details])) for name in shared},
    )
