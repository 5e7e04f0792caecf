"""Example -> token ids and the mask of what is learned.

What comes in: an instruction, a text and, for training, the response. What goes out: `Rendered` token ids with the
response mask: prompt tokens are read, response tokens and the end token are learned. Prompt and response are tokenised
apart, so that training and generation see the same prompt ids whatever the response is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.errors import ModelError

ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{text}\n\n### Response:\n"
)
ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
"""The prompt of Stanford Alpaca (Taori et al. 2023), for models that bring no chat template."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One row as the model sees it."""

    token_ids: Sequence[int]
    """A tuple; for a row of a token table, a read-only memoryview into it."""
    prompt_length: int
    """Tokens before the response; the rest is learned."""

    @property
    def response_mask(self) -> tuple[bool, ...]:
        """True where a token is learned; as long as `token_ids`."""
        return tuple(position >= self.prompt_length for position in range(len(self.token_ids)))


def user_message(instruction: str, text: str) -> str:
    """Instruction and text as one turn of a chat; every model that is asked in chat form sees this."""
    return f"{instruction}\n\n{text}" if text else instruction


def prompt_text(tokenizer: Any, instruction: str, text: str) -> str:
    """The whole prompt: the model's own chat template with instruction and text as the user's turn, else Alpaca's."""
    if tokenizer.chat_template:
        return _templated(tokenizer, [{"role": "user", "content": user_message(instruction, text)}])
    template = ALPACA_WITH_INPUT if text else ALPACA_WITHOUT_INPUT
    return template.format(instruction=instruction, text=text)


def prompt_ids(tokenizer: Any, instruction: str, text: str) -> tuple[int, ...]:
    """Token ids of the prompt. Chat templates write their special tokens themselves; Alpaca's gets the tokenizer's BOS."""
    prompt = prompt_text(tokenizer, instruction, text)
    return tuple(tokenizer(prompt, add_special_tokens=not tokenizer.chat_template)["input_ids"])


def chat_ids(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """Token ids of any chat, ready for the assistant's next turn; of one `user_message` the same as `prompt_ids`.

    A model without a chat template takes one user turn: its first paragraph is Alpaca's instruction, the rest the input.

    Args:
        turns: role and content of each.

    Raises:
        ModelError: the model's template refuses the turns, or it has none and they are not one user turn.
    """
    if not tokenizer.chat_template:
        if [turn["role"] for turn in turns] != ["user"]:
            raise ModelError("messages: the model has no chat template, so it takes one message of the role user; send that")
        instruction, _, text = turns[0]["content"].partition("\n\n")
        return prompt_ids(tokenizer, instruction, text)
    return tuple(tokenizer(_templated(tokenizer, turns), add_special_tokens=False)["input_ids"])


def _templated(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template([dict(turn) for turn in turns], tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise ModelError(f"messages: the model's chat template refuses them: {error}; send other roles or another order") from None


def render(tokenizer: Any, instruction: str, text: str, response: str) -> Rendered:
    """Prompt, response and end token of one training row; nothing is cut."""
    prompt = prompt_ids(tokenizer, instruction, text)
    answer = tuple(tokenizer(response, add_special_tokens=False)["input_ids"])
    return Rendered(token_ids=(*prompt, *answer, tokenizer.eos_token_id), prompt_length=len(prompt))


def render_all(tokenizer: Any, rows: Sequence[tuple[str, str, str]]) -> list[Rendered]:
    """What `render` gives for each (instruction, text, response), by two calls of the tokenizer for all rows together."""
    if not rows:
        return []
    prompts = [prompt_text(tokenizer, instruction, text) for instruction, text, _ in rows]
    prompt_rows = tokenizer(prompts, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    answer_rows = tokenizer([response for _, _, response in rows], add_special_tokens=False)["input_ids"]
    return [
        Rendered(token_ids=(*prompt, *answer, tokenizer.eos_token_id), prompt_length=len(prompt))
        for prompt, answer in zip(prompt_rows, answer_rows, strict=True)
    ]
