"""How many tokens a row takes, once an instruction is bound to it and it is rendered.

What comes in: examples, a tokenizer and the scenario with its wordings. What goes out: instructions and lengths, the same
that `prompts.render` would give row by row, found for many rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixwright.prompts import prompt_text
from mixwright.records import GENERIC, Example
from mixwright.scenarios import Scenario, wording

BATCH_ROWS = 1024
EXTRA_TOKENS = 4
"""Tokens without bytes of the text: begin and end of the row, and the blank that SentencePiece puts before each part."""


def instruction_of(example: Example, scenario: Scenario, *, seed: int, evaluation: bool = False) -> str:
    """A generic row's own instruction, else the wording that the seed binds to the row."""
    if example.task == GENERIC:
        return example.instruction
    return wording(scenario.task(example.task), example.id, evaluation=evaluation, seed=seed)


def token_lengths(examples: Sequence[Example], tokenizer: Any, scenario: Scenario, *, seed: int) -> list[int]:
    """Tokens of prompt, first reference and end token of each training row."""
    texts = [_texts(row, tokenizer, scenario, seed) for row in examples]
    lengths = []
    for start in range(0, len(texts), BATCH_ROWS):
        prompts, responses = zip(*texts[start : start + BATCH_ROWS], strict=True)
        prompt_ids = tokenizer(list(prompts), add_special_tokens=not tokenizer.chat_template)["input_ids"]
        response_ids = tokenizer(list(responses), add_special_tokens=False)["input_ids"]
        lengths += [len(prompt) + len(response) + 1 for prompt, response in zip(prompt_ids, response_ids, strict=True)]
    return lengths


def fits(examples: Sequence[Example], tokenizer: Any, scenario: Scenario, max_length: int, *, seed: int) -> list[bool]:
    """Whether each training row takes at most `max_length` tokens.

    A token holds at least one byte, so rows of few bytes need no tokenising; over a whole corpus that saves most of the time.
    """
    surely = [_most_tokens(row, tokenizer, scenario, seed) <= max_length for row in examples]
    doubtful = [row for row, is_sure in zip(examples, surely, strict=True) if not is_sure]
    lengths = iter(token_lengths(doubtful, tokenizer, scenario, seed=seed))
    return [is_sure or next(lengths) <= max_length for is_sure in surely]


def _texts(row: Example, tokenizer: Any, scenario: Scenario, seed: int) -> tuple[str, str]:
    """Prompt and response of a training row."""
    return prompt_text(tokenizer, instruction_of(row, scenario, seed=seed), row.text), row.references[0]


def _most_tokens(row: Example, tokenizer: Any, scenario: Scenario, seed: int) -> int:
    prompt, response = _texts(row, tokenizer, scenario, seed)
    return len(prompt.encode()) + len(response.encode()) + EXTRA_TOKENS
