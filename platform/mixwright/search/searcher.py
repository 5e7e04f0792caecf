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
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from mixwright.config import ObjectiveConfig, SweepConfig
from mixwright.errors import RunError
from mixwright.records import TrialRecord, to_json
from mixwright.search import samplers
from mixwright.search.limits import Limits
from mixwright.search.space import INFEASIBLE, Space
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.search_config import SCALAR
from mixwright.train.lane import EVALUATE_BASE, TRIAL_KEY

SAMPLER_DRAWS = 8
"""Draws of the sampler that the constraints may refuse before chance takes its place for one trial."""
RANDOM_DRAWS = 2000
BEHIND_S = 0.25
"""How long `study.db` may lack something: longer than a lane takes to switch trials, which then does not wait for it."""


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
        writes_later: leave `study.db` to a `StudyWriter`, instead of writing to it at each suggestion and end.
        limits: what a configuration must keep to be trained.
        base: what the base model gave, once that is known; the limits on forgetting are held against it.
    """

    def __init__(
        self,
        config: SweepConfig,
        objectives: Sequence[str],
        study_url: str,
        *,
        evaluate_base: bool,
        writes_later: bool = False,
        limits: Limits | None = None,
        base: Callable[[], BaseValues | None] = lambda: None,
    ) -> None:
        self._evaluate_base = evaluate_base
        self._searched = Space(config, limits)
        self._objective = config.search.objective
        self._base = base
        self._seed = config.search.seed
        self._rungs = len(config.search.scheduler.rungs)
        self._file = StudyFile(study_url, objectives)
        self._writes_later = writes_later
        self._behind_since: float | None = None
        known_trials = len(self._file.known)
        super().__init__(
            space=self._searched.suggest,  # define by run: the one form that may be empty, and that has conditions
            metric=list(objectives),
            mode=["max"] * len(objectives),
            points_to_evaluate=[config.points.draws(point) for point in config.search.first] if not known_trials else None,
            sampler=samplers.make(config.search, self._searched, known_trials),
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
        trial, draws = self._feasible_trial()
        self._ot_trials[trial_id] = trial
        key = trial.user_attrs.get(TRIAL_KEY) or f"trial_{trial.number:04d}"
        trial.set_user_attr(TRIAL_KEY, key)
        self._changed()
        evaluate_base, self._evaluate_base = self._evaluate_base, False
        return {**self._searched.values(draws), TRIAL_KEY: key, EVALUATE_BASE: evaluate_base}

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
        study.enqueue_trial(self._random_feasible_draws())
        return self._feasible_trial()

    def _random_feasible_draws(self) -> dict[str, Any]:
        """A sampler that keeps to what it believes in may never leave the infeasible; chance does."""
        study: Any = self._ot_study
        rng = random.Random(f"{self._seed}|{len(study.get_trials(deepcopy=False))}")
        for _ in range(RANDOM_DRAWS):
            draws = self._searched.random_draws(rng)
            if self._searched.is_feasible(draws):
                return draws
        raise RunError(nothing_feasible(self._searched, RANDOM_DRAWS))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        if not self._file.knows(self._ot_trials[trial_id].number):
            self.write()  # its record comes next, and the study must not give its id away again
        values = [result.get(name) if result else None for name in self.metric]
        study: Any = self._ot_study
        if result:
            _note_limits(self._ot_trials[trial_id], self._objective, result, self._base())
        usable = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if error or not usable:
            study.tell(self._ot_trials[trial_id], state=TrialState.FAIL)
        elif result and result.get("training_iteration", 0) < self._rungs:
            study.tell(self._ot_trials[trial_id], state=TrialState.PRUNED)
        else:
            study.tell(self._ot_trials[trial_id], values, state=TrialState.COMPLETE)
        self._changed()


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


def take_up(
    study_url: str,
    ended: Sequence[TrialRecord],
    objectives: Sequence[str],
    objective: ObjectiveConfig | None = None,
    base: BaseValues | None = None,
) -> list[str]:
    """Makes the study agree with the trials that have ended, after a kill.

    A trial that the study still takes for running, or that it took for ended before its record was written, is queued
    again under its old id and goes on from its checkpoint; one that has its record is told its end.

    Args:
        objective: what is maximised, with the limits; None: the defaults.
        base: what the base model gave, for the limits.

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
            _tell_end(study, trial, records.get(key), objectives, objective or ObjectiveConfig(), base)
        if key not in records and key not in waiting and INFEASIBLE not in trial.user_attrs:
            study.enqueue_trial(trial.params, user_attrs={TRIAL_KEY: key})
            queued.append(key)
    return queued


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
        found = to_json(record.rungs[-1].objectives)
        _note_limits(optuna.Trial(study, trial._trial_id), objective, found, base)
        study.tell(trial.number, [({**found, SCALAR: objective.scalar(found)})[name] for name in objectives])


def _note_limits(trial: optuna.Trial, objective: ObjectiveConfig, found: Mapping[str, Any], base: BaseValues | None) -> None:
    """Where the limits on forgetting are constraints, tells the sampler how far they were overstepped."""
    if objective.kind == "constrained":
        for name, value in limit_excess(objective, found, base).items():
            if name not in trial.constraints:
                trial.set_constraint(name, value)
