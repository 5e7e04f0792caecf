"""Answers row by row, with what each gained or lost and the words that changed marked.

What comes in: the predictions of a run. What goes out: for each task how many rows came closer to a reference and how many each
system handed back as they were; and the rows themselves, in the order of their ids, as many as a page can hold: no row is picked
for how it looks. Gains are of closeness, which every row has, and not of the metric, which is one number for a whole task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from mixwright.records import BASE, COPY, HUMAN, Prediction
from mixwright.report import wording
from mixwright.report.differences import is_other_text, marked, similarity
from mixwright.report.run_folder import RunFolder
from mixwright.report.table import ordered_systems

Kind = Literal["closer", "further", "alike"]
KIND_LABELS: dict[Kind, str] = {
    "closer": "closer to a reference",
    "further": "further from a reference",
    "alike": "as close",
}
MOST_ROWS = 240
"""Rows that the page holds; the rest stands in the prediction files. Tasks share them evenly."""
_MOST_SYSTEMS = 6
_ALIKE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one system made of a row."""

    system: str
    html: Markup
    note: str
    """What can be said of the answer as a whole; empty where nothing."""
    closeness: float
    """To the closest reference, 0 to 100."""
    gain: float | None
    """Closeness minus the baseline's; None for the baseline itself."""
    is_copied: bool
    """The input came back as it was."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row with every answer to it."""

    task: str
    example_id: str
    instruction: str
    text: str
    reference: Markup
    """The one that the first tuned answer is closest to."""
    answers: tuple[Answer, ...]
    """The baseline's first."""
    kind: Kind
    """Of the first tuned answer."""
    is_open: bool

    @property
    def tuned(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.gain is not None)

    @property
    def gains(self) -> str:
        return " ".join(f"{answer.gain:.4f}" for answer in self.tuned)

    @property
    def copied(self) -> str:
        """The systems that handed the row back unchanged, as places among `Samples.systems`."""
        return " ".join(str(place) for place, answer in enumerate(self.answers) if answer.is_copied)


