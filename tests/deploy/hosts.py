"""Several hosts on one machine, for what goes from host to host over SSH: `host.sh` in Linux namespaces, on a bridge of their own.

What comes in: names and addresses. What goes out: hosts that can be logged into with one key, and that see `/shared`. All of them
end with the block, or with this process, and leave neither a process nor an interface behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HOST = Path(__file__).with_name("host.sh")
GATEWAY = "192.168.1.1"
USER = "mixwright"
HOME = f"/home/{USER}"
NEEDED = ("ip", "unshare", "nsenter", "setpriv", "sshd", "ssh", "ssh-keygen", "rsync", "make")


def why_not() -> str:
    """Why this machine cannot hold hosts; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux, and root for network namespaces"
    if missing := [program for program in NEEDED if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]:
        return f"needs {', '.join(missing)} (Debian: iproute2 util-linux openssh-server openssh-client rsync make)"
    layers = "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work"
    probe = f"mount -t tmpfs probe /mnt && cd /mnt && mkdir upper work root && mount -t overlay probe -o {layers} root"
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", probe]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"the kernel refuses namespaces or overlays: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True, kw_only=True)
class Host:
    """One of them, while it is there."""

    name: str
    address: str
    home: Path
    """Its user's home, as this machine sees it."""
    pid: int
    """Of its first process, as this machine counts."""

    def call(self, *command: str, cwd: Path | str = HOME) -> list[str]:
        """The command line that runs a command on this host, as its user."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--root", "--wd"]
        return [*enter, "bash", "-c", 'cd "$0" && exec "$@"', str(cwd), *command]

    def run(
        self, *command: str, environment: Mapping[str, str], cwd: Path | str = HOME, timeout_s: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        variables = {"HOME": HOME, "USER": USER, "LOGNAME": USER, "TERM": "dumb", **environment}
        return subprocess.run(
            self.call(*command, cwd=cwd), env=variables, capture_output=True, text=True, check=False, timeout=timeout_s
        )


@contextmanager
def hosts(folder: Path, addresses: Mapping[str, str], visible: Sequence[Path] = ()) -> Iterator[dict[str, Host]]:
    """Starts a host for each name and address of 192.168.1.0/24, and ends them all with the block.

    Args:
        folder: empty; takes the hosts' homes, `shared`, and `key`, which opens every host.
        visible: folders of this machine that every host sees in the same place, though they be mounts of their own.
    """
    for name in ("shared", *(f"{kind}/{name}" for kind in ("homes", "disks") for name in addresses)):
        (folder / name).mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    with ExitStack() as stack:
        bridge = f"ip link add bridge type bridge && ip address add {GATEWAY}/24 dev bridge && ip link set bridge up"
        command = ["unshare", "--net", "sh", "-c", f"{bridge} && echo ready && exec sleep infinity"]
        switch = stack.enter_context(_ends_with_us(command, folder / "bridge.log"))
        _wait_until_ready(switch)
        started = {name: stack.enter_context(_host_process(folder, name, address, visible)) for name, address in addresses.items()}
        for name, process in started.items():
            _plug_in(switch.pid, name, process.pid)
        for process in started.values():
            _wait_until_ready(process)
        yield {
            name: Host(name=name, address=addresses[name], home=folder / "homes" / name, pid=_first_process(process))
            for name, process in started.items()
        }


@contextmanager
def _ends_with_us(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as errors:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def _host_process(folder: Path, name: str, address: str, visible: Sequence[Path]) -> Iterator[subprocess.Popen[str]]:
    ssh = folder / "homes" / name / ".ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(folder / "key.pub", ssh / "authorized_keys")
    namespaces = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    arguments = [name, address, GATEWAY, str(folder), *map(str, visible)]
    with _ends_with_us([*namespaces, "bash", str(HOST), *arguments], folder / f"{name}.log") as process:
        yield process


def _plug_in(switch: int, name: str, host: int) -> None:
    """A cable from the bridge to the host's eth0."""
    deadline = time.monotonic() + 30
    while os.readlink(f"/proc/{host}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert time.monotonic() < deadline, f"{name} has not come up"
        time.sleep(0.02)
    within = ["nsenter", "--target", str(switch), "--net", "ip", "link"]
    subprocess.run([*within, "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(host)], check=True)
    subprocess.run([*within, "set", f"to-{name}", "master", "bridge", "up"], check=True)


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", f"a host did not start: {process.args}"


def _first_process(process: subprocess.Popen[str]) -> int:
    """The one child of `unshare`: the first process of the host's own process namespace."""
    (child,) = psutil.Process(process.pid).children()
    return int(child.pid)
