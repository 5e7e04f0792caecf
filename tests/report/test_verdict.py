"""The verdict: no more is claimed than the intervals allow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.report.made_up_run import make_difference, make_record, make_run, make_trials

from mixwright.records import Difference
from mixwright.report.run_folder import read_run_folder
from mixwright.report.verdict import Verdict, verdict


def verdict_of(folder: Path, *differences: Difference, **changes: Any) -> Verdict:
    """The verdict of the made-up run with these differences of its best system instead of its own."""
    if differences:
        systems = make_record(make_trials()).systems
        changes["systems"] = (*systems[:-1], dataclasses.replace(systems[-1], differences=differences))
    make_run(folder, **changes)
    return verdict(read_run_folder(folder))


def test_the_headline_names_mix_rank_size_and_interval(tmp_path: Path) -> None:
    headline = verdict_of(tmp_path).headline
    assert headline.startswith("Best: 26 % generic data, LoRA rank 32.")
    assert "11.2 points better than the base model (95 % interval +8.8 to +13.6)" in headline


@pytest.mark.parametrize(
    ("value", "spread", "said", "unsaid"),
    [(3.0, 4.0, "no difference to the base model is shown", "better"), (-6.0, 2.0, "6.0 points worse", "better")],
)
def test_the_headline_is_no_kinder_than_the_interval(tmp_path: Path, value: float, spread: float, said: str, unsaid: str) -> None:
    headline = verdict_of(tmp_path, make_difference("mean of seen", value, spread)).headline
    assert said in headline
    assert unsaid not in headline


def test_the_unseen_task_is_named_with_what_its_interval_shows(tmp_path: Path) -> None:
    assert "On paraphrasing, never trained: no difference shown, −0.7 (−3.6 to +2.2)." in verdict_of(tmp_path).summary
    fallen = verdict_of(tmp_path, make_difference("mean of seen", 9, 1), make_difference("paraphrasing", -5.0, 1.0))
    assert "worse, −5.0" in fallen.summary
    assert [fact.tone for fact in fallen.facts if fact.label == "Unseen tasks"] == ["bad"]


def test_a_best_trial_beyond_the_limits_is_said_to_break_them(tmp_path: Path) -> None:
    assert "The limits on forgetting held" in verdict_of(tmp_path).summary
    best = make_record(make_trials()).best
    broken = {**best, "objectives": {**best["objectives"], "unseen": 20.0}}
    assert "The limits on forgetting did not hold" in verdict_of(tmp_path, best=broken).summary


def test_tasks_on_which_copying_does_as_well_are_named(tmp_path: Path) -> None:
    copied = [caveat for caveat in verdict_of(tmp_path).caveats if "Handing the input back" in caveat]
    assert len(copied) == 1
    assert "clarity" in copied[0]
    assert "fluency" not in copied[0]


def test_a_best_value_at_the_edge_of_its_range_is_pointed_out(tmp_path: Path) -> None:
    caveats = " ".join(verdict_of(tmp_path).caveats)
    assert "The best LoRA rank, 32, is the highest searched" in caveats
    assert "generic fraction" not in caveats
