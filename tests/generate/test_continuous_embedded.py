"""The embedded model through adapters: in fp32 our tokens are transformers', and in bf16 they part where rounding decides, no
oftener than transformers' own batches do."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest

from mixwright.config import LoraConfig, ModelConfig, SweepConfig
from mixwright.data.prepare import prepare
from mixwright.evaluate.runner import evaluation_rows
from mixwright.generate.adapters import active
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.engine import Request
from mixwright.models import load_base, with_adapter
from mixwright.prompts import prompt_ids
from mixwright.scenarios import load_scenario

MAX_NEW_TOKENS = 48
LARGEST_GAP = 4
"""Steps of bf16 between two logits that rounding may swap; 34.0 and 34.25 lie a step apart, 20.0 and 20.125 too. Over 500 rows
transformers' own batches reach 3."""
SAME_IN_FP32 = 1e-3
"""Logits near 20 lie 2e-6 apart there, and thirty layers add up some hundreds of such roundings."""
SIGNIFICANT = 0.01
NAMES = ("first", "second")


def adapted(dtype):
    base = load_base(ModelConfig(), dtype)
    model = base.model
    for seed, name in enumerate(NAMES):
        model = with_adapter(model, LoraConfig(rank=8), name=name, seed=seed)
        torch.manual_seed(seed)
        for key, parameter in model.named_parameters():
            if f"lora_B.{name}." in key:
                parameter.data.normal_(std=0.01)
    return model.eval(), base.tokenizer


def asked(model, tokenizer, requests):
    """Our new tokens, all rows asked together."""
    outputs = [[] for _ in requests]
    engine = ContinuousEngine(model, tokenizer, limits=Limits(rows=32))
    for fresh in engine.stream(requests):
        outputs[fresh.index] += fresh.token_ids
    assert engine.batch.counts.accepted > 0
    return outputs


def requests_for(tokenizer, count):
    scenario = load_scenario("writing")
    data = prepare(SweepConfig.model_validate({"name": "rows"}).data, scenario, seed=0)
    rows = evaluation_rows(scenario, data.dev, rows=-(-count // len(scenario.tasks)), seed=0)[:count]
    return [
        Request(
            prompt_ids=prompt_ids(tokenizer, row.instruction, row.example.text),
            adapter=NAMES[index % 2],
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for index, row in enumerate(rows)
    ]


def by_transformers(model, tokenizer, requests, batch_size):
    """New tokens of transformers' own `generate`; alone where the batch size is 1."""
    outputs = {}
    for name in NAMES:
        indices = [index for index, request in enumerate(requests) if request.adapter == name]
        for start in range(0, len(indices), batch_size):
            some = indices[start : start + batch_size]
            prompts = {"input_ids": [list(requests[index].prompt_ids) for index in some]}
            batch = tokenizer.pad(prompts, padding_side="left", return_tensors="pt")
            with active(model, name), torch.no_grad():
                found = model.generate(**batch, do_sample=False, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=tokenizer.pad_token_id)
            outputs |= zip(some, found[:, batch["input_ids"].shape[1] :].tolist(), strict=True)
    ends = {tokenizer.eos_token_id, model.generation_config.eos_token_id}
    answers = [outputs[index] for index in range(len(requests))]
    return [tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))] for tokens in answers]


def difference(model, tokenizer, request, ours, theirs):
    """Both sides' logits where they part, as the model gives them for the prompt and what both said; None where they do not."""
    if ours == theirs:
        return None
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    tokens = [side[place] if place < len(side) else tokenizer.eos_token_id for side in (ours, theirs)]
    with active(model, request.adapter), torch.no_grad():
        logits = model(input_ids=torch.tensor([[*request.prompt_ids, *ours[:place]]]), logits_to_keep=1).logits[0, -1].float()
    return tuple(logits[tokens].tolist())


def parted(model, tokenizer, requests, ours, theirs):
    """Row -> the two logits where its answers part; such rows only."""
    found = [difference(model, tokenizer, *parts) for parts in zip(requests, ours, theirs, strict=True)]
    return {index: pair for index, pair in enumerate(found) if pair is not None}


def steps_apart(pair):
    """Of two logits, in steps of bf16 at their size."""
    return abs(pair[0] - pair[1]) / 2.0 ** (math.frexp(max(map(abs, pair)))[1] - 8)


def check_in_bf16(count, batch_size):
    """In bf16 transformers' own batches part from its rows alone where two tokens are as likely; so may ours, and not oftener.

    McNemar's exact test: of the rows where only one of the two parts, ours are not significantly the more.
    """
    model, tokenizer = adapted(torch.bfloat16)
    requests = requests_for(tokenizer, count)
    ours = asked(model, tokenizer, requests)
    alone, batched = (by_transformers(model, tokenizer, requests, size) for size in (1, batch_size))
    ours_parted = parted(model, tokenizer, requests, ours, alone)
    theirs_parted = parted(model, tokenizer, requests, batched, alone)
    print(f"of {count} rows part from transformers alone: ours {ours_parted}, its own batches {theirs_parted}")  # noqa: T201
    assert all(steps_apart(pair) <= LARGEST_GAP for pair in ours_parted.values()), ours_parted
    only_ours, only_theirs = len(ours_parted.keys() - theirs_parted.keys()), len(theirs_parted.keys() - ours_parted.keys())
    if only_ours > only_theirs:
        assert binomtest(only_ours, only_ours + only_theirs, alternative="greater").pvalue > SIGNIFICANT


@pytest.mark.model
def test_rows_asked_together_get_what_transformers_gives_each_alone_as_nearly_as_its_own_batches_do():
    check_in_bf16(count=24, batch_size=12)


@pytest.mark.model
@pytest.mark.slow
def test_five_hundred_rows_get_what_transformers_gives_each_alone_as_nearly_as_its_own_batches_do():
    check_in_bf16(count=500, batch_size=32)


@pytest.mark.model
@pytest.mark.slow
def test_in_fp32_five_hundred_rows_asked_together_get_what_transformers_gives_each_alone():
    model, tokenizer = adapted(torch.float32)
    requests = requests_for(tokenizer, 500)
    found = parted(model, tokenizer, requests, asked(model, tokenizer, requests), by_transformers(model, tokenizer, requests, 1))
    print(f"in fp32 part from transformers alone: {found}")  # noqa: T201
    assert all(abs(one - other) < SAME_IN_FP32 for one, other in found.values()), found
    assert len(found) <= 1
