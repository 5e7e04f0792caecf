"""Beams, sampling and penalties: as transformers defines them, and blind to whatever else stands in the batch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter

import pytest
import torch
from talkative import NAMES, TEXTS, asked_alone, requests_for, talkative

from mixwright.decoding import GREEDY, Decoding
from mixwright.generate.choosing import begin, next_tokens
from mixwright.generate.engine import Request
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.prompts import prompt_ids
from mixwright.testing import make_tiny_model

BEAMS = (
    Decoding(num_beams=4),
    Decoding(num_beams=3, length_penalty=2.0),
    Decoding(num_beams=3, length_penalty=-1.0),
    Decoding(num_beams=2, repetition_penalty=1.3),
)
PENALTIES = (Decoding(repetition_penalty=1.1), Decoding(repetition_penalty=2.0))
SAMPLING = Decoding(temperature=0.9, top_p=0.95, seed=3)


def decoded(requests, decoding):
    return [dataclasses.replace(request, decoding=decoding) for request in requests]


def by_transformers(model, tokenizer, request):
    """The answer of transformers' own `generate` to one request in one batch, without padding."""
    ids, decoding = torch.tensor([request.prompt_ids]), request.decoding
    beams = {"length_penalty": decoding.length_penalty} if decoding.num_beams > 1 else {}
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=request.max_new_tokens,
        num_beams=decoding.num_beams,
        repetition_penalty=decoding.repetition_penalty,
        **beams,
    )
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    answer = itertools.takewhile(lambda token: token not in ends, output[0, ids.shape[1] :].tolist())
    return tokenizer.decode(list(answer), skip_special_tokens=True)


def with_more_ends(model, tokens=(20, 40, 60, 80, 100, 120)):
    """Ends often enough that hypotheses of different lengths compete and rows end apart."""
    model.generation_config.eos_token_id = [model.generation_config.eos_token_id, *tokens]


@pytest.mark.parametrize("decoding", BEAMS + PENALTIES, ids=lambda item: item.text)
@pytest.mark.parametrize("batch_size", [4, 32])
def test_a_batch_answers_as_transformers_does_one_by_one(tiny, decoding, batch_size):
    with_more_ends(tiny.model)
    requests = decoded(requests_for(tiny.tokenizer), decoding)
    answers = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=batch_size).generate(requests)
    assert answers == [by_transformers(tiny.model, tiny.tokenizer, request) for request in requests]
    greedy = TransformersEngine(tiny.model, tiny.tokenizer).generate(decoded(requests, GREEDY))
    assert answers != greedy


def test_length_penalty_reaches_the_search(tiny):
    with_more_ends(tiny.model)
    answers = [
        TransformersEngine(tiny.model, tiny.tokenizer).generate(decoded(requests_for(tiny.tokenizer), decoding))
        for decoding in BEAMS[1:3]
    ]
    long, short = (sum(map(len, found)) for found in answers)
    assert long > short


def test_the_models_own_generation_settings_are_overruled(tiny):
    requests = decoded(requests_for(tiny.tokenizer), BEAMS[0])
    expected = TransformersEngine(tiny.model, tiny.tokenizer).generate(requests)
    tiny.model.generation_config.update(
        do_sample=True, temperature=0.3, repetition_penalty=2.0, length_penalty=-3.0, no_repeat_ngram_size=1, min_length=500
    )
    assert TransformersEngine(tiny.model, tiny.tokenizer).generate(requests) == expected


@pytest.mark.parametrize("decoding", [BEAMS[0], BEAMS[3], PENALTIES[1]], ids=lambda item: item.text)
def test_adapters_searched_together_answer_as_each_does_alone(tiny, tuned, decoding):
    requests = decoded(requests_for(tiny.tokenizer, NAMES), decoding)
    mixed = TransformersEngine(tuned, tiny.tokenizer).generate(requests)
    alone = {}
    for name in NAMES[1:]:
        tuned.set_adapter(name)
        alone[name] = [by_transformers(tuned, tiny.tokenizer, request) for request in requests]
    with tuned.disable_adapter():
        alone["base"] = [by_transformers(tuned, tiny.tokenizer, request) for request in requests]
    assert mixed == [alone[request.adapter][index] for index, request in enumerate(requests)]
    assert len({tuple(found) for found in alone.values()}) == len(NAMES)


def test_a_search_leaves_a_model_in_training_as_it_was(tiny, tuned):
    tuned.set_adapter("first")
    tuned.train()
    modes = [module.training for module in tuned.modules()]
    TransformersEngine(tuned, tiny.tokenizer).generate(decoded(requests_for(tiny.tokenizer, NAMES), BEAMS[0]))
    assert [module.training for module in tuned.modules()] == modes
    assert tuned.active_adapter == "first"


def test_a_fully_tuned_model_is_searched_under_its_name(tiny, tmp_path):
    other = talkative(make_tiny_model(tmp_path), seed=7)
    requests = decoded(requests_for(tiny.tokenizer, ("base", "whole")), BEAMS[0])
    answers = TransformersEngine(tiny.model, tiny.tokenizer, tuned={"whole": other.model}).generate(requests)
    models = {"base": tiny.model, "whole": other.model}
    assert answers == [by_transformers(models[request.adapter], tiny.tokenizer, request) for request in requests]


def test_strategies_of_one_call_do_not_touch_one_another(tiny):
    strategies = (GREEDY, BEAMS[0], PENALTIES[1], SAMPLING, with_seed(SAMPLING, 4), BEAMS[1])
    requests = [
        Request(prompt_ids=prompt_ids(tiny.tokenizer, "Go on.", text), max_new_tokens=4 + index % 3, decoding=decoding)
        for index, (text, decoding) in enumerate((text, decoding) for text in TEXTS for decoding in strategies)
    ]
    engine = TransformersEngine(tiny.model, tiny.tokenizer)
    assert engine.generate(requests) == [engine.generate([request])[0] for request in requests]


