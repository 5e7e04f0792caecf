"""Our own decoding gives what transformers gives, whatever else is in work, however it is cut up, and whoever leaves early."""

from __future__ import annotations

import dataclasses
import logging

import pytest
import torch
from talkative import NAMES, TEXTS, new_tokens, requests_for, talkative

from mixwright.config import LoraConfig
from mixwright.decoding import Decoding
from mixwright.errors import ModelError
from mixwright.generate.adapters import active
from mixwright.generate.batch import Batch, Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.decoding import Row
from mixwright.generate.engine import Request
from mixwright.generate.llama import DecodingLlama
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.llama import Unfit
from mixwright.models import with_adapter
from mixwright.prompts import prompt_ids
from mixwright.testing import make_tiny_model

INSTRUCTIONS = ("Correct the sentence.", "Make this simpler.", "Say it in other words: keep the meaning, and change the words.")


def many_requests(tokenizer, adapters=("base",), count=60):
    """Rows that begin alike, of different length, some of them the same, each with a limit of its own."""
    return [
        Request(
            prompt_ids=prompt_ids(tokenizer, INSTRUCTIONS[index % 3], TEXTS[index % 5] * (1 + index % 4)),
            adapter=adapters[index % len(adapters)],
            max_new_tokens=5 + index % 17,
        )
        for index in range(count)
    ]


def by_transformers(model, requests):
    """New tokens of transformers' own `generate`, row by row, adapter by adapter."""
    outputs = []
    for request in requests:
        if request.adapter == "base" and hasattr(model, "disable_adapter"):
            with model.disable_adapter():
                outputs.append(new_tokens(model, request))
        elif request.adapter != "base":
            with active(model, request.adapter):
                outputs.append(new_tokens(model, request))
        else:
            outputs.append(new_tokens(model, request))
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return [tokens[:-1] if tokens and tokens[-1] in ends else tokens for tokens in outputs]


def tokens_of(engine, requests):
    outputs = [[] for _ in requests]
    for fresh in engine.stream(requests):
        outputs[fresh.index] += fresh.token_ids
    return outputs


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(rows=1),
        Limits(rows=7, prefill_tokens=100),
        Limits(rows=16, cache_tokens=600),
        Limits(drafts=False),
    ],
    ids=str,
)
def test_greedy_output_is_token_for_token_that_of_transformers(tiny, tuned, limits):
    requests = many_requests(tiny.tokenizer, NAMES)
    engine = ContinuousEngine(tuned, tiny.tokenizer, limits=limits)
    assert tokens_of(engine, requests) == by_transformers(tuned, requests)


def test_a_model_that_repeats_its_prompt_takes_several_drafted_tokens_a_step(folder):
    """A model whose layers are as made goes on with a token that it has just seen, so most drafts come true."""
    tiny = talkative(folder)
    for parameter in tiny.model.get_decoder().layers.parameters():
        if parameter.dim() == 2:
            parameter.data.mul_(0.2)
    requests = [
        Request(prompt_ids=(5, 6, 7, 8, token, token, token, token), max_new_tokens=24) for token in (30, 31, 32, 60, 61, 62)
    ]
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    assert tokens_of(engine, requests) == by_transformers(tiny.model, requests)
    assert engine.batch.counts.accepted > 2 * len(requests)


def test_what_rows_share_is_computed_once(tiny):
    requests = many_requests(tiny.tokenizer)
    engine = ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(rows=8))
    engine.generate(requests)
    counts = engine.batch.counts
    assert counts.prompt_tokens == sum(len(request.prompt_ids) for request in requests)
    assert counts.computed_prompt_tokens < 0.4 * counts.prompt_tokens


