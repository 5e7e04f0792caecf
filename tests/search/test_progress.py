"""The line that says what is running and how long is left."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mixwright.records import TrialRecord
from mixwright.search import progress


def line(done: float, total: float, *, gone_s: float = 60.0, at_start: float = 0.0, monkeypatch: pytest.MonkeyPatch) -> str:
    stage = progress.Stage("searching", done=lambda: done, total=lambda: total)
    stage._started, stage._pace_from, stage._at_start = 0.0, 0.0, at_start
    monkeypatch.setattr(progress.time, "monotonic", lambda: gone_s)
    return stage._line()


def test_the_time_left_follows_from_the_pace_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(30, 120, monkeypatch=monkeypatch) == "searching: 30 of about 120 steps, 1:00 gone, about 3:00 left"


def test_work_done_before_a_resume_does_not_flatter_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(40, 100, at_start=20, monkeypatch=monkeypatch).endswith("about 3:00 left")


def test_nothing_done_yet_promises_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(20, 100, at_start=20, monkeypatch=monkeypatch).endswith("workers are starting")


def test_the_start_of_workers_is_no_part_of_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0.0
    stage = progress.Stage("searching", done=lambda: done, total=lambda: 100)
    stage._started, stage._pace_from, stage._at_start = 0.0, 0.0, 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: 45.0)
    assert stage._line().endswith("workers are starting")
    done = 10.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: 60.0)
    assert stage._line().endswith("1:00 gone, about 2:15 left")


def test_more_work_than_expected_is_never_less_than_nothing_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        line(130, 120, monkeypatch=monkeypatch) == "searching: 130 of about 130 steps, 1:00 gone, the last evaluation is under way"
    )


def test_a_stage_tells_when_it_is_done_and_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), progress.Stage("asking", done=lambda: 1, total=lambda: 1) as stage:
        pass
    assert "asking: done in 0:00" in caplog.text
    assert stage.seconds > 0


def test_steps_are_counted_by_trial(tmp_path: Path) -> None:
    for name, lines in (("trial_0000", 3), ("trial_0001", 2)):
        (tmp_path / "trials" / name).mkdir(parents=True)
        (tmp_path / "trials" / name / "metrics.jsonl").write_text("{}\n" * lines)
    taken = progress.StepsTaken(tmp_path, [])
    assert taken.by_trial() == {"trial_0000": 3, "trial_0001": 2}


def test_steps_of_an_ended_trial_are_those_of_its_record(tmp_path: Path) -> None:
    ended: list[TrialRecord] = []
    taken = progress.StepsTaken(tmp_path, ended)
    ended.append(TrialRecord(trial_id="trial_0000", number=0, status="failed", params={}, rungs=()))
    assert taken.by_trial() == {"trial_0000": 0}


def test_expected_steps_follow_what_has_ended_and_what_has_passed_its_first_rung() -> None:
    from mixwright.config import SweepConfig
    from mixwright.search.sweep import expected_steps

    config = SweepConfig.model_validate(
        {
            "name": "x",
            "mixture": {"size": 80},
            "train": {"micro_batch_size": 8},
            "cluster": {"workers": 1},
            "search": {
                "trials": 4,
                "parameters": {"lora.rank": {"choices": [2, 4]}},
                "scheduler": {"rungs": [0.5, 1.0], "reduction_factor": 2.0},
            },
        }
    )
    assert expected_steps(config, [], {}) == 4 * 7.5
    assert expected_steps(config, [], {"trial_0000": 5, "trial_0001": 6}) == 7.5 + 10 + 2 * 7.5
