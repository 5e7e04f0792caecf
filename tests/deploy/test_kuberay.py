"""The manifests for KubeRay: fields that its API has, and a cluster that hangs together. No Kubernetes reads them here."""

from __future__ import annotations

import copy
import json
import os
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.deploy.kuberay_schema import schema_of

from mixwright.config import load_config
from mixwright.doctor.packages import pinned_versions

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kuberay"
CLUSTERS = ("rayjob", "rayservice")
MANIFESTS = (*CLUSTERS, "store")


def manifest(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def cluster_of(name: str) -> dict[str, Any]:
    spec = manifest(name)["spec"]
    cluster: dict[str, Any] = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    return cluster


def groups(name: str) -> Iterator[dict[str, Any]]:
    cluster = cluster_of(name)
    yield from (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_has_fields_of_the_api_alone_and_all_that_it_asks_for(name: str) -> None:
    jsonschema.validate(manifest(name), schema_of(manifest(name)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers"), []),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 1),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-gpus"), 0),
        (("spec", "rayClusterConfig"), {}),
        (("spec", "submissionMode"), "Job"),
    ],
)
def test_the_schema_finds_what_kubernetes_would_refuse(path: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(manifest("rayjob"))
    node: Any = broken
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema_of(broken))


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_mount_has_its_volume_and_the_shared_one_is_the_claim(name: str) -> None:
    claim = manifest("store")["metadata"]["name"]
    for group in groups(name):
        spec = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim


@pytest.mark.parametrize("name", CLUSTERS)
def test_pods_run_the_pinned_ray_and_one_image_of_this_version_and_ask_for_a_token(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = {container["image"] for group in groups(name) for container in group["template"]["spec"]["containers"]}
    assert cluster_of(name)["rayVersion"] == pinned_versions(ROOT / "constraints.txt")["ray"]
    assert images == {f"REGISTRY/mixwright:{version}"}
    assert cluster_of(name)["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_start_parameter_is_an_option_of_ray_start(name: str) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for group in groups(name):
        assert {f"--{key}" for key in group["rayStartParams"]} <= known
        ports = {port["name"]: port["containerPort"] for port in group["template"]["spec"]["containers"][0]["ports"]}
        assert str(ports["metrics"]) == group["rayStartParams"]["metrics-export-port"]


def test_drivers_find_nodes_that_stay_and_spot_pods_are_none() -> None:
    durable = []
    for group in groups("rayjob"):
        if given := group["rayStartParams"].get("resources"):
            # KubeRay puts the value into a shell's command line as it stands.
            (word,) = shlex.split(given)
            assert json.loads(word) == {"durable": 16}
            durable.append(group.get("groupName", "head"))
    assert durable == ["head", "on-demand"]
    assert "cluster.driver_resource=durable" in manifest("rayjob")["spec"]["entrypoint"]


def test_the_jobs_call_names_a_space_and_settings_that_are_there() -> None:
    words = shlex.split(manifest("rayjob")["spec"]["entrypoint"])
    assert words[:2] == ["bash", "/opt/mixwright/deploy/kuberay/sweep.sh"]
    assert load_config(ROOT / words[2], [word for word in words[4:] if word != "--set"]).cluster.driver_resource == "durable"
    assert words[3].startswith("/shared/")


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_is_tried_again_goes_on_with_its_run(begun: bool, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    run_dir = tmp_path / "runs" / "a run"
    if begun:
        run_dir.mkdir(parents=True)
        (run_dir / "config.yaml").touch()
    command = [str(FOLDER / "sweep.sh"), "space.yaml", str(run_dir), "--set", "cluster.lanes=2"]
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    resume = ["--resume"] if begun else []
    assert said == ["jobs/sweep.py", "space.yaml", "--run-dir", str(run_dir), *resume, "--set", "cluster.lanes=2"]


def test_the_service_runs_the_application_of_the_serve_file() -> None:
    ours = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text(encoding="utf-8"))["applications"][0]
    config = yaml.safe_load(manifest("rayservice")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert {key: application[key] for key in ("name", "route_prefix", "import_path")} == {
        key: ours[key] for key in ("name", "route_prefix", "import_path")
    }
    from ray.serve.schema import ServeDeploySchema

    assert ServeDeploySchema.model_validate(config).applications[0].name == "mixwright"


def test_the_image_copies_what_is_there() -> None:
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
