"""Who may ask, how much, and what every answer carries: an ASGI layer around the whole application.

    no key is set   only this machine is answered, by its loopback address and its name, and no page of another site
    a key is set    MIXWRIGHT_API_KEY; each request brings it: `Authorization: Bearer ...`
    always          a limit on bodies, security headers, no CORS headers

What comes in: an ASGI application. What goes out: one that refuses in OpenAI's shape what breaks these rules, and otherwise passes
messages through as they come, so that streams and disconnects stay what they are. Nothing here logs what a request holds.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixwright.errors import ServeError
from mixwright.evaluate.client import KEY_VARIABLE
from serve.errors import INVALID_REQUEST
from serve.schema import ErrorAnswer, ErrorDetail

MAX_BODY_BYTES = 16 * 2**20
"""Room for as many texts as a request may have, of the length that one may have."""
OPEN_PATHS = ("/", "/docs", "/openapi.json")
OPEN_FOLDERS = ("/web/", "/docs/")
"""What a browser loads before it has a key: pages without anybody's data, which ask for the key where an API call needs one."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS_POLICY = f"{CONTENT_SECURITY_POLICY}; style-src 'self' 'unsafe-inline'"
"""Swagger UI sets styles on its elements; its scripts are files like ours."""
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer that does not set them itself."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What `Safety` keeps."""

    key_digest: bytes | None = None
    """SHA-256 of the key, so that the key itself is written down and shown nowhere; None: no key is set."""
    max_body_bytes: int = MAX_BODY_BYTES


NO_KEY = Rules()


def rules_from_environment() -> Rules:
    """The rules with the key of this process' environment."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return Rules(key_digest=_digest(key) if key else None)


def check_host(host: str, rules: Rules) -> None:
    """Refuses to listen where other machines can ask and need no key.

    Raises:
        ServeError: the host is not loopback, and no key is set.
    """
    if rules.key_digest is None and not is_loopback(host):
        way_out = f"set {KEY_VARIABLE} to a secret of yours, or listen on 127.0.0.1"
        raise ServeError(f"host {host}: other machines can reach it, and no key is set; {way_out}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, or a name means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Safety:
    """The layer itself."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(scope["path"], send)
        if refusal := self._refusal(scope):
            await refusal(scope, receive, send)
            return
        await self._app(scope, _counted(receive, self._rules.max_body_bytes), send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._rules.key_digest is None:
            if problem := _not_from_here(scope, headers):
                return _refuse(403, problem, "key_required")
        elif not _is_open(scope["path"]) and not self._has_key(headers):
            answer = _refuse(401, f"send the endpoint's key: Authorization: Bearer, then what {KEY_VARIABLE} is", "invalid_api_key")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._rules.max_body_bytes:
            return _refuse(413, too_large(self._rules.max_body_bytes), "body_too_large")
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, key = headers.get("authorization", "").partition(" ")
        expected = self._rules.key_digest
        return expected is not None and kind.lower() == "bearer" and hmac.compare_digest(_digest(key.strip()), expected)


def too_large(limit: int) -> str:
    """What a client is told whose body breaks the limit."""
    return f"the body is larger than {limit} bytes; send fewer texts in a request"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _not_from_here(scope: Scope, headers: Headers) -> str:
    """Why a request without a key is none of this machine's own; empty where it is one, or comes through no network at all."""
    address = (scope.get("server") or ("",))[0] or ""
    if not _is_address(address):
        return ""
    way_out = f"set {KEY_VARIABLE} where the endpoint starts, and send it"
    if not is_loopback(address):
        return f"this endpoint has no key and answers on its own machine alone; {way_out}"
    # A page of another site may reach loopback through its visitor's browser: by a name of its own, or with a plain form.
    host = urlsplit(f"//{headers.get('host', address)}").hostname or ""
    if not is_loopback(host):
        return f"this endpoint has no key and answers to localhost alone; ask for it by that name, or {way_out}"
    if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in ("GET", "HEAD"):
        return f"this endpoint has no key and takes nothing from pages of other sites; {way_out}"
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refuse(status: int, message: str, code: str) -> JSONResponse:
    detail = ErrorDetail(message=message, type=INVALID_REQUEST, code=code)
    return JSONResponse(ErrorAnswer(error=detail).model_dump(), status_code=status)


def _with_headers(path: str, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if path.rstrip("/") == "/docs":
                headers["Content-Security-Policy"] = DOCS_POLICY
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def _counted(receive: Receive, limit: int) -> Receive:
    """`receive`, until more bytes have come than a body may have: a length need not be announced, nor be true."""
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, too_large(limit))
        return message

    return receive_counted
