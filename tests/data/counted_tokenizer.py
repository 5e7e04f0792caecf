"""A tokenizer that says whether it was used."""

from __future__ import annotations

from typing import Any


class Counted:
    """Any tokenizer, with a count of how often it was asked for token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.calls = 0

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        self.calls += 1
        return self.tokenizer(*arguments, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)
