"""The endpoint for real: Ray Serve, a tiny model, adapters that answer differently, and many clients at once."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
import ray
import torch
from serve.app import start, stop

from mixwright.config import LoraConfig, ModelConfig, ServeConfig
from mixwright.errors import ServeError
from mixwright.generate.engine import Request
from mixwright.generate.loading import adapter_folders, load_engine
from mixwright.models import COMPLETE, load_base, with_adapter
from mixwright.prompts import prompt_ids
from mixwright.scenarios import Instructions, Scenario, Task
from mixwright.testing import make_tiny_model

WORDINGS = Instructions(train=("Polish.",), evaluation=("Make it shine.",))
SCENARIO = Scenario(name="made_up", tasks=(Task(name="polish", metric="gleu", instructions=WORDINGS),))
NAMES = ("base", "first", "second")
TEXTS = ("He go.", "She have a old cat.", "x", "They was late again because of the rain.")
NEW_TOKENS = 8

pytestmark = pytest.mark.cluster


def save_adapter(model_folder, folder, name, seed):
    """A complete adapter whose weights move the tiny model far enough to answer differently."""
    loaded = load_base(ModelConfig(name=str(model_folder)), torch.float32)
    model = with_adapter(loaded.model, LoraConfig(rank=4, alpha=64), name="default", seed=seed)
    torch.manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_(std=0.2)
    model.save_pretrained(folder / name)
    (folder / name / COMPLETE).touch()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_tiny_model(folder / "model")
    for seed, name in enumerate(NAMES[1:]):
        save_adapter(folder / "model", folder / "adapters", name, seed)
    return folder


@pytest.fixture(scope="module")
def model(run_dir):
    return ModelConfig(name=str(run_dir / "model"))


@pytest.fixture(scope="module")
def config():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ServeConfig(port=port, max_batch_size=8, batch_wait_s=0.1)


@pytest.fixture(scope="module")
def url(run_dir, model, config):
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        yield start(config, run_dir, model, SCENARIO, precision="fp32")
    finally:
        stop()
        ray.shutdown()


def ask(url, name, text):
    body = {"task": "polish", "texts": [text, text[::-1]], "adapter": name, "max_new_tokens": NEW_TOKENS}
    answer = httpx.post(f"{url}/v1/rewrite", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()["outputs"]


def test_mixed_adapters_asked_at_once_are_never_mixed_up(url, run_dir, model):
    engine = load_engine(load_base(model, torch.float32), adapter_folders(run_dir / "adapters"))

    def alone(name, text):
        ids = prompt_ids(engine.tokenizer, "Polish.", text)
        return engine.generate([Request(prompt_ids=ids, adapter=name, max_new_tokens=NEW_TOKENS)])[0]

    questions = [(name, text) for text in TEXTS for name in NAMES] * 2
    expected = [[alone(name, text), alone(name, text[::-1])] for name, text in questions]
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(lambda question: ask(url, *question), questions))
    assert answers == expected
    assert len({tuple(answer) for answer in answers[: len(NAMES)]}) == len(NAMES)


def test_an_error_in_a_replica_reaches_the_client_as_one_line(url):
    body = {"task": "polish", "texts": ["x" * 5000], "adapter": "first"}
    answer = httpx.post(f"{url}/v1/rewrite", json=body, timeout=60)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "the model holds 1024; send a shorter one" in message
    assert "\n" not in message


def test_adapters_have_their_own_nll(url):
    rows = [{"instruction": "Say it.", "response": "four"}]
    answers = [httpx.post(f"{url}/v1/nll", json={"rows": rows, "adapter": name}, timeout=60).json() for name in NAMES]
    assert {answer["tokens"] for answer in answers} == {len("four") + 1}
    assert len({answer["nll"] for answer in answers}) == len(NAMES)


def test_a_chat_answers_as_a_rewrite_does_and_a_refusal_is_openais(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        for name, model in zip(NAMES, ("base", "base:first", "base:second"), strict=True):
            messages = [{"role": "user", "content": f"Polish.\n\n{TEXTS[0]}"}]
            answer = client.chat.completions.create(model=model, messages=messages, max_tokens=NEW_TOKENS)
            assert answer.choices[0].message.content == ask(url, name, TEXTS[0])[0]
            assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (NEW_TOKENS, "length")
        with pytest.raises(openai.BadRequestError, match="the model holds 1024; send a shorter one"):
            client.completions.create(model="base:first", prompt="x" * 5000)


def test_the_endpoints_own_port_is_taken_while_it_runs(url, run_dir, model, config):
    with pytest.raises(ServeError, match=f"{config.port} cannot be used"):
        start(config, run_dir, model, SCENARIO)
    assert httpx.get(f"{url}/healthz", timeout=10).json()["status"] == "ok"
