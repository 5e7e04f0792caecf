"""The table of a running search."""

from __future__ import annotations

import io

from rich.console import Console

from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.board import SHOWN, Board


def rung(seen: float, retention: float = 0.0) -> RungRecord:
    objectives = Objectives(seen=seen, unseen=30.0, retention=retention)
    return RungRecord(step=1, examples=1, tokens=1, train_loss=1.0, objectives=objectives, task_scores={}, seconds=1.0)


def ended(number: int, status: str, seen: float, retention: float = 0.0, cause: str = "") -> TrialRecord:
    rungs = () if status == "failed" else (rung(seen, retention),)
    return TrialRecord(
        trial_id=f"trial_{number:04d}", number=number, status=status, params={"lora.rank": number}, rungs=rungs, cause=cause
    )


def drawn(board: Board) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    console.print(board.drawn("searching", "about 2:00 left"))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_it_shows_states_best_front_and_time_left() -> None:
    records = [
        ended(0, "complete", 50.0, -0.2),
        ended(1, "complete", 40.0, 0.0),
        ended(2, "complete", 30.0, -0.3),
        ended(3, "stopped", 90.0),
        ended(4, "failed", 0.0, cause="the loss is not a number"),
    ]
    board = Board(records, 9)
    board.started("trial_0005", {"lora.rank": 5, "mixture.generic_fraction": 0.25})
    lines = drawn(board)
    assert lines[0] == "searching: 5 of 9 ended (3 complete, 1 stopped, 1 failed), 1 running"
    assert lines[2].split() == ["trial_0005", "running", "–", "–", "–", "rank", "5,", "generic_fraction", "0.25"]
    assert "the loss is not a number" in lines[3]
    assert "highest seen: trial_0000 (seen 50.0, unseen 30.0, retention -0.200; rank 0)" in lines
    assert "front (*): trial_0000, trial_0001" in lines
    assert lines[-1] == "about 2:00 left"


def test_a_trial_leaves_the_running_ones_when_it_ends_and_old_ones_make_room() -> None:
    records: list[TrialRecord] = []
    board = Board(records, 100)
    assert "no trial has run its whole budget yet" in drawn(board)
    for number in range(50):
        key = f"trial_{number:04d}"
        board.started(key, {"lora.rank": number})
        board.rung(key, {"lora.rank": number}, rung(float(number)))
        records.append(ended(number, "complete", float(number)))
        board.over(key)
    lines = [line for line in drawn(board) if line.startswith("trial_")]
    assert len(lines) == SHOWN
    assert lines[0].startswith("trial_0049  complete *")