def with_seed(decoding, seed):
    return decoding.model_copy(update={"seed": seed})


def test_each_searched_request_keeps_its_own_limit(tiny):
    requests = [
        Request(prompt_ids=prompt_ids(tiny.tokenizer, "Go on.", text), max_new_tokens=limit, decoding=BEAMS[0])
        for limit, text in enumerate(TEXTS)
    ]
    answers = TransformersEngine(tiny.model, tiny.tokenizer).generate(requests)
    assert answers[0] == ""
    assert answers[1:] == [by_transformers(tiny.model, tiny.tokenizer, request) for request in requests[1:]]


def test_progress_counts_searched_requests_too(tiny):
    seen = []
    engine = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=8, on_batch=lambda done, total: seen.append((done, total)))
    requests = requests_for(tiny.tokenizer)
    engine.generate([*decoded(requests[:3], BEAMS[0]), *requests[3:]])
    assert seen[-1] == (6, 6)
    assert len(seen) == 3


def test_a_sampled_answer_hangs_on_seed_and_prompt_alone(tiny):
    requests = decoded(requests_for(tiny.tokenizer), SAMPLING)
    whole = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=16).generate(requests)
    for batch_size, order in ((1, range(6)), (2, (5, 3, 1, 0, 2, 4)), (16, (4, 4, 2))):
        engine = TransformersEngine(tiny.model, tiny.tokenizer, batch_size=batch_size)
        assert engine.generate([requests[index] for index in order]) == [whole[index] for index in order]
    others = TransformersEngine(tiny.model, tiny.tokenizer).generate(decoded(requests, with_seed(SAMPLING, 4)))
    greedy = [asked_alone(tiny.model, tiny.tokenizer, request) for request in requests]
    assert len({tuple(found) for found in (whole, others, greedy)}) == 3


def test_sampling_among_one_token_is_greedy(tiny):
    requests = requests_for(tiny.tokenizer)
    expected = TransformersEngine(tiny.model, tiny.tokenizer).generate(requests)
    for decoding in (Decoding(temperature=1.0, top_k=1), Decoding(temperature=1.0, top_p=1e-6)):
        assert TransformersEngine(tiny.model, tiny.tokenizer).generate(decoded(requests, decoding)) == expected


LOGITS = (2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, 1.5)
DRAWS = 4000


def softmax(scores):
    weights = [math.exp(score) for score in scores]
    return [weight / sum(weights) for weight in weights]


def expected_distribution(decoding, said=()):
    """By the definitions, written down once more: penalty, temperature, the k likeliest, the fewest that reach p."""
    penalty = decoding.repetition_penalty
    scores = [(score / penalty if score > 0 else score * penalty) if token in said else score for token, score in enumerate(LOGITS)]
    weights = softmax([score / decoding.temperature for score in scores])
    ranked = sorted(range(len(weights)), key=lambda token: -weights[token])[: decoding.top_k or len(weights)]
    total, kept, reached = sum(weights[token] for token in ranked), [], 0.0
    for token in ranked:
        if reached >= decoding.top_p:
            break
        kept.append(token)
        reached += weights[token] / total
    return {token: weights[token] / sum(weights[other] for other in kept) for token in kept}


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(temperature=1.0),
        Decoding(temperature=0.5),
        Decoding(temperature=2.0, seed=5),
        Decoding(temperature=1.0, top_k=3),
        Decoding(temperature=1.0, top_p=0.8),
        Decoding(temperature=0.7, top_p=0.9, top_k=5, repetition_penalty=1.5),
    ],
    ids=lambda item: item.text,
)
def test_draws_follow_the_distribution(decoding):
    """Pearson's chi-square at the 0.999 level; prompts and seeds are fixed, so that it passes always or never."""
    answers = [begin(decoding, (0, 4, *([4] * (number % 3)), 100 + number)) for number in range(DRAWS)]
    counts = Counter(next_tokens(torch.tensor([LOGITS] * DRAWS), answers)[:, 0].tolist())
    expected = expected_distribution(decoding, said=(0, 4))
    assert set(counts) == set(expected)
    statistic = sum((counts[token] - DRAWS * share) ** 2 / (DRAWS * share) for token, share in expected.items())
    assert statistic < {3: 16.3, 4: 18.5, 5: 20.5, 6: 22.5, 7: 24.3}.get(len(expected) - 1, 13.8)


def test_draws_of_one_answer_follow_one_another_independently():
    answer = begin(Decoding(temperature=1.0), (1, 2, 3))
    drawn = [int(next_tokens(torch.tensor([LOGITS]), [answer])) for _ in range(DRAWS)]
    top = softmax(LOGITS)[0]
    repeats = sum(first == second == 0 for first, second in itertools.pairwise(drawn))
    assert drawn.count(0) / DRAWS == pytest.approx(top, abs=0.03)
    assert repeats / DRAWS == pytest.approx(top * top, abs=0.03)


def test_padding_is_not_penalised_though_it_is_the_end_token():
    """Two answers of different length, both of which have said nothing of token 0, the padding."""
    logits = torch.tensor([[3.0, 2.9, 0.0]] * 2)
    answers = [begin(Decoding(repetition_penalty=2.0), prompt) for prompt in ((2,), (2, 2, 2, 2))]
    assert next_tokens(logits, answers)[:, 0].tolist() == [0, 0]
    said = [begin(Decoding(repetition_penalty=2.0), prompt) for prompt in ((0,), (2, 2, 2, 0))]
    assert next_tokens(logits, said)[:, 0].tolist() == [1, 1]
