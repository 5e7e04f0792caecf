"""`study.db`: the Optuna study on disk, one step behind the one in memory that the search works on.

What comes in: the trials of the study in memory. What goes out: the same in SQLite, which optuna-dashboard and a resumed
search read. Optuna takes a tenth of a second to write a suggestion and an end there, as long as a lane takes to switch trials; in
memory it takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from mixwright.search.surface import STANDARD_ERRORS

STUDY_NAME = "sweep"


class StudyFile:
    """Writes what it has not written yet."""

    def __init__(self, url: str, objectives: Sequence[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(url)
        directions = [optuna.study.StudyDirection.MAXIMIZE for _ in objectives]
        self._study = optuna.create_study(storage=self._storage, study_name=STUDY_NAME, directions=directions, load_if_exists=True)
        self._study_id = self._storage.get_study_id_from_name(STUDY_NAME)
        self.known = self._study.get_trials()
        """The trials that stood there when the file was opened."""
        self._written = {trial.number: trial.state for trial in self.known}

    def in_memory(self) -> optuna.storages.InMemoryStorage:
        """A storage with a study of the same name and trials."""
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name=STUDY_NAME, directions=self._study.directions)
        study.add_trials(self.known)
        return storage

    def knows(self, number: int) -> bool:
        """Whether the file has that trial, in whatever state."""
        return number in self._written

    def write(self, trials: Sequence[FrozenTrial]) -> None:
        """Brings the file up to `trials`, all those of the study in memory in the order of their numbers."""
        for trial in trials:
            before = self._written.get(trial.number)
            if before is None:
                self._storage.create_new_trial(self._study_id, template_trial=trial)
            elif before != trial.state:
                self._change(trial, before)
            self._written[trial.number] = trial.state

    def _change(self, trial: FrozenTrial, before: TrialState) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        if before == TrialState.WAITING:
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
            for name, value in trial.params.items():
                distribution = trial.distributions[name]
                self._storage.set_trial_param(trial_id, name, distribution.to_internal_repr(value), distribution)
            for name, attribute in trial.user_attrs.items():
                self._storage.set_trial_user_attr(trial_id, name, attribute)
        elif STANDARD_ERRORS in trial.user_attrs:
            self._storage.set_trial_user_attr(trial_id, STANDARD_ERRORS, trial.user_attrs[STANDARD_ERRORS])
        if trial.state.is_finished():
            self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
