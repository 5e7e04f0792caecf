"""Worked examples: few, nested, from training rows alone."""

from __future__ import annotations

import pytest

from mixwright.config import DataConfig, SourceConfig
from mixwright.data.prepare import prepare
from mixwright.errors import ConfigError, DataError
from mixwright.evaluate.shots import choose_shots
from mixwright.scenarios import load_scenario

SCENARIO = load_scenario("writing")
TASKS = [task.name for task in SCENARIO.tasks]


@pytest.fixture(scope="module")
def data():
    sources = (SourceConfig(name="embedded", format="embedded", rows=40),)
    return prepare(DataConfig(sources=sources), SCENARIO, seed=3)


def test_shots_are_training_rows_with_training_wordings_and_never_rows_of_dev_or_test(data):
    shots = choose_shots(SCENARIO, data.train, TASKS, count=5, seed=3)
    held = {row.text for split in (data.dev, data.test) for rows in split.values() for row in rows}
    for task in SCENARIO.tasks:
        if task.seen:
            assert len(shots[task.name]) == 5
            assert {shot.instruction for shot in shots[task.name]} <= set(task.instructions.train)
            assert {(shot.text, shot.response) for shot in shots[task.name]} <= {
                (row.text, row.references[0]) for row in data.train[task.name]
            }
            assert not {shot.text for shot in shots[task.name]} & held


def test_a_held_out_task_has_none_even_where_rows_are_there(data):
    assert choose_shots(SCENARIO, data.train, TASKS, count=5, seed=3)["paraphrasing"] == ()
    held_out = SCENARIO.with_unseen(("clarity",))
    assert choose_shots(held_out, data.train, ["clarity"], count=5, seed=3) == {"clarity": ()}


def test_fewer_shots_are_the_first_of_more_whatever_the_order_of_rows(data):
    turned = {task: rows[::-1] for task, rows in data.train.items()}
    few, many = (choose_shots(SCENARIO, rows, TASKS, count=n, seed=3) for rows, n in ((turned, 2), (data.train, 6)))
    assert all(few[task] == many[task][:2] for task in TASKS)
    assert choose_shots(SCENARIO, data.train, TASKS, count=2, seed=4) != few


def test_more_shots_than_rows_and_fewer_than_none_are_refused(data):
    with pytest.raises(DataError, match=r"--shots: task 'grammaticality' has \d+ training rows, got 5000; ask for fewer"):
        choose_shots(SCENARIO, data.train, TASKS, count=5000, seed=3)
    with pytest.raises(ConfigError, match="--shots: must be 0 or more, got -1"):
        choose_shots(SCENARIO, data.train, TASKS, count=-1, seed=3)
