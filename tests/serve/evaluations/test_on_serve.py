"""Evaluations and the endpoint's rules for real: Ray Serve and a tiny model, replicas that are killed, and who is let in."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest
import ray
from ray import serve
from serve.app import APP_NAME, application, build, stop
from serve.safety import NO_KEY, rules_from_environment
from serve.settings import resolve

from mixwright.config import DataConfig, EvaluationConfig, ModelConfig, ServeConfig, SourceConfig, SweepConfig
from mixwright.errors import ServeError
from mixwright.models import COMPLETE
from mixwright.records import Prediction, from_json
from mixwright.settings import dump_yaml

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

KEY = "a-key-of-this-test"
MARKER = "Zyxwvut"
TASKS = ["clarity", "fluency"]
ROWS = 20
TOTAL = len(TASKS) * ROWS
REQUEST = {"tasks": TASKS, "limit": ROWS, "adapters": ["base"], "max_new_tokens": 24}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def endpoint(tiny_model, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    config = SweepConfig(
        name="small",
        model=ModelConfig(name=str(tiny_model)),
        data=DataConfig(sources=(SourceConfig(name="embedded", format="embedded", rows=40),)),
        evaluation=EvaluationConfig(bootstrap_draws=100),
        serve=ServeConfig(max_batch_size=2, port=free_port()),
    )
    (run_dir / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    (run_dir / "adapters" / "whole").mkdir(parents=True)
    for path in tiny_model.iterdir():
        (run_dir / "adapters" / "whole" / path.name).write_bytes(path.read_bytes())
    (run_dir / "adapters" / "whole" / COMPLETE).touch()
    return resolve({"run_dir": str(run_dir), "precision": "fp32"})


@pytest.fixture(scope="module")
def rules():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXWRIGHT_API_KEY", KEY)
        return rules_from_environment()


@pytest.fixture(scope="module")
def session():
    """The folder with all that Ray and Serve write down."""
    context = ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        yield Path(context.address_info["session_dir"])
    finally:
        stop()
        ray.shutdown()


@pytest.fixture(scope="module")
def url(endpoint, rules, session):
    """Of an endpoint that other machines reach, with all logs as `serve run` writes them."""
    serve.start(http_options={"host": "0.0.0.0", "port": endpoint.serve.port})
    serve.run(application(endpoint, rules), name=APP_NAME, route_prefix="/")
    return f"http://127.0.0.1:{endpoint.serve.port}"


def ask(method, url, **options):
    return httpx.request(method, url, timeout=120, headers={"Authorization": f"Bearer {KEY}"}, **options)


def kill(deployment):
    """Kills the replica of a deployment of this test's own cluster."""
    name = f"ray::ServeReplica:{APP_NAME}:{deployment}"
    (process,) = (child for child in psutil.Process().children(recursive=True) if name in " ".join(child.cmdline()))
    os.kill(process.pid, signal.SIGKILL)


def wait_for(url, path, good):
    """The evaluation once it is good; refusals that may pass are asked again."""
    for _ in range(1200):
        answer = ask("GET", url + path)
        if answer.status_code == 200 and good(found := answer.json()):
            return found
        assert answer.status_code in (200, 503), answer.text
        time.sleep(0.1)
    raise AssertionError(f"{path} has not come so far: {answer.text}")


