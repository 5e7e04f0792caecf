"""Evaluations for real: Ray Serve and a tiny model, and replicas that are killed while one is under way."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import httpx
import psutil
import pytest
import ray
from ray import serve
from serve.app import APP_NAME, application, stop
from serve.safety import NO_KEY
from serve.settings import resolve

from mixwright.config import DataConfig, EvaluationConfig, ModelConfig, ServeConfig, SourceConfig, SweepConfig
from mixwright.models import COMPLETE
from mixwright.records import Prediction, from_json
from mixwright.settings import dump_yaml

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

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
def url(endpoint):
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": endpoint.serve.port})
        serve.run(application(endpoint, NO_KEY), name=APP_NAME, route_prefix="/")
        yield f"http://127.0.0.1:{endpoint.serve.port}"
    finally:
        stop()
        ray.shutdown()


def kill(deployment):
    """Kills the replica of a deployment of this test's own cluster."""
    name = f"ray::ServeReplica:{APP_NAME}:{deployment}"
    (process,) = (child for child in psutil.Process().children(recursive=True) if name in " ".join(child.cmdline()))
    os.kill(process.pid, signal.SIGKILL)


def wait_for(url, path, good):
    """The evaluation once it is good; refusals that may pass are asked again."""
    for _ in range(1200):
        answer = httpx.get(url + path, timeout=30)
        if answer.status_code == 200 and good(found := answer.json()):
            return found
        assert answer.status_code in (200, 503), answer.text
        time.sleep(0.1)
    raise AssertionError(f"{path} has not come so far: {answer.text}")


def test_an_evaluation_survives_the_death_of_its_own_and_of_the_engines_replica(url, endpoint):
    created = httpx.post(f"{url}/v1/evaluations", json=REQUEST, timeout=120)
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
    text = httpx.get(f"{url}{path}/predictions", timeout=30).text
    predictions = [from_json(Prediction, json.loads(line)) for line in text.splitlines()]
    assert len({(item.task, item.example_id) for item in predictions}) == len(predictions) == TOTAL
    again = httpx.post(f"{url}/v1/evaluations", json=REQUEST, timeout=120).json()
    assert again == found
    item = predictions[-1]
    body = {"task": item.task, "texts": [item.text], "instruction": item.instruction, "max_new_tokens": 24}
    assert httpx.post(f"{url}/v1/rewrite", json=body, timeout=120).json()["outputs"][0].strip() == item.output
