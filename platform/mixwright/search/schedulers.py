"""`search.scheduler` -> a Tune scheduler that stops trials at our rungs and goes on as it was after a kill.

What comes in: the settings and the trials that have ended. What goes out: the scheduler, told of all rungs that those reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from mixwright.config import SchedulerConfig, SweepConfig
from mixwright.records import TrialRecord, to_json
from mixwright.search_config import SCALAR


class _InOrder:
    """Leaves it to Tune to start what is pending, in order.

    Asked for a choice, Tune's own schedulers look through all trials of the search at every event for the first that is pending.
    While lanes start, that is a trial whose own lane is on its way: Tune gives it the lane that has just become free and takes
    down the one that was starting for it, so that the next suggestion needs another. Where trials are short, that never ends.
    """

    def choose_trial_to_run(self, controller: Any) -> None:
        return None


class InOrder(_InOrder, FIFOScheduler):
    """Stops nobody."""


class _Halving(_InOrder, ASHAScheduler):
    pass


class _Median(_InOrder, MedianStoppingRule):
    pass


def make(config: SweepConfig, ended: Sequence[TrialRecord]) -> TrialScheduler:
    """The scheduler of a sweep.

    Args:
        ended: before a kill; it stops further trials as if it had seen these.
    """
    settings = config.search.scheduler
    if settings.kind == "none" or len(settings.rungs) == 1:
        return InOrder()  # type: ignore[no-untyped-call]
    factor = settings.reduction_factor
    scheduler = _median_rule(settings) if settings.kind == "median" else _halving(settings)
    controller: Any = None  # the two calls below never look at it
    for record in ended:
        stand_in: Any = _Ended(record.trial_id)
        scheduler.on_trial_add(controller, stand_in)
        for index, rung in enumerate(record.rungs):
            scalar = config.search.objective.scalar(to_json(rung.objectives))
            scheduler.on_trial_result(controller, stand_in, {"halving_time": factor**index, SCALAR: scalar})
    return scheduler


@dataclass(frozen=True)
class _Ended:
    """Stands for a trial of Tune's that ended in another process."""

    trial_id: str


def _halving(settings: SchedulerConfig) -> TrialScheduler:
    """ASHA spaces its rungs by powers of the factor; ours stand where the configuration puts them, so their index is the time."""
    return _Halving(
        time_attr="halving_time",
        metric=SCALAR,
        mode="max",
        grace_period=1,
        reduction_factor=settings.reduction_factor,
        max_t=settings.reduction_factor ** (len(settings.rungs) - 1),  # type: ignore[arg-type]
    )


def _median_rule(settings: SchedulerConfig) -> TrialScheduler:
    return _Median(
        time_attr="halving_time",
        metric=SCALAR,
        mode="max",
        grace_period=1,
        min_samples_required=settings.min_trials,
        min_time_slice=math.inf,  # type: ignore[arg-type] # never pauses a trial to let others catch up: its lane would switch
    )
