"""From an endpoint to the rows of the final table: base and adapters over HTTP, the copy beside them.

What comes in: a client, evaluation rows and generic rows. What goes out: a `SystemRecord` a system, and each system's
predictions as `predictions/SPLIT-SYSTEM.jsonl`. The last stage of a sweep and `jobs/batch_evaluate.py` both are this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mixwright.config import EvaluationConfig, SweepConfig
from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import ServeError, did_you_mean
from mixwright.evaluate.client import EndpointClient, evaluate_over_http
from mixwright.evaluate.human import human_scores
from mixwright.evaluate.runner import Comparison, EvaluationRow, compare, copy_predictions, evaluation_rows, score_predictions
from mixwright.records import (
    BASE,
    COPY,
    GENERIC,
    HUMAN,
    Example,
    Prediction,
    Split,
    SystemRecord,
    write_jsonl,
)
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
    interesting_difference: float
    """Points that would matter; what the rows cannot show is marked."""
    decoding: Decoding = GREEDY
    own: Mapping[str, EvaluationConfig] = field(default_factory=dict)
    """System -> settings of which its decoding and its limit are taken instead of these."""

    def decoding_of(self, system: str) -> Decoding:
        return self.own[system].decoding if system in self.own else self.decoding

    def max_new_tokens_of(self, system: str) -> int:
        return self.own[system].max_new_tokens if system in self.own else self.max_new_tokens


def questions_of(
    config: SweepConfig,
    scenario: Scenario,
    split: Split,
    examples: Mapping[str, Sequence[Example]],
    *,
    rows: int,
    own: Mapping[str, EvaluationConfig] | None = None,
) -> Questions:
    """The questions that a configuration asks on a split.

    Args:
        examples: the split's rows by task, generic ones among them.
        rows: at most so many a task.
        own: as in `Questions`.
    """
    settings, seed = config.evaluation, config.search.seed
    return Questions(
        scenario=scenario,
        split=split,
        rows=evaluation_rows(scenario, examples, rows=rows, seed=seed),
        generic=examples.get(GENERIC, ())[: settings.retention_rows],
        max_new_tokens=settings.max_new_tokens,
        draws=settings.bootstrap_draws,
        seed=seed,
        interesting_difference=settings.interesting_difference,
        decoding=settings.decoding,
        own=own or {},
    )


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
    """The copy of the input, the human row, then each of `systems` in their order.

    The human row stands where a task has several references a row. Differences, power and retention need `base` among `systems`.

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
            client,
            questions.rows,
            system,
            max_new_tokens=questions.max_new_tokens_of(system),
            decoding=questions.decoding_of(system),
            on_progress=on_progress,
        )
        write_predictions(folder, questions.split, predictions[system])
    for name, answered in others.items():
        write_predictions(folder, questions.split, answered)
        predictions[name] = answered
    nll = {system: client.nll(questions.generic, adapter=system).nll for system in systems if questions.generic}
    records = {system: _with_costs(_record(questions, predictions, nll, system), outsiders) for system in predictions}
    return (records.pop(COPY), *_human(questions, predictions[COPY]), *records.values())


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
    found = Comparison(differences=(), power=())
    if base:
        found = compare(scenario, base, predictions[system], interesting=questions.interesting_difference, draws=draws, seed=seed)
    return SystemRecord(
        name=system,
        scores=score_predictions(scenario, predictions[system], questions.split, draws=draws, seed=seed),
        differences=found.differences,
        power=found.power,
        retention=nll[BASE] - nll[system] if {BASE, system} <= set(nll) else None,
        decoding=predictions[system][0].decoding,
    )


def _human(questions: Questions, predictions: Sequence[Prediction]) -> list[SystemRecord]:
    scores = human_scores(questions.scenario, predictions, questions.split, draws=questions.draws, seed=questions.seed)
    return [SystemRecord(name=HUMAN, scores=scores)] if scores else []


def _with_costs(record: SystemRecord, outsiders: Sequence[Outsider]) -> SystemRecord:
    """The record of an outsider with its decoding and usage; any other as it is."""
    for outsider in outsiders:
        if outsider.name == record.name:
            return dataclasses.replace(record, decoding=outsider.decoding, usage=outsider.usage)
    return record
