"""Common random numbers: what shared rows remove from the variance of a difference, and where the report says it."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path

import pytest
from tests.report.made_up_run import make_run, make_trials

from mixwright.report import build
from mixwright.report.common_numbers import common_numbers, shared
from mixwright.report.run_folder import read_run_folder


def rows(seed: int, like: list[float] | None = None, noise: float = 1.0) -> list[float]:
    rng = random.Random(seed)
    return [(like[i] if like else 0.0) + rng.gauss(0.0, noise) for i in range(40)]


def test_systems_that_agree_row_by_row_are_compared_far_more_exactly_in_pairs() -> None:
    first = rows(1, noise=10.0)
    found = shared({"a": first}, {"a": rows(2, like=first, noise=1.0)})
    assert found is not None
    assert found.removed > 0.95
    assert found.unpaired == pytest.approx((2 * statistics.variance(first) / 40) ** 0.5, rel=0.1)


def test_systems_that_have_nothing_in_common_gain_nothing() -> None:
    gains = [shared({"a": rows(seed)}, {"a": rows(seed + 1000)}) for seed in range(200)]
    assert abs(statistics.fmean(gain.removed for gain in gains if gain)) < 0.05


def test_tasks_weigh_the_same_and_one_that_only_one_trial_answered_is_left_out() -> None:
    one = shared({"a": [1.0, 3.0], "b": [0.0, 4.0], "c": [1.0, 2.0]}, {"a": [1.0, 1.0], "b": [0.0, 0.0]})
    assert one is not None
    assert one.paired == pytest.approx((1.0 + 4.0) ** 0.5 / 2)
    assert shared({"c": [1.0, 2.0]}, {"a": [1.0, 2.0]}) is None
    assert shared({"a": [1.0]}, {"a": [2.0]}) is None


def test_the_report_says_it_where_two_complete_trials_left_their_rows(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_run(run)
    assert common_numbers(read_run_folder(run)) is None
    assert "Common random numbers" not in build(run).read_text()
    first = rows(1, noise=10.0)
    complete = [trial.trial_id for trial in make_trials() if trial.status == "complete"]
    for number, trial_id in enumerate(complete[:2]):
        folder = run / "trials" / trial_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.json").write_text(json.dumps({"clarity": rows(number + 5, like=first)}))
    page = build(run)
    found = common_numbers(read_run_folder(run))
    assert found is not None
    assert found.pairs == 1
    assert f"{found.removed:.0%} of the variance is gone" in page.read_text()
    assert found.sentence in (run / "report" / "report.md").read_text()
