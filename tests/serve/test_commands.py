"""`serve run` and `serve deploy` with serve/config.yaml, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.cluster.job_server import free_ports, head, wait_until_it_answers

from mixwright.config import LoraConfig, ModelConfig, SweepConfig
from mixwright.models import COMPLETE, load_base, with_adapter
from mixwright.testing import make_tiny_model

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SERVE = Path(sys.executable).with_name("serve")
PATIENCE_S = 120


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    folder = tmp_path_factory.mktemp("run")
    model = ModelConfig(name=str(make_tiny_model(folder / "model")))
    adapted = with_adapter(load_base(model, torch.float32).model, LoraConfig(rank=4), name="default", seed=0)
    adapted.save_pretrained(folder / "adapters" / "best")
    (folder / "adapters" / "best" / COMPLETE).touch()
    config = SweepConfig.model_validate({"name": "served", "model": {"name": model.name}})
    (folder / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    return folder


def environment_of(run_dir: Path) -> dict[str, str]:
    return {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "MIXWRIGHT_RUN": str(run_dir)}


def written(path: Path, port: int, **settings: Any) -> Path:
    """serve/config.yaml with a port and settings of one's own."""
    config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text(encoding="utf-8"))
    config["http_options"]["port"] = port
    config["applications"][0]["args"] |= {"precision": "fp32", "serve": settings}
    path.write_text(yaml.safe_dump(config))
    return path


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "the endpoint does not come up"
        time.sleep(0.5)


def ask(url: str, text: str) -> httpx.Response:
    body = {"task": "clarity", "texts": [text], "adapter": "best", "max_new_tokens": 60}
    return httpx.post(f"{url}/v1/rewrite", json=body, timeout=60)


@contextmanager
def asking(url: str, texts: list[str]) -> Iterator[list[tuple[str, httpx.Response]]]:
    """Without a pause, until the block ends."""
    answers: list[tuple[str, httpx.Response]] = []
    over = threading.Event()

    def keep_asking(text: str) -> None:
        while not over.is_set():
            answers.append((text, ask(url, text)))

    threads = [threading.Thread(target=keep_asking, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_serve_run_answers_for_the_run_that_the_environment_names_and_ends_by_ctrl_c(run_dir: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = written(tmp_path / "config.yaml", port)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own, (tmp_path / "log").open("w") as log:
        environment = {**environment_of(run_dir), "RAY_TMPDIR": own}
        command = [str(SERVE), "run", str(config), "--address", "local"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(url := f"http://127.0.0.1:{port}")
            assert httpx.get(f"{url}/healthz").json()["run_dir"] == str(run_dir)
            assert ask(url, "He go.").status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.terminate()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


@pytest.mark.slow
def test_serve_deploy_changes_a_running_endpoint_and_no_request_is_lost(run_dir: Path, tmp_path: Path) -> None:
    environment = environment_of(run_dir)
    (port,) = free_ports(1)
    url, texts = f"http://127.0.0.1:{port}", ["He go.", "She go.", "They goes."]
    with head(SERVE.with_name("ray"), environment, tmp_path / "log", cpus=2) as dashboard:
        wait_until_it_answers(dashboard, "none")

        def deploy(**settings: Any) -> None:
            config = written(tmp_path / "config.yaml", port, **settings)
            command = [str(SERVE), "deploy", str(config), "--address", dashboard]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)

        def engine() -> dict[str, Any]:
            applications = httpx.get(f"{dashboard}/api/serve/applications/").json()["applications"]
            found: dict[str, Any] = applications["mixwright"]["deployments"].get("engine", {"status": "", "replicas": []})
            return found

        deploy()
        wait_until_ready(url)
        expected = {text: ask(url, text).json() for text in texts}
        (before,) = (replica["replica_id"] for replica in engine()["replicas"])
        with asking(url, texts) as answers:
            deploy(max_batch_size=6)
            deadline = time.monotonic() + PATIENCE_S
            while before in {replica["replica_id"] for replica in engine()["replicas"]} or engine()["status"] != "HEALTHY":
                assert time.monotonic() < deadline, "the old replica stays"
                time.sleep(0.5)
            so_far = len(answers)
            while len(answers) < so_far + len(texts):
                time.sleep(0.1)
    assert {answer.status_code for _, answer in answers} == {200}
    assert all(answer.json() == expected[text] for text, answer in answers)
