"""Example -> token ids and the mask of what is learned.

What comes in: an instruction, a text and, for training, the response. What goes out: `Rendered` token ids with the
response mask: prompt tokens are read, response tokens and the end token are learned. Prompt and response are tokenised
apart, so that training and generation see the same prompt ids whatever the response is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    token_ids: tuple[int, ...]
    prompt_length: int
    """Tokens before the response; the rest is learned."""

    @property
    def response_mask(self) -> tuple[bool, ...]:
        """True where a token is learned; as long as `token_ids`."""
        return tuple(position >= self.prompt_length for position in range(len(self.token_ids)))


def prompt_text(tokenizer: Any, instruction: str, text: str) -> str:
    """The whole prompt: the model's own chat template with instruction and text as the user's turn, else Alpaca's."""
    if tokenizer.chat_template:
        content = f"{instruction}\n\n{text}" if text else instruction
        turns = [{"role": "user", "content": content}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    template = ALPACA_WITH_INPUT if text else ALPACA_WITHOUT_INPUT
    return template.format(instruction=instruction, text=text)


def prompt_ids(tokenizer: Any, instruction: str, text: str) -> tuple[int, ...]:
    """Token ids of the prompt. Chat templates write their special tokens themselves; Alpaca's gets the tokenizer's BOS."""
    prompt = prompt_text(tokenizer, instruction, text)
    return tuple(tokenizer(prompt, add_special_tokens=not tokenizer.chat_template)["input_ids"])


def render(tokenizer: Any, instruction: str, text: str, response: str) -> Rendered:
    """Prompt, response and end token of one training row; nothing is cut."""
    prompt = prompt_ids(tokenizer, instruction, text)
    answer = tuple(tokenizer(response, add_special_tokens=False)["input_ids"])
    return Rendered(token_ids=(*prompt, *answer, tokenizer.eos_token_id), prompt_length=len(prompt))
