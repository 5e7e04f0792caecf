"""From rows to scores: which rows are asked, and how the records are made."""

from __future__ import annotations

import dataclasses

import pytest

from mixwright.errors import DataError, ScoreError
from mixwright.evaluate.metric import make_metric
from mixwright.evaluate.runner import (
    compare,
    copy_predictions,
    evaluation_rows,
    predict,
    rung_scores,
    score_predictions,
    task_means,
)
from mixwright.evaluate.significance import holm
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.records import Example
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(
        Task(
            name="polish", metric="gleu", instructions=Instructions(train=("Polish.",), evaluation=("Make it shine.", "Buff it."))
        ),
        Task(name="shorten", metric="sari", instructions=Instructions(train=("Shorten.",), evaluation=("Trim it.",))),
        Task(name="reword", metric="sari", seen=False, instructions=Instructions(train=("Reword.",), evaluation=("Say it anew.",))),
    ),
)


def examples(task, count, offset=0):
    return [
        Example(
            id=f"{task}:{number}",
            source="made_up",
            task=task,
            text=f"The {number} old dogs was running very fast over the hill.",
            references=(f"The {number} old dogs were running fast over the hill.",),
        )
        for number in range(offset, offset + count)
    ]


DATA = {task: examples(task, 12) for task in ("reword", "shorten", "polish")}


def rows(count=6):
    return evaluation_rows(SCENARIO, DATA, rows=count, seed=3)


def answers(system, edit, chosen=None):
    return [
        dataclasses.replace(item, system=system, output=edit(item))
        for item in copy_predictions(rows() if chosen is None else chosen)
    ]


def compared(*arguments, **settings):
    return compare(*arguments, interesting=3.0, **settings).differences


def test_rows_come_in_the_scenarios_order_with_wordings_kept_for_evaluation():
    chosen = rows()
    assert [row.task for row in chosen] == ["polish"] * 6 + ["shorten"] * 6 + ["reword"] * 6
    assert {row.instruction for row in chosen if row.task == "polish"} <= {"Make it shine.", "Buff it."}


def test_fewer_rows_are_a_subset_of_more_and_the_order_of_the_data_does_not_matter():
    few, many = rows(3), rows(9)
    assert {row.example.id for row in few} < {row.example.id for row in many}
    turned = evaluation_rows(SCENARIO, {task: items[::-1] for task, items in DATA.items()}, rows=3, seed=3)
    assert turned == few


def test_another_seed_asks_other_rows():
    assert {row.example.id for row in rows(3)} != {row.example.id for row in evaluation_rows(SCENARIO, DATA, rows=3, seed=4)}


def test_a_task_without_rows_is_left_out_and_none_at_all_is_refused():
    assert {row.task for row in evaluation_rows(SCENARIO, {"shorten": DATA["shorten"], "polish": []}, rows=2, seed=0)} == {
        "shorten"
    }
    with pytest.raises(DataError, match="no task of the scenario 'made_up' has rows"):
        evaluation_rows(SCENARIO, {"generic": examples("generic", 2)}, rows=2, seed=0)


def test_outputs_lose_white_space_at_their_ends_and_nothing_else():
    row = dataclasses.replace(
        rows()[0], example=Example(id="x", source="s", task="polish", text=" Sure!\n\nDone. \n", references=("y",))
    )
    answered = predict(EchoEngine(["kind"]), CharacterTokenizer(), [row], "kind", 100)
    assert [item.output for item in answered] == ["kind:  Sure!\n\nDone."]
    assert answered[0].system == "kind"
    assert answered[0].text == " Sure!\n\nDone. \n"


def test_an_adapter_may_have_another_name_in_the_engine_than_in_the_records():
    answered = predict(EchoEngine(["trial"]), CharacterTokenizer(), rows()[:1], "t0007", 100, adapter="trial")
    assert answered[0].system == "t0007"
    assert answered[0].output.startswith("trial: The")


def test_base_of_an_echo_scores_as_the_copy_does():
    echoed = predict(EchoEngine(), CharacterTokenizer(), rows(), "base", 500)
    copied = copy_predictions(rows())
    values = [
        [(score.task, score.value, score.low, score.high) for score in score_predictions(SCENARIO, items, "dev", draws=100, seed=0)]
        for items in (echoed, copied)
    ]
    assert values[0] == values[1]
    assert {item.system for item in copied} == {"copy"}


