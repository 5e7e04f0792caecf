"""The Optuna study: one in memory, that the search works on, and the same on disk or in a database, a step behind.

What comes in: a `StudyPlace`. What goes out: a `StudyFile` whose `study` holds all that stood there, and which writes what has
changed. optuna-dashboard and a resumed search read what it writes. Optuna takes ten milliseconds and more to write a suggestion
and an end there; in memory it takes one.

A database may be away, at the start or later. At the start the search waits for it. Later it goes on, since it needs nothing of
it, keeps what the database lacks in a file of the run folder, and tries again; only when that has lasted too long does it end.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError, InterfaceError, SQLAlchemyError

from mixwright.errors import RunError
from mixwright.records import write_text
from mixwright.search.surface import STANDARD_ERRORS
from mixwright.store import remote
from mixwright.store.studies import STUDY_FILE, STUDY_ID_FILE, StudyPlace
from mixwright.store.studies import STUDY_NAME as STUDY_NAME

logger = logging.getLogger(__name__)

RUN_ATTRIBUTE = "mixwright_run"
"""User attribute of a study: the id of the run that it belongs to."""
CONSTRAINT = "constraints:"
"""Begins the name of what Optuna keeps of a constraint; those on what a trial gave are known at its end."""
RETRY_S = 5.0
PUBLISHED_EVERY_S = 5.0
"""Where the run is on object storage: how long the study there may be behind the one on disk. What it lacks of trials that have
ended, trials.jsonl has."""
_PASSING = ("starting up", "shutting down", "too many clients", "recovery mode", "remaining connection slots")
"""In a server's FATAL messages that are not of the user's making."""

T = TypeVar("T")


class StudyFile:
    """A study in memory and what it was read from.

    Args:
        space: the distributions that are searched now. Where trials stand there with others (a range that has been widened
        since), all
            are written anew, as one study with these.

    Raises:
        RunError: the database stayed away or refuses us, or what stands there is no study of this run.
    """

    def __init__(self, place: StudyPlace, objectives: Sequence[str], space: Mapping[str, BaseDistribution] | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._place = place
        self.space = dict(space or {})
        self._storage = _waiting(place, lambda: _open(place))
        with _told(place):
            stored = _own_study(self._storage, place, objectives)
            if space and (trials := _outgrown(stored.get_trials(deepcopy=False), space)):
                stored = self._rewritten(stored, trials)
            self._study_id = self._storage.get_study_id_from_name(stored.study_name)
            known = stored.get_trials(deepcopy=False)
            self._system_attributes = self._storage.get_study_system_attrs(self._study_id)
        self._place.keep()
        self._written = {trial.number: trial.state for trial in known}
        unwritten = _read_unwritten(self._place)
        self._lacking = set(unwritten)
        self._away_since: float | None = None
        self._next_try = 0.0
        self._published_at = 0.0
        self._unpublished = True
        self.memory = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(storage=self.memory, study_name=STUDY_NAME, directions=stored.directions)
        self._memory_id = self.memory.get_study_id_from_name(STUDY_NAME)
        merged = {trial.number: trial for trial in known} | unwritten
        self.study.add_trials([merged[number] for number in sorted(merged)])
        for key, value in self._system_attributes.items():
            self.memory.set_study_system_attr(self._memory_id, key, value)
        self.write()

    @property
    def name(self) -> str:
        """Of the study on disk."""
        return self._place.name

    def trial(self, number: int) -> FrozenTrial:
        """A trial as it is in memory."""
        return self.memory.get_trial(self.memory.get_trial_id_from_study_id_trial_number(self._memory_id, number))

    def trials(self) -> list[FrozenTrial]:
        """All trials in memory, by number."""
        return self.study.get_trials(deepcopy=False)

    def changed(self, number: int) -> None:
        """Notes that a trial in memory is not as it was written."""
        self._lacking.add(number)

    def write(self, *, force: bool = False) -> None:
        """Brings the study on disk up to the one in memory; while the database is away, a file of the run folder.

        Args:
            force: try, even if the last try was a moment ago.

        Raises:
            RunError: it has been away for too long.
        """
        if not self._lacking:
            self.publish(force=force)
            return
        if self._away_since is not None and time.monotonic() < self._next_try and not force:
            self._keep_unwritten()
            return
        try:
            self._send()
        except (StorageInternalError, SQLAlchemyError) as error:
            self._note_absence(error)
            return
        if self._away_since is not None:
            logger.info("study: %s answers again and lacks nothing now", self._place.shown)
            self._away_since = None
        if self._place.unwritten:
            with suppress(OSError):  # read again, it says nothing that the study lacks
                self._place.unwritten.unlink(missing_ok=True)
        self._unpublished = True
        self.publish(force=force)

    def finish(self) -> None:
        """Writes until nothing is lacking.

        Raises:
            RunError: the database has been away for too long.
        """
        self.write(force=True)
        while self._lacking:
            time.sleep(min(RETRY_S, self._place.patience_s))
            self.write(force=True)

    def close(self) -> None:
        """Lets go of the database."""
        self.publish(force=True)
        self._storage.engine.dispose()

    def publish(self, *, force: bool = False) -> None:
        """Where the run is on object storage, puts a whole copy of the study there, unless one has just been put.

        Raises:
            StoreError: the store does not answer.
        """
        folder = self._place.folder
        if folder is None or not self._unpublished or not (force or time.monotonic() - self._published_at > PUBLISHED_EVERY_S):
            return
        if there := remote.mirror_of(folder):
            if self._place.is_file:
                there.publish_bytes(STUDY_FILE, _copy_of(folder / STUDY_FILE))
            there.publish([folder / STUDY_ID_FILE])
        self._published_at, self._unpublished = time.monotonic(), False

    def _send(self) -> None:
        with self._storage.engine.connect():  # a dead connection is found here at once; Optuna would try five times
            pass
        if self._away_since is not None:  # whether the last write arrived is not known
            self._written = {trial.number: trial.state for trial in self._storage.get_all_trials(self._study_id, deepcopy=False)}
        for number in sorted(self._lacking):
            trial, before = self.trial(number), self._written.get(number)
            if before is None:
                self._storage.create_new_trial(self._study_id, template_trial=trial)
            elif before != trial.state:
                self._change(trial, before)
            self._written[number] = trial.state
            self._lacking.discard(number)
        for key, value in self.memory.get_study_system_attrs(self._memory_id).items():
            if self._system_attributes.get(key) != value:
                self._storage.set_study_system_attr(self._study_id, key, value)
                self._system_attributes[key] = value

    def _change(self, trial: FrozenTrial, before: TrialState) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        if before == TrialState.WAITING:
            for name, value in trial.params.items():
                distribution = trial.distributions[name]
                self._storage.set_trial_param(trial_id, name, distribution.to_internal_repr(value), distribution)
            for name, attribute in trial.user_attrs.items():
                self._storage.set_trial_user_attr(trial_id, name, attribute)
            for name, attribute in trial.system_attrs.items():
                self._storage.set_trial_system_attr(trial_id, name, attribute)
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)  # last: what is not waiting is taken for whole
        elif STANDARD_ERRORS in trial.user_attrs:
            self._storage.set_trial_user_attr(trial_id, STANDARD_ERRORS, trial.user_attrs[STANDARD_ERRORS])
        if trial.state.is_finished():
            for name in trial.system_attrs:
                if name.startswith(CONSTRAINT):
                    self._storage.set_trial_system_attr(trial_id, name, trial.system_attrs[name])
            self._storage.set_trial_state_values(trial_id, trial.state, trial.values)

    def _note_absence(self, error: Exception) -> None:
        now = time.monotonic()
        self._next_try = now + RETRY_S
        self._keep_unwritten()
        patience = self._place.patience_s
        if self._away_since is None:
            self._away_since = now
            logger.warning(
                "study: %s is away (%s); the search goes on, keeps what it lacks in the run folder and tries again for %.0f s",
                *(self._place.shown, _cause(error), patience),
            )
        elif now - self._away_since > patience:
            raise RunError(
                f"study: {self._place.shown} has been away for {now - self._away_since:.0f} s ({_cause(error)}); nothing is lost: "
                "go on with --resume once it answers"
            )

    def _keep_unwritten(self) -> None:
        if self._place.unwritten:
            lines = [json.dumps(_as_json(self.trial(number))) + "\n" for number in sorted(self._lacking)]
            with suppress(OSError):  # it may lie in the same store as the study; all of it is in memory, and the next try writes it
                write_text(self._place.unwritten, "".join(lines))

    def _rewritten(self, stored: optuna.Study, trials: Sequence[FrozenTrial]) -> optuna.Study:
        """A new study with these trials in place of the old one, which is deleted once the run folder names the new one."""
        base, _, generation = stored.study_name.partition(".")
        name = f"{base}.{int(generation or 1) + 1}"
        if name in optuna.get_all_study_names(self._storage):  # what a kill left of the same work
            optuna.delete_study(study_name=name, storage=self._storage)
        study = optuna.create_study(storage=self._storage, study_name=name, directions=stored.directions)
        for key, value in stored.user_attrs.items():
            study.set_user_attr(key, value)
        study.add_trials(trials)
        self._place = self._place.renamed(name)
        optuna.delete_study(study_name=stored.study_name, storage=self._storage)
        return study


def _copy_of(database: Path) -> bytes:
    """A SQLite file as it is between two transactions."""
    with closing(sqlite3.connect(database)) as there, closing(sqlite3.connect(":memory:")) as copy:
        there.backup(copy)
        return copy.serialize()


def check_storage(place: StudyPlace) -> None:
    """Waits until the study's database answers; nothing is written but Optuna's own tables.

    Raises:
        RunError: it stayed away, or refuses us.
    """
    if not place.is_file:
        _waiting(place, lambda: _open(place)).engine.dispose()


def _open(place: StudyPlace) -> optuna.storages.RDBStorage:
    if place.is_file:
        arguments: dict[str, Any] = {"timeout": 60}  # SQLite's own: a dashboard may hold the file for a moment
    else:  # a host that has gone without a word must not hold the search up
        arguments = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 5, "tcp_user_timeout": 15_000}
    try:
        return optuna.storages.RDBStorage(place.url, engine_kwargs={"connect_args": arguments, "pool_pre_ping": not place.is_file})
    except ImportError as error:
        raise RunError("search.storage: PostgreSQL needs psycopg; pip install 'mixwright[postgres]'") from error


def _waiting(place: StudyPlace, connect: Callable[[], T]) -> T:
    """What `connect` gives, once the database answers."""
    started = time.monotonic()
    told = False
    while True:
        try:
            return connect()
        except (StorageInternalError, SQLAlchemyError) as error:
            waited = time.monotonic() - started
            if not _will_pass(place, error):
                raise RunError(f"study: {place.shown} cannot be used: {_cause(error)}") from None
            if waited >= place.patience_s:
                raise RunError(
                    f"study: {place.shown} has not answered for {waited:.0f} s ({_cause(error)}); start it, or set "
                    "search.storage to another, then call again"
                ) from None
            if not told:
                logger.warning(
                    "study: %s does not answer (%s); waiting for at most %.0f s", place.shown, _cause(error), place.patience_s
                )
                told = True
            time.sleep(min(RETRY_S, place.patience_s - waited))


@contextmanager
def _told(place: StudyPlace) -> Iterator[None]:
    """Turns a database's errors into ours, where waiting is over."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise RunError(f"study: {place.shown} cannot be used: {_cause(error)}; go on with --resume") from None


