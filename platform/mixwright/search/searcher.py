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
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from mixwright.config import ObjectiveConfig, SweepConfig
from mixwright.errors import RunError
from mixwright.records import TrialRecord, to_json
from mixwright.search import samplers
from mixwright.search.limits import Limits
from mixwright.search.sampler_state import reseed
from mixwright.search.space import INFEASIBLE, Space
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.search.surface import STANDARD_ERRORS
from mixwright.search_config import SCALAR
from mixwright.train.lane import EVALUATE_BASE, TRIAL_KEY

SAMPLER_DRAWS = 8
"""Draws of the sampler that the constraints may refuse before chance takes its place for one trial."""
RANDOM_DRAWS = 2000
BEHIND_S = 1.0
"""How long the study on disk may lack something: longer than a lane takes to switch trials, which then does not wait for it, and
longer than the shortest trials last, which are then written once."""


@dataclass(frozen=True, kw_only=True)
class BaseValues:
    """What the base model gave on dev."""

    objectives: Mapping[str, float | None]
    loss: float | None
    """NLL on held-out generic rows, nats a token."""


class TrialSearch(OptunaSearch):
    """The searcher of a sweep.

    Args:
        objectives: what the study is told of a trial: names of its result.
        file: the study, which it works on in memory.
        writes_later: leave the study on disk to a `StudyWriter`, instead of writing to it at each suggestion and end.
        limits: what a configuration must keep to be trained.
        base: what the base model gave, once that is known; the limits on forgetting are held against it.
    """

    def __init__(
        self,
        config: SweepConfig,
        objectives: Sequence[str],
        file: StudyFile,
        *,
        evaluate_base: bool,
        writes_later: bool = False,
        limits: Limits | None = None,
        base: Callable[[], BaseValues | None] = lambda: None,
    ) -> None:
        self._evaluate_base = evaluate_base
        self._base_trial: str | None = None
        self._searched = Space(config, limits)
        self._objective = config.search.objective
        self._base = base
        self._rungs = len(config.search.scheduler.rungs)
        self._search_seed = config.search.seed
        self._file = file
        self._writes_later = writes_later
        self._behind_since: float | None = None
        self._untold: dict[str, tuple[dict[str, Any] | None, bool]] = {}
        known = file.trials()
        self._keys = {_key(trial) for trial in known if trial.state != TrialState.WAITING}
        self._drawn_by = samplers.make(config.search, self._searched, len(known))
        super().__init__(
            space=self._searched.suggest,  # define by run: the one form that may be empty, and that has conditions
            metric=list(objectives),
            mode=["max"] * len(objectives),
            points_to_evaluate=[config.points.draws(point) for point in config.search.first] if not known else None,
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

    def publish(self) -> None:
        """Where the run is on object storage, puts the study that is on disk there, now and then."""
        self._file.publish()

    def _changed(self, number: int) -> None:
        self._file.changed(number)
        if not self._writes_later:
            self.write()
        elif self._behind_since is None:
            self._behind_since = time.monotonic()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study and `trials.jsonl` are what a resumed search reads."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        self._tell()
        # What is drawn hangs on the seed, on how many trials were drawn before, and on what they gave: a search that was cut off
        # draws what it would have drawn.
        reseed(self._drawn_by, self._search_seed, len(self._keys))
        trial, draws = self._feasible_trial()
        self._ot_trials[trial_id] = trial
        key = trial.user_attrs.get(TRIAL_KEY) or self._fresh_key()
        trial.set_user_attr(TRIAL_KEY, key)
        self._keys.add(key)
        self._changed(trial.number)
        return {**self._searched.values(draws), TRIAL_KEY: key, EVALUATE_BASE: self._takes_base(trial_id)}

    def _takes_base(self, trial_id: str) -> bool:
        """Whether this trial's lane evaluates the base model: the first one, and the next where that one came to nothing."""
        if self._evaluate_base and self._base_trial in self._completed_trials:
            self._evaluate_base = self._base() is None
        if not self._evaluate_base or self._base_is_due():
            return False
        self._base_trial = trial_id
        return True

    def _feasible_trial(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A trial that the constraints allow. Those that they refuse stay in the study as infeasible, for samplers to learn from.

        Raises:
            RunError: neither the sampler nor chance finds one.
        """
        study: Any = self._ot_study
        for _ in range(SAMPLER_DRAWS):
            trial = study.ask()
            draws = self._searched.suggest(trial)
            excess = self._searched.excess(draws)
            for name, value in excess.items():
                if name not in trial.constraints:
                    trial.set_constraint(name, value)
            if all(value <= 0 for value in excess.values()):
                return trial, draws
            trial.set_user_attr(INFEASIBLE, ", ".join(name for name, value in excess.items() if value > 0))
            study.tell(trial, state=TrialState.PRUNED)
            self._keys.add(_key(self._file.trial(trial.number)))
            self._changed(trial.number)
        study.enqueue_trial(self._random_feasible_draws())
        return self._feasible_trial()

    def _random_feasible_draws(self) -> dict[str, Any]:
        """A sampler that keeps to what it believes in may never leave the infeasible; chance does."""
        study: Any = self._ot_study
        rng = random.Random(f"{self._search_seed}|{len(study.get_trials(deepcopy=False))}")
        for _ in range(RANDOM_DRAWS):
            draws = self._searched.random_draws(rng)
            if self._searched.is_feasible(draws):
                return draws
        raise RunError(nothing_feasible(self._searched, RANDOM_DRAWS))

    def _fresh_key(self) -> str:
        """The next that is free. Not from Optuna's number: a trial that is queued again takes one more of those."""
        number = len(self._keys)
        while (key := f"trial_{number:04d}") in self._keys:
            number += 1
        return key

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self._completed_trials:
            self._completed_trials.add(trial_id)
            self._untold[trial_id] = (result, error)
            self._tell()

    def _base_is_due(self) -> bool:
        return self._base_trial is not None and self._base_trial not in self._completed_trials

    def _tell(self) -> None:
        """Tells the study which trials have ended; where they are held against the base model, once that has been evaluated."""
        if not self._untold:
            return
        is_held_against_base = self._objective.kind == "constrained"
        base = self._base() if is_held_against_base else None
        waits = is_held_against_base and base is None and self._base_is_due()
        for trial_id in [name for name, (result, _) in self._untold.items() if not (waits and result)]:
            result, error = self._untold.pop(trial_id)
            trial = self._ot_trials.pop(trial_id)  # or all trials would stay in memory twice
            self._tell_one(trial, result, error, base)
            self._changed(trial.number)

    def _tell_one(self, trial: optuna.Trial, result: dict[str, Any] | None, error: bool, base: BaseValues | None) -> None:
        values = [result.get(name) if result else None for name in self.metric]
        study: Any = self._ot_study
        if result:
            _note_limits(trial, self._objective, result, base)
        if errors := errors_of(result or {}, self.metric, self._objective):
            trial.set_user_attr(STANDARD_ERRORS, errors)
        usable = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if error or not usable:
            study.tell(trial, state=TrialState.FAIL)
        elif result and result.get("training_iteration", 0) < self._rungs:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, values, state=TrialState.COMPLETE)


def limit_excess(objective: ObjectiveConfig, objectives: Mapping[str, Any], base: BaseValues | None) -> dict[str, float]:
    """`ObjectiveConfig.excess`, always with the same names; 0 where the base model is not known yet, or a value is not a number."""
    found = objective.excess(objectives, base.objectives, base.loss) if base else {}
    names = [name for name in ("unseen", "retention") if objectives.get(name) is not None]
    return {f"{name}_loss": value if math.isfinite(value := found.get(name, 0.0)) else 0.0 for name in names}


def nothing_feasible(space: Space, draws: int) -> str:
    """What to say where no draw is feasible."""
    names = ", ".join(space.excess(space.random_draws(random.Random(0))))
    return (
        f"search.constraints: of {draws} random points of the space none keeps {names}; "
        "loosen the constraint, or widen the space to configurations that keep it"
    )


def errors_of(result: Mapping[str, Any], objectives: Sequence[str], objective: ObjectiveConfig) -> list[float | None]:
    """Standard errors of a result's objectives, in their order, for samplers that know noise; empty where none was measured."""
    errors = (result.get("rung") or {}).get("standard_errors") or {}
    found = [
        ({**errors, SCALAR: objective.scalar_error(errors)})[name] if name in (*errors, SCALAR) else None for name in objectives
    ]
    return found if any(error is not None and math.isfinite(error) for error in found) else []


class StudyWriter(tune.Callback):
    """Writes the study on disk while trials train."""

    def __init__(self, search: TrialSearch) -> None:
        self._search = search

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._search.seconds_behind > BEHIND_S:
            self._search.write()
        else:
            self._search.publish()


def _key(trial: FrozenTrial) -> str:
    key: str = trial.user_attrs.get(TRIAL_KEY) or f"trial_{trial.number:04d}"
    return key


def suggested(file: StudyFile) -> set[str]:
    """Ids of all trials that the study knows."""
    return {_key(trial) for trial in file.trials()}


def take_up(
    file: StudyFile,
    ended: Sequence[TrialRecord],
    objectives: Sequence[str],
    config: SweepConfig | None = None,
    base: BaseValues | None = None,
) -> list[str]:
    """Makes the study agree with the trials that have ended, after a kill.

    A trial that the study still takes for running, or that it took for ended before its record was written, is queued
    again under its old id and goes on from its checkpoint; one that has its record is told its end, and one that the study has
    never heard of, since it is a new one in another place, is added.

    Args:
        config: the searched space and what is maximised; None: what every sweep has.
        base: what the base model gave, for the limits.

    Returns:
        The ids of the trials that were queued again.
    """
    records = {record.trial_id: record for record in ended}
    trials = file.trials()
    waiting = {trial.user_attrs.get(TRIAL_KEY) for trial in trials if trial.state == TrialState.WAITING}
    latest = {_key(trial): trial for trial in trials if trial.state != TrialState.WAITING}
    objective = config.search.objective if config else ObjectiveConfig()
    queued = []
    for key, trial in latest.items():
        if trial.state == TrialState.RUNNING:
            _tell_end(file.study, trial, records.get(key), objectives, objective, base)
            file.changed(trial.number)
        if key not in records and key not in waiting and INFEASIBLE not in trial.user_attrs:
            file.study.enqueue_trial(trial.params, user_attrs={TRIAL_KEY: key})
            queued.append(key)
    for key in sorted(records.keys() - latest.keys()):
        draws = config.points.draws(records[key].params) if config else records[key].params
        file.study.add_trial(_as_trial(records[key], draws, _told(records[key], objectives, objective), file.space))
    for number in range(len(trials), len(file.trials())):
        file.changed(number)
    file.write()
    return queued


def _as_trial(
    record: TrialRecord, draws: Mapping[str, Any], values: list[float] | None, space: Mapping[str, BaseDistribution]
) -> FrozenTrial:
    params = {name: value for name, value in draws.items() if name in space}
    states = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    return optuna.trial.create_trial(
        state=states[record.status],
        values=values,
        params=params,
        distributions={name: space[name] for name in params},
        user_attrs={TRIAL_KEY: record.trial_id},
    )


def _tell_end(
    study: optuna.Study,
    trial: optuna.trial.FrozenTrial,
    record: TrialRecord | None,
    objectives: Sequence[str],
    objective: ObjectiveConfig,
    base: BaseValues | None,
) -> None:
    if record is None or record.status == "failed":
        study.tell(trial.number, state=TrialState.FAIL)
    elif record.status == "stopped":
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        _note_limits(optuna.Trial(study, trial._trial_id), objective, to_json(record.rungs[-1].objectives), base)
        study.tell(trial.number, _told(record, objectives, objective))


def _told(record: TrialRecord, objectives: Sequence[str], objective: ObjectiveConfig) -> list[float] | None:
    """What the study is told of a complete trial; None of another."""
    if record.status != "complete":
        return None
    found = to_json(record.rungs[-1].objectives)
    return [({**found, SCALAR: objective.scalar(found)})[name] for name in objectives]


def _note_limits(trial: optuna.Trial, objective: ObjectiveConfig, found: Mapping[str, Any], base: BaseValues | None) -> None:
    """Where the limits on forgetting are constraints, tells the sampler how far they were overstepped."""
    if objective.kind == "constrained":
        for name, value in limit_excess(objective, found, base).items():
            if name not in trial.constraints:
                trial.set_constraint(name, value)
