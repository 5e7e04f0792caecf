"""Tables from the right or plain word to its worse variants, as training and evaluation may use them.

What comes in: a table's name and a split. What goes out: that table. One entry in eight is kept out of training, so that an
evaluation also asks for what no training row has shown.
"""

from __future__ import annotations

import functools
import hashlib

from mixwright.data.embedded import tables_errors, tables_style
from mixwright.records import Split

_HELD_OUT_OF = 8
"""One entry in this many is seen in evaluation alone."""

_PAIRS = {
    "spelling": tables_errors.SPELLING,
    "collocation": tables_errors.COLLOCATION,
    "awkward verbs": tables_errors.AWKWARD_VERBS,
    "wordy": tables_style.WORDY,
    "nominal": tables_style.NOMINAL,
    "complex verbs": tables_style.COMPLEX_VERBS,
    "complex words": tables_style.COMPLEX_WORDS,
    "synonym": tables_style.SYNONYM,
    "loaded verbs": tables_style.LOADED_VERBS,
}
_LISTS = {
    "padding": tables_style.PADDING,
    "people": tables_style.LOADED_PEOPLE,
    "things": tables_style.LOADED_THINGS,
    "adverbs": tables_style.LOADED_ADVERBS,
    "openers": tables_style.LOADED_OPENERS,
    "closers": tables_style.LOADED_CLOSERS,
}


def pairs(text: str) -> dict[str, tuple[str, ...]]:
    """`right -> wrong, wrong; ...` as a mapping; entries end at a semicolon or a line's end."""
    entries = (entry.partition("->") for line in text.strip().splitlines() for entry in line.split(";") if "->" in entry)
    return {right.strip(): tuple(item.strip() for item in wrong.split(",")) for right, _, wrong in entries}


def entries(text: str) -> tuple[str, ...]:
    """The items of a list: they end at a semicolon or a line's end."""
    return tuple(item.strip() for line in text.strip().splitlines() for item in line.split(";") if item.strip())


@functools.cache
def available(name: str, split: Split) -> dict[str, tuple[str, ...]]:
    """A table of pairs, less the entries held out of training where `split` is train."""
    table = pairs(_PAIRS[name])
    return {right: wrong for right, wrong in table.items() if split != "train" or not is_held_out(name, right)}


@functools.cache
def available_entries(name: str, split: Split) -> tuple[str, ...]:
    """A list, less the items held out of training where `split` is train."""
    return tuple(item for item in entries(_LISTS[name]) if split != "train" or not is_held_out(name, item))


def is_held_out(name: str, item: str) -> bool:
    """Whether an entry of a table is kept for evaluation; the same in every process."""
    digest = hashlib.blake2b(f"{name}|{item}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _HELD_OUT_OF == 0
