"""Greedy batches must read like one prompt at a time, whatever stands beside it."""

from __future__ import annotations

import pytest
import torch
from talkative import NAMES, TEXTS, asked_alone, new_tokens, requests_for, talkative

from mixwright.config import LoraConfig
from mixwright.errors import ModelError
from mixwright.generate.engine import Request
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import with_adapter
from mixwright.prompts import prompt_ids
from mixwright.testing import make_tiny_model


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_batch_answers_as_transformers_does_one_by_one(tiny, batch_size):
    requests = requests_for(tiny.tokenizer)
    answers = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=batch_size).generate(requests)
    assert answers == [asked_alone(tiny.model, tiny.tokenizer, request) for request in requests]
    assert len(set(answers)) == len(answers)


def test_a_mixed_batch_answers_as_each_adapter_does_alone(tiny, tuned):
    requests = requests_for(tiny.tokenizer, NAMES)
    mixed = TransformersEngine(tuned, tiny.tokenizer).generate(requests)
    alone = {}
    for name in NAMES[1:]:
        tuned.set_adapter(name)
        alone[name] = [asked_alone(tuned, tiny.tokenizer, request) for request in requests]
    with tuned.disable_adapter():
        alone["base"] = [asked_alone(tuned, tiny.tokenizer, request) for request in requests]
    assert mixed == [alone[request.adapter][index] for index, request in enumerate(requests)]
    assert alone["base"] != alone["first"] != alone["second"]


def test_the_shared_opening_is_read_through_each_adapter(tiny, tuned):
    same_text = [
        Request(prompt_ids=prompt_ids(tiny.tokenizer, "Go on.", "A"), adapter=name, max_new_tokens=8) for name in NAMES * 2
    ]
    mixed = TransformersEngine(tuned, tiny.tokenizer).generate(same_text)
    single = [TransformersEngine(tuned, tiny.tokenizer).generate([request])[0] for request in same_text]
    assert mixed == single
    assert len(set(mixed)) == len(NAMES)


def test_an_end_token_ends_a_row_and_leaves_its_neighbours_alone(tiny):
    requests = requests_for(tiny.tokenizer)
    whole = [new_tokens(tiny.model, request) for request in requests]
    end = whole[0][3]
    tiny.model.generation_config.eos_token_id = [tiny.tokenizer.eos_token_id, end]
    cut = [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in whole]
    assert TransformersEngine(tiny.model, tiny.tokenizer).generate(requests) == [tiny.tokenizer.decode(tokens) for tokens in cut]
    assert len({len(tokens) for tokens in cut}) > 1


def test_each_request_keeps_its_own_limit(tiny):
    requests = [
        Request(prompt_ids=prompt_ids(tiny.tokenizer, "Go on.", text), max_new_tokens=limit) for limit, text in enumerate(TEXTS)
    ]
    answers = TransformersEngine(tiny.model, tiny.tokenizer).generate(requests)
    assert answers[0] == ""
    assert answers[1:] == [asked_alone(tiny.model, tiny.tokenizer, request) for request in requests[1:]]


def test_a_fully_tuned_model_answers_under_its_name(tiny, tmp_path):
    other = talkative(make_tiny_model(tmp_path), seed=7)
    requests = requests_for(tiny.tokenizer, ("base", "whole"))
    answers = TransformersEngine(tiny.model, tiny.tokenizer, tuned={"whole": other.model}).generate(requests)
    models = {"base": tiny.model, "whole": other.model}
    assert answers == [asked_alone(models[request.adapter], tiny.tokenizer, request) for request in requests]


def test_a_model_in_training_goes_on_as_it_was(tiny, tuned):
    tuned.set_adapter("first")
    tuned.train()
    trainable = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    tuned.get_base_model().get_decoder().layers[0].eval()  # a part that a recipe froze on purpose
    modes = [module.training for module in tuned.modules()]
    TransformersEngine(tuned, tiny.tokenizer).generate(requests_for(tiny.tokenizer, NAMES))
    assert [module.training for module in tuned.modules()] == modes
    assert {name for name, parameter in tuned.named_parameters() if parameter.requires_grad} == trainable
    ids = torch.tensor([[5, 6, 7]])
    assert tuned(input_ids=ids, labels=ids).loss.requires_grad


def test_a_model_whose_last_adapter_was_taken_off_answers_as_base(tiny):
    expected = TransformersEngine(tiny.model, tiny.tokenizer).generate(requests_for(tiny.tokenizer))
    model = with_adapter(tiny.model, LoraConfig(rank=2), name="trial", seed=0)
    model.delete_adapter("trial")
    assert TransformersEngine(model, tiny.tokenizer).generate(requests_for(tiny.tokenizer)) == expected


def test_an_unknown_adapter_is_refused_with_the_nearest_name(tiny, tuned):
    request = Request(prompt_ids=(5, 6), adapter="frist", max_new_tokens=2)
    with pytest.raises(ModelError, match="no adapter 'frist'; there are base, first, second; did you mean 'first'"):
        TransformersEngine(tuned, tiny.tokenizer).generate([request])


def test_no_requests_are_no_answers(tiny):
    assert TransformersEngine(tiny.model, tiny.tokenizer).generate([]) == []


def test_progress_counts_up_to_all_requests(tiny):
    seen = []
    engine = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=4, on_batch=lambda done, total: seen.append((done, total)))
    engine.generate(requests_for(tiny.tokenizer))
    assert seen == [(4, 6), (6, 6)]
