"""Nested JSON values as small tables, so that a record may gain a key without the report losing it.

What comes in: the `data`, `environment` and `cost` mappings of a run. What goes out: titled blocks of pairs or of rows and
columns, with numbers and durations written as people read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.report import wording


@dataclass(frozen=True, kw_only=True)
class Block:
    """A small table. With `columns` empty each row is a name and one value."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A named amount and its share of the whole, 0 to 1."""

    label: str
    value: str
    share: float


def blocks(tree: Mapping[str, Any], title: str = "") -> tuple[Block, ...]:
    """The plain values of `tree` as one block, and a block for each mapping in it."""
    plain = [(_label(key), (shown(key, value),)) for key, value in tree.items() if not isinstance(value, Mapping)]
    first = (Block(title=title, columns=(), rows=tuple(plain)),) if plain else ()
    nested = (block for key, value in tree.items() if isinstance(value, Mapping) and value for block in _mapping_blocks(key, value))
    return (*first, *nested)


def _mapping_blocks(key: str, tree: Mapping[str, Any]) -> Iterator[Block]:
    if tree and all(isinstance(value, Mapping) for value in tree.values()):
        columns = list(dict.fromkeys(column for value in tree.values() for column in value))
        rows = tuple(
            (_label(name), tuple(shown(column, value.get(column, "–")) for column in columns)) for name, value in tree.items()
        )
        yield Block(title=_label(key), columns=tuple(_label(column) for column in columns), rows=rows)
        return
    rows = tuple((_label(name), (shown(f"{key}.{name}", value),)) for name, value in tree.items())
    yield Block(title=_label(key), columns=(), rows=rows)


def shown(key: str, value: Any) -> str:
    """A value in words; a key that speaks of seconds makes a number a duration."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if "seconds" in key or key.endswith("_s"):
            return wording.duration(value)
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    if value is None:
        return "–"
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(name)} {amount:,}" for name, amount in _amounts(value).items()) or "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _amounts(tree: Mapping[str, Any]) -> dict[str, int | float]:
    """The numbers of a mapping by name; those of a mapping below are summed, anything else is left out."""
    totals = {name: sum(_amounts(value).values()) if isinstance(value, Mapping) else value for name, value in tree.items()}
    return {name: total for name, total in totals.items() if isinstance(total, int | float)}


def bars(amounts: Mapping[str, Any], key: str = "") -> tuple[Bar, ...]:
    """Positive numbers of a mapping with their share of the sum, in its own order."""
    usable = {name: float(value) for name, value in amounts.items() if isinstance(value, int | float) and value > 0}
    total = sum(usable.values())
    return tuple(Bar(label=_label(name), value=shown(key, amounts[name]), share=value / total) for name, value in usable.items())


def _label(key: str) -> str:
    return str(key).replace("_", " ")
