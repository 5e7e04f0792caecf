from __future__ import annotations

from mixwright.evaluate.edit_report import by_category, by_operation, edit_report
from mixwright.evaluate.edits import EditCounts, EditF

SOURCES = ["He walk home .", "The boats was late .", "It rains again .", "We agree ."]
OUTPUTS = ["He walks home .", "The boats was late .", "It rain again today .", "We agree ."]
REFERENCES = [["He walks home ."], ["The boats were late ."], ["It rains again ."], ["We agree .", "We all agree ."]]


def test_report_counts_types_and_over_correction() -> None:
    report = edit_report(EditF(tokenized=True).rows(SOURCES, OUTPUTS, REFERENCES))
    assert report.total == EditCounts(tp=1, fp=2, fn=1)
    assert sum(report.by_type.values(), EditCounts()) == report.total
    assert report.by_type["R:VERB:SVA"] == EditCounts(tp=1, fp=1, fn=1)
    assert (report.clean_rows, report.clean_rows_edited, report.clean_edits) == (1, 1, 2)
    assert report.over_correction == 1


def test_nothing_that_needed_no_edit_is_no_over_correction() -> None:
    report = edit_report(EditF(tokenized=True).rows(SOURCES[:2], OUTPUTS[:2], REFERENCES[:2]))
    assert (report.clean_rows, report.over_correction) == (0, 0)


def test_types_join_by_operation_and_by_category() -> None:
    one = EditCounts(tp=1)
    by_type = {"M:DET": one, "R:DET": one, "R:VERB:SVA": one, "UNK": one}
    assert by_operation(by_type) == {"M": one, "R": EditCounts(tp=2), "UNK": one}
    assert by_category(by_type) == {"DET": EditCounts(tp=2), "UNK": one, "VERB:SVA": one}
