"""Ray: the cluster that is named, or a local one, started for this; whether its nodes are alike and see the run folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixwright.config import ClusterConfig
from mixwright.doctor.machine import existing
from mixwright.doctor.results import Check
from mixwright.errors import HardwareError
from mixwright.store.remote import address_of

PACKAGES = ("ray", "torch", "deepspeed", "transformers", "peft")
"""What every node must have in the same version: workers of one lane may be on any of them."""
CONNECT_TIMEOUT_S = 5.0
NODE_TIMEOUT_S = 120.0


def ray_cluster(config: ClusterConfig, run_dir: Path) -> Iterator[Check]:
    """Connects as a sweep would."""
    import ray

    from mixwright.search.cluster import connected

    address = config.address or os.environ.get("RAY_ADDRESS", "")
    if problem := unreachable(address):
        advice = "start it (ray up cluster.yaml), correct cluster.address or RAY_ADDRESS, or leave both out for a local one"
        yield Check(name="ray", status="fail", found=problem, advice=advice)
        return
    try:
        with connected(config):
            nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
            has = ray.cluster_resources()  # type: ignore[no-untyped-call]
            where = f"at {address}" if address else "a local one starts"
            found = f"{ray.__version__}, {where}: {len(nodes)} nodes, {has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs"
            yield Check(name="ray", status="ok", found=found)
            if address:
                yield from _nodes(nodes, run_dir)
    except (HardwareError, ray.exceptions.RayError) as error:
        advice = (
            "it may be the token (RAY_AUTH_MODE=token, and the cluster's in ~/.ray/auth_token) or another version of Ray"
            if address
            else "see its logs under /tmp/ray/session_latest/logs"
        )
        yield Check(name="ray", status="fail", found=_first_line(error), advice=advice)


def unreachable(address: str) -> str:
    """Why nobody can be there; empty where somebody listens, or where the address is no host and port."""
    if not (match := re.fullmatch(r"(?:ray://)?([\w.-]+):(\d+)", address)):
        return ""
    try:
        with socket.create_connection((match[1], int(match[2])), timeout=CONNECT_TIMEOUT_S):
            return ""
    except OSError as error:
        return f"nothing answers at {address} ({error.strerror or error})"


def _nodes(nodes: list[Mapping[str, Any]], run_dir: Path) -> Iterator[Check]:
    """Asks every node for its versions, and whether it sees a file that this one writes where the run would be."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0)(report_of_node)
    with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=existing(run_dir)) as marker:
        asked = [
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)).remote(marker.name)
            for node in nodes
        ]
        reports = ray.get(asked, timeout=NODE_TIMEOUT_S)
    yield alike({node["NodeManagerAddress"]: report["versions"] for node, report in zip(nodes, reports, strict=True)})
    blind = [node["NodeManagerAddress"] for node, report in zip(nodes, reports, strict=True) if not report["sees"]]
    if not address_of(run_dir):  # else each node has a working folder of its own
        yield shared(run_dir, blind, len(nodes))


def report_of_node(marker: str) -> dict[str, Any]:
    """Runs on a node."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name).partition("+")[0]  # builds for processors and GPUs go together
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {"versions": versions, "sees": Path(marker).exists()}


def alike(versions: Mapping[str, Mapping[str, str]]) -> Check:
    """Whether all nodes have the same versions.

    Args:
        versions: node -> package -> version.
    """
    differing = []
    for name in ("python", *PACKAGES):
        by_version: dict[str, list[str]] = {}
        for node, found in versions.items():
            by_version.setdefault(found[name], []).append(node)
        if len(by_version) > 1 or "missing" in by_version:
            differing.append(f"{name} " + ", ".join(f"{version} on {' '.join(hosts)}" for version, hosts in by_version.items()))
    if differing:
        advice = "run `make setup` with the same constraints.txt on every node"
        return Check(name="nodes", status="fail", found="; ".join(differing), advice=advice)
    return Check(name="nodes", status="ok", found=f"{len(versions)} with the same versions")


def shared(run_dir: Path, blind: list[str], nodes: int) -> Check:
    """Whether all nodes see the run folder."""
    if blind:
        advice = "give a --run-dir on storage that every node mounts at the same place"
        return Check(name="shared store", status="fail", found=f"{' '.join(blind)} cannot see {run_dir}", advice=advice)
    return Check(name="shared store", status="ok", found=f"{nodes} of {nodes} nodes see {existing(run_dir)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
