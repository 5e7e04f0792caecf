"""Line-aligned text: one file of sentences and one or more files of references, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_lines, source_path
from mixwright.errors import DataError


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """A row a line, numbered from 1.

    Raises:
        DataError: a file cannot be read, the files differ in length, or a line has some of its references and not all.
    """
    path = source_path(source, root)
    texts = read_lines(path)
    columns = [_aligned(root / name, path, len(texts)) for name in source.references]
    for number, (text, *references) in enumerate(zip(texts, *columns, strict=True), start=1):
        _check_whole(references, source, number)
        yield Row(place=str(number), text=text, references=tuple(references))


def _check_whole(references: list[str], source: SourceConfig, number: int) -> None:
    """A hole would score its row against fewer references than the others, which lowers the score and does not show."""
    blank = [name for name, text in zip(source.references, references, strict=True) if not text.strip()]
    if blank and len(blank) < len(references):
        raise DataError(
            f"{blank[0]}:{number}: is blank where other reference files have text; fill the hole, or blank the line in all of them "
            "to leave the row out"
        )


def _aligned(path: Path, sources: Path, expected: int) -> list[str]:
    lines = read_lines(path)
    if len(lines) != expected:
        raise DataError(f"{path}: has {len(lines)} lines, {sources} has {expected}; aligned files must have as many lines")
    return lines
