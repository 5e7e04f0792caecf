"""Nodes that go and come, a killed driver and a store that is away, on a cluster of several real Ray nodes.

After each, what invariants.py says must hold.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import scripted_evaluator
from invariants import assert_cluster_is_free, assert_every_step_once, assert_every_trial_once, steps_of, wait_for
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from scripted_evaluator import HeldEvaluator, ScriptedEvaluator
from small_space import write_space
from test_sweep_job import command, finished_trials

from mixwright.config import ClusterConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.scenarios import load_scenario
from mixwright.search import elastic, sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ray.cloudpickle.register_pickle_by_value(scripted_evaluator)  # the lanes cannot import from this folder

LONG = {"size": 120, "epochs": 8}
"""One row a step: training takes some seconds, and a fault strikes in the middle."""
TRAIN = {"micro_batch_size": 1, "learning_rate": 0.005, "precision": "fp32"}
QUICKLY_MISSED = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}
"""A node that has gone is known to be after 3 s; Ray would take half a minute."""


@dataclass
class Nodes:
    """A cluster whose head holds what a lane cannot lose, and nothing else."""

    cluster: Cluster
    workers: list[Any]

    def join(self, **options: Any) -> Any:
        """A node with a processor, which is room for a lane."""
        node = self.cluster.add_node(**{"num_cpus": 1, **options})
        self.workers.append(node)
        return node

    def lose(self, node_id: str) -> None:
        """Kills all of a node at once, as a machine that loses its power does."""
        node = next(node for node in self.workers if node.node_id == node_id)
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            with suppress(psutil.Error):
                process.kill()
        self.leave(node)

    def leave(self, node: Any) -> None:
        self.workers.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.5")
        patch.setattr(elastic, "EVERY_S", 1.0)
        patch.setattr(elastic, "SETTLED_S", 3.0)
        arguments = {"num_cpus": 0, "resources": {"durable": 8}, "_system_config": QUICKLY_MISSED}
        cluster = Cluster(initialize_head=True, head_node_args=arguments)
        with connected(ClusterConfig(address=cluster.address)):
            yield cluster
        cluster.shutdown()


@pytest.fixture
def nodes(head: Cluster) -> Iterator[Nodes]:
    found = Nodes(head, [])
    yield found
    for node in list(found.workers):
        found.leave(node)
    assert wait_for(lambda: sum(node["Alive"] for node in ray.nodes()) == 1, 60)


def write_sweep(folder: Path, model: Path, trials: int, rungs: list[float], **cluster: Any) -> Path:
    search = {
        "trials": trials,
        "parameters": {"lora.rank": {"choices": [2, 4, 8]}},
        "scheduler": {"kind": "none", "rungs": rungs},
    }
    settings = {"dashboard": False, "gpus_per_worker": 0, "driver_resource": "durable", **cluster}
    return write_space(folder, model, search=search, mixture=LONG, train=TRAIN, cluster=settings)


@contextmanager
def searching(space: Path, evaluator: Any = ScriptedEvaluator) -> Iterator[None]:
    """The sweep's search runs beside the block, which waits for it at its end; this process is its driver."""
    config = load_config(space)
    scenario = load_scenario(config.scenario)
    run = open_run(space.parent / "run", config, resume=False)
    failures: list[BaseException] = []

    def search() -> None:
        try:
            sweep.search(config, scenario, prepare(config.data, scenario, seed=0), run, evaluator)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=search)  # and not the block: Ray starts nodes in a main thread alone
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def until(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    assert wait_for(condition, seconds)


def worker_nodes() -> list[str]:
    """Ids of the nodes where living training workers are."""
    from ray._private.state import actors

    living = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    return [actor["Address"]["NodeID"] for actor in living if actor["ActorClassName"].endswith("RayTrainWorker")]


def test_a_node_lost_in_training_costs_the_steps_since_the_last_checkpoint(nodes: Nodes, tiny_model: Path, tmp_path: Path) -> None:
    nodes.join()
    nodes.join()
    run_dir = tmp_path / "run"

    with searching(write_sweep(tmp_path, tiny_model, 3, [0.1, 1.0], lanes=2)):
        until(lambda: len(steps_of(run_dir, "trial_0000")) > 100)
        nodes.lose(worker_nodes()[0])
    assert_every_step_once(run_dir, assert_every_trial_once(run_dir, 3))
    assert_cluster_is_free()


def test_a_node_lost_in_an_evaluation_with_all_of_its_lane_costs_no_trial(nodes: Nodes, tiny_model: Path, tmp_path: Path) -> None:
    """The nodes that go are those where lanes' drivers are, too."""
    nodes.join(resources={"mobile": 1})
    nodes.join(resources={"mobile": 1})
    run_dir = tmp_path / "run"

    space = write_sweep(tmp_path, tiny_model, 3, [0.5, 1.0], lanes=2, driver_resource="mobile")
    with searching(space, HeldEvaluator), held(run_dir):
        before = len(evaluated_on(run_dir))
        until(lambda: len(evaluated_on(run_dir)) > before)
        nodes.lose(evaluated_on(run_dir)[-1])
    assert_every_step_once(run_dir, assert_every_trial_once(run_dir, 3))
    assert_cluster_is_free()


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Evaluations that begin in the block do not end before it does; the first trial has begun by then."""
    until(lambda: bool(steps_of(run_dir, "trial_0000")))
    (run_dir / "hold").touch()
    try:
        yield
    finally:
        (run_dir / "hold").unlink()


def evaluated_on(run_dir: Path) -> list[str]:
    """Nodes where the base model or a trial was evaluated, in the order of time."""
    try:
        lines = (run_dir / "evaluations.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line)["node"] for line in lines]


def test_a_killed_driver_leaves_nothing_on_the_cluster_and_the_next_job_goes_on(
    nodes: Nodes, tiny_model: Path, tmp_path: Path
) -> None:
    nodes.join(num_cpus=2)
    space, run_dir = write_sweep(tmp_path, tiny_model, 4, [0.1, 0.5, 1.0], lanes=2), tmp_path / "run"
    address = ["--set", f"cluster.address={nodes.cluster.address}"]
    with (tmp_path / "log").open("w") as log:
        driver = subprocess.Popen(command(space, run_dir, *address), stdout=log, stderr=log)
    until(lambda: len(finished_trials(run_dir)) > 0 or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = finished_trials(run_dir)
    assert 0 < len(before) < 4, (tmp_path / "log").read_text()[-2000:]
    assert_cluster_is_free(60)
    end = subprocess.run(command(space, run_dir, *address, "--resume"), capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr[-3000:]
    records = assert_every_trial_once(run_dir, 4)
    assert [record.trial_id for record in records][: len(before)] == before
    assert_every_step_once(run_dir, records)
    assert_cluster_is_free(60)


def test_a_node_that_joins_late_gets_a_lane_and_one_that_joins_for_a_lost_one_takes_its_lane_up(
    nodes: Nodes, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = nodes.join()
    run_dir = tmp_path / "run"

    caplog.set_level("INFO", "mixwright")
    with searching(write_sweep(tmp_path, tiny_model, 4, [0.5, 1.0]), HeldEvaluator), held(run_dir):
        second = nodes.join()
        until(lambda: set(evaluated_on(run_dir)) == {first.node_id, second.node_id})
        nodes.lose(second.node_id)
        until(lambda: "cluster: 2 nodes, 1 fewer" in caplog.text)
        third = nodes.join()
        until(lambda: third.node_id in evaluated_on(run_dir))
    assert "cluster: 1 lanes of 1 workers" in caplog.text
    assert caplog.text.count("up to 2 trials side by side now") == 1
    assert "side by side now" not in caplog.text.replace("up to 2 trials side by side now", "")
    assert_every_step_once(run_dir, assert_every_trial_once(run_dir, 4))
    assert_cluster_is_free()


def test_a_spot_notice_has_the_trial_saved_and_gone_on_with_elsewhere_without_a_step_lost(
    nodes: Nodes, tiny_model: Path, tmp_path: Path
) -> None:
    ids = {nodes.join().node_id, nodes.join().node_id}
    run_dir = tmp_path / "run"
    with searching(write_sweep(tmp_path, tiny_model, 1, [1.0], lanes=1, max_failures=0)):
        until(lambda: len(steps_of(run_dir, "trial_0000")) > 100)
        (leaving,) = worker_nodes()
        drain(nodes.cluster.address, leaving, seconds=60)
        until(lambda: any(run_dir.glob("trials/trial_0000/checkpoint/notice-step-*/state.json")))
        until(lambda: set(worker_nodes()) == ids - {leaving})
        saved = next(run_dir.glob("trials/trial_0000/checkpoint/notice-step-*"))
        assert len(steps_of(run_dir, "trial_0000")) >= int(saved.name.rsplit("-", 1)[1]) > 100
        nodes.lose(leaving)
    assert_every_step_once(run_dir, assert_every_trial_once(run_dir, 1))
    assert_cluster_is_free()


def drain(address: str, node_id: str, seconds: int) -> None:
    """What an autoscaler tells Ray when a cloud says that it takes a machine back."""
    deadline_ms = int(1000 * (time.time() + seconds))
    preemption = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = ray._raylet.GcsClient(address=address).drain_node(node_id, preemption, "spot", deadline_ms)
    assert accepted, why


def test_a_store_that_is_away_for_a_while_costs_no_trial(nodes: Nodes, tiny_model: Path, tmp_path: Path) -> None:
    nodes.join(num_cpus=2)
    run_dir = tmp_path / "run"

    with searching(write_sweep(tmp_path, tiny_model, 4, [0.25, 0.5, 0.75, 1.0], lanes=2)):
        until(lambda: len(steps_of(run_dir, "trial_0000")) > 100)
        away(run_dir, 12)
        until(lambda: len(finished_trials(run_dir)) > 0)
        away(run_dir, 6)
    for record in assert_every_trial_once(run_dir, 4):
        steps = steps_of(run_dir, record.trial_id)
        assert steps == sorted(set(steps)), "a line that could not be written is not there, and none stands twice"
    assert_cluster_is_free()


def away(folder: Path, seconds: float) -> None:
    """Every path below `folder` is an OSError for a while, for root too: a file is in its place."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.touch()
    time.sleep(seconds)
    folder.unlink()
    elsewhere.rename(folder)
