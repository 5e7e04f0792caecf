"""STS benchmark's TSV: sentence pairs with a similarity of 0 to 5; the most similar ones serve as paraphrases.

The files have no header, and quotes in them are literal. Columns: genre, file, year, id, score, two sentences, and in
some rows two of licence. A pair that stands twice, the second time the other way round, is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_lines, source_files
from mixwright.errors import DataError


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """A row a pair of at least `min_similarity`, first sentence to second.

    Raises:
        DataError: fewer than seven columns, or a score that is no number of 0 to 5.
    """
    seen: set[frozenset[str]] = set()
    for file in source_files(source, root, (".csv", ".tsv")):
        for number, line in enumerate(read_lines(file.path), start=1):
            similarity, pair = _pair(line, f"{file.path}:{number}")
            if similarity < source.min_similarity:
                left_out[f"similarity below {source.min_similarity:g}"] += 1
            elif frozenset(pair) in seen:
                left_out["the same pair twice"] += 1
            else:
                seen.add(frozenset(pair))
                yield Row(place=f"{file.prefix}{number}", text=pair[0], references=(pair[1],))


def _pair(line: str, where: str) -> tuple[float, tuple[str, str]]:
    columns = line.split("\t")
    if len(columns) < 7:
        raise DataError(f"{where}: must have seven tab-separated columns or more, got {len(columns)}")
    try:
        similarity = float(columns[4])
    except ValueError:
        similarity = -1.0
    if not 0.0 <= similarity <= 5.0:
        raise DataError(f"{where}: column 5 must be a similarity of 0 to 5, got {columns[4]!r}")
    return similarity, (columns[5], columns[6])