@dataclass(frozen=True, kw_only=True)
class TaskCounts:
    """The rows of one task, whether the page holds them or not."""

    task: str
    n: int
    kinds: dict[Kind, int]
    unchanged: dict[str, int]
    """System -> rows handed back as they were."""
    right_as_they_are: int
    """Rows whose input stands among its references, so that handing it back is right."""
    shown: int


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Everything that the section shows."""

    systems: tuple[str, ...]
    """Whose answers are shown; the first is the baseline of all gains."""
    tasks: tuple[TaskCounts, ...]
    rows: tuple[Sample, ...]
    unshown: tuple[str, ...]
    """Tuned systems beyond the number that a row can show."""
    skipped: int
    """Rows of the baseline that not every shown system answered."""

    @property
    def baseline(self) -> str:
        return self.systems[0]

    @property
    def tuned(self) -> tuple[str, ...]:
        return self.systems[1:]

    @property
    def n(self) -> int:
        return sum(task.n for task in self.tasks)


Row = dict[str, Prediction]
"""One evaluation row: system -> what it answered."""


def samples(folder: RunFolder) -> Samples | None:
    """Rows that every shown system answered, by task as they were evaluated; None where no tuned system left predictions.

    Gains count from base, or from the input handed back where base was not asked.
    """
    asked = [system.name for system in ordered_systems(folder.run) if system.name in folder.predictions]
    answering = [name for name in asked if name not in (BASE, COPY, HUMAN)]
    if not answering:
        return None
    baseline = BASE if BASE in asked else COPY
    systems = (baseline, *answering[: _MOST_SYSTEMS - 1])
    tasks = _by_task(folder, systems)
    first = folder.predictions.get(baseline) or folder.predictions[answering[0]]
    share = MOST_ROWS // max(1, len(tasks))
    counts = tuple(_counts(task, rows, systems, min(len(rows), share)) for task, rows in tasks.items())
    shown = [sample for task, rows in tasks.items() for sample in _samples_of(task, rows[:share], systems)]
    return Samples(
        systems=systems,
        tasks=counts,
        rows=tuple(shown),
        unshown=tuple(answering[_MOST_SYSTEMS - 1 :]),
        skipped=len(first) - sum(map(len, tasks.values())),
    )


def natural_order(example_id: str) -> list[tuple[int, str]]:
    """Sort key in which `embedded:9` stands before `embedded:10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", example_id)]


def _by_task(folder: RunFolder, systems: Sequence[str]) -> dict[str, list[Row]]:
    """Task -> its rows that all of `systems` answered, in the order of ids; tasks as they were evaluated."""
    answers = {name: folder.predictions[name] for name in systems if name in folder.predictions}
    first = answers[systems[-1]]
    if systems[0] not in answers:  # a copy is its own input, so its file is not needed
        answers[systems[0]] = {key: _handed_back(item) for key, item in first.items()}
    shared = sorted(set.intersection(*(set(rows) for rows in answers.values())), key=natural_order)
    tasks: dict[str, list[Row]] = {item.task: [] for item in first.values()}
    for example_id in shared:
        tasks[first[example_id].task].append({name: answers[name][example_id] for name in systems})
    return {task: rows for task, rows in tasks.items() if rows}


def _handed_back(item: Prediction) -> Prediction:
    return Prediction(
        example_id=item.example_id,
        task=item.task,
        system=COPY,
        instruction=item.instruction,
        text=item.text,
        output=item.text,
        references=item.references,
    )


def _counts(task: str, rows: Sequence[Row], systems: Sequence[str], shown: int) -> TaskCounts:
    kinds = [_kind(row[systems[0]], row[systems[1]]) for row in rows]
    return TaskCounts(
        task=task,
        n=len(rows),
        kinds={kind: kinds.count(kind) for kind in KIND_LABELS},
        unchanged={name: sum(is_copied(row[name]) for row in rows) for name in systems},
        right_as_they_are=sum(_needs_nothing(row[systems[0]]) for row in rows),
        shown=shown,
    )


def is_copied(item: Prediction) -> bool:
    """Whether the input came back as it was, white space at the ends aside."""
    return item.output.strip() == item.text.strip()


def _needs_nothing(item: Prediction) -> bool:
    return item.text.strip() in {reference.strip() for reference in item.references}


def closeness(item: Prediction) -> float:
    """Similarity to the closest reference, 0 to 100."""
    return 100 * max(similarity(item.output, reference) for reference in item.references)


def _kind(before: Prediction, after: Prediction) -> Kind:
    gain = closeness(after) - closeness(before)
    return "alike" if abs(gain) < _ALIKE else "closer" if gain > 0 else "further"


def _samples_of(task: str, rows: Sequence[Row], systems: Sequence[str]) -> list[Sample]:
    """The rows of a task; the first of each kind is shown open."""
    made: list[Sample] = []
    for row in rows:
        kind = _kind(row[systems[0]], row[systems[1]])
        made.append(_sample(task, row, systems, kind, is_open=all(sample.kind != kind for sample in made)))
    return made


def _sample(task: str, row: Row, systems: Sequence[str], kind: Kind, *, is_open: bool) -> Sample:
    asked, tuned = row[systems[0]], row[systems[1]]
    reference = max(asked.references, key=lambda item: similarity(tuned.output, item))
    start = closeness(asked)
    return Sample(
        task=task,
        example_id=asked.example_id,
        instruction=asked.instruction,
        text=asked.text,
        reference=marked(asked.text, reference),
        answers=tuple(_answer(row[name], None if place == 0 else start) for place, name in enumerate(systems)),
        kind=kind,
        is_open=is_open,
    )


def _answer(item: Prediction, start: float | None) -> Answer:
    """`start` is the baseline's closeness; None for the baseline itself."""
    close = closeness(item)
    return Answer(
        system=item.system,
        html=marked(item.text, item.output),
        note=_note(item),
        closeness=close,
        gain=None if start is None else close - start,
        is_copied=is_copied(item),
    )


def _note(item: Prediction) -> str:
    answer = item.output.strip()
    if not answer:
        return "empty answer"
    unchanged = "the input, unchanged" if is_copied(item) else ""
    if answer in {reference.strip() for reference in item.references}:
        return wording.listed([part for part in ("same as a reference", unchanged) if part])
    return unchanged or ("too far from the input to mark words" if is_other_text(item.text, answer) else "")
