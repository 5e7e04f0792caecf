"""`ray job submit` with runtime_env.yaml, on a cluster whose Python lacks this project, and that asks for a token."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.job_server import free_ports, head, wait_until_it_answers
from tests.cluster.small_space import write_space
from tests.deploy.bare_environment import make_bare_environment, outside_environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
JOB = Path(__file__).with_name("import_origins.py")
TOKEN = "of-this-test-alone-0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Whoever submits jobs from this checkout to a cluster that is up."""

    ray: Path
    url: str
    environment: dict[str, str]

    def submit(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """As README says it; returns when the job has ended, with its log."""
        call = [str(self.ray), "job", "submit", "--address", self.url, "--runtime-env", "runtime_env.yaml", "--", *command]
        variables = {**self.environment, **more}
        return subprocess.run(call, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def submitter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitter]:
    folder = tmp_path_factory.mktemp("cluster")
    bare = folder / "environment"
    make_bare_environment(bare)
    environment = outside_environment(bare, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    with head(bare / "bin" / "ray", environment, folder / "head.log", cpus=2) as url:
        wait_until_it_answers(url, TOKEN)
        yield Submitter(ray=bare / "bin" / "ray", url=url, environment=environment)


@pytest.fixture(scope="module")
def found(submitter: Submitter, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Process -> where it found what it imports."""
    folder = tmp_path_factory.mktemp("origins")
    space = write_space(folder, tiny_model, search={**ONE_TRIAL, "trials": 1}, cluster={"lanes": 1})
    job = submitter.submit("python", str(JOB), str(space), str(folder / "run"))
    assert job.returncode == 0, job.stdout[-4000:] + job.stderr[-2000:]
    return read_origins(folder / "run")


ONE_TRIAL: dict[str, Any] = {"parameters": {"lora.rank": {"choices": [2, 4]}}, "scheduler": {"rungs": [1.0]}}


def read_origins(run_dir: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((run_dir / "origins").iterdir())}


def assert_the_package_travelled(found: dict[str, dict[str, Any]]) -> None:
    assert {name.split("-")[0] for name in found} == {"driver", "lane", "replica"}
    for name, origin in found.items():
        assert "/runtime_resources/py_modules_files/" in origin["mixwright"], name


def assert_the_standard_platform(found: dict[str, dict[str, Any]]) -> None:
    standard = str(Path(sysconfig.get_path("stdlib")) / "platform.py")
    for name, origin in found.items():
        assert origin["folders_called_platform"], f"{name}: nothing on its path could hide anything, so this shows nothing"
        assert origin["platform"] == origin["platform_if_imported_now"] == standard, name
        assert (origin["system"], bool(origin["torch"])) == ("Linux", True), name


def test_driver_lane_and_replica_import_the_package_that_travelled(found: dict[str, dict[str, Any]]) -> None:
    assert_the_package_travelled(found)


def test_the_folder_platform_never_hides_the_standard_librarys_module(found: dict[str, dict[str, Any]]) -> None:
    assert_the_standard_platform(found)


def test_a_sweep_runs_on_nodes_without_the_package_and_its_log_says_how_far_it_is(
    submitter: Submitter, tiny_model: Path, tmp_path: Path
) -> None:
    space = write_space(tmp_path, tiny_model, search={**ONE_TRIAL, "trials": 2})
    port = f"serve.port={free_ports(1)[0]}"
    job = submitter.submit("python", "jobs/sweep.py", str(space), "--run-dir", str(tmp_path / "run"), "--set", port)
    assert job.returncode == 0, job.stdout[-4000:] + job.stderr[-2000:]
    for part in ("[1/4] data", "[2/4] search: 2 trials", "[3/4] endpoint", "[4/4] evaluation", f"report: {tmp_path}/run"):
        assert part in job.stdout
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "complete"


@pytest.mark.parametrize("token", ["", "of-somebody-else-0123456789abcdefgh"])
def test_who_has_not_the_clusters_token_submits_nothing(submitter: Submitter, tmp_path: Path, token: str) -> None:
    job = submitter.submit("touch", str(tmp_path / "ran"), RAY_AUTH_TOKEN=token, HOME=str(tmp_path))
    assert job.returncode != 0
    assert "AuthenticationError" in job.stdout + job.stderr
    assert not (tmp_path / "ran").exists()
