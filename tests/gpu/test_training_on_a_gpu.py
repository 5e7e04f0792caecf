"""The loop on a CUDA device: it learns in bf16, its losses are those of the CPU, and the peak is a GPU's.

Nothing here runs where there is no such device; DeepSpeed is used where it is installed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.distributed_trials import SCENARIO, FirstLogit, config, data

from mixwright.testing import CollectingReporter
from mixwright.train import hardware
from mixwright.train.choices import choose
from mixwright.train.resident import Assignment, Evaluation, Resident, Setup
from mixwright.train.zero import Precision

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


class FirstLogitThere(FirstLogit):
    """On the CPU, where its fixed ids are."""

    def __call__(self, model: object, settings: object) -> Evaluation:
        device = next(model.parameters()).device  # type: ignore[attr-defined]
        found = super().__call__(model.to("cpu"), settings)  # type: ignore[attr-defined,arg-type]
        model.to(device)  # type: ignore[attr-defined]
        return found


def steps(model: Path, run_dir: Path, device: str, precision: Precision) -> CollectingReporter:
    settings = config(model, precision=precision)
    setup = Setup(
        config=settings,
        scenario=SCENARIO,
        data=data(),
        precision=precision,
        run_dir=run_dir,
        make_evaluator=lambda setup, base: FirstLogitThere(),
        peak_flops=hardware.peak_flops(precision, device),
    )
    reporter = CollectingReporter()
    resident = Resident(setup, device, reporter)
    for rung in (0, 1):
        resident.run(Assignment(trial_id="trial_0000", config=settings, rung=rung))
    return reporter


def test_a_worker_gets_the_gpu_of_its_number(only_worker: str) -> None:
    assert only_worker == "cuda:0"


def test_bf16_lora_learns_and_reports_the_gpu_s_memory(only_worker: str, tiny_model: Path, tmp_path: Path) -> None:
    reporter = steps(tiny_model, tmp_path, only_worker, "bf16")
    assert reporter.steps[-1].loss < reporter.steps[0].loss - 0.1
    assert all(step.mfu is not None and 0 < step.mfu < 1 for step in reporter.steps)
    assert 0 < reporter.steps[-1].memory_gib < 4


def test_losses_are_those_of_a_cpu(only_worker: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "deepspeed", None)  # it knows one kind of device a process
    on_gpu = steps(tiny_model, tmp_path / "gpu", only_worker, "fp32")
    on_cpu = steps(tiny_model, tmp_path / "cpu", "cpu", "fp32")
    assert [step.loss for step in on_gpu.steps] == pytest.approx([step.loss for step in on_cpu.steps], abs=1e-3)


def test_the_peak_of_a_gpu_is_above_a_processor_s_and_bf16_s_above_fp32_s(only_worker: str) -> None:
    assert hardware.peak_flops("bf16", only_worker) > hardware.peak_flops("fp32", only_worker) > 1e12
    assert 0 < hardware.free_gib(only_worker) <= torch.cuda.get_device_properties(only_worker).total_memory / 2**30


def test_auto_takes_bf16_where_it_is_faster(only_worker: str, tiny_model: Path) -> None:
    settings = config(tiny_model).with_values({"train.precision": "auto"})
    assert choose(settings, only_worker, tokens=1e4, share=1.0).precision.precision == "bf16"
