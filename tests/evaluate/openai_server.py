"""A shipped fake: an endpoint in OpenAI's shape on a free local port, which can be told to fail in every way that real ones do.

    with openai_server() as server:
        server.faults = [Fault(status=500), Fault(cut=True)]     # the next two requests, in their order; then it answers
        ...
        server.requests                                          # the bodies that came in

It answers with the last line of the last message in capitals.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-local-0123456789"
MODEL = "large-model"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to one request instead of a plain answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    """Sent as it is where it is text, else as JSON; None: a plain answer or an error of the status."""
    cut: bool = False
    """The connection closes in the middle of the body whose length was announced."""
    unannounced: bool = False
    """The body ends in the middle without its length having been told, so that only its content shows it."""
    silent_s: float = 0.0
    """So long nothing comes."""


@dataclass
class Server:
    """A running fake."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    fault_for: Callable[[dict[str, Any]], Fault | None] = lambda body: None
    """Asked for every request once `faults` are used up."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Authorization headers, one a request."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, body: dict[str, Any], key: str) -> Fault | None:
        with self.lock:
            self.requests.append(body)
            self.keys.append(key)
            return self.faults.pop(0) if self.faults else self.fault_for(body)

    @property
    def questions(self) -> list[str]:
        """The last message of every request so far."""
        return [request["messages"][-1]["content"] for request in self.requests]


def completion(content: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion as OpenAI writes one."""
    message = {"role": "assistant", "content": content, **{key: more.pop(key) for key in ("refusal",) if key in more}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"{MODEL}-2026-01",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
        **more,
    }


def answer_to(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).splitlines()[-1].upper()


@contextlib.contextmanager
def openai_server() -> Iterator[Server]:
    """The fake, until the block ends."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Authorization"]
            fault = server.fault(body, key) or self.own_checks(body, key)
            time.sleep(fault.silent_s)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.answer(fault, body)

        def own_checks(self, body: dict[str, Any], key: str) -> Fault:
            if key != f"Bearer {KEY}":
                return Fault(
                    status=401, body={"error": {"message": f"Incorrect API key provided: {key}.", "code": "invalid_api_key"}}
                )
            if body["model"] != MODEL:
                message = f"The model `{body['model']}` does not exist"
                return Fault(status=404, body={"error": {"message": message, "code": "model_not_found"}})
            return Fault()

        def answer(self, fault: Fault, body: dict[str, Any]) -> None:
            told = completion(answer_to(body)) if fault.status == 200 else {"error": {"message": "no luck", "type": "server_error"}}
            content = told if fault.body is None else fault.body
            raw = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(fault.status)
            self.send_header("Content-Type", "application/json")
            if not fault.unannounced:
                self.send_header("Content-Length", str(len(raw)))
            for name, value in fault.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw[: len(raw) // 2] if fault.cut or fault.unannounced else raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the test's output clean."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
