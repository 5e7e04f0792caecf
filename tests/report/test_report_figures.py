"""Scales, fronts and wordings that the figures are made of."""

from __future__ import annotations

import itertools

import pytest

from mixwright.report import svg, trees, wording
from mixwright.report.pareto import undominated


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (27.6, 40.1), (-0.15, 0.05), (1e-6, 2e-6), (-1e5, 3e5)])
def test_linear_ticks_are_few_even_and_within_the_axis(low: float, high: float) -> None:
    ticks = svg.scale([low, high], "linear", pad=0.1).ticks
    steps = [after.position - before.position for before, after in itertools.pairwise(ticks)]
    assert 3 <= len(ticks) <= 8
    assert max(steps) - min(steps) < 1e-6
    assert all(-1e-6 <= tick.position <= 1 + 1e-6 for tick in ticks)


def test_equal_factors_are_equal_distances_on_a_log_scale() -> None:
    place = svg.scale([4, 8, 16, 64], "log2").place
    assert abs((place(8) - place(4)) - (place(16) - place(8))) < 1e-9
    assert (place(4), place(64)) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0]])
def test_a_scale_without_extent_puts_its_value_in_the_middle(values: list[float]) -> None:
    assert svg.scale(values, "linear").place(3.0) == 0.5 or not values


def test_categories_stand_apart_in_their_order() -> None:
    scale = svg.scale(["linear", "cosine", "linear"], "category")
    assert [tick.label for tick in scale.ticks] == ["linear", "cosine"]
    assert scale.place("linear") < scale.place("cosine")


def test_an_element_escapes_text_and_attributes() -> None:
    assert str(svg.element("text", "<b>", aria_label='"x"')) == '<text aria-label="&#34;x&#34;">&lt;b&gt;</text>'


def test_the_front_holds_what_no_point_beats_in_both() -> None:
    assert undominated([(1, 5), (2, 4), (1, 4), (3, 1), (2, 4), (0, 5)]) == [(1, 5), (2, 4), (3, 1)]


@pytest.mark.parametrize(
    ("value", "text"), [(15.06, "+15.1"), (-0.44, "−0.4"), (0.04, "0.0"), (-0.04, "0.0"), (None, "–"), (float("nan"), "–")]
)
def test_differences_carry_their_sign_and_nothing_is_minus_zero(value: float | None, text: str) -> None:
    assert wording.signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (59.4, "59 s"), (59.9, "1 min 00 s"), (185, "3 min 05 s"), (7440, "2 h 04 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_nested_values_become_tables_and_deeper_counts_are_summed() -> None:
    tree = {"seed": 3, "sources": {"one": {"read": 1200, "kept": {"train": {"a": 5, "b": 6}, "dev": {"a": 1}}}}}
    plain, sources = trees.blocks(tree)
    assert plain.rows == (("seed", ("3",)),)
    assert sources.columns == ("read", "kept")
    assert sources.rows == (("one", ("1,200", "train 11, dev 1")),)


def test_shares_of_bars_sum_to_one() -> None:
    bars = trees.bars({"prepare": 10.0, "search": 30.0, "idle": 0.0}, "seconds")
    assert [(bar.label, bar.value, bar.share) for bar in bars] == [("prepare", "10 s", 0.25), ("search", "30 s", 0.75)]
