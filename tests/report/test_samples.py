"""Samples: the rule by which they are chosen, and the marks on their words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from tests.report.made_up_run import ROWS, make_predictions, make_run

from mixwright import report
from mixwright.records import write_jsonl
from mixwright.report.differences import marked, similarity
from mixwright.report.run_folder import read_run_folder
from mixwright.report.samples import MOST_ROWS, Samples, natural_order, samples


def plain(html: str, drop: str) -> str:
    """The text without the marks of one kind and what stands in them, spaces squeezed."""
    kept = re.sub(rf"<{drop}>.*?</{drop}>", "", html)
    return " ".join(re.sub(r"</?(?:ins|del)>", "", kept).split())


def test_marks_hold_both_texts() -> None:
    before, after = "The two boat leaves at nine, I think.", "The two boats leave at nine, we think!"
    html = str(marked(before, after))
    assert plain(html, "ins") == before
    assert plain(html, "del") == after


def test_only_words_that_changed_are_marked() -> None:
    assert str(marked("She have a kite.", "She has a kite.")) == "She <del>have</del> <ins>has</ins> a kite."
    assert str(marked("Same text.", "Same text.")) == "Same text."


def test_marks_escape_what_they_hold() -> None:
    assert str(marked("a < b and c", "a < b and <i>")) == "a &lt; b and <del>c</del> <ins>&lt;i&gt;</ins>"


def test_a_text_that_shares_little_with_the_input_is_shown_without_marks() -> None:
    assert str(marked("Our mill grinds oats.", "Sorry, no idea what you mean")) == "Sorry, no idea what you mean"


def test_similarity_is_one_for_the_same_words_and_zero_for_none_in_common() -> None:
    assert similarity("a b c", "a  b c") == 1.0
    assert similarity("a b", "c d") == 0.0
    assert similarity("", "") == 1.0


def test_ids_are_ordered_by_number() -> None:
    assert sorted(["s:10", "s:9", "a:11"], key=natural_order) == ["a:11", "s:9", "s:10"]


def found(folder: Path) -> Samples:
    made = samples(read_run_folder(folder))
    assert made is not None
    return made


def test_the_first_row_of_each_kind_is_open_and_all_rows_are_counted(tmp_path: Path) -> None:
    make_run(tmp_path)
    made = found(tmp_path)
    first = made.tasks[0]
    assert first.task == "grammaticality"
    assert sum(first.kinds.values()) == first.n == first.shown == ROWS
    opened = [(sample.kind, sample.example_id) for sample in made.rows if sample.task == first.task and sample.is_open]
    assert opened == [("closer", "grammaticality:0"), ("further", "grammaticality:2"), ("alike", "grammaticality:3")]
    assert first.unchanged == {"base": 3, "best": 0}
    assert first.right_as_they_are == 0
    assert [sample.example_id for sample in made.rows[:ROWS]] == [f"grammaticality:{row}" for row in range(ROWS)]


def test_the_gain_of_a_row_is_the_closeness_that_it_won_over_base(tmp_path: Path) -> None:
    make_run(tmp_path)
    first = found(tmp_path).rows[0]
    of_base, of_best = first.answers
    assert (of_base.system, of_best.system) == ("base", "best")
    shared, in_reference, in_answer = 2, 7, 5  # boats and nine; The two boats leave at nine . / Two boats : nine !
    assert of_base.closeness == pytest.approx(100 * 2 * shared / (in_reference + in_answer))
    assert of_best.closeness == 100.0
    assert of_best.gain == pytest.approx(of_best.closeness - of_base.closeness)
    assert of_base.gain is None


def test_a_kind_without_rows_is_counted_zero(tmp_path: Path) -> None:
    make_run(tmp_path)
    same = [dataclasses.replace(item, output=item.references[0]) for item in make_predictions("best")]
    write_jsonl(tmp_path / "predictions" / "test-best.jsonl", same)
    made = found(tmp_path)
    assert made.tasks[0].kinds["further"] == 0
    assert {sample.kind for sample in made.rows if sample.task == "grammaticality"} == {"closer", "alike"}


def test_rows_that_one_system_lacks_are_left_out(tmp_path: Path) -> None:
    make_run(tmp_path)
    write_jsonl(tmp_path / "predictions" / "test-best.jsonl", make_predictions("best")[:5])
    made = found(tmp_path)
    assert [(item.task, item.n) for item in made.tasks] == [("grammaticality", 5)]
    assert made.skipped == 4 * ROWS - 5
    assert found_in_page(tmp_path, f"Left out: {4 * ROWS - 5} rows that not every system answered.")


def found_in_page(folder: Path, words: str) -> bool:
    return words in " ".join(report.build(folder).read_text(encoding="utf-8").split())


def test_copied_rows_are_counted_for_every_system_and_named_in_the_row(tmp_path: Path) -> None:
    make_run(tmp_path)
    copied = [
        dataclasses.replace(item, output=f" {item.text} " if number % 3 == 0 else item.output)
        for number, item in enumerate(make_predictions("best"))
    ]
    write_jsonl(tmp_path / "predictions" / "test-best.jsonl", copied)
    made = found(tmp_path)
    assert sum(item.unchanged["best"] for item in made.tasks) == len(copied) / 3
    assert [sample.copied for sample in made.rows[:3]] == ["1", "0", ""]


def test_a_page_holds_a_bounded_number_of_rows_and_the_same_of_each_task(tmp_path: Path) -> None:
    make_run(tmp_path)
    for system in ("base", "best"):
        many = [
            dataclasses.replace(item, example_id=f"{item.example_id}:{copy}")
            for copy in range(9)
            for item in make_predictions(system)
        ]
        write_jsonl(tmp_path / "predictions" / f"test-{system}.jsonl", many)
    made = found(tmp_path)
    assert made.n == 9 * 4 * ROWS
    assert len(made.rows) == MOST_ROWS
    assert {item.shown for item in made.tasks} == {MOST_ROWS // 4}
    assert all(sum(item.kinds.values()) == 9 * ROWS for item in made.tasks)


def test_without_base_gains_count_from_the_input_handed_back(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "predictions" / "test-base.jsonl").unlink()
    (tmp_path / "predictions" / "test-copy.jsonl").unlink()
    made = found(tmp_path)
    assert made.baseline == "copy"
    assert all(sample.answers[0].is_copied for sample in made.rows)


def test_no_tuned_system_means_no_samples(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "predictions" / "test-best.jsonl").unlink()
    assert samples(read_run_folder(tmp_path)) is None
