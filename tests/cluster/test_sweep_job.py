"""jobs/sweep.py as a user starts it: the whole path, a kill -9 in the middle, and bad input in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serve.settings import resolve
from small_space import write_space

from mixwright.testing import make_tiny_model

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(space: Path, run_dir: Path, *more: str) -> list[str]:
    job = [sys.executable, str(REPOSITORY / "jobs" / "sweep.py"), str(space), "--run-dir", str(run_dir)]
    return [*job, "--set", f"serve.port={free_port()}", *more]


def run(space: Path, run_dir: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(space, run_dir, *more), capture_output=True, text=True, check=False, timeout=600)


def finished_trials(run_dir: Path) -> list[str]:
    try:
        return [json.loads(line)["trial_id"] for line in (run_dir / "trials.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def kill_after_the_first_trial(space: Path, run_dir: Path) -> None:
    """Starts the job in a session of its own, waits for one trial to end and kills the driver; its cluster dies with it."""
    with (run_dir.parent / "first.log").open("w") as log:
        process = subprocess.Popen(command(space, run_dir), stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 300
    while not finished_trials(run_dir) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def resumed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], subprocess.CompletedProcess[str]]:
    """A run that was killed and gone on with: its folder, the trials that had ended at the kill, and the second call."""
    folder = tmp_path_factory.mktemp("job")
    # Rungs enough that a kill finds trials in the middle.
    search = {
        "trials": 4,
        "parameters": {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"choices": [2, 8]}},
        "scheduler": {"rungs": [0.25, 0.5, 0.75, 1.0]},
    }
    space = write_space(folder, tiny_model, search=search)
    kill_after_the_first_trial(space, folder / "run")
    before = finished_trials(folder / "run")
    return folder / "run", before, run(space, folder / "run", "--resume")


def test_a_sweep_killed_in_the_middle_ends_with_all_its_trials(resumed) -> None:
    run_dir, before, process = resumed
    assert process.returncode == 0, process.stderr[-3000:]
    assert 1 <= len(before) < 4
    assert len(finished_trials(run_dir)) == 4
    assert len(set(finished_trials(run_dir))) == 4
    assert finished_trials(run_dir)[: len(before)] == before


def test_the_resumed_run_has_everything_that_a_run_folder_holds(resumed) -> None:
    run_dir = resumed[0]
    for name in ("config.yaml", "study.db", "trials.jsonl", "result.json", "ratios.csv", "metrics.csv", "report/index.html"):
        assert (run_dir / name).stat().st_size > 0, name
    assert (run_dir / "adapters" / "best" / "COMPLETE").exists()
    assert {path.name for path in (run_dir / "predictions").iterdir()} == {
        f"test-{name}.jsonl" for name in ("base", "copy", "best")
    }


def test_the_result_holds_scores_with_n_for_base_copy_and_best(resumed) -> None:
    result = json.loads((resumed[0] / "result.json").read_text())
    assert result["status"] == "complete"
    assert [system["name"] for system in result["systems"]] == ["base", "copy", "best"]
    for system in result["systems"]:
        assert [(score["task"], score["n"]) for score in system["scores"]] == [("clarity", 4), ("fluency", 4), ("paraphrasing", 4)]
    assert {"trial_id", "params", "objectives", "seen_difference"} <= set(result["best"])
    assert result["pareto"]


def test_the_job_ends_with_the_table_and_the_report(resumed) -> None:
    run_dir, _, process = resumed
    assert "copy" in process.stdout
    assert "paraphrasing" in process.stdout
    assert process.stdout.strip().endswith(f"report: {run_dir / 'report' / 'index.html'}")


def test_the_whole_run_again_does_nothing_and_says_so(resumed) -> None:
    run_dir, _, process = resumed
    port = next(part for part in process.args if "serve.port" in part)
    again = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "jobs" / "sweep.py"),
            str(run_dir.parent / "space.yaml"),
            "--run-dir",
            str(run_dir),
            "--set",
            port,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0
    assert "complete; nothing to do" in again.stderr


def test_another_configuration_on_the_same_folder_is_refused_in_one_line(resumed) -> None:
    run_dir = resumed[0]
    other = run(run_dir.parent / "space.yaml", run_dir, "--set", "mixture.size=40", "--resume")
    assert_one_line(other, "another configuration (mixture.size: 48 there, 40 here)")


def assert_one_line(process: subprocess.CompletedProcess[str], expected: str) -> None:
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    assert process.returncode == 2
    assert len(errors) == 1
    assert expected in errors[0]
    assert "Traceback" not in process.stderr
    assert lines[-1] == errors[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("mixture.generic_fraktion=0.5", "did you mean 'generic_fraction'"),
        ("mixture.generic_fraction=1.2", "must be less than or equal to 1, got 1.2"),
        ("mixture.size=4000", "set mixture.size to at most"),
        (
            "mixture.task_weights={clarety: 1.0}",
            "'clarety' is no trained task; trained are clarity, fluency; did you mean 'clarity'?",
        ),
        ("unseen=[fluenci]", "unknown task 'fluenci'"),
        ("model.name=./no-such-model", "no folder"),
        ("cluster.gpus_per_worker=1", "a trial needs 1 GPUs"),
        ("scenario=writting", "no shipped scenario 'writting'; shipped are"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_no_half_run(tiny_model: Path, tmp_path: Path, override: str, expected: str) -> None:
    process = run(write_space(tmp_path, tiny_model), tmp_path / "run", "--set", override)
    assert_one_line(process, expected)
    assert not (tmp_path / "run" / "trials.jsonl").exists()
    assert not (tmp_path / "run" / "study.db").exists()


def test_a_taken_port_is_told_before_anything_is_trained(tiny_model: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = run(write_space(tmp_path, tiny_model), tmp_path / "run", "--set", f"serve.port={port}")
    assert_one_line(process, f"127.0.0.1:{port} cannot be used")
    assert not (tmp_path / "run").exists()


def test_a_broken_row_is_named_with_file_and_line(tiny_model: Path, tmp_path: Path) -> None:
    space = write_space(tmp_path, tiny_model)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{not json\n")
    assert_one_line(run(space, tmp_path / "run"), "rows.jsonl:401")


def test_the_plan_launches_nothing(tiny_model: Path, tmp_path: Path) -> None:
    process = run(write_space(tmp_path, tiny_model), tmp_path / "run", "--plan")
    assert process.returncode == 0
    for part in ("4, up to 12 steps each", "tokens a trial", "memory a worker", "time"):
        assert part in process.stdout
    assert not (tmp_path / "run").exists()


def test_a_sweep_over_models_is_evaluated_on_model_and_template_of_its_best_trial(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    other = make_tiny_model(tmp_path / "other")
    config = LlamaConfig.from_pretrained(other)
    config.intermediate_size = 96  # nothing that is trained on one of the two fits the other
    LlamaForCausalLM(config).save_pretrained(other)
    search = {
        "trials": 2,
        "parameters": {
            "model.name": {"choices": [str(tiny_model), str(other)]},
            "model.template": {"choices": ["own", "alpaca"]},
            "model.tuning": {"choices": ["lora", "full"]},
            "lora.rank": {"choices": [2, 8], "when": {"model.tuning": "lora"}},
        },
        "first": [
            {"model.name": str(other), "model.template": "alpaca", "model.tuning": "lora", "lora.rank": 2},
            {"model.name": str(other), "model.template": "alpaca", "model.tuning": "full"},
        ],
        "scheduler": {"kind": "none", "rungs": [1.0]},
    }
    process = run(write_space(tmp_path, tiny_model, search=search, cluster={"lanes": 1}), tmp_path / "run")
    assert process.returncode == 0, process.stderr[-3000:]
    trials = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert [trial["status"] for trial in trials] == ["complete", "complete"]
    adapter, whole = (tmp_path / "run" / trial["adapter"] for trial in trials)
    assert (adapter / "adapter_config.json").exists()
    assert json.loads((whole / "config.json").read_text())["intermediate_size"] == 96
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "complete"
    assert result["best"]["params"]["model.name"] == str(other)
    endpoint = resolve({"run_dir": str(tmp_path / "run")})
    assert endpoint.model.reading == (str(other), "alpaca")
    assert endpoint.store().names() == ["best"]
