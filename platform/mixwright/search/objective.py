"""Finished trials -> the Pareto front and the best one, with the reason in words.

What comes in: trial records and the base model's dev evaluation. What goes out: plain records. A trial that was stopped
early is judged by nothing here: its scores are those of a smaller budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixwright.config import ObjectiveConfig
from mixwright.errors import RunError
from mixwright.records import Objectives, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best trial, and why it is that one."""

    trial: TrialRecord
    reason: str
    keeps_unseen: bool
    keeps_retention: bool


def final_objectives(trial: TrialRecord) -> Objectives:
    """The objectives at the end of a complete trial's budget."""
    return trial.rungs[-1].objectives


def complete(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that ran their whole budget, by number."""
    return sorted((trial for trial in trials if trial.status == "complete"), key=lambda trial: trial.number)


def pareto_front(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Complete trials that no other complete trial beats in one objective while matching it in the rest."""
    finished = complete(trials)
    return [trial for trial in finished if not any(_dominates(other, trial) for other in finished)]


def _values(trial: TrialRecord) -> tuple[float, ...]:
    objectives = final_objectives(trial)
    values = (objectives.seen, objectives.unseen, objectives.retention)
    return tuple(value for value in values if value is not None)


def _dominates(left: TrialRecord, right: TrialRecord) -> bool:
    pairs = list(zip(_values(left), _values(right), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def choose_best(trials: Sequence[TrialRecord], base: Objectives, config: ObjectiveConfig) -> Choice:
    """The highest `seen` among complete trials that keep the unseen tasks and the generic ability; else the highest `seen`.

    Raises:
        RunError: no trial ran its whole budget; the message gives the causes of those that failed.
    """
    finished = complete(trials)
    if not finished:
        causes = sorted({trial.cause for trial in trials if trial.cause})
        raise RunError("no trial ran its whole budget" + (f"; causes: {' | '.join(causes)}" if causes else ""))
    keeping = [trial for trial in finished if keeps_unseen(trial, base, config) and keeps_retention(trial, base, config)]
    best = max(keeping or finished, key=lambda trial: (final_objectives(trial).seen, -trial.number))
    limits = f"unseen within {config.max_unseen_loss:g} points and retention within {config.max_retention_loss:g} nats of base"
    if keeping:
        reason = (
            f"highest mean over seen tasks on dev among the {len(keeping)} of {len(finished)} complete trials that keep {limits}"
        )
    else:
        reason = f"highest mean over seen tasks on dev; none of the {len(finished)} complete trials keeps {limits}"
    return Choice(
        trial=best,
        reason=reason,
        keeps_unseen=keeps_unseen(best, base, config),
        keeps_retention=keeps_retention(best, base, config),
    )


def keeps_unseen(trial: TrialRecord, base: Objectives, config: ObjectiveConfig) -> bool:
    """Whether the held-out tasks score no lower than the base model's by more than the limit; true where none is held out."""
    unseen = final_objectives(trial).unseen
    return unseen is None or base.unseen is None or unseen >= base.unseen - config.max_unseen_loss


def keeps_retention(trial: TrialRecord, base: Objectives, config: ObjectiveConfig) -> bool:
    """Whether the response NLL on held-out generic rows rose by no more than the limit."""
    return final_objectives(trial).retention >= base.retention - config.max_retention_loss
