"""`ray job stop` leaves a job the time that a sweep needs to end cleanly."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobStatus, JobSubmissionClient
from tests.cluster.job_server import head

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SLOW_TO_END = """
import signal, sys, time
def end(number, frame):
    time.sleep(8)
    print("ended cleanly", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(300)
"""


@pytest.fixture
def job_server(tmp_path: Path) -> Iterator[str]:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with head(Path(sys.executable).with_name("ray"), environment, tmp_path / "head.log") as url:
        yield url


def test_a_job_that_takes_longer_than_rays_own_patience_ends_by_itself(
    job_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (tmp_path / "job.py").write_text(SLOW_TO_END)
    environment = yaml.safe_load((ROOT / "runtime_env.yaml").read_text(encoding="utf-8"))
    deadline = time.monotonic() + 120
    job = client = None
    while job is None:
        try:
            client = JobSubmissionClient(job_server)
            entrypoint = f"{shlex.quote(sys.executable)} {tmp_path}/job.py"
            job = client.submit_job(entrypoint=entrypoint, runtime_env={"env_vars": environment["env_vars"]})
        except (ConnectionError, RuntimeError):  # the head, or its agent, has not come up yet
            assert time.monotonic() < deadline
            time.sleep(1.0)
    assert client is not None
    while "ready" not in client.get_job_logs(job):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    client.stop_job(job)
    while not client.get_job_status(job).is_terminal():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert client.get_job_status(job) == JobStatus.STOPPED
    assert "ended cleanly" in client.get_job_logs(job)
