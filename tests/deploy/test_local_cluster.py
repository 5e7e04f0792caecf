"""cluster-local.yaml as it stands, by a real `ray up`, `ray job submit` and `ray down`, over SSH between hosts of their own.

The hosts are namespaces of one machine (hosts.py) with the addresses that the file has. Each has what docs/cluster.md asks of a
machine, and its `make setup` finds its work done: an environment with every package, and without this project. The tests are the
life of one cluster, in their order.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.small_space import write_space
from tests.cluster.test_submission import assert_the_package_travelled, assert_the_standard_platform, read_origins
from tests.deploy.bare_environment import make_bare_environment
from tests.deploy.hosts import HOME, USER, Host, hosts, why_not

LACKING = why_not()
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(LACKING), reason=LACKING)]

ROOT = Path(__file__).parents[2]
FILE = "cluster-local.yaml"
PROVIDER = yaml.safe_load((ROOT / FILE).read_text(encoding="utf-8"))["provider"]
MACHINES = {"head": PROVIDER["head_ip"]} | {f"worker{number}": address for number, address in enumerate(PROVIDER["worker_ips"])}
LAPTOP = {"laptop": "192.168.1.2"}
URL = "http://127.0.0.1:8265"
RAY_PROCESS = re.compile(r"ray/core/src/ray|^ray::|site-packages/ray/")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Its machines, and the laptop from which they are used."""

    laptop: Host
    machines: Mapping[str, Host]
    shared: Path
    """What all of them have as /shared."""

    def ray(self, *arguments: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        """The laptop's `ray`, where the checkout is."""
        program = str(Path(sys.executable).with_name("ray"))
        return self.laptop.run(program, *arguments, environment=LAPTOP_ENVIRONMENT, cwd=ROOT, timeout_s=timeout_s)

    def submit(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As docs/cluster.md says it; returns when the job has ended, with its log."""
        return self.ray("job", "submit", "--address", URL, "--runtime-env", "runtime_env.yaml", "--", *command, timeout_s=900)

    def ray_processes(self) -> list[str]:
        """`machine: command line`, of all machines."""
        return [f"{name}: {line}" for name, host in self.machines.items() for line in processes(host) if RAY_PROCESS.search(line)]

    def space(self, name: str, **changes: Any) -> str:
        """Writes a space of seconds, and returns its folder as the machines have it."""
        space = write_space(self.shared / name, Path("/shared/model"), **changes)
        space.write_text(space.read_text().replace(str(self.shared), "/shared"))
        return f"/shared/{name}"


LAPTOP_ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def processes(host: Host) -> list[str]:
    return host.run("ps", "-eo", "args", environment={"PATH": "/usr/bin:/bin"}).stdout.splitlines()


def wait_for(condition: Callable[[], bool], what: Callable[[], object], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(3.0)


@pytest.fixture(scope="module")
def cluster(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Machines that are ready for `ray up`, and Ray on them."""
    folder = tmp_path_factory.mktemp("hosts")
    with hosts(folder, LAPTOP | MACHINES, [ROOT, Path(sys.prefix), Path(sys.base_prefix)]) as there:
        shutil.copytree(tiny_model, folder / "shared" / "model")
        shutil.copy(ROOT / "tests" / "cluster" / "import_origins.py", folder / "shared")
        laptop = there.pop("laptop")
        shutil.copy(folder / "key", laptop.home / ".ssh" / "id_ed25519")
        for machine in there.values():
            make_bare_environment(machine.home / "mixwright" / ".venv")
            (machine.home / "mixwright" / ".venv" / ".complete").touch()
        made = Cluster(laptop=laptop, machines=there, shared=folder / "shared")
        for arguments in (("get-auth-token", "--generate"), ("up", "--yes", FILE)):
            said = made.ray(*arguments)
            assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-1000:]
        with dashboard(made):
            yield made


@contextmanager
def dashboard(cluster: Cluster) -> Iterator[None]:
    """`ray dashboard` in another terminal, once the job server answers through it."""
    command = cluster.laptop.call(str(Path(sys.executable).with_name("ray")), "dashboard", FILE, cwd=ROOT)
    environment = {**LAPTOP_ENVIRONMENT, "HOME": HOME, "USER": USER, "LOGNAME": USER}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    terminal = subprocess.Popen(command, env=environment, **quiet)

    def answer() -> subprocess.CompletedProcess[str]:
        return cluster.ray("job", "list", "--address", URL)

    try:
        wait_for(lambda: answer().returncode == 0, lambda: answer().stderr[-1000:], timeout_s=120)
        yield
    finally:
        terminal.terminate()
        terminal.wait()


def test_ray_up_brings_every_machine_of_the_file_into_the_cluster(cluster: Cluster) -> None:
    def status() -> str:
        return cluster.ray("exec", FILE, "ray status").stdout

    wait_for(lambda: f"{len(MACHINES)} local.cluster.node" in status(), status, timeout_s=240)


def test_who_has_no_token_is_refused_on_the_head_itself(cluster: Cluster) -> None:
    asked = f"import urllib.request; urllib.request.urlopen('{URL}/api/jobs/')"
    said = cluster.machines["head"].run("python3", "-c", asked, environment={"PATH": os.environ["PATH"]})
    assert "HTTP Error 401" in said.stderr


def test_driver_lanes_on_every_machine_and_replica_import_the_package_that_travelled(cluster: Cluster) -> None:
    search = {"trials": 3, "parameters": {"lora.rank": {"choices": [2, 4, 8]}}, "scheduler": {"rungs": [1.0]}}
    folder = cluster.space("origins", search=search, cluster={"lanes": 3, "cpus_per_worker": os.cpu_count()})
    job = cluster.submit("python", "/shared/import_origins.py", f"{folder}/space.yaml", f"{folder}/run")
    assert job.returncode == 0, job.stdout[-4000:]
    found = read_origins(cluster.shared / "origins" / "run")
    assert {name for name in found if name.startswith("lane")} == {f"lane-{address}" for address in MACHINES.values()}
    assert_the_package_travelled(found)
    assert_the_standard_platform(found)


def test_a_sweep_takes_as_many_lanes_as_the_machines_hold_and_ends_with_its_report(cluster: Cluster) -> None:
    search = {"trials": 4, "parameters": {"lora.rank": {"choices": [2, 8]}}, "scheduler": {"rungs": [1.0]}}
    folder = cluster.space("sweep", search=search)
    whole = f"cluster.cpus_per_worker={os.cpu_count()}"  # of a machine, so that there is one lane on each
    job = cluster.submit("python", "jobs/sweep.py", f"{folder}/space.yaml", "--run-dir", f"{folder}/run", "--set", whole)
    assert job.returncode == 0, job.stdout[-4000:]
    for part in (f"cluster: {len(MACHINES)} lanes of 1 workers", "trial_0003 complete", f"report: {folder}/run/report/index.html"):
        assert part in job.stdout
    assert json.loads((cluster.shared / "sweep" / "run" / "result.json").read_text())["status"] == "complete"


def test_ray_down_ends_ray_on_every_machine(cluster: Cluster) -> None:
    assert {line.split(":")[0] for line in cluster.ray_processes()} == set(MACHINES)
    said = cluster.ray("down", "--yes", FILE)
    assert said.returncode == 0, said.stdout[-3000:]
    wait_for(lambda: not cluster.ray_processes(), lambda: "\n".join(line[:200] for line in cluster.ray_processes()), timeout_s=300)