def test_end_tokens_end_rows_and_leave_neighbours_alone(tiny):
    tiny.model.generation_config.eos_token_id = [tiny.tokenizer.eos_token_id, 20, 40, 60, 80, 100, 120]
    requests = many_requests(tiny.tokenizer)
    expected = by_transformers(tiny.model, requests)
    engine = ContinuousEngine(tiny.model, tiny.tokenizer, limits=Limits(rows=8))
    assert tokens_of(engine, requests) == expected
    assert len({len(tokens) for tokens in expected}) > 3
    ended = [answer.ended for answer in engine.answer(requests)]
    assert ended == [len(tokens) < request.max_new_tokens for tokens, request in zip(expected, requests, strict=True)]


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(repetition_penalty=1.3),
        Decoding(temperature=0.9, top_p=0.95, seed=3),
        Decoding(temperature=0.7, top_k=5, repetition_penalty=1.2),
        Decoding(num_beams=3),
    ],
    ids=lambda item: item.text,
)
def test_every_strategy_answers_as_the_reference_does(tiny, tuned, decoding):
    plain = many_requests(tiny.tokenizer, NAMES, count=24)
    requests = [dataclasses.replace(item, decoding=decoding) if index % 3 else item for index, item in enumerate(plain)]
    expected = TransformersEngine(tuned, tiny.tokenizer).answer(requests)
    assert ContinuousEngine(tuned, tiny.tokenizer, limits=Limits(rows=6)).answer(requests) == expected
    assert expected != TransformersEngine(tuned, tiny.tokenizer).answer(plain)


def test_a_cancelled_row_leaves_and_the_others_do_not_notice(tiny):
    llama = DecodingLlama.of(tiny.model)
    requests = many_requests(tiny.tokenizer, count=12)
    expected = by_transformers(tiny.model, requests)
    batch = Batch(llama, frozenset({tiny.tokenizer.eos_token_id}), Limits(rows=8))
    tickets = [
        batch.submit(Row(prompt_ids=item.prompt_ids, adapter="base", max_new_tokens=item.max_new_tokens)) for item in requests
    ]
    batch.step(), batch.step()
    batch.cancel(tickets[2]), batch.cancel(tickets[11])
    left = batch.step()
    assert tickets[2] in left
    assert tickets[2].done
    said = list(tickets[2].output)
    while not batch.idle:
        batch.step()
    assert tickets[2].output == said == expected[2][: len(said)]
    assert tickets[11].output == []
    others = [index for index in range(12) if index not in (2, 11)]
    assert [tickets[index].output for index in others] == [expected[index] for index in others]


def test_rows_that_come_late_join_those_in_work(tiny):
    llama = DecodingLlama.of(tiny.model)
    requests = many_requests(tiny.tokenizer, count=10)
    batch = Batch(llama, frozenset({tiny.tokenizer.eos_token_id}))
    tickets = []
    for item in requests:
        tickets.append(batch.submit(Row(prompt_ids=item.prompt_ids, adapter="base", max_new_tokens=item.max_new_tokens)))
        batch.step()
    late = Row(prompt_ids=(5,) * 300, adapter="base", max_new_tokens=9)  # longer than any slot
    tickets.append(batch.submit(late))
    while not batch.idle:
        batch.step()
    expected = [*by_transformers(tiny.model, requests), new_tokens(tiny.model, Request(prompt_ids=(5,) * 300, max_new_tokens=9))]
    assert [ticket.output for ticket in tickets] == expected


def test_a_closed_stream_leaves_nothing_behind(tiny):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    requests = many_requests(tiny.tokenizer, count=12)
    stream = engine.stream(requests)
    assert next(stream).token_ids
    stream.close()
    assert tokens_of(engine, requests) == by_transformers(tiny.model, requests)
    assert engine.batch.idle


def test_tokens_come_while_rows_are_in_work(tiny):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    parts = [fresh for fresh in engine.stream(requests_for(tiny.tokenizer)) if fresh.index == 0]
    assert len(parts) > 3
    assert [fresh.done for fresh in parts] == [False] * (len(parts) - 1) + [True]


