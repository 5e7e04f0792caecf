"""Bars of scores: as long as the score, with the interval on the same scale."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest
from tests.report.made_up_run import make_record, make_score, make_trials

from mixwright.report.bars import Bar, run_bars, score_bars
from mixwright.report.table import table_rows

Lengths = dict[str, float]


def lengths(picture: str) -> Lengths:
    """Bar -> its length, by the class that says whose it is."""
    root = ElementTree.fromstring(picture)
    return {item.get("class", "").split()[-1]: float(item.get("width", "")) for item in root.iter("rect")}


def test_a_picture_stands_for_each_task_and_none_for_a_mean() -> None:
    rows = table_rows(make_record(make_trials()))
    assert len(score_bars(rows)) == len([row for row in rows if not row.is_mean]) == 4


def test_bars_are_as_long_as_their_scores() -> None:
    fluency = next(picture for picture in score_bars(table_rows(make_record(make_trials()))) if "fluency" in picture)
    found = lengths(fluency)
    assert found["of-copy"] / found["of-base"] == pytest.approx(52.0 / 41.0, abs=0.01)
    assert found["of-lead"] / found["of-base"] == pytest.approx(55.2 / 41.0, abs=0.01)


def test_whiskers_end_where_the_interval_does() -> None:
    score = make_score("fluency", "best", 50.0)
    root = ElementTree.fromstring(run_bars("fluency", "gleu", [Bar(name="best", score=score, is_lead=True)]))
    (bar,) = root.iter("rect")
    left, width = float(bar.get("x", "")), float(bar.get("width", ""))
    whisker = next(item for item in root.iter("line") if item.get("class") == "bar-whisker")
    ends = [(float(whisker.get(end, "")) - left) * 50.0 / width for end in ("x1", "x2")]
    assert ends == pytest.approx([score.low, score.high], abs=0.1)


def test_a_score_without_an_interval_has_no_whisker() -> None:
    score = dataclasses.replace(make_score("fluency", "best", 50.0), low=float("nan"), high=float("nan"))
    picture = run_bars("fluency", "gleu", [Bar(name="best", score=score, is_lead=True)])
    assert "bar-whisker" not in picture
    assert "nan" not in picture


def test_a_long_name_is_cut_in_the_picture_and_whole_for_who_points_or_listens() -> None:
    name = "a-chat-model-with-a-very-long-name"
    picture = run_bars("fluency", "gleu", [Bar(name=name, score=make_score("fluency", name, 50.0), is_lead=False)])
    root = ElementTree.fromstring(picture)
    written = [item.text for item in root.iter("text")]
    assert "a-chat-model-with…" in written
    assert name in root.get("aria-label", "")
    assert any(name in (item.text or "") for item in root.iter("title"))
