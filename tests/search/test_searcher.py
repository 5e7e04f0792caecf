"""The searcher: ids that last, ends that are told properly, and a study that can be taken up after a kill."""

from __future__ import annotations

import math
import time
from pathlib import Path

import optuna
import pytest

from mixwright.config import SweepConfig
from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.searcher import BEHIND_S, BaseValues, StudyWriter, TrialSearch, suggested, take_up
from mixwright.search.space import distributions
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.search.surface import STANDARD_ERRORS
from mixwright.store.studies import StudyPlace

NAMES = ("seen", "unseen", "retention")
GOOD = {"seen": 50.0, "unseen": 30.0, "retention": 0.0, "training_iteration": 2}


def config(**search: object) -> SweepConfig:
    parameters = {"lora.rank": {"low": 2, "high": 64, "log": True}, "mixture.generic_fraction": {"low": 0.0, "high": 1.0}}
    return SweepConfig.model_validate(
        {"name": "x", "search": {"trials": 9, "parameters": parameters, "scheduler": {"rungs": [0.5, 1.0]}, **search}}
    )


def opened(folder: Path, **search: object) -> StudyFile:
    return StudyFile(StudyPlace(url=f"sqlite:///{folder}/study.db"), NAMES, distributions(config(**search)))


def searcher(folder: Path, **search: object) -> TrialSearch:
    return TrialSearch(config(**search), NAMES, opened(folder, **search), evaluate_base=True)


def study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=STUDY_NAME, storage=f"sqlite:///{folder}/study.db")


def record(key: str, status: str = "complete") -> TrialRecord:
    rung = RungRecord(
        step=1,
        examples=1,
        tokens=1,
        train_loss=1.0,
        objectives=Objectives(seen=50.0, unseen=30.0, retention=0.0),
        task_scores={},
        seconds=1.0,
    )
    return TrialRecord(trial_id=key, number=int(key[-4:]), status=status, params={}, rungs=(rung,))


def test_whole_numbers_stay_whole_and_fractions_stay_fractions() -> None:
    found = distributions(config())
    assert isinstance(found["lora.rank"], optuna.distributions.IntDistribution)
    assert isinstance(found["mixture.generic_fraction"], optuna.distributions.FloatDistribution)


