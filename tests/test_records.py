"""Records: they survive their JSON form, and a file of them is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixwright.errors import DataError
from mixwright.records import (
    Example,
    Objectives,
    Prediction,
    RungRecord,
    TrialRecord,
    from_json,
    read_jsonl,
    to_json,
    write_jsonl,
    write_text,
)

RUNG = RungRecord(
    step=3,
    examples=24,
    tokens=900,
    train_loss=1.5,
    objectives=Objectives(seen=40.0, unseen=None, retention=-0.1),
    task_scores={"clarity": 40.0},
    seconds=2.5,
)
TRIAL = TrialRecord(
    trial_id="trial_0000", number=0, status="complete", params={"lora.rank": 4}, rungs=(RUNG,), counts={"generic": 2}
)


def test_a_nested_record_survives_its_json_form() -> None:
    assert from_json(TrialRecord, to_json(TRIAL)) == TRIAL


def test_lines_and_unicode_survive_a_file(tmp_path: Path) -> None:
    rows = [Example(id=f"s:{i}", source="s", task="clarity", text="a\u2028b\nc é 🙂", references=("x", "y")) for i in range(3)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl", Example) == rows


def test_a_line_that_is_no_record_is_named_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"task": "clarity"}\n')
    with pytest.raises(DataError, match=r"rows.jsonl:1: not a Prediction"):
        read_jsonl(tmp_path / "rows.jsonl", Prediction)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(DataError, match="unknown fields colour"):
        from_json(Objectives, {"seen": 1.0, "unseen": None, "retention": 0.0, "colour": 3})


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"
