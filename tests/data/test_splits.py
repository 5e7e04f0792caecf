"""Splits by document, and the guard against leaks."""

import pytest

from mixwright.config import SourceConfig
from mixwright.data import splits
from mixwright.records import Example


def example(text, *references, id="s:1", task="fluency", **fields):
    return Example(id=id, source=id.split(":")[0], task=task, text=text, references=references or ("other",), **fields)


def source(use="both", fraction=0.3, name="s"):
    return SourceConfig(name=name, format="jsonl", path="p", task="fluency", use=use, evaluation_fraction=fraction)


def test_a_document_goes_to_one_side_as_a_whole():
    rows = [example(f"text {row}", group=f"doc{row % 20}") for row in range(200)]
    sides = {(row.group, splits.assign_split(source(), row, 0)) for row in rows}
    assert len(sides) == 20
    assert {side for _, side in sides} == {"train", "dev", "test"}


def test_rows_with_the_same_text_go_to_one_side_whatever_their_source():
    for number in range(50):
        first = splits.assign_split(source(), example(f"Do n't go {number} ."), 0)
        second = splits.assign_split(source(name="other"), example(f"Don't go {number}.", id="other:9"), 0)
        assert first == second


def test_generic_rows_are_grouped_by_instruction_and_text():
    rows = [example("", "a", task="generic", instruction=f"Name color {number}.") for number in range(200)]
    assert {splits.assign_split(source(), row, 0) for row in rows} == {"train", "dev", "test"}


def test_training_sources_give_training_rows_alone_and_evaluation_sources_none():
    rows = [example(f"text {number}") for number in range(300)]
    assert {splits.assign_split(source("train"), row, 0) for row in rows} == {"train"}
    halves = [splits.assign_split(source("evaluation"), row, 0) for row in rows]
    assert set(halves) == {"dev", "test"}
    assert 100 < halves.count("dev") < 200


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_evaluation_fraction_is_the_share_of_groups(fraction):
    rows = [example(f"text {number}") for number in range(4000)]
    sides = [splits.assign_split(source(fraction=fraction), row, 3) for row in rows]
    assert abs(1 - sides.count("train") / len(sides) - fraction) < 0.03


def test_a_larger_evaluation_fraction_moves_rows_out_of_training_alone():
    rows = [example(f"text {number}") for number in range(500)]
    for row in rows:
        small, large = (splits.assign_split(source(fraction=fraction), row, 0) for fraction in (0.1, 0.4))
        assert small in ("train", large)


def test_another_seed_is_another_split():
    rows = [example(f"text {number}") for number in range(200)]
    sides = [[splits.assign_split(source(), row, seed) for row in rows] for seed in (0, 1, 0)]
    assert sides[0] == sides[2] != sides[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Do n't go , Ann !", "don't go ann"), ("“Yes” — no", '" yes " - no'), ("A\u00a0b", "a b"), ("STRASSE", "straße")],
)
def test_normal_form_ignores_case_spaces_and_marks(one, other):
    assert splits.normalized(one) == splits.normalized(other)


def test_normal_form_keeps_different_words_and_pure_marks_apart():
    assert splits.normalized("a b c") != splits.normalized("a b d")
    assert splits.normalized("?!") == "?!" != splits.normalized("...")


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        (example("The cat sat ."), example("the cat sat")),  # text is an evaluation text
        (example("x y", "The cat sat."), example("The cat sat .")),  # answer is an evaluation text
        (example("The cat sat."), example("x y", "a", "The cat sat .")),  # text is a second reference
        (example("x y", "The cat sat."), example("z", "the cat sat", task="clarity")),  # answers are equal, in another task
        (example("q", "r", task="generic", instruction="Do it"), example("Q", "s", task="generic", instruction="do it!")),
    ],
)
def test_training_row_that_stands_in_evaluation_is_dropped(train, evaluation):
    sieved = splits.without_leaks([train, example("free", "as air")], splits.keys_of_all([evaluation]))
    assert sieved.dropped == [train]
    assert [row.text for row in sieved.kept] == ["free"]


def test_short_generic_answers_are_no_sign_of_a_leak():
    evaluation = example("", "Positive", task="generic", instruction="Judge the first review.")
    row = example("", "positive.", task="generic", instruction="Judge the second review.")
    assert splits.without_leaks([row], splits.keys_of_all([evaluation])).kept == [row]


def test_long_generic_answers_are():
    answer = "Water boils at one hundred degrees."
    evaluation = example("", answer, task="generic", instruction="When does it boil?")
    row = example("", answer, task="generic", instruction="Tell me about water.")
    assert splits.without_leaks([row], splits.keys_of_all([evaluation])).dropped == [row]


def test_repeats_keep_the_first_of_each_prompt():
    rows = [example("A b.", id="s:1"), example("a b", id="s:2"), example("c", id="s:3")]
    sieved = splits.without_repeats(rows)
    assert [row.id for row in sieved.kept] == ["s:1", "s:3"]
    assert [row.id for row in sieved.dropped] == ["s:2"]


def test_order_hangs_on_ids_alone():
    rows = [example("x", id=f"s:{number}") for number in range(50)]
    ordered = splits.shuffled(rows, 0)
    assert ordered == splits.shuffled(reversed(rows), 0) != rows
    fewer = [row for row in ordered if row.id != "s:7"]
    assert splits.shuffled(fewer, 0) == fewer
    assert splits.shuffled(rows, 1) != ordered


def test_smaller_samples_are_parts_of_larger_ones_in_file_order():
    rows = [example("x", id=f"s:{number}") for number in range(100)]
    small, large = (splits.sample(rows, count, 0) for count in (10, 40))
    assert len(small) == 10
    assert {row.id for row in small} < {row.id for row in large}
    assert large == sorted(large, key=rows.index)
    assert splits.sample(rows, None, 0) == splits.sample(rows, 100, 0) == rows