def test_only_the_first_trial_evaluates_the_base_model(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    flags = [search.suggest(f"ray{i}")["evaluate_base"] for i in range(3)]
    assert flags == [True, False, False]


def test_the_same_seed_draws_the_same_points_and_a_taken_up_study_draws_others(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = searcher(tmp_path / "a").suggest("r0"), searcher(tmp_path / "b").suggest("r0")
    assert first == second
    assert searcher(tmp_path / "a").suggest("r1")["mixture.generic_fraction"] != first["mixture.generic_fraction"]


def test_first_points_are_tried_first_and_not_again_after_a_resume(tmp_path: Path) -> None:
    first = [{"lora.rank": 8, "mixture.generic_fraction": 0.0}]
    suggestion = searcher(tmp_path, first=first).suggest("r0")
    assert (suggestion["lora.rank"], suggestion["mixture.generic_fraction"]) == (8, 0.0)
    assert searcher(tmp_path, first=first).suggest("r1")["mixture.generic_fraction"] != 0.0


@pytest.mark.parametrize(
    ("result", "error", "state"),
    [
        (GOOD, False, "COMPLETE"),
        ({**GOOD, "training_iteration": 1}, False, "PRUNED"),
        ({**GOOD, "seen": math.nan}, False, "FAIL"),
        ({"training_iteration": 2}, False, "FAIL"),
        (None, True, "FAIL"),
        (GOOD, True, "FAIL"),
    ],
)
def test_a_trial_ends_as_what_it_was_and_never_stays_running(tmp_path: Path, result, error: bool, state: str) -> None:
    search = searcher(tmp_path)
    search.suggest("r0")
    search.on_trial_complete("r0", result, error)
    search.on_trial_complete("r0", result, error)
    (trial,) = study(tmp_path).get_trials()
    assert trial.state.name == state


BASE = BaseValues(objectives={"seen": 40.0, "unseen": 33.0, "retention": 0.0}, loss=2.0)


def constrained(folder: Path, base: list[BaseValues]) -> TrialSearch:
    """A search that knows the base model's values once the list has them."""
    settings = {"objective": {"kind": "constrained", "max_unseen_loss": 1, "max_retention_loss": 0.1}}
    file = opened(folder, **settings)
    return TrialSearch(config(**settings), NAMES, file, evaluate_base=True, base=lambda: base[0] if base else None)


def limits(trial: optuna.trial.FrozenTrial) -> dict[str, float]:
    return {name: trial.constraints[name] for name in ("unseen_loss", "retention_loss")}


def test_an_end_waits_for_the_base_model_that_it_is_held_against(tmp_path: Path) -> None:
    base: list[BaseValues] = []
    search = constrained(tmp_path, base)
    for name in ("r0", "r1", "r2"):
        search.suggest(name)
    search.on_trial_complete("r1", GOOD)
    search.on_trial_complete("r2", None, error=True)
    assert [trial.state.name for trial in study(tmp_path).get_trials()] == ["RUNNING", "RUNNING", "FAIL"]
    base.append(BASE)
    search.suggest("r3")
    search.on_trial_complete("r0", GOOD)
    told = study(tmp_path).get_trials()
    assert [trial.state.name for trial in told] == ["COMPLETE", "COMPLETE", "FAIL", "RUNNING"]
    assert limits(told[0]) == limits(told[1]) == pytest.approx({"unseen_loss": 2.0, "retention_loss": -0.1})


def test_where_the_base_models_evaluation_fails_nothing_waits_and_the_next_trial_takes_it_on(tmp_path: Path) -> None:
    search = constrained(tmp_path, [])
    flags = [search.suggest(name)["evaluate_base"] for name in ("r0", "r1")]
    search.on_trial_complete("r1", GOOD)
    search.on_trial_complete("r0", None, error=True)
    failed, ended = study(tmp_path).get_trials()
    assert (failed.state.name, ended.state.name) == ("FAIL", "COMPLETE")
    assert limits(ended) == {"unseen_loss": 0.0, "retention_loss": 0.0}
    assert [*flags, search.suggest("r2")["evaluate_base"], search.suggest("r3")["evaluate_base"]] == [True, False, True, False]


def test_a_trial_that_was_running_is_queued_again_under_its_id_with_its_values(tmp_path: Path) -> None:
    before = searcher(tmp_path).suggest("r0")
    assert take_up(opened(tmp_path), [], NAMES) == ["trial_0000"]
    after = searcher(tmp_path).suggest("r1")
    assert {key: after[key] for key in ("trial_id", "lora.rank", "mixture.generic_fraction")} == {
        key: before[key] for key in ("trial_id", "lora.rank", "mixture.generic_fraction")
    }


def test_a_trial_that_goes_on_leaves_no_gap_in_the_ids(tmp_path: Path) -> None:
    searcher(tmp_path).suggest("r0")
    assert take_up(opened(tmp_path), [], NAMES) == ["trial_0000"]
    search = searcher(tmp_path)
    assert [search.suggest(f"r{number}")["trial_id"] for number in range(3)] == ["trial_0000", "trial_0001", "trial_0002"]


def test_taking_up_twice_queues_a_trial_once(tmp_path: Path) -> None:
    searcher(tmp_path).suggest("r0")
    assert take_up(opened(tmp_path), [], NAMES) == ["trial_0000"]
    assert take_up(opened(tmp_path), [], NAMES) == []
    assert sum(trial.state.name == "WAITING" for trial in study(tmp_path).get_trials()) == 1


def test_a_record_that_the_study_had_not_heard_of_is_told_to_it(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    for index in range(3):
        search.suggest(f"r{index}")
    ended = [record("trial_0000"), record("trial_0001", "stopped"), record("trial_0002", "failed")]
    assert take_up(opened(tmp_path), ended, NAMES) == []
    assert [trial.state.name for trial in study(tmp_path).get_trials()] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study(tmp_path).get_trials()[0].values == [50.0, 30.0, 0.0]


def test_an_end_without_a_record_is_run_again(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("r0")
    search.on_trial_complete("r0", GOOD)
    assert take_up(opened(tmp_path), [], NAMES) == ["trial_0000"]


def behind(folder: Path) -> TrialSearch:
    return TrialSearch(config(first=[FIRST]), NAMES, opened(folder), evaluate_base=True, writes_later=True)


FIRST = {"lora.rank": 8, "mixture.generic_fraction": 0.0}


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study(folder).get_trials()]


def test_the_study_on_disk_follows_when_no_lane_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = behind(tmp_path)
    search.suggest("r0")
    search.suggest("r1")
    StudyWriter(search).on_step_end(0, [])
    assert states(tmp_path) == ["WAITING"]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * BEHIND_S)
    StudyWriter(search).on_step_end(1, [])
    assert states(tmp_path) == ["RUNNING", "RUNNING"]
    assert suggested(opened(tmp_path)) == {"trial_0000", "trial_0001"}
    search.on_trial_complete("r1", {**GOOD, "training_iteration": 1})
    search.on_trial_complete("r0", GOOD)
    search.write()
    on_disk, in_memory = study(tmp_path).get_trials(), search._ot_study.get_trials()
    assert [(t.state, t.values, t.params, t.user_attrs, t.distributions) for t in on_disk] == [
        (t.state, t.values, t.params, t.user_attrs, t.distributions) for t in in_memory
    ]


def test_a_record_that_was_not_in_the_study_keeps_its_id_to_itself(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert take_up(file, [record("trial_0000"), record("trial_0002")], NAMES) == []
    search = TrialSearch(config(), NAMES, file, evaluate_base=False)
    assert [search.suggest(f"r{number}")["trial_id"] for number in range(2)] == ["trial_0003", "trial_0004"]


def test_a_search_that_was_cut_off_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    def drawn(folder: Path, cut_after: int) -> list[dict[str, object]]:
        folder.mkdir()
        points: list[dict[str, object]] = []
        search = searcher(folder)
        for number in range(8):
            if number == cut_after:  # one more was suggested, and is queued again
                search.suggest("lost")
                file = opened(folder)
                take_up(file, [record(f"trial_{ended:04d}") for ended in range(number)], NAMES)
                search = TrialSearch(config(), NAMES, file, evaluate_base=False)
            point = search.suggest(f"r{number}")
            points.append({key: value for key, value in point.items() if "." in key})
            search.on_trial_complete(f"r{number}", {**GOOD, "seen": point["mixture.generic_fraction"]})
        return points

    assert drawn(tmp_path / "cut", 6) == drawn(tmp_path / "whole", 99)


def test_an_empty_space_suggests_its_one_point(tmp_path: Path) -> None:
    file = StudyFile(StudyPlace(url=f"sqlite:///{tmp_path}/study.db"), NAMES)
    search = TrialSearch(SweepConfig(name="x"), NAMES, file, evaluate_base=True)
    assert search.suggest("r0") == {"trial_id": "trial_0000", "evaluate_base": True}


def test_the_surface_is_told_the_error_of_each_score_also_after_a_resume(tmp_path: Path) -> None:
    search = searcher(tmp_path, sampler="surface")
    search.suggest("r0")
    search.on_trial_complete("r0", {**GOOD, "rung": {"standard_errors": {"seen": 2.0, "unseen": 4.0, "retention": None}}})
    (trial,) = study(tmp_path).get_trials()
    assert trial.user_attrs[STANDARD_ERRORS] == [2.0, 4.0, None]
    again = searcher(tmp_path, sampler="surface")
    assert {"lora.rank", "mixture.generic_fraction"} <= again.suggest("r1").keys()
