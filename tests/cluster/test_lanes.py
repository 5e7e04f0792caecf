"""Lanes on a real cluster: early stopping, a full memory, a killed lane, and what is left when all is over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import scripted_evaluator
from invariants import RAYS_OWN, assert_cluster_is_free, wait_for
from scripted_evaluator import TOO_LARGE, ScriptedEvaluator, evaluations
from small_space import write_space

from mixwright.config import SweepConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.records import TrialRecord
from mixwright.scenarios import load_scenario
from mixwright.search import sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run

pytestmark = pytest.mark.cluster
ray.cloudpickle.register_pickle_by_value(scripted_evaluator)  # the lanes cannot import from this folder
TWO_WORKERS = {"workers": 2, "lanes": 1, "max_failures": 1, "dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with connected(SweepConfig(name="x").cluster.model_copy(update={"dashboard": False})):
        if ray.cluster_resources()["CPU"] < 2:
            pytest.skip("needs two CPUs")
        yield


def run_search(folder: Path, model: Path, ranks: list[int], /, **changes: Any) -> list[TrialRecord]:
    """One trial a LoRA rank, in that order, on one lane of two workers."""
    search = {
        "trials": len(ranks),
        "parameters": {"lora.rank": {"choices": sorted(set(ranks))}},
        "first": [{"lora.rank": rank} for rank in ranks],
        "scheduler": {"rungs": [0.34, 1.0]},
    }
    config = load_config(write_space(folder, model, **{"search": search, "cluster": TWO_WORKERS, **changes}))
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    result = sweep.search(config, scenario, data, open_run(folder / "run", config, resume=False), ScriptedEvaluator)
    return list(result.trials)


def steps_of(folder: Path, trial: TrialRecord) -> list[int]:
    lines = (folder / "run" / "trials" / trial.trial_id / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def processes(title: str) -> list[psutil.Process]:
    """Living processes below this one with `title` in theirs."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # one that has ended has no title
            if title in "".join(process.cmdline()):
                found.append(process)
    return found


def assert_nothing_is_left() -> None:
    assert_cluster_is_free()
    assert not processes("RayTrainWorker")


@pytest.fixture(scope="module")
def followed(cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialRecord]]:
    """A trial that ends well, one that is stopped, one whose memory is full, and two more."""
    folder = tmp_path_factory.mktemp("lanes")
    trials = run_search(folder, tiny_model, [8, 2, TOO_LARGE, 16, 4], cluster={**TWO_WORKERS, "max_failures": 0})
    return folder, trials


def test_a_stopped_trial_takes_no_step_past_its_rung(followed: tuple[Path, list[TrialRecord]]) -> None:
    folder, trials = followed
    assert [trial.status for trial in trials] == ["complete", "stopped", "failed", "complete", "stopped"]
    assert steps_of(folder, trials[1]) == list(range(1, trials[1].rungs[0].step + 1))
    assert trials[1].rungs[0].step < trials[0].rungs[-1].step


def test_a_stopped_trial_frees_its_workers_for_the_next_at_once(followed: tuple[Path, list[TrialRecord]]) -> None:
    folder, trials = followed
    by_rank = {rank: [line for line in evaluations(folder / "run") if line["rank"] == rank] for rank in (8, 2, TOO_LARGE, 16, 4)}
    pids = {rank: {line["pid"] for line in lines} for rank, lines in by_rank.items()}
    assert pids[8] == pids[2] >= pids[TOO_LARGE]
    assert pids[16] == pids[4]
    assert all(trial.switch_seconds is not None for trial in trials[1:2] + trials[4:])


def test_a_full_memory_on_one_worker_is_the_trials_own_failure(followed: tuple[Path, list[TrialRecord]]) -> None:
    _, trials = followed
    assert trials[2].cause.startswith("out of memory after step 3 (CUDA out of memory. Tried to allocate 2.00 GiB); lower train.")
    assert trials[3].status == "complete"


def test_nothing_is_left_after_stopped_and_failed_trials(followed: tuple[Path, list[TrialRecord]]) -> None:
    assert_nothing_is_left()


def kill_the_lane_once_it_has_trained(run_dir: Path, killed: list[int]) -> None:
    """Kills the process of Tune's side of the lane, as a machine that dies would, once a checkpoint is there."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        if any(run_dir.glob("trials/*/checkpoint/*/state.json")):
            for process in processes("ray::ResourceTrainable"):
                process.kill()
                killed.append(process.pid)
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_lane_takes_its_workers_along_and_its_trial_goes_on(cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_the_lane_once_it_has_trained, args=(tmp_path / "run", killed))
    killer.start()
    search = {
        "trials": 2,
        "parameters": {"lora.rank": {"choices": [4, 8]}},
        "first": [{"lora.rank": 4}, {"lora.rank": 8}],
        "scheduler": {"kind": "none", "rungs": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]},
    }
    trials = run_search(tmp_path, tiny_model, [4, 8], search=search, mixture={"size": 100})
    killer.join()
    assert len(killed) == 1
    assert [trial.status for trial in trials] == ["complete", "complete"]
    for trial in trials:
        assert steps_of(tmp_path, trial) == list(range(1, trial.rungs[-1].step + 1))
    assert_nothing_is_left()


@pytest.mark.slow
def test_nothing_is_left_where_a_dashboard_watches(tiny_model: Path, tmp_path: Path) -> None:
    from ray.util.state import list_actors, list_placement_groups

    ray.shutdown()
    with connected(SweepConfig(name="x").cluster.model_copy(update={"dashboard": True})):
        trials = run_search(tmp_path, tiny_model, [8, 2], cluster={**TWO_WORKERS, "dashboard": True})
        here = ray.get_runtime_context().gcs_address
        assert [trial.status for trial in trials] == ["complete", "stopped"]
        assert_nothing_is_left()
        assert wait_for(lambda: {actor.class_name for actor in list_actors(address=here) if actor.state != "DEAD"} <= set(RAYS_OWN))
        assert wait_for(lambda: {group.state for group in list_placement_groups(address=here)} <= {"REMOVED"})
