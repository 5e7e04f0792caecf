"""The built-in corpus: seven writing tasks and generic instructions, made by a seeded generator.

What comes in: a task, a split, a number of rows and a seed. What goes out: `Example`s. Nothing is downloaded or copied, so
the whole path runs anywhere; tasks of real use come from the readers beside this package.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mixwright.data.embedded.damage import CLEAN_SHARE, grammaticality
from mixwright.data.embedded.links import coherence, fluency, paraphrasing
from mixwright.data.embedded.style import Row, clarity, neutralization, simplification
from mixwright.errors import DataError, did_you_mean
from mixwright.records import Example, Split

__all__ = ["CLEAN_SHARE", "EMBEDDED_TASKS", "embedded_rows"]

_TASKS: dict[str, Callable[[Random, Split], Row]] = {
    "grammaticality": grammaticality,
    "fluency": fluency,
    "clarity": clarity,
    "coherence": coherence,
    "simplification": simplification,
    "neutralization": neutralization,
    "paraphrasing": paraphrasing,
}
EMBEDDED_TASKS: tuple[str, ...] = tuple(_TASKS)
"""Tasks that the built-in corpus has rows for."""

_MAX_REPEATS_IN_A_ROW = 500
"""So many repeated rows one after another mean that a task has run dry."""


def embedded_rows(task: str, split: Split, rows: int, *, seed: int, source: str = "embedded") -> list[Example]:
    """The first `rows` rows of a task and split; distinct, and the same for the same seed in every process.

    A longer list begins with the shorter one. Splits hold different scenes (see grammar.py), so no text or reference of one
    split stands in another, whatever the tasks and seeds.

    Args:
        task: one of `EMBEDDED_TASKS`.
        rows: at least 0.

    Raises:
        DataError: an unknown task, a negative number of rows, or more rows than the task can give.
    """
    if task not in EMBEDDED_TASKS:
        raise DataError(
            f"embedded corpus: no task '{task}'; it has {', '.join(EMBEDDED_TASKS)}{did_you_mean(task, EMBEDDED_TASKS)}"
        )
    if rows < 0:
        raise DataError(f"embedded corpus: rows must be 0 or more, got {rows}")
    make = _TASKS[task]
    found: dict[str, Example] = {}
    draw = repeats = 0
    while len(found) < rows:
        text, references, key = make(Random(f"{seed}|{task}|{split}|{draw}"), split)
        draw += 1
        repeats = repeats + 1 if text in found else 0
        if repeats > _MAX_REPEATS_IN_A_ROW:
            raise DataError(
                f"embedded corpus: {task} has about {len(found)} distinct {split} rows, {rows} were asked for; set `rows` lower"
            )
        if text not in found:
            name = f"{source}:{task}:{split}:{len(found)}"
            found[text] = Example(id=name, source=source, task=task, text=text, references=references, group=key)
    return list(found.values())
