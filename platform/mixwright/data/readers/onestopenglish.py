"""OneStopEnglish's sentence pairs: two lines, then a line of asterisks (Vajjala and Lucic 2018).

The first line is the text and the second its reference, which suits ADV-INT and ADV-ELE, where the harder sentence comes
first. In ELE-INT the easier one does: read it with `reverse`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_lines, source_files
from mixwright.errors import DataError


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """A row a block, numbered by its first line; the empty block at the end is no row.

    Raises:
        DataError: a block of more or fewer than two lines.
    """
    for file in source_files(source, root, (".txt",)):
        for number, lines in _blocks(file.path):
            if len(lines) != 2:
                raise DataError(f"{file.path}:{number}: a block must have two lines before the asterisks, got {len(lines)}")
            text, reference = reversed(lines) if source.reverse else lines
            yield Row(place=f"{file.prefix}{number}", text=text, references=(reference,))


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line and the lines of each block that is not empty."""
    first, lines = 1, list[str]()
    for number, line in enumerate([*read_lines(path), "*******"], start=1):
        if not line.strip() or line.strip("* "):
            lines += [line] if line.strip() else []
            continue
        if lines:
            yield first, lines
        first, lines = number + 1, []
