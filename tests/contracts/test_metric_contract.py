"""What every metric keeps, whatever it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from mixwright.errors import ConfigError, ScoreError
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.intervals import bootstrap_interval
from mixwright.evaluate.metric import METRICS, Metric, make_metric, score
from mixwright.records import METRIC_NAMES


@dataclass(frozen=True)
class Rows:
    sources: Sequence[str]
    references: Sequence[Sequence[str]]

    @property
    def perfect(self) -> list[str]:
        return [texts[0] for texts in self.references]

    def only_first_reference(self) -> Rows:
        return Rows(self.sources, [texts[:1] for texts in self.references])

    def reordered(self, order: Sequence[int]) -> Rows:
        return Rows([self.sources[row] for row in order], [self.references[row] for row in order])


ROWS = Rows(
    sources=[
        "She walk to the old harbour every morning before work .",
        "The two boat was painted blue in the spring of 1994.",
        "He have never seen a lighthouse so close at night.",
        "I am agree with the plan that the council made last week.",
        "Nobody in the village remember the name of the ferry.",
    ],
    references=[
        ["She walks to the old harbour every morning before work.", "She walked to the old harbour each morning before work."],
        ["The two boats were painted blue in the spring of 1994.", "Two boats were painted blue in spring 1994."],
        ["He has never seen a lighthouse so close at night."],
        ["I agree with the plan that the council made last week.", "I agree with last week's council plan."],
        ["Nobody in the village remembers the name of the ferry.", "No one in the village remembers the ferry's name."],
    ],
)
UNICODE_ROWS = Rows(
    sources=[
        "Ça va être « difficile » pour la naïve Zoë — trop 😀 .",
        "東京 は 大きい 都市 です と 彼 は 言う た 。",
        "Ein Strasse is\u00a0longer than the e\u0301tude.",
    ],
    references=[
        ["Ça va être « facile » pour la naïve Zoë — très 😀 .", "Ça va pour Zoë."],
        ["東京 は 大きな 都市 だ と 彼 は 言っ た 。"],
        ["Eine Straße is\u00a0longer than the e\u0301tude."],
    ],
)

FACTORIES: dict[str, Callable[[], Metric]] = {**METRICS, "errant_f0.5 best annotators": lambda: EditF(annotators="best")}


@pytest.fixture(params=FACTORIES)
def metric(request: pytest.FixtureRequest) -> Metric:
    return FACTORIES[request.param]()


def test_every_named_metric_is_made_and_knows_its_name() -> None:
    assert tuple(METRICS) == METRIC_NAMES
    assert [make_metric(name).name for name in METRIC_NAMES] == list(METRIC_NAMES)


def test_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'gleo'.*did you mean 'gleu'"):
        make_metric("gleo")


def test_perfect_output_scores_100_with_one_reference(metric: Metric) -> None:
    rows = ROWS.only_first_reference()
    assert score(metric, rows.sources, rows.perfect, rows.references) == pytest.approx(100, abs=1e-9)


def test_copied_input_scores_below_perfect_output(metric: Metric) -> None:
    copied = score(metric, ROWS.sources, ROWS.sources, ROWS.references)
    assert 0 <= copied < score(metric, ROWS.sources, ROWS.perfect, ROWS.references)


def test_empty_outputs_score_within_the_scale_and_below_copied_input_or_zero(metric: Metric) -> None:
    empty = score(metric, ROWS.sources, [""] * len(ROWS.sources), ROWS.references)
    assert 0 <= empty <= score(metric, ROWS.sources, ROWS.sources, ROWS.references)


def test_one_empty_output_among_good_ones_costs(metric: Metric) -> None:
    outputs = ["", *ROWS.perfect[1:]]
    assert score(metric, ROWS.sources, outputs, ROWS.references) < score(metric, ROWS.sources, ROWS.perfect, ROWS.references)


def test_empty_source_is_scored(metric: Metric) -> None:
    value = score(metric, ["", ROWS.sources[1]], ["A new text.", ROWS.perfect[1]], [["A new text."], ROWS.references[1][:1]])
    assert 0 < value <= 100


def test_one_row_gives_a_score_and_an_interval_of_no_width(metric: Metric) -> None:
    statistics = metric.statistics(ROWS.sources[:1], ROWS.perfect[:1], ROWS.references[:1])
    interval = bootstrap_interval(metric, statistics, draws=20, seed=3)
    assert 0 < interval.value <= 100
    assert interval.low == pytest.approx(interval.value, abs=1e-9)
    assert interval.high == pytest.approx(interval.value, abs=1e-9)


def test_order_of_rows_changes_nothing_with_one_reference(metric: Metric) -> None:
    _assert_order_changes_nothing(metric, ROWS.only_first_reference())


@pytest.mark.parametrize("name", [name for name in FACTORIES if name != "errant_f0.5"])
def test_order_of_rows_changes_nothing_with_several_references(name: str) -> None:
    # ERRANT's own choice of annotators follows the order of rows; EditF says so, and offers "best" without that.
    _assert_order_changes_nothing(FACTORIES[name](), ROWS)


def _assert_order_changes_nothing(metric: Metric, rows: Rows) -> None:
    outputs = [rows.sources[0], rows.perfect[1], rows.sources[2], rows.perfect[3], "The ferry has no name ."]
    statistics = metric.statistics(rows.sources, outputs, rows.references)
    order = [3, 0, 4, 2, 1]
    moved = rows.reordered(order)
    again = metric.statistics(moved.sources, [outputs[row] for row in order], moved.references)
    np.testing.assert_allclose(again, statistics[order], atol=1e-9)
    assert metric.aggregate(again) == pytest.approx(metric.aggregate(statistics), abs=1e-9)


def test_rows_score_alone_as_they_do_among_others(metric: Metric) -> None:
    rows = ROWS.only_first_reference()
    statistics = metric.statistics(rows.sources, rows.sources, rows.references)
    alone = metric.statistics(rows.sources[2:3], rows.sources[2:3], rows.references[2:3])
    np.testing.assert_allclose(alone[0], statistics[2], atol=1e-12)


def test_score_is_a_function_of_column_sums(metric: Metric) -> None:
    statistics = metric.statistics(ROWS.sources, ROWS.perfect, ROWS.references)
    totals = np.stack([statistics.sum(axis=0), 3 * statistics[0]])
    scores = metric.from_totals(totals)
    assert scores.shape == (2,)
    assert scores[0] == pytest.approx(metric.aggregate(statistics))
    assert scores[1] == pytest.approx(metric.aggregate(statistics[[0, 0, 0]]))


def test_output_equal_to_another_reference_is_better_than_without_that_reference(metric: Metric) -> None:
    second = [texts[-1] for texts in ROWS.references]
    alone = score(metric, ROWS.sources, second, ROWS.only_first_reference().references)
    assert score(metric, ROWS.sources, second, ROWS.references) > alone


def test_unicode_text_is_scored_like_any_other(metric: Metric) -> None:
    rows = UNICODE_ROWS.only_first_reference()
    perfect = score(metric, rows.sources, rows.perfect, rows.references)
    assert perfect == pytest.approx(100, abs=1e-9)
    assert score(metric, rows.sources, rows.sources, UNICODE_ROWS.references) < perfect


@pytest.mark.parametrize(
    ("sources", "outputs", "references", "message"),
    [
        (["a", "b"], ["a"], [["a"], ["b"]], "2 sources, 1 outputs, 2 references"),
        (["a"], ["a"], [["a"], ["b"]], "1 sources, 1 outputs, 2 references"),
        ([], [], [], "at least one row, got 0"),
        (["a", "b"], ["a", "b"], [["a"], []], "row 1: at least one reference"),
        (["a", "b"], ["a", "b"], [["a"], ["b", " "]], "row 1: reference 1 of 2 is blank"),
        (["a"], ["a"], ["a"], "row 0: references must be a list"),
    ],
    ids=[
        "an output is missing",
        "a reference too many",
        "no rows",
        "a row without references",
        "a blank reference",
        "a plain string",
    ],
)
def test_rows_that_do_not_fit_are_refused(
    metric: Metric, sources: list[str], outputs: list[str], references: list[list[str]], message: str
) -> None:
    with pytest.raises(ScoreError, match=message):
        metric.statistics(sources, outputs, references)
