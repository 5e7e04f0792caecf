"""Rendering: what the model reads, and what of it is learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixwright.config import ModelConfig
from mixwright.models import load_tokenizer
from mixwright.prompts import prompt_ids, prompt_text, render


@pytest.fixture(scope="module")
def chat(tiny_model: Path):
    return load_tokenizer(ModelConfig(name=str(tiny_model)))


@pytest.fixture(scope="module")
def plain(tiny_model_without_template: Path):
    return load_tokenizer(ModelConfig(name=str(tiny_model_without_template)))


def test_training_and_generation_see_the_same_prompt(chat) -> None:
    rendered = render(chat, "Fix it.", "He go.", "He goes.")
    assert rendered.token_ids[: rendered.prompt_length] == prompt_ids(chat, "Fix it.", "He go.")


def test_exactly_the_response_and_the_end_token_are_learned(chat) -> None:
    rendered = render(chat, "Fix it.", "He go.", "He goes.")
    learned = [token for token, is_learned in zip(rendered.token_ids, rendered.response_mask, strict=True) if is_learned]
    assert chat.decode(learned) == "He goes.<|im_end|>"


def test_a_chat_model_gets_its_own_template_and_the_turn_is_the_assistant_s(chat) -> None:
    text = prompt_text(chat, "Fix it.", "He go.")
    assert text == "<|im_start|>user\nFix it.\n\nHe go.<|im_end|>\n<|im_start|>assistant\n"


def test_a_model_without_a_template_gets_alpaca_s(plain) -> None:
    assert "### Instruction:\nFix it.\n\n### Input:\nHe go.\n\n### Response:\n" in prompt_text(plain, "Fix it.", "He go.")
    assert "### Input:" not in prompt_text(plain, "Name a colour.", "")


def test_unicode_survives(chat) -> None:
    rendered = render(chat, "Fix it.", "Das Mädchen 🙂", "Ça va — bien")
    assert "Ça va — bien" in chat.decode(rendered.token_ids)
