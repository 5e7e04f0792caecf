"""Finished trials -> the Pareto front, its hypervolume and the best trial, with the reason in words.

What comes in: trial records and the base model's dev evaluation. What goes out: plain records. A trial that was stopped
early is judged by nothing here: its scores are those of a smaller budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixwright.config import ObjectiveConfig
from mixwright.errors import ConfigError, RunError
from mixwright.records import Objectives, TrialRecord, to_json
from mixwright.scenarios import Scenario
from mixwright.search_config import OBJECTIVES, SCALAR


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best trial, and why it is that one."""

    trial: TrialRecord
    reason: str
    keeps_unseen: bool
    keeps_retention: bool


def reported(scenario: Scenario) -> tuple[str, ...]:
    """The objectives that trials of this scenario have; all are maximised."""
    return tuple(name for name in OBJECTIVES if name != "unseen" or scenario.unseen)


def told_objectives(objective: ObjectiveConfig, scenario: Scenario) -> tuple[str, ...]:
    """What the study is told of a finished trial, by the names of its result.

    Raises:
        ConfigError: an objective that nobody reports.
    """
    there = reported(scenario)
    for name in objective.asked:
        if name not in there:
            raise ConfigError(
                f"search.objective: {name} is reported by no trial, since scenario '{scenario.name}' holds out no task; "
                f"name one in `unseen`, or use {', '.join(there)}"
            )
    if objective.kind == "pareto":
        return objective.names or there
    return (SCALAR,)


def final_objectives(trial: TrialRecord) -> Objectives:
    """The objectives at the end of a complete trial's budget."""
    return trial.rungs[-1].objectives


def complete(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that ran their whole budget, by number."""
    return sorted((trial for trial in trials if trial.status == "complete"), key=lambda trial: trial.number)


def pareto_front(trials: Sequence[TrialRecord], names: Sequence[str] = OBJECTIVES) -> list[TrialRecord]:
    """Complete trials that no other complete trial beats in one objective while matching it in the rest."""
    finished = complete(trials)
    return [trial for trial in finished if not any(_dominates(other, trial, names) for other in finished)]


def _values(objectives: Objectives, names: Sequence[str]) -> tuple[float, ...]:
    """Those of `names` that are reported."""
    found = to_json(objectives)
    return tuple(found[name] for name in names if found[name] is not None)


def _dominates(left: TrialRecord, right: TrialRecord, names: Sequence[str]) -> bool:
    pairs = list(zip(_values(final_objectives(left), names), _values(final_objectives(right), names), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def hypervolume(trials: Sequence[TrialRecord], reference: Objectives, names: Sequence[str] = OBJECTIVES) -> float:
    """What the front gains on a reference point, such as the base model: the volume of all that lies above it in each objective and
    that some complete trial reaches.

    Its unit is the product of those of the objectives. A trial below the reference in one objective adds nothing; 0 where all are.
    """
    from_values = _values(reference, names)
    gains = [
        tuple(value - start for value, start in zip(_values(final_objectives(trial), names), from_values, strict=True))
        for trial in complete(trials)
    ]
    return dominated_volume([gain for gain in gains if min(gain) > 0])


def lowered(base: Objectives, config: ObjectiveConfig, base_loss: float | None) -> Objectives:
    """The base model's objectives less the losses that the limits allow."""
    return Objectives(
        seen=base.seen,
        unseen=None if base.unseen is None else base.unseen - config.unseen_limit(base.unseen),
        retention=base.retention - config.retention_limit(base_loss),
    )


def dominated_volume(gains: Sequence[tuple[float, ...]]) -> float:
    """Volume of the union of the boxes from 0 to each point, all of them positive; exact, by slices along the last axis."""
    if not gains:
        return 0.0
    if len(gains[0]) == 1:
        return max(gain[0] for gain in gains)
    levels = sorted({gain[-1] for gain in gains})
    return sum(
        (level - below) * dominated_volume([gain[:-1] for gain in gains if gain[-1] >= level])
        for below, level in zip([0.0, *levels], levels, strict=False)
    )


def choose_best(trials: Sequence[TrialRecord], base: Objectives, config: ObjectiveConfig, base_loss: float | None = None) -> Choice:
    """The complete trial with most of what is maximised, among those that keep the unseen tasks and the generic ability; where none
    does, among all. With weights the limits choose nothing, since the weights say what a loss is worth.

    Args:
        base_loss: the base model's NLL on held-out generic rows, which a limit in percent is counted from.

    Raises:
        RunError: no trial ran its whole budget; the message gives the causes of those that failed.
    """
    finished = complete(trials)
    if not finished:
        raise nothing_finished(trials)
    excess = {trial.trial_id: config.excess(to_json(final_objectives(trial)), to_json(base), base_loss) for trial in finished}
    keeping = [trial for trial in finished if all(value <= 0 for value in excess[trial.trial_id].values())]
    candidates = finished if config.kind == "weighted" else keeping or finished
    best = max(candidates, key=lambda trial: (config.scalar(to_json(final_objectives(trial))), -trial.number))
    return Choice(
        trial=best,
        reason=_reason(config, len(keeping), len(finished)),
        keeps_unseen=excess[best.trial_id].get("unseen", 0.0) <= 0,
        keeps_retention=excess[best.trial_id].get("retention", 0.0) <= 0,
    )


def nothing_finished(trials: Sequence[TrialRecord]) -> RunError:
    """What to raise where there is nothing to choose from."""
    causes = sorted({trial.cause for trial in trials if trial.cause})
    return RunError("no trial ran its whole budget" + (f"; causes: {' | '.join(causes)}" if causes else ""))


def _reason(config: ObjectiveConfig, keeping: int, finished: int) -> str:
    highest = f"highest {config.scalar_text} on dev"
    if config.kind == "weighted":
        return f"{highest} among the {finished} complete trials"
    if keeping:
        return f"{highest} among the {keeping} of {finished} complete trials that keep {config.limits_text}"
    return f"{highest}; none of the {finished} complete trials keeps {config.limits_text}"
