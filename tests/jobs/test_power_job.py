"""jobs/power.py as a user starts it: two files in, a table out, and one line for what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mixwright.records import Prediction, write_jsonl

REPOSITORY = Path(__file__).parents[2]


def write(folder: Path, system: str, rows: range, *, better: int) -> Path:
    """Rows of clarity and of the unseen task; one row in `better` is revised."""
    predictions = [
        Prediction(
            example_id=f"{task}:{row}",
            task=task,
            system=system,
            instruction="Say it well.",
            text=f"It was said by {row} men to be so.",
            output=f"{row} men said so." if row % better == 0 else f"It was said by {row} men to be so.",
            references=(f"{row} men said so.",),
        )
        for task in ("clarity", "paraphrasing")
        for row in rows
    ]
    write_jsonl(folder / f"{system}.jsonl", predictions)
    return folder / f"{system}.jsonl"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "jobs" / "power.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_two_files_give_a_table_of_differences_and_of_what_their_rows_show(tmp_path: Path) -> None:
    base, best = write(tmp_path, "base", range(40), better=7), write(tmp_path, "best", range(40), better=3)
    done = run(base, best, "--rows", "30", "400", "--draws", "300")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "best - base"
    assert [line.split("  ")[0] for line in lines[1:5]] == ["clarity", "paraphrasing", "mean of seen", "mean of unseen"]
    now, few, many = (float(lines[1].replace("!", "").split()[index]) for index in (-4, -2, -1))
    assert many < now < few
    assert "underpowered: these rows cannot show a difference of 3 points" in done.stdout


def test_files_of_other_rows_and_impossible_numbers_end_in_one_line(tmp_path: Path) -> None:
    base, best = write(tmp_path, "base", range(40), better=7), write(tmp_path, "best", range(39), better=3)
    for arguments, expected in (
        ((base, best), "'best' lacks row 'clarity:39' of clarity"),
        ((base, base, "--rows", "0"), "--rows at least 1"),
        ((base, base, "--scenario", "writng"), "did you mean 'writing'"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
