"""Plain JSONL: one object a line, whose columns `columns` maps to ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.columns import check_columns, column_row
from mixwright.data.readers.common import Row, read_json_lines, source_files


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Rows numbered by line.

    Raises:
        DataError: a line is not a JSON object, a column is absent or holds something else than text.
    """
    for file in source_files(source, root, (".jsonl", ".json")):
        for number, item in read_json_lines(file.path):
            where = f"{file.path}:{number}"
            check_columns(source, list(item), where)
            row = column_row(source, item, f"{file.prefix}{number}", where, left_out)
            if row:
                yield row
