"""Answers before and after, side by side, with the words that changed marked.

What comes in: test predictions of base and best. What goes out: for each task, how many rows came closer to a reference, and
the first row of each kind in the order of ids: no row is picked for how it looks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from mixwright.records import BASE, Prediction
from mixwright.report.run_folder import RunFolder

Kind = Literal["closer", "further", "alike"]
KIND_LABELS: dict[Kind, str] = {
    "closer": "closer to a reference than base",
    "further": "further from a reference than base",
    "alike": "as close as base",
}
_WORD = re.compile(r"\s*(?:\w+(?:['’]\w+)*|[^\w\s])")
_LEAST_SHARED = 0.25
"""Below this share of words in common a word-by-word marking is noise, and the text is shown plain."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One test row with both answers."""

    kind: Kind
    example_id: str
    instruction: str
    text: str
    base: Markup
    best: Markup
    reference: Markup
    base_note: str
    best_note: str
    """What can be said of the answer as a whole; empty where nothing."""


@dataclass(frozen=True, kw_only=True)
class TaskSamples:
    """The rows shown of one task, and how many there are of each kind."""

    task: str
    n: int
    counts: dict[Kind, int]
    unchanged: dict[str, int]
    """`base`, `best` -> rows handed back as they were."""
    shown: tuple[Sample, ...]


def task_samples(folder: RunFolder) -> tuple[TaskSamples, ...]:
    """Samples of every task that base and best both answered, in the order in which the tasks were evaluated."""
    base, best = folder.predictions.get(BASE, {}), folder.predictions.get("best", {})
    pairs = [(base[example_id], best[example_id]) for example_id in sorted(base.keys() & best.keys(), key=natural_order)]
    tasks = dict.fromkeys(prediction.task for prediction in base.values())
    grouped = {task: [pair for pair in pairs if pair[0].task == task] for task in tasks}
    return tuple(_samples_of(task, group) for task, group in grouped.items() if group)


def natural_order(example_id: str) -> list[tuple[int, str]]:
    """Sort key in which `embedded:9` stands before `embedded:10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", example_id)]


def _samples_of(task: str, pairs: Sequence[tuple[Prediction, Prediction]]) -> TaskSamples:
    kinds = [_kind(*pair) for pair in pairs]
    first = {kind: pairs[kinds.index(kind)] for kind in KIND_LABELS if kind in kinds}
    return TaskSamples(
        task=task,
        n=len(pairs),
        counts={kind: kinds.count(kind) for kind in KIND_LABELS},
        unchanged={
            "base": sum(base.output.strip() == base.text.strip() for base, _ in pairs),
            "best": sum(best.output.strip() == best.text.strip() for _, best in pairs),
        },
        shown=tuple(_sample(kind, *pair) for kind, pair in first.items()),
    )


def _kind(base: Prediction, best: Prediction) -> Kind:
    before, after = (max(similarity(item.output, reference) for reference in base.references) for item in (base, best))
    return "alike" if abs(after - before) < 1e-9 else "closer" if after > before else "further"


def similarity(one: str, other: str) -> float:
    """Share of words and punctuation marks that two texts have in common, in order: 2 x common / all; 1 for two empty texts."""
    return difflib.SequenceMatcher(None, _words(one), _words(other), autojunk=False).ratio()


def _words(text: str) -> list[str]:
    return [piece.strip() for piece in _WORD.findall(text)]


def _sample(kind: Kind, base: Prediction, best: Prediction) -> Sample:
    reference = max(base.references, key=lambda item: similarity(best.output, item))
    return Sample(
        kind=kind,
        example_id=base.example_id,
        instruction=base.instruction,
        text=base.text,
        base=marked(base.text, base.output),
        best=marked(base.text, best.output),
        reference=marked(base.text, reference),
        base_note=_note(base),
        best_note=_note(best),
    )


def _note(prediction: Prediction) -> str:
    answer = prediction.output.strip()
    if not answer:
        return "empty answer"
    if answer in {reference.strip() for reference in prediction.references}:
        return "same as a reference"
    if answer == prediction.text.strip():
        return "the input, unchanged"
    return "too far from the input to mark words" if _is_other_text(prediction.text, answer) else ""


def _is_other_text(before: str, after: str) -> bool:
    return bool(before) and similarity(before, after) < _LEAST_SHARED


def marked(before: str, after: str) -> Markup:
    """`after` as safe HTML, with words that `before` lacks in <ins> and words of `before` that are gone in <del>.

    Where the two share too little to be read word by word, `after` stands without marks.
    """
    if not before or _is_other_text(before, after):
        return escape(after)
    return Markup("").join(_marked_pieces(_WORD.findall(before), _WORD.findall(after)))


def _marked_pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[Markup]:
    matcher = difflib.SequenceMatcher(None, [piece.strip() for piece in before], [piece.strip() for piece in after], autojunk=False)
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation == "equal":
            yield escape("".join(after[j1:j2]))
            continue
        yield _wrapped("del", "".join(before[i1:i2]))
        yield _wrapped("ins", "".join(after[j1:j2]))


def _wrapped(tag: str, text: str) -> Markup:
    """Leading white space stays outside, so that lines of the mark do not hang over the gap between words."""
    words = text.lstrip()
    return (
        Markup("{gap}<{tag}>{words}</{tag}>").format(gap=text[: len(text) - len(words)], tag=Markup(tag), words=words)
        if words
        else Markup("")
    )
