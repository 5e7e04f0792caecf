"""WikiSplit's TSV: a sentence, a tab, and the same content as `first <::::> second` (Botha et al. 2018).

By default the two sentences are joined into the one, as a proxy for coherence edits; `reverse` splits instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_lines, source_files
from mixwright.errors import DataError

BOUNDARY = "<::::>"


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """A row a line.

    Raises:
        DataError: a line without exactly one tab and one boundary.
    """
    for file in source_files(source, root, (".tsv",)):
        for number, line in enumerate(read_lines(file.path), start=1):
            whole, tab, halves = line.partition("\t")
            if not tab or "\t" in halves or halves.count(BOUNDARY) != 1:
                raise DataError(f"{file.path}:{number}: must read `SENTENCE<tab>FIRST {BOUNDARY} SECOND`, got {line[:60]!r}")
            split = " ".join(half.strip() for half in halves.split(BOUNDARY))
            text, reference = (whole, split) if source.reverse else (split, whole)
            yield Row(place=f"{file.prefix}{number}", text=text, references=(reference,))
