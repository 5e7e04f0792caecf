"""Log-probabilities of given prompts: the same alone and in a batch, and through whichever adapter was named."""

from __future__ import annotations

import pytest
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.errors import ModelError
from mixwright.generate.likelihoods import MAX_POSITIONS, likelihoods
from mixwright.models import load_base, with_adapter

PROMPTS = [(5, 9, 3), (7,), (1, 2, 3, 4, 5, 6, 7, 8), (5, 9)]


@pytest.fixture(scope="module")
def model(tiny_model):
    loaded = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    model = with_adapter(loaded.model, LoraConfig(rank=4, alpha=64), name="bold", seed=0)
    torch.manual_seed(0)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_(std=0.2)
    return model


def test_each_token_has_its_probability_given_those_before_it(model):
    (found,) = likelihoods(model, [PROMPTS[2]], pad_id=0, top=3, adapter="base")
    with model.disable_adapter(), torch.no_grad():
        rows = torch.log_softmax(model(torch.tensor([PROMPTS[2]])).logits[0], -1)
    assert found.logprobs == pytest.approx([rows[place, token].item() for place, token in enumerate(PROMPTS[2][1:])], abs=1e-5)
    assert [best[0][0] for best in found.top] == rows.argmax(-1).tolist()
    assert {len(best) for best in found.top} == {3}


@pytest.mark.parametrize("adapter", ["base", "bold"])
def test_a_batch_tells_what_each_prompt_tells_alone(model, adapter):
    together = likelihoods(model, PROMPTS, pad_id=0, top=1, adapter=adapter)
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = likelihoods(model, [prompt], pad_id=0, top=1, adapter=adapter)
        assert (len(found.logprobs), len(found.top)) == (len(prompt) - 1, len(prompt))
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-5)
        assert [best[0][0] for best in found.top] == [best[0][0] for best in alone.top]


def test_adapters_find_the_same_prompt_differently_likely(model):
    base, bold = (likelihoods(model, PROMPTS[:1], pad_id=0, top=1, adapter=name)[0] for name in ("base", "bold"))
    assert base.logprobs != pytest.approx(bold.logprobs, abs=1e-3)
    with pytest.raises(ModelError, match="no adapter 'blod'"):
        likelihoods(model, PROMPTS, pad_id=0, top=1, adapter="blod")


def test_more_prompts_than_one_pass_holds_come_back_in_order(model):
    prompts = [tuple(range(1, 2 + number % 200)) for number in range(60)]
    assert sum(map(len, prompts)) > MAX_POSITIONS / 2
    found = likelihoods(model, prompts * 2, pad_id=0, top=1, adapter="base")
    assert [len(item.top) for item in found] == [len(prompt) for prompt in prompts * 2]
