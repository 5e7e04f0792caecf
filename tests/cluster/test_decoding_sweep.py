"""A sweep that trains nothing: one adapter, asked in several ways, through the whole job."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_space import write_adapter, write_space

from mixwright.config import load_config
from mixwright.records import Prediction, RunRecord, TrialRecord, read_jsonl
from mixwright.store.runs import read_result, read_trials

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parent.parent.parent
STRATEGIES = ("greedy", "num_beams=3", "temperature=0.7,top_p=0.9", "repetition_penalty=1.5")


def write_decoding_space(folder: Path, model: Path, adapter: Path) -> Path:
    search: dict[str, Any] = {
        "trials": len(STRATEGIES),
        "parameters": {"evaluation.decoding": {"choices": list(STRATEGIES)}},
        "first": [{"evaluation.decoding": text} for text in STRATEGIES],
        "scheduler": {"rungs": [1.0]},
        "objective": {"max_unseen_loss": 100.0},
    }
    settings = {"name": str(model), "tuning": "none", "adapter": str(adapter)}
    return write_space(folder, model, model=settings, search=search, mixture={}, train={"precision": "fp32"})


def run(space: Path, run_dir: Path, *more: str) -> subprocess.CompletedProcess[str]:
    job = [sys.executable, str(REPOSITORY / "jobs" / "sweep.py"), str(space), "--run-dir", str(run_dir), *more]
    return subprocess.run(job, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("other_run") / "adapters" / "best", tiny_model)


@pytest.fixture(scope="module")
def finished(tiny_model: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """The space, its run folder, and what else the job was called with."""
    import socket

    folder = tmp_path_factory.mktemp("decoding")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = ["--set", f"serve.port={probe.getsockname()[1]}"]
    space = write_decoding_space(folder, tiny_model, adapter)
    process = run(space, folder / "run", *port)
    assert process.returncode == 0, process.stderr[-3000:]
    return space, folder / "run", port


def result_of(run_dir: Path) -> RunRecord:
    record = read_result(run_dir)
    assert record is not None
    return record


def test_every_strategy_is_a_trial_of_one_evaluation_that_took_no_step(
    finished: tuple[Path, Path, list[str]], adapter: Path
) -> None:
    _, run_dir, _ = finished
    trials = sorted(read_trials(run_dir), key=lambda trial: trial.number)
    assert sorted(trial.params["evaluation.decoding"] for trial in trials) == sorted(STRATEGIES)
    for trial in trials:
        (rung,) = trial.rungs
        assert (trial.status, trial.adapter, trial.counts) == ("complete", str(adapter), {})
        assert (rung.step, rung.tokens, rung.train_loss) == (0, 0, None)
        assert rung.seconds > 0
    assert len({trial.rungs[0].objectives.retention for trial in trials}) == 1
    assert list(run_dir.glob("trials/*/metrics.jsonl")) == []


def test_records_name_how_each_answer_was_decoded(finished: tuple[Path, Path, list[str]]) -> None:
    space, run_dir, _ = finished
    config, record = load_config(space), result_of(run_dir)
    by_trial = {trial.trial_id: trial for trial in read_trials(run_dir)}
    for trial in by_trial.values():
        assert trial.decoding == config.with_values(trial.params).evaluation.decoding.record(8)
    base, copy, best = record.systems
    assert base.decoding == record.base_dev["decoding"] == {"strategy": "greedy", "max_new_tokens": 8, "repetition_penalty": 1.0}
    assert copy.decoding == {}
    assert best.decoding == record.best["decoding"] == by_trial[best.trial_id].decoding
    for system in (base, copy, best):
        answers = read_jsonl(run_dir / "predictions" / f"test-{system.name}.jsonl", Prediction)
        assert all(answer.decoding == system.decoding for answer in answers)


def test_the_adapter_is_kept_as_it_is_and_its_score_is_that_of_the_adapter(
    finished: tuple[Path, Path, list[str]], adapter: Path
) -> None:
    _, run_dir, _ = finished
    weights = "adapter_model.safetensors"
    assert (run_dir / "adapters" / "best" / weights).read_bytes() == (adapter / weights).read_bytes()
    assert (adapter / "COMPLETE").exists()
    record = result_of(run_dir)
    assert record.cost["training_steps"] == 0
    assert record.systems[2].retention != 0
    assert record.best["objectives"]["retention"] != 0
    assert record.base_dev["objectives"]["retention"] == 0
    report = (run_dir / "report" / "index.html").read_text()
    assert "repetition_penalty=1.5" in report


@pytest.mark.slow
def test_a_trial_whose_record_was_lost_is_asked_again_and_answers_the_same(finished: tuple[Path, Path, list[str]]) -> None:
    space, run_dir, port = finished
    before = read_trials(run_dir)
    (run_dir / "result.json").unlink()
    lines = (run_dir / "trials.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "trials.jsonl").write_text("".join(lines[:-1]))
    process = run(space, run_dir, *port, "--resume")
    assert process.returncode == 0, process.stderr[-3000:]
    assert [without_time(trial) for trial in read_trials(run_dir)] == [without_time(trial) for trial in before]
    assert result_of(run_dir).status == "complete"


def without_time(trial: TrialRecord) -> TrialRecord:
    return dataclasses.replace(trial, rungs=tuple(dataclasses.replace(rung, seconds=0.0) for rung in trial.rungs))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "COMPLETE").unlink(), "is not complete; let the sweep that makes it end"),
        (lambda folder: folder.rename(folder.with_name("gone")), "is not there"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "has no adapter_config.json, so it is no LoRA adapter"),
    ],
    ids=["incomplete", "missing", "no adapter"],
)
def test_an_adapter_that_cannot_be_asked_is_told_before_anything_starts(tiny_model: Path, tmp_path: Path, spoil, words) -> None:
    spoil(write_adapter(tmp_path / "best", tiny_model))
    process = run(write_decoding_space(tmp_path, tiny_model, tmp_path / "best"), tmp_path / "run")
    errors = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert (process.returncode, len(errors)) == (2, 1)
    assert words in errors[0]
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_another_models_adapter_is_a_cause_and_no_score(tiny_model: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "best", tiny_model)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "r": 3}))
    process = run(write_decoding_space(tmp_path, tiny_model, folder), tmp_path / "run")
    assert process.returncode == 2
    assert "does not fit the base model" in process.stderr
    assert all(trial.status == "failed" and "does not fit" in trial.cause for trial in read_trials(tmp_path / "run"))
