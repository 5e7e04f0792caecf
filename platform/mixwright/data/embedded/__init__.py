"""The built-in corpus: seven writing tasks and generic instructions, made by a seeded generator.

What comes in: a task, a split, a number of rows and a seed. What goes out: `Example`s. Nothing is downloaded or copied, so
the whole path runs anywhere; tasks of real use come from the readers beside this package.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mixwright.data.embedded.damage import CLEAN_SHARE, grammaticality
from mixwright.data.embedded.generic import generic
from mixwright.data.embedded.links import coherence, fluency, paraphrasing
from mixwright.data.embedded.style import Row, clarity, neutralization, simplification
from mixwright.data.splits import normalized
from mixwright.errors import DataError, did_you_mean
from mixwright.records import GENERIC, Example, Split

__all__ = ["CLEAN_SHARE", "TASKS", "embedded_rows"]

_WRITERS: dict[str, Callable[[Random, Split], Row]] = {
    "grammaticality": grammaticality,
    "fluency": fluency,
    "clarity": clarity,
    "coherence": coherence,
    "simplification": simplification,
    "neutralization": neutralization,
    "paraphrasing": paraphrasing,
}
TASKS: tuple[str, ...] = (*_WRITERS, GENERIC)
"""Tasks that the built-in corpus has rows for."""

_MAX_REPEATS_IN_A_ROW = 500
"""So many repeated rows one after another mean that a task has run dry."""


def embedded_rows(task: str, split: Split, rows: int, *, seed: int, source: str = "embedded") -> list[Example]:
    """The first `rows` rows of a task and split; distinct, and the same for the same seed in every process.

    A longer list begins with the shorter one. Splits hold different scenes and, for generic rows, different contents (see
    grammar.py and generic.py), so no text or reference of one split stands in another, whatever the tasks and seeds; answers
    of fewer than five words (`It has 9 words.`) excepted.

    Args:
        task: one of `TASKS`.
        rows: at least 0.

    Raises:
        DataError: an unknown task, a negative number of rows, or more rows than the task can give.
    """
    if task not in TASKS:
        raise DataError(f"embedded corpus: no task '{task}'; it has {', '.join(TASKS)}{did_you_mean(task, TASKS)}")
    if rows < 0:
        raise DataError(f"embedded corpus: rows must be 0 or more, got {rows}")
    found: dict[str, Example] = {}
    draw = repeats = 0
    while len(found) < rows:
        name = f"{source}:{task}:{split}:{len(found)}"
        example = _draw(task, split, Random(f"{seed}|{task}|{split}|{draw}"), name=name, source=source)
        content = normalized(f"{example.instruction} {example.text}")
        draw += 1
        repeats = repeats + 1 if content in found else 0
        if repeats > _MAX_REPEATS_IN_A_ROW:
            raise DataError(
                f"embedded corpus: {task} has about {len(found)} distinct {split} rows, {rows} were asked for; set `rows` lower"
            )
        found.setdefault(content, example)
    return list(found.values())


def _draw(task: str, split: Split, rng: Random, *, name: str, source: str) -> Example:
    if task == GENERIC:
        row = generic(rng, split)
        return Example(
            id=name,
            source=source,
            task=task,
            text=row.text,
            references=(row.answer,),
            instruction=row.instruction,
            group=f"{row.kind}/{normalized(row.content)}",
        )
    text, references, key = _WRITERS[task](rng, split)
    return Example(id=name, source=source, task=task, text=text, references=references, group=key)
