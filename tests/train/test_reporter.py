"""What training says of a step: the keys that readers of metrics.jsonl rely on, the line in the log, and the rates."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mixwright.records import Objectives, RungRecord
from mixwright.testing import CollectingReporter
from mixwright.train import hardware, workers
from mixwright.train.flops import ModelFlops
from mixwright.train.reporter import FolderReporter, Meter, Reporter, StepReport, rung_line, step_line, trial_folder

KEYS = {
    "step", "examples", "tokens", "loss", "learning_rate", "grad_norm", "seconds",
    "tokens_per_second", "mfu", "memory_gib", "seconds_left",
}  # fmt: skip
RUNG = RungRecord(
    step=9,
    examples=72,
    tokens=700,
    train_loss=1.5,
    objectives=Objectives(seen=41.25, unseen=None, retention=-0.0123),
    task_scores={},
    seconds=3.0,
)


def report(**changes: object) -> StepReport:
    values = {
        "trial_id": "trial_0003",
        "total_steps": 125,
        "step": 12,
        "examples": 96,
        "tokens": 8379,
        "loss": 1.2344,
        "learning_rate": 2e-4,
        "grad_norm": 0.5,
        "seconds": 2.0,
        "tokens_per_second": 1412.4,
        "mfu": 0.432,
        "memory_gib": 1.93,
        "seconds_left": 240.4,
    }
    return StepReport(**{**values, **changes})  # type: ignore[arg-type]


def test_a_folder_gets_a_line_a_step_under_fixed_keys(tmp_path: Path) -> None:
    trial_folder(tmp_path, "trial_0003").mkdir(parents=True)
    reporter: Reporter = FolderReporter(tmp_path)
    reporter.step(report())
    reporter.step(report(step=13, mfu=None, grad_norm=None))
    lines = [json.loads(line) for line in (tmp_path / "trials" / "trial_0003" / "metrics.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [KEYS, KEYS]
    assert (lines[0]["loss"], lines[0]["mfu"], lines[1]["step"], lines[1]["mfu"]) == (1.2344, 0.432, 13, None)


def test_the_step_line_has_a_unit_for_every_number(tmp_path: Path) -> None:
    assert step_line(report()) == (
        "trial_0003 step 12/125  loss 1.234 nats/token  2.00 s  1,412 tokens/s  MFU 43 %  1.9 GiB  about 240 s of training left"
    )
    assert "MFU" not in step_line(report(mfu=None))


def test_a_rung_is_told_by_worker_0_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    FolderReporter(tmp_path).rung("trial_0003", RUNG)
    monkeypatch.setattr(workers, "rank", lambda: 1)
    FolderReporter(tmp_path).rung("trial_0003", RUNG)
    assert caplog.messages == [rung_line("trial_0003", RUNG)] == ["trial_0003 at step 9: seen 41.2  retention -0.012 nats"]


def test_the_collecting_reporter_keeps_what_it_is_told() -> None:
    reporter = CollectingReporter()
    listener: Reporter = reporter
    listener.step(report())
    listener.rung("trial_0003", RUNG)
    assert (reporter.steps, reporter.rungs) == ([report()], [("trial_0003", RUNG)])


FLOPS = ModelFlops(a_token=1000.0, a_learned_token=500.0, a_pair=2.0)


def test_rates_count_real_tokens_and_the_work_of_distinct_ones() -> None:
    rates = Meter(FLOPS, 10_000.0, "cpu").rates(lengths=[10, 30], computed=36, learned=8, seconds=4.0, steps_left=5)
    assert rates.tokens_per_second == 10.0
    assert rates.mfu == pytest.approx((36 * 1000 + 8 * 500 + (100 + 900) * 2) / 4.0 / 10_000.0)
    assert rates.seconds_left == 20.0
    assert rates.memory_gib == pytest.approx(hardware.used_gib("cpu"), rel=0.1)


ONE_ROW = {"lengths": [10], "computed": 10, "learned": 2}


def test_utilisation_is_shared_by_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Meter(FLOPS, 10_000.0, "cpu").rates(**ONE_ROW, seconds=4.0, steps_left=0).mfu
    monkeypatch.setattr(workers, "world_size", lambda: 4)
    assert Meter(FLOPS, 10_000.0, "cpu").rates(
        lengths=[10], computed=10, learned=2, seconds=4.0, steps_left=0
    ).mfu == pytest.approx(alone / 4)


def test_without_a_measured_peak_there_is_no_utilisation() -> None:
    assert Meter(FLOPS, None, "cpu").rates(**ONE_ROW, seconds=4.0, steps_left=0).mfu is None


def test_one_slow_step_does_not_move_the_time_left() -> None:
    meter = Meter(FLOPS, None, "cpu")
    left = [meter.rates(**ONE_ROW, seconds=seconds, steps_left=10).seconds_left for seconds in (30.0, 1.0, 1.0, 1.0)]
    assert left[-1] == 10.0
