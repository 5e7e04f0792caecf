"""What a search tells Prometheus, read where it is handed to Ray's exporter; and the file that its speed comes from.

tests/cluster/test_monitoring.py scrapes a real node.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.util.metrics import Metric

from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.metrics import SweepMetrics, last_step

Told = dict[tuple[str, str], list[float]]
"""(name, value of the tag beside the sweep's name) -> every value, in order."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What goes to Ray's exporter, at the place where it leaves Python."""
    values: Told = {}

    def record(metric: Metric, value: float, tags: dict[str, str] | None = None) -> None:
        final = metric._get_final_tags(tags)
        metric._validate_tags(final)
        assert final["sweep"] == "demo"
        values.setdefault((metric.info["name"], "".join(value for key, value in final.items() if key != "sweep")), []).append(value)

    monkeypatch.setattr(Metric, "_record", record)
    return values


def ended(number: int, status: str = "complete", *, seen: float = 50.0, switch_seconds: float | None = None) -> TrialRecord:
    rung = RungRecord(
        step=5,
        examples=1,
        tokens=1,
        train_loss=1.0,
        objectives=Objectives(seen=seen, unseen=seen / 2, retention=0.0),
        task_scores={},
        seconds=1.0,
    )
    key = f"trial_{number:04d}"
    return TrialRecord(trial_id=key, number=number, status=status, params={}, rungs=(rung,), switch_seconds=switch_seconds)  # type: ignore[arg-type]


def trial(number: int) -> Any:
    """As far as a callback looks at Tune's trial."""
    return SimpleNamespace(config={"trial_id": f"trial_{number:04d}"})


def states(told: Told) -> dict[str, float]:
    return {state: values[-1] for (name, state), values in told.items() if name == "mixwright_sweep_trials"}


def test_trials_are_counted_by_state_and_those_of_a_resumed_run_with_them(told: Told, tmp_path: Path) -> None:
    records = [ended(0), ended(1, "stopped"), ended(2, "failed")]
    metrics = SweepMetrics("demo", tmp_path, records, trials=6)
    assert states(told) == {"left": 3, "running": 0, "complete": 1, "stopped": 1, "failed": 1}
    for number in (3, 4):
        metrics.on_trial_start(0, [], trial(number))
    records.append(ended(3))
    metrics.on_trial_complete(0, [], trial(3))
    assert states(told) == {"left": 1, "running": 1, "complete": 2, "stopped": 1, "failed": 1}


def test_the_best_is_that_of_complete_trials_alone(told: Told, tmp_path: Path) -> None:
    records = [ended(0, seen=40.0), ended(1, "stopped", seen=90.0)]
    metrics = SweepMetrics("demo", tmp_path, records, trials=4)
    records.append(ended(2, seen=44.0))
    metrics.on_trial_complete(0, [], trial(2))
    assert told["mixwright_sweep_best_seen", ""] == [40.0, 44.0]
    assert told["mixwright_sweep_best_unseen", ""][-1] == 22.0


def test_nothing_is_said_of_a_best_before_there_is_one(told: Told, tmp_path: Path) -> None:
    SweepMetrics("demo", tmp_path, [], trials=4)
    assert ("mixwright_sweep_best_seen", "") not in told


def test_each_switch_is_told_once(told: Told, tmp_path: Path) -> None:
    records = [ended(0, switch_seconds=9.0)]
    metrics = SweepMetrics("demo", tmp_path, records, trials=4)
    for number, seconds in ((1, 0.5), (2, None), (3, 0.25)):
        records.append(ended(number, switch_seconds=seconds))
        metrics.on_trial_complete(0, [], trial(number))
    assert told["mixwright_sweep_switch_seconds", ""] == [0.5, 0.25]


def test_lost_workers_are_counted_as_a_lane_counts_them_and_a_lane_that_starts_anew_counts_from_zero(
    told: Told, tmp_path: Path
) -> None:
    metrics = SweepMetrics("demo", tmp_path, [], trials=4)
    for lane, losses in (("a", 0), ("b", 2), ("a", 1), ("b", 2), ("b", 3), ("b", 1)):
        metrics.on_trial_result(0, [], trial(0), {"lane": lane, "losses": losses})
    metrics.on_trial_recover(0, [], trial(0))
    assert told["mixwright_sweep_retries", "workers"] == [2, 1, 1, 1]
    assert told["mixwright_sweep_retries", "lane"] == [1.0]


def test_speed_is_that_of_the_running_trials_last_steps(told: Told, tmp_path: Path) -> None:
    metrics = SweepMetrics("demo", tmp_path, [], trials=4)
    for number, tokens, mfu in ((0, 100.0, 0.4), (1, 50.0, 0.2), (2, 7.0, None)):
        folder = tmp_path / "trials" / f"trial_{number:04d}"
        folder.mkdir(parents=True)
        lines = [{"tokens_per_second": 1.0, "mfu": 0.9}, {"tokens_per_second": tokens, "mfu": mfu}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        metrics.on_trial_start(0, [], trial(number))
    metrics.on_trial_start(0, [], trial(3))
    before = len(told["mixwright_sweep_trials", "left"])
    metrics.on_step_end(0, [])
    assert len(told["mixwright_sweep_trials", "left"]) == before + 1, "or Ray would drop it in a long trial"
    assert told["mixwright_sweep_tokens_per_second", ""] == [157.0]
    assert told["mixwright_sweep_mfu", ""] == [pytest.approx(0.3)]
    metrics.on_step_end(0, [])
    assert len(told["mixwright_sweep_mfu", ""]) == 1, "not at each of Tune's steps"
    metrics.on_experiment_end([])
    assert told["mixwright_sweep_tokens_per_second", ""][-1] == 0.0
    assert states(told)["running"] == 0


def test_half_a_line_is_no_step_and_a_long_file_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_step(path) is None
    path.write_text('{"step": 1')
    assert last_step(path) is None
    path.write_text("".join(json.dumps({"step": step, "pad": "x" * 200}) + "\n" for step in range(1000)) + '{"step": 1000')
    step = last_step(path)
    assert step is not None
    assert step["step"] == 999