def test_scores_hold_the_metrics_value_its_interval_n_and_seen():
    scores = score_predictions(
        SCENARIO, answers("tuned", lambda item: item.references[0] if "1" in item.text else item.text), "dev", draws=200, seed=0
    )
    assert [(score.task, score.metric, score.n, score.seen, score.split) for score in scores] == [
        ("polish", "gleu", 6, True, "dev"),
        ("shorten", "sari", 6, True, "dev"),
        ("reword", "sari", 6, False, "dev"),
    ]
    chosen = [row for row in rows() if row.task == "polish"]
    texts = [row.example.text for row in chosen]
    outputs = [row.example.references[0] if "1" in row.example.text else row.example.text for row in chosen]
    metric = make_metric("gleu")
    assert scores[0].value == pytest.approx(
        metric.aggregate(metric.statistics(texts, outputs, [row.example.references for row in chosen]))
    )
    assert scores[0].low < scores[0].value < scores[0].high


def test_a_tasks_interval_does_not_hang_on_the_tasks_beside_it():
    mixed = answers("tuned", lambda item: item.references[0] if "1" in item.text else item.text)
    alone = score_predictions(SCENARIO, [item for item in mixed if item.task == "shorten"], "dev", draws=200, seed=0)
    assert alone == score_predictions(SCENARIO, mixed, "dev", draws=200, seed=0)[1:2]


def test_values_alone_are_those_of_the_scores():
    tuned = answers("tuned", lambda item: item.references[0])
    scores = score_predictions(SCENARIO, tuned, "dev", draws=100, seed=0)
    rung = rung_scores(SCENARIO, tuned, draws=100, seed=0)
    assert rung.scores == pytest.approx({score.task: score.value for score in scores})
    assert rung.means == task_means(SCENARIO, rung.scores)


def test_means_weigh_tasks_alike_and_a_missing_kind_is_none():
    means = task_means(SCENARIO, {"polish": 10.0, "shorten": 40.0, "reword": 7.0})
    assert (means.seen, means.unseen) == (25.0, 7.0)
    assert task_means(SCENARIO, {"polish": 10.0}).unseen is None


def test_differences_pair_rows_by_id_and_add_both_means():
    base = copy_predictions(rows())
    base = [dataclasses.replace(item, system="base") for item in base]
    tuned = answers("tuned", lambda item: item.references[0])
    found = {item.task: item for item in compared(SCENARIO, base, tuned[::-1], draws=200, seed=0)}
    assert list(found) == ["polish", "shorten", "reword", "mean of seen", "mean of unseen"]
    values = [rung_scores(SCENARIO, items, draws=100, seed=0).scores for items in (tuned, base)]
    assert found["polish"].value == pytest.approx(values[0]["polish"] - values[1]["polish"])
    assert found["mean of seen"].value == pytest.approx((found["polish"].value + found["shorten"].value) / 2)
    assert found["mean of unseen"].value == pytest.approx(found["reword"].value)
    assert (found["polish"].n, found["mean of seen"].n, found["polish"].system) == (6, 12, "tuned")
    assert 0 < found["polish"].low <= found["polish"].value <= found["polish"].high


def test_the_same_answers_differ_by_nothing():
    tuned = answers("tuned", lambda item: item.references[0])
    base = [dataclasses.replace(item, system="base") for item in tuned]
    assert all((item.value, item.low, item.high) == (0, 0, 0) for item in compared(SCENARIO, base, tuned, draws=100, seed=0))


def test_systems_that_answered_other_rows_are_not_compared():
    base = [dataclasses.replace(item, system="base") for item in copy_predictions(rows())]
    with pytest.raises(
        ScoreError, match=r"same rows, got 17 and 18 of which 17 are shared; 'tuned' lacks row 'polish:\d+' of polish"
    ):
        compared(SCENARIO, base, answers("tuned", lambda item: item.text)[1:], draws=100, seed=0)


def test_predictions_of_two_systems_or_of_an_unknown_task_are_refused():
    mixed = [*copy_predictions(rows()), *answers("tuned", lambda item: item.text)]
    with pytest.raises(ScoreError, match="one system, got copy, tuned"):
        score_predictions(SCENARIO, mixed, "dev", draws=100, seed=0)
    stray = [dataclasses.replace(item, task="sing") for item in copy_predictions(rows())]
    with pytest.raises(ScoreError, match="task 'sing'"):
        rung_scores(SCENARIO, stray, draws=100, seed=0)


def test_the_same_row_must_ask_the_same_of_both_systems():
    base = [dataclasses.replace(item, system="base") for item in copy_predictions(rows())]
    other = [dataclasses.replace(item, system="tuned", references=("Something else.",)) for item in base[:1]] + [
        dataclasses.replace(item, system="tuned") for item in base[1:]
    ]
    with pytest.raises(ScoreError, match=f"row '{base[0].example_id}' of polish has another text or other references for 'tuned'"):
        compared(SCENARIO, base, other, draws=100, seed=0)


def test_nothing_to_score_is_said_to_be_nothing():
    with pytest.raises(ScoreError, match="no predictions to score"):
        score_predictions(SCENARIO, [], "dev", draws=100, seed=0)


