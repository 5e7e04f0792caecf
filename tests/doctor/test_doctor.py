"""Each check on something really broken: a wrong pin, a taken port, a folder that nobody can write to, a file that is gone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.small_space import write_space

from mixwright.config import ClusterConfig, DataConfig, ModelConfig, SweepConfig
from mixwright.doctor import cluster, machine, packages, space
from mixwright.doctor.results import Check, attempt
from mixwright.errors import HardwareError
from mixwright.scenarios import load_scenario

ROOT = Path(__file__).parents[2]
CONSTRAINTS, PROJECT = ROOT / "constraints.txt", ROOT / "pyproject.toml"
DESCRIBED = {"cores": 2, "memory_gib": 8.0, "processor": "some", "gpus": []}


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


def test_a_check_that_breaks_off_is_a_failed_line_behind_what_it_had_said() -> None:
    def breaks() -> Any:
        yield Check(name="first", status="ok", found="fine")
        raise HardwareError("no Ray cluster answers")

    assert [(check.name, check.status) for check in attempt("ray", breaks)] == [("first", "ok"), ("ray", "fail")]
    missing = only(attempt("x", lambda: __import__("no_such_library")))
    assert (missing.status, missing.advice) == ("fail", "run `make setup`")
    assert only(attempt("x", lambda: {}["key"])).found == "KeyError: 'key'"


@pytest.mark.parametrize(("version", "status"), [((3, 10, 2), "fail"), ((3, 11, 9), "ok"), ((3, 13, 0), "warn")])
def test_python_is_the_one_that_the_pins_are_for(version: tuple[int, ...], status: str) -> None:
    assert packages.python_version(version).status == status


def test_this_environment_is_as_pinned() -> None:
    assert packages.package_versions(CONSTRAINTS, PROJECT).status != "fail"


@pytest.mark.parametrize(("package", "status"), [("ray", "fail"), ("click", "warn")])
def test_another_version_than_the_pinned_is_named_and_fails_where_the_package_itself_asks_for_it(
    package: str, status: str, tmp_path: Path
) -> None:
    pin = packages.pinned_versions(CONSTRAINTS)[package]
    text = CONSTRAINTS.read_text(encoding="utf-8").replace(f"\n{package}=={pin}\n", f"\n{package}==0.0.1\n")
    (tmp_path / "constraints.txt").write_text(text, encoding="utf-8")
    check = packages.package_versions(tmp_path / "constraints.txt", PROJECT)
    assert check.status == status
    assert check.found == f"{package} {pin}, pinned is 0.0.1"


def test_a_missing_package_and_a_missing_file_fail(tmp_path: Path) -> None:
    there = {name: version for name, version in packages.installed_versions().items() if name != "torch"}
    assert packages.package_versions(CONSTRAINTS, PROJECT, there).found == "torch is missing"
    assert packages.package_versions(tmp_path / "constraints.txt", PROJECT).status == "fail"


def test_a_build_for_processors_is_the_pinned_version() -> None:
    there = {**packages.installed_versions(), "torch": packages.pinned_versions(CONSTRAINTS)["torch"] + "+cpu"}
    assert "torch" not in packages.package_versions(CONSTRAINTS, PROJECT, there).found


def test_a_processor_without_bf16_is_a_warning_alone() -> None:
    assert machine.processor(DESCRIBED, has_bf16=False).status == "warn"
    assert machine.processor(DESCRIBED, has_bf16=True).status == "ok"


@pytest.mark.parametrize(
    ("listed", "seen", "build", "wanted", "status", "words"),
    [
        ([], [], "2.13.0+cpu", 0, "ok", "none"),
        ([], [], "2.13.0+cpu", 1, "fail", "a worker asks for 1"),
        (["A10G"] * 4, [], "2.13.0+cpu", 0, "fail", "--force-reinstall"),
        (["A10G"] * 4, [], "2.13.0", 0, "fail", "driver is older"),
        (["A10G"] * 4, ["A10G"] * 4, "2.13.0", 1, "ok", "NCCL 2.28"),
    ],
)
def test_gpus_that_torch_does_not_see_are_told_apart_from_none(
    listed: list[str], seen: list[str], build: str, wanted: int, status: str, words: str
) -> None:
    check = machine.gpus(listed, seen, build=build, nccl="2.28" if seen else "", wanted=wanted)
    assert check.status == status
    assert words in check.line


def test_a_full_disk_fails_and_one_that_may_become_full_warns(tmp_path: Path) -> None:
    statuses = [
        machine.disk("disk", tmp_path / "not" / "there", least_gib=least, enough_gib=enough).status
        for least, enough in ((0.0, 0.0), (0.0, 1e9), (1e9, 1e9))
    ]
    assert statuses[1:] == ["warn", "fail"]
    assert statuses[0] in ("ok", "warn"), "this machine's own disk may be nearly full"


def test_a_store_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    assert machine.store(tmp_path / "runs" / "x").status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_nobody_can_write_to_is_no_store() -> None:
    check = machine.store(Path("/proc/runs/x"))
    assert check.status == "fail"
    assert check.found.startswith("cannot write to /proc")


def test_a_models_folder_without_weights_fails_and_a_whole_one_does_not(tiny_model: Path, tmp_path: Path) -> None:
    assert space.model(ModelConfig(name=str(tiny_model))).status == "ok"
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    check = only(attempt("model", lambda: space.model(ModelConfig(name=str(broken)))))
    assert check.status == "fail"
    assert "no *.safetensors" in check.found


def test_a_hub_id_that_is_neither_in_the_cache_nor_answered_for_fails(tmp_path: Path) -> None:
    code = "from mixwright.config import ModelConfig; from mixwright.doctor import space\n"
    code += "print(space.model(ModelConfig(name='a/b')).line)"
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    line = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True).stdout
    assert line.startswith("fail")
    assert "not in the cache" in line


def test_a_data_file_that_is_gone_fails_by_name(tmp_path: Path) -> None:
    source = {"name": "mine", "format": "jsonl", "path": "gone.jsonl", "task": "clarity"}
    config = SweepConfig(name="x", data=DataConfig.model_validate({"root": str(tmp_path), "sources": [source]}))
    check = only(attempt("data", lambda: space.data(config, load_scenario("writing"))))
    assert check.status == "fail"
    assert "gone.jsonl" in check.found


def test_an_address_where_nobody_listens_fails_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    check = only(list(cluster.ray_cluster(ClusterConfig(address=address), tmp_path)))
    assert check.status == "fail"
    assert check.found.startswith(f"nothing answers at {address}")


def test_nodes_with_other_versions_or_without_the_run_folder_are_named(tmp_path: Path) -> None:
    mine = cluster.report_of_node(str(tmp_path))["versions"]
    assert cluster.alike({"a": mine, "b": mine}).status == "ok"
    check = cluster.alike({"a": mine, "b": {**mine, "torch": "2.0.0"}, "c": {**mine, "torch": "2.0.0"}})
    assert check.status == "fail"
    assert check.found == f"torch {mine['torch']} on a, 2.0.0 on b c"
    assert cluster.shared(tmp_path, ["b"], 2).found == f"b cannot see {tmp_path}"


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs" / "doctor.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_broken_machine_and_space_end_in_exit_code_1_and_every_line_is_told(tiny_model: Path, tmp_path: Path) -> None:
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\necho 'NVIDIA A10G, 23028 MiB'\n")
    smi.chmod(0o755)
    path = write_space(tmp_path, tiny_model)
    (tmp_path / "rows.jsonl").unlink()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ("--space", str(path), "--set", f"serve.port={port}", "--run-dir", "/proc/run", "--no-ray", "--json")
        no_cache = str(tmp_path / "extensions")
        result = doctor(*arguments, PATH=f"{smi.parent}:{os.environ['PATH']}", TORCH_EXTENSIONS_DIR=no_cache)
    assert result.returncode == 1, result.stderr
    told = json.loads(result.stdout)
    statuses = {check["name"]: check["status"] for check in told["checks"]}
    assert not told["ok"]
    assert {name for name, status in statuses.items() if status == "fail"} >= {"gpus", "data", "port", "store"}
    assert statuses["operators"] in ("warn", "fail")
    assert statuses["model"] == statuses["space"] == "ok"


def test_a_space_that_breaks_a_rule_is_told_as_a_check(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({"name": "x", "serch": {}}))
    result = doctor("--space", str(tmp_path / "space.yaml"), "--no-ray")
    assert result.returncode == 1
    assert "fail  space" in result.stdout
    assert "did you mean 'search'?" in result.stdout


@pytest.mark.cluster
@pytest.mark.slow
def test_a_wrong_token_is_told_as_what_it_may_be(tmp_path: Path) -> None:
    code = (
        "from mixwright.config import ClusterConfig\nfrom mixwright.search.cluster import connected\nimport ray\n"
        "with connected(ClusterConfig(dashboard=False)): print(ray.get_runtime_context().gcs_address, flush=True); input()"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as head:  # type: ignore[call-overload]
        address = head.stdout.readline().strip()
        lines = {token: ray_line(address, tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token * 64) for token in "ab"}
        head.communicate("\n", timeout=60)
    assert lines["a"].startswith("ok")
    assert lines["b"].startswith("fail")
    assert "it may be the token" in lines["b"]


def ray_line(address: str, run_dir: Path, **environment: str) -> str:
    """All that the doctor says of a cluster, by a process of its own."""
    code = (
        "import sys; from pathlib import Path; from mixwright.config import ClusterConfig\n"
        "from mixwright.doctor import cluster\n"
        "[print(check.line) for check in cluster.ray_cluster(ClusterConfig(address=sys.argv[1]), Path(sys.argv[2]))]"
    )
    command = [sys.executable, "-c", code, address, str(run_dir)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


@pytest.mark.cluster
def test_ray_is_started_and_where_a_cluster_is_named_its_nodes_are_asked(tmp_path: Path) -> None:
    from mixwright.search.cluster import connected

    local = only(list(cluster.ray_cluster(ClusterConfig(dashboard=False), tmp_path)))
    assert local.status == "ok"
    with connected(ClusterConfig(dashboard=False)):
        import ray

        address = ray.get_runtime_context().gcs_address
        said = ray_line(address, tmp_path)
    lines = [line.split(None, 2) for line in said.splitlines()]
    assert [(status, name) for status, name, _ in lines] == [("ok", "ray"), ("ok", "nodes"), ("ok", "shared")]
