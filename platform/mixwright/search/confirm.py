"""The best points of a search, trained again with fresh seeds before one of them is called best.

What comes in: a search that has ended. What goes out: trials of their own, which stand in trials.jsonl beside those of the search
and name the trial that they repeat; and a choice by the mean over fresh seeds. The highest of many noisy scores is flattered by its
luck, and a fresh seed does not share it. What the seeds do not show is the luck of the evaluation rows, which are the same.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ray.tune.search import Searcher

from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.errors import RunError
from mixwright.models import LoadedModel
from mixwright.records import Objectives, TrialRecord, to_json
from mixwright.scenarios import Scenario
from mixwright.search.board import Board
from mixwright.search.evaluator import DevEvaluator
from mixwright.search.interruption import interruptible
from mixwright.search.objective import Choice, complete
from mixwright.search.progress import Stage
from mixwright.search.schedulers import InOrder
from mixwright.search.space import distributions, drawn
from mixwright.search.surface.answer import FEWEST_TRIALS, predicted_at, surface_of
from mixwright.search.surface.axes import SEED_KEY, axes_of
from mixwright.search.sweep import SearchResult, TrialRecorder, lanes, tuner
from mixwright.search.tracking import trackers
from mixwright.store.runs import RunFolder
from mixwright.train.lane import EVALUATE_BASE, TRIAL_KEY
from mixwright.train.resident import Evaluator, Setup

logger = logging.getLogger(__name__)

FIRST_FRESH_SEED = 1000
"""Added to the sweep's own seed: far from those that a space of seeds would list."""
NAMES = ("seen", "unseen", "retention")

Judge = Callable[[Sequence[TrialRecord]], Choice]
"""The rule by which a search calls one of its trials best."""


def planned(config: SweepConfig, trials: Sequence[TrialRecord], judge: Judge) -> list[TrialRecord]:
    """The trials to run, without results yet. The same search plans the same ones, so that a resumed run knows what is left."""
    settings = config.search.confirm
    found: list[TrialRecord] = []
    for candidate in candidates(config, trials, judge) if settings.candidates else []:
        for index in range(settings.seeds):
            seed = FIRST_FRESH_SEED + config.trial_seed + index
            number = len(found)
            params = {**candidate.params, SEED_KEY: seed}
            key = f"confirm_{candidate.number:04d}_{number}"
            found.append(
                TrialRecord(trial_id=key, number=number, status="complete", params=params, rungs=(), confirms=candidate.trial_id)
            )
    return found


def candidates(config: SweepConfig, trials: Sequence[TrialRecord], judge: Judge) -> list[TrialRecord]:
    """The best trials by what the surface predicts at their points, which borrows from their neighbours; one a point."""
    smooth = {trial.trial_id: trial for trial in _smoothed(config, trials)}
    chosen: list[TrialRecord] = []
    while len(chosen) < config.search.confirm.candidates and complete(list(smooth.values())):
        best = judge(list(smooth.values())).trial
        chosen.append(next(trial for trial in trials if trial.trial_id == best.trial_id))
        point = _point(best)
        smooth = {key: trial for key, trial in smooth.items() if _point(trial) != point}
    return chosen


def _point(trial: TrialRecord) -> dict[str, Any]:
    return {key: value for key, value in trial.params.items() if key != SEED_KEY}


