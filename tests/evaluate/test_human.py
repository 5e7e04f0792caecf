"""The human row: every reference once against the others, and none where there is nothing to hold it against."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mixwright.evaluate.human import LeaveOneOut, human_scores
from mixwright.evaluate.intervals import bootstrap_interval
from mixwright.evaluate.metric import make_metric
from mixwright.records import HUMAN, Prediction
from mixwright.scenarios import Instructions, Scenario, Task


def task(name, metric="sari", seen=True):
    return Task(name=name, metric=metric, seen=seen, instructions=Instructions(train=("Do.",), evaluation=("Do it.",)))


SCENARIO = Scenario(name="made_up", tasks=(task("polish", "gleu"), task("shorten"), task("reword", seen=False)))
REFERENCES = (
    "The {n} old dogs were running fast over the hill.",
    "The {n} dogs ran fast over the hill.",
    "Over the hill the {n} old dogs were running fast.",
)


def prediction(name, n, references=REFERENCES):
    return Prediction(
        example_id=f"{name}:{n}",
        task=name,
        system="copy",
        instruction="Do it.",
        text=f"The {n} old dogs was running very fast over the hill.",
        output="not read",
        references=tuple(text.format(n=n) for text in references),
    )


def rows(name, count=8, references=REFERENCES):
    return [prediction(name, n, references) for n in range(count)]


@pytest.mark.parametrize("name", ["polish", "shorten"])
def test_the_score_is_the_mean_over_held_out_references(name):
    predictions = rows(name)
    (score,) = human_scores(SCENARIO, predictions, "test", draws=200, seed=0)
    metric = make_metric(SCENARIO.task(name).metric)
    values = []
    for held_out in range(3):
        outputs = [item.references[held_out] for item in predictions]
        others = [[text for number, text in enumerate(item.references) if number != held_out] for item in predictions]
        values.append(metric.aggregate(metric.statistics([item.text for item in predictions], outputs, others)))
    assert score.value == pytest.approx(np.mean(values))
    assert (score.system, score.n, score.metric, score.split, score.seen) == (HUMAN, 8, metric.name, "test", True)
    assert score.low <= score.value <= score.high


def test_tasks_in_which_a_row_has_one_reference_have_no_human_score():
    mixed = [
        *rows("shorten"),
        *rows("polish", references=REFERENCES[:1]),
        *rows("reword", 3),
        prediction("reword", 9, REFERENCES[:1]),
    ]
    assert [score.task for score in human_scores(SCENARIO, mixed, "test", draws=100, seed=0)] == ["shorten"]
    assert human_scores(SCENARIO, rows("polish", references=REFERENCES[:1]), "test", draws=100, seed=0) == ()


def test_rows_with_more_references_hold_out_as_many_as_the_row_with_fewest():
    uneven = [*rows("shorten", 4), *(prediction("shorten", n, REFERENCES[:2]) for n in range(4, 8))]
    (score,) = human_scores(SCENARIO, uneven, "test", draws=100, seed=0)
    metric = make_metric("sari")
    texts = [item.text for item in uneven]
    values = []
    for held_out in (0, 1):
        others = [[text for number, text in enumerate(item.references) if number != held_out] for item in uneven]
        values.append(metric.aggregate(metric.statistics(texts, [item.references[held_out] for item in uneven], others)))
    assert score.value == pytest.approx(np.mean(values))


def test_references_that_agree_score_as_a_perfect_output_does():
    same = [dataclasses.replace(item, references=(item.references[0],) * 2) for item in rows("polish")]
    (score,) = human_scores(SCENARIO, same, "test", draws=100, seed=0)
    assert (score.value, score.low, score.high) == pytest.approx((100, 100, 100))


def test_the_interval_resamples_rows_and_not_references():
    metric = make_metric("sari")
    tables = [np.random.default_rng(position).integers(1, 9, size=(30, 36)).astype(float) for position in range(3)]
    held_out = bootstrap_interval(LeaveOneOut(metric=metric, held_out=3), np.concatenate(tables, axis=1), draws=300, seed=5)
    assert held_out.value == pytest.approx(np.mean([metric.aggregate(table) for table in tables]))
    copies = bootstrap_interval(LeaveOneOut(metric=metric, held_out=2), np.concatenate(tables[:1] * 2, axis=1), draws=300, seed=5)
    alone = bootstrap_interval(metric, tables[0], draws=300, seed=5)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))


def test_operations_are_means_over_held_out_references():
    (score,) = human_scores(SCENARIO, rows("shorten"), "test", draws=100, seed=0)
    assert list(score.details) == ["add", "keep", "delete"]
    assert sum(score.details.values()) / 3 == pytest.approx(score.value)
