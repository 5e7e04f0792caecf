"""Two sweeps on one cluster: one after the other where they need the same thing, side by side where they do not."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import pytest
from test_sweep_job import command, finished_trials
from tests.cluster.small_space import write_space

from mixwright.config import ClusterConfig
from mixwright.search import cluster

pytestmark = pytest.mark.cluster


def test_the_endpoint_is_used_by_one_sweep_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "TURN_RETRY_S", 0.1)
    order: list[str] = []

    def second() -> None:
        with cluster.endpoint_turn():
            order.append("second")

    with cluster.connected(ClusterConfig(dashboard=False)):
        other = threading.Thread(target=second)
        with cluster.endpoint_turn():
            other.start()
            time.sleep(1.0)
            order.append("first")
        other.join(30)
    assert order == ["first", "second"]


@pytest.mark.slow
def test_two_sweeps_of_one_name_on_one_cluster_both_end_with_their_own_results(tiny_model: Path, tmp_path: Path) -> None:
    with cluster.connected(ClusterConfig(dashboard=False)):
        import ray

        address = ray.get_runtime_context().gcs_address
        processes = []
        for name in "ab":
            space = write_space(tmp_path / name, tiny_model)
            more = ["--set", f"cluster.address={address}", "--set", "cluster.lanes=1"]
            with (tmp_path / f"{name}.log").open("w") as log:
                call = command(space, tmp_path / name / "run", *more)
                processes.append(subprocess.Popen(call, stdout=log, stderr=log))
        codes = [process.wait(timeout=500) for process in processes]
    assert codes == [0, 0], (tmp_path / "a.log").read_text()[-2000:] + (tmp_path / "b.log").read_text()[-2000:]
    for name in "ab":
        assert sorted(finished_trials(tmp_path / name / "run")) == [f"trial_{number:04d}" for number in range(4)]
        assert json.loads((tmp_path / name / "run" / "result.json").read_text())["status"] == "complete"
