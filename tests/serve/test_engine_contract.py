"""Every engine that can be served keeps the same contract: our own pass, transformers, and vLLM, whose shipped fake stands in where
it is not installed."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util

import pytest
import torch
from serve.engine import Prompt
from serve.loading import load_replica
from serve.schema import NllRow
from serve.service import LateError
from serve.settings import Endpoint
from talkative import TEXTS, talkative
from tests.serve import fake_vllm

from mixwright.config import LoraConfig, ModelConfig, ServeConfig
from mixwright.decoding import Decoding
from mixwright.errors import ModelError
from mixwright.evaluate.retention import response_loss
from mixwright.generate.engine import Request
from mixwright.generate.likelihoods import likelihoods
from mixwright.generate.loop import FullError
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import COMPLETE, load_base, with_adapter, with_saved_adapter
from mixwright.prompts import chat_ids, render
from mixwright.scenarios import load_scenario
from mixwright.testing import make_tiny_model

ENGINES = ("mixwright", "transformers", "vllm")
STEPPED = ("mixwright", "vllm")
"""Those whose answers come in pieces, and that give a row up at once."""
IS_REAL = importlib.util.find_spec("vllm") is not None
VLLM = {"enforce_eager": True, "gpu_memory_utilization": 0.1}
"""Nothing is compiled for so small a model, and several engines share the machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    tiny = talkative(make_tiny_model(folder / "model", heads=2))
    tiny.model.save_pretrained(folder / "model")
    adapters = {"first": {}, "second": {}, "dora": {"use_dora": True}, "wide": {"rank": 32}}
    for seed, (name, settings) in enumerate(adapters.items()):
        lora = LoraConfig(**{"rank": 4, "alpha": 64, **settings})
        model = with_adapter(talkative(folder / "model").model, lora, name="default", seed=seed)
        torch.manual_seed(seed)
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.data.normal_(std=0.2)
        model.save_pretrained(folder / "adapters" / name)
        (folder / "adapters" / name / COMPLETE).touch()
    return folder


@pytest.fixture(scope="module")
def reference(folder):
    base = load_base(ModelConfig(name=str(folder / "model")), torch.float32)
    model = base.model
    for name in ("first", "second"):
        model = with_saved_adapter(model, folder / "adapters" / name, name=name)
    return TransformersEngine(model, base.tokenizer)


@pytest.fixture
def replica_of(folder, monkeypatch):
    if not IS_REAL:
        fake_vllm.installed(monkeypatch)
    loaded = []

    def load(engine, *, on_death=lambda: None, vllm=VLLM, **settings):
        endpoint = Endpoint(
            model=ModelConfig(name=str(folder / "model")),
            adapters={},
            adapters_dir=str(folder / "adapters"),
            scenario=load_scenario("writing"),
            precision="fp32",
            serve=ServeConfig(engine=engine, vllm=vllm if engine == "vllm" else {}, **settings),
        )
        loaded.append(load_replica(endpoint, on_death=on_death))
        return loaded[-1]

    yield load
    for replica in loaded:
        replica.engine.close()


def prompts_for(adapters=("base", "first", "second"), limit=15):
    return [
        Prompt(content=({"role": "user", "content": text},), adapter=adapters[index % len(adapters)], max_new_tokens=limit)
        for index, text in enumerate(TEXTS)
    ]


def asked_of(reference, prompts):
    requests = [
        Request(
            prompt_ids=chat_ids(reference.tokenizer, list(prompt.content)),
            adapter=prompt.adapter,
            max_new_tokens=prompt.max_new_tokens,
        )
        for prompt in prompts
    ]
    return reference.answer(requests)


@pytest.mark.parametrize("engine", ENGINES)
def test_adapters_mixed_in_flight_answer_as_alone_token_for_token(replica_of, reference, engine):
    service, prompts = replica_of(engine).service, prompts_for()

    async def ask():
        return await asyncio.gather(*(service.complete([prompt]) for prompt in prompts), service.complete(prompts))

    *single, together = asyncio.run(ask())
    expected = asked_of(reference, prompts)
    assert [answer.text for (answer,) in single] == [answer.text for answer in together] == [item.text for item in expected]
    assert [answer.completion_tokens for answer in together] == [item.tokens for item in expected]


@pytest.mark.parametrize("engine", ENGINES)
def test_pieces_add_up_to_the_whole_and_stops_cut_them_alike(replica_of, engine):
    service, (prompt, *_) = replica_of(engine).service, prompts_for(limit=40)

    async def ask(prompt):
        pieces = [delta async for delta in service.stream(prompt)]
        (whole,) = await service.complete([prompt])
        return pieces, whole

    async def both():
        pieces, whole = await ask(prompt)
        return pieces, whole, *await ask(dataclasses.replace(prompt, stop=(whole.text[10:12],)))

    pieces, whole, cut, stopped = asyncio.run(both())
    assert "".join(piece.text for piece in pieces) == whole.text
    assert "".join(piece.text for piece in cut) == stopped.text != whole.text
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert (cut[-1].finish_reason, cut[-1].completion_tokens) == ("stop", stopped.completion_tokens)
    if engine in STEPPED:
        assert len(pieces) > 10


