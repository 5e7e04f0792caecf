"""OptunaSearch with trials that keep their identity, end properly and can be taken up after a kill.

What comes in: the study in `study.db` and the trials that have ended. What goes out: suggestions that carry our trial id.
Three things differ from Ray's class:

- a trial's id comes from its number in the study, so the same trial finds its checkpoint in the next process;
- a trial stopped early ends as PRUNED: Ray would tell Optuna its short-budget scores as those of a complete one;
- an objective that is missing or not a number ends the trial as FAIL instead of leaving it running for ever.

The study that Ray works on is in memory; `study.db` follows while trials train.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from mixwright.config import SweepConfig
from mixwright.records import TrialRecord
from mixwright.search.space import distributions, sampler
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.search.surface import STANDARD_ERRORS
from mixwright.train.lane import EVALUATE_BASE, TRIAL_KEY

BEHIND_S = 0.25
"""How long `study.db` may lack something: longer than a lane takes to switch trials, which then does not wait for it."""


def _no_parameters(trial: optuna.Trial) -> dict[str, Any]:
    """The space of a sweep of one trial; Optuna's define-by-run form is the one that may be empty."""
    return {}


class TrialSearch(OptunaSearch):
    """The searcher of a sweep.

    Args:
        writes_later: leave `study.db` to a `StudyWriter`, instead of writing to it at each suggestion and end.
    """

    def __init__(
        self,
        config: SweepConfig,
        objectives: Sequence[str],
        study_url: str,
        *,
        evaluate_base: bool,
        writes_later: bool = False,
    ) -> None:
        self._evaluate_base = evaluate_base
        self._rungs = len(config.search.scheduler.rungs)
        self._file = StudyFile(study_url, objectives)
        self._writes_later = writes_later
        self._behind_since: float | None = None
        known_trials = len(self._file.known)
        super().__init__(
            space=distributions(config) or _no_parameters,
            metric=list(objectives),
            mode=["max"] * len(objectives),
            points_to_evaluate=[dict(point) for point in config.search.first] if not known_trials else None,
            sampler=sampler(config.search, known_trials),
            study_name=STUDY_NAME,
            storage=self._file.in_memory(),
        )
        self.write()

    @property
    def seconds_behind(self) -> float:
        """How long `study.db` has lacked something."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    def write(self) -> None:
        """Brings `study.db` up to the study in memory."""
        study: Any = self._ot_study
        self._file.write(study.get_trials(deepcopy=False))
        self._behind_since = None

    def _changed(self) -> None:
        if not self._writes_later:
            self.write()
        elif self._behind_since is None:
            self._behind_since = time.monotonic()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: `study.db` and `trials.jsonl` are what a resumed search reads."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        values = super().suggest(trial_id)
        if values is None:
            return None
        trial = self._ot_trials[trial_id]
        key = trial.user_attrs.get(TRIAL_KEY) or f"trial_{trial.number:04d}"
        trial.set_user_attr(TRIAL_KEY, key)
        self._changed()
        evaluate_base, self._evaluate_base = self._evaluate_base, False
        return {**values, TRIAL_KEY: key, EVALUATE_BASE: evaluate_base}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        if not self._file.knows(self._ot_trials[trial_id].number):
            self.write()  # its record comes next, and the study must not give its id away again
        values = [result.get(name) if result else None for name in self.metric]
        study: Any = self._ot_study
        if errors := errors_of(result or {}, self.metric):
            self._ot_trials[trial_id].set_user_attr(STANDARD_ERRORS, errors)
        usable = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if error or not usable:
            study.tell(self._ot_trials[trial_id], state=TrialState.FAIL)
        elif result and result.get("training_iteration", 0) < self._rungs:
            study.tell(self._ot_trials[trial_id], state=TrialState.PRUNED)
        else:
            study.tell(self._ot_trials[trial_id], values, state=TrialState.COMPLETE)
        self._changed()


def errors_of(result: Mapping[str, Any], objectives: Sequence[str]) -> list[float | None]:
    """Standard errors of a result's objectives, in their order, for samplers that know noise; empty where none was measured."""
    errors = (result.get("rung") or {}).get("standard_errors") or {}
    found = [errors.get(name) for name in objectives]
    return found if any(error is not None and math.isfinite(error) for error in found) else []


class StudyWriter(tune.Callback):
    """Writes `study.db` while trials train."""

    def __init__(self, search: TrialSearch) -> None:
        self._search = search

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._search.seconds_behind > BEHIND_S:
            self._search.write()


def _trials_in(study_url: str) -> int:
    try:
        return len(optuna.load_study(study_name=STUDY_NAME, storage=study_url).get_trials(deepcopy=False))
    except KeyError:
        return 0


def suggested(study_url: str) -> set[str]:
    """Ids of all trials that the study knows."""
    if not _trials_in(study_url):
        return set()
    trials = optuna.load_study(study_name=STUDY_NAME, storage=study_url).get_trials(deepcopy=False)
    return {trial.user_attrs.get(TRIAL_KEY, f"trial_{trial.number:04d}") for trial in trials}


def take_up(study_url: str, ended: Sequence[TrialRecord], objectives: Sequence[str]) -> list[str]:
    """Makes the study agree with the trials that have ended, after a kill.

    A trial that the study still takes for running, or that it took for ended before its record was written, is queued
    again under its old id and goes on from its checkpoint; one that has its record is told its end.

    Returns:
        The ids of the trials that were queued again.
    """
    if not _trials_in(study_url):
        return []
    study = optuna.load_study(study_name=STUDY_NAME, storage=study_url)
    records = {record.trial_id: record for record in ended}
    trials = study.get_trials(deepcopy=False)
    waiting = {trial.user_attrs.get(TRIAL_KEY) for trial in trials if trial.state == TrialState.WAITING}
    latest = {
        trial.user_attrs.get(TRIAL_KEY, f"trial_{trial.number:04d}"): trial for trial in trials if trial.state != TrialState.WAITING
    }
    queued = []
    for key, trial in latest.items():
        if trial.state == TrialState.RUNNING:
            _tell_end(study, trial, records.get(key), objectives)
        if key not in records and key not in waiting:
            study.enqueue_trial(trial.params, user_attrs={TRIAL_KEY: key})
            queued.append(key)
    return queued


def _tell_end(study: optuna.Study, trial: optuna.trial.FrozenTrial, record: TrialRecord | None, objectives: Sequence[str]) -> None:
    if record is None or record.status == "failed":
        study.tell(trial.number, state=TrialState.FAIL)
    elif record.status == "stopped":
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        final = record.rungs[-1].objectives
        study.tell(trial.number, [getattr(final, name) for name in objectives])
