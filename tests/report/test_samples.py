"""Samples: the rule by which they are chosen, and the marks on their words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tests.report.made_up_run import ROWS, make_predictions, make_run

from mixwright.records import write_jsonl
from mixwright.report.run_folder import read_run_folder
from mixwright.report.samples import marked, natural_order, similarity, task_samples


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


def test_the_first_row_of_each_kind_is_shown_and_all_rows_are_counted(tmp_path: Path) -> None:
    make_run(tmp_path)
    first = task_samples(read_run_folder(tmp_path))[0]
    assert first.task == "grammaticality"
    assert sum(first.counts.values()) == first.n == ROWS
    assert [(sample.kind, sample.example_id) for sample in first.shown] == [
        ("closer", "grammaticality:0"),
        ("further", "grammaticality:2"),
        ("alike", "grammaticality:3"),
    ]
    assert first.unchanged == {"base": 3, "best": 0}


def test_a_kind_without_rows_is_counted_zero_and_left_out(tmp_path: Path) -> None:
    make_run(tmp_path)
    same = [dataclasses.replace(item, output=item.references[0]) for item in make_predictions("best")]
    write_jsonl(tmp_path / "predictions" / "test-best.jsonl", same)
    first = task_samples(read_run_folder(tmp_path))[0]
    assert first.counts["further"] == 0
    assert {sample.kind for sample in first.shown} == {"closer", "alike"}


def test_rows_that_one_system_lacks_are_left_out(tmp_path: Path) -> None:
    make_run(tmp_path)
    write_jsonl(tmp_path / "predictions" / "test-best.jsonl", make_predictions("best")[:5])
    assert [(item.task, item.n) for item in task_samples(read_run_folder(tmp_path))] == [("grammaticality", 5)]
