"""The harness's side of a Mixwright task: rows that were exported, and our own corpus scores as its aggregations.

What comes in: the JSON lines that `jobs/batch_evaluate.py --rows-only` wrote, named with `--metadata rows=FILE`. What goes out:
documents whose `message` is our prompt word for word, and for each metric one number over all of a task's answers, as
`evaluate.metric` computes it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from mixwright.errors import ConfigError
from mixwright.evaluate.export import ExportedRow
from mixwright.evaluate.metric import make_metric, score
from mixwright.records import read_jsonl, to_json

SCORE = "score"
"""A second name of every task's metric, so that the harness can take means over tasks of different metrics."""

Item = tuple[str, str, str, tuple[str, ...]]
"""Row id, text, answer and references."""


class Rewriting(ConfigurableTask):
    """One task of the scenario; each row brings its own limit of new tokens, so that both sides cut answers alike."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def construct_requests(self, doc: dict[str, Any], ctx: str, **more: Any) -> Any:
        request = super().construct_requests(doc, ctx, **more)
        request.arguments[1].setdefault("max_gen_toks", doc["max_new_tokens"])
        return request


def rows(task: str, rows: str = "", **_: Any) -> dict[str, Dataset]:
    """The exported rows of one task, as the harness's test split."""
    if not rows:
        raise ConfigError("name the rows with --metadata rows=FILE; jobs/batch_evaluate.py --rows-only writes them")
    chosen = [row for row in read_jsonl(Path(rows), ExportedRow) if row.task == task]
    if not chosen:
        raise ConfigError(f"{rows}: holds no row of the task '{task}'; export it, or leave mixwright_writing_{task} out")
    return {"test": Dataset.from_list([to_json(row) for row in chosen])}


def reference(doc: dict[str, Any]) -> str:
    """What the harness shows as the target; scores read all references."""
    return str(doc["references"][0])


def results(doc: dict[str, Any], answers: Sequence[str]) -> dict[str, Item]:
    """What the aggregations need of one answer, white space at its ends gone as everywhere."""
    item = (doc["id"], doc["text"], answers[0].strip(), tuple(doc["references"]))
    return {doc["metric"]: item, SCORE: item}


@functools.lru_cache(maxsize=16)
def _corpus_score(metric: str, items: tuple[Item, ...]) -> float:
    _, texts, answers, references = zip(*sorted(items), strict=True)
    return score(make_metric(metric), texts, answers, references)


def errant_f05(items: Sequence[Item]) -> float:
    """ERRANT's F0.5 of a task's answers, 0 to 100."""
    return _corpus_score("errant_f0.5", tuple(items))


def gleu(items: Sequence[Item]) -> float:
    """GLEU of a task's answers, 0 to 100."""
    return _corpus_score("gleu", tuple(items))


def sari(items: Sequence[Item]) -> float:
    """SARI of a task's answers, 0 to 100."""
    return _corpus_score("sari", tuple(items))
