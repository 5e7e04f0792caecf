"""What of the cluster a trial gets, and how many trials run side by side.

What comes in: a configuration, where `cluster` may say `auto`, and what each node of the cluster has. What goes out: the same
configuration with numbers in their place. The rules stand at the keys in `ClusterConfig`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence

import ray
from ray._private.state import state as cluster_state
from ray.util import placement_group_table

from mixwright.config import AUTO, ClusterConfig, SweepConfig
from mixwright.errors import HardwareError

logger = logging.getLogger(__name__)

Node = Mapping[str, float]
"""What a node has: CPU and, where it has some, GPU."""


def settled(config: SweepConfig, nodes: Sequence[Node]) -> SweepConfig:
    """The configuration with numbers for `auto`, as these nodes give them."""
    cluster = config.cluster
    gpus = cluster.gpus_per_worker if cluster.gpus_per_worker != AUTO else int(any(node.get("GPU", 0) >= 1 for node in nodes))
    elastic = cluster.elastic if cluster.elastic != AUTO else cluster.lanes == AUTO
    cluster = cluster.model_copy(update={"gpus_per_worker": gpus, "elastic": elastic})
    workers = cluster.workers if cluster.workers != AUTO else _workers(config.train.zero_stage, cluster, nodes)
    cluster = cluster.model_copy(update={"workers": workers})
    if cluster.lanes == AUTO:
        cluster = cluster.model_copy(update={"lanes": max(1, min(_fitting(cluster, nodes), config.search.trials))})
    return config.model_copy(update={"cluster": cluster})


def settled_here(config: SweepConfig) -> SweepConfig:
    """The configuration with numbers for `auto`, as the Ray cluster gives them, and a log line that says so."""
    chosen = [name for name in ("lanes", "workers", "gpus_per_worker") if getattr(config.cluster, name) == AUTO]
    if not chosen:
        return config
    config = settled(config, cluster_nodes()).with_values({})  # what a rule says of GPUs can be held against their number now
    cluster = config.cluster
    logger.info(
        "cluster: %d lanes of %d workers, each with %d CPUs and %d GPUs; %s followed from what is there",
        *(cluster.lanes, cluster.workers, cluster.cpus_per_worker, cluster.gpus_per_worker, ", ".join(chosen)),
    )
    return config


def _workers(zero_stage: int, cluster: ClusterConfig, nodes: Sequence[Node]) -> int:
    """One, so that trials run side by side; under ZeRO-3, which is for models that one device cannot hold, all of a node's."""
    return max(1, *(_room(cluster, node) for node in nodes)) if zero_stage == 3 and nodes else 1


def _room(cluster: ClusterConfig, node: Node) -> int:
    """Workers that fit on a node."""
    by_cpu = int(node.get("CPU", 0) // cluster.cpus_per_worker)
    return min(by_cpu, int(node.get("GPU", 0) // cluster.gpus_each)) if cluster.gpus_each else by_cpu


def _fitting(cluster: ClusterConfig, nodes: Sequence[Node]) -> int:
    """Lanes that fit into the cluster; one may stretch over nodes."""
    return sum(_room(cluster, node) for node in nodes) // cluster.worker_count


def cluster_nodes() -> list[Node]:
    """What the living nodes of the Ray cluster have, those left out that are about to go."""
    leaving = cluster_state.get_draining_nodes()
    return [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving]  # type: ignore[no-untyped-call]


def free_lanes(cluster: ClusterConfig) -> int:
    """Lanes that fit into what nobody has and nobody waits for."""
    leaving = cluster_state.get_draining_nodes()
    available = cluster_state.available_resources_per_node()  # type: ignore[no-untyped-call]
    free: dict[str, Node] = {node: has for node, has in available.items() if node not in leaving}
    room = _fitting(cluster, left_by(_waiting_bundles(free), list(free.values())))
    if cluster.driver_resource:
        room = min(room, sum(int(node.get(cluster.driver_resource, 0)) for node in free.values()))
    return room


def left_by(bundles: Sequence[Node], nodes: Sequence[Node]) -> Sequence[Node]:
    """What of the nodes is free once the bundles have been placed; one that fits nowhere takes nothing."""
    left = [dict(node) for node in nodes]
    for bundle in bundles:
        for node in left:
            if all(node.get(name, 0) >= amount for name, amount in bundle.items()):
                node.update({name: node[name] - amount for name, amount in bundle.items()})
                break
    return left


def _waiting_bundles(nodes: Collection[str]) -> list[Node]:
    """What placement groups, of all jobs of the cluster, have not got on any of its living nodes."""
    groups = [group for group in placement_group_table().values() if group["state"] in ("PENDING", "RESCHEDULING")]
    return [
        bundle for group in groups for index, bundle in group["bundles"].items() if group["bundles_to_node_id"][index] not in nodes
    ]


def this_machine() -> list[Node]:
    """What a local cluster would have."""
    import torch

    return [{"CPU": len(os.sched_getaffinity(0)), "GPU": torch.cuda.device_count()}]


def lane_count(config: SweepConfig) -> int:
    """Trials side by side, no more than there are."""
    assert isinstance(config.cluster.lanes, int)
    return min(config.cluster.lanes, config.search.trials)


def check_resources(config: SweepConfig) -> None:
    """Refuses a trial that the cluster could never place; where the configuration sets `cluster.lanes`, the cluster may still grow.

    Raises:
        HardwareError: too few CPUs or GPUs, or no node for the lanes' drivers.
    """
    nodes = cluster_nodes()
    name = config.cluster.driver_resource
    if name and not any(node.get(name, 0) >= 1 for node in nodes):
        raise HardwareError(
            f"cluster.driver_resource: no node of the cluster has a whole `{name}`; start those that stay with "
            f"`ray start --resources='{{\"{name}\": 16}}'`, or leave the key out"
        )
    if config.cluster.lanes != AUTO:
        return
    cluster = settled(config, nodes).cluster
    for kind, each in (("GPU", cluster.gpus_each), ("CPU", cluster.cpus_per_worker)):
        needed, there = each * cluster.worker_count, sum(node.get(kind, 0) for node in nodes)
        if needed > there:
            raise HardwareError(
                f"cluster: a trial needs {needed} {kind}s ({cluster.worker_count} workers of {each}) and the cluster has "
                f"{there:g}; lower cluster.workers or cluster.{kind.lower()}s_per_worker, or set cluster.lanes if the cluster grows"
            )
