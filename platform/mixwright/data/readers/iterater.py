"""IteraTeR's JSONL: sentence revisions, each labelled with the writer's intent (Du et al. 2022).

What comes in: objects with before_sent, after_sent, labels and doc_id. What goes out: a row a revision whose task is what
its label maps to, grouped by document. Labels that map to no task are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, read_json_lines, source_files, text_field

LABELS = {"fluency": "fluency", "clarity": "clarity", "coherence": "coherence"}
"""Label -> task, where the source names no `labels` of its own."""


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Rows numbered by line.

    Raises:
        DataError: a line is not a JSON object, or lacks one of the four columns.
    """
    tasks = source.labels or LABELS
    for file in source_files(source, root, (".json", ".jsonl")):
        for number, item in read_json_lines(file.path):
            where = f"{file.path}:{number}"
            label = text_field(item, "labels", where)
            if label not in tasks or source.task not in (None, tasks[label]):
                left_out[f"label '{label}'"] += 1
                continue
            yield Row(
                place=f"{file.prefix}{number}",
                task=tasks[label],
                text=text_field(item, "before_sent", where),
                references=(text_field(item, "after_sent", where),),
                group=text_field(item, "doc_id", where),
            )
