"""The shipped scenarios: tasks, metrics and wordings."""

from __future__ import annotations

import itertools

import pytest

from mixwright.data.embedded import TASKS, embedded_rows
from mixwright.records import GENERIC, METRIC_NAMES
from mixwright.scenarios import Task, load_scenario, shipped, wording

ALL_TASKS = [task for name in shipped() for task in load_scenario(name).tasks]
WRITING_TASKS = load_scenario("writing").tasks


def words(text: str) -> set[str]:
    return set(text.lower().strip(".?").replace(",", "").split())


def test_writing_has_its_seven_tasks_in_order_with_their_metrics():
    assert [(task.name, task.metric) for task in WRITING_TASKS] == [
        ("grammaticality", "errant_f0.5"),
        ("fluency", "gleu"),
        ("clarity", "sari"),
        ("coherence", "sari"),
        ("simplification", "sari"),
        ("neutralization", "sari"),
        ("paraphrasing", "sari"),
    ]
    assert load_scenario("writing").unseen == ("paraphrasing",)


def test_every_writing_task_has_rows_in_the_built_in_corpus():
    assert set(TASKS) == {task.name for task in WRITING_TASKS} | {GENERIC}


def test_another_scenario_is_shipped_as_data_alone():
    assert len(shipped()) >= 2
    assert all(load_scenario(name).seen and load_scenario(name).unseen for name in shipped())


@pytest.mark.parametrize("task", WRITING_TASKS, ids=lambda task: task.name)
def test_each_writing_task_has_six_wordings_to_train_and_three_to_evaluate(task: Task):
    assert len(task.instructions.train) >= 6
    assert len(task.instructions.evaluation) >= 3


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_wordings_are_whole_instructions_and_differ_in_more_than_a_word(task: Task):
    wordings = (*task.instructions.train, *task.instructions.evaluation)
    assert task.metric in METRIC_NAMES
    for text in wordings:
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert text == " ".join(text.split())
    for left, right in itertools.combinations(wordings, 2):
        assert len(words(left) ^ words(right)) >= 2, (left, right)


def test_no_wording_serves_two_tasks():
    wordings = [text for task in ALL_TASKS for text in (*task.instructions.train, *task.instructions.evaluation)]
    assert len(wordings) == len(set(wordings))


@pytest.mark.parametrize("task", WRITING_TASKS, ids=lambda task: task.name)
def test_rows_are_bound_to_all_wordings_of_their_side_and_to_no_other(task: Task):
    rows = embedded_rows(task.name, "train", 200, seed=0)
    assert {wording(task, row.id, evaluation=False, seed=0) for row in rows} == set(task.instructions.train)
    assert {wording(task, row.id, evaluation=True, seed=0) for row in rows} == set(task.instructions.evaluation)
