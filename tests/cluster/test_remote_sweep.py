"""A sweep whose run is on a real S3 server: killed, gone on with from another node's empty disk, and asked from a third one's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import object_store as servers
from tests.cluster.small_space import write_space
from tests.cluster.test_sweep_job import REPOSITORY, free_port
from tests.object_store import ObjectStore, object_store

from mixwright.models import COMPLETE
from mixwright.store import remote

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(servers.program() is None, reason=servers.MISSING),
]
ADDRESS = f"s3://{servers.BUCKET}/team/small"
TRIALS = 4


@dataclass(frozen=True)
class Story:
    """What was seen of the sweep: after the kill on one node, and at its end on another."""

    folder: Path
    store: ObjectStore
    call: list[str]
    killed: list[str]
    """Trials that had ended."""
    refused: list[str]
    """Requests that the server turned down in the middle."""
    first_log: str
    end: subprocess.CompletedProcess[str]

    def on(self, node: str) -> dict[str, str]:
        return on(self.folder, node)


def on(folder: Path, node: str) -> dict[str, str]:
    """The environment of a process on a node with a disk of its own."""
    return {**os.environ, "MIXWRIGHT_CACHE": str(folder / node)}


def job(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "jobs" / name), *arguments]


def ended(store: ObjectStore) -> list[str]:
    """By what stands at the address."""
    try:
        text = (store.folder / servers.BUCKET / "team" / "small" / "trials.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line)["trial_id"] for line in text.splitlines()]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def story(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("remote")
    search = {
        "trials": TRIALS,
        "parameters": {"lora.rank": {"choices": [2, 4, 8, 16]}},
        "scheduler": {"kind": "none", "rungs": [0.25, 0.5, 0.75, 1.0]},
    }
    space = write_space(folder, tiny_model, search=search, cluster={"dashboard": False, "lanes": 1})
    log = folder / "first.log"
    call = job("sweep.py", str(space), "--run-dir", ADDRESS, "--set", f"serve.port={free_port()}")
    with object_store(folder / "s3") as store:
        with log.open("w") as stream:
            process = subprocess.Popen(call, stdout=stream, stderr=stream, start_new_session=True, cwd=folder, env=on(folder, "a"))
        wait_for(lambda: len(ended(store)) == 1, process, log)
        with store.failing() as refused:
            wait_for(lambda: len(refused) > 0, process, log)
            time.sleep(3)
        wait_for(lambda: len(ended(store)) == 2, process, log)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed = ended(store)
        end = subprocess.run(
            [*call, "--resume"], capture_output=True, text=True, check=False, cwd=folder, env=on(folder, "b"), timeout=400
        )
        yield Story(folder, store, call, killed, list(refused), log.read_text(), end)


@pytest.fixture
def elsewhere(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The run from a node with an empty disk."""
    monkeypatch.setenv("MIXWRIGHT_CACHE", str(tmp_path))
    remote._MIRRORS.clear()
    yield remote.run_folder(ADDRESS)
    remote._MIRRORS.clear()


def test_a_store_that_fails_for_seconds_costs_no_trial(story: Story) -> None:
    assert story.refused
    assert "trying again for" in story.first_log
    assert len(story.killed) == 2


def test_it_goes_on_from_another_node_and_no_trial_is_run_twice(story: Story, elsewhere: Path) -> None:
    assert story.end.returncode == 0, story.end.stderr[-4000:]
    found = ended(story.store)
    assert found[:2] == story.killed
    assert sorted(found) == [f"trial_{number:04d}" for number in range(TRIALS)]
    assert "going on: 2 trials have ended" in story.end.stderr
    assert not any(f"{key} step" in story.end.stderr for key in story.killed)
    result = json.loads((elsewhere / "result.json").read_text())
    assert result["status"] == "complete"
    assert f"report: {ADDRESS}/report/index.html" in story.end.stdout


def test_every_training_step_stands_once_and_no_checkpoint_is_left(story: Story, elsewhere: Path) -> None:
    there = remote.mirror(ADDRESS)
    for key in ended(story.store):
        remote.fetch(elsewhere / "trials" / key / "metrics.jsonl")
        lines = (elsewhere / "trials" / key / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, 13)), key
        assert there.filled(elsewhere / "trials" / key) == ["adapter", "metrics.jsonl", "mixture.json", "rows.json"]


def test_best_and_every_trials_adapter_are_served_from_another_node(story: Story, elsewhere: Path) -> None:
    from serve.settings import resolve

    endpoint = resolve({"run_dir": ADDRESS})
    assert endpoint.run_dir == ADDRESS
    store = endpoint.store()
    assert sorted(store.names()) == ["best", *(f"trial_{number:04d}" for number in range(TRIALS))]
    for name in store.names():
        found = store.locate(name)
        assert (found.folder / COMPLETE).exists()
        assert (found.folder / "adapter_model.safetensors").stat().st_size > 1000


def test_the_report_and_the_rows_are_made_again_on_other_nodes(story: Story) -> None:
    call = job("write_report.py", ADDRESS, "--out", str(story.folder / "out"))
    written = subprocess.run(call, capture_output=True, text=True, env=story.on("c"), check=False)
    assert written.returncode == 0, written.stderr[-3000:]
    assert "training loss is drawn for" not in (story.folder / "out" / "report.md").read_text()
    assert "No samples of" not in (story.folder / "out" / "report.md").read_text()
    rows = subprocess.run(
        job("batch_evaluate.py", "--rows-only", "--run-dir", ADDRESS, "--out", str(story.folder / "rows")),
        capture_output=True,
        text=True,
        env=story.on("d"),
        check=False,
        cwd=story.folder,
    )
    assert rows.returncode == 0, rows.stderr[-3000:]
    assert (story.folder / "rows" / "rows-test.jsonl").stat().st_size > 0


def test_a_finished_run_does_nothing_and_says_so(story: Story) -> None:
    again = subprocess.run(story.call, capture_output=True, text=True, check=False, cwd=story.folder, env=story.on("e"))
    assert again.returncode == 0, again.stderr[-2000:]
    assert f"{ADDRESS} holds this run, complete; nothing to do" in again.stderr
