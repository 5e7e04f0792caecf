"""Generic instructions: short questions, sums, lists, extraction, formats and letters, each with its right answer.

What comes in: a split and a random generator. What goes out: instruction, text, answer and the key of the content. They stand
for the general ability that tuning on a scenario must not cost, so none of them asks for a better wording of a text.

Kinds that use sentences take them from the split's own scenes. The others make their content from numbers and tables; the
content's hash decides which split it belongs to, so a sum or a fact that is learned is never one that is tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from mixwright.data.embedded.generic_numbers import NUMBER_KINDS
from mixwright.data.embedded.generic_texts import TEXT_KINDS
from mixwright.data.embedded.generic_words import WORD_KINDS
from mixwright.records import Split

Drawn = tuple[str, str, str]
"""Instruction, text (may be empty) and answer."""

_TRAIN_SHARE, _DEV_SHARE = 0.8, 0.1


class GenericRow(NamedTuple):
    """One generic instruction."""

    kind: str
    instruction: str
    text: str
    answer: str

    @property
    def content(self) -> str:
        """What stands on one side of a split as a whole: the given sentence, or the answer that decides the split."""
        return self.text if self.kind in TEXT_KINDS else self.answer


FREE_KINDS: dict[str, Callable[[Random], Drawn]] = {**NUMBER_KINDS, **WORD_KINDS}
"""Kinds whose split hangs on the content's hash."""
KINDS: tuple[str, ...] = (*FREE_KINDS, *TEXT_KINDS)


def generic(rng: Random, split: Split) -> GenericRow:
    """A random instruction of a random kind."""
    kind = rng.choice(KINDS)
    if kind in TEXT_KINDS:
        return GenericRow(kind, *TEXT_KINDS[kind](rng, split))
    while True:
        drawn = FREE_KINDS[kind](rng)
        if split_of(kind, drawn[2]) == split:
            return GenericRow(kind, *drawn)


def split_of(kind: str, answer: str) -> Split:
    """The split that an answer belongs to, whatever the wording of the question; the same in every process."""
    digest = hashlib.blake2b(f"{kind}|{answer}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    if share < _TRAIN_SHARE:
        return "train"
    return "dev" if share < _TRAIN_SHARE + _DEV_SHARE else "test"
