"""Replicas and adapters come and go on real Ray Serve, and no request is lost; clients that go away take their work with them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
import ray
import torch
from ray import serve
from serve.app import APP_NAME, application, start, stop
from serve.settings import of_run
from talkative import talkative

from mixwright.config import LoraConfig, ModelConfig, ServeConfig
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.engine import Request
from mixwright.models import COMPLETE, with_adapter
from mixwright.prompts import prompt_ids
from mixwright.scenarios import Instructions, Scenario, Task
from mixwright.testing import make_tiny_model

WORDINGS = Instructions(train=("Polish.",), evaluation=("Make it shine.",))
SCENARIO = Scenario(name="made_up", tasks=(Task(name="polish", metric="gleu", instructions=WORDINGS),))
LONG = 700
"""Tokens of an answer that takes some seconds."""

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny = talkative(make_tiny_model(folder / "model"))
    tiny.model.save_pretrained(folder / "model")
    save_adapter(folder, "adapters/best", seed=0)
    return folder


def save_adapter(run_dir, name, seed):
    """A complete adapter whose weights move the tiny model far enough to answer differently."""
    base = talkative(run_dir / "model").model
    model = with_adapter(base, LoraConfig(rank=4, alpha=64), name="default", seed=seed)
    torch.manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_(std=0.2)
    shutil.rmtree(run_dir / name, ignore_errors=True)
    model.save_pretrained(run_dir / name)
    (run_dir / name / COMPLETE).touch()


@pytest.fixture(scope="module")
def config():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ServeConfig(port=port, max_batch_size=8, replicas=2, max_loaded_adapters=2, request_timeout_s=60)


@pytest.fixture(scope="module")
def url(run_dir, config):
    ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level="ERROR")
    try:
        yield start(config, run_dir, ModelConfig(name=str(run_dir / "model")), SCENARIO, precision="fp32")
    finally:
        stop()
        ray.shutdown()


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=60) as connected:
        yield connected


@pytest.fixture(scope="module")
def alone(run_dir):
    """What an engine by itself answers."""
    tiny = talkative(run_dir / "model")
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)

    def answer(text, adapter="base", tokens=8):
        name = adapter.replace("/", "_")
        if adapter != "base":
            engine.hold(name, run_dir / adapter)
        ids = prompt_ids(tiny.tokenizer, "Polish.", text)
        (text,) = engine.generate([Request(prompt_ids=ids, adapter=name, max_new_tokens=tokens)])
        if adapter != "base":
            engine.release(name)
        return text

    return answer


def states(count=2):
    """Of all replicas, by their process; calls go to either."""
    handle = serve.get_deployment_handle("engine", APP_NAME)
    found = {}
    until = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        state = handle.state.remote().result(timeout_s=30)
        found[state["pid"]] = state
    return found


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not come about in time"
        time.sleep(0.1)


def rewrite(url, text, adapter="base", tokens=8):
    body = {"task": "polish", "texts": [text], "adapter": adapter, "max_new_tokens": tokens}
    return httpx.post(f"{url}/v1/rewrite", json=body, timeout=60)


def chat(client, text, tokens=LONG, **changes):
    messages = [{"role": "user", "content": f"Polish.\n\n{text}"}]
    return client.chat.completions.create(model="base", messages=messages, max_tokens=tokens, stream=True, **changes)


def working():
    return sum(state["working"] for state in states().values())


def test_pieces_come_through_replicas_as_the_whole_answer(client, alone):
    chunks = list(chat(client, "He go.", tokens=40))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == alone("He go.", tokens=40)
    assert len(chunks) > 5


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_goes_away_frees_its_rows_in_the_replicas(url, client, streams):
    wait_until(lambda: working() == 0)
    texts = [f"He go {number}." for number in range(100)]  # more than half a minute's work
    if streams:
        stream = client.completions.create(model="base", prompt=texts, max_tokens=900, stream=True)
        next(iter(stream))
        wait_until(lambda: working() > 16)
        stream.close()
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/rewrite", json={"task": "polish", "texts": texts, "max_new_tokens": 900}, timeout=1)
    wait_until(lambda: working() == 0, seconds=10)


def test_adapters_appear_are_replaced_and_make_room_without_a_restart(url, run_dir, alone):
    def served():
        return [card["id"] for card in httpx.get(f"{url}/v1/models").json()["data"]]

    assert served() == ["base", "base:best"]
    folders = {"best-unseen": "adapters/best-unseen", "trial_0001": "trials/trial_0001/adapter"}
    for seed, (name, folder) in enumerate(folders.items(), start=1):
        assert rewrite(url, "He go.", name).status_code == 404
        save_adapter(run_dir, folder, seed)
        wait_until(lambda name=name: f"base:{name}" in served())
    assert served() == ["base", "base:best", "base:best-unseen", "base:trial_0001"]
    expected = {name: alone("He go.", folder) for name, folder in {"best": "adapters/best", **folders}.items()}
    assert len(set(expected.values())) == 3

    def ask_all():
        """At once, so that the replicas share them out."""
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda name: (name, rewrite(url, "He go.", name).json()["outputs"][0]), [*expected] * 2))
        assert answers == [*expected.items()] * 2
        found = states().values()
        assert max(state["adapters"] for state in found) <= 2
        return sum(state["evicted"] for state in found)

    wait_until(ask_all)
    save_adapter(run_dir, "adapters/best", seed=9)
    wait_until(lambda: rewrite(url, "He go.", "best").json()["outputs"][0] == alone("He go.", "adapters/best"))
    assert alone("He go.", "adapters/best") != expected["best"]


def test_a_pickled_adapter_is_refused_in_one_line(url, run_dir):
    save_adapter(run_dir, "adapters/pickled", seed=3)
    (run_dir / "adapters" / "pickled" / "adapter_model.safetensors").rename(run_dir / "adapters" / "pickled" / "adapter_model.bin")
    wait_until(lambda: "base:pickled" in httpx.get(f"{url}/v1/models").text)
    answer = rewrite(url, "He go.", "pickled")
    assert answer.status_code == 400
    assert "pickled adapters are not read" in answer.json()["error"]["message"]
    assert "\n" not in answer.json()["error"]["message"]
    shutil.rmtree(run_dir / "adapters" / "pickled")


def test_prometheus_reads_the_figures_of_ingress_and_replicas_with_bounded_labels(url):
    assert rewrite(url, "He go.", "best").status_code == 200
    assert rewrite(url, "He go.", "nobody").status_code == 404
    httpx.get(f"{url}/some/path/{'x' * 30}")
    (node,) = ray.nodes()

    def exported():
        return httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics").text

    def told(name, **labels):
        lines = [line for line in exported().splitlines() if line.startswith(f"ray_mixwright_{name}")]
        return any(all(f'{key}="{value}"' in line for key, value in labels.items()) for line in lines)

    wait_until(lambda: told("requests", route="/v1/rewrite", status="200", adapter="best"), seconds=40)
    wait_until(lambda: told("requests", route="/v1/rewrite", status="404", adapter="none"))
    wait_until(lambda: told("requests", route="other", status="404"))
    wait_until(lambda: told("answer_seconds", adapter="best") and told("answers", adapter="best", status="ok"))
    for name in (
        "prompt_tokens",
        "completion_tokens",
        "batch_rows",
        "accepted_draft",
        "waiting_tokens",
        "adapters",
        "adapter_loads",
    ):
        wait_until(lambda name=name: told(name))
    assert "xxxx" not in exported()


@pytest.mark.slow
def test_the_gauges_of_an_idle_replica_stay_where_prometheus_reads_them(url):
    (node,) = ray.nodes()

    def gauges():
        text = httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics").text
        return sum(line.startswith("ray_mixwright_rows{") and line.endswith(" 0.0") for line in text.splitlines())

    wait_until(lambda: gauges() == 2, seconds=40)
    for _ in range(12):
        time.sleep(5)
        assert gauges() == 2


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def the_busy_one():
    found = []
    wait_until(lambda: found.extend(pid for pid, state in states().items() if state["working"]) or found)
    return found[0]


def test_a_stream_outlives_its_replica_and_tells_nothing_twice(client, alone):
    expected = alone("He go home now.", tokens=LONG)
    stream = iter(chat(client, "He go home now."))
    told = [next(stream) for _ in range(5)]
    kill(the_busy_one())
    told += list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == expected
    assert [chunk.choices[0].finish_reason for chunk in told][-1] == "length"


@pytest.mark.slow
def test_a_sampled_stream_ends_with_its_replica_in_a_clean_error(client):
    states()
    stream = iter(chat(client, "He go home now.", temperature=0.9, seed=1))
    next(stream), next(stream)
    kill(the_busy_one())
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "retry"
    assert "ask again" in caught.value.message


@pytest.mark.slow
def test_requests_in_work_when_a_replica_dies_are_answered_by_another(url, alone):
    states()
    texts = [f"He go {number}." for number in range(16)]
    expected = [alone(text, tokens=200) for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        asked = [pool.submit(rewrite, url, text, "base", 200) for text in texts]
        kill(the_busy_one())
        answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200] * len(texts)
    assert [answer.json()["outputs"][0] for answer in answers] == expected


def test_a_rolling_update_loses_no_request(url, run_dir, config, alone):
    before = states()
    changed = config.model_copy(update={"max_batch_size": 6})
    endpoint = of_run(changed, run_dir, ModelConfig(name=str(run_dir / "model")), SCENARIO, "fp32")
    texts = [f"She go {number}." for number in range(6)]
    expected = [alone(text, tokens=100) for text in texts]
    answers = []
    over = False

    def keep_asking(number):
        while not over:
            answers.append((number, rewrite(url, texts[number], "base", 100)))

    with ThreadPoolExecutor(len(texts)) as pool:
        asking = [pool.submit(keep_asking, number) for number in range(len(texts))]
        try:
            time.sleep(1)
            serve.run(application(endpoint, evaluations=False), name=APP_NAME, route_prefix="/")
            time.sleep(1)
        finally:
            over = True
        for future in asking:
            future.result()
    assert {answer.status_code for _, answer in answers} == {200}
    assert all(answer.json()["outputs"] == [expected[number]] for number, answer in answers)
    assert len(answers) > 2 * len(texts)
    assert not before.keys() & states().keys()
