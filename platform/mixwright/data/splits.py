"""Which rows are learned, which steer the search, and which are read once; and that none of them leaks.

What comes in: examples. What goes out: a split for each, and examples without those that stand on both sides.

A group (a document) goes to one side as a whole, by a seeded hash of its name alone: adding rows or sources moves nothing,
and a document that two sources share goes to the same side in both. Where a format has no documents, rows with the same
text are a group, whatever their source.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mixwright.config import SourceConfig
from mixwright.records import GENERIC, Example, Split

MIN_GENERIC_WORDS = 5
"""A generic text or answer of fewer words (`Positive`, `New York`) is common to many instructions and no sign of a leak."""

_DROPPED = dict.fromkeys(map(ord, string.punctuation + string.whitespace + "\u00a0‘’“”–—…"))


def normalized(text: str) -> str:
    """Letters and digits alone, without case, so that spaces, quotes and tokenisation make no difference.

    Text that has none (`?!`) is its own normal form.
    """
    return text.casefold().translate(_DROPPED) or text.strip()


def share(seed: int, purpose: str, name: str) -> float:
    """A number in [0, 1) that hangs on seed, purpose and name alone."""
    digest = hashlib.blake2b(f"{purpose}|{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def group_of(example: Example) -> str:
    """What goes to one side as a whole: the document, else the normalised text (for generic rows with the instruction)."""
    if example.group:
        return f"document|{example.group}"
    return f"text|{normalized(_prompt(example))}"


def assign_split(source: SourceConfig, example: Example, seed: int) -> Split:
    """The split of one example, by its source's `use` and `evaluation_fraction` and its group."""
    group = group_of(example)
    if source.use == "train":
        return "train"
    if source.use == "both" and share(seed, "evaluation", group) >= source.evaluation_fraction:
        return "train"
    return "dev" if share(seed, "dev or test", group) < 0.5 else "test"


def shuffled(examples: Iterable[Example], seed: int) -> list[Example]:
    """A seeded order that hangs on ids alone, so that the first rows are a fair sample of all sources and documents."""
    return sorted(examples, key=lambda example: (share(seed, "order", example.id), example.id))


def sample(examples: Sequence[Example], rows: int | None, seed: int) -> list[Example]:
    """At most `rows` of them, a seeded choice by id, in their own order; a larger choice holds the smaller one."""
    if rows is None or len(examples) <= rows:
        return list(examples)
    chosen = {example.id for example in shuffled(examples, seed)[:rows]}
    return [example for example in examples if example.id in chosen]


def leak_keys(example: Example) -> set[str]:
    """Normal forms of the prompt, the text and every reference; what two splits may not share."""
    contents = [example.text, *example.references]
    if example.task == GENERIC:
        contents = [content for content in contents if len(content.split()) >= MIN_GENERIC_WORDS]
    return {normalized(content) for content in (_prompt(example), *contents) if content}


def keys_of_all(examples: Iterable[Example]) -> set[str]:
    """The leak keys of many examples together."""
    return set[str]().union(*map(leak_keys, examples))


@dataclass(frozen=True, kw_only=True)
class Sieved:
    """Examples told apart by a rule, each list in the order given."""

    kept: list[Example]
    dropped: list[Example]


def without_leaks(examples: Iterable[Example], taken: set[str]) -> Sieved:
    """Keeps the examples of which no leak key is taken."""
    return _sieve(examples, lambda example: taken.isdisjoint(leak_keys(example)))


def without_repeats(examples: Iterable[Example]) -> Sieved:
    """Keeps the first example of each prompt; for the rows of one task."""
    seen: set[str] = set()

    def is_new(example: Example) -> bool:
        known = len(seen)
        seen.add(normalized(_prompt(example)))
        return len(seen) > known

    return _sieve(examples, is_new)


def _sieve(examples: Iterable[Example], keep: Callable[[Example], bool]) -> Sieved:
    sieved = Sieved(kept=[], dropped=[])
    for example in examples:
        (sieved.kept if keep(example) else sieved.dropped).append(example)
    return sieved


def _prompt(example: Example) -> str:
    return f"{example.instruction} {example.text}".strip()
