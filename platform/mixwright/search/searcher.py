"""OptunaSearch with trials that keep their identity, end properly and can be taken up after a kill.

What comes in: the study and the trials that have ended. What goes out: suggestions that carry our trial id.
Three things differ from Ray's class:

- a trial's id comes from its number in the study, so the same trial finds its checkpoint in the next process;
- a trial stopped early ends as PRUNED: Ray would tell Optuna its short-budget scores as those of a complete one;
- an objective that is missing or not a number ends the trial as FAIL instead of leaving it running for ever.

The study that Ray works on is in memory; the one on disk or in a database follows while trials train.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from mixwright.config import SweepConfig
from mixwright.records import TrialRecord
from mixwright.search.sampler_state import reseed
from mixwright.search.space import distributions, sampler
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.train.lane import EVALUATE_BASE, TRIAL_KEY

BEHIND_S = 0.25
"""How long the study on disk may lack something: longer than a lane takes to switch trials, which then does not wait for it."""


def _no_parameters(trial: optuna.Trial) -> dict[str, Any]:
    """The space of a sweep of one trial; Optuna's define-by-run form is the one that may be empty."""
    return {}


class TrialSearch(OptunaSearch):
    """The searcher of a sweep.

    Args:
        file: the study, which it works on in memory.
        writes_later: leave the study on disk to a `StudyWriter`, instead of writing to it at each suggestion and end.
    """

    def __init__(
        self,
        config: SweepConfig,
        objectives: Sequence[str],
        file: StudyFile,
        *,
        evaluate_base: bool,
        writes_later: bool = False,
    ) -> None:
        self._evaluate_base = evaluate_base
        self._rungs = len(config.search.scheduler.rungs)
        self._search_seed = config.search.seed
        self._file = file
        self._writes_later = writes_later
        self._behind_since: float | None = None
        known = file.trials()
        self._keys = {_key(trial) for trial in known if trial.state != TrialState.WAITING}
        self._drawn_by = sampler(config.search, len(known))
        super().__init__(
            space=distributions(config) or _no_parameters,
            metric=list(objectives),
            mode=["max"] * len(objectives),
            points_to_evaluate=[dict(point) for point in config.search.first] if not known else None,
            sampler=self._drawn_by,
            study_name=STUDY_NAME,
            storage=file.memory,
        )
        for trial in file.trials()[len(known) :]:  # the points that come first
            file.changed(trial.number)
        self.write()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune leaves a pickle of what it is given in the run folder, nobody reads it, and the study's address has a
        password."""
        return {}

    @property
    def seconds_behind(self) -> float:
        """How long the study on disk has lacked something."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    def write(self) -> None:
        """Brings the study on disk up to the one in memory."""
        self._file.write()
        self._behind_since = None

    def _changed(self, number: int) -> None:
        self._file.changed(number)
        if not self._writes_later:
            self.write()
        elif self._behind_since is None:
            self._behind_since = time.monotonic()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study and `trials.jsonl` are what a resumed search reads."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        # What is drawn hangs on the seed, on how many trials were drawn before, and on what they gave: a search that was cut off
        # draws what it would have drawn.
        reseed(self._drawn_by, self._search_seed, len(self._keys))
        values = super().suggest(trial_id)
        if values is None:
            return None
        trial = self._ot_trials[trial_id]
        key = trial.user_attrs.get(TRIAL_KEY) or self._fresh_key(trial.number)
        trial.set_user_attr(TRIAL_KEY, key)
        self._keys.add(key)
        self._changed(trial.number)
        evaluate_base, self._evaluate_base = self._evaluate_base, False
        return {**values, TRIAL_KEY: key, EVALUATE_BASE: evaluate_base}

    def _fresh_key(self, number: int) -> str:
        """From the trial's number; where a record came from elsewhere and has that id, from the next that is free."""
        while (key := f"trial_{number:04d}") in self._keys:
            number += 1
        return key

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        number = self._ot_trials[trial_id].number
        values = [result.get(name) if result else None for name in self.metric]
        study: Any = self._ot_study
        usable = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if error or not usable:
            study.tell(self._ot_trials[trial_id], state=TrialState.FAIL)
        elif result and result.get("training_iteration", 0) < self._rungs:
            study.tell(self._ot_trials[trial_id], state=TrialState.PRUNED)
        else:
            study.tell(self._ot_trials[trial_id], values, state=TrialState.COMPLETE)
        self._changed(number)
        del self._ot_trials[trial_id]  # or all trials would stay in memory twice


class StudyWriter(tune.Callback):
    """Writes the study on disk while trials train."""

    def __init__(self, search: TrialSearch) -> None:
        self._search = search

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._search.seconds_behind > BEHIND_S:
            self._search.write()


def _key(trial: FrozenTrial) -> str:
    key: str = trial.user_attrs.get(TRIAL_KEY) or f"trial_{trial.number:04d}"
    return key


def suggested(file: StudyFile) -> set[str]:
    """Ids of all trials that the study knows."""
    return {_key(trial) for trial in file.trials()}


def take_up(file: StudyFile, ended: Sequence[TrialRecord], objectives: Sequence[str]) -> list[str]:
    """Makes the study agree with the trials that have ended, after a kill.

    A trial that the study still takes for running, or that it took for ended before its record was written, is queued
    again under its old id and goes on from its checkpoint; one that has its record is told its end, and one that the study has
    never heard of, since it is a new one in another place, is added.

    Returns:
        The ids of the trials that were queued again.
    """
    records = {record.trial_id: record for record in ended}
    trials = file.trials()
    waiting = {trial.user_attrs.get(TRIAL_KEY) for trial in trials if trial.state == TrialState.WAITING}
    latest = {_key(trial): trial for trial in trials if trial.state != TrialState.WAITING}
    queued = []
    for key, trial in latest.items():
        if trial.state == TrialState.RUNNING:
            _tell_end(file.study, trial, records.get(key), objectives)
            file.changed(trial.number)
        if key not in records and key not in waiting:
            file.study.enqueue_trial(trial.params, user_attrs={TRIAL_KEY: key})
            queued.append(key)
    for key in sorted(records.keys() - latest.keys()):
        file.study.add_trial(_as_trial(records[key], objectives, file.space))
    for number in range(len(trials), len(file.trials())):
        file.changed(number)
    file.write()
    return queued


def _as_trial(record: TrialRecord, objectives: Sequence[str], space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    params = {name: value for name, value in record.params.items() if name in space}
    states = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    final = record.rungs[-1].objectives if record.status == "complete" else None
    return optuna.trial.create_trial(
        state=states[record.status],
        values=[getattr(final, name) for name in objectives] if final else None,
        params=params,
        distributions={name: space[name] for name in params},
        user_attrs={TRIAL_KEY: record.trial_id},
    )


def _tell_end(study: optuna.Study, trial: optuna.trial.FrozenTrial, record: TrialRecord | None, objectives: Sequence[str]) -> None:
    if record is None or record.status == "failed":
        study.tell(trial.number, state=TrialState.FAIL)
    elif record.status == "stopped":
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        final = record.rungs[-1].objectives
        study.tell(trial.number, [getattr(final, name) for name in objectives])
