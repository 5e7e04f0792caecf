"""Prepared data as a person can check it: counts, token lengths, what was dropped, and rows with the learned part marked.

What comes in: `PreparedData` and its `TokenTable`. What goes out: lines of text. `jobs/prepare_data.py` prints them
before a sweep spends hours on the same rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from mixwright.data.prepare import PreparedData
from mixwright.data.tokens import TokenTable
from mixwright.prompts import Rendered

LEARNED_FROM, LEARNED_TO = "⟦", "⟧"
"""Stand around what is learned in a shown row; everything outside is read only."""


def quantile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); 0 where there are none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0


def task_table(prepared: PreparedData, table: TokenTable, *, max_length: int) -> list[str]:
    """Rows by task and split, and the token lengths of training rows: median, 95th percentile, largest, and how many are too long.

    A held-out task has no training rows and so no lengths.
    """
    header = ("task", "train", "dev", "test", "tokens p50", "p95", "max", f"> {max_length}")
    body = []
    for task, counts in prepared.report["tasks"].items():
        lengths = table.lengths(task)
        figures = [*(quantile(lengths, share) for share in (0.5, 0.95, 1.0)), sum(length > max_length for length in lengths)]
        shown = figures if lengths else ["-"] * 4
        body.append((task, counts["train"], counts["dev"], counts["test"], *shown))
    return _table(header, body)


def source_table(report: dict[str, Any]) -> list[str]:
    """What became of each source's rows, and a line for each reason to leave some out."""
    header = ("source", "read", "train", "dev", "test", "left out", "held out", "leaked", "repeated")
    body = [_source_row(name, counts) for name, counts in report["sources"].items()]
    reasons = [
        f"  {name}: {count} left out, {reason}"
        for name, counts in report["sources"].items()
        for reason, count in counts["left_out"].items()
    ]
    return [*_table(header, body), *reasons]


def guard_line(report: dict[str, Any]) -> str:
    """What the leak guard dropped, in one sentence."""
    leaked = {name: counts["leaked"] for name, counts in report["sources"].items() if counts["leaked"]}
    if not leaked:
        return "leak guard: no training row stands in an evaluation set"
    parts = ", ".join(f"{count} of {name}" for name, count in leaked.items())
    return f"leak guard: dropped {sum(leaked.values())} training rows that stand in an evaluation set: {parts}"


def previews(prepared: PreparedData, table: TokenTable, tokenizer: Any, *, rows: int) -> Iterator[str]:
    """The first `rows` rows of each task that are learned, as the model sees them, the learned part between brackets."""
    for task, examples in prepared.train.items():
        for example in itertools.islice(filter(table.token_count, examples), rows):
            yield f"--- {task} · {example.id}\n{marked(table.rendered(example), tokenizer)}"


def marked(row: Rendered, tokenizer: Any) -> str:
    """The decoded tokens; each stretch that the response mask marks as learned stands in brackets."""
    parts: list[str] = []
    stretch: list[int] = []
    mask = row.response_mask
    for position, token in enumerate(row.token_ids):
        stretch.append(token)
        if position + 1 == len(mask) or mask[position + 1] != mask[position]:
            text = str(tokenizer.decode(stretch))
            parts.append(f"{LEARNED_FROM}{text}{LEARNED_TO}" if mask[position] else text)
            stretch = []
    return "".join(parts)


def _source_row(name: str, counts: dict[str, Any]) -> tuple[object, ...]:
    kept = [sum(counts["kept"][split].values()) for split in ("train", "dev", "test")]
    return name, counts["read"], *kept, sum(counts["left_out"].values()), counts["held_out"], counts["leaked"], counts["repeated"]


def _table(header: Sequence[str], body: Sequence[Sequence[object]]) -> list[str]:
    """Aligned columns: the first to the left, numbers to the right."""
    cells = [list(header), *([str(value) for value in row] for row in body)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(
            value.ljust(width) if column == 0 else value.rjust(width)
            for column, (value, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
