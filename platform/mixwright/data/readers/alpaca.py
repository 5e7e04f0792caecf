"""Stanford Alpaca's JSON: a list of {instruction, input, output}; generic instructions, each with one answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_text, source_path, text_field
from mixwright.errors import DataError
from mixwright.records import GENERIC

NO_INPUT = frozenset({"noinput", "no input", "no input required", "no input needed", "no input provided"})
"""What the rows' author wrote, without marks, where it meant an empty input."""


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Generic rows, numbered from 1.

    Raises:
        DataError: not a JSON list, or a row lacks one of the three texts.
    """
    path = source_path(source, root)
    try:
        items = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON at column {error.colno}: {error.msg}") from None
    if not isinstance(items, list):
        raise DataError(f"{path}: must be a JSON list of rows, got {type(items).__name__}; for a row a line use format jsonl")
    for number, item in enumerate(items, start=1):
        where = f"{path}: row {number}"
        if not isinstance(item, dict):
            raise DataError(f"{where}: must be an object with instruction, input and output, got {type(item).__name__}")
        yield Row(
            place=str(number),
            task=GENERIC,
            instruction=text_field(item, "instruction", where),
            text=_without_placeholder(text_field(item, "input", where)),
            references=(text_field(item, "output", where),),
        )


def _without_placeholder(text: str) -> str:
    return "" if text.strip(" .<>()[]\"'`\\").lower() in NO_INPUT else text
