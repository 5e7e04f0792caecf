"""The study on disk or in PostgreSQL: whose it is, what it keeps, and what happens while its database is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import postgres
import pytest
from optuna.trial import TrialState
from ray import cloudpickle
from tests.search.test_searcher import GOOD, NAMES, config, record

from mixwright.config import SweepConfig
from mixwright.errors import ConfigError, RunError
from mixwright.search.searcher import StudyWriter, TrialSearch, take_up
from mixwright.search.space import distributions
from mixwright.search.study import RETRY_S, StudyFile, check_storage
from mixwright.settings import validate
from mixwright.store.studies import StudyPlace, database_url, study_place

SPACE = distributions(config())


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    try:
        with postgres.server() as server:
            yield server
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def storage(database: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STUDY_PASSWORD", postgres.PASSWORD)
    return database.storage


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StudyPlace:
    return study_place(tmp_path, "demo", request.getfixturevalue("storage") if request.param == "postgresql" else None, 0.0)


def run_one(file: StudyFile, name: str) -> str:
    search = TrialSearch(config(), NAMES, file, evaluate_base=False)
    key = search.suggest(name)["trial_id"]
    search.on_trial_complete(name, GOOD)
    return str(key)


def stored(place: StudyPlace) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=study_of(place), storage=place.url).get_trials()


def study_of(place: StudyPlace) -> str:
    assert place.folder
    return study_place(place.folder, "demo", None if place.is_file else "postgresql://x").name


def test_what_is_searched_is_found_again(place: StudyPlace) -> None:
    run_one(StudyFile(place, NAMES, SPACE), "r0")
    again = study_place(place.folder, "demo", None, 0.0)
    assert (again.name, again.run) == (place.name, place.run)
    (trial,) = StudyFile(place, NAMES, SPACE).trials()
    assert (trial.state, trial.values, trial.user_attrs["trial_id"]) == (TrialState.COMPLETE, [50.0, 30.0, 0.0], "trial_0000")


def test_two_sweeps_of_one_name_share_a_database_and_do_not_meet(storage: str, tmp_path: Path) -> None:
    places = [study_place(tmp_path / folder, "demo", storage) for folder in "ab"]
    files = [StudyFile(place, NAMES, SPACE) for place in places]
    assert [run_one(file, "r0") for file in files] == ["trial_0000", "trial_0000"]
    assert places[0].name != places[1].name
    assert [len(stored(place)) for place in places] == [1, 1]


def test_the_study_of_another_sweep_is_refused(place: StudyPlace) -> None:
    StudyFile(place, NAMES, SPACE).close()
    stranger = StudyPlace(url=place.url, name=place.name, run="ffffffff")
    with pytest.raises(RunError, match=rf"is of another sweep \(run {place.run}, and this is ffffffff\); give another --run-dir"):
        StudyFile(stranger, NAMES, SPACE)
    with pytest.raises(RunError, match=r"it has 3 objectives, and this one 2 \(seen, retention\)"):
        StudyFile(place, ("seen", "retention"), SPACE)


def test_a_file_of_other_studies_or_of_none_is_refused(tmp_path: Path) -> None:
    place = study_place(tmp_path, "demo", None)
    optuna.create_study(study_name="thesis", storage=place.url)
    with pytest.raises(RunError, match="holds the studies thesis and none of this run"):
        StudyFile(place, NAMES, SPACE)
    (tmp_path / "study.db").write_text("no database")
    with pytest.raises(RunError, match="cannot be used: file is not a database"):
        StudyFile(place, NAMES, SPACE)


def test_a_wider_space_rewrites_the_study_and_keeps_its_trials(place: StudyPlace) -> None:
    first = StudyFile(place, NAMES, {"lora.rank": optuna.distributions.CategoricalDistribution([16, 8])})
    first.study.add_trial(
        optuna.create_trial(params={"lora.rank": 8}, distributions=first.space, values=[1, 2, 3], user_attrs={"trial_id": "t"})
    )
    first.changed(0)
    first.write()
    wider = {"lora.rank": optuna.distributions.CategoricalDistribution([4, 8, 16])}
    StudyFile(place, NAMES, wider).close()
    (trial,) = stored(place)
    assert (trial.params, trial.distributions, trial.values, trial.user_attrs) == (
        {"lora.rank": 8},
        wider,
        [1.0, 2.0, 3.0],
        {"trial_id": "t"},
    )
    assert place.name not in optuna.get_all_study_names(place.url)


def test_a_study_that_was_lost_is_made_again_from_records(place: StudyPlace) -> None:
    ended = [record("trial_0001"), record("trial_0002", "stopped"), record("trial_0000", "failed")]
    file = StudyFile(place, NAMES, SPACE)
    assert take_up(file, ended, NAMES) == []
    assert {trial.user_attrs["trial_id"]: trial.state.name for trial in stored(place)} == {
        "trial_0000": "FAIL",
        "trial_0001": "COMPLETE",
        "trial_0002": "PRUNED",
    }
    assert run_one(file, "r0") == "trial_0003"


def test_a_database_that_goes_away_holds_nothing_up_and_gets_all_when_it_is_back(
    database: postgres.Server, storage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = study_place(tmp_path, "demo", storage, 60.0)
    file = StudyFile(place, NAMES, SPACE)
    search = TrialSearch(config(), NAMES, file, evaluate_base=False)
    search.suggest("r0")
    database.stop()
    try:
        with caplog.at_level(logging.WARNING):
            search.on_trial_complete("r0", GOOD)
            search.suggest("r1")
    finally:
        database.start()
    assert "is away" in caplog.text
    assert postgres.PASSWORD not in caplog.text
    assert [trial.state.name for trial in stored(place)] == ["RUNNING"]
    taken_up = StudyFile(place, NAMES, SPACE)  # as after a kill -9 in the meantime
    assert [trial.state.name for trial in taken_up.trials()] == ["COMPLETE", "RUNNING"]
    monkeypatch.setattr("mixwright.search.study.RETRY_S", 0.0)
    file.finish()
    assert [trial.state.name for trial in stored(place)] == ["COMPLETE", "RUNNING"]
    assert not (tmp_path / "study-unwritten.jsonl").exists()


def test_a_database_that_stays_away_ends_the_search_so_that_it_can_go_on(
    database: postgres.Server, storage: str, tmp_path: Path
) -> None:
    file = StudyFile(study_place(tmp_path, "demo", storage, 0.0), NAMES, SPACE)
    search = TrialSearch(config(), NAMES, file, evaluate_base=False)
    search.suggest("r0")
    database.stop()
    try:
        search.on_trial_complete("r0", GOOD)
        with pytest.raises(RunError, match=r"has been away for .* nothing is lost: go on with --resume") as ended:
            file.finish()
    finally:
        database.start()
    assert postgres.PASSWORD not in str(ended.value)
    (trial,) = StudyFile(study_place(tmp_path, "demo", storage), NAMES, SPACE).trials()
    assert trial.state == TrialState.COMPLETE


def test_a_database_that_is_away_at_the_start_is_waited_for(database: postgres.Server, storage: str, tmp_path: Path) -> None:
    place = study_place(tmp_path, "demo", storage, 30.0)
    database.stop()
    starter = threading.Thread(target=lambda: (time.sleep(0.5), database.start()))
    starter.start()
    started = time.monotonic()
    check_storage(place)
    starter.join()
    assert time.monotonic() - started < 3 * RETRY_S


def test_a_database_that_never_answers_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_PASSWORD", "hush")
    place = study_place(tmp_path, "demo", "postgresql://team:${STUDY_PASSWORD}@127.0.0.1:1/x", 0.0)
    with pytest.raises(RunError, match=r"team:\*\*\*@127.0.0.1:1/x has not answered") as refused:
        check_storage(place)
    assert "hush" not in str(refused.value) + repr(place)
    assert not (tmp_path / "study.json").exists()


def test_what_ray_keeps_of_the_searcher_has_no_password(storage: str, tmp_path: Path) -> None:
    file = StudyFile(study_place(tmp_path, "demo", storage), NAMES, SPACE)
    kept = cloudpickle.dumps(StudyWriter(TrialSearch(config(), NAMES, file, evaluate_base=False)))
    assert b"team:" not in kept
    assert b"pa%2Fss" not in kept


def test_a_wrong_password_is_not_waited_for(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_PASSWORD", "hush")
    with pytest.raises(RunError, match=r"cannot be used: .*password authentication failed") as refused:
        check_storage(study_place(tmp_path, "demo", storage, 60.0))
    assert "hush" not in str(refused.value)


def test_a_password_in_the_configuration_is_refused_and_not_repeated() -> None:
    for storage in ("postgresql://team:hush@host/x", "postgresql://host/x?user=a&password=hush", "mysql://team:hush@host/x"):
        with pytest.raises(ConfigError, match=r"holds a password|must begin with postgresql://") as refused:
            validate(SweepConfig, {"name": "a", "search": {"storage": storage}}, where="space.yaml")
        assert "hush" not in str(refused.value)


def test_a_url_may_come_from_the_environment_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_URL", "postgresql://team:a%40b@host:5/x")
    assert database_url(config(storage="${STUDY_URL}").search.storage or "") == "postgresql+psycopg://team:a%40b@host:5/x"
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        database_url("postgresql://team:${NOT_SET}@host/x")