def test_an_adapter_that_has_learned_since_answers_as_it_is_now(tiny, tuned):
    requests = many_requests(tiny.tokenizer, ("first",), count=8)
    engine = ContinuousEngine(tuned, tiny.tokenizer)
    before = tokens_of(engine, requests)
    for name, parameter in tuned.named_parameters():
        if "lora_B.first." in name:
            parameter.data.mul_(-1)
    after = tokens_of(engine, requests)
    assert after == by_transformers(tuned, requests) != before


def test_a_model_in_training_goes_on_as_it_was(tiny, tuned):
    tuned.set_adapter("first")
    tuned.train()
    modes = [module.training for module in tuned.modules()]
    trainable = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    ContinuousEngine(tuned, tiny.tokenizer).generate(requests_for(tiny.tokenizer, NAMES))
    assert [module.training for module in tuned.modules()] == modes
    assert {name for name, parameter in tuned.named_parameters() if parameter.requires_grad} == trainable
    ids = torch.tensor([[5, 6, 7]])
    assert tuned(input_ids=ids, labels=ids).loss.requires_grad


def test_rows_of_a_dora_adapter_go_through_the_modules_and_the_log_says_so(tiny, tuned, caplog):
    model = with_adapter(tuned, LoraConfig(rank=4, use_dora=True), name="dora", seed=5)
    for key, parameter in model.named_parameters():
        if "lora_B.dora." in key:
            parameter.data.normal_(std=0.2)
    requests = many_requests(tiny.tokenizer, ("first", "dora"), count=8)
    with caplog.at_level(logging.INFO):
        answers = ContinuousEngine(model, tiny.tokenizer).answer(requests)
    assert answers == TransformersEngine(model, tiny.tokenizer).answer(requests)
    assert "transformers' own pass: 'dora' is not made of plain low-rank pairs" in caplog.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: setattr(model.config, "hidden_act", "gelu"), "not built as LLaMA"),
        (lambda model: setattr(model.config, "attention_bias", True), "not built as LLaMA"),
        (lambda model: setattr(model.lm_head.weight, "data", torch.empty(0)), "sharded"),
        (lambda model: model.get_decoder().norm.double(), "several dtypes"),
    ],
)
def test_a_model_built_otherwise_is_left_to_transformers(tiny, change, reason):
    change(tiny.model)
    found = DecodingLlama.of(tiny.model)
    assert isinstance(found, Unfit)
    assert reason in found.reason


def test_another_architecture_is_answered_for_by_transformers(tiny):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=260, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2
    )
    other = Qwen2ForCausalLM(config).eval()
    requests = requests_for(tiny.tokenizer)
    expected = TransformersEngine(other, tiny.tokenizer).generate(requests)
    assert ContinuousEngine(other, tiny.tokenizer).generate(requests) == expected


def test_a_fully_tuned_model_answers_under_its_name(tiny, tmp_path):
    other = talkative(make_tiny_model(tmp_path), seed=7)
    requests = requests_for(tiny.tokenizer, ("base", "whole"))
    tuned = {"whole": other.model}
    expected = TransformersEngine(tiny.model, tiny.tokenizer, tuned=tuned).generate(requests)
    assert ContinuousEngine(tiny.model, tiny.tokenizer, tuned=tuned).generate(requests) == expected


def test_an_unknown_adapter_is_refused_with_the_nearest_name(tiny, tuned):
    request = Request(prompt_ids=(5, 6), adapter="frist", max_new_tokens=2)
    with pytest.raises(ModelError, match="no adapter 'frist'; there are base, first, second; did you mean 'first'"):
        ContinuousEngine(tuned, tiny.tokenizer).generate([request])


def test_no_requests_and_no_room_are_no_answers(tiny):
    engine = ContinuousEngine(tiny.model, tiny.tokenizer)
    assert engine.generate([]) == []
    assert engine.generate([Request(prompt_ids=(5, 6), max_new_tokens=0)]) == [""]