def _will_pass(place: StudyPlace, error: Exception) -> bool:
    """Whether waiting may help: the server is away, and does not say that it will not have us."""
    text = str(_root(error))
    refused = "FATAL" in text and not any(words in text for words in _PASSING)
    return (
        not place.is_file and isinstance(_database_error(error), sqlalchemy.exc.OperationalError | InterfaceError) and not refused
    )


def _database_error(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def _root(error: Exception) -> BaseException:
    found = _database_error(error)
    return found.orig if isinstance(found, DatabaseError | InterfaceError) and found.orig else found


def _cause(error: Exception) -> str:
    """The driver's own words, on one line; they name host and user, never the password."""
    lines = [line.strip() for line in str(_root(error)).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _own_study(storage: optuna.storages.RDBStorage, place: StudyPlace, objectives: Sequence[str]) -> optuna.Study:
    """The run's study, made where there is none.

    Raises:
        RunError: what stands there belongs to another sweep.
    """
    names = optuna.get_all_study_names(storage)
    if place.is_file and names and place.name not in names:
        raise RunError(f"{place.shown}: holds the studies {', '.join(names[:4])} and none of this run; give another --run-dir")
    directions = [optuna.study.StudyDirection.MAXIMIZE for _ in objectives]
    study = optuna.create_study(storage=storage, study_name=place.name, directions=directions, load_if_exists=True)
    owner = study.user_attrs.get(RUN_ATTRIBUTE)
    if len(study.directions) != len(objectives):
        rule = f"it has {len(study.directions)} objectives, and this one {len(objectives)} ({', '.join(objectives)})"
        raise RunError(f"{place.shown}: the study {place.name} is of another sweep: {rule}; give another --run-dir")
    if place.run and owner not in (None, place.run):
        raise RunError(
            f"{place.shown}: the study {place.name} is of another sweep (run {owner}, and this is {place.run}); "
            "give another --run-dir"
        )
    if place.run and owner is None:
        study.set_user_attr(RUN_ATTRIBUTE, place.run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))
    return study


def _outgrown(trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution]) -> list[FrozenTrial]:
    """All trials with the distributions that are searched now; none where they have them already."""
    if all(space.get(name, old) == old for trial in trials for name, old in trial.distributions.items()):
        return []
    return [_with_distributions(trial, space) for trial in trials]


