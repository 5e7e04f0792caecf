"""Adapters of different kinds in one engine answer as plain PEFT does with each alone."""

from __future__ import annotations

import pytest
import torch
from talkative import talkative

from mixwright.config import LoraConfig
from mixwright.errors import ModelError
from mixwright.evaluate.retention import response_loss
from mixwright.generate.adapters import active, forward
from mixwright.generate.engine import Request
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import with_adapter
from mixwright.prompts import Rendered

KINDS = {
    "plain": LoraConfig(rank=4, alpha=64),
    "rslora": LoraConfig(rank=4, alpha=64, use_rslora=True),
    "dora": LoraConfig(rank=4, alpha=64, use_dora=True),
    "rsdora": LoraConfig(rank=2, alpha=64, use_dora=True, use_rslora=True),
}
NAMES = ("base", *KINDS)
ROWS = [Rendered(token_ids=tuple(range(5, 25)), prompt_length=8), Rendered(token_ids=tuple(range(40, 52)), prompt_length=3)]


@pytest.fixture(scope="module")
def saved(folder, tmp_path_factory):
    """Adapters in PEFT's format that each move the model in their own way."""
    out = tmp_path_factory.mktemp("kinds")
    for seed, (name, lora) in enumerate(KINDS.items()):
        model = with_adapter(talkative(folder).model, lora, name="default", seed=seed)
        torch.manual_seed(seed)
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.data.normal_(std=0.2)
            if "magnitude" in key:
                parameter.data.mul_(1.1)
        model.save_pretrained(out / name)
    return out


@pytest.fixture
def engine(folder, saved) -> TransformersEngine:
    from mixwright.models import with_saved_adapter

    tiny = talkative(folder)
    model = tiny.model
    for name in KINDS:
        model = with_saved_adapter(model, saved / name, name=name)
    return TransformersEngine(model, tiny.tokenizer, batch_size=4)


def alone(folder, saved, name):
    """The engine of plain PEFT: one adapter, loaded by itself."""
    from peft import PeftModel

    tiny = talkative(folder)
    model = tiny.model if name == "base" else PeftModel.from_pretrained(tiny.model, saved / name)
    return TransformersEngine(model, tiny.tokenizer)


def requests(as_name):
    prompts = [tuple(range(start, start + 5 + start % 3)) for start in (5, 20, 33)]
    return [Request(prompt_ids=prompt, adapter=as_name, max_new_tokens=4) for prompt in prompts]


def test_every_kind_answers_in_mixed_company_as_plain_peft_does_alone(folder, saved, engine) -> None:
    mixed = [request for rows in zip(*(requests(name) for name in NAMES), strict=True) for request in rows]
    answers = engine.answer(mixed)
    by_name = {name: [answer for request, answer in zip(mixed, answers, strict=True) if request.adapter == name] for name in NAMES}
    for name in NAMES:
        assert by_name[name] == alone(folder, saved, name).answer(requests("base" if name == "base" else "default"))
    assert len({tuple(answer.text for answer in by_name[name]) for name in NAMES}) == len(NAMES)


def test_losses_of_every_kind_equal_plain_pefts(folder, saved, engine) -> None:
    for name in NAMES:
        plain = alone(folder, saved, name)
        expected = response_loss(plain.model, plain.tokenizer, ROWS).nll
        assert response_loss(engine.model, engine.tokenizer, ROWS, adapter=name).nll == pytest.approx(expected, abs=1e-5)


def test_what_was_active_and_learned_is_so_again_after_another_adapter_answered(folder) -> None:
    model = with_adapter(talkative(folder).model, KINDS["dora"], name="asked", seed=0)
    model = with_adapter(model, KINDS["plain"], name="trained", seed=1)
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with active(model, "asked"):
        assert list(model.active_adapters) == ["asked"]
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert list(model.active_adapters) == ["trained"]
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == learned


def test_rows_of_a_dora_adapter_beside_others_in_one_pass_are_refused(engine) -> None:
    ids = torch.arange(6).reshape(2, 3)
    with pytest.raises(ModelError, match="rows of the DoRA adapter 'dora' need a pass of their own, got base, dora in one"):
        forward(engine.model, ["base", "dora"], input_ids=ids)
