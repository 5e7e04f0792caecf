"""Requests come to the stepping thread at any moment and go again, and what it cannot step is answered in between."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

import pytest
import torch
from talkative import NAMES, requests_for

from mixwright.config import LoraConfig
from mixwright.decoding import Decoding
from mixwright.errors import ModelError
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.generate.engine import Request
from mixwright.generate.loop import EngineLoop, FullError
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import COMPLETE, with_adapter

LONG = Request(prompt_ids=(5, 6, 7), max_new_tokens=400)


async def answer_of(loop, engine, request):
    (parts,) = loop.submit([request], piecewise=True)
    ids = []
    async for part in parts:
        if part.whole is not None:
            return part.whole.text
        ids += part.token_ids
    return engine.reference.text(ids)


def test_requests_that_come_at_any_moment_are_answered_as_alone(tiny, tuned):
    requests = requests_for(tiny.tokenizer, NAMES) * 3
    requests[4] = dataclasses.replace(requests[4], decoding=Decoding(num_beams=3))
    expected = TransformersEngine(tuned, tiny.tokenizer).generate(requests)
    engine = ContinuousEngine(tuned, tiny.tokenizer, limits=Limits(rows=4))
    loop = EngineLoop(engine)

    async def late(index, request):
        await asyncio.sleep(0.005 * index)
        return await answer_of(loop, engine, request)

    async def all_of_them():
        return await asyncio.gather(*(late(index, request) for index, request in enumerate(requests)))

    assert asyncio.run(all_of_them()) == expected


def test_a_stream_that_is_closed_frees_its_row_at_the_next_step(tiny):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(rows=1))
    loop = EngineLoop(engine)

    async def ask():
        (first,) = loop.submit([LONG], piecewise=True)
        iterator = aiter(first)
        await anext(iterator)
        (second,) = loop.submit([dataclasses.replace(LONG, max_new_tokens=3)])
        first.close()
        async for part in second:
            assert len(part.token_ids) == 3
        return len(first.ticket.output)

    assert asyncio.run(ask()) < 100
    assert engine.batch.idle


def test_a_request_that_goes_before_it_is_begun_costs_nothing(tiny):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    loop = EngineLoop(engine)

    async def ask():
        with loop._change:  # the thread cannot take it in yet
            (parts,) = loop.submit([LONG])
            parts.close()
        await loop.between(lambda: None)

    asyncio.run(ask())
    assert engine.batch.counts.passes == 0


def test_beyond_the_limit_of_waiting_tokens_nothing_more_is_taken_in(tiny):
    loop = EngineLoop(ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(rows=1)), max_waiting_tokens=500)

    async def ask():
        (first,) = loop.submit([LONG], piecewise=True)
        await anext(aiter(first))  # in work, so it waits no more
        (second,) = loop.submit([LONG])
        (third,) = loop.submit([LONG])
        with pytest.raises(FullError, match="806 tokens wait already, 500 may"):
            loop.submit([LONG])
        for parts in (first, second, third):
            parts.close()
        await loop.between(lambda: None)
        (last,) = loop.submit([dataclasses.replace(LONG, max_new_tokens=2)])
        return [part async for part in last]

    assert len(asyncio.run(ask())[0].token_ids) == 2


def test_work_between_steps_is_done_while_rows_are_in_work_and_does_not_starve_them(tiny):
    loop = EngineLoop(ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(drafts=False)))
    threads = set()

    async def ask():
        (parts,) = loop.submit([LONG], piecewise=True)
        arrived, chores = 0, 0

        async def chore():
            nonlocal chores
            while not parts.ended:
                await loop.between(lambda: threads.add(threading.current_thread().name))
                chores += 1

        beside = asyncio.create_task(chore())
        async for _ in parts:
            arrived += 1
        await beside
        return arrived, chores

    arrived, chores = asyncio.run(ask())
    assert arrived >= 400
    assert chores > 10
    assert threads == {"engine"}


def test_what_fails_between_steps_is_raised_where_it_was_asked(tiny):
    loop = EngineLoop(ContinuousEngine(tiny.model, tiny.tokenizer))

    async def ask():
        with pytest.raises(ZeroDivisionError):
            await loop.between(lambda: 1 // 0)
        (unknown,) = loop.submit([Request(prompt_ids=(5, 6), adapter="nobody", max_new_tokens=2)])
        with pytest.raises(ModelError, match="no adapter 'nobody'"):
            await anext(aiter(unknown))
        return await loop.between(lambda: 7)

    assert asyncio.run(ask()) == 7


def test_a_step_that_fails_is_told_to_its_rows_and_the_next_ones_are_answered(tiny, monkeypatch):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    loop = EngineLoop(engine)
    (request,) = requests_for(tiny.tokenizer)[:1]
    (expected,) = engine.generate([request])

    async def ask():
        def broken():
            raise MemoryError("no room")

        monkeypatch.setattr(engine.batch, "step", broken)
        (parts,) = loop.submit([request])
        with pytest.raises(RuntimeError, match="the engine failed: no room"):
            await anext(aiter(parts))
        return await answer_of(loop, engine, request)

    assert asyncio.run(ask()) == expected


def test_an_engine_that_answers_as_a_whole_gets_what_waits_in_one_batch():
    engine = EchoEngine()
    loop = EngineLoop(engine, rows=3)
    prompts = [f"### Input:\n{text}\n\n### Response:\n" for text in "abcde"]
    requests = [Request(prompt_ids=tuple(CharacterTokenizer()(prompt)["input_ids"]), max_new_tokens=9) for prompt in prompts]

    async def ask():
        return [part.whole.text for parts in loop.submit(requests) async for part in parts]

    assert asyncio.run(ask()) == list("abcde")
    assert [len(batch) for batch in engine.batches] == [3, 2]


def saved(tiny, folder, name, seed, **lora):
    """An adapter folder that moves the tiny model far enough to answer differently."""
    model = with_adapter(tiny.model, LoraConfig(rank=4, alpha=64, **lora), name="default", seed=seed)
    torch.manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_(std=0.2)
    model.save_pretrained(folder / name)
    (folder / name / COMPLETE).touch()
    model.unload()
    return folder / name


def test_adapters_come_and_go_beside_rows_in_work(tiny, tmp_path):
    folders = {name: saved(tiny, tmp_path, name, seed) for seed, name in enumerate(("one", "two"))}
    dora = saved(tiny, tmp_path, "dora", 5, use_dora=True)
    request = requests_for(tiny.tokenizer)[0]
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    loop = EngineLoop(engine)

    async def ask():
        (long,) = loop.submit([LONG], piecewise=True)
        iterator = aiter(long)
        await anext(iterator)
        said = {}
        for name, folder in [*folders.items(), ("dora", dora), ("again", folders["one"])]:
            await loop.hold(name, folder)
            said[name] = await answer_of(loop, engine, dataclasses.replace(request, adapter=name))
            if name != "dora":
                await loop.release(name)
        said["base"] = await answer_of(loop, engine, request)
        alive = not long.ended
        async for _ in iterator:
            pass
        return said, alive, long.ticket.output

    said, alive, output = asyncio.run(ask())
    reference = {}
    for name in ("one", "two", "dora"):
        folder = dora if name == "dora" else folders[name]
        fresh = ContinuousEngine(tiny.model, tiny.tokenizer, own_pass=False)
        engine.release("dora")
        fresh.hold(name, folder)
        reference[name] = fresh.generate([dataclasses.replace(request, adapter=name)])[0]
        reference["base"] = fresh.generate([request])[0]
        fresh.release(name)
    assert alive
    assert said == {**reference, "again": reference["one"]}
    assert len(set(reference.values())) == 4
    assert len(output) == 400


def test_an_adapter_that_goes_leaves_no_tensor_behind(tiny, tmp_path):
    folder = saved(tiny, tmp_path, "one", 0)
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    engine.hold("one", folder)
    held = sum("lora_" in name for name, _ in engine.model.named_parameters())
    engine.release("one")
    assert held > 0
    assert not [name for name, _ in engine.model.named_parameters() if "lora_" in name]
    assert not any(product.low_rank for product, _ in engine._llama._products())


def test_an_adapter_that_cannot_be_loaded_leaves_the_model_as_it_was(tiny, tmp_path):
    good, bad = saved(tiny, tmp_path, "good", 0), saved(tiny, tmp_path, "bad", 1)
    weights = bad / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    request = requests_for(tiny.tokenizer)[0]
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    (base,) = engine.generate([request])
    for _ in range(2):
        with pytest.raises(ModelError, match="damaged or does not fit"):
            engine.hold("bad", bad)
        engine.hold("good", good)
        asked = [request, dataclasses.replace(request, adapter="good")]
        assert engine.generate(asked) == engine.reference.generate(asked)
        assert engine.generate(asked)[0] == base


def test_an_adapter_of_the_embedding_leaves_rows_of_others_alone(tiny, tmp_path):
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    model = get_peft_model(tiny.model, PeftLoraConfig(r=4, target_modules=["embed_tokens", "q_proj"]))
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data.normal_(std=0.3)
    model.save_pretrained(tmp_path / "wide")
    model.unload()
    request = requests_for(tiny.tokenizer)[0]
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    (base,) = engine.generate([request])
    engine.hold("wide", tmp_path / "wide")
    wide = dataclasses.replace(request, adapter="wide")
    assert "adapts more than linear layers" in engine.unfit(wide)
    answers = engine.generate([request, wide])
    assert answers == [base, engine.reference.generate([wide])[0]]
    assert answers[1] != base
