"""Who may ask, how much, and what every answer carries."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from fastapi.testclient import TestClient
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app
from serve.safety import HEADERS, NO_KEY, Rules, Safety, check_host, is_loopback, rules_from_environment
from starlette.responses import StreamingResponse
from tests.serve.running import running

from mixwright.errors import ServeError
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.scenarios import load_scenario

KEY = "a-key-of-this-test"
BODY = {"task": "fluency", "texts": ["He go."]}


def app_of(rules=NO_KEY, backend=None):
    def score(rows, adapter):
        return ResponseLoss(nll=0.0, tokens=1)

    answerer = Answerer(engine=EchoEngine(), tokenizer=CharacterTokenizer(), context_length=500, score=score)
    front = Front(model="embedded", adapters=(), scenario=load_scenario("writing"))
    return make_app(backend or LocalBackend(answerer), front, rules=rules)


@pytest.fixture
def rules(monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_API_KEY", f" {KEY}\n")
    return rules_from_environment()


@pytest.fixture
def locked(rules):
    return TestClient(app_of(rules))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers", [{}, bearer(""), bearer("another"), bearer(KEY[:-1]), bearer(KEY + "x"), {"Authorization": f"Basic {KEY}"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/rewrite"), ("GET", "/healthz"), ("GET", "/v1/evaluations"), ("GET", "/x")]
)
def test_without_the_key_nothing_is_answered(locked, method, path, headers):
    answer = locked.request(method, path, headers=headers, json=BODY if method == "POST" else None)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "MIXWRIGHT_API_KEY" in error["message"]
    assert KEY not in answer.text


@pytest.mark.parametrize("kind", ["Bearer", "bearer"])
def test_with_the_key_it_is_answered(locked, kind):
    answer = locked.post("/v1/rewrite", json=BODY, headers={"Authorization": f"{kind} {KEY}"})
    assert answer.json()["outputs"] == ["He go."]


def test_pages_load_without_a_key_and_ask_for_it_themselves(locked):
    assert locked.get("/docs").status_code == 200
    assert locked.get("/openapi.json").status_code == 200
    for path in ("/docs/..%2fv1/models", "/v1/models/", "//v1/models", "/web/../v1/models"):
        assert locked.get(path).status_code != 200


def test_the_rules_hold_a_digest_of_the_key_and_not_the_key(rules):
    assert KEY not in repr(rules)
    assert rules.key_digest is not None


def test_an_empty_key_is_none(monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_API_KEY", "  ")
    assert rules_from_environment() == NO_KEY


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", "", "127.0.0.1.example.org", "localhost.org"])
def test_other_machines_are_not_listened_to_without_a_key(host, rules):
    assert not is_loopback(host)
    check_host(host, rules)
    with pytest.raises(ServeError, match=r"no key is set; set MIXWRIGHT_API_KEY to a secret of yours, or listen on 127\.0\.0\.1"):
        check_host(host, NO_KEY)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "me.localhost"])
def test_this_machine_needs_no_key(host):
    check_host(host, NO_KEY)


def asked(app, url, server, **request):
    """The answer to a request that arrived at an address of this machine."""

    async def arrived(scope, receive, send):
        await app({**scope, "server": server}, receive, send)

    async def run():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(arrived), base_url=url) as client:
            return await client.post("/v1/rewrite", json=BODY, **request)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "server", "headers", "status"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000), {}, 200),
        ("http://localhost:8000", ("127.0.0.1", 8000), {}, 200),
        ("http://[::1]:8000", ("::1", 8000), {}, 200),
        ("http://localhost:8000", ("127.0.0.1", 8000), {"Sec-Fetch-Site": "same-origin"}, 200),
        ("http://localhost:8000", ("127.0.0.1", 8000), {"Sec-Fetch-Site": "cross-site"}, 403),
        ("http://rebound.example.org:8000", ("127.0.0.1", 8000), {}, 403),
        ("http://192.0.2.7:8000", ("192.0.2.7", 8000), {}, 403),
        ("http://localhost:8000", ("192.0.2.7", 8000), {}, 403),
    ],
)
def test_without_a_key_only_this_machine_is_answered(rules, url, server, headers, status):
    answer = asked(app_of(), url, server, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert "MIXWRIGHT_API_KEY" in answer.json()["error"]["message"]
    assert asked(app_of(rules), url, server, headers=headers | bearer(KEY)).status_code == 200


def test_a_body_beyond_the_limit_is_refused_by_its_length_and_by_its_bytes():
    app = app_of(Rules(max_body_bytes=200))

    def pieces(count):
        yield from [b'{"task": "fluency", "texts": ["'] + [b"x" * 50] * count + [b'"]}']

    with running(app) as url:
        short = httpx.post(f"{url}/v1/rewrite", content=b"".join(pieces(2)), headers={"Content-Type": "application/json"})
        streamed = httpx.post(f"{url}/v1/rewrite", content=pieces(2), headers={"Content-Type": "application/json"})
        announced = httpx.post(f"{url}/v1/rewrite", content=b"".join(pieces(4)), headers={"Content-Type": "application/json"})
        counted = httpx.post(f"{url}/v1/rewrite", content=pieces(4), headers={"Content-Type": "application/json"})
    assert [short.status_code, streamed.status_code, announced.status_code, counted.status_code] == [200, 200, 413, 413]
    for answer in (announced, counted):
        assert "the body is larger than 200 bytes; send fewer texts" in answer.json()["error"]["message"]


@pytest.mark.parametrize("length", ["x", "-1", "9" * 5000])
def test_a_length_that_is_none_is_refused(length):
    answer = TestClient(app_of()).post("/v1/rewrite", content=b"{}", headers={"Content-Length": length})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "call",
    [("GET", "/v1/models"), ("GET", "/nowhere"), ("POST", "/v1/rewrite"), ("DELETE", "/v1/rewrite"), ("GET", "/docs")],
    ids=" ".join,
)
def test_every_answer_carries_the_security_headers(call):
    answer = TestClient(app_of()).request(*call, headers={"Origin": "http://example.org"})
    for name, value in HEADERS.items():
        assert answer.headers[name].startswith(value)
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_a_fault_of_ours_is_answered_in_the_same_shape_and_headers():
    class Broken(LocalBackend):
        def __init__(self):
            pass

        async def answer(self, questions):
            raise ZeroDivisionError("He go.")

    answer = TestClient(app_of(backend=Broken()), raise_server_exceptions=False).post("/v1/rewrite", json=BODY)
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "a fault of the endpoint (ZeroDivisionError); its log says more"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_a_preflight_of_another_site_is_refused():
    answer = TestClient(app_of()).options(
        "/v1/rewrite", headers={"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405


def test_pieces_of_a_stream_pass_through_as_they_come_and_a_client_that_leaves_is_noticed():
    async def run():
        sent, left = [], asyncio.Event()

        async def pieces():
            try:
                yield b"one"
                await asyncio.sleep(60)
            finally:
                left.set()

        async def receive():
            if not requested.is_set():
                requested.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            while not any(message.get("body") for message in sent):
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        async def streaming(scope, receive, send):
            await StreamingResponse(pieces())(scope, receive, send)

        requested = asyncio.Event()
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "server": None, "asgi": {"spec_version": "2.3"}}
        await asyncio.wait_for(Safety(streaming, NO_KEY)(scope, receive, send), 5)
        assert left.is_set()
        return sent

    assert [message.get("body") for message in asyncio.run(run())][1] == b"one"


def test_the_interface_page_loads_nothing_from_elsewhere():
    client = TestClient(app_of())
    page = client.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 4
    for file in files:
        answer = client.get(f"/{file}")
        assert answer.status_code == 200
        assert len(answer.content) > 100
    assert not re.search(r"<script>|\son\w+=|https?://", page)
    assert client.get("/docs/redoc.standalone.js").status_code == 404
    assert client.get("/docs/..%2f__init__.py").status_code == 404