def _smoothed(config: SweepConfig, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Complete trials with predicted objectives in place of their own; as they are where there is nothing to predict from."""
    finished, axes = complete(trials), axes_of(distributions(config))
    places = [drawn(config, trial) for trial in finished]
    if not axes or len(finished) < FEWEST_TRIALS:
        return finished
    predicted: dict[str, list[float]] = {}
    for name in NAMES:
        if (surface := surface_of(axes, places, name, config.points.names_at)) is not None:
            predicted[name] = predicted_at(surface, places)
    return [
        _with_objectives(trial, {name: values[index] for name, values in predicted.items()}) for index, trial in enumerate(finished)
    ]


def _with_objectives(trial: TrialRecord, values: dict[str, float]) -> TrialRecord:
    """The same trial with other objectives at its end."""
    last = trial.rungs[-1]
    objectives = Objectives(**{**to_json(last.objectives), **values})
    return dataclasses.replace(trial, rungs=(*trial.rungs[:-1], dataclasses.replace(last, objectives=objectives)))


def confirmed(judge: Judge, trials: Sequence[TrialRecord], confirmations: Sequence[TrialRecord]) -> Choice:
    """The best of the candidates by the mean over their fresh seeds alone; of all trials where none was confirmed."""
    by_trial: dict[str, list[TrialRecord]] = {}
    for record in complete(confirmations):
        by_trial.setdefault(record.confirms, []).append(record)
    if not by_trial:
        return judge(trials)
    known = [trial for trial in trials if trial.trial_id in by_trial]
    choice = judge([_with_objectives(trial, _means(by_trial[trial.trial_id])) for trial in known])
    best = next(trial for trial in known if trial.trial_id == choice.trial.trial_id)
    seeds = " and ".join(sorted({str(len(found)) for found in by_trial.values()}))
    again = f"trained again with {seeds} fresh seed{'' if seeds == '1' else 's'} each and judged by the mean over those"
    reason = f"{choice.reason}; these are the {len(known)} best by the response surface, {again}"
    return dataclasses.replace(choice, trial=best, reason=reason)


def _means(records: Sequence[TrialRecord]) -> dict[str, float]:
    found = [to_json(record.rungs[-1].objectives) for record in records]
    return {name: fmean(item[name] for item in found) for name in NAMES if all(item[name] is not None for item in found)}


def confirm(
    config: SweepConfig,
    scenario: Scenario,
    data: PreparedData,
    run: RunFolder,
    result: SearchResult,
    judge: Judge,
    make_evaluator: Callable[[Setup, LoadedModel], Evaluator] = DevEvaluator,
) -> SearchResult:
    """The result with its candidates confirmed; trials that the folder holds already are not run again.

    Raises:
        RunError: they were stopped before all had ended.
    """
    wanted = planned(config, result.trials, judge)
    held = {record.trial_id for record in run.confirmations()}
    left = [item for item in wanted if item.trial_id not in held]
    if left:
        logger.info("confirming %d points: %d trials with fresh seeds", len({item.confirms for item in wanted}), len(left))
        setup = Setup.settled(
            config, result.choices, scenario=scenario, data=data.for_workers(), run_dir=run.path, make_evaluator=make_evaluator
        )
        _run(config, setup, run, left)
    ended = [record for record in run.confirmations() if record.trial_id in {item.trial_id for item in wanted}]
    if len(ended) < len(wanted):
        raise RunError(f"{run.path}: stopped after {len(ended)} of {len(wanted)} confirming trials; go on with --resume")
    return dataclasses.replace(result, confirmations=tuple(ended))


def _run(config: SweepConfig, setup: Setup, run: RunFolder, left: Sequence[TrialRecord]) -> None:
    """On lanes, as any trial, each for its whole budget."""
    folder = _Confirming(run.path, {item.trial_id: item.confirms for item in left})
    told = trackers(config.tracking, config.name, run.path)
    ended: list[TrialRecord] = []
    recorder = TrialRecorder(folder, config, ended, told, Board(ended, len(left)))
    scheduler = InOrder()  # type: ignore[no-untyped-call]
    stage = Stage(
        f"confirming ({len(left)} trials with fresh seeds)",
        done=lambda: len(ended),
        total=lambda: len(left),
        unit="trial",
    )
    try:
        with lanes(setup) as opened, stage, interruptible() as interruption:
            callbacks = [recorder, interruption]
            tuner(
                "confirm", config, run.path, opened.trainable, _Points(left), scheduler, len(left), callbacks, opened.placed
            ).fit()
    finally:
        told.close()


class _Points(Searcher):
    """Hands out trials that are given."""

    def __init__(self, wanted: Sequence[TrialRecord]) -> None:
        super().__init__(metric="seen", mode="max")
        self._left = list(wanted)

    def suggest(self, trial_id: str) -> Any:
        if not self._left:
            return Searcher.FINISHED
        record = self._left.pop(0)
        return {**record.params, TRIAL_KEY: record.trial_id, EVALUATE_BASE: False}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing hangs on it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: trials.jsonl says what is left."""

    def restore(self, checkpoint_path: str) -> None:
        """As `save`."""


@dataclass(frozen=True)
class _Confirming(RunFolder):
    """The run's folder, which notes of each trial that ends which one it confirms."""

    confirms: Mapping[str, str] = field(default_factory=dict)

    def append_trial(self, record: TrialRecord) -> None:
        super().append_trial(dataclasses.replace(record, confirms=self.confirms[record.trial_id]))
