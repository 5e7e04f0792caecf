"""Replicas come with the queue on real Ray Serve."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import ray
from ray import serve
from serve.app import APP_NAME, start, stop
from talkative import talkative
from test_replicas import SCENARIO, save_adapter, wait_until

from mixwright.config import ModelConfig, ServeConfig
from mixwright.testing import make_tiny_model

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TEXTS = [f"He go {number}." for number in range(60)]


@pytest.fixture
def url(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    talkative(model).model.save_pretrained(model)
    save_adapter(tmp_path, "adapters/best", seed=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scaling = {"min": 1, "max": 2, "target_ongoing_requests": 4}
    config = ServeConfig.model_validate({"port": port, "max_batch_size": 4, "replicas": scaling, "request_timeout_s": 300})
    ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level="ERROR")
    try:
        yield start(config, tmp_path, ModelConfig(name=str(model)), SCENARIO, precision="fp32")
    finally:
        stop()
        ray.shutdown()


def running():
    return serve.status().applications[APP_NAME].deployments["engine"].replica_states.get("RUNNING", 0)


def test_a_queue_brings_another_replica_and_every_request_its_answer(url):
    def ask(text):
        body = {"task": "polish", "texts": [text], "max_new_tokens": 900}
        return httpx.post(f"{url}/v1/rewrite", json=body, timeout=300).status_code

    assert running() == 1
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        asked = pool.map(ask, TEXTS * 3)
        wait_until(lambda: running() == 2, seconds=150)
        assert set(asked) == {200}
