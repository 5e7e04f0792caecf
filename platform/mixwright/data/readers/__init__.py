"""One module a file format; each turns its files into rows, and `read` turns rows into examples.

What comes in: a `SourceConfig` and the folder that relative paths count from. What goes out: a `Reading`, examples in file
order and what was left out, counted by reason. A new format is one module with a `rows` function, and one line in READERS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixwright.config import SourceConfig
from mixwright.data.detokenize import detokenize
from mixwright.data.readers import alpaca, hub, iterater, jsonl, m2, onestopenglish, parallel, stsb, wikisplit
from mixwright.data.readers.common import Row
from mixwright.errors import DataError
from mixwright.records import GENERIC, Example


class Reader(Protocol):
    """Yields the rows of a source as its files have them, and counts what it leaves out itself."""

    def __call__(self, source: SourceConfig, root: Path, left_out: Counter[str], /) -> Iterator[Row]: ...


READERS: dict[str, Reader] = {
    "alpaca": alpaca.rows,
    "m2": m2.rows,
    "parallel": parallel.rows,
    "iterater": iterater.rows,
    "wikisplit": wikisplit.rows,
    "onestopenglish": onestopenglish.rows,
    "stsb": stsb.rows,
    "jsonl": jsonl.rows,
    "hub": hub.rows,
}

EDITS_ONLY = frozenset({"iterater", "wikisplit", "onestopenglish", "stsb"})
"""Formats whose every row is a change: one that detokenisation leaves without any teaches copying, and is left out."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one source gave."""

    examples: tuple[Example, ...]
    left_out: dict[str, int]
    """Reason -> rows."""


def read(source: SourceConfig, root: Path) -> Reading:
    """All examples of a source, detokenised where the source says so, in file order.

    Generic rows keep their spaces, since they hold code and tables.

    Raises:
        DataError: a file or row that cannot be read, or a source of which nothing is left.
    """
    left_out: Counter[str] = Counter()
    examples = tuple(_examples(source, READERS[source.format](source, root, left_out), left_out))
    if not examples:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in left_out.items()) or "it has none"
        raise DataError(f"source '{source.name}': no row can be used ({reasons}); correct the source or remove it")
    return Reading(examples=examples, left_out=dict(left_out))


def _examples(source: SourceConfig, rows: Iterable[Row], left_out: Counter[str]) -> Iterator[Example]:
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        example = _example(source, row)
        content = (example.task, example.instruction, example.text, example.references)
        if reason := _why_unusable(source, example):
            left_out[reason] += 1
        elif content in seen:
            left_out["duplicate row"] += 1
        else:
            seen.add(content)
            yield example


def _example(source: SourceConfig, row: Row) -> Example:
    task = row.task or source.task
    assert task is not None, "the configuration or the reader refuses rows without a task"
    clean = detokenize if source.detokenize and task != GENERIC else str.strip
    text = clean(row.text).strip()
    # Annotators who agree stay two references: the official scorers count both, and agreement is what the human row measures.
    references = tuple(reference for item in row.references if (reference := clean(item).strip()))
    if source.format in EDITS_ONLY:
        references = tuple(reference for reference in references if reference != text)
    instruction = row.instruction.strip() if task == GENERIC else ""
    return Example(
        id=f"{source.name}:{row.place}",
        source=source.name,
        task=task,
        text=text,
        references=references,
        instruction=instruction,
        group=row.group,
    )


def _why_unusable(source: SourceConfig, example: Example) -> str:
    if not example.text and example.task != GENERIC:
        return "empty text"
    if not example.instruction and example.task == GENERIC:
        return "generic row without an instruction"
    if not example.references:
        return "nothing changes" if source.format in EDITS_ONLY else "no answer"
    return ""
