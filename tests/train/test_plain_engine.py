"""One worker without DeepSpeed takes the steps that it would take with it, and only one worker may."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from distributed_trials import SCENARIO, FirstLogit, Step, config, data

from mixwright.config import TrainConfig
from mixwright.errors import HardwareError
from mixwright.records import RungRecord
from mixwright.testing import CollectingReporter
from mixwright.train import zero
from mixwright.train.resident import Assignment, Resident, Setup

SCRIPT = [Step("trial_0000", {"lora.rank": 4}, 0), Step("trial_0000", {"lora.rank": 4}, 1)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The tiny model is no work for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def without_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)


def train(model: Path, run_dir: Path, reporter: CollectingReporter, *, leave: bool = False, **settings: object) -> list[RungRecord]:
    """Both rungs of a trial in this process; with `leave`, the second from the checkpoint of the first."""
    whole = config(model, gradient_accumulation=2, **settings)
    precision = "bf16" if whole.train.precision == "bf16" else "fp32"
    setup = Setup(
        config=whole,
        scenario=SCENARIO,
        data=data(),
        precision=precision,
        run_dir=run_dir,
        make_evaluator=lambda setup, base: FirstLogit(),
        peak_flops=1e12,
    )
    resident = Resident(setup, "cpu", reporter)
    records = []
    for step in SCRIPT:
        records.append(resident.run(Assignment(trial_id=step.trial_id, config=whole.with_values(step.values), rung=step.rung)))
        if leave:
            resident._leave_trial()
    return records


@pytest.mark.usefixtures("only_worker")
def test_the_steps_in_bf16_are_those_of_deepspeed(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in fp32 are held against it by the tests of jobs/fine_tune.py."""
    ours, stock = CollectingReporter(), CollectingReporter()
    train(tiny_model, tmp_path / "stock", stock, precision="bf16")
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    train(tiny_model, tmp_path / "plain", ours, precision="bf16")
    assert len(ours.steps) > 5
    assert [step.loss for step in ours.steps] == pytest.approx([step.loss for step in stock.steps], abs=5e-3)
    assert [step.grad_norm for step in ours.steps] == pytest.approx([step.grad_norm for step in stock.steps], rel=0.05)
    assert [step.learning_rate for step in ours.steps] == pytest.approx([step.learning_rate for step in stock.steps])


@pytest.mark.usefixtures("without_deepspeed")
def test_a_trial_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tiny_model: Path, tmp_path: Path) -> None:
    whole, halves = CollectingReporter(), CollectingReporter()
    records = train(tiny_model, tmp_path / "whole", whole)
    assert [again.objectives for again in train(tiny_model, tmp_path / "halves", halves, leave=True)] == [
        record.objectives for record in records
    ]
    assert [step.loss for step in halves.steps] == [step.loss for step in whole.steps]


@pytest.mark.usefixtures("without_deepspeed")
def test_the_loop_reports_every_step_with_its_rates(tiny_model: Path, tmp_path: Path) -> None:
    reporter = CollectingReporter()
    records = train(tiny_model, tmp_path, reporter)
    assert [step.step for step in reporter.steps] == list(range(1, records[-1].step + 1))
    tokens = [0, *(step.tokens for step in reporter.steps)]
    for before, step in zip(tokens, reporter.steps, strict=False):
        assert step.tokens_per_second == pytest.approx((step.tokens - before) / step.seconds)
        assert step.mfu is not None
        assert 0 < step.mfu < 1
        assert step.grad_norm is not None
        assert step.grad_norm > 0
    assert reporter.steps[-1].seconds_left == 0
    assert reporter.rungs == []


@pytest.mark.usefixtures("without_deepspeed")
@pytest.mark.parametrize(("stage", "workers"), [(2, 1), (0, 2)])
def test_more_than_one_worker_or_a_sharded_optimiser_need_deepspeed(stage: int, workers: int) -> None:
    with pytest.raises(HardwareError, match=rf"zero_stage {stage} on {workers} workers.* needs DeepSpeed, which is not installed"):
        zero.initialize(torch.nn.Linear(1, 1), None, None, TrainConfig(zero_stage=stage), "fp32", workers)
