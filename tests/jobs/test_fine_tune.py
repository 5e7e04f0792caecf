"""jobs/fine_tune.py as a user starts it, with python and with torchrun: a lane's numbers without Ray; bad input in one line."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from jobs.fine_tune import at_point, fine_tune
from tests.cluster.small_space import write_space

from mixwright.config import load_config
from mixwright.data.prepare import prepare, tokenize
from mixwright.errors import ConfigError, RunError
from mixwright.models import load_tokenizer
from mixwright.scenarios import load_scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.testing import CollectingReporter
from mixwright.train.reporter import FolderReporter, StepReport
from mixwright.train.resident import Assignment, Resident, Setup

REPOSITORY = Path(__file__).parents[2]
JOB = str(REPOSITORY / "jobs" / "fine_tune.py")
POINT = ("--point", "mixture.generic_fraction=0.25", "--point", "lora.rank=8")
WITHOUT = (
    "import runpy, sys; sys.modules.update(dict.fromkeys({names!r})); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Runs a script in a process in which some packages cannot be imported."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # the tiny model is no work for two
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=REPOSITORY,
        env=one_thread,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def without(*names: str) -> tuple[str, str]:
    return "-c", WITHOUT.format(names=names)


def losses(run_dir: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run_dir / "trials" / "trial_0000" / "metrics.jsonl").read_text().splitlines()]


def trial(run_dir: Path) -> dict:
    (line,) = (run_dir / "trials.jsonl").read_text().splitlines()
    return json.loads(line)


class Both(FolderReporter):
    """Writes as a lane does, and collects."""

    def __init__(self, collecting: CollectingReporter, run_dir: Path) -> None:
        super().__init__(run_dir)
        self._collecting = collecting

    def step(self, report: StepReport) -> None:
        super().step(report)
        self._collecting.step(report)


@pytest.fixture(scope="module")
def space(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("space"), tiny_model)


@pytest.fixture(scope="module")
def alone(space: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One worker under plain python, on a machine that has neither Ray nor Optuna nor DeepSpeed."""
    run_dir = space.parent / "alone"
    return run_dir, run(*without("ray", "optuna", "deepspeed"), JOB, space, "--run-dir", run_dir, *POINT)


