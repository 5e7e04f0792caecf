"""What a person sees of prepared data: figures, the marks around what is learned, and the job that prints them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_files import write, write_jsonl

from mixwright.data.preview import guard_line, marked, quantile
from mixwright.prompts import Rendered
from mixwright.testing import make_tiny_model

JOB = Path(__file__).parents[2] / "jobs" / "prepare_data.py"


class LetterTokenizer:
    def decode(self, ids):
        return "".join(chr(number) for number in ids)


@pytest.mark.parametrize(
    ("values", "share", "expected"), [([], 0.5, 0), ([3], 0.95, 3), ([4, 1, 3, 2], 0.5, 2), ([4, 1, 3, 2], 1.0, 4)]
)
def test_quantiles_are_values_of_nearest_rank(values, share, expected):
    assert quantile(values, share) == expected


def test_marks_stand_where_the_response_mask_turns():
    row = Rendered(token_ids=tuple(map(ord, "ask:yes.")), prompt_length=4)
    assert marked(row, LetterTokenizer()) == "ask:⟦yes.⟧"


def test_guard_line_names_each_source_that_lost_rows():
    sources = {"a": {"leaked": 2}, "b": {"leaked": 0}, "c": {"leaked": 3}}
    assert guard_line({"sources": sources}).endswith("dropped 5 training rows that stand in an evaluation set: 2 of a, 3 of c")
    assert "no training row" in guard_line({"sources": {"b": {"leaked": 0}}})


@pytest.fixture
def space(tmp_path):
    """A search space over made-up files with a scenario of its own and a tiny model."""
    rows = [{"text": f"Row {row} stand .", "references": f"Row {row} stands ."} for row in range(60)]
    write_jsonl(tmp_path / "data/mend.jsonl", rows)
    write_jsonl(tmp_path / "data/more.jsonl", [*rows[:50], {"text": "One more .", "references": "One more !"}])
    alpaca = [{"instruction": f"Count to {row}.", "input": "", "output": f"Up to {row}"} for row in range(60)]
    write(tmp_path / "data/alpaca.json", json.dumps(alpaca))
    task = {"name": "mend", "metric": "gleu", "instructions": {"train": ["Mend it."], "evaluation": ["Repair it."]}}
    write(tmp_path / "made.yaml", json.dumps({"name": "made", "tasks": [task]}))
    sources = [
        {"name": "alpaca", "format": "alpaca", "path": "alpaca.json", "evaluation_fraction": 0.3},
        {"name": "mend", "format": "jsonl", "path": "mend.jsonl", "task": "mend", "use": "evaluation"},
        {"name": "more", "format": "jsonl", "path": "more.jsonl", "task": "mend", "use": "train"},
    ]
    tree = {
        "name": "made",
        "scenario": "made.yaml",
        "model": {"name": str(make_tiny_model(tmp_path / "model"))},
        "data": {"root": str(tmp_path / "data"), "sources": sources},
    }
    return write(tmp_path / "space.yaml", json.dumps(tree))


def job(*arguments):
    return subprocess.run([sys.executable, str(JOB), *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_job_prints_counts_lengths_what_the_guard_dropped_and_marked_rows(space):
    done = job(space, "--preview", "--rows", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "leak guard: dropped 50 training rows that stand in an evaluation set: 50 of more" in lines
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("task ")) :]
    header, row = table[0].split(), next(line.split() for line in table if line.startswith("mend "))
    assert header[:4] == ["task", "train", "dev", "test"]
    assert row[1] == "1"
    assert int(row[2]) + int(row[3]) == 60
    shown = done.stdout[done.stdout.index("--- mend") :]
    assert "Mend it." in shown.split("⟦")[0]
    assert "One more!" in shown.split("⟦")[1].split("⟧")[0]


def test_job_tells_a_user_s_mistake_in_one_line_without_a_traceback(space):
    done = job(space, "--set", "data.root=/nowhere")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error: 3 problems with the data" in done.stderr
    assert done.stdout == ""
    assert "must be a whole number of at least 1" in job(space, "--rows", "0").stderr
