"""The cluster files: valid by Ray's own schema and checks, and a cluster that Ray's own autoscaler grows as they say.

Nothing here asks a cloud: what an instance type has stands below, as its vendor states it.
"""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixwright.config import ClusterConfig

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "cluster-local.yaml")
INSTANCES = {"m6i.2xlarge": {"CPU": 8}, "g5.12xlarge": {"CPU": 48, "GPU": 4, "memory": 130 * 2**30}}
"""EC2's types as `cluster.yaml` uses them; on AWS Ray asks for this."""


def cluster_file(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return config


def prepared(name: str) -> dict[str, Any]:
    """As `ray up` has it before it asks a provider anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(cluster_file(name))
    validate_config(config)
    return config


def commands(config: dict[str, Any]) -> list[str]:
    return [command for key, value in config.items() if key.endswith("_commands") for command in value]


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_a_cluster_file(name: str) -> None:
    assert prepared(name)["head_node_type"] in prepared(name)["available_node_types"]


@pytest.mark.parametrize("change", [{"max_worker": 3}, {"head_node_type": "tail"}, {"available_node_types": {"head": {}}}])
def test_rays_own_check_would_find_a_broken_file(change: dict[str, Any]) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises((ValidationError, ValueError)):
        validate_config(prepare_config(cluster_file("cluster.yaml") | change))


def test_a_machine_that_one_has_is_a_worker_without_further_words() -> None:
    config = prepared("cluster-local.yaml")
    (node,) = config["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", FILES)
def test_a_cluster_file_mounts_what_its_set_up_reads(name: str) -> None:
    local = [source for source in cluster_file(name)["file_mounts"].values() if not source.startswith("~")]
    assert [source for source in local if not (ROOT / source).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {project["readme"], *project["license-files"]}
    assert {"Makefile", "constraints.txt", "pyproject.toml", "platform"} | named <= set(local)


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_one_that_bash_can_read(name: str) -> None:
    for command in commands(cluster_file(name)):
        result = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, ""), command


@pytest.mark.parametrize("name", FILES)
def test_every_option_of_ray_start_is_one_that_this_ray_has(name: str) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    starts = [command for command in commands(cluster_file(name)) if " ray start" in command or "/ray start" in command]
    assert len(starts) == 2
    for command in starts:
        words = shlex.split(command[command.index("ray start") :])
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", FILES)
def test_nodes_ask_for_a_token_and_get_the_one_of_whoever_starts_them(name: str) -> None:
    config = cluster_file(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in commands(config))


def test_nodes_that_stay_have_the_resource_that_drivers_take_and_spot_nodes_have_not() -> None:
    types = cluster_file("cluster.yaml")["available_node_types"]
    spot = {name for name, kind in types.items() if "InstanceMarketOptions" in kind["node_config"]}
    durable = {name for name, kind in types.items() if kind["resources"].get("durable")}
    assert spot == {"gpu_spot"}
    assert durable == {"head", "gpu_on_demand"}
    assert ClusterConfig(driver_resource="durable").driver_resource == "durable"
    for command in cluster_file("cluster-local.yaml")["worker_start_ray_commands"][1:]:
        given = next(word for word in shlex.split(command) if word.startswith("--resources="))
        assert json.loads(given.removeprefix("--resources=")) == {"durable": 16}


def grown(demands: list[dict[str, float]], existing: dict[str, int]) -> tuple[dict[str, int], list[dict[str, float]]]:
    """Nodes that Ray's autoscaler adds for these demands, by type, and the demands that it could never place."""
    from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer, get_nodes_for

    config = prepared("cluster.yaml")
    types = config["available_node_types"]
    for kind in types.values():
        kind["resources"] = INSTANCES[kind["node_config"]["InstanceType"]] | kind["resources"]
    score = functools.partial(_default_utilization_scorer, node_availability_summary=None)
    added, left = get_nodes_for(types, existing, "head", config["max_workers"], demands, score)
    return dict(added), left


def test_demand_for_gpus_starts_spot_nodes_first_and_goes_on_with_one_that_stays() -> None:
    assert grown([{"CPU": 1, "GPU": 1}] * 4, {"head": 1}) == ({"gpu_spot": 1}, [])
    assert grown([{"CPU": 1, "GPU": 1}] * 20, {"head": 1}) == ({"gpu_spot": 4, "gpu_on_demand": 1}, [])


def test_more_drivers_than_the_head_holds_start_a_node_that_stays() -> None:
    assert grown([{"memory": 1.0, "durable": 1}], {"head": 1})[0] == {"gpu_on_demand": 1}


def test_beyond_the_stated_most_nothing_is_started() -> None:
    added, left = grown([{"CPU": 1, "GPU": 1}] * 24, {"head": 1})
    assert sum(added.values()) == cluster_file("cluster.yaml")["max_workers"] == 5
    assert len(left) == 4
