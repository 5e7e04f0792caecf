"""A shipped fake: an engine that hands the text back, and the tokenizer it needs, for tests without a model.

Through the whole path (rendering, batching, serving, scoring) it behaves like an engine whose answers are known in
advance: base answers with the text itself, adapter NAME with `NAME: ` before it, so that a mix-up shows.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any

from mixwright.errors import ModelError
from mixwright.generate.engine import Generated, Request
from mixwright.records import BASE


class CharacterTokenizer:
    """One token a character, its code point; without a chat template, so that Alpaca's prompt is used."""

    chat_template: str | None = None
    eos_token_id = 0
    pad_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(character) for character in text]}

    def __len__(self) -> int:
        return sys.maxunicode + 1

    def decode(self, token_ids: Sequence[int], **_: Any) -> str:
        return "".join(chr(token) for token in token_ids)


class EchoEngine:
    """Answers with the input part of an Alpaca prompt, cut after `max_new_tokens` characters."""

    def __init__(self, adapters: Collection[str] = ()) -> None:
        self.adapters = tuple(adapters)
        self.batches: list[tuple[Request, ...]] = []
        """Every call so far, for tests that ask how requests were batched."""

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The input of each prompt.

        Raises:
            ModelError: an adapter that the engine was not made with.
        """
        return [answer.text for answer in self.answer(requests)]

    def answer(self, requests: Sequence[Request]) -> list[Generated]:
        """As `generate`, a token a character."""
        self.batches.append(tuple(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generated:
        if request.adapter not in (BASE, *self.adapters):
            raise ModelError(f"no adapter '{request.adapter}'; there are {', '.join((BASE, *self.adapters))}")
        prompt = CharacterTokenizer().decode(request.prompt_ids)
        text = prompt.partition("### Input:\n")[2].rpartition("\n\n### Response:\n")[0]
        answer = text if request.adapter == BASE else f"{request.adapter}: {text}"
        cut = answer[: request.max_new_tokens]
        return Generated(text=cut, tokens=len(cut), ended=len(answer) < request.max_new_tokens)