def test_an_evaluation_survives_the_death_of_its_own_and_of_the_engines_replica(url, endpoint):
    created = ask("POST", f"{url}/v1/evaluations", json=REQUEST)
    assert created.status_code == 202, created.text
    path = created.headers["Location"]
    wait_for(url, path, lambda found: found["progress"]["done"] >= 4)
    kill("evaluations")
    before = wait_for(url, path, lambda found: found["progress"]["done"] >= 10)
    assert before["status"] == "running"
    kill("engine")
    found = wait_for(url, path, lambda found: found["status"] not in ("queued", "running"))
    assert (found["status"], found["error"]) == ("completed", None)
    assert found["progress"] == {"done": TOTAL, "total": TOTAL, "seconds_left": None}
    assert [(score["task"], score["rows"]) for score in found["scores"]] == [("fluency", ROWS), ("clarity", ROWS)]
    text = ask("GET", f"{url}{path}/predictions").text
    predictions = [from_json(Prediction, json.loads(line)) for line in text.splitlines()]
    assert len({(item.task, item.example_id) for item in predictions}) == len(predictions) == TOTAL
    again = ask("POST", f"{url}/v1/evaluations", json=REQUEST).json()
    assert again == found
    item = predictions[-1]
    body = {"task": item.task, "texts": [item.text], "instruction": item.instruction, "max_new_tokens": 24}
    assert ask("POST", f"{url}/v1/rewrite", json=body).json()["outputs"][0].strip() == item.output


def test_no_text_of_a_user_is_written_down(url, session):
    """Whether it is answered or refused, and wherever it stands."""
    body = {"task": "fluency", "texts": [MARKER], "max_new_tokens": 4}
    long = {"model": "base", "prompt": MARKER * 1000}
    chat = {"model": "base", "messages": [{"role": "user", "content": MARKER}], "max_tokens": 4}
    calls = [
        ("/v1/rewrite", {"json": body}, 200),
        ("/v1/chat/completions", {"json": chat}, 200),
        ("/v1/chat/completions", {"json": {**chat, "stream": True}}, 200),
        ("/v1/nll", {"json": {"rows": [{"instruction": MARKER, "response": MARKER}]}}, 200),
        ("/v1/completions", {"json": long}, 400),
        ("/v1/rewrite", {"json": {**body, "max_new_tokens": MARKER}}, 422),
        ("/v1/rewrite", {"json": {**body, "texts": MARKER}}, 422),
        ("/v1/rewrite", {"json": {**body, "task": MARKER}}, 404),
        ("/v1/rewrite", {"json": {**body, "decoding": MARKER}}, 422),
        ("/v1/chat/completions", {"json": {**chat, "model": MARKER}}, 404),
        ("/v1/rewrite", {"content": MARKER}, 422),
        ("/v1/rewrite", {"content": MARKER * 3_000_000}, 413),
        ("/v1/evaluations", {"json": {"adapters": [MARKER]}}, 404),
    ]
    assert [ask("POST", url + path, **options).status_code for path, options, _ in calls] == [status for _, _, status in calls]
    assert httpx.post(f"{url}/v1/rewrite", json=body, headers={"Authorization": f"Bearer {MARKER}"}).status_code == 401
    time.sleep(2)  # some logs are written late
    written = {path: path.read_bytes() for path in session.rglob("*") if path.is_file() and path.stat().st_size}
    assert any(b"POST /v1/rewrite" in content for content in written.values())
    assert [str(path) for path, content in written.items() if MARKER.encode() in content] == []
    assert [str(path) for path, content in written.items() if KEY.encode() in content] == []


def test_other_machines_need_the_key_and_an_endpoint_without_one_does_not_answer_them(url, endpoint, monkeypatch):
    from_outside = f"http://{ray.util.get_node_ip_address()}:{endpoint.serve.port}"
    for address in (url, from_outside):
        assert httpx.get(f"{address}/healthz", timeout=30).status_code == 401
        assert ask("GET", f"{address}/healthz").json()["status"] == "ok"
    monkeypatch.delenv("MIXWRIGHT_API_KEY", raising=False)
    with pytest.raises(ServeError, match=r"host 0\.0\.0\.0: other machines can reach it, and no key is set; set MIXWRIGHT_API_KEY"):
        build({"run_dir": endpoint.run_dir})
    serve.run(application(endpoint, NO_KEY, evaluations=False), name=APP_NAME, route_prefix="/")
    assert httpx.get(f"{url}/healthz", timeout=30).json()["status"] == "ok"
    refused = httpx.get(f"{from_outside}/healthz", timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "key_required")
