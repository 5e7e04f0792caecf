"""Where a lane's own processes live, on a cluster of two real nodes of which one stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from tests.cluster.small_space import write_space

from mixwright.config import ClusterConfig, SweepConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.errors import HardwareError
from mixwright.scenarios import load_scenario
from mixwright.search import sweep
from mixwright.search.cluster import connected
from mixwright.search.resources import check_resources
from mixwright.store.runs import open_run

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def nodes() -> Iterator[dict[str, str]]:
    """Names of the nodes -> Ray's ids. The head can hold nothing of a lane but what asks for no resource."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        durable = cluster.add_node(num_cpus=0, resources={"durable": 4})
        spot = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        with connected(ClusterConfig(address=cluster.address)):
            yield {"head": cluster.head_node.node_id, "durable": durable.node_id, "spot": spot.node_id}
        cluster.shutdown()


def places_while(run: Any) -> dict[str, set[str]]:
    """Kind of actor -> ids of the nodes that any of it was seen on while `run` ran."""
    from ray._private.state import actors

    seen: dict[str, set[str]] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            for actor in actors().values():
                name = actor["ActorClassName"].rsplit(".", 1)[-1]
                if actor["State"] == "ALIVE":
                    seen.setdefault(name, set()).add(actor["Address"]["NodeID"])

    watch = threading.Thread(target=look)
    watch.start()
    try:
        run()
    finally:
        over.set()
        watch.join()
    return seen


def test_a_lane_and_its_actors_live_on_a_node_that_stays_and_its_workers_elsewhere(
    nodes: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    search = {"trials": 1, "scheduler": {"rungs": [1.0]}, "parameters": {"lora.rank": {"choices": [2, 4]}}}
    cluster = {"dashboard": False, "lanes": 1, "gpus_per_worker": 0, "driver_resource": "durable"}
    config = load_config(write_space(tmp_path, tiny_model, search=search, cluster=cluster))
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=0)
    run = open_run(tmp_path / "run", config, resume=False)
    seen = places_while(lambda: sweep.search(config, scenario, data, run))
    assert seen["ResourceTrainable"] == {nodes["durable"]}, "Tune's name of a Lane with resources"
    assert seen["Channel"] == seen["TrainController"] == {nodes["durable"]}
    assert seen["Warden"] == {nodes["head"]}, "the sweep's own driver runs there"
    assert seen["RayTrainWorker"] == {nodes["spot"]}


def test_a_resource_that_no_node_has_is_refused_and_not_waited_for(nodes: dict[str, str]) -> None:
    config = SweepConfig(name="x", cluster=ClusterConfig(driver_resource="durabel", lanes=2, gpus_per_worker=0))
    with pytest.raises(HardwareError, match="no node of the cluster has a whole `durabel`"):
        check_resources(config)