@pytest.mark.parametrize("engine", STEPPED)
def test_a_reader_that_goes_away_or_runs_out_of_time_frees_its_row(replica_of, engine):
    replica = replica_of(engine, request_timeout_s=0.3)
    (prompt, *_) = prompts_for(limit=900)

    async def ask():
        stream = replica.service.stream(prompt)
        await anext(stream)
        assert replica.state()["working"] == 1
        await stream.aclose()
        await asyncio.sleep(0.1)
        assert replica.state()["working"] == 0
        with pytest.raises(LateError):
            await replica.service.complete([prompt] * 8)
        await asyncio.sleep(0.2)
        assert replica.state()["working"] == 0

    asyncio.run(ask())


@pytest.mark.parametrize("engine", ENGINES)
def test_beyond_the_waiting_tokens_requests_are_refused(replica_of, engine):
    service = replica_of(engine, max_waiting_tokens=100, max_batch_size=1).service
    (prompt, *_) = prompts_for(limit=200)

    async def ask():
        asked = [asyncio.create_task(service.complete([prompt])) for _ in range(6)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [isinstance(answer, FullError) for answer in answers]

    refused = asyncio.run(ask())
    assert not refused[0]
    assert refused[-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_likelihoods_and_losses_are_those_of_the_model(replica_of, reference, engine):
    service = replica_of(engine).service
    row = NllRow(instruction="Say it.", text="He go.", response="He goes.")

    async def ask():
        prompts = [Prompt(content="He go home.", adapter="first", max_new_tokens=1)]
        return (await service.token_scores(prompts, 2))[0], await service.nll([row], "second")

    scores, loss = asyncio.run(ask())
    ids = tuple(reference.tokenizer("He go home.")["input_ids"])
    (expected,) = likelihoods(reference.model, [ids], pad_id=reference.tokenizer.pad_token_id, top=2, adapter="first")
    assert scores.logprobs[1:-1] == pytest.approx(expected.logprobs, abs=1e-4)
    assert scores.logprobs[-1] == pytest.approx(expected.top[-1][0][1], abs=1e-4)
    rendered = render(reference.tokenizer, row.instruction, row.text, row.response)
    wanted = response_loss(reference.model, reference.tokenizer, [rendered], adapter="second")
    assert (loss.nll, loss.tokens) == (pytest.approx(wanted.nll, abs=1e-4), wanted.tokens)


@pytest.mark.parametrize("engine", ENGINES)
def test_adapters_make_room_for_one_another(replica_of, reference, engine):
    replica = replica_of(engine, max_loaded_adapters=1)
    prompts = prompts_for()

    async def ask():
        return [(await replica.service.complete([prompt]))[0].text for prompt in prompts]

    assert asyncio.run(ask()) == [answer.text for answer in asked_of(reference, prompts)]
    assert replica.state()["adapters"] == 1
    assert replica.state()["evicted"] > 1


@pytest.mark.parametrize("engine", ENGINES)
def test_an_adapter_that_is_not_there_is_refused(replica_of, engine):
    service = replica_of(engine).service
    with pytest.raises(ModelError, match="no adapter 'frist'; there are base, dora, first, second, wide; did you mean 'first'"):
        asyncio.run(service.complete(prompts_for(("frist",))))


def test_what_vllm_cannot_do_is_refused_by_name(replica_of):
    service = replica_of("vllm", vllm={**VLLM, "max_lora_rank": 8}).service
    beams = dataclasses.replace(prompts_for(("base",))[0], decoding=Decoding(num_beams=2))
    with pytest.raises(ModelError, match=r"vllm has no beam search; choose serve\.engine mixwright"):
        asyncio.run(service.complete([beams]))
    with pytest.raises(ModelError, match="vLLM would not serve it: use_dora is not supported"):
        asyncio.run(service.complete(prompts_for(("dora",))))
    with pytest.raises(ModelError, match=r"ranks up to 8, and its own is larger; set serve\.vllm: \{max_lora_rank: 32\}"):
        asyncio.run(service.complete(prompts_for(("wide",))))


def test_rows_of_a_vllm_whose_processes_are_gone_end_and_the_replica_hears_of_it(replica_of):
    heard = asyncio.Event()
    replica = replica_of("vllm", on_death=heard.set)
    (prompt, *_) = prompts_for(limit=900)

    async def ask():
        stream = replica.service.stream(prompt)
        await anext(stream)
        fake_vllm.kill(replica.engine.engine)
        with pytest.raises(Exception, match="EngineCore encountered an issue"):
            async for _ in stream:
                pass
        await asyncio.wait_for(heard.wait(), 10)
        with pytest.raises(Exception, match="EngineCore encountered an issue"):
            await replica.check_health()

    asyncio.run(ask())


def test_without_vllm_the_way_to_it_is_told(replica_of, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "vllm.v1.engine.async_llm", None)
    with pytest.raises(ModelError, match=r"pip install 'mixwright\[vllm\]'"):
        replica_of("vllm")
