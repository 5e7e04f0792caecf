"""Search result and final predictions -> the run's record.

What comes in: what the search found and, once the endpoint has been asked, the scores of base, copy and best on the test
rows. What goes out: the `RunRecord` of result.json. Nothing is measured here.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mixwright.config import ObjectiveConfig, SweepConfig
from mixwright.evaluate.runner import MEAN_OF_SEEN
from mixwright.records import BASE, COPY, HUMAN, RunRecord, SystemRecord, TrialRecord, to_json
from mixwright.search.objective import Choice, final_objectives, hypervolume, lowered, pareto_front
from mixwright.search.space import distributions, drawn
from mixwright.search.surface.answer import answer, stakes_of
from mixwright.search.sweep import SearchResult

BEST = "best"
"""Name of the best trial's adapter and system."""


def searched_record(
    config: SweepConfig,
    result: SearchResult,
    choice: Choice,
    data: Mapping[str, Any],
    environment: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> RunRecord:
    """The record after the search, before the final evaluation."""
    return RunRecord(
        name=config.name,
        question=config.question,
        status="searched",
        best={
            "trial_id": choice.trial.trial_id,
            "params": choice.trial.params,
            "objectives": to_json(final_objectives(choice.trial)),
            "decoding": choice.trial.decoding,
            "adapter": f"adapters/{BEST}",
            "reason": choice.reason,
            "keeps_unseen": choice.keeps_unseen,
            "keeps_retention": choice.keeps_retention,
            "confirmed_by": [record.trial_id for record in result.confirmations if record.confirms == choice.trial.trial_id],
        },
        pareto=tuple(_pareto_entry(trial) for trial in pareto_front(result.trials, config.search.objective.front)),
        hypervolume=_hypervolume(config.search.objective, result),
        systems=(),
        base_dev={**_base_dev(result), "decoding": config.evaluation.decoding.record(config.evaluation.max_new_tokens)},
        environment={
            **environment,
            "precision": result.choices.precision.precision,
            "precision_reason": result.choices.precision.reason,
        },
        cost=_cost(result, seconds),
        data=dict(data),
        answer=answer(
            [drawn(config, trial) for trial in (*result.trials, *result.confirmations)],
            distributions(config),
            stakes_of(config, result.base.objectives, result.base.generic_loss),
            config.points.names_at,
        ),
    )


def complete_record(record: RunRecord, systems: Sequence[SystemRecord], seconds: Mapping[str, float]) -> RunRecord:
    """The record with the final table: base, copy, human where there is one, and best on the test rows."""
    by_name = {system.name: system for system in systems}
    best = dataclasses.replace(by_name[BEST], trial_id=record.best["trial_id"])
    base = dataclasses.replace(by_name[BASE], retention=0.0)
    seen_difference = next(item for item in best.differences if item.task == MEAN_OF_SEEN)
    return dataclasses.replace(
        record,
        status="complete",
        best={**record.best, "seen_difference": to_json(seen_difference)},
        systems=(base, by_name[COPY], *(by_name[name] for name in (HUMAN,) if name in by_name), best),
        cost={**record.cost, "seconds": {**record.cost["seconds"], **seconds}},
    )


def _hypervolume(objective: ObjectiveConfig, result: SearchResult) -> dict[str, Any]:
    """Of the front, above two reference points: the base model, and the base model less what the limits let a trial lose."""
    base, front = result.base.objectives, objective.front
    references = {"base": base, "base_less_limits": lowered(base, objective, result.base.generic_loss)}
    return {
        "objectives": [name for name in front if to_json(base)[name] is not None],
        **{
            name: {"reference": to_json(point), "volume": hypervolume(result.trials, point, front)}
            for name, point in references.items()
        },
    }


def _base_dev(result: SearchResult) -> dict[str, Any]:
    return {name: value for name, value in to_json(result.base).items() if name != "row_influences"}


def _pareto_entry(trial: TrialRecord) -> dict[str, Any]:
    return {"trial_id": trial.trial_id, "params": trial.params, "objectives": to_json(final_objectives(trial))}


def _cost(result: SearchResult, seconds: Mapping[str, float]) -> dict[str, Any]:
    return {
        "seconds": dict(seconds),
        "trials": dict(Counter(trial.status for trial in result.trials)),
        "training_tokens": sum(trial.rungs[-1].tokens for trial in result.trials if trial.rungs),
        "training_steps": sum(trial.rungs[-1].step for trial in result.trials if trial.rungs),
        "trial_seconds": round(sum(trial.rungs[-1].seconds for trial in result.trials if trial.rungs), 1),
    }
