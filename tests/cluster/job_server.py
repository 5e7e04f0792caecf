"""A Ray head with a job server, with ports and a folder of its own: another Ray on this machine has the usual ones.

In Ray's usual folder the last Ray that was started says where it is, and a job of ours would run there.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx


@contextmanager
def head(ray: Path, environment: Mapping[str, str], log: Path, *, cpus: int = 1) -> Iterator[str]:
    """The address of its job server; `ray` is the program of the Python environment that the node has."""
    ports = free_ports(5)
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port", "metrics-export-port")
    options = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    options += [f"--num-cpus={cpus}", "--min-worker-port=0", "--max-worker-port=0", "--dashboard-host=127.0.0.1"]
    # Sockets below it have names of at most 107 characters, which pytest's own folders are too long for.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own, log.open("w") as output:
        command = [str(ray), "start", "--head", "--block", f"--temp-dir={own}", *options]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield f"http://127.0.0.1:{ports[1]}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until_it_answers(url: str, token: str, *, timeout_s: float = 120.0) -> None:
    """The job server, and the agent behind it that starts jobs."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answer = httpx.get(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token}"})
            if answer.status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "the job server does not answer"
        time.sleep(0.5)