@pytest.fixture(scope="module")
def by_torchrun(space: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two workers, each with half of the rows of a step."""
    run_dir = space.parent / "two"
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    half = ("--set", "train.micro_batch_size=2", "--set", "cluster.workers=2")
    return run_dir, run(*start, JOB, space, "--run-dir", run_dir, *half, *POINT)


@pytest.fixture(scope="module")
def lane(space: Path, only_worker: str) -> tuple[CollectingReporter, list]:
    """The same point as a lane's worker runs it, with DeepSpeed, in this process."""
    config = load_config(space).with_values({"mixture.generic_fraction": 0.25, "lora.rank": 8})
    scenario = load_scenario(config.scenario)
    data = tokenize(prepare(config.data, scenario, seed=0), load_tokenizer(config.model), scenario, config.model, seed=0)
    setup = Setup(
        config=config,
        scenario=scenario,
        data=data,
        precision="fp32",
        run_dir=space.parent / "lane",
        make_evaluator=DevEvaluator,
        peak_flops=1e11,
    )
    reporter = CollectingReporter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    resident = Resident(setup, only_worker, Both(reporter, setup.run_dir))
    first = resident.run(Assignment(trial_id="trial_0000", config=config, rung=0))
    shutil.copytree(setup.run_dir, setup.run_dir.with_name("cut"))
    records = [first, resident.run(Assignment(trial_id="trial_0000", config=config, rung=1))]
    torch.set_num_threads(threads)
    return reporter, records


def test_a_machine_without_ray_and_deepspeed_gets_the_lane_s_numbers(alone, lane) -> None:
    run_dir, done = alone
    assert done.returncode == 0, done.stderr[-3000:]
    reporter, records = lane
    assert losses(run_dir) == pytest.approx([step.loss for step in reporter.steps], abs=1e-5)
    assert len(losses(run_dir)) == 12
    rungs = trial(run_dir)["rungs"]
    assert [rung["step"] for rung in rungs] == [record.step for record in records]
    for rung, record in zip(rungs, records, strict=True):
        assert rung["objectives"]["seen"] == pytest.approx(record.objectives.seen, abs=1e-6)
        assert rung["objectives"]["retention"] == pytest.approx(record.objectives.retention, abs=1e-4)


def test_torchrun_with_two_workers_takes_the_same_steps(by_torchrun, lane) -> None:
    run_dir, done = by_torchrun
    assert done.returncode == 0, done.stderr[-3000:]
    assert losses(run_dir) == pytest.approx([step.loss for step in lane[0].steps], abs=1e-5)
    assert trial(run_dir)["rungs"][-1]["objectives"]["seen"] == pytest.approx(lane[1][-1].objectives.seen, abs=1e-6)


def test_the_folder_holds_what_a_sweep_s_does_and_the_adapter_is_whole(alone) -> None:
    run_dir, _ = alone
    for name in ("config.yaml", "data.json", "trials.jsonl", "trials/base.json", "adapters/best/COMPLETE"):
        assert (run_dir / name).exists(), name
    tensors = safetensors.torch.load_file(run_dir / "adapters" / "best" / "adapter_model.safetensors")
    assert {tensor.shape[1] for name, tensor in tensors.items() if "lora_B" in name} == {8}
    assert (trial(run_dir)["status"], trial(run_dir)["adapter"]) == ("complete", "adapters/best")
    assert not (run_dir / "trials" / "trial_0000" / "checkpoint").exists()


def test_the_log_explains_the_choices_and_each_step_has_its_rates(alone) -> None:
    lines = alone[1].stderr.splitlines()
    (choice,) = [line for line in lines if line.startswith("fp32, as configured; matrix products reach ")]
    assert "torch.compile off (" in choice
    assert "activation checkpointing off (" in choice
    (step,) = [line for line in lines if " step 7/12  loss " in line]
    assert all(unit in step for unit in (" nats/token  ", " tokens/s  ", "MFU ", " GiB  ", " s of training left"))


def test_one_worker_speaks_for_both(by_torchrun) -> None:
    assert sum(" step 7/12 " in line for line in by_torchrun[1].stderr.splitlines()) == 1


def test_the_same_call_again_does_nothing_and_says_so(alone, space: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = trial(alone[0])
    fine_tune(at_point(load_config(space), POINT[1::2]), "cpu", alone[0], resume=False)
    assert caplog.messages[-1].endswith("holds this run, complete; nothing to do")
    assert trial(alone[0]) == before


def test_a_run_cut_off_after_a_rung_is_refused_and_goes_on_with_resume(lane, alone, space: Path) -> None:
    run_dir = space.parent / "cut"  # as it was when the first rung had been reached
    (run_dir / "config.yaml").write_text((alone[0] / "config.yaml").read_text())
    assert len(losses(run_dir)) == 6
    with pytest.raises(RunError, match="holds an unfinished run; add --resume"):
        fine_tune(load_config(run_dir / "config.yaml"), "cpu", run_dir, resume=False)
    resumed = run(JOB, space, "--run-dir", run_dir, *POINT, "--resume")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert " step 7/12 " in resumed.stderr
    assert " step 6/12 " not in resumed.stderr
    assert losses(run_dir) == pytest.approx([step.loss for step in lane[0].steps], abs=1e-5)
    assert len(trial(run_dir)["rungs"]) == 2


@pytest.mark.slow
def test_compiled_layers_take_the_same_steps(lane, space: Path) -> None:
    run_dir = space.parent / "compiled"
    done = run(JOB, space, "--run-dir", run_dir, "--set", "train.compile=on", *POINT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "torch.compile on (as configured)" in done.stderr
    assert losses(run_dir) == pytest.approx([step.loss for step in lane[0].steps], abs=1e-4)


def test_a_point_that_the_space_does_not_have_is_refused(space: Path) -> None:
    config = load_config(space)
    for text, message in (
        ("lora.rang=8", "--point lora.rang: this space does not search it; did you mean 'lora.rank'?; use --set"),
        ("train.seed=1", "--point train.seed: this space does not search it; it searches lora.rank, mixture.generic_fraction; use"),
        ("lora.rank", "--point 'lora.rank': must read key=value, for instance --point lora.rank=8"),
        ("lora.rank=0", "lora.rank: must be greater than or equal to 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            at_point(config, [text])


def test_what_is_wrong_is_said_in_one_line(space: Path, tmp_path: Path) -> None:
    done = run(JOB, space, "--run-dir", tmp_path / "run", "--set", "cluster.gpus_per_worker=1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: cluster.gpus_per_worker is 1 and no CUDA device is here; set it to 0")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
