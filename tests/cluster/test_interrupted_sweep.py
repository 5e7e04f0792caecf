"""One real sweep that is interrupted twice: Ctrl-C in its search, kill -9 of the driver while it confirms; --resume after each."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_space import write_space
from test_sweep_job import REPOSITORY, command, finished_trials

from mixwright.config import SweepConfig, load_config
from mixwright.records import TrialRecord, to_json
from mixwright.search.searcher import TrialSearch
from mixwright.search.space import distributions
from mixwright.search.study import StudyFile
from mixwright.store.runs import read_trials
from mixwright.store.studies import StudyPlace

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NAMES = ("seen", "unseen", "retention")


@dataclass(frozen=True)
class Story:
    """What was seen of the sweep: after Ctrl-C, after the kill, and at its end."""

    folder: Path
    exit_code: int
    last_line: str
    after_interrupt: dict[str, int]
    after_kill: dict[str, int]
    end: subprocess.CompletedProcess[str]


def trained(run_dir: Path) -> dict[str, int]:
    """Trial that has ended -> when its training was last written to."""
    return {key: (run_dir / "trials" / key / "metrics.jsonl").stat().st_mtime_ns for key in finished_trials(run_dir)}


def start(call: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as stream:
        return subprocess.Popen(call, stdout=stream, stderr=stream, start_new_session=True, cwd=REPOSITORY)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 400
    while not condition():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def story(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("interrupted")
    search = {
        "trials": 4,
        "startup_trials": 2,
        "parameters": {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"choices": [2, 8]}},
        "scheduler": {"kind": "none", "rungs": [0.25, 0.5, 0.75, 1.0]},
        "confirm": {"candidates": 1, "seeds": 3},
    }
    space = write_space(folder, tiny_model, search=search, cluster={"dashboard": False, "lanes": 1})
    run_dir, log = folder / "run", folder / "log"

    process = start(command(space, run_dir), log)
    wait_for(lambda: len(finished_trials(run_dir)) == 2, process, log)
    process.send_signal(signal.SIGINT)
    exit_code = process.wait(timeout=200)
    last_line, after_interrupt = log.read_text().strip().splitlines()[-1], trained(run_dir)

    process = start(shlex.split(last_line.partition("go on with: ")[2]), log)
    wait_for(lambda: any(key.startswith("confirm_") for key in finished_trials(run_dir)), process, log)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    after_kill = trained(run_dir)

    end = subprocess.run(command(space, run_dir, "--resume"), capture_output=True, text=True, check=False, cwd=REPOSITORY)
    return Story(folder, exit_code, last_line, after_interrupt, after_kill, end)


def test_ctrl_c_ends_with_130_and_the_call_that_goes_on(story: Story) -> None:
    assert story.exit_code == 130
    assert story.last_line.startswith("stopped by Ctrl-C; what was finished is kept, go on with: ")
    assert story.last_line.endswith(" --resume")
    assert 2 <= len(story.after_interrupt) < 4


def test_no_trial_is_run_twice(story: Story) -> None:
    assert story.end.returncode == 0, story.end.stderr[-3000:]
    run_dir = story.folder / "run"
    ended = finished_trials(run_dir)
    confirming = [key for key in ended if key.startswith("confirm_")]
    assert sorted(set(ended) - set(confirming)) == [f"trial_{number:04d}" for number in range(4)]
    assert (len(ended), len(set(confirming))) == (7, 3)
    assert any(key.startswith("confirm_") for key in story.after_kill)
    assert len(story.after_kill) < 7
    now = trained(run_dir)
    assert {key: now[key] for key in story.after_interrupt} == story.after_interrupt
    assert {key: now[key] for key in story.after_kill} == story.after_kill


def test_every_training_step_stands_once(story: Story) -> None:
    for record in read_trials(story.folder / "run"):
        lines = (story.folder / "run" / "trials" / record.trial_id / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, record.rungs[-1].step + 1)), record.trial_id


def test_points_are_those_that_an_uninterrupted_search_draws(story: Story) -> None:
    """The search told of the same results draws the same points; the last two come from the sampler's model."""
    config = load_config(story.folder / "space.yaml")
    ended = [record for record in read_trials(story.folder / "run") if not record.confirms]
    assert [record.params for record in ended] == drawn_again(config, ended, story.folder / "again.db")


def drawn_again(config: SweepConfig, ended: list[TrialRecord], database: Path) -> list[dict[str, object]]:
    file = StudyFile(StudyPlace(url=f"sqlite:///{database}"), NAMES, distributions(config))
    search, drawn = TrialSearch(config, NAMES, file, evaluate_base=False), []
    for record in ended:
        given = search.suggest(record.trial_id)
        drawn.append({key: value for key, value in given.items() if "." in key})
        search.on_trial_complete(record.trial_id, {**to_json(record.rungs[-1].objectives), "training_iteration": 4})
    return drawn


def test_the_resumed_sweep_has_its_result(story: Story) -> None:
    result = json.loads((story.folder / "run" / "result.json").read_text())
    assert result["status"] == "complete"
    assert len(result["best"]["confirmed_by"]) == 3
