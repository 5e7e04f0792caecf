"""What must hold after any fault: every trial accounted for, no result twice, and nothing left on the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import ray
from ray.util import placement_group_table

from mixwright.records import TrialRecord
from mixwright.store.runs import read_trials

RAYS_OWN = ("_AutoscalingCoordinatorActor",)
"""One for the whole cluster, started by Ray Train; it holds no resources."""


def living_actors() -> list[str]:
    """Classes of the cluster's actors that are not dead, as the control store has them; no dashboard is needed for it."""
    living = [actor["ActorClassName"] for actor in ray._private.state.actors().values() if actor["State"] != "DEAD"]
    return [name for name in living if not name.endswith(RAYS_OWN)]


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    return condition()


def assert_cluster_is_free(seconds: float = 20.0) -> None:
    """No actor, no placement group, and every processor of the living nodes free."""
    assert wait_for(lambda: not living_actors(), seconds), living_actors()
    assert wait_for(lambda: {group["state"] for group in placement_group_table().values()} <= {"REMOVED"}, seconds)
    assert wait_for(lambda: ray.available_resources().get("CPU") == ray.cluster_resources().get("CPU"), seconds)


def assert_every_trial_once(run_dir: Path, trials: int) -> list[TrialRecord]:
    """Records and study agree on as many trials as were asked for, all of them complete, no result stands twice, and nothing is
    left that only a trial under way has."""
    records = read_trials(run_dir)
    assert sorted(record.trial_id for record in records) == [f"trial_{number:04d}" for number in range(trials)]
    assert {record.status for record in records} == {"complete"}, [record.cause for record in records]
    for record in records:
        steps = [rung.step for rung in record.rungs]
        assert steps == sorted(set(steps)), record.trial_id
        assert (run_dir / record.adapter / "COMPLETE").exists(), record.trial_id
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{run_dir / 'study.db'}")
    ended = [trial.user_attrs["trial_id"] for trial in study.trials if trial.state.name == "COMPLETE"]
    assert sorted(ended) == sorted(record.trial_id for record in records)
    assert "RUNNING" not in {trial.state.name for trial in study.trials}
    assert not list(run_dir.glob("trials/*/checkpoint"))
    return records


def steps_of(run_dir: Path, trial_id: str) -> list[int]:
    """Steps in a trial's metrics.jsonl; none where it has none yet."""
    try:
        lines = (run_dir / "trials" / trial_id / "metrics.jsonl").read_text().split("\n")
    except OSError:
        return []
    return [json.loads(line)["step"] for line in lines[:-1]]


def assert_every_step_once(run_dir: Path, records: list[TrialRecord]) -> None:
    """In each trial's metrics.jsonl, up to its last rung."""
    for record in records:
        assert steps_of(run_dir, record.trial_id) == list(range(1, record.rungs[-1].step + 1)), record.trial_id
