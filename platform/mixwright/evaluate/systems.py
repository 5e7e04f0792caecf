"""From an endpoint to the rows of the final table: base and adapters over HTTP, the copy beside them.

What comes in: a client, evaluation rows and generic rows. What goes out: a `SystemRecord` a system, and each system's
predictions as `predictions/SPLIT-SYSTEM.jsonl`. The last stage of a sweep and `jobs/batch_evaluate.py` both are this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mixwright.errors import ServeError, did_you_mean
from mixwright.evaluate.client import EndpointClient, evaluate_over_http
from mixwright.evaluate.runner import EvaluationRow, copy_predictions, differences, score_predictions
from mixwright.records import BASE, COPY, Example, Prediction, Score, Split, SystemRecord, write_jsonl
from mixwright.scenarios import Scenario


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What every system is asked, and how its answers are scored."""

    scenario: Scenario
    split: Split
    rows: Sequence[EvaluationRow]
    generic: Sequence[Example]
    """Rows for retention; empty leaves it out."""
    max_new_tokens: int
    draws: int
    seed: int


class Outsider(Protocol):
    """A system that our endpoint does not serve, such as `chat.ChatSystem`."""

    name: str

    @property
    def decoding(self) -> dict[str, Any]:
        """How its answers are decoded."""

    @property
    def usage(self) -> dict[str, float]:
        """What its answers cost; see `SystemRecord.usage`."""

    def predict(self, rows: Sequence[EvaluationRow], *, on_progress: Callable[[int], None] | None = None) -> list[Prediction]:
        """Its answers, in the order of `rows`; `on_progress` is told how many more rows are answered."""


def evaluate_systems(
    client: EndpointClient,
    questions: Questions,
    systems: Sequence[str],
    folder: Path,
    *,
    outsiders: Sequence[Outsider] = (),
    on_progress: Callable[[int], None] | None = None,
) -> tuple[SystemRecord, ...]:
    """The copy of the input, then each of `systems` in their order; differences and retention where `base` is among them.

    Args:
        systems: `base` or adapters' names; where there are none, the endpoint is not asked.
        outsiders: come last, on the same rows; without retention, which needs the loss of given responses.
        folder: gets `predictions/SPLIT-SYSTEM.jsonl`, each as soon as its system has answered.
        on_progress: told how many more rows are answered.

    Raises:
        ServeError: the endpoint does not serve one of the systems, or does not answer.
    """
    if systems:
        _check_served(client, systems)
    predictions = {COPY: copy_predictions(questions.rows)}
    write_predictions(folder, questions.split, predictions[COPY])
    # Outsiders keep what they have answered when one fails, our endpoint does not: asked first, they cost it nothing.
    others = {outsider.name: outsider.predict(questions.rows, on_progress=on_progress) for outsider in outsiders}
    for system in systems:
        predictions[system] = evaluate_over_http(
            client, questions.rows, system, max_new_tokens=questions.max_new_tokens, on_progress=on_progress
        )
        write_predictions(folder, questions.split, predictions[system])
    for name, answered in others.items():
        write_predictions(folder, questions.split, answered)
        predictions[name] = answered
    nll = {system: client.nll(questions.generic, adapter=system).nll for system in systems if questions.generic}
    records = tuple(_record(questions, predictions, nll, system) for system in predictions)
    return tuple(_with_costs(record, outsiders) for record in records)


def write_predictions(folder: Path, split: Split, predictions: Sequence[Prediction]) -> None:
    """Writes one system's predictions to `predictions/SPLIT-SYSTEM.jsonl`."""
    write_jsonl(folder / "predictions" / f"{split}-{predictions[0].system}.jsonl", predictions)


def _check_served(client: EndpointClient, systems: Sequence[str]) -> None:
    served = client.adapters()
    for system in systems:
        if system not in served:
            known = f"it serves {', '.join(served)}{did_you_mean(system, served)}"
            raise ServeError(f"{client.url}: no adapter '{system}'; {known}")


def _record(questions: Questions, predictions: dict[str, list[Prediction]], nll: dict[str, float], system: str) -> SystemRecord:
    scenario, draws, seed = questions.scenario, questions.draws, questions.seed
    base = predictions.get(BASE) if system != BASE else None
    return SystemRecord(
        name=system,
        scores=score_predictions(scenario, predictions[system], questions.split, draws=draws, seed=seed),
        differences=differences(scenario, base, predictions[system], draws=draws, seed=seed) if base else (),
        retention=nll[BASE] - nll[system] if {BASE, system} <= set(nll) else None,
    )


def _with_costs(record: SystemRecord, outsiders: Sequence[Outsider]) -> SystemRecord:
    """The record of an outsider with its decoding and usage; any other as it is."""
    for outsider in outsiders:
        if outsider.name == record.name:
            return dataclasses.replace(record, decoding=outsider.decoding, usage=outsider.usage)
    return record


def table_lines(systems: Sequence[SystemRecord]) -> list[str]:
    """The systems' scores side by side, a line a task, and below them the differences to base; intervals are of 95 %."""
    if not systems:
        return []
    header = ["task", "metric", "n", *(system.name for system in systems)]
    cells = [header, *(_task_cells(scores) for scores in zip(*(system.scores for system in systems), strict=True))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [*lines, *(line for system in systems for line in _difference_lines(system))]


def _task_cells(scores: Sequence[Score]) -> list[str]:
    first = scores[0]
    task = first.task if first.seen else f"{first.task} (unseen)"
    return [task, first.metric, str(first.n), *(f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]" for score in scores)]


def _difference_lines(system: SystemRecord) -> list[str]:
    lines = [
        f"{system.name} - base, {item.task}: {item.value:+.1f} [{item.low:+.1f}, {item.high:+.1f}] (n {item.n})"
        for item in system.differences
        if item.task.startswith("mean of ")
    ]
    if system.retention is not None and system.name != BASE:
        lines.append(f"{system.name} retention: {system.retention:+.3f} nats a token against base (0: nothing lost)")
    return lines
