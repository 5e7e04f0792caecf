"""The final table: its rows, its means and its plain text."""

from __future__ import annotations

import dataclasses

from tests.report.made_up_run import make_difference, make_record, make_score, make_trials

from mixwright import report
from mixwright.records import HUMAN, PowerRecord, RunRecord, SystemRecord
from mixwright.report.table import table_rows


def record() -> RunRecord:
    return make_record(make_trials())


def test_rows_stand_seen_before_unseen_with_the_mean_after_its_tasks() -> None:
    assert [row.task for row in table_rows(record())] == ["grammaticality", "fluency", "clarity", "mean of seen", "paraphrasing"]


def test_a_mean_is_computed_from_the_tasks_where_no_score_of_it_is_recorded() -> None:
    mean = next(row for row in table_rows(record()) if row.is_mean)
    assert mean.base
    assert mean.best
    assert round(mean.base.value, 6) == round((12.4 + 41.0 + 30.1) / 3, 6)
    assert round(mean.best.value, 6) == round((31.0 + 55.2 + 31.0) / 3, 6)
    assert mean.n == 36


def test_an_interval_that_contains_zero_shows_no_difference_and_one_row_shows_nothing() -> None:
    outcomes = {row.task: row.outcome for row in table_rows(record())}
    assert outcomes["grammaticality"] == "better"
    assert outcomes["clarity"] == "no difference shown"
    best = record().systems[-1]
    of_one_row = dataclasses.replace(
        best, differences=(make_difference("clarity", 4.0, 0.0, n=1), make_difference("fluency", -4.0, 1.0))
    )
    changed = dataclasses.replace(record(), systems=(*record().systems[:-1], of_one_row))
    outcomes = {row.task: row.outcome for row in table_rows(changed)}
    assert outcomes["clarity"] == "no interval"
    assert outcomes["fluency"] == "worse"
    assert outcomes["grammaticality"] == "no interval"


def test_an_interval_that_touches_zero_shows_no_difference() -> None:
    best = dataclasses.replace(record().systems[-1], differences=(make_difference("fluency", 2.0, 2.0),))
    changed = dataclasses.replace(record(), systems=(*record().systems[:-1], best))
    assert next(row for row in table_rows(changed) if row.task == "fluency").outcome == "no difference shown"


def test_the_text_table_is_ascii_aligned_and_marks_the_unseen_task() -> None:
    text = report.final_table(record())
    lines = text.splitlines()
    assert text.isascii()
    assert max(len(line) for line in lines) <= 120
    assert any(line.startswith("paraphrasing *") and "no difference shown" in line for line in lines)
    starts = {line.index("ERRANT F0.5" if "ERRANT" in line else "GLEU" if "GLEU" in line else "SARI") for line in lines[2:5]}
    assert len(starts) == 1
    assert any(line.startswith("generic retention") and "-0.061" in line for line in lines)


def test_the_text_table_of_an_unfinished_run_says_what_to_do() -> None:
    text = report.final_table(dataclasses.replace(record(), status="searched", systems=()))
    assert "--resume" in text
    assert len(text.splitlines()) == 1


def test_a_run_whose_best_system_is_missing_still_shows_base_and_copy() -> None:
    text = report.final_table(dataclasses.replace(record(), systems=record().systems[:2]))
    assert "grammaticality" in text
    assert "12.4" in text


def with_everything() -> RunRecord:
    """The made-up record with p-values, power and a human row."""
    base, copy, best = record().systems
    judged = tuple(dataclasses.replace(item, p_value=0.0002, p_corrected=0.0004, detectable=7.5) for item in best.differences)
    power = tuple(
        PowerRecord(task=item.task, n=item.n, detectable=7.5, interesting=3.0, rows_needed=80, underpowered=item.task == "clarity")
        for item in judged
    )
    human = SystemRecord(name=HUMAN, scores=tuple(make_score(task, HUMAN, 66.6) for task in ("fluency", "clarity")))
    return dataclasses.replace(record(), systems=(base, copy, human, dataclasses.replace(best, differences=judged, power=power)))


def test_the_text_table_holds_human_corrected_p_and_what_the_rows_show() -> None:
    text = report.final_table(with_everything())
    lines = text.splitlines()
    assert lines[0].split()[:7] == ["task", "metric", "n", "base", "copy", "human", "best"]
    rows = {line.split("  ")[0]: line for line in lines}
    assert "66.6" in rows["fluency"]
    assert "66.6" not in rows["grammaticality"]
    assert "<0.001" in rows["fluency"]
    assert "7.5 !" in rows["clarity"]
    assert "!" not in rows["fluency"]
    assert max(len(line) for line in lines) <= 132
    assert any(line.startswith("! underpowered: cannot show a difference of 3 points") for line in lines)
    assert any(line.startswith("human: ") for line in lines)


def test_the_best_system_is_never_the_human_row() -> None:
    without_best = dataclasses.replace(with_everything(), systems=with_everything().systems[:3])
    assert all(row.best is None for row in table_rows(without_best))


def test_a_human_mean_stands_only_where_every_task_has_one() -> None:
    mean = next(row for row in table_rows(with_everything()) if row.is_mean)
    assert mean.human is None
    assert mean.power is not None


def test_a_record_without_p_values_has_no_columns_for_them() -> None:
    text = report.final_table(record())
    assert "p Holm" not in text
    assert "human" not in text
    assert "shows" not in text
