"""What every engine takes and gives, so that training lanes, serving and tests can swap one for another.

What comes in: requests whose prompts are token ids already (`prompts.prompt_ids` renders them as training does). What goes
out: one text a request, in the order of the requests. However a request is decoded, its answer does not hang on what else was
asked: what is drawn follows from its own seed and prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mixwright.decoding import GREEDY, Decoding
from mixwright.records import BASE


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt, for one adapter."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    """Decoding ends here where the model has not ended it before."""
    adapter: str = BASE
    """`base` is the model without any adapter."""
    decoding: Decoding = GREEDY


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One answer and how it came about."""

    text: str
    tokens: int
    """New tokens, the end token left out."""
    ended: bool
    """False where `max_new_tokens` cut it."""


class Engine(Protocol):
    """Anything that answers requests; see `transformers_engine` and, for tests, `echo`."""

    def answer(self, requests: Sequence[Request]) -> list[Generated]:
        """As `generate`, and with each text its number of tokens and whether it had come to its end."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The answers, in the order of `requests`; special tokens are left out, nothing else is trimmed.

        Raises:
            ModelError: an adapter that the engine does not hold.
        """
        ...