@pytest.mark.parametrize(("references", "hole"), [((), "no reference"), (("Right.", "  "), "a blank reference")])
def test_a_hole_among_the_references_is_named_by_row_task_and_system(references, hole):
    predictions = copy_predictions(rows())
    predictions[2] = dataclasses.replace(predictions[2], references=references)
    with pytest.raises(ScoreError, match=rf"row '{predictions[2].example_id}' of 'copy' \(polish\) has {hole}"):
        score_predictions(SCENARIO, predictions, "dev", draws=100, seed=0)


def test_a_row_that_stands_twice_is_refused():
    predictions = copy_predictions(rows())
    with pytest.raises(ScoreError, match=f"row '{predictions[0].example_id}' of 'copy' .* stands twice"):
        score_predictions(SCENARIO, [*predictions, predictions[0]], "dev", draws=100, seed=0)


def some_better(item):
    return item.references[0] if int(item.example_id.split(":")[1]) % 3 else item.text


def test_p_values_are_corrected_over_the_tasks_and_apart_from_them_over_the_means():
    base = [dataclasses.replace(item, system="base") for item in copy_predictions(rows(12))]
    tuned = answers("tuned", some_better, rows(12))
    found = {item.task: item for item in compared(SCENARIO, base, tuned, draws=999, seed=0)}
    tasks = {name: found[name].p_value for name in ("polish", "shorten", "reword")}
    means = {name: found[name].p_value for name in ("mean of seen", "mean of unseen")}
    for family in (tasks, means):
        assert holm(family) == {name: found[name].p_corrected for name in family}
    assert all(0 < item.p_value <= item.p_corrected <= 1 for item in found.values())
    assert found["polish"].p_value < 0.05
    assert found["mean of seen"].p_value < found["polish"].p_corrected


def test_a_tasks_p_value_and_power_do_not_hang_on_the_tasks_beside_it():
    base = [dataclasses.replace(item, system="base") for item in copy_predictions(rows(12))]
    tuned = answers("tuned", some_better, rows(12))
    alone = [[item for item in items if item.task == "shorten"] for items in (base, tuned)]
    together = {item.task: item for item in compared(SCENARIO, base, tuned, draws=200, seed=0)}
    found = {item.task: item for item in compared(SCENARIO, *alone, draws=200, seed=0)}
    assert found["shorten"].p_value == together["shorten"].p_value == found["shorten"].p_corrected
    assert found["shorten"].detectable == together["shorten"].detectable


def test_differences_say_what_their_rows_can_show():
    base = [dataclasses.replace(item, system="base") for item in copy_predictions(rows(12))]
    found = {item.task: item for item in compared(SCENARIO, base, answers("tuned", some_better, rows(12)), draws=400, seed=0)}
    half_width = (found["polish"].high - found["polish"].low) / 2
    assert half_width < found["polish"].detectable < 3 * half_width
    assert found["mean of seen"].detectable < max(found["polish"].detectable, found["shorten"].detectable)
    same = compared(SCENARIO, base, [dataclasses.replace(item, system="tuned") for item in base], draws=100, seed=0)
    assert [(item.p_value, item.p_corrected, item.detectable) for item in same] == [(1.0, 1.0, None)] * 5


def test_standard_errors_of_a_rung_are_those_of_its_means():
    tuned = answers("tuned", some_better, rows(12))
    rung = rung_scores(SCENARIO, tuned, draws=2000, seed=0)
    scores = {score.task: score for score in score_predictions(SCENARIO, tuned, "dev", draws=2000, seed=0)}
    spreads = {task: (score.high - score.low) / (2 * 1.96) for task, score in scores.items()}
    expected = (spreads["polish"] ** 2 + spreads["shorten"] ** 2) ** 0.5 / 2
    assert rung.errors.seen == pytest.approx(expected, rel=0.15)
    assert rung.errors.unseen == pytest.approx(spreads["reword"], rel=0.15)
    alone = [item for item in tuned if item.task == "polish"]
    assert rung_scores(SCENARIO, alone, draws=100, seed=0).errors.unseen is None
    assert rung_scores(SCENARIO, alone[:1], draws=100, seed=0).errors.seen is None


def test_sari_brings_its_operations_and_gleu_nothing():
    scores = {score.task: score for score in score_predictions(SCENARIO, answers("tuned", some_better), "dev", draws=100, seed=0)}
    assert sum(scores["shorten"].details.values()) / 3 == pytest.approx(scores["shorten"].value)
    assert list(scores["shorten"].details) == ["add", "keep", "delete"]
    assert (scores["polish"].details, scores["polish"].error_types, scores["shorten"].error_types) == ({}, {}, {})