def _with_distributions(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    return FrozenTrial(
        **{
            name: getattr(trial, name)
            for name in ("number", "state", "params", "user_attrs", "system_attrs", "intermediate_values")
        },
        trial_id=trial.number,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        distributions={name: space.get(name, old) for name, old in trial.distributions.items()},
    )


def _as_json(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
        "distributions": {name: distribution_to_json(distribution) for name, distribution in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "start": trial.datetime_start and trial.datetime_start.isoformat(),
        "complete": trial.datetime_complete and trial.datetime_complete.isoformat(),
    }


def _from_json(tree: Mapping[str, Any]) -> FrozenTrial:
    distributions = {name: json_to_distribution(text) for name, text in tree["distributions"].items()}
    return FrozenTrial(
        number=tree["number"],
        trial_id=tree["number"],
        state=TrialState[tree["state"]],
        value=None,
        values=tree["values"],
        params={name: distributions[name].to_external_repr(value) for name, value in tree["params"].items()},
        distributions=distributions,
        user_attrs=tree["user_attrs"],
        system_attrs=tree["system_attrs"],
        intermediate_values={},
        datetime_start=tree["start"] and datetime.fromisoformat(tree["start"]),
        datetime_complete=tree["complete"] and datetime.fromisoformat(tree["complete"]),
    )


def _read_unwritten(place: StudyPlace) -> dict[int, FrozenTrial]:
    """Number -> trial, of what the database lacked when the last call ended."""
    if place.unwritten is None or not place.unwritten.exists():
        return {}
    trials = [_from_json(json.loads(line)) for line in place.unwritten.read_text(encoding="utf-8").splitlines()]
    return {trial.number: trial for trial in trials}
