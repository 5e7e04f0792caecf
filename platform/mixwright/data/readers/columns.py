"""Objects with named columns -> rows: what JSONL files and hub datasets have in common.

What comes in: one object and the source's `columns`, which say under which name each of our fields stands. What goes out:
a row, or nothing where the object's label maps to no task.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, text_field, texts_field
from mixwright.errors import DataError, did_you_mean

OPTIONAL_FIELDS = ("instruction", "task", "group")
_PREFIX = re.compile(r"([^:\n]{1,120}):\s+(.+)", re.DOTALL)


def check_columns(source: SourceConfig, present: list[str], where: str) -> None:
    """Tells of the first column that `columns` names and the data lacks.

    Raises:
        DataError: such a column, or a source that names neither a task nor a column that holds one.
    """
    for ours in ("text", "references", *OPTIONAL_FIELDS):
        theirs = source.columns.get(ours, ours)
        if theirs not in present and (ours in source.columns or ours not in OPTIONAL_FIELDS):
            hint = did_you_mean(theirs, present)
            raise DataError(
                f"{where}: no column '{theirs}' for `{ours}`; it has {', '.join(present)}: set `columns: {{{ours}: ...}}`{hint}"
            )
    if source.task is None and source.columns.get("task", "task") not in present:
        raise DataError(f"{where}: no column says what task a row serves; set `task`, or `columns: {{task: ...}}`")


def column_row(source: SourceConfig, item: dict[str, Any], place: str, where: str, left_out: Counter[str]) -> Row | None:
    """The row that `item` holds, or None, counted with its reason.

    Raises:
        DataError: a column is absent or holds something else than text.
    """
    text = text_field(item, source.columns.get("text", "text"), where)
    instruction = _optional(source, item, "instruction", where)
    task = _task(source, item, where)
    if task is None:
        left_out[f"label '{_optional(source, item, 'task', where)}'"] += 1
        return None
    if source.strip_instruction_prefix:
        match = _PREFIX.fullmatch(text)
        if match is None:
            left_out["no instruction before a colon"] += 1
            return None
        instruction, text = match[1], match[2]
    return Row(
        place=place,
        task=task,
        text=text,
        instruction=instruction,
        references=texts_field(item, source.columns.get("references", "references"), where),
        group=_optional(source, item, "group", where),
    )


def _task(source: SourceConfig, item: dict[str, Any], where: str) -> str | None:
    """The task of one object; None where its label is not among the source's `labels`, or not the source's task."""
    if source.task is not None and not source.labels:
        return source.task
    label = _optional(source, item, "task", where)
    task = source.labels.get(label) if source.labels else label
    return task if source.task in (None, task) else None


def _optional(source: SourceConfig, item: dict[str, Any], field: str, where: str) -> str:
    column = source.columns.get(field, field)
    value = item.get(column)
    if value is None and field not in source.columns:
        return ""
    return str(value) if isinstance(value, int) else text_field(item, column, where)
