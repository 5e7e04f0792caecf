"""Prediction files: whatever would quietly change a score is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixwright.errors import DataError, MixwrightError, ScoreError
from mixwright.evaluate.prediction_files import read_predictions
from mixwright.records import Prediction, to_json, write_jsonl
from mixwright.scenarios import load_scenario

WRITING = load_scenario("writing")


def prediction(number: int, **changes: object) -> Prediction:
    values = {
        "example_id": f"r:{number}",
        "task": "clarity",
        "system": "best",
        "instruction": "Say it clearly.",
        "text": "It was said to be so.",
        "output": "It was so.",
        "references": ("It is so.",),
    }
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rows = [prediction(0), prediction(1, task="fluency", output="")]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_predictions(tmp_path / "rows.jsonl", WRITING) == rows


@pytest.mark.parametrize(
    ("rows", "kind", "expected"),
    [
        ([], DataError, "holds no predictions"),
        ([prediction(0), prediction(1, system="base")], DataError, "must hold predictions of one system, got base, best"),
        ([prediction(0, task="clarty")], ScoreError, "has no task 'clarty'; it has grammaticality, .*; did you mean 'clarity'"),
        ([prediction(0), prediction(0)], ScoreError, "row 'r:0' of 'best' (clarity) stands twice"),
        ([prediction(0), prediction(1, references=())], ScoreError, "row 'r:1' of 'best' (clarity) has no reference"),
        ([prediction(0, references=("It is so.", " "))], ScoreError, "row 'r:0' of 'best' (clarity) has a blank reference"),
    ],
)
def test_a_file_that_no_score_is_right_for_is_refused(
    tmp_path: Path, rows: list[Prediction], kind: type[MixwrightError], expected: str
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(kind) as caught:
        read_predictions(tmp_path / "rows.jsonl", WRITING)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'rows.jsonl'}: ")
    assert all(part in message for part in expected.split(".*"))
    assert "\n" not in message


def test_a_missing_file_and_half_a_line_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "rows.jsonl", WRITING)
    (tmp_path / "rows.jsonl").write_text(json.dumps(to_json(prediction(0)))[:40] + "\n")
    with pytest.raises(DataError, match=r"rows.jsonl:1: not a Prediction"):
        read_predictions(tmp_path / "rows.jsonl", WRITING)
